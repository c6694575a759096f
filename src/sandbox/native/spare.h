/*
 * A supervisor, and with it PID 1, that has no step yet: its namespaces and system mounts are made, or being made.
 * Runs in: the server, with the capabilities of tsbuild.
 */
#ifndef TSBUILD_SPARE_H
#define TSBUILD_SPARE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "supervise.h"

/* What is read of a step: its output, its errors, its records. */
enum { STREAMS = 3, RECORDS = 2 };

struct spare {
  bool made;
  pid_t pid;            /* 0: reaped, with `status` */
  int status;
  int streams[STREAMS]; /* read ends */
  int init_go;          /* write end; the bytes PID 1 waits for (init.h) */
  int go;               /* write end; a byte there: the supervisor finds the spec */
  int spec;             /* a memory file */
};

/* One that fails in what it prepares is made all the same, for its step to say why. `signals`: the mask it begins with. */
void spare_make(struct spare *spare, const struct standing *standing, const sigset_t *signals);

/* After it the spare is no more: `pid`, `streams` and `init_go` are the step's. False: it cannot be given. */
bool spare_give(struct spare *spare, const uint8_t *spec, size_t size);

#endif
