/*
 * The step's root: overlay or directory, mounted in the step's own mount namespace, then pivoted to.
 * Runs in: PID 1 of the step, with all capabilities of its user namespace, in namespaces of its own.
 */
#ifndef TSBUILD_ROOTFS_H
#define TSBUILD_ROOTFS_H

#include "spec.h"

/* A private tmpfs the step never sees as a whole: mount roots, files to bind, private device nodes. */
struct stage {
  int directory;
  unsigned mounts;
};

/* Descriptors of a tree's host directories, opened in this mount namespace and before the old root is left. */
struct root_fds {
  int *lowers;
  size_t lower_count;
  int upper;
  int work;
  int directory;
};

/* Takes the mount namespace away from the host's propagation. */
void detach_from_host(void);

struct root_fds open_root(const struct root *root);
void close_root(struct root_fds *fds);

/*
 * Mounts the private tmpfs over /sys of the old root, where nothing lies that a step could be given, or over /dev; what is
 * needed of these must be open by then.
 */
void stage_begin(struct stage *stage);

/* Mounts a tree below the stage and returns a descriptor of its root. `discard`: writes go to a tmpfs. */
int mount_root(struct stage *stage, const struct root_fds *fds, bool user_xattrs, bool discard, unsigned long flags);

/* Makes `root` the root directory of this process and its children. Returns a descriptor of the old root. */
int enter_root(int root);
void leave_old_root(int old_root);

#endif
