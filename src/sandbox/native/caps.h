/*
 * Docker's default capability set.
 * Runs in: the step's main process, between fork and exec, still with all capabilities.
 */
#ifndef TSBUILD_CAPS_H
#define TSBUILD_CAPS_H

#include <stdint.h>

/* Takes everything but the default set out of the bounding set. Needs CAP_SETPCAP. */
void bound_capabilities(void);

/* Makes `permitted` what this process has and may use, and nothing inheritable or ambient. */
void set_capabilities(uint64_t permitted);

extern const uint64_t default_capabilities;
extern const uint64_t all_capabilities;

#endif
