/* handlers.h - the handlers that this process has, by name. The built-in ones are there before any pool starts; those of
 * modules come and go. On the link's thread only; what is found stays valid for ever. */
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
/* Which guarded addresses `http` may connect to: `loopback`, `link-local`, separated by commas;
 * none without this call. An unknown word: -EINVAL, and nothing changes. Before any pool starts,
 * and in every process that runs `http`. */
int handlers_allow_http(const char *list);
/* A handler of a runner (runners.h): it has no function here. Before any module. 1; 0: it was not chosen; -EEXIST: there is
 * one of this name. */
int handlers_add(const struct handler_info *h, size_t runner);
/* The number of the runner that has it; 0: it is no runner's. */
size_t handlers_runner(struct str name);
const struct tern_handler *handlers_find(struct str name);
/* The function of that name in the module that the handler is of, or NULL. */
const struct tern_function *handlers_find_function(struct str handler, struct str function);
/* ---- modules ---------------------------------------------------------------------------------- */

/* Before handlers_init: a name that it does not know may be a module's. */
void handlers_with_modules(void);
/* Those of a module as well, as far as they are chosen. -EEXIST: one of its names is taken, and none is added; *ret_error
 * (owned by the caller) says which. Where the module's code is not in this process, handlers_find does not find them. */
int handlers_add_module(const struct module *m, char **ret_error);
/* All that handlers_add_module has added. */
void handlers_forget_modules(void);
/* Asked for a handler that is not there: adds its module, or returns < 0. */
typedef int handlers_load_fn(struct str name);
void handlers_set_load(handlers_load_fn *load);
/* The first name that was chosen and that nobody has, owned by the caller; or NULL. */
char *handlers_unknown(void);

/* What HELLO says of them: *ret_n records, borrowed until a module is added or forgotten. */
const struct handler_info *handlers_info(size_t *ret_n);

/* `exec` is declared here but is no function: commands are run by command.c (child.c, launcher.c).
 * */
extern const struct tern_handler handler_exec, handler_http, handler_sleep, handler_echo, handler_sha256;
/* The blocking form of one of these: it leaves its thread or process as it was. */
static inline bool handler_is_built_in(int (*blocking)(struct tern_job *))
{
    return blocking == handler_echo.blocking || blocking == handler_sleep.blocking || blocking == handler_sha256.blocking ||
           blocking == handler_http.blocking;
}
static inline bool handler_is_exec(struct str name) { return str_is(name, "exec"); }

#endif
