/*
 * Runs the helper again from a sealed memory file, so that a step which gets hold of /proc/1/exe finds nothing it can
 * overwrite: not the program other builds run.
 * Runs in: the first process, before anything else, with the capabilities of tsbuild.
 */
#include "seal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "report.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

static bool is_sealed(int self) {
  int seals = fcntl(self, F_GET_SEALS);
  return seals >= 0 && (seals & SEALS) == SEALS;
}

static int memory_file(void) {
  int fd = memfd_create("tsbuild-sandbox", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  return fd < 0 && errno == EINVAL ? memfd_create("tsbuild-sandbox", MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd;
}

void seal_self(char **argv, char **envp) {
  int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (self < 0) fail("seal", errno, "/proc/self/exe");
  if (is_sealed(self)) {
    close(self);
    return;
  }
  struct stat status;
  int copy = memory_file();
  if (copy < 0 || fstat(self, &status) != 0) fail("seal", errno, "memfd");
  for (off_t left = status.st_size; left > 0;) {
    ssize_t sent = sendfile(copy, self, NULL, (size_t)left);
    if (sent <= 0) fail("seal", sent < 0 ? errno : EIO, "copy");
    left -= sent;
  }
  if (fcntl(copy, F_ADD_SEALS, SEALS) != 0) fail("seal", errno, "seals");
  syscall(SYS_execveat, copy, "", argv, envp, AT_EMPTY_PATH);
  fail("seal", errno, "exec");
}
