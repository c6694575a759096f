/*
 * Refused system calls of the machine's own architecture.
 * Runs in: nothing; a table.
 */
#include <sys/syscall.h>

#include "seccomp.h"

const int denied_calls[] = {
#include "denied-calls.inc"
};
const size_t denied_call_count = sizeof denied_calls / sizeof denied_calls[0];
