/* pass.c - descriptors on their way to a child. */
#include "worker/pass.h"

#include <sys/socket.h>
#include <unistd.h>

int pass_send(int socket, const int *fds, size_t n)
{
    assert(n <= PASS_MOST);
    struct iovec v = { (char[1]){ 0 }, 1 };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(PASS_MOST * sizeof(int))] = { 0 };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
    if (n) {
        m.msg_control = control;
        m.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(n * sizeof(int)) };
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    }
    return sendmsg(socket, &m, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

ssize_t pass_receive(int socket, int *ret_fds, size_t most)
{
    assert(most <= PASS_MOST);
    struct iovec v = { (char[1]){ 0 }, 1 };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(PASS_MOST * sizeof(int))];
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(most * sizeof(int)) };
    ssize_t n;
    while ((n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    if (n != 1)
        return n < 0 ? -errno : -ECONNRESET;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (!c)
        return 0;
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0))
        return -EBADMSG;
    size_t bytes = c->cmsg_len - CMSG_LEN(0);
    memcpy(ret_fds, CMSG_DATA(c), bytes);
    return (ssize_t)(bytes / sizeof(int));
}
