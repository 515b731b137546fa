/* grant.h - what a peer may: its name, its role, and how narrow that is. Read from one small file a key (grants.h); on a Unix
 * socket, one of two that are built in.
 *
 *     [peer]
 *     name = ada                       who it is: the owner of its jobs is key:ada
 *     role = client                    client, worker or admin
 *     key = 64 hexadecimal digits
 *     queues = mail,reports            these only; all when not given
 *     handlers = resize,thumbnail      these only; when not given all but exec
 *     exec = yes                       and commands, which can do whatever the worker's user can
 *     sessions = 1000                  connections at a time
 *     rate = 0                         jobs a second, and as many at once; 0: no limit
 *     bytes = 0                        payload a second, and as much at once; 0: no limit
 *     open-jobs = 0                    jobs that are not finished; 0: no limit. The least that a key of this name has
 */
#ifndef TERN_GRANT_H
#define TERN_GRANT_H

#include "proto/base/options.h"
#include "proto/key.h"

enum role { ROLE_CLIENT, ROLE_ADMIN, ROLE_WORKER };
#define N_ROLES 3

struct grant {
    /* as in the file */
    char *name, *role_text, *key_text, *queues, *handlers; /* owned */
    bool exec;
    int64_t sessions, rate, bytes, open_jobs;

    /* made of it */
    enum role role;
    struct key key;
    char digits[KEY_DIGITS + 1];
    bool may_work; /* as a worker */
};

/* Of a process on the Unix socket: root's or the broker's own user's, that of --worker-user, or anybody's. Static. */
const struct grant *grant_of_user(bool admin, bool may_work);

extern const struct option_def grant_options[]; /* of struct grant */
void grant_init(struct grant *g);
void grant_fini(struct grant *g);
/* Fills in the second half. -EINVAL. */
int grant_check(struct grant *g, char **ret_error);
int role_parse(const char *text);
const char *role_name(enum role role);

/* Is it the same in all that counts? */
bool grant_equal(const struct grant *a, const struct grant *b);

bool grant_allows_queue(const struct grant *g, struct str queue);
bool grant_allows_handler(const struct grant *g, struct str handler);
/* NULL, or why this peer may not submit to them; owned by the caller. */
char *grant_refuses_job(const struct grant *g, struct str queue, struct str handler);

#endif
