/* handler_http_guard.h - which addresses `http` may connect to: the worker's own services are not
 * for who submits jobs. */
#ifndef TERN_HANDLER_HTTP_GUARD_H
#define TERN_HANDLER_HTTP_GUARD_H

#include "proto/base/base.h"

#include <curl/curl.h>
#include <netinet/in.h>

/* What the guard saw of one request. */
struct http_guard {
    char refused[INET6_ADDRSTRLEN]; /* the address that was tried last, if it was refused; else empty */
    const char *word;               /* static: what would allow it */
};

/* `loopback`, `link-local`, separated by commas. -EINVAL for an unknown word: nothing changes. */
int http_guard_allow(const char *list);
/* CURLOPT_OPENSOCKETFUNCTION, its data a struct http_guard: asked for each address that is tried,
 * redirects too. */
curl_socket_t http_guard_open(void *guard, curlsocktype purpose, struct curl_sockaddr *address);

#endif
