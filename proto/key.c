/* key.c - keys as digits, and the files that they stand in. */
#include "proto/key.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "proto/base/conf.h"

#define Z85_BYTES 41 /* as libzmq writes them */

void key_format(const struct key *k, char ret[KEY_DIGITS + 1])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < KEY_BYTES; i++) {
        ret[2 * i] = hex[k->bytes[i] >> 4];
        ret[2 * i + 1] = hex[k->bytes[i] & 15];
    }
    ret[KEY_DIGITS] = '\0';
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int key_parse(const char *text, struct key *ret)
{
    struct key k;
    if (strlen(text) != KEY_DIGITS)
        return -EINVAL;
    for (size_t i = 0; i < KEY_BYTES; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        k.bytes[i] = (unsigned char)(high << 4 | low);
    }
    *ret = k;
    return 0;
}

bool key_equal(const struct key *a, const struct key *b) { return memcmp(a->bytes, b->bytes, KEY_BYTES) == 0; }

void key_pair_wipe(struct key_pair *pair) { explicit_bzero(&pair->secret, sizeof pair->secret); }

void key_pair_make(struct key_pair *ret)
{
    char public[Z85_BYTES], secret[Z85_BYTES];
    int r = zmq_curve_keypair(public, secret);
    assert(r == 0); /* libzmq is built with CURVE: configure has looked */
    zmq_z85_decode(ret->public.bytes, public);
    zmq_z85_decode(ret->secret.bytes, secret);
    explicit_bzero(secret, sizeof secret);
}

static void find_public(struct key_pair *pair)
{
    char public[Z85_BYTES], secret[Z85_BYTES];
    zmq_z85_encode(secret, pair->secret.bytes, KEY_BYTES);
    int r = zmq_curve_public(public, secret);
    assert(r == 0);
    zmq_z85_decode(pair->public.bytes, public);
    explicit_bzero(secret, sizeof secret);
}

/* ---- reading ------------------------------------------------------------------------------------ */

struct reading {
    const char *section, *name;
    struct key key;
    bool found;
};

/* The one key that is wanted; a public key's file says other things too. */
static int on_key(void *context, const char *section, const char *key, const char *value, char **ret_error)
{
    struct reading *r = context;
    if (strcmp(section, r->section) != 0 || strcmp(key, r->name) != 0)
        return 0;
    if (key_parse(value, &r->key) < 0) {
        *ret_error = xasprintf("%s must be %d hexadecimal digits", key, KEY_DIGITS);
        return -EINVAL;
    }
    r->found = true;
    return 0;
}

static int read_key(const char *path, const char *section, const char *name, struct key *ret, char **ret_error)
{
    struct reading reading = { .section = section, .name = name };
    int r = conf_load(path, on_key, &reading, ret_error);
    if (r >= 0 && !reading.found) {
        *ret_error = xasprintf("%s: there is no `%s =` below [%s]: it is not such a key's file", path, name, section);
        r = -EINVAL;
    }
    if (r >= 0)
        *ret = reading.key;
    explicit_bzero(&reading, sizeof reading);
    return r;
}

/* Its owner's alone. Root's credentials of a service (0440, its own user's by an access list) count as such. */
static int check_mode(const char *path, char **ret_error)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        int error = errno;
        *ret_error = xasprintf("%s: %s; `tern keygen` and `tern-broker keygen` make keys", path, strerror(error));
        return -error;
    }
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    bool is_credential = credentials && *credentials && strncmp(path, credentials, strlen(credentials)) == 0;
    if (!(st.st_mode & (is_credential ? S_IWGRP | S_IRWXO : S_IRWXG | S_IRWXO)))
        return 0;
    *ret_error = xasprintf("%s is a secret that others can read: chmod 600 %s, and if they have, make a new one", path, path);
    return -EPERM;
}

int key_read_secret(const char *path, struct key_pair *ret, char **ret_error)
{
    int r = check_mode(path, ret_error);
    if (r >= 0)
        r = read_key(path, "key", "secret", &ret->secret, ret_error);
    if (r >= 0)
        find_public(ret);
    return r;
}

int key_read_broker(const char *digits_or_path, struct key *ret, char **ret_error)
{
    if (key_parse(digits_or_path, ret) >= 0)
        return 0;
    return read_key(digits_or_path, "broker", "key", ret, ret_error);
}

/* ---- writing ------------------------------------------------------------------------------------ */

int key_write_file(const char *path, unsigned mode, const char *text, char **ret_error)
{
    cleanup(closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        int error = errno;
        *ret_error = xasprintf("%s: %s%s", path, strerror(error), error == EEXIST ? "; it is not overwritten: move it away first" : "");
        return -error;
    }
    ssize_t n = write(fd, text, strlen(text));
    if (n == (ssize_t)strlen(text) && fchmod(fd, mode) == 0 && fsync(fd) == 0)
        return 0;
    int error = n < 0 ? errno : ENOSPC;
    *ret_error = xasprintf("%s: %s", path, strerror(error));
    unlink(path);
    return -error;
}

int key_write_pair(const char *base, const char *what, const char *public_text, char **ret_error)
{
    cleanup(key_pair_wipe) struct key_pair pair;
    char secret[KEY_DIGITS + 1], public[KEY_DIGITS + 1];
    key_pair_make(&pair);
    key_format(&pair.secret, secret);
    key_format(&pair.public, public);
    cleanup(freep) char *secret_path = xasprintf("%s.key", base), *public_path = xasprintf("%s.pub", base);
    cleanup(freep) char *secret_text =
        xasprintf("; The secret key of %s: whoever reads this is taken for it. It stays on this machine.\n[key]\nsecret = %s\n", what,
                  secret);
    cleanup(freep) char *full = xasprintf("%skey = %s\n", public_text, public);
    int r = key_write_file(secret_path, 0600, secret_text, ret_error);
    if (r >= 0 && (r = key_write_file(public_path, 0644, full, ret_error)) < 0)
        unlink(secret_path);
    explicit_bzero(secret_text, strlen(secret_text));
    explicit_bzero(secret, sizeof secret);
    return r;
}

char *key_find_file(const char *named, const char *credential, const char *otherwise)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    if (named)
        return xstrdup(named);
    cleanup(freep) char *path = directory && *directory ? xasprintf("%s/%s", directory, credential) : NULL;
    if (path && access(path, F_OK) == 0)
        return TAKE(path);
    return otherwise && access(otherwise, F_OK) == 0 ? xstrdup(otherwise) : NULL;
}
