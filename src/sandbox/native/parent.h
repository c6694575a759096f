/*
 * What the parent of PID 1 does: makes it, puts it into its groups, ends it.
 * Runs in: the supervisor of one step, or the server of many, with the capabilities of tsbuild.
 */
#ifndef TSBUILD_PARENT_H
#define TSBUILD_PARENT_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "spec.h"

/* A fork into new namespaces, where the rung has any. */
pid_t clone_init(enum rung rung);

/* Returns 0, or why it did not become a member of all. */
int join_groups(const struct texts *groups, pid_t init);

/* The end of an abort, which began with SIGTERM; 0: there was none. */
typedef int64_t deadline;

/* The signal by which tsbuild asks for one. Others are the step's own affair. */
#define ABORT SIGUSR2

void begin_abort(deadline *end, pid_t init, uint64_t grace);

/* Milliseconds until something has to be done, -1: nothing. At the deadline it ends PID 1, and all of the step with it. */
int abort_due(deadline *end, pid_t init, enum rung rung);

void end_init(pid_t init, enum rung rung);

void close_from(unsigned first);

/* What this process does takes microseconds: it runs when it is woken, not after the slice of whoever woke it (Linux 6.12). */
void run_when_woken(void);

#endif
