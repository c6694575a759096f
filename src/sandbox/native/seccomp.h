/*
 * The system call filter of a step.
 * Runs in: the step's main process, between fork and exec, still with CAP_SYS_ADMIN.
 */
#ifndef TSBUILD_SECCOMP_H
#define TSBUILD_SECCOMP_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Installs the filter without no_new_privs, so that setuid programs work. `pretend_ownership`: changing owners
 * succeeds without effect, for a user namespace that maps one ID only. `optional`: go on where the kernel wants
 * no_new_privs for it, because there is no CAP_SYS_ADMIN.
 * Returns the descriptor that calls of the chown family are told to with `pretend_ownership`; -1: there is none.
 */
int install_filter(bool pretend_ownership, bool optional);

/* System calls that are refused, sorted. */
extern const int denied_calls[];
extern const size_t denied_call_count;

/* The same for 32-bit x86 programs; empty elsewhere. */
extern const int denied_calls_i386[];
extern const size_t denied_call_count_i386;
extern const int clone_i386, clone3_i386, personality_i386;

#endif
