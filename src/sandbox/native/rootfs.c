/*
 * Mounts the step's root and enters it.
 *
 * Overlay directories are opened first and named by descriptor number with /proc/self/fd as the working directory:
 * 120 lower directories fit the page that mount options are limited to, and no name of the host shows in the step's
 * mountinfo. They must be opened in this mount namespace: overlayfs takes no mount of another.
 * Runs in: PID 1 of the step, with all capabilities of its user namespace, in namespaces of its own.
 */
#include "rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "report.h"
#include "tree.h"

enum { PAGE = 4096 };

void detach_from_host(void) {
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) fail("mount-private", errno, "/");
}

static int open_directory(const char *path) {
  int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail("open", errno, path);
  return fd;
}

struct root_fds open_root(const struct root *root) {
  struct root_fds fds = {.upper = -1, .work = -1, .directory = -1};
  if (root->lowers.count == 0) {
    fds.directory = open_directory(root->directory);
    return fds;
  }
  fds.lowers = calloc(root->lowers.count, sizeof *fds.lowers);
  if (fds.lowers == NULL) fail("open", ENOMEM, "lower directories");
  for (size_t i = 0; i < root->lowers.count; i++) fds.lowers[fds.lower_count++] = open_directory(root->lowers.items[i]);
  if (root->upper != NULL) {
    fds.upper = open_directory(root->upper);
    fds.work = open_directory(root->work);
  }
  return fds;
}

void close_root(struct root_fds *fds) {
  for (size_t i = 0; i < fds->lower_count; i++) close(fds->lowers[i]);
  free(fds->lowers);
  if (fds->upper >= 0) close(fds->upper);
  if (fds->work >= 0) close(fds->work);
  if (fds->directory >= 0) close(fds->directory);
  *fds = (struct root_fds){.upper = -1, .work = -1, .directory = -1};
}

void stage_begin(struct stage *stage) {
  *stage = (struct stage){.directory = -1};
  const char *place = access("/sys", F_OK) == 0 ? "/sys" : "/dev";
  if (mount("tmpfs", place, "tmpfs", MS_NOSUID, "mode=0700") != 0) fail("stage", errno, place);
  stage->directory = open_directory(place);
}

static int stage_directory(struct stage *stage) {
  char name[16];
  snprintf(name, sizeof name, "m%u", stage->mounts++);
  if (mkdirat(stage->directory, name, 0755) != 0) fail("stage", errno, name);
  int fd = openat(stage->directory, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail("stage", errno, name);
  return fd;
}

/* A directory descriptor shows what lies beneath a mount made on it since: go down from the stage again. */
static int reopen_last(struct stage *stage) {
  char name[16];
  snprintf(name, sizeof name, "m%u", stage->mounts - 1);
  int fd = openat(stage->directory, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail("stage", errno, name);
  return fd;
}

static size_t append(char *options, size_t size, const char *format, int value) {
  if (size >= PAGE) fail("overlay", E2BIG, "mount options");
  int added = snprintf(options + size, PAGE - size, format, value);
  if (added < 0 || size + (size_t)added >= PAGE) fail("overlay", E2BIG, "mount options");
  return size + (size_t)added;
}

/*
 * No redirects, metadata-only copies or index: the upper directory becomes a layer and must hold plain files only.
 * `volatile`: no sync of the upper's whole file system when the step ends; a draft is worth nothing after a crash.
 * `extra` options are not known to every kernel; mount_overlay tries again without them.
 */
static void overlay_options(char *options, const struct root_fds *fds, int upper, int work, bool user_xattrs, bool extra) {
  size_t size = append(options, 0, "lowerdir=", 0);
  for (size_t i = 0; i < fds->lower_count; i++) size = append(options, size, i == 0 ? "%d" : ":%d", fds->lowers[i]);
  if (upper >= 0) {
    size = append(options, size, ",upperdir=%d", upper);
    size = append(options, size, ",workdir=%d", work);
  }
  if (user_xattrs) size = append(options, size, ",userxattr", 0);
  if (!extra) return;
  /* With userxattr the kernel takes no redirect_dir but its own "nofollow". */
  size = append(options, size, user_xattrs ? ",metacopy=off,index=off" : ",redirect_dir=off,metacopy=off,index=off", 0);
  if (upper >= 0) append(options, size, ",volatile", 0);
}

/* A work directory remembers that its overlay was volatile, and would refuse a second step on the same draft. */
static void forget_volatile(int work) {
  if (work < 0 || unlinkat(work, "work/incompat/volatile/dirty", 0) != 0) return;
  (void)unlinkat(work, "work/incompat/volatile", AT_REMOVEDIR);
  (void)unlinkat(work, "work/incompat", AT_REMOVEDIR);
}

static void mount_overlay(const struct root_fds *fds, int upper, int work, int target, bool user_xattrs, unsigned long flags) {
  char options[PAGE], to[16];
  forget_volatile(work);
  for (int extra = 1; extra >= 0; extra--) {
    overlay_options(options, fds, upper, work, user_xattrs, extra == 1);
    if (mount("overlay", as_path(target, to), "overlay", flags, options) == 0) return;
    if (errno != EINVAL) break;
  }
  fail("overlay", errno, options);
}

/* Mounts one host directory; it keeps its submounts, which an unprivileged namespace may not take off. */
static void mount_directory(int directory, int target, unsigned long flags) {
  unsigned long attributes = flags & MS_NODEV ? MOUNT_ATTR_NODEV : 0;
  int source = reopen(directory, O_PATH | O_DIRECTORY);
  int tree = source < 0 ? -1 : tree_of(source);
  if (tree < 0 || attach(tree, target, attributes) != 0) fail("bind", errno, "root directory");
}

static int made_below(int directory, const char *name) {
  if (mkdirat(directory, name, 0755) != 0) fail("stage", errno, name);
  int fd = openat(directory, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail("stage", errno, name);
  return fd;
}

/* The tree with a tmpfs above it that takes the writes. */
static void mount_discarding(struct stage *stage, const struct root_fds *fds, int target, bool user_xattrs, unsigned long flags) {
  int scratch = stage_directory(stage);
  int upper = made_below(scratch, "upper");
  int work = made_below(scratch, "work");
  /* What would have been written to lies uppermost of what is only read. */
  int top = fds->directory >= 0 ? fds->directory : fds->upper;
  struct root_fds lowers = {.lowers = calloc(fds->lower_count + 1, sizeof *lowers.lowers), .upper = -1, .work = -1};
  if (lowers.lowers == NULL) fail("overlay", ENOMEM, "lower directories");
  if (top >= 0) lowers.lowers[lowers.lower_count++] = top;
  for (size_t i = 0; i < fds->lower_count; i++) lowers.lowers[lowers.lower_count++] = fds->lowers[i];
  mount_overlay(&lowers, upper, work, target, user_xattrs, flags);
  free(lowers.lowers);
  close(upper);
  close(work);
  close(scratch);
}

int mount_root(struct stage *stage, const struct root_fds *fds, bool user_xattrs, bool discard, unsigned long flags) {
  int target;
  if (discard) {
    int first = stage_directory(stage);
    char name[16];
    snprintf(name, sizeof name, "m%u", stage->mounts - 1);
    mount_discarding(stage, fds, first, user_xattrs, flags);
    close(first);
    target = openat(stage->directory, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (target < 0) fail("stage", errno, name);
    return target;
  }
  target = stage_directory(stage);
  if (fds->directory >= 0) mount_directory(fds->directory, target, flags);
  else if (fds->lower_count == 1 && fds->upper < 0) mount_directory(fds->lowers[0], target, flags);
  else mount_overlay(fds, fds->upper, fds->work, target, user_xattrs, flags);
  close(target);
  return reopen_last(stage);
}

int enter_root(int root) {
  int old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (old_root < 0) fail("pivot", errno, "/");
  if (fchdir(root) != 0) fail("pivot", errno, "root");
  if (syscall(SYS_pivot_root, ".", ".") == 0) return old_root;
  /* An initramfs cannot be pivoted away from: cover it. */
  if (errno != EINVAL || mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0) fail("pivot", errno, "root");
  close(old_root);
  return -1;
}

void leave_old_root(int old_root) {
  if (old_root < 0) return;
  if (fchdir(old_root) != 0 || umount2(".", MNT_DETACH) != 0) fail("pivot", errno, "old root");
  close(old_root);
  if (chdir("/") != 0) fail("pivot", errno, "/");
}
