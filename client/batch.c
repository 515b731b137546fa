/* batch.c - reads one line of --batch with jansson. */
#include "client/batch.h"

#include <inttypes.h>
#include <jansson.h>

#include "client/base64.h"
#include "proto/base/nearest.h"

static int wrong(char **ret_error, char *text)
{
    *ret_error = text;
    return -EINVAL;
}

static int read_command(const json_t *v, struct job_options *o, char **ret_error)
{
    size_t i;
    const json_t *word;
    if (!json_is_array(v) || !json_array_size(v))
        return wrong(ret_error,
                     xstrdup("command: must be a list of texts, as in [\"ls\", \"-l\"]"));
    strings_fini(&o->command);
    json_array_foreach (v, i, word) {
        if (!json_is_string(word))
            return wrong(ret_error, xasprintf("command: element %zu is no text", i + 1));
        strings_add(&o->command, json_string_value(word));
    }
    return 0;
}

static int read_env(json_t *v, struct job_options *o, char **ret_error)
{
    const char *name;
    json_t *value;
    if (!json_is_object(v))
        return wrong(ret_error, xstrdup("env: must be an object, as in {\"LANG\": \"C\"}"));
    json_object_foreach (v, name, value) {
        if (!json_is_string(value) || !*name || strchr(name, '='))
            return wrong(ret_error,
                         xasprintf("env: \"%s\" must be a name without =, with a text as its value",
                                   name));
        cleanup(freep) char *both = xasprintf("%s=%s", name, json_string_value(value));
        strings_add(&o->env, both);
    }
    return 0;
}

/* One text, or a list of them. */
static int read_needs(const json_t *v, struct job_options *o, char **ret_error)
{
    const struct option_def *def = option_find(job_options, "need");
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;
        cleanup(freep) char *why = NULL;
        if (!json_is_string(one))
            return wrong(ret_error, xstrdup("need: must be a text, or a list of texts, as in [\"gpu=1\"]"));
        if (option_set(def, o, json_string_value(one), &why) < 0)
            return wrong(ret_error, xasprintf("need: %s", why));
    }
    return 0;
}

/* The text itself: neither @FILE nor - means anything here. */
static int read_payload(const json_t *v, bool encoded, struct job_options *o, char **ret_error)
{
    if (!json_is_string(v))
        return wrong(ret_error, xasprintf("payload%s: must be a text", encoded ? "_base64" : ""));
    struct str text = { json_string_value(v), json_string_length(v) };
    buf_clear(&o->payload_bytes);
    o->has_payload = true;
    int r = encoded ? base64_decode(text, &o->payload_bytes)
                    : buf_add(&o->payload_bytes, text.p, text.n);
    if (r == -EINVAL)
        return wrong(ret_error, xstrdup("payload_base64: is no base64"));
    return r < 0 ? wrong(ret_error, xstrdup("the payload is too large")) : 0;
}

/* A number or a boolean as the option's text; NULL for what is neither. */
static char *as_text(const json_t *v)
{
    if (json_is_string(v))
        return xstrdup(json_string_value(v));
    if (json_is_integer(v))
        return xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(v));
    if (json_is_real(v))
        return xasprintf("%.3f", json_real_value(v));
    return NULL;
}

static int read_option(const char *key, const json_t *v, struct job_options *o, char **ret_error)
{
    const struct option_def *def = option_find(job_options, key);
    if (!def) {
        struct nearest near = nearest_to(key);
        for (const struct option_def *d = job_options; d->name; d++)
            nearest_offer(&near, d->name);
        nearest_offer(&near, "command");
        nearest_offer(&near, "payload_base64");
        cleanup(freep) char *hint = nearest_hint(&near, "");
        return wrong(ret_error, xasprintf("unknown key \"%s\"%s", key, hint));
    }
    cleanup(freep) char *text = as_text(v), *why = NULL;
    if (!text)
        return wrong(ret_error, xasprintf("%s: must be a number or a text", key));
    if (option_set(def, o, text, &why) < 0)
        return wrong(ret_error, xasprintf("%s: %s", key, why));
    return 0;
}

static int read_key(const char *key, json_t *v, struct job_options *o, char **ret_error)
{
    if (strcmp(key, "command") == 0)
        return read_command(v, o, ret_error);
    if (strcmp(key, "env") == 0)
        return read_env(v, o, ret_error);
    if (strcmp(key, "need") == 0)
        return read_needs(v, o, ret_error);
    if (strcmp(key, "payload") == 0 || strcmp(key, "payload_base64") == 0)
        return read_payload(v, key[7] == '_', o, ret_error);
    return read_option(key, v, o, ret_error);
}

int batch_read_line(struct str line, struct job_options *o, char **ret_error)
{
    json_error_t error;
    json_t *object = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &error);
    if (!object)
        return wrong(ret_error,
                     xasprintf("no JSON object: %s (column %d)", error.text, error.column));
    int r = json_is_object(object)
                ? 0
                : wrong(ret_error, xstrdup("must be a JSON object, as in {\"command\": [\"ls\"]}"));
    const char *key;
    json_t *v;
    if (r >= 0)
        json_object_foreach (object, key, v) {
            r = read_key(key, v, o, ret_error);
            if (r < 0)
                break;
        }
    json_decref(object);
    return r;
}

bool batch_is_blank(struct str line)
{
    for (size_t i = 0; i < line.n; i++)
        if (!strchr(" \t\r", line.p[i]) || !line.p[i])
            return false;
    return true;
}
