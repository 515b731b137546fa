/* options.c - the one option parser: looks up the table, sets the field. */
#include "proto/base/options.h"

#include "proto/base/conf.h"
#include "proto/base/nearest.h"
#include "proto/base/parse.h"

const struct option_def *option_find(const struct option_def *options, const char *name)
{
    for (const struct option_def *o = options; o && o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}

static int set_text(char **field, const char *text)
{
    char *copy = xstrdup(text);
    free(*field);
    *field = copy;
    return 0;
}

/* For durations and sizes; a max of 0 is no bound. */
static int set_bounded(const struct option_def *o, int64_t v, int64_t *field, char **ret_error)
{
    char least[FORMAT_BYTES], most[FORMAT_BYTES];
    char *(*format)(int64_t, char *) = o->type == OPTION_SIZE ? format_size : format_duration;
    if (o->max && (v < o->min || v > o->max)) {
        *ret_error = v < o->min ? xasprintf("must be at least %s", format(o->min, least))
                                : xasprintf("must be at most %s", format(o->max, most));
        return -EINVAL;
    }
    *field = v;
    return 0;
}

static int set_measure(const struct option_def *o, int64_t *field, const char *text,
                       char **ret_error)
{
    int64_t v;
    int r = o->type == OPTION_SIZE ? parse_size(text, &v, ret_error)
                                   : parse_duration(text, &v, ret_error);
    return r < 0 ? r : set_bounded(o, v, field, ret_error);
}

static int set_field(const struct option_def *o, void *field, const char *text, char **ret_error)
{
    switch (o->type) {
    case OPTION_FLAG:
        return parse_bool(text, field, ret_error);
    case OPTION_TEXT:
        return set_text(field, text);
    case OPTION_NUMBER:
        return parse_number(text, o->min, o->max, field, ret_error);
    case OPTION_DURATION:
    case OPTION_SIZE:
        return set_measure(o, field, text, ret_error);
    case OPTION_TIME:
        return parse_time(text, field, ret_error);
    case OPTION_CALL:
        return o->set(field, text, ret_error);
    }
    return -EINVAL;
}

int option_set(const struct option_def *o, void *to, const char *text, char **ret_error)
{
    return set_field(o, (char *)to + o->offset, text, ret_error);
}

static const struct option_def *find(const struct option_group *groups, size_t n_groups,
                                     const char *name, void **ret_to)
{
    for (size_t i = 0; i < n_groups; i++) {
        const struct option_def *o = option_find(groups[i].options, name);
        if (o) {
            *ret_to = groups[i].to;
            return o;
        }
    }
    return NULL;
}

static char *hint(const struct option_group *groups, size_t n_groups, const char *name,
                  const char *prefix)
{
    struct nearest near = nearest_to(name);
    for (size_t i = 0; i < n_groups; i++)
        for (const struct option_def *o = groups[i].options; o && o->name; o++)
            nearest_offer(&near, o->name);
    return nearest_hint(&near, prefix);
}

static int unknown(const struct option_group *groups, size_t n_groups, const char *name,
                   char **ret_error)
{
    cleanup(freep) char *near = hint(groups, n_groups, name, "--");
    *ret_error = xasprintf("unknown option --%s%s", name, near);
    return -EINVAL;
}

/* One option at args[0]; next: what follows, or NULL. Returns 1 when that was used as the value,
 * else 0. */
static int take_option(const struct option_group *groups, size_t n_groups, const char *arg,
                       const char *next, char **ret_error)
{
    const char *equals = strchr(arg, '=');
    cleanup(freep) char *name =
        xstrndup((struct str){ arg + 2, equals ? (size_t)(equals - arg - 2) : strlen(arg) - 2 });
    void *to = NULL;
    const struct option_def *o = find(groups, n_groups, name, &to);
    if (!o)
        return unknown(groups, n_groups, name, ret_error);
    if (o->type == OPTION_FLAG && equals) {
        *ret_error = xasprintf("option --%s takes no value", name);
        return -EINVAL;
    }
    const char *value = o->type == OPTION_FLAG ? "yes" : equals ? equals + 1 : next;
    if (!value) {
        *ret_error = xasprintf("option --%s needs a value: --%s %s", name, name, o->value);
        return -EINVAL;
    }
    cleanup(freep) char *why = NULL;
    int r = option_set(o, to, value, &why);
    if (r < 0) {
        *ret_error = xasprintf("--%s: %s", name, why);
        return r;
    }
    return value == next;
}

int options_parse(const struct option_group *groups, size_t n_groups, int n, char **args,
                  bool stop_at_operand, char **ret_error)
{
    int operands = 0;
    for (int i = 0; i < n; i++) {
        char *arg = args[i];
        if (arg[0] != '-' || !arg[1]) {
            if (stop_at_operand) {
                memmove(args, args + i, (size_t)(n - i) * sizeof *args);
                return n - i;
            }
            args[operands++] = arg;
            continue;
        }
        if (strcmp(arg, "--") == 0) {
            memmove(args + operands, args + i + 1, (size_t)(n - i - 1) * sizeof *args);
            return operands + n - i - 1;
        }
        if (arg[1] != '-') {
            *ret_error = xasprintf("unknown option %s; options begin with two dashes", arg);
            return -EINVAL;
        }
        int r = take_option(groups, n_groups, arg, i + 1 < n ? args[i + 1] : NULL, ret_error);
        if (r < 0)
            return r;
        i += r;
    }
    return operands;
}

const char *options_peek(int n, char *const *args, const char *name)
{
    const char *found = NULL;
    size_t n_name = strlen(name);
    for (int i = 0; i < n && strcmp(args[i], "--") != 0; i++) {
        if (strncmp(args[i], "--", 2) != 0 || strncmp(args[i] + 2, name, n_name) != 0)
            continue;
        if (args[i][2 + n_name] == '=')
            found = args[i] + 3 + n_name;
        else if (!args[i][2 + n_name] && i + 1 < n)
            found = args[++i];
    }
    return found;
}

struct loading {
    const struct option_group *groups; /* borrowed */
    size_t n_groups;
    const char *section; /* borrowed */
    options_other *set_other; /* or NULL */
    void *to;                 /* its first argument */
};

static int load_key(void *context, const char *section, const char *key, const char *value,
                    char **ret_error)
{
    const struct loading *l = context;
    if (section[0] && strcmp(section, l->section) != 0) {
        int taken = l->set_other ? l->set_other(l->to, section, key, value, ret_error) : 0;
        if (taken)
            return taken;
        *ret_error = xasprintf("unknown section [%s]; it must be [%s]", section, l->section);
        return -EINVAL;
    }
    void *to = NULL;
    const struct option_def *o = find(l->groups, l->n_groups, key, &to);
    if (!o || o->not_a_key) {
        cleanup(freep) char *near = hint(l->groups, l->n_groups, key, "");
        *ret_error = xasprintf("unknown key %s%s", key, near);
        return -EINVAL;
    }
    cleanup(freep) char *why = NULL;
    int r = option_set(o, to, value, &why);
    if (r < 0)
        *ret_error = xasprintf("%s: %s", key, why);
    return r;
}

int options_load(const struct option_group *groups, size_t n_groups, const char *path,
                 const char *section, char **ret_error)
{
    return options_load_sections(groups, n_groups, path, section, NULL, NULL, ret_error);
}

int options_load_sections(const struct option_group *groups, size_t n_groups, const char *path, const char *section,
                          options_other *set_other, void *to, char **ret_error)
{
    struct loading l = { groups, n_groups, section, set_other, to };
    return conf_load(path, load_key, &l, ret_error);
}

void options_fini(const struct option_def *options, void *to)
{
    for (const struct option_def *o = options; o && o->name; o++)
        if (o->type == OPTION_TEXT) {
            char **field = (char **)(void *)((char *)to + o->offset);
            free(TAKE(*field));
        }
}

void options_print_help(FILE *f, const struct option_def *options)
{
    for (const struct option_def *o = options; o && o->name; o++) {
        cleanup(freep) char *left =
            xasprintf("--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        fprintf(f, "  %-28s%s%s\n", left, strlen(left) >= 28 ? "  " : "", o->help);
    }
}
