/*
 * Splices where one side is a pipe, copies elsewhere.
 * Runs in: the supervisor.
 */
#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

enum { CHUNK = 1 << 16 };

/* One read is written on wholly before the next. */
static ssize_t copy_on(struct relay *relay) {
  if (relay->sent == relay->held) {
    ssize_t size = read(relay->from, relay->buffer, sizeof relay->buffer);
    if (size <= 0) return size;
    relay->held = (size_t)size;
    relay->sent = 0;
  }
  ssize_t wrote = write(relay->to, relay->buffer + relay->sent, relay->held - relay->sent);
  if (wrote > 0) relay->sent += (size_t)wrote;
  return wrote;
}

static ssize_t pass_on(struct relay *relay) {
  if (!relay->copy) {
    ssize_t moved = splice(relay->from, NULL, relay->to, NULL, CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved >= 0 || errno != EINVAL) return moved;
    relay->copy = true;
  }
  return copy_on(relay);
}

void relay_advance(struct relay *relay, short ready) {
  if (relay->from < 0 || ready == 0) return;
  ssize_t moved = pass_on(relay);
  int error = errno;
  relay->full = relay->sent < relay->held || (moved < 0 && error == EAGAIN);
  if (moved > 0 || (moved < 0 && (error == EINTR || error == EAGAIN))) return;
  close(relay->from);
  if (relay->owns_to) close(relay->to);
  relay->from = -1;
}

struct pollfd relay_interest(const struct relay *relay) {
  if (relay->from < 0) return (struct pollfd){.fd = -1};
  return relay->full ? (struct pollfd){.fd = relay->to, .events = POLLOUT}
                     : (struct pollfd){.fd = relay->from, .events = POLLIN};
}
