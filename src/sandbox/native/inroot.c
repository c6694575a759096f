/*
 * Walks paths one component at a time by descriptor, so that a link is text to be read and never something the kernel
 * follows for us; the way back up is the stack of descriptors we came by.
 * Runs in: PID 1 of the step, with all capabilities of its user namespace; no process of the step lives meanwhile.
 */
#include "inroot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tree.h"

enum { DEEPEST = 256, MOST_LINKS = 40 };

struct mount_point {
  struct mount_point *older;
  int parent;
  bool directory;
  ino_t inode;
  struct timespec before;
  struct timespec after;
  char name[NAME_MAX + 1];
};

struct walk {
  int stack[DEEPEST]; /* stack[0] is the root */
  int depth;
  int links;
  char rest[2 * PATH_MAX];
};

static struct mount_point *newest = NULL;

static bool on_procfs(int fd) {
  struct statfs filesystem;
  return fstatfs(fd, &filesystem) == 0 && filesystem.f_type == PROC_SUPER_MAGIC;
}

static int modified(int directory, struct timespec *time) {
  struct stat status;
  if (fstat(directory, &status) != 0) return -1;
  *time = status.st_mtim;
  return 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b) {
  return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static void set_modified(int directory, const struct timespec *time) {
  const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, *time};
  (void)futimens(directory, times);
}

static int make(int parent, const char *name, bool directory) {
  if (directory) return mkdirat(parent, name, 0755);
  int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0) return -1;
  close(fd);
  return 0;
}

static int make_temporary(int parent, const char *name, bool directory) {
  struct mount_point *point = calloc(1, sizeof *point);
  if (point == NULL) return -1;
  point->directory = directory;
  strncpy(point->name, name, NAME_MAX);
  point->parent = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat status;
  if (point->parent < 0 || modified(point->parent, &point->before) != 0 || make(point->parent, name, directory) != 0 ||
      modified(point->parent, &point->after) != 0 || fstatat(point->parent, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
    int error = errno;
    if (point->parent >= 0) close(point->parent);
    free(point);
    errno = error;
    return -1;
  }
  point->inode = status.st_ino;
  point->older = newest;
  newest = point;
  return 0;
}

/* Puts the text of the link `fd` before what is left of the path. */
static int follow(struct walk *walk, int fd) {
  char text[2 * PATH_MAX];
  if (++walk->links > MOST_LINKS || on_procfs(fd)) return errno = ELOOP, -1;
  ssize_t length = readlinkat(fd, "", text, PATH_MAX);
  if (length < 0) return -1;
  size_t left = strlen(walk->rest);
  if (length == 0 || length >= PATH_MAX || (size_t)length + 1 + left >= sizeof walk->rest) return errno = ENAMETOOLONG, -1;
  text[length] = '/';
  memcpy(text + length + 1, walk->rest, left + 1);
  memcpy(walk->rest, text, (size_t)length + 1 + left + 1);
  if (text[0] == '/') {
    for (; walk->depth > 0; walk->depth--) close(walk->stack[walk->depth]);
  }
  return 0;
}

/* Cuts the next component off the path; NULL at its end. */
static const char *next_component(struct walk *walk, char name[NAME_MAX + 1], bool *last) {
  const char *start = walk->rest + strspn(walk->rest, "/");
  size_t length = strcspn(start, "/");
  if (length == 0) return errno = 0, NULL;
  if (length > NAME_MAX) return errno = ENAMETOOLONG, NULL;
  memcpy(name, start, length);
  name[length] = 0;
  const char *rest = start + length;
  *last = rest[strspn(rest, "/")] == 0;
  memmove(walk->rest, rest, strlen(rest) + 1);
  return name;
}

static int step_into(struct walk *walk, const char *name, bool last, enum create create, bool temporary) {
  int here = walk->stack[walk->depth];
  int fd = openat(here, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT && create != CREATE_NOTHING) {
    bool directory = !last || create == CREATE_DIRECTORY;
    if ((temporary ? make_temporary : make)(here, name, directory) != 0) return -1;
    fd = openat(here, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  }
  if (fd < 0) return -1;
  struct stat status;
  int result = fstat(fd, &status);
  if (result == 0 && S_ISLNK(status.st_mode)) {
    result = follow(walk, fd);
    close(fd);
    return result;
  }
  if (result == 0 && walk->depth + 1 == DEEPEST) result = (errno = ENAMETOOLONG, -1);
  if (result != 0) {
    close(fd);
    return -1;
  }
  walk->stack[++walk->depth] = fd;
  return 0;
}

int open_in_root(int root, const char *path, enum create create, bool temporary) {
  static struct walk walk;
  walk.depth = 0;
  walk.links = 0;
  walk.stack[0] = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (walk.stack[0] < 0) return -1;
  int result = 0;
  size_t length = strlen(path);
  if (length >= PATH_MAX) result = (errno = ENAMETOOLONG, -1);
  else memcpy(walk.rest, path, length + 1);
  char name[NAME_MAX + 1];
  bool last = false;
  while (result == 0 && next_component(&walk, name, &last) != NULL) {
    if (strcmp(name, ".") == 0) continue;
    if (strcmp(name, "..") == 0) {
      if (walk.depth > 0) close(walk.stack[walk.depth--]);
      continue;
    }
    result = step_into(&walk, name, last, create, temporary);
    if (result == 0) errno = 0;
  }
  if (result == 0 && errno == ENAMETOOLONG) result = -1;
  int error = errno;
  int found = result == 0 ? walk.stack[walk.depth--] : -1;
  for (; walk.depth >= 0; walk.depth--) close(walk.stack[walk.depth]);
  errno = error;
  return found;
}

int read_in_root(int root, const char *path) {
  int place = open_in_root(root, path, CREATE_NOTHING, false);
  if (place < 0) return -1;
  struct stat status;
  int fd = -1;
  if (fstat(place, &status) == 0 && !S_ISREG(status.st_mode)) errno = EINVAL;
  else fd = reopen(place, O_RDONLY | O_NONBLOCK);
  int error = errno;
  close(place);
  errno = error;
  return fd;
}

static void remove_point(const struct mount_point *point) {
  if (fchdir(point->parent) != 0) return;
  while (umount2(point->name, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
  struct timespec now;
  struct stat status;
  if (modified(point->parent, &now) != 0) return;
  if (fstatat(point->parent, point->name, &status, AT_SYMLINK_NOFOLLOW) != 0) return;
  if (status.st_ino != point->inode || (!point->directory && status.st_size != 0)) return;
  if (unlinkat(point->parent, point->name, point->directory ? AT_REMOVEDIR : 0) != 0) return;
  set_modified(point->parent, same_time(&now, &point->after) ? &point->before : &now);
}

void remove_mount_points(void) {
  for (struct mount_point *point = newest; point != NULL; point = point->older) remove_point(point);
}
