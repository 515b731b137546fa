/* fault.c - lots, a stream of them for each kind. */
#include "tests/sim/fault.h"

#define NUMBERS_A_KIND 65536u

const char *fault_text(enum fault kind)
{
    static const char *const texts[N_FAULTS] = {
#define FAULT_TEXT(NAME, text) [FAULT_##NAME] = text,
        FAULTS(FAULT_TEXT)
#undef FAULT_TEXT
    };
    return texts[kind];
}

/* Every fourth world has a broker that dies and nothing else: there P5 can be held to the letter. */
static void choose(struct faults *f, struct rng *rng)
{
    for (int kind = 0; kind < N_FAULTS; kind++)
        f->may[kind] = f->seed % 4 ? rng_below(rng, 2) : kind <= FAULT_POWER_FAILS;
}

void faults_init(struct faults *f, uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    *f = (struct faults){ .seed = seed };
    choose(f, &rng);
    for (int kind = 0; kind < N_FAULTS; kind++)
        rng_init(&f->lots[kind], rng_next(&rng));
}

static bool is_wanted(const struct fault_list *only, uint32_t number)
{
    for (size_t i = 0; only && i < only->n; i++)
        if (only->at[i] == number)
            return true;
    return !only;
}

struct rng *fault_draw(struct faults *f, enum fault kind, unsigned n)
{
    if (!f->may[kind] || f->over || rng_below(&f->lots[kind], n))
        return NULL;
    uint32_t number = (uint32_t)kind * NUMBERS_A_KIND + f->drawn[kind]++;
    if (!is_wanted(f->only, number))
        return NULL;
    if (f->happened && f->happened->n < FAULT_EVENTS_MAX)
        f->happened->at[f->happened->n++] = number;
    rng_init(&f->details, f->seed ^ ((uint64_t)number << 32));
    rng_next(&f->details);
    return &f->details;
}
