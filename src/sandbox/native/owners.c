/*
 * Owners a step gives where only one ID is mapped. The call itself succeeds without effect, as before; its files are found
 * through /proc by what the caller names, as far as the root of the step reaches.
 * Runs in: PID 1 of the step, with all capabilities of its user namespace, inside the step's root.
 */
#include "owners.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "report.h"
#include "tree.h"

static const char attribute[] = "user.tsbuild.owner";

struct change {
  int directory; /* AT_FDCWD, or a descriptor of the caller */
  uint64_t path; /* address in the caller; 0: the descriptor itself */
  uint32_t uid;
  uint32_t gid;
  int flags;
};

static struct change change_of(const struct seccomp_data *call) {
  const __u64 *args = call->args;
  struct change named = {.directory = AT_FDCWD, .path = args[0], .uid = (uint32_t)args[1], .gid = (uint32_t)args[2]};
  switch (call->nr) {
    case SYS_fchown:
      named.directory = (int)args[0];
      named.path = 0;
      return named;
    case SYS_fchownat:
      return (struct change){(int)args[0], args[1], (uint32_t)args[2], (uint32_t)args[3], (int)args[4]};
#ifdef SYS_lchown
    case SYS_lchown:
      named.flags = AT_SYMLINK_NOFOLLOW;
      return named;
#endif
    default:
      return named;
  }
}

/* The text at an address of the caller; at most a page is there for sure, so it is read to the end of each. */
static int read_path(pid_t pid, uint64_t address, char path[PATH_MAX]) {
  char name[32];
  snprintf(name, sizeof name, "/proc/%d/mem", pid);
  int memory = open(name, O_RDONLY | O_CLOEXEC);
  if (memory < 0) return errno;
  size_t have = 0;
  int error = ENAMETOOLONG;
  while (have < PATH_MAX) {
    size_t wanted = 4096 - (address + have) % 4096;
    if (wanted > PATH_MAX - have) wanted = PATH_MAX - have;
    ssize_t got = pread(memory, path + have, wanted, (off_t)(address + have));
    if (got <= 0) error = EFAULT;
    if (got <= 0 || memchr(path + have, 0, (size_t)got) != NULL) {
      if (got > 0) error = 0;
      break;
    }
    have += (size_t)got;
  }
  close(memory);
  return error;
}

/* What the caller names, as a descriptor that stands for it without opening it; -1 with errno. */
static int open_subject(pid_t pid, const struct change *change) {
  char path[PATH_MAX] = "", base[48];
  if (change->path != 0) {
    int error = read_path(pid, change->path, path);
    if (error != 0) {
      errno = error;
      return -1;
    }
  }
  if (change->path != 0 && path[0] == 0 && !(change->flags & AT_EMPTY_PATH)) {
    errno = ENOENT;
    return -1;
  }
  if (path[0] == '/') snprintf(base, sizeof base, "/proc/%d/root", pid);
  else if (change->directory == AT_FDCWD) snprintf(base, sizeof base, "/proc/%d/cwd", pid);
  else snprintf(base, sizeof base, "/proc/%d/fd/%d", pid, change->directory);
  int from = open(base, O_PATH | O_CLOEXEC);
  const char *rest = path + strspn(path, "/");
  if (from < 0 || *rest == 0) return from;
  int nofollow = change->flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0;
  int subject = openat(from, rest, O_PATH | O_CLOEXEC | nofollow);
  int error = errno;
  close(from);
  errno = error;
  return subject;
}

/* -1 keeps an ID; an owner of 0:0 needs no attribute. What cannot carry one keeps its owner. */
static void record(int subject, const struct change *change) {
  char link[16], text[32];
  unsigned uid = 0, gid = 0;
  const char *file = as_path(subject, link);
  ssize_t length = getxattr(file, attribute, text, sizeof text - 1);
  if (length > 0) {
    text[length] = 0;
    if (sscanf(text, "%10u:%10u", &uid, &gid) != 2) uid = gid = 0;
  }
  if (change->uid != UINT32_MAX) uid = change->uid;
  if (change->gid != UINT32_MAX) gid = change->gid;
  int size = snprintf(text, sizeof text, "%u:%u", uid, gid);
  if (uid == 0 && gid == 0) (void)removexattr(file, attribute);
  else (void)setxattr(file, attribute, text, (size_t)size, 0);
  /* As chown(2) does for all but directories. */
  struct stat status;
  if (stat(file, &status) != 0 || !S_ISREG(status.st_mode)) return;
  mode_t cleared = S_ISUID | (status.st_mode & S_IXGRP ? S_ISGID : 0);
  if (status.st_mode & cleared) (void)chmod(file, status.st_mode & 07777 & ~cleared);
}

void answer_owner_call(int listener) {
  /* Larger than what any kernel fills; the rest must be zero. */
  static union {
    struct seccomp_notif call;
    char space[512];
  } request;
  static union {
    struct seccomp_notif_resp answer;
    char space[512];
  } response;
  memset(&request, 0, sizeof request);
  memset(&response, 0, sizeof response);
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request.call) != 0) return;
  struct change change = change_of(&request.call.data);
  int subject = open_subject((pid_t)request.call.pid, &change);
  response.answer.id = request.call.id;
  response.answer.error = subject < 0 ? -errno : 0;
  /* The caller may have ended, and its number may be another process's by now. */
  if (subject >= 0 && ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &request.call.id) == 0) record(subject, &change);
  if (subject >= 0) close(subject);
  (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response.answer);
}
