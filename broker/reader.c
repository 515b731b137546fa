/* reader.c - a thread, two bounded queues, and an eventfd. Questions and answers change hands whole; nothing is shared. */
#include "broker/reader.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "broker/store.h"
#include "proto/base/list.h"

#define QUESTIONS_MAX 256
#define ANSWER_BYTES_MAX (16u << 20) /* with more than this not yet taken, no further question is begun */

struct question {
    struct link link;
    char routing_id[ROUTING_ID_BYTES];
    char *owner;      /* owned; NULL: all */
    struct buf bytes; /* owned: the request; once answered, the answer */
};

struct reader {
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wake; /* the thread: there is a question, or room for its answer */
    struct link questions, answers;
    size_t n;            /* of both */
    size_t answer_bytes; /* of the answers */
    uint64_t asked, seen; /* reader_ask_alive: how often; as of when the thread last came by */
    bool stop;
    struct store_reader *store; /* owned; the thread's own */
    int event;
};

static void free_question(struct question *q)
{
    free(q->owner);
    buf_fini(&q->bytes);
    free(q);
}

static struct question *wait_for_question(struct reader *r)
{
    pthread_mutex_lock(&r->lock);
    while (!r->stop && (list_empty(&r->questions) || r->answer_bytes > ANSWER_BYTES_MAX)) {
        r->seen = r->asked;
        pthread_cond_wait(&r->wake, &r->lock);
    }
    r->seen = r->asked;
    struct link *l = r->stop ? NULL : list_pop(&r->questions);
    pthread_mutex_unlock(&r->lock);
    return l ? list_entry(l, struct question, link) : NULL;
}

static void give_answer(struct reader *r, struct question *q)
{
    uint64_t one = 1;
    pthread_mutex_lock(&r->lock);
    list_add_tail(&r->answers, &q->link);
    r->answer_bytes += q->bytes.n;
    pthread_mutex_unlock(&r->lock);
    ssize_t n = write(r->event, &one, sizeof one);
    (void)n; /* an eventfd that is full is readable */
}

static void answer(struct reader *r, struct question *q)
{
    struct message m;
    const char *why;
    struct buf out;
    buf_init(&out, LIMIT_MESSAGE_BYTES);
    int good = message_decode(&m, q->bytes.p, q->bytes.n, &why);
    assert(good >= 0); /* it was encoded here */
    store_reader_answer(r->store, &m, str_of(q->owner), &out);
    message_fini(&m);
    buf_fini(&q->bytes);
    q->bytes = out;
}

static void *work(void *arg)
{
    struct reader *r = arg;
    for (struct question *q; (q = wait_for_question(r));) {
        answer(r, q);
        give_answer(r, q);
    }
    return NULL;
}

int reader_start(struct reader **ret, const char *db_path, char **ret_error)
{
    struct reader *r = xcalloc(1, sizeof *r);
    list_init(&r->questions);
    list_init(&r->answers);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->wake, NULL);
    int error = store_reader_open(&r->store, db_path, ret_error);
    r->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (error >= 0)
        error = -pthread_create(&r->thread, NULL, work, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error < 0) {
        if (!*ret_error)
            *ret_error = xasprintf("cannot start the reader: %s", strerror(-error));
        store_reader_close(r->store);
        closep(&r->event);
        free(r);
        return error;
    }
    pthread_setname_np(r->thread, "reader");
    *ret = r;
    return 0;
}

struct reader *reader_stop(struct reader *r)
{
    if (!r)
        return NULL;
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    for (struct link *l; (l = list_pop(&r->questions)) || (l = list_pop(&r->answers));)
        free_question(list_entry(l, struct question, link));
    store_reader_close(r->store);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->wake);
    closep(&r->event);
    free(r);
    return NULL;
}

void reader_ask_alive(struct reader *r)
{
    pthread_mutex_lock(&r->lock);
    r->asked++;
    pthread_cond_signal(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

bool reader_is_alive(struct reader *r)
{
    pthread_mutex_lock(&r->lock);
    bool alive = r->seen == r->asked;
    pthread_mutex_unlock(&r->lock);
    return alive;
}

int reader_fd(const struct reader *r) { return r->event; }

/* One connection may not take the place of all others. */
static bool is_room_for(const struct reader *r, const char *routing_id)
{
    size_t n = 0;
    list_each (l, &r->questions)
        n += memcmp(list_entry(l, struct question, link)->routing_id, routing_id, ROUTING_ID_BYTES) == 0;
    return r->n < QUESTIONS_MAX && n < LIMIT_QUERIES_OPEN;
}

int reader_ask(struct reader *r, const char *routing_id, uint64_t epoch, uint64_t session, const struct message *m,
               struct str owner)
{
    struct question *q = xcalloc(1, sizeof *q);
    struct message copy = *m;
    copy.epoch = epoch;
    copy.session = session;
    buf_init(&q->bytes, LIMIT_MESSAGE_BYTES);
    int error = message_encode(&q->bytes, &copy);
    q->owner = xstrndup(owner);
    memcpy(q->routing_id, routing_id, ROUTING_ID_BYTES);
    pthread_mutex_lock(&r->lock);
    if (error >= 0 && !is_room_for(r, q->routing_id))
        error = -EBUSY;
    if (error >= 0) {
        r->n++;
        list_add_tail(&r->questions, &q->link);
        pthread_cond_signal(&r->wake);
    }
    pthread_mutex_unlock(&r->lock);
    if (error < 0)
        free_question(q);
    return error;
}

bool reader_take(struct reader *r, char *ret_routing_id, struct buf *ret_bytes)
{
    uint64_t count;
    ssize_t n = read(r->event, &count, sizeof count);
    (void)n; /* it only wakes */
    pthread_mutex_lock(&r->lock);
    struct link *l = list_pop(&r->answers);
    struct question *q = l ? list_entry(l, struct question, link) : NULL;
    if (q) {
        r->n--;
        r->answer_bytes -= q->bytes.n;
        pthread_cond_signal(&r->wake);
    }
    pthread_mutex_unlock(&r->lock);
    if (!q)
        return false;
    memcpy(ret_routing_id, q->routing_id, ROUTING_ID_BYTES);
    buf_add(ret_bytes, q->bytes.p, q->bytes.n);
    free_question(q);
    return true;
}
