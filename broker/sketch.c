/* sketch.c - counts by size. */
#include "broker/sketch.h"

static size_t bucket_of(int64_t v)
{
    if (v < 4)
        return v < 0 ? 0 : (size_t)v;
    unsigned power = 63 - (unsigned)__builtin_clzll((uint64_t)v);
    return min_size((power - 1) * 4 + (((uint64_t)v >> (power - 2)) & 3), SKETCH_BUCKETS - 1);
}

/* The least number in a bucket. */
static double least_of(size_t bucket)
{
    return bucket < 4 ? (double)bucket : (double)((UINT64_C(4) + bucket % 4) << (bucket / 4 - 1));
}

static void halve(struct sketch *s)
{
    s->n = 0;
    for (size_t i = 0; i < SKETCH_BUCKETS; i++)
        s->n = (uint16_t)(s->n + (s->at[i] >>= 1));
}

void sketch_add(struct sketch *s, int64_t v)
{
    if (s->n >= 2 * SKETCH_STEP)
        halve(s);
    s->at[bucket_of(v)]++;
    s->n++;
}

int64_t sketch_quantile(const struct sketch *s, double q)
{
    double before = 0, wanted = q * s->n;
    for (size_t i = 0; i < SKETCH_BUCKETS; i++) {
        if (s->at[i] && before + s->at[i] >= wanted)
            return (int64_t)(least_of(i) + (wanted - before) / s->at[i] * (least_of(i + 1) - least_of(i)));
        before += s->at[i];
    }
    return UNSET;
}

/* ---- as bytes: name, bucket, count (two bytes, the low one first) --------------------------------- */

void sketch_save(const struct sketch *s, uint8_t name, struct buf *out)
{
    for (size_t i = 0; i < SKETCH_BUCKETS; i++) {
        const uint8_t entry[] = { name, (uint8_t)i, (uint8_t)(s->at[i] & 0xff), (uint8_t)(s->at[i] >> 8) };
        if (s->at[i])
            buf_add(out, entry, sizeof entry);
    }
}

int sketch_load(struct sketch *s, uint8_t name, struct str bytes)
{
    struct sketch read = { 0 };
    for (size_t k = 0; k + 4 <= bytes.n; k += 4) {
        const uint8_t *entry = (const uint8_t *)bytes.p + k;
        unsigned count = entry[2] + 256u * entry[3];
        if (entry[0] != name)
            continue;
        if (entry[1] >= SKETCH_BUCKETS || !count || read.at[entry[1]] || read.n + count > 2 * SKETCH_STEP)
            return -EBADMSG;
        read.at[entry[1]] = (uint16_t)count;
        read.n = (uint16_t)(read.n + count);
    }
    if (bytes.n % 4)
        return -EBADMSG;
    *s = read;
    return 0;
}
