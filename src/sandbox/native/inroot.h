/*
 * Paths inside a tree, and the mount points made there for the step.
 * Runs in: PID 1 of the step, with all capabilities of its user namespace; no process of the step lives meanwhile.
 */
#ifndef TSBUILD_INROOT_H
#define TSBUILD_INROOT_H

#include <stdbool.h>

enum create { CREATE_NOTHING, CREATE_FILE, CREATE_DIRECTORY };

/*
 * Opens (O_PATH) what `path` names inside the tree `root`: links are followed inside it, `..` stops at it, and links
 * of procfs, which may lead anywhere, are refused with ELOOP. What is missing is made when `create` says so: parents
 * as directories 0755, all of it remembered for remove_mount_points when `temporary`. Returns -1 with errno.
 */
int open_in_root(int root, const char *path, enum create create, bool temporary);

/* Opens a regular file inside the tree for reading. Returns -1 with errno; EINVAL when it is something else. */
int read_in_root(int root, const char *path);

/*
 * Unmounts and removes, last one first, every temporary thing open_in_root made, unless the step put something
 * there; gives each parent the time it would have had. Works on held descriptors: renames by the step change nothing.
 */
void remove_mount_points(void);

#endif
