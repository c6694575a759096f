/*
 * Descriptors over a socket (unix(7), SCM_RIGHTS).
 * Runs in: every process of the helper, whatever its capabilities.
 */
#include "descriptor-channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "report.h"

void open_channel(int ends[2]) {
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) fail("channel", errno, "socketpair");
}

void send_descriptor(int channel, int descriptor) {
  char control[CMSG_SPACE(sizeof descriptor)] = {0}, byte = 0;
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (descriptor >= 0) {
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  } else {
    message.msg_controllen = 0;
  }
  /* EPIPE: it has ended, and said why. */
  if (sendmsg(channel, &message, MSG_NOSIGNAL) != 1 && errno != EPIPE) fail("channel", errno, "sendmsg");
  if (descriptor >= 0) close(descriptor);
}

int receive_descriptor(int channel) {
  char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  int descriptor = -1;
  ssize_t size = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
  struct cmsghdr *header = size == 1 ? CMSG_FIRSTHDR(&message) : NULL;
  if (header != NULL && header->cmsg_type == SCM_RIGHTS) memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
  return descriptor;
}
