/*
 * See parent.h.
 * Runs in: the supervisor of one step, or the server of many, with the capabilities of tsbuild.
 */
#include "parent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

pid_t clone_init(enum rung rung) {
  unsigned long namespaces = rung == RUNG_CHROOT ? 0 : CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
  return (pid_t)syscall(SYS_clone, namespaces | SIGCHLD, NULL, NULL, NULL, NULL);
}

int join_groups(const struct texts *groups, pid_t init) {
  char text[16];
  int length = 0;
  for (pid_t rest = init; rest > 0; rest /= 10) length++;
  for (int i = length - 1; i >= 0; i--, init /= 10) text[i] = (char)('0' + init % 10);
  for (size_t i = 0; i < groups->count; i++) {
    int fd = open(groups->items[i], O_WRONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    int error = write(fd, text, (size_t)length) == length ? 0 : errno;
    close(fd);
    if (error != 0) return error;
  }
  return 0;
}

static int64_t milliseconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void begin_abort(deadline *end, pid_t init, uint64_t grace) {
  if (*end == 0) *end = milliseconds_now() + (int64_t)grace;
  kill(init, SIGTERM);
}

int abort_due(deadline *end, pid_t init, enum rung rung) {
  if (*end == 0) return -1;
  int64_t left = *end - milliseconds_now();
  if (left > 0) return (int)left;
  end_init(init, rung);
  *end = milliseconds_now() + 1000;
  return 1000;
}

void end_init(pid_t init, enum rung rung) {
  /* Without a PID namespace PID 1's death frees its children: it is asked to end them instead. */
  kill(init, rung == RUNG_CHROOT ? SIGUSR2 : SIGKILL);
}

void close_from(unsigned first) {
  if (syscall(SYS_close_range, first, ~0U, 0) != 0 && errno == ENOSYS)
    for (unsigned fd = first; fd < 1024; fd++) close((int)fd);
}

void run_when_woken(void) {
  /* Not for the programs of steps. An older kernel takes no notice of the length. */
  struct sched_attr attributes = {
    .size = sizeof attributes, .sched_policy = SCHED_NORMAL, .sched_flags = SCHED_FLAG_RESET_ON_FORK, .sched_runtime = 100000,
  };
  (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}
