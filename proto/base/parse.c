/* parse.c - what people type as values, strictly: all of the text must be used, and nothing
 * overflows. */
#include "proto/base/parse.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit durations[] = {
    { "w", 604800000 }, { "d", 86400000 }, { "h", 3600000 },
    { "m", 60000 },     { "s", 1000 },     { "ms", 1 },
};
static const struct unit sizes[] = {
    { "T", INT64_C(1) << 40 }, { "G", 1 << 30 }, { "M", 1 << 20 }, { "K", 1 << 10 }, { "B", 1 },
};

static int wrong(char **ret_error, char *text)
{
    *ret_error = text;
    return -EINVAL;
}

int parse_number(const char *text, int64_t min, int64_t max, int64_t *ret, char **ret_error)
{
    char *end = NULL;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    bool digits =
        isdigit((unsigned char)text[0]) || (text[0] == '-' && isdigit((unsigned char)text[1]));
    if (!digits || *end)
        return wrong(ret_error, xasprintf("\"%s\" is not a whole number", text));
    if (errno == ERANGE || v < min || v > max)
        return wrong(ret_error, xasprintf("%s is not in the range %lld to %lld", text,
                                          (long long)min, (long long)max));
    *ret = v;
    return 0;
}

/* digits[.digits] in thousandths, at most 15 digits before the point. Moves *p behind it. */
static bool take_decimal(const char **p, int64_t *ret_thousandths)
{
    const char *s = *p;
    int64_t v = 0;
    int n = 0;
    for (; isdigit((unsigned char)*s); s++, n++) {
        if (n >= 15)
            return false;
        v = v * 10 + (*s - '0');
    }
    v *= 1000;
    if (n && *s == '.' && isdigit((unsigned char)s[1])) {
        s++;
        for (int64_t place = 100; isdigit((unsigned char)*s); s++, place /= 10)
            v += place * (*s - '0');
    }
    *p = s;
    *ret_thousandths = v;
    return n > 0;
}

static bool add_scaled(int64_t *total, int64_t thousandths, int64_t factor)
{
    int64_t whole, rest = thousandths % 1000 * factor / 1000;
    return !__builtin_mul_overflow(thousandths / 1000, factor, &whole) &&
           !__builtin_add_overflow(whole, rest, &whole) &&
           !__builtin_add_overflow(*total, whole, total);
}

static const struct unit *find_unit(const struct unit *units, size_t n, const char *name,
                                    size_t n_name)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(units[i].name) == n_name && memcmp(units[i].name, name, n_name) == 0)
            return &units[i];
    return NULL;
}

static bool take_duration(const char *text, int64_t *ret_ms)
{
    int64_t total = 0, v;
    const struct unit *last = NULL;
    for (const char *p = text; *p;) {
        if (!take_decimal(&p, &v))
            return false;
        size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz");
        const struct unit *u =
            find_unit(durations, ELEMENTS(durations), n || last ? p : "s", n || last ? n : 1);
        if (!u || (last && u <= last) || !add_scaled(&total, v, u->factor))
            return false;
        last = u;
        p += n;
        if (!n && *p)
            return false;
    }
    *ret_ms = total;
    return last;
}

int parse_duration(const char *text, int64_t *ret_ms, char **ret_error)
{
    int64_t ms;
    if (!take_duration(text, &ms))
        return wrong(ret_error,
                     xasprintf("\"%s\" is not a duration; durations look like 500ms, 10s, 5m, "
                               "1h30m or 7d",
                               text));
    *ret_ms = ms;
    return 0;
}

static bool take_size(const char *text, int64_t *ret_bytes)
{
    int64_t v, total = 0;
    const char *p = text;
    if (!take_decimal(&p, &v))
        return false;
    char unit[2] = { *p ? (char)toupper((unsigned char)*p) : 'B', '\0' };
    const struct unit *u = find_unit(sizes, ELEMENTS(sizes), unit, 1);
    if (*p)
        p++;
    if (unit[0] != 'B' && p[0] == 'i' && p[1] == 'B')
        p += 2;
    if (!u || *p || !add_scaled(&total, v, u->factor))
        return false;
    *ret_bytes = total;
    return true;
}

int parse_size(const char *text, int64_t *ret_bytes, char **ret_error)
{
    if (!take_size(text, ret_bytes))
        return wrong(ret_error,
                     xasprintf("\"%s\" is not a size; sizes look like 4096, 512K, 64M or 2G",
                               text));
    return 0;
}

static bool take_digits(const char **p, int n, int min, int max, int *ret)
{
    int v = 0;
    for (int i = 0; i < n; i++, (*p)++) {
        if (!isdigit((unsigned char)**p))
            return false;
        v = v * 10 + (**p - '0');
    }
    *ret = v;
    return v >= min && v <= max;
}

static bool take_char(const char **p, const char *any_of)
{
    if (!**p || !strchr(any_of, **p))
        return false;
    (*p)++;
    return true;
}

static int days_in(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool take_offset(const char **p, int64_t *ret_ms)
{
    int h, m;
    *ret_ms = 0;
    if (take_char(p, "Zz"))
        return true;
    bool minus = **p == '-';
    if (!take_char(p, "+-") || !take_digits(p, 2, 0, 23, &h) || !take_char(p, ":") ||
        !take_digits(p, 2, 0, 59, &m))
        return false;
    *ret_ms = (minus ? -1 : 1) * (h * INT64_C(3600000) + m * INT64_C(60000));
    return true;
}

static bool take_fraction(const char **p, int64_t *ret_ms)
{
    *ret_ms = 0;
    if (!take_char(p, "."))
        return true;
    if (!isdigit((unsigned char)**p))
        return false;
    for (int64_t place = 100; isdigit((unsigned char)**p); (*p)++, place /= 10)
        *ret_ms += place * (**p - '0');
    return true;
}

static bool take_time(const char *p, int64_t *ret_ms)
{
    struct tm t = { 0 };
    int year, month;
    int64_t fraction, offset;
    if (!take_digits(&p, 4, 1970, 9999, &year) || !take_char(&p, "-") ||
        !take_digits(&p, 2, 1, 12, &month) || !take_char(&p, "-") ||
        !take_digits(&p, 2, 1, days_in(year, month), &t.tm_mday) || !take_char(&p, "Tt ") ||
        !take_digits(&p, 2, 0, 23, &t.tm_hour) || !take_char(&p, ":") ||
        !take_digits(&p, 2, 0, 59, &t.tm_min) || !take_char(&p, ":") ||
        !take_digits(&p, 2, 0, 60, &t.tm_sec) || !take_fraction(&p, &fraction) ||
        !take_offset(&p, &offset) || *p)
        return false;
    t.tm_year = year - 1900;
    t.tm_mon = month - 1;
    *ret_ms = (int64_t)timegm(&t) * 1000 + fraction - offset;
    return true;
}

int parse_time(const char *text, int64_t *ret_ms, char **ret_error)
{
    if (!take_time(text, ret_ms))
        return wrong(ret_error,
                     xasprintf("\"%s\" is not a time; times look like 2026-11-21T04:05:06Z or "
                               "2026-11-21T05:05:06+01:00 (RFC 3339, with an offset)",
                               text));
    return 0;
}

int parse_bool(const char *text, bool *ret, char **ret_error)
{
    static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };
    for (size_t i = 0; i < ELEMENTS(words); i++)
        if (strcmp(text, words[i]) == 0) {
            *ret = i % 2;
            return 0;
        }
    return wrong(ret_error, xasprintf("\"%s\" is neither yes nor no", text));
}

char *format_time(int64_t ms, char out[static FORMAT_BYTES])
{
    time_t s = (time_t)(ms / 1000 - (ms % 1000 < 0));
    struct tm t = { 0 };
    gmtime_r(&s, &t);
    size_t n = strftime(out, FORMAT_BYTES, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(out + n, FORMAT_BYTES - n, ".%03dZ", (int)(ms - (int64_t)s * 1000));
    return out;
}

char *format_duration(int64_t ms, char out[static FORMAT_BYTES])
{
    size_t n = 0;
    for (size_t i = 1; i < ELEMENTS(durations); i++) {
        int64_t v = ms / durations[i].factor;
        ms %= durations[i].factor;
        if (v > 0 && n < FORMAT_BYTES)
            n += (size_t)snprintf(out + n, FORMAT_BYTES - n, "%lld%s", (long long)v,
                                  durations[i].name);
    }
    if (n == 0)
        snprintf(out, FORMAT_BYTES, "0s");
    return out;
}

char *format_size(int64_t bytes, char out[static FORMAT_BYTES])
{
    for (size_t i = 0; i + 1 < ELEMENTS(sizes); i++)
        if (bytes && bytes % sizes[i].factor == 0) {
            snprintf(out, FORMAT_BYTES, "%lld%s", (long long)(bytes / sizes[i].factor),
                     sizes[i].name);
            return out;
        }
    snprintf(out, FORMAT_BYTES, "%lld", (long long)bytes);
    return out;
}
