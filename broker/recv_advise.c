/* recv_advise.c - what was measured, and whether the tags are right. Answered from memory, a page at a time. */
#include "broker/recv.h"

#include "broker/advise.h"

#define MEASURES_A_PAGE 200 /* of up to N_TAGS rows each */

struct page {
    struct advice *rows;         /* owned */
    struct advice_given *given;  /* owned: their texts */
    size_t n;
};

/* Named by its handler, or as a command's program; without a name: all. Which programs others run is for admins. */
static bool is_asked_for(const struct measure *m, struct str name, bool admin)
{
    if (m->program && !admin)
        return false;
    return !name.p || str_is(name, m->handler) || (m->program && str_is(name, m->program));
}

/* The declaration of any worker that is connected, and the slots of all that have it. */
static void look_at_workers(const struct broker *b, const char *handler, struct advise_case *c)
{
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));) {
        const struct worker_handler *h = w->peer ? worker_find_handler(w, handler) : NULL;
        if (!h)
            continue;
        c->handler = h;
        for (int k = 0; k < N_POOLS; k++)
            c->slots[k] += w->pools[k].slots;
    }
}

/* A share of CPU time, in thousandths. */
static int64_t thousandths(double share) { return (int64_t)(1000 * share + 0.5); }

static struct advice row_of(const struct measure *m, const struct advise_case *c, const struct advice_given *g)
{
    const struct tally *t = c->tally;
    struct measure_means means = tally_means(t);
    bool declared = c->handler && c->handler->tag == c->asked;
    return (struct advice){
        .handler = str_of(m->handler), .program = str_of(m->program), .tag = c->asked,
        .tag_by = c->asked == TAG_AUTO ? CHOSEN_BY_AUTO : declared ? CHOSEN_BY_HANDLER : CHOSEN_BY_JOB,
        .pool = t->pool, .runs = t->runs, .last_ms = t->last_ms, .wall_us = (int64_t)means.wall_us,
        .cpu_share = thousandths(means.share), .wall_p50_us = sketch_quantile(&t->wall, 0.5),
        .wall_p99_us = sketch_quantile(&t->wall, 0.99), .wait_p50_us = sketch_quantile(&t->wait, 0.5),
        .wait_p99_us = sketch_quantile(&t->wait, 0.99), .memory_p50_kb = sketch_quantile(&t->memory, 0.5),
        .memory_p99_kb = sketch_quantile(&t->memory, 0.99), .verdict = str_of(g->verdict), .better = g->better,
        .why = str_of(g->why), .gain = str_of(g->gain), .most_now = g->most_now, .most_then = g->most_then,
    };
}

static void add_rows(struct broker *b, const struct measure *m, struct page *page)
{
    struct advise_case c = { .name = m->program ? m->program : m->handler, .runs = m->runs, .decided = m->decided };
    look_at_workers(b, m->handler, &c);
    for (int tag = 0; tag < N_TAGS; tag++) {
        c.tally = m->tallies[tag];
        c.asked = (enum tag)tag;
        if (!c.tally)
            continue;
        page->given[page->n] = advise(&c);
        page->rows[page->n] = row_of(m, &c, &page->given[page->n]);
        page->n++;
    }
}

static bool is_known(const struct broker *b, struct str name, bool admin)
{
    for (size_t i = 0; i < b->classes.measures.n; i++)
        if (is_asked_for(b->classes.measures.all[i], name, admin))
            return true;
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));)
        if (w->peer && strmap_find(&w->handler_by_name, name))
            return true;
    return false;
}

static void send_page(struct broker *b, struct peer *p, const struct msg_advise *asked, struct page *page)
{
    const struct measures *all = &b->classes.measures;
    struct message answer;
    message_init(&answer, MSG_ADVICE);
    size_t i = asked->from < all->n ? asked->from : all->n;
    for (size_t n = 0; i < all->n && n < MEASURES_A_PAGE; i++)
        if (is_asked_for(all->all[i], asked->handler, p->admin)) {
            add_rows(b, all->all[i], page);
            n++;
        }
    answer.advice.req = asked->req;
    answer.advice.rows = page->rows;
    answer.advice.n_rows = page->n;
    answer.advice.next = i < all->n ? i : 0;
    broker_send(b, p, &answer);
}

void recv_advise(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    (void)now;
    const struct msg_advise *asked = &m->advise;
    if (asked->handler.p && !is_known(b, asked->handler, p->admin)) {
        broker_send_error(b, p, asked->req, CODE_NOT_FOUND, "no handler and no program of a command is called %.*s",
                          (int)min_size(asked->handler.n, LIMIT_NAME_BYTES), asked->handler.p);
        return;
    }
    struct page page = { xcalloc(MEASURES_A_PAGE * N_TAGS, sizeof *page.rows), xcalloc(MEASURES_A_PAGE * N_TAGS, sizeof *page.given), 0 };
    send_page(b, p, asked, &page);
    for (size_t i = 0; i < page.n; i++) {
        free(page.given[i].why);
        free(page.given[i].gain);
    }
    free(page.rows);
    free(page.given);
}
