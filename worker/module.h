/* module.h - what a module declares: its table (handler.h), checked and copied. */
#ifndef TERN_MODULE_H
#define TERN_MODULE_H

#include "proto/message.h"
#include "worker/handler.h"

struct module {
    char *name;                      /* owned: of its file */
    struct tern_handler *handlers;   /* owned; the texts in it stand in the shared object */
    struct tern_function *functions; /* owned; likewise */
    size_t n_handlers, n_functions;
};

/* Reads the table of a shared object, which must stay loaded for as long as the module lives. -EINVAL: it must not be
 * used, and *ret_error (owned by the caller) says why. */
int module_new(struct module **ret, const char *name, const struct tern_module *table, char **ret_error);
void module_free(struct module *m);
const struct tern_handler *module_find(const struct module *m, struct str handler);
const struct tern_function *module_find_function(const struct module *m, struct str function);

#endif
