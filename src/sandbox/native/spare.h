/*
 * PID 1 of a step that is still to come: its namespaces and system mounts are made, or being made.
 * Runs in: the server, with the capabilities of tsbuild.
 */
#ifndef TSBUILD_SPARE_H
#define TSBUILD_SPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "spec.h"

/* What is read of a step: its output, its errors, its records. */
enum { STREAMS = 3, RECORDS = 2 };

struct spare {
  bool made;
  pid_t pid;            /* 0: reaped, with `status` */
  int status;
  int streams[STREAMS]; /* read ends */
  int go;               /* write end; the bytes PID 1 waits for (init.h) */
  int spec;             /* a memory file, for its spec */
};

/* One that fails in what it prepares is made all the same, for its step to say why. */
void spare_make(struct spare *spare, enum rung rung, bool legacy_mounts);

/* False: it could not be written. */
bool write_spec(int file, const uint8_t *spec, size_t size);

#endif
