/*
 * The step's main process.
 * Runs in: the child PID 1 forks; with all capabilities until it gives them up, just before exec.
 */
#ifndef TSBUILD_START_H
#define TSBUILD_START_H

#include "init.h"
#include "spec.h"
#include "terminal.h"

/*
 * Becomes the step's program, or reports why not and ends. `pid1`: a channel to PID 1. Over it come, when all is mounted,
 * the root, the working directory and the `struct identity`; where a listener for changes of owners is wanted (owners.h),
 * that goes back.
 */
_Noreturn void start_program(const struct spec *spec, const struct channels *channels, const struct terminal *terminal, int pid1);

/* Whether PID 1 answers for changes of owners. */
bool has_listener(const struct spec *spec);

#endif
