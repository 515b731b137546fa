/* mailbox.h - hands things from many threads to one, without a lock, with one wake-up for many.
 *
 * A stack that is pushed with compare-and-swap and taken whole (Treiber 1986): as nobody pops a
 * single one, there is no ABA problem. What is put belongs to the mailbox until it is taken. */
#ifndef TERN_MAILBOX_H
#define TERN_MAILBOX_H

#include "proto/base/base.h"

struct mail {
    struct mail *next;
};

struct mailbox {
    struct mail *newest; /* only through __atomic builtins */
    int fd;              /* eventfd: readable when something is there; -1 when the owner is woken in another way */
};

int mailbox_open(struct mailbox *b, bool with_fd);
/* What is still inside is the caller's to take first. */
void mailbox_close(struct mailbox *b);
/* From any thread. True when it was empty: who has no eventfd must wake the owner then. */
bool mailbox_put(struct mailbox *b, struct mail *m);
/* Wakes the owner, who finds nothing new. From any thread; for one with an eventfd. */
void mailbox_wake(struct mailbox *b);
/* By the owner: all there is, in order of arrival, linked by next; NULL when empty. */
struct mail *mailbox_take_all(struct mailbox *b);

#endif
