/* roles.c - the table. What is not in it is for nobody to send: the broker's own messages, and numbers that are none.
 *
 * Whose jobs a message may touch is decided where it is read: a client's are its own (ranges_owner_for), an admin's all; a worker
 * has what it leases (lease_find). */
#include "broker/roles.h"

enum { C = 1 << ROLE_CLIENT, A = 1 << ROLE_ADMIN, W = 1 << ROLE_WORKER };

static const unsigned char table[MESSAGE_TYPES] = {
    [MSG_HELLO] = C | A | W,
    [MSG_BYE] = C | A | W,
    [MSG_BEAT] = C | A | W,

    [MSG_SUBMIT] = C | A,
    [MSG_WAIT] = C | A,
    [MSG_UNWAIT] = C | A,
    [MSG_CANCEL] = C | A,
    [MSG_RETRY] = C | A,
    [MSG_REMOVE] = C | A,
    [MSG_LIST] = C | A,
    [MSG_FETCH] = C | A | W, /* a worker: of the children of what it runs */
    [MSG_HISTORY] = C | A,
    [MSG_WHY] = C | A,
    [MSG_QUEUES] = C | A,
    [MSG_WORKERS] = C | A,
    [MSG_STATS] = C | A,
    [MSG_ADVISE] = C | A,

    [MSG_PAUSE] = A,
    [MSG_DRAIN] = A | W, /* a worker says it of itself */

    [MSG_STARTED] = W,
    [MSG_RESULT] = W,
    [MSG_GIVEN] = W,
    [MSG_CHECKPOINT] = W,
    [MSG_PROGRESS] = W,
    [MSG_SPAWN] = W,
    [MSG_AWAIT] = W,
};

bool role_may_send(enum role party, enum message_type type)
{
    return (unsigned)type < MESSAGE_TYPES && (table[type] & 1u << party);
}

bool role_is_for_admins(enum message_type type)
{
    return role_may_send(ROLE_ADMIN, type) && !role_may_send(ROLE_CLIENT, type);
}
