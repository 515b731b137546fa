/* modules_child.h - modules in a child: what the worker handed to it is loaded when its first job asks for it, so that a
 * module costs nothing, and breaks nothing, where it is not used. */
#ifndef TERN_MODULES_CHILD_H
#define TERN_MODULES_CHILD_H

#include "proto/base/base.h"

/* Waits for what modules_hand sends; from here on handlers_find loads what it does not know. */
int modules_accept(int socket);
/* Why a module was not loaded, static; NULL: none was asked for in vain. */
const char *modules_why_not(void);
/* Are the copies that are still to be loaded there? A handler may have closed them. */
bool modules_are_there(void);

/* The throw-away child: loads the one copy that it is handed, says what it declares, and ends. */
_Noreturn void modules_probe(int socket);

#endif
