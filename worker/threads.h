/* threads.h - the threads of the thread pool, as its link's thread sees them: tasks go in, and come back by mail. */
#ifndef TERN_THREADS_H
#define TERN_THREADS_H

#include "worker/task.h"

struct threads;

/* None is started yet; at most n_wanted are to be. */
int threads_open(struct threads **ret, size_t n_wanted);
/* Tells all tasks (an array with NULLs, each with those that its thread went on to) to stop, waits a little, and abandons those
 * threads that do not leave: they free what they have at their end. */
void threads_close(struct threads *s, struct task *const *tasks, size_t n);

/* Those that have ended, and what handlers ask. */
struct mailbox *threads_ended(struct threads *s);
/* Before it is given. */
void threads_own(struct threads *s, struct task *t);
/* -errno: there is no thread for it, and none can be started; it stays the caller's. */
int threads_give(struct threads *s, struct task *t);
/* These are next behind what runs: for a thread that has ended its task, and was not told to stop it. */
void threads_give_ahead(struct threads *s, struct link *tasks);
/* Takes back those that no thread has gone on to. */
void threads_recall(struct threads *s, struct link *ret_tasks);
void threads_tell_stop(struct threads *s, struct task *t);
/* Takes the answer, if the task waits for one. */
bool threads_answer(struct threads *s, struct task *t, struct buf bytes);
/* From here on so many are wanted; one that is not leaves once it has nothing to do. */
void threads_fit(struct threads *s, size_t n);

#endif
