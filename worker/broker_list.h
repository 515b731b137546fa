/* broker_list.h - the brokers that a worker serves, each with its key; and which of them a job came from, as its commands are told. */
#ifndef TERN_BROKER_LIST_H
#define TERN_BROKER_LIST_H

#include "proto/addresses.h"
#include "proto/key.h"

struct broker_list {
    struct broker_entry {
        char *address;  /* owned; as written */
        bool keyed;     /* the next one counts */
        struct key key; /* the broker's */
    } at[LIMIT_BROKERS];
    size_t n;
    struct key_pair own;
};

/* What a person said. Each of the keys may be NULL. */
struct broker_words {
    const char *addresses, *own_key, *broker_keys;
    bool insecure_loopback;
};

/* Of each TCP address: both keys, or it is refused. < 0: *ret_status is the exit status, and *ret_error says why, owned by the caller.
 * To be freed in any case. */
int broker_list_read(struct broker_list *l, const struct broker_words *w, int *ret_status, char **ret_error);
void broker_list_fini(struct broker_list *l);

/* ---- told to commands -------------------------------------------------------------------------- */

/* From here on they are told. */
void broker_list_know(const struct broker_list *l);
void broker_list_forget(void);
/* Several of them as arguments of the zygote, each owned by the caller; returns how many. There broker_list_know_again takes them, and
 * the zygote's children know them as well. */
size_t broker_list_arguments(char *ret[static 2]);
int broker_list_know_again(const char *addresses, const char *keys, char **ret_error);

#define BROKER_LIST_NUMBER "TERN_BROKER_NUMBER"
#define BROKER_LIST_TEXTS 2

/* Of several, for the environment of a command of the one at this place; each is the caller's. What `tern` in there is told, unless the
 * job says otherwise; returns how many. And which one it is; NULL. With one broker commands are told nothing. */
size_t broker_list_environ(size_t place, char *ret[static BROKER_LIST_TEXTS]);
char *broker_list_number(size_t place);
/* For log_about, valid until it is asked for the next; NULL with one broker. On the link's thread. */
const char *broker_list_pair(size_t place);

#endif
