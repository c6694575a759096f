/*
 * Bytes passed on from one descriptor to another as both are ready, never waiting for either.
 * Runs in: the supervisor.
 */
#ifndef TSBUILD_RELAY_H
#define TSBUILD_RELAY_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct relay {
  int from; /* -1: at its end */
  int to;
  bool owns_to; /* `to` is closed at the end: its reader is to see it */
  bool full;    /* wait until `to` takes more */
  bool copy;    /* splice does not work between these two */
  size_t held;  /* of `buffer`, when copying */
  size_t sent;
  uint8_t buffer[4096];
};

/* What to poll for. */
struct pollfd relay_interest(const struct relay *relay);

/* Moves what can be moved, after poll reported `ready`. */
void relay_advance(struct relay *relay, short ready);

#endif
