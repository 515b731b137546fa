/* libtern.c - the client object: made, connected, asked for its error, freed. */
#include "client/libtern.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

#include "proto/base/clock.h"

int64_t client_mono_ms(void) { return clock_mono_us() / 1000; }

struct tern_client *tern_client_new(void)
{
    struct tern_client *c = xcalloc(1, sizeof *c);
    c->error = xstrdup("");
    c->silence_ms = 5000;
    c->broker_timeout_ms = 30000;
    c->interrupt_fd = -1;
    c->next_req = 1;
    c->next_seq = 1;
    c->heartbeat_ms = 2000;
    c->lost_after_ms = 10000;
    list_init(&c->open);
    list_init(&c->submits);
    ssize_t n = getrandom(c->instance, sizeof c->instance, 0);
    assert(n == (ssize_t)sizeof c->instance);
    uint64_t seed;
    memcpy(&seed, c->instance, sizeof seed);
    rng_init(&c->rng, seed);
    return c;
}

static void say_bye(struct tern_client *c)
{
    struct message m;
    message_init(&m, MSG_BYE);
    if (c->state == SESSION_WELCOME)
        session_send(c, &m);
}

void tern_client_free(struct tern_client *c)
{
    if (!c)
        return;
    say_bye(c);
    session_close(c);
    submits_fini(c);
    key_pair_wipe(&c->own);
    free(c->address);
    free(c->software);
    free(c->busy);
    free(c->error);
    free(c);
}

void tern_client_set_timeouts(struct tern_client *c, int64_t silence_ms, int64_t broker_timeout_ms)
{
    c->silence_ms = max_i64(silence_ms, 1);
    c->broker_timeout_ms = max_i64(broker_timeout_ms, 1);
    c->beat_due_ms = 0;
}

void tern_client_set_interrupt(struct tern_client *c, int fd) { c->interrupt_fd = fd; }

const char *tern_client_error(const struct tern_client *c) { return c->error; }

const char *tern_client_broker_software(const struct tern_client *c)
{
    return c->software ? c->software : "";
}

uint64_t tern_client_max_payload(const struct tern_client *c) { return c->max_payload_bytes; }

int client_fail(struct tern_client *c, int r, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    char *text = NULL;
    int n = vasprintf(&text, format, ap);
    va_end(ap);
    if (n >= 0) {
        free(c->error);
        c->error = text;
    }
    return r;
}

int client_begin(struct tern_client *c)
{
    if (!c->address)
        return client_fail(c, -EINVAL, "not connected: call tern_client_connect first");
    return c->refused ? c->refused : client_fail(c, 0, "%s", "");
}

int tern_client_set_keys(struct tern_client *c, const char *key_file, const char *broker_key)
{
    cleanup(freep) char *error = NULL;
    if (key_read_secret(key_file, &c->own, &error) < 0)
        return client_fail(c, -EINVAL, "%s", error);
    if (key_read_broker(broker_key, &c->broker_key, &error) < 0)
        return client_fail(c, -EINVAL, "%s", error);
    c->keyed = true;
    return 0;
}

int tern_client_connect(struct tern_client *c, const char *address)
{
    if (c->greeted)
        return client_fail(c, -EINVAL, "already connected to %s", c->address);
    char *copy = xstrdup(address);
    free(c->address);
    c->address = copy;
    int r = probe_address(c);
    if (r >= 0)
        r = session_open(c);
    while (r >= 0 && c->state != SESSION_WELCOME)
        r = session_turn(c, INT64_MAX, c->interrupt_fd);
    if (r >= 0)
        return 0;
    session_close(c);
    return r;
}

int tern_exit_status(int result)
{
    static const struct {
        int result, status;
    } table[] = {
        { -EINVAL, CODE_USAGE },     { -ENOENT, CODE_NOT_FOUND },   { -EPERM, CODE_REFUSED },
        { -EMSGSIZE, CODE_REFUSED }, { -EHOSTUNREACH, 69 },         { -EBUSY, CODE_BUSY },
        { -EPROTO, CODE_PROTOCOL },  { -EACCES, CODE_NOT_ALLOWED }, { -ETIMEDOUT, 124 },
    };
    for (size_t i = 0; i < ELEMENTS(table); i++)
        if (table[i].result == result)
            return table[i].status;
    return result < 0 ? 1 : 0;
}

int tern_client_ping(struct tern_client *c, int64_t *ret_us)
{
    int r = client_begin(c);
    if (r < 0)
        return r;
    struct message m;
    message_init(&m, MSG_BEAT);
    int64_t before = clock_mono_us();
    struct request ask;
    r = request_call(c, &ask, &m, MSG_BEAT, INT64_MAX);
    request_fini(&ask);
    if (r >= 0)
        *ret_us = clock_mono_us() - before;
    return r;
}
