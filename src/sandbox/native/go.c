/*
 * Waiting until another process says go.
 * Runs in: every process of the helper, whatever its capabilities.
 */
#include "go.h"

#include <errno.h>
#include <sys/types.h>
#include <unistd.h>

#include "report.h"

unsigned char await_go(int pipe) {
  unsigned char byte;
  ssize_t got;
  do got = read(pipe, &byte, 1);
  while (got < 0 && errno == EINTR);
  if (got != 1) _exit(SETUP_FAILED);
  return byte;
}
