/*
 * Refused system calls of 32-bit x86 programs, which an x86_64 kernel runs as well.
 * Runs in: nothing; a table.
 */
#include "seccomp.h"

#ifdef __x86_64__
#include <asm/unistd_32.h>
const int denied_calls_i386[] = {
#include "denied-calls.inc"
};
const size_t denied_call_count_i386 = sizeof denied_calls_i386 / sizeof denied_calls_i386[0];
const int clone_i386 = __NR_clone, clone3_i386 = __NR_clone3, personality_i386 = __NR_personality;
#else
const int denied_calls_i386[] = {-1};
const size_t denied_call_count_i386 = 0;
const int clone_i386 = -1, clone3_i386 = -1, personality_i386 = -1;
#endif
