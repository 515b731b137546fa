/* roles.h - which message is for whom to send: one table. */
#ifndef TERN_ROLES_H
#define TERN_ROLES_H

#include "broker/grant.h"
#include "proto/message.h"

/* party: what the peer is in this session. A worker's session is a worker's alone, whatever else its user may. */
bool role_may_send(enum role party, enum message_type type);
/* Is it an admin's message, which a client has no right to? Else it is one that makes no sense from this peer. */
bool role_is_for_admins(enum message_type type);

#endif
