/* guard_box.c - stands between libzmq and libsodium, for guard.c: a peer with a good key may be hostile too, and what it sends is
 * seen only where its boxes are opened. A box that holds what is none of tern's is one that cannot be opened: its connection ends.
 *
 * - INITIATE, the end of the handshake, may name the connection: nobody may choose a name (see guard.c);
 * - a message's first byte says whether it has more parts, or is a command: tern's peers send neither.
 *
 * Only libzmq calls these, in its I/O thread. A program without guard_start may be linked to them too; there nothing is refused. */
#include "proto/guard_box.h"

#include <dlfcn.h>
#include <stdatomic.h>

#include "proto/base/base.h"

#define ZERO_BYTES 32u /* before what was in a box of the older functions */
#define MORE_OR_COMMAND 3u

typedef int open_fn(unsigned char *m, const unsigned char *c, unsigned long long n, const unsigned char *nonce,
                    const unsigned char *public, const unsigned char *secret);
typedef int open_afternm_fn(unsigned char *m, const unsigned char *c, unsigned long long n, const unsigned char *nonce,
                            const unsigned char *k);

open_fn crypto_box_open;
open_afternm_fn crypto_box_open_afternm, crypto_box_open_easy_afternm;

static struct {
    open_fn *open;
    open_afternm_fn *open_afternm, *open_easy_afternm;
} sodium;

static atomic_bool is_on;

/* POSIX lets dlsym's pointer be called. */
static void find(void *ret_function, const char *name)
{
    void *p = dlsym(RTLD_NEXT, name);
    memcpy(ret_function, &p, sizeof p);
}

__attribute__((constructor)) static void find_sodium(void)
{
    find(&sodium.open, "crypto_box_open");
    find(&sodium.open_afternm, "crypto_box_open_afternm");
    find(&sodium.open_easy_afternm, "crypto_box_open_easy_afternm");
}

void guard_box_start(void) { atomic_store(&is_on, true); }

/* Anywhere, so that it cannot be hidden: `Identity` with its length before it, and after it a length that is not 0. */
bool guard_names_itself(const void *bytes, size_t n)
{
    static const char property[] = "\10Identity", none[4] = "";
    const char *at = bytes, *end = at + n;
    while ((at = memmem(at, (size_t)(end - at), property, strlen(property)))) {
        at += strlen(property);
        if (end - at < (ssize_t)sizeof none || memcmp(at, none, sizeof none) != 0)
            return true;
    }
    return false;
}

int crypto_box_open(unsigned char *m, const unsigned char *c, unsigned long long n, const unsigned char *nonce,
                    const unsigned char *public, const unsigned char *secret)
{
    int r = sodium.open ? sodium.open(m, c, n, nonce, public, secret) : -1;
    return r == 0 && is_on && guard_names_itself(m, (size_t)n) ? -1 : r;
}

int crypto_box_open_afternm(unsigned char *m, const unsigned char *c, unsigned long long n, const unsigned char *nonce,
                            const unsigned char *k)
{
    int r = sodium.open_afternm ? sodium.open_afternm(m, c, n, nonce, k) : -1;
    return r == 0 && is_on && n > ZERO_BYTES && (m[ZERO_BYTES] & MORE_OR_COMMAND) ? -1 : r;
}

int crypto_box_open_easy_afternm(unsigned char *m, const unsigned char *c, unsigned long long n, const unsigned char *nonce,
                                 const unsigned char *k)
{
    int r = sodium.open_easy_afternm ? sodium.open_easy_afternm(m, c, n, nonce, k) : -1;
    return r == 0 && is_on && n && (m[0] & MORE_OR_COMMAND) ? -1 : r;
}
