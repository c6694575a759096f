/*
 * Files placed for the time of a step. What has the name already is renamed meanwhile and keeps its inode, links and
 * times; the directory gets the time it would have had.
 * Runs in: the process that stands for PID 1, with the capabilities of root in a container.
 */
#include "chroot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "inroot.h"
#include "report.h"

struct placed {
  struct placed *older;
  int parent;
  bool hides;
  struct timespec before;
  struct timespec after;
  char name[NAME_MAX + 1];
  char aside[32];
};

static struct placed *newest = NULL;

static const struct {
  const char *name;
  unsigned major;
  unsigned minor;
} devices[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}};

static struct timespec modified(int directory) {
  struct stat status = {0};
  (void)fstat(directory, &status);
  return status.st_mtim;
}

/* Makes room for a file: afterwards there is none of that name. */
static struct placed *make_room(int root, const char *path) {
  static unsigned count = 0;
  struct placed *placed = calloc(1, sizeof *placed);
  char directory[PATH_MAX];
  const char *slash = strrchr(path, '/');
  size_t length = (size_t)(slash - path);
  if (placed == NULL || length >= sizeof directory || strlen(slash + 1) > NAME_MAX || slash[1] == 0) fail("mount-point", EINVAL, path);
  memcpy(directory, path, length);
  directory[length] = 0;
  strcpy(placed->name, slash + 1);
  int place = open_in_root(root, length == 0 ? "/" : directory, CREATE_DIRECTORY, true);
  placed->parent = place < 0 ? -1 : openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (placed->parent < 0) fail("mount-point", errno, path);
  close(place);
  placed->before = modified(placed->parent);
  snprintf(placed->aside, sizeof placed->aside, ".tsbuild-aside-%u", count++);
  placed->hides = renameat2(placed->parent, placed->name, placed->parent, placed->aside, RENAME_NOREPLACE) == 0;
  if (!placed->hides && errno != ENOENT) fail("mount-point", errno, path);
  placed->older = newest;
  newest = placed;
  return placed;
}

static void place_file(int root, const char *path, const struct bytes *content, mode_t mode, uid_t uid, gid_t gid) {
  struct placed *placed = make_room(root, path);
  int fd = openat(placed->parent, placed->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  if (fd < 0 || fchown(fd, uid, gid) != 0 || fchmod(fd, mode) != 0) fail("mount", errno, path);
  for (size_t sent = 0; sent < content->size;) {
    ssize_t wrote = write(fd, content->data + sent, content->size - sent);
    if (wrote < 0) fail("mount", errno, path);
    sent += (size_t)wrote;
  }
  close(fd);
  placed->after = modified(placed->parent);
}

/* Without CAP_MKNOD, or on a file system without devices, the step goes without. */
static void place_devices(int root) {
  for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
    char path[32];
    snprintf(path, sizeof path, "/dev/%s", devices[i].name);
    int present = open_in_root(root, path, CREATE_NOTHING, false);
    struct stat status;
    bool usable = present >= 0 && fstat(present, &status) == 0 && S_ISCHR(status.st_mode);
    if (present >= 0) close(present);
    if (usable) continue;
    struct placed *placed = make_room(root, path);
    (void)mknodat(placed->parent, placed->name, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor));
    placed->after = modified(placed->parent);
  }
}

void place_files(int root, const struct spec *spec) {
  place_devices(root);
  place_file(root, "/etc/hosts", &spec->hosts, 0644, 0, 0);
  if (spec->resolv_conf.size > 0) place_file(root, "/etc/resolv.conf", &spec->resolv_conf, 0644, 0, 0);
  for (size_t i = 0; i < spec->mount_count; i++) {
    const struct mount *mount = &spec->mounts[i];
    if (mount->kind != MOUNT_SECRET) fail("mount-rung", EPERM, mount->target);
    place_file(root, mount->target, &mount->content, mount->mode, mount->uid, mount->gid);
  }
}

void remove_files(void) {
  for (const struct placed *placed = newest; placed != NULL; placed = placed->older) {
    struct timespec now = modified(placed->parent);
    bool untouched = now.tv_sec == placed->after.tv_sec && now.tv_nsec == placed->after.tv_nsec;
    (void)unlinkat(placed->parent, placed->name, 0);
    if (placed->hides) (void)renameat(placed->parent, placed->aside, placed->parent, placed->name);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, untouched ? placed->before : now};
    (void)futimens(placed->parent, times);
  }
}
