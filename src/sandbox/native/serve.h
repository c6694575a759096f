/*
 * Steps on request. Requests arrive on descriptor 3, answers leave on descriptor 4; both are u8 kind, u32 step, u32
 * length, bytes, integers little-endian. tsbuild chooses the numbers of steps.
 * Runs in: the first process, with the capabilities of tsbuild.
 */
#ifndef TSBUILD_SERVE_H
#define TSBUILD_SERVE_H

#include "spec.h"

enum request_kind {
  REQUEST_STEP = 1,   /* a spec (spec.h) */
  REQUEST_SIGNAL = 2, /* a byte: a signal for PID 1, or ABORT (parent.h) */
  REQUEST_BEGIN = 3,  /* the program of a held step may start */
  REQUEST_HOLD = 4,   /* the spec of a step whose root holds nothing to be read yet */
  REQUEST_MOUNT = 5,  /* the root of such a step may be mounted. Its spec, where that is another one now */
};

enum answer_kind {
  ANSWER_OUTPUT = 1,
  ANSWER_ERROR = 2,
  ANSWER_RECORDS = 3, /* as they came; a record may be split */
  ANSWER_EXITED = 4,  /* a byte: the exit code of PID 1, or what it will be. The step's last answer */
  ANSWER_KILLED = 5,  /* a byte: the signal that killed PID 1. The step's last answer */
};

/* Serves until the requests end, then ends what still runs. All steps have this rung. Returns this process's exit status. */
int serve(enum rung rung, bool legacy_mounts);

#endif
