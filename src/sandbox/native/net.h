/*
 * The step's network namespace.
 * Runs in: PID 1 of the step, in a new network namespace it owns.
 */
#ifndef TSBUILD_NET_H
#define TSBUILD_NET_H

/* Sets the loopback interface up: 127.0.0.1 and ::1 answer, nothing else does. */
void raise_loopback(void);

#endif
