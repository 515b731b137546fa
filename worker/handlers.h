/* handlers.h - the handlers that this worker has, by name. Fixed before any pool starts; safe to
 * read from any thread. */
#ifndef TERN_HANDLERS_H
#define TERN_HANDLERS_H

#include "proto/message.h"
#include "worker/module.h"

/* only: names separated by commas, or NULL for all; with_exec: whether `exec` is among them. An
 * unknown name: -ENOENT, named in *ret_error (owned by the caller). */
int handlers_init(const char *only, bool with_exec, char **ret_error);
/* The same with other handlers than the built-in ones. all: NULL at its end; what it points to must
 * stay. */
int handlers_init_from(const struct tern_handler *const *all, const char *only, bool with_exec, char **ret_error);
/* Those of a module as well; it must stay. -EEXIST: one of its names is taken, and none is added; *ret_error (owned by
 * the caller) says which. */
int handlers_add_module(const struct module *m, char **ret_error);
/* Which guarded addresses `http` may connect to: `loopback`, `link-local`, separated by commas;
 * none without this call. An unknown word: -EINVAL, and nothing changes. Before any pool starts,
 * and in every process that runs `http`. */
int handlers_allow_http(const char *list);
const struct tern_handler *handlers_find(struct str name);
/* The function of that name in the module that the handler is of, or NULL. */
const struct tern_function *handlers_find_function(struct str handler, struct str function);
/* What HELLO says of them: *ret_n records, borrowed. */
const struct handler_info *handlers_info(size_t *ret_n);

/* `exec` is declared here but is no function: commands are run by command.c (child.c, launcher.c).
 * */
extern const struct tern_handler handler_exec, handler_http, handler_sleep, handler_echo, handler_sha256;
static inline bool handler_is_exec(struct str name) { return str_is(name, "exec"); }

#endif
