/*
 * The process between tsbuild, or its server, and PID 1 of the step.
 * Runs in: the namespaces and with the capabilities of tsbuild.
 */
#ifndef TSBUILD_SUPERVISE_H
#define TSBUILD_SUPERVISE_H

#include <sys/types.h>

/*
 * Runs the step on descriptor 3 to its end. `parent`: the process it dies with; 0: the one the step names. Returns this
 * process's exit status: 0 when an exit record was sent.
 */
int supervise(pid_t parent);

#endif
