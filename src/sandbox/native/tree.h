/*
 * Mounts handled by descriptor: what is mounted and where are descriptors, so no path can be swapped in between.
 * Runs in: PID 1 of the step, with all capabilities of its user namespace.
 */
#ifndef TSBUILD_TREE_H
#define TSBUILD_TREE_H

#include <stdbool.h>

/* Keeps /proc/self/fd of the present root at hand; before anything else of this file. */
void trees_begin(bool legacy);

/* Opens what an O_PATH descriptor stands for. */
int reopen(int fd, int flags);

/* Makes the descriptor's number a path relative to the working directory, which this changes to /proc/self/fd. */
const char *as_path(int fd, char text[16]);

/*
 * What can be attached later: a copy of the mount tree at `fd`, or, where the kernel has no open_tree, `fd` itself,
 * which works while the old root is mounted. Takes `fd`. Returns -1 with errno.
 */
int tree_of(int fd);

/* Attaches a tree of tree_of on `target`; `attributes` are MOUNT_ATTR_*. Takes `tree`. Returns -1 with errno. */
int attach(int tree, int target, unsigned long attributes);

/* The same of `name` in a directory whose names nobody else changes. */
int tree_at(int directory, const char *name);
int attach_at(int tree, int directory, const char *name, unsigned long attributes);

/* Moves the mount at `name` below `directory` onto `target`. Returns -1 with errno. */
int move_mounted(int directory, const char *name, int target);

/* mount(2) of a new file system on a directory given by descriptor. */
int mount_on(int target, const char *type, const char *options, unsigned long flags);

#endif
