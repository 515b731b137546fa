/* module.h - a module: what it declares, checked, and its code, where that is in this process. */
#ifndef TERN_MODULE_H
#define TERN_MODULE_H

#include "proto/message.h"
#include "worker/handler.h"

#define MODULE_HANDLERS_MOST 100u
#define MODULE_FUNCTIONS_MOST 1000u

struct module {
    char *name;                      /* owned: of its file */
    struct handler_info *info;       /* owned, one for each handler; their names stand in `names` or in the shared object */
    size_t n_handlers;
    char *names;                     /* owned; NULL */
    struct tern_handler *handlers;   /* owned; the same ones; NULL: its code is not in this process */
    struct tern_function *functions; /* owned; likewise */
    size_t n_functions;
};

/* Each of these: -EINVAL: it must not be used, and *ret_error (owned by the caller) says why. */

/* Reads the table of a shared object, which must stay loaded for as long as the module lives. */
int module_new(struct module **ret, const char *name, const struct tern_module *table, char **ret_error);
/* Loads a shared object from a descriptor, which must stay open: the loader knows it by its number. What is loaded once
 * is never unloaded, for nobody knows what it has left behind: threads, thread-local storage, exit handlers. */
int module_load(struct module **ret, const char *name, int fd, char **ret_error);
/* What was loaded in another process says of itself: h is read as hostile. */
int module_of_report(struct module **ret, const char *name, const struct msg_hello *h, char **ret_error);
void module_free(struct module *m);

const struct tern_handler *module_find(const struct module *m, struct str handler);
const struct tern_function *module_find_function(const struct module *m, struct str function);
/* What HELLO says of a handler; the name is a view. */
struct handler_info module_info(const struct tern_handler *h);

#endif
