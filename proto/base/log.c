/* log.c - lines to standard error, one write each, or entries to the journal. Control bytes are shown, never sent to a terminal. */
#include "proto/base/log.h"

#define SD_JOURNAL_SUPPRESS_LOCATION

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

#define PREFIX_BYTES 80 /* room before the text, which is formatted once, whoever gets it */

static const char *program = "tern";
static enum log_level most = LOG_LEVEL_INFO;
static bool to_journal;
static _Thread_local const char *about;

/* Is standard error the stream that the service manager has connected to the journal? It may have been redirected since. */
static bool is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(fd, &st) == 0 &&
           st.st_dev == device && st.st_ino == inode;
}

void log_init(const char *name, enum log_level level)
{
    program = name;
    most = level;
    to_journal = is_journal(STDERR_FILENO);
}

int log_level_parse(const char *name)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = { { "error", LOG_LEVEL_ERROR }, { "warning", LOG_LEVEL_WARNING }, { "info", LOG_LEVEL_INFO },
                   { "debug", LOG_LEVEL_DEBUG } };
    for (size_t i = 0; i < ELEMENTS(levels); i++)
        if (strcmp(levels[i].name, name) == 0)
            return levels[i].level;
    return -EINVAL;
}

bool log_enabled(enum log_level level) { return level <= most; }

/* ---- fields ----------------------------------------------------------------------------------- */

const struct log_event log_events[] = {
    { "job-dead", "e587a1c39f1449a69d9388db7413a32d" },
    { "worker-lost", "5340975e609e43fb88a7eb8effd10378" },
    { "disk-full", "94af7993955546febb3b0280568bfe9f" },
    { "submits-refused", "d4b3d57ac9044652b464486b93278775" },
    { "submits-taken", "208bfe5f11e54c41a491f9b90c3eb59b" },
    { "database-failed", "2f14701eb64343f7af9a22a26cc7b59f" },
    { "memory-limit", "3cd7826442d843a49071dcaecbf6b653" },
    { "slots-spent", "1823ee78511f4963a1c5f800d5ca1768" },
    { "spawn-storm", "c5fe796359cf4d388a6d91d963adc1da" },
    { "unkillable", "84b51b6dc2454eba9b79cd9cfe6e9cea" },
    { "zygote-died", "7ab2acb429f24c0c8a112b32eede5851" },
    { NULL, NULL },
};

static const char *event_id(const char *name, size_t n)
{
    for (const struct log_event *e = log_events; e->name; e++)
        if (strlen(e->name) == n && memcmp(e->name, name, n) == 0)
            return e->id;
    return NULL;
}

static void add_field(struct log_fields *f, const char *name, const char *value, size_t n)
{
    size_t length = strlen(name);
    if (f->n == LOG_FIELDS_MOST || length + n + 2 > sizeof f->at[0])
        return;
    char *to = f->at[f->n++];
    memcpy(to, name, length);
    to[length] = '=';
    memcpy(to + length + 1, value, n);
    to[length + 1 + n] = 0;
}

static void add_pair(struct log_fields *f, bool first, const char *key, size_t key_n, const char *value, size_t n)
{
    static const struct {
        const char *key, *field;
    } fields[] = { { "job", "TERN_JOB_ID" }, { "attempt", "TERN_ATTEMPT" }, { "worker", "TERN_WORKER" } };
    const char *id = first && key_n == 5 && memcmp(key, "event", 5) == 0 ? event_id(value, n) : NULL;
    if (id)
        add_field(f, "MESSAGE_ID", id, strlen(id));
    for (size_t i = 0; n && i < ELEMENTS(fields); i++)
        if (strlen(fields[i].key) == key_n && memcmp(fields[i].key, key, key_n) == 0)
            add_field(f, fields[i].field, value, n);
}

/* Only from the pairs that a line begins with: what comes behind may be anybody's words. */
void log_fields_of(struct log_fields *ret, const char *text)
{
    ret->n = 0;
    for (const char *s = text; *s;) {
        size_t key = strcspn(s, "= :\""), value = s[key] == '=' ? strcspn(s + key + 1, " :\"") : 0;
        if (s[key] != '=')
            return;
        add_pair(ret, s == text, s, key, s + key + 1, value);
        s += key + 1 + value;
        if (*s != ' ')
            return;
        s++;
    }
}

/* ---- lines ------------------------------------------------------------------------------------ */

/* line: the text, with PREFIX_BYTES of room before it; n bytes, and a 0. */
static int send_entry(enum log_level level, char *text, size_t n)
{
    struct log_fields f;
    char priority[16], identifier[64];
    struct iovec v[3 + LOG_FIELDS_MOST];
    static const char message[] = "MESSAGE=";
    log_fields_of(&f, text);
    char *start = text - (sizeof message - 1);
    memcpy(start, message, sizeof message - 1);
    v[0] = (struct iovec){ start, n + sizeof message - 1 };
    v[1] = (struct iovec){ priority, (size_t)snprintf(priority, sizeof priority, "PRIORITY=%d", (int)level) };
    v[2] = (struct iovec){ identifier,
                           (size_t)snprintf(identifier, sizeof identifier, "SYSLOG_IDENTIFIER=%.40s", program) };
    for (size_t i = 0; i < f.n; i++)
        v[3 + i] = (struct iovec){ f.at[i], strlen(f.at[i]) };
    return sd_journal_sendv(v, (int)(3 + f.n));
}

/* Right before the text: where it begins. */
static char *put_prefix(char *text, enum log_level level)
{
    char prefix[PREFIX_BYTES];
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    size_t n = strftime(prefix, sizeof prefix, "%Y-%m-%dT%H:%M:%S", &tm);
    const char *mark = level == LOG_LEVEL_ERROR ? "error: " : level == LOG_LEVEL_WARNING ? "warning: " : "";
    n += (size_t)snprintf(prefix + n, sizeof prefix - n, ".%03ldZ %.32s: %s", t.tv_nsec / 1000000, program, mark);
    return memcpy(text - n, prefix, n);
}

const char *log_about(const char *pair)
{
    const char *before = about;
    about = pair;
    return before;
}

static size_t add_about(char *text, size_t n, size_t room)
{
    int m = snprintf(text + n, room - n, " %s", about);
    return n + min_size((size_t)max_i64(m, 0), room - n - 1);
}

void log_at(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    char line[2048], *text = line + PREFIX_BYTES;
    const size_t room = sizeof line - PREFIX_BYTES - 1;
    va_list ap;
    va_start(ap, format);
    int m = vsnprintf(text, room, format, ap);
    va_end(ap);
    size_t n = m < 0 ? 0 : min_size((size_t)m, room - 1);
    text[n] = 0;
    if (about)
        n = add_about(text, n, room);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i], next = (unsigned char)text[i + 1];
        if (c == 0xc2 && next >= 0x80 && next < 0xa0) /* U+0080 to U+009F */
            text[i] = text[i + 1] = '?';
        else if (c < ' ' || c == 0x7f)
            text[i] = '?';
    }
    if (to_journal && send_entry(level, text, n) >= 0)
        return;
    char *start = put_prefix(text, level);
    text[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, start, (size_t)(text + n - start));
    (void)written; /* a log that cannot be written must not stop the work */
}
