/*
 * Forks supervisors ahead of their steps. Nothing of a step is in them before they are given one.
 * Runs in: the server, with the capabilities of tsbuild, and the child that becomes the supervisor.
 */
#include "spare.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "report.h"

enum { SPEC_FD = 3 };
/* The pipes of a step. */
enum { GO = STREAMS, INIT_GO, PIPES };

/* The descriptors `supervise` expects; what else is open it closes. */
static _Noreturn void run_supervisor(int ends[PIPES][2], int spec, const struct standing *standing, const sigset_t *signals) {
  const int from[] = {ends[0][1], ends[1][1], ends[RECORDS][1], spec, ends[GO][0], ends[INIT_GO][0]};
  static const int places[] = {1, 2, RECORD_FD, SPEC_FD, GO_FD, INIT_GO_FD};
  enum { COUNT = sizeof places / sizeof places[0] };
  sigprocmask(SIG_SETMASK, signals, NULL);
  signal(SIGPIPE, SIG_DFL);
  /* First out of the way of the low numbers: what is copied there may lie there. */
  int own[COUNT];
  for (int i = 0; i < COUNT; i++) own[i] = fcntl(from[i], F_DUPFD_CLOEXEC, INIT_GO_FD + 1);
  for (int i = 0; i < COUNT; i++)
    if (own[i] < 0 || dup2(own[i], places[i]) < 0) _exit(SETUP_FAILED);
  _exit(supervise(standing));
}

static void close_all(const int *fds, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (fds[i] >= 0) close(fds[i]);
}

void spare_make(struct spare *spare, const struct standing *standing, const sigset_t *signals) {
  int ends[PIPES][2];
  memset(ends, -1, sizeof ends);
  int spec = memfd_create("spec", MFD_CLOEXEC);
  bool made = spec >= 0;
  for (int i = 0; i < PIPES && made; i++) made = pipe2(ends[i], O_CLOEXEC) == 0;
  pid_t pid = made ? fork() : -1;
  if (pid == 0) run_supervisor(ends, spec, standing, signals);
  *spare = (struct spare){.made = pid > 0, .pid = pid, .init_go = ends[INIT_GO][1], .go = ends[GO][1], .spec = spec};
  for (int i = 0; i < STREAMS; i++) spare->streams[i] = ends[i][0];
  const int theirs[] = {ends[0][1], ends[1][1], ends[2][1], ends[GO][0], ends[INIT_GO][0]};
  close_all(theirs, PIPES);
  if (spare->made) return;
  const int ours[] = {ends[0][0], ends[1][0], ends[2][0], spare->go, spare->init_go, spec};
  close_all(ours, PIPES + 1);
}

bool spare_give(struct spare *spare, const uint8_t *spec, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t wrote = pwrite(spare->spec, spec + done, size - done, (off_t)done);
    if (wrote <= 0) return false;
    done += (size_t)wrote;
  }
  /* One that has died has a record that says why. */
  if (write(spare->init_go, "", 1) != 1 && errno != EPIPE) return false;
  if (write(spare->go, "", 1) != 1 && errno != EPIPE) return false;
  close(spare->spec);
  close(spare->go);
  spare->made = false;
  return true;
}
