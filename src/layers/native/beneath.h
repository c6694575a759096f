/*
 * Opening paths so that no component is a symlink and nothing above the given directory can be reached, however the
 * tree changes meanwhile. openat2(2) does it in one call; where the kernel or a seccomp filter lacks it, one openat(2)
 * a component does the same.
 */
#ifndef TSBUILD_LAYERS_BENEATH_H
#define TSBUILD_LAYERS_BENEATH_H

#include <sys/types.h>

/* A descriptor (O_CLOEXEC) or -1 with errno; ELOOP when a component is a symlink. `path` "" or "." is `root` itself. */
int open_beneath(int root, const char *path, int flags, mode_t mode);

#endif
