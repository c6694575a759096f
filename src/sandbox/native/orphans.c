/*
 * Ends every descendant. A descendant whose parent dies becomes a child of this process (subreaper), so killing
 * children until there are none reaches all, a fork bomb included: each round takes the whole generation.
 * Runs in: the process that stands for PID 1, with the capabilities of root in a container.
 */
#include "orphans.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"

static int proc = -1;

void watch_orphans(void) {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) fail("init", errno, "subreaper");
  proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) fail("init", errno, "/proc");
}

/* The parent, from "pid (name) state parent ...", where the name may hold anything. */
static pid_t parent_of(const char *pid) {
  char path[64], text[512];
  snprintf(path, sizeof path, "%.20s/stat", pid);
  int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  if (size <= 0) return -1;
  text[size] = 0;
  const char *end = strrchr(text, ')');
  return end == NULL || strlen(end) < 4 ? -1 : (pid_t)atoi(end + 4);
}

static void kill_children(int signal_number) {
  int copy = openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = copy < 0 ? NULL : fdopendir(copy);
  if (directory == NULL) return;
  pid_t self = getpid();
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
    if (isdigit((unsigned char)entry->d_name[0]) && parent_of(entry->d_name) == self)
      kill((pid_t)atoi(entry->d_name), signal_number);
  closedir(directory);
}

void end_orphans(void) {
  for (;;) {
    kill_children(SIGKILL);
    pid_t pid = waitpid(-1, NULL, 0);
    if (pid < 0 && errno == ECHILD) return;
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  }
}
