/*
 * The system call filter of a step.
 * Runs in: the step's main process, between fork and exec, still with CAP_SYS_ADMIN.
 */
#ifndef TSBUILD_SECCOMP_H
#define TSBUILD_SECCOMP_H

#include <stdbool.h>
#include <stddef.h>

enum filter_wish {
  /* Changing owners succeeds without effect: for a user namespace that maps one ID only. */
  FILTER_PRETEND_OWNERSHIP = 1,
  /* Go on where the kernel wants no_new_privs for a filter, because there is no CAP_SYS_ADMIN. */
  FILTER_OPTIONAL = 2,
  /* No sockets but Unix ones, where there can be no network namespace. Sets no_new_privs, which nothing else does. */
  FILTER_NETWORK = 4,
};

/*
 * Installs the filter without no_new_privs, so that setuid programs work.
 * Returns the descriptor that calls of the chown family are told to with FILTER_PRETEND_OWNERSHIP; -1: there is none.
 */
int install_filter(unsigned wishes);

/* System calls that are refused, sorted. */
extern const int denied_calls[];
extern const size_t denied_call_count;

/* The same for 32-bit x86 programs; empty elsewhere. */
extern const int denied_calls_i386[];
extern const size_t denied_call_count_i386;
extern const int clone_i386, clone3_i386, personality_i386;

#endif
