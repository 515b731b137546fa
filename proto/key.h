/* key.h - CURVE keys: 32 bytes, written as 64 hexadecimal digits, so that a shell and a configuration file leave them alone.
 *
 * A secret key stands in a file of its owner's alone (NAME.key, 0600):    [key]      secret = DIGITS
 * a public one may be seen by anybody (NAME.pub):                         [peer]     name, role, key = DIGITS
 *                                            and of a broker:             [broker]   key = DIGITS
 *
 * Functions that fail return a negative errno and a text in *ret_error that says what was wrong and what to do. */
#ifndef TERN_KEY_H
#define TERN_KEY_H

#include "proto/base/base.h"

#define KEY_BYTES 32
#define KEY_DIGITS 64

struct key {
    unsigned char bytes[KEY_BYTES];
};
struct key_pair {
    struct key public, secret;
};

/* As text, with a NUL at its end. */
void key_format(const struct key *k, char ret[KEY_DIGITS + 1]);
/* -EINVAL: not 64 hexadecimal digits. */
int key_parse(const char *text, struct key *ret);
bool key_equal(const struct key *a, const struct key *b);

/* A new one; its secret half is random. */
void key_pair_make(struct key_pair *ret);
/* Overwrites the secret half. For cleanup(). */
void key_pair_wipe(struct key_pair *pair);

/* A secret key's file. -EPERM when others than its owner can read it. */
int key_read_secret(const char *path, struct key_pair *ret, char **ret_error);
/* A broker's public key: the digits themselves, or the file that they stand in. */
int key_read_broker(const char *digits_or_path, struct key *ret, char **ret_error);
/* A new file that holds text; -EEXIST: never over one that is there. */
int key_write_file(const char *path, unsigned mode, const char *text, char **ret_error);
/* NAME.key and NAME.pub in this directory, from a new pair. public_text: what stands in NAME.pub before `key = `. */
int key_write_pair(const char *base, const char *what, const char *public_text, char **ret_error);

/* FILE when it was named; else NAME among the service's credentials (systemd's LoadCredential=); else the default, which may be
 * NULL. The caller owns what is returned: NULL when there is none. */
char *key_find_file(const char *named, const char *credential, const char *otherwise);

#endif
