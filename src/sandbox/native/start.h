/*
 * The step's main process.
 * Runs in: the child PID 1 forks; with all capabilities until it gives them up, just before exec.
 */
#ifndef TSBUILD_START_H
#define TSBUILD_START_H

#include "spec.h"
#include "users.h"

/*
 * `cwd`: descriptor of the working directory. `owners`: where the listener for changes of owners goes, or -1. `go`: a byte
 * comes there when a held step is needed; -1: it is not held.
 * Becomes the step's program, or reports why not and ends.
 */
_Noreturn void start_program(const struct spec *spec, const struct identity *identity, int cwd, int owners, int go);

#endif
