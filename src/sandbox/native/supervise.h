/*
 * The process between tsbuild and PID 1 of the step.
 * Runs in: the namespaces and with the capabilities of tsbuild.
 */
#ifndef TSBUILD_SUPERVISE_H
#define TSBUILD_SUPERVISE_H

/* Runs the step on descriptor 3 to its end. Returns this process's exit status: 0 when an exit record was sent. */
int supervise(void);

#endif
