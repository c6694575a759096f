/*
 * The process between tsbuild and PID 1 of a step that is attached to a terminal, or is the only one.
 * Runs in: the namespaces and with the capabilities of tsbuild.
 */
#ifndef TSBUILD_SUPERVISE_H
#define TSBUILD_SUPERVISE_H

/* Runs the step whose spec is on descriptor 3 to its end. Returns this process's exit status: 0 when an exit record was sent. */
int supervise(void);

#endif
