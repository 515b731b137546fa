/* list.h - an intrusive, circular, doubly linked list. The head is a link of its own; nothing is allocated. */
#ifndef TERN_LIST_H
#define TERN_LIST_H

#include "proto/base/base.h"

struct link {
    struct link *prev, *next;
};

static inline void list_init(struct link *l) { l->prev = l->next = l; }
static inline bool list_empty(const struct link *l) { return l->next == l; }

static inline void list_add_tail(struct link *head, struct link *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

/* Safe to repeat: a removed link is a list of its own. */
static inline void list_remove(struct link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}

/* All of from, in its order, goes to the end of head. */
static inline void list_take_all(struct link *head, struct link *from)
{
    if (list_empty(from))
        return;
    from->next->prev = head->prev;
    head->prev->next = from->next;
    from->prev->next = head;
    head->prev = from->prev;
    list_init(from);
}

static inline struct link *list_pop(struct link *head)
{
    struct link *l = head->next;
    if (l == head)
        return NULL;
    list_remove(l);
    return l;
}

#define list_entry(l, type, member) container_of(l, type, member)
#define list_each(l, head) for (struct link *l = (head)->next; l != (head); l = l->next)
/* The current link may be removed. */
#define list_each_safe(l, head)                                                                    \
    for (struct link *l = (head)->next, *l##_next = l->next; l != (head);                          \
         l = l##_next, l##_next = l->next)

#endif
