/*
 * PID 1 of the step: prepares its root, starts its main process, reaps, forwards signals, and ends everything when
 * the main process ends or its parent is gone.
 * Runs in: the child its parent (parent.h) clones into new namespaces, with all capabilities of its user namespace.
 */
#ifndef TSBUILD_INIT_H
#define TSBUILD_INIT_H

#include "spec.h"

/* Descriptors its parent gives to PID 1. */
struct channels {
  int input;    /* read end of the step's stdin; -1: it has none */
  int output;   /* write ends of its stdout and stderr; -1 with a terminal */
  int error;
  int terminal; /* where the master of its terminal is sent; -1: it has none */
  int alive;    /* a byte when PID 1 is in the step's groups: 0, or why it is not; hung up when the parent is gone. -1: see `go` */
  int spec;     /* what to read the spec from once it may; -1: it is known */
  int go;       /* a byte, as on `alive`: the spec is there; a second: the root may be mounted; a third: a held program may start */
};

/* Of a spec that is not known yet it needs the rung and `legacy_mounts`. */
_Noreturn void run_init(struct spec *spec, const struct channels *channels);

#endif
