/* generate.c - one small function a kind of field, and from the lists one for each record and message. */
#include "tests/fuzz/generate.h"

#define LARGE_LIST 1100u /* past most limits of a list */
#define REPEATED 4u      /* a larger list repeats its first few elements */
#define LARGE_BYTES 5000u
#define ODD 240          /* decisions from here on are for what is out of the ordinary */
#define DEPTH_MAX 2 /* of commands in payloads */

/* ---- bytes --------------------------------------------------------------------------------------- */

void generate_init(struct generate *g, const uint8_t *bytes, size_t n)
{
    *g = (struct generate){ .p = bytes, .left = n };
}

void generate_forget(struct generate *g)
{
    for (size_t i = 0; i < g->n; i++)
        free(g->owned[i]);
    g->n = 0;
}

void generate_fini(struct generate *g)
{
    generate_forget(g);
    free(g->owned);
}

void *generate_alloc(struct generate *g, size_t n, size_t size)
{
    g->owned = grow_array(g->owned, &g->cap, g->n + 1, sizeof *g->owned);
    return g->owned[g->n++] = xcalloc(n, size);
}

uint8_t generate_byte(struct generate *g)
{
    if (!g->left)
        return 0;
    g->left--;
    return *g->p++;
}

uint64_t generate_below(struct generate *g, uint64_t n) { return generate_byte(g) % n; }

struct str generate_bytes(struct generate *g, size_t n)
{
    n = min_size(n, g->left);
    char *copy = generate_alloc(g, n, 1);
    memcpy(copy, g->p, n);
    g->p += n;
    g->left -= n;
    return (struct str){ copy, n };
}

/* ---- numbers ------------------------------------------------------------------------------------- */

/* Fields whose values are few: how many mean something, counted from 0. */
static const struct {
    const char *field;
    uint64_t n;
} few[] = {
    { "any", 2 },      { "crash_limit", 4 }, { "draining", 2 }, { "ending", 5 },  { "for_good", 2 },    { "forms", 4 },
    { "held", 3 },     { "newest_first", 2 }, { "own", 2 },     { "paused", 2 },  { "pool", N_POOLS },  { "reason", 9 },
    { "retries", 4 },  { "slots", 6 },       { "started", 2 },  { "stuck", 6 },   { "state", N_STATES }, { "tag", 4 },
    { "thread_safe", 2 }, { "version", 3 },  { "what", 3 },
};

static const uint64_t edges[] = {
    0, 1, 16, 1000, 1001, 10000, 20001, INT32_MAX, UINT32_MAX, 1ull << 32, INT64_MAX - 1, INT64_MAX, 1ull << 63, UINT64_MAX,
};

static uint64_t raw(struct generate *g, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | generate_byte(g);
    return v;
}

static uint64_t odd_number(struct generate *g, uint8_t choice)
{
    switch (choice % 4) {
    case 0:
        return raw(g, 8);
    case 1:
        return raw(g, 2);
    default:
        return edges[generate_below(g, ELEMENTS(edges))];
    }
}

/* Without strcmp, which the fuzzer would watch: the names of fields are nothing that it need find. */
bool generate_is(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static uint64_t number(struct generate *g, const char *field)
{
    uint8_t choice = generate_byte(g);
    uint64_t v;
    if (choice >= ODD)
        return odd_number(g, choice);
    if (g->know && g->know(g->ctx, field, choice, &v))
        return v;
    for (size_t i = 0; i < ELEMENTS(few); i++)
        if (generate_is(field, few[i].field))
            return choice % few[i].n;
    return choice >> 3;
}

static int64_t number_or_unset(struct generate *g, const char *field)
{
    return generate_below(g, 4) ? UNSET : (int64_t)number(g, field);
}

/* ---- texts --------------------------------------------------------------------------------------- */

/* Just past the limit of a name, and of a text; a cut at the limit goes through a character. */
#define TEN "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
#define FIFTY TEN TEN TEN TEN TEN
#define HUNDRED FIFTY FIFTY
static const char long_name[] = "x" FIFTY TEN TEN;
static const char long_text[] = "x" HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED FIFTY;

/* Good ones, then odd ones. */
static const struct {
    const char *field, *words[4], *odd[2];
} vocabulary[] = {
    { "handler", { "cpu", "io", "net", "exec" }, { "nobody-has-it", long_name } },
    { "queue", { NULL, "default", "a", "b" }, { "bad name", long_name } },
    { "queues", { "default", "a", "b", "c" }, { "bad name", "" } },
    { "program", { NULL, "ls", "make", "cc" }, { "", long_name } },
    { "worker", { "w0", "w1", "w2", "w3" }, { "nobody", long_name } },
    { "name", { "cpu", "io", "net", "exec" }, { NULL, long_name } },
    { "role", { "client", "worker", "client", "worker" }, { NULL, "broker" } },
};
static const char *const words[] = { NULL, "", "x", "\xc3\xa9", "uid:0", long_text, "\x1b[2J", long_name };

static struct str text(struct generate *g, const char *field)
{
    uint8_t choice = generate_byte(g);
    for (size_t i = 0; i < ELEMENTS(vocabulary); i++)
        if (choice < 250 && generate_is(field, vocabulary[i].field))
            return str_of(choice < ODD ? vocabulary[i].words[choice % 4] : vocabulary[i].odd[choice % 2]);
    return choice < 250 ? str_of(words[choice % ELEMENTS(words)]) : generate_bytes(g, generate_byte(g));
}

static size_t list_length(struct generate *g)
{
    uint8_t choice = generate_byte(g);
    return choice < 230 ? choice % 4u : choice < 255 ? choice % 40u : LARGE_LIST;
}

static struct str *texts(struct generate *g, const char *field, size_t *ret_n)
{
    size_t n = *ret_n = list_length(g);
    struct str *list = generate_alloc(g, n, sizeof *list);
    for (size_t i = 0; i < n; i++) {
        list[i] = i < REPEATED ? text(g, field) : list[i % REPEATED];
        if (!list[i].p)
            list[i] = str_of("");
    }
    return list;
}

static struct str command_bytes(struct generate *g, int depth);

static struct str bytes_of(struct generate *g, int depth)
{
    uint8_t choice = generate_byte(g);
    if (choice < 96)
        return choice % 2 ? STR_UNSET : str_of("");
    if (choice < 160 && depth < DEPTH_MAX)
        return command_bytes(g, depth + 1);
    if (choice >= 250)
        return (struct str){ generate_alloc(g, LARGE_BYTES, 1), LARGE_BYTES };
    return generate_bytes(g, choice % 40);
}

/* ---- what the lists make ------------------------------------------------------------------------- */

#define GENERATE_U64(name, record) r->name = number(g, #name);
#define GENERATE_I64(name, record) r->name = number_or_unset(g, #name);
#define GENERATE_STR(name, record) r->name = text(g, #name);
#define GENERATE_BIN(name, record) r->name = bytes_of(g, depth);
#define GENERATE_STRS(name, record) r->name = texts(g, #name, &r->n_##name);
#define GENERATE_LIST(name, record)                                                                \
    r->n_##name = list_length(g);                                                                  \
    r->name = generate_alloc(g, r->n_##name, sizeof *r->name);                                     \
    for (size_t i = 0; i < r->n_##name; i++) {                                                     \
        if (i < REPEATED)                                                                          \
            generate_##record(g, &r->name[i], depth);                                              \
        else                                                                                       \
            r->name[i] = r->name[i % REPEATED];                                                    \
    }
#define GENERATE(kind, name, record) GENERATE_##kind(name, record)

#define GENERATE_RECORD(record, FIELDS)                                                            \
    __attribute__((unused)) static void generate_##record(struct generate *g, struct record *r, int depth)               \
    {                                                                                              \
        (void)depth;                                                                               \
        FIELDS(GENERATE)                                                                           \
    }
RECORDS(GENERATE_RECORD)
RUNNER_RECORDS(GENERATE_RECORD)
#define GENERATE_BODY(NAME, number_, name, FIELDS)                                                 \
    static void generate_msg_##name(struct generate *g, struct msg_##name *r)                      \
    {                                                                                              \
        const int depth = 0;                                                                       \
        (void)depth;                                                                               \
        FIELDS(GENERATE)                                                                           \
    }
MESSAGES(GENERATE_BODY)

static struct str command_bytes(struct generate *g, int depth)
{
    struct command c;
    struct buf b;
    generate_command(g, &c, depth);
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    int r = record_encode(&b, RECORD_command, &c);
    assert(r == 0);
    char *copy = generate_alloc(g, b.n, 1);
    memcpy(copy, b.p, b.n);
    struct str bytes = { copy, b.n };
    buf_fini(&b);
    return bytes;
}

#define TYPE(NAME, number_, name, FIELDS) MSG_##NAME,
static const enum message_type types[] = { MESSAGES(TYPE) };

enum message_type generate_type(struct generate *g) { return types[generate_below(g, ELEMENTS(types))]; }

void generate_message(struct generate *g, struct message *ret, enum message_type type)
{
    message_init(ret, type);
    switch (type) {
#define CASE(NAME, number_, name, FIELDS)                                                          \
    case MSG_##NAME:                                                                               \
        generate_msg_##name(g, &ret->name);                                                        \
        break;
        MESSAGES(CASE)
#undef CASE
    }
}
