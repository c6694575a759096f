/*
 * The process between tsbuild, or its server, and PID 1 of the step.
 * Runs in: the namespaces and with the capabilities of tsbuild.
 */
#ifndef TSBUILD_SUPERVISE_H
#define TSBUILD_SUPERVISE_H

#include <stdbool.h>
#include <sys/types.h>

#include "report.h"
#include "spec.h"

/* What is known of a step that is still to come. */
struct standing {
  pid_t parent;       /* the process it dies with */
  enum rung rung;
  bool legacy_mounts;
};

enum { GO_FD = RECORD_FD + 1, INIT_GO_FD };

/*
 * Runs the step whose spec is on descriptor 3 to its end. `standing`: the spec is there, in a file, when a byte arrives
 * on GO_FD and one on INIT_GO_FD, which is for PID 1; until then all is made ready that needs no spec. A held step's program
 * starts at a second byte for PID 1. The step then writes to descriptors 1 and 2 itself. Returns this process's exit status: 0
 * when an exit record was sent.
 */
int supervise(const struct standing *standing);

#endif
