/* pass.h - descriptors on their way to a child, over the socket at whose other end it is. */
#ifndef TERN_PASS_H
#define TERN_PASS_H

#include "proto/base/base.h"

#define PASS_MOST 128u /* at a time; the kernel takes 253 */

/* One byte with n descriptors, which stay the caller's. */
int pass_send(int socket, const int *fds, size_t n);
/* Waits for it: how many have come, close-on-exec, the caller's. -ECONNRESET: nobody sends any. */
ssize_t pass_receive(int socket, int *ret_fds, size_t most);

#endif
