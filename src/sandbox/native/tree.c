/*
 * Mounts handled by descriptor; kernels before 5.2 have no detached trees and get bind mounts through /proc/self/fd.
 * Runs in: PID 1 of the step, with all capabilities of its user namespace.
 */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "report.h"

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

static int descriptors = -1;
static bool detached = true;

void trees_begin(bool legacy) {
  detached = !legacy;
  descriptors = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (descriptors < 0) fail("proc", errno, "/proc/self/fd");
}

const char *as_path(int fd, char text[16]) {
  snprintf(text, 16, "%d", fd);
  if (fchdir(descriptors) != 0) fail("proc", errno, "/proc/self/fd");
  return text;
}

int reopen(int fd, int flags) {
  char text[16];
  snprintf(text, sizeof text, "%d", fd);
  return openat(descriptors, text, flags | O_CLOEXEC);
}

static int close_with(int result, int fd) {
  int error = errno;
  close(fd);
  errno = error;
  return result;
}

int tree_of(int fd) {
  if (detached) {
    int tree = (int)syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    if (tree >= 0 || errno != ENOSYS) return close_with(tree, fd);
    detached = false;
  }
  return fd;
}

static unsigned long remount_flags(unsigned long attributes) {
  return MS_REMOUNT | MS_BIND | (attributes & MOUNT_ATTR_RDONLY ? MS_RDONLY : 0) |
         (attributes & MOUNT_ATTR_NODEV ? MS_NODEV : 0) | (attributes & MOUNT_ATTR_NOSUID ? MS_NOSUID : 0) |
         (attributes & MOUNT_ATTR_NOEXEC ? MS_NOEXEC : 0);
}

static int remount(int fd, unsigned long attributes) {
  char text[16];
  return mount(NULL, as_path(fd, text), NULL, remount_flags(attributes), NULL);
}

static int attach_by_path(int source, int target, unsigned long attributes) {
  char from[16], to[16];
  as_path(source, from);
  if (mount(from, as_path(target, to), NULL, MS_BIND | MS_REC, NULL) != 0) return -1;
  if (attributes == 0) return 0;
  /* The descriptor of the target shows what lies beneath; the way down from the root shows the mount. */
  char path[4096];
  ssize_t length = readlink(to, path, sizeof path - 1);
  if (length < 0) return -1;
  path[length] = 0;
  int mounted = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (mounted < 0) return -1;
  return close_with(remount(mounted, attributes), mounted);
}

int tree_at(int directory, const char *name) {
  if (detached) {
    int tree = (int)syscall(SYS_open_tree, directory, name, OPEN_TREE_CLONE | O_CLOEXEC | AT_SYMLINK_NOFOLLOW | AT_RECURSIVE);
    if (tree >= 0 || errno != ENOSYS) return tree;
    detached = false;
  }
  return openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

/* `name`: '' is `target` itself. */
static int attach_detached(int tree, int target, const char *name, unsigned long attributes) {
  bool set = attributes == 0;
  if (!set) {
    struct mount_attr wanted = {.attr_set = attributes};
    set = syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &wanted, sizeof wanted) == 0;
    if (!set && errno != ENOSYS) return close_with(-1, tree);
  }
  unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  if (syscall(SYS_move_mount, tree, "", target, name, flags) != 0) return close_with(-1, tree);
  return close_with(set ? 0 : remount(tree, attributes), tree);
}

int attach(int tree, int target, unsigned long attributes) {
  if (detached) return attach_detached(tree, target, "", attributes);
  return close_with(attach_by_path(tree, target, attributes), tree);
}

int attach_at(int tree, int directory, const char *name, unsigned long attributes) {
  if (detached) return attach_detached(tree, directory, name, attributes);
  int target = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (target < 0) return close_with(-1, tree);
  return close_with(attach(tree, target, attributes), target);
}

int move_mounted(int directory, const char *name, int target) {
  if (detached) {
    if (syscall(SYS_move_mount, directory, name, target, "", MOVE_MOUNT_T_EMPTY_PATH) == 0) return 0;
    if (errno != ENOSYS) return -1;
  }
  char from[64], to[16];
  snprintf(from, sizeof from, "%d/%s", directory, name);
  return mount(from, as_path(target, to), NULL, MS_MOVE, NULL);
}

int mount_on(int target, const char *type, const char *options, unsigned long flags) {
  if (fchdir(target) != 0) return -1;
  return mount(type, ".", type, flags, options);
}
