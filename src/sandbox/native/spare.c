/*
 * Forks first processes ahead of their steps. Nothing of a step is in one before it is given the step.
 * Runs in: the server, with the capabilities of tsbuild, and the child that becomes PID 1 of a step.
 */
#include "spare.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "init.h"
#include "parent.h"
#include "report.h"

enum { SPEC_FD = 3, GO_FD = RECORD_FD + 1, OUTPUT_FD, ERROR_FD };
/* The pipes of a step. */
enum { GO = STREAMS, PIPES };

/* What else is open is not this step's: the ends of other steps' pipes, and what tsbuild asks for. */
static _Noreturn void become_init(int ends[PIPES][2], int file, enum rung rung, bool legacy_mounts) {
  const int from[] = {ends[0][1], ends[1][1], ends[RECORDS][1], file, ends[GO][0]};
  static const int places[] = {OUTPUT_FD, ERROR_FD, RECORD_FD, SPEC_FD, GO_FD};
  enum { COUNT = sizeof places / sizeof places[0] };
  /* First out of the way of the low numbers: what is copied there may lie there. */
  int own[COUNT];
  for (int i = 0; i < COUNT; i++) own[i] = fcntl(from[i], F_DUPFD_CLOEXEC, ERROR_FD + 1);
  for (int i = 0; i < COUNT; i++)
    if (own[i] < 0 || dup3(own[i], places[i], O_CLOEXEC) < 0) _exit(SETUP_FAILED);
  close_from(ERROR_FD + 1);
  static struct spec spec;
  spec = (struct spec){.rung = rung, .legacy_mounts = legacy_mounts};
  run_init(&spec, &(struct channels){
    .input = -1, .output = OUTPUT_FD, .error = ERROR_FD, .terminal = -1, .alive = -1, .spec = SPEC_FD, .go = GO_FD,
  });
}

static void close_all(const int *fds, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (fds[i] >= 0) close(fds[i]);
}

void spare_make(struct spare *spare, enum rung rung, bool legacy_mounts) {
  int ends[PIPES][2];
  memset(ends, -1, sizeof ends);
  int spec = memfd_create("spec", MFD_CLOEXEC);
  bool made = spec >= 0;
  for (int i = 0; i < PIPES && made; i++) made = pipe2(ends[i], O_CLOEXEC) == 0;
  pid_t pid = made ? clone_init(rung) : -1;
  if (pid == 0) become_init(ends, spec, rung, legacy_mounts);
  *spare = (struct spare){.made = pid > 0, .pid = pid, .go = ends[GO][1], .spec = spec};
  for (int i = 0; i < STREAMS; i++) spare->streams[i] = ends[i][0];
  const int theirs[] = {ends[0][1], ends[1][1], ends[2][1], ends[GO][0]};
  close_all(theirs, PIPES);
  if (spare->made) return;
  const int ours[] = {ends[0][0], ends[1][0], ends[2][0], spare->go, spec};
  close_all(ours, PIPES + 1);
}

bool write_spec(int file, const uint8_t *spec, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t wrote = pwrite(file, spec + done, size - done, (off_t)done);
    if (wrote <= 0) return false;
    done += (size_t)wrote;
  }
  return true;
}
