/* json.c - writes JSON. By hand, since a number must keep its three decimals. */
#include "client/json.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/base64.h"
#include "proto/base/parse.h"
#include "proto/base/utf8.h"

/* A line may hold a result in base64, and a text of the same, escaped. */
#define LINE_BYTES (SIZE_MAX / 4)

static void raw(struct json *j, const char *s)
{
    int r = buf_add(&j->b, s, strlen(s));
    assert(r >= 0);
}

static void escape(struct json *j, unsigned char c)
{
    static const char *const names[] = {
        ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"
    };
    if (c == '"' || c == '\\')
        buf_addf(&j->b, "\\%c", c);
    else if (c < ELEMENTS(names) && names[c])
        raw(j, names[c]);
    else
        buf_addf(&j->b, "\\u%04x", c);
}

static bool is_plain(unsigned char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

static void quoted(struct json *j, struct str s)
{
    raw(j, "\"");
    for (size_t i = 0; i < s.n;) {
        const unsigned char *p = (const unsigned char *)s.p + i;
        size_t n = 0;
        while (i + n < s.n && is_plain(p[n]))
            n++;
        if (!n && *p >= 0x80)
            n = utf8_sequence(p, s.n - i);
        if (n)
            buf_add(&j->b, p, n);
        else if (*p >= 0x80)
            raw(j, "\\ufffd");
        else
            escape(j, *p);
        i += n ? n : 1;
    }
    raw(j, "\"");
}

static void comma(struct json *j)
{
    if (j->comma)
        raw(j, ",");
    j->comma = true;
}

static void key(struct json *j, const char *name)
{
    comma(j);
    quoted(j, str_of(name));
    raw(j, ":");
}

void json_begin(struct json *j)
{
    *j = (struct json){ 0 };
    buf_init(&j->b, LINE_BYTES);
    raw(j, "{");
    json_number(j, "v", 1);
}

void json_bytes(struct json *j, const char *name, struct str bytes)
{
    key(j, name);
    if (bytes.p)
        quoted(j, bytes);
    else
        raw(j, "null");
}

void json_text(struct json *j, const char *name, const char *text)
{
    json_bytes(j, name, str_of(text));
}

void json_base64(struct json *j, const char *name, struct str bytes)
{
    cleanup(freep) char *text = bytes.p ? base64_encode(bytes) : NULL;
    json_text(j, name, text);
}

void json_number(struct json *j, const char *name, int64_t v)
{
    key(j, name);
    if (v == TERN_UNSET)
        raw(j, "null");
    else
        buf_addf(&j->b, "%" PRId64, v);
}

void json_count(struct json *j, const char *name, uint64_t v)
{
    key(j, name);
    buf_addf(&j->b, "%" PRIu64, v);
}

void json_bool(struct json *j, const char *name, bool v)
{
    key(j, name);
    raw(j, v ? "true" : "false");
}

void json_us(struct json *j, const char *name, int64_t us)
{
    key(j, name);
    if (us == TERN_UNSET)
        raw(j, "null");
    else
        buf_addf(&j->b, "%s%" PRId64 ".%03d", us < 0 ? "-" : "", (us < 0 ? -us : us) / 1000,
                 (int)((us < 0 ? -us : us) % 1000));
}

void json_ms(struct json *j, const char *name, int64_t ms)
{
    int64_t us;
    json_us(j, name, ms == TERN_UNSET || __builtin_mul_overflow(ms, 1000, &us) ? TERN_UNSET : us);
}

void json_time(struct json *j, const char *name, int64_t ms)
{
    char text[FORMAT_BYTES];
    json_text(j, name, ms == TERN_UNSET ? NULL : format_time(ms, text));
}

void json_texts(struct json *j, const char *name, const char *const *texts)
{
    key(j, name);
    if (!texts) {
        raw(j, "null");
        return;
    }
    raw(j, "[");
    j->comma = false;
    for (; *texts; texts++) {
        comma(j);
        quoted(j, str_of(*texts));
    }
    raw(j, "]");
    j->comma = true;
}

void json_open(struct json *j, const char *name)
{
    key(j, name);
    raw(j, "{");
    j->comma = false;
}

void json_close(struct json *j)
{
    raw(j, "}");
    j->comma = true;
}

void json_list(struct json *j, const char *name)
{
    key(j, name);
    raw(j, "[");
    j->comma = false;
}

void json_item(struct json *j)
{
    comma(j);
    raw(j, "{");
    j->comma = false;
}

void json_list_end(struct json *j)
{
    raw(j, "]");
    j->comma = true;
}

struct str json_end(struct json *j)
{
    raw(j, "}");
    return buf_str(&j->b);
}

void json_print(struct json *j)
{
    struct str line = json_end(j);
    fwrite(line.p, 1, line.n, stdout);
    putchar('\n');
    json_fini(j);
}

void json_fini(struct json *j) { buf_fini(&j->b); }
