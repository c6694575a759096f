/*
 * Runs the steps of a build, any number at once: PID 1 of each is forked from here, and what it says is passed on.
 * A fork of this small process costs a fraction of what starting one costs tsbuild, with all its memory. One such process
 * stands ready for the next step, its namespaces and system mounts made while the last one runs or is packed. A held step
 * is given to it while the one beneath runs: all is done then that needs no root.
 * Runs in: the first process, with the capabilities of tsbuild, in no namespace of a step.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parent.h"
#include "report.h"
#include "spare.h"

enum { REQUEST_FD = 3, ANSWER_FD = 4, HEADER = 9, CHUNK = 1 << 16, FIXED = 2 };

struct step {
  uint32_t id;
  pid_t pid;            /* 0: reaped, with `status` */
  int status;
  int streams[STREAMS]; /* read ends, by kind of answer - 1; -1: at its end */
  int go;               /* write end; the bytes PID 1 waits for (init.h) */
  int spec;             /* the file it is read from; -1: it has been */
  uint64_t grace;       /* milliseconds between SIGTERM and its end */
  deadline abort;
  bool leaves_late;     /* what it was in must be empty when it has ended */
  bool succeeded;       /* its exit record says so: no process of it is left but PID 1, which ends */
  bool announced;       /* tsbuild was told its end */
};

/* What all steps have in common. */
static struct {
  enum rung rung;
  bool legacy_mounts;
} settings;

static struct spare spare;

static struct {
  struct step *items;
  size_t count;
  size_t room;
} steps;

static uint32_t number_at(const uint8_t *bytes) {
  return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void put_number(uint8_t *bytes, uint32_t number) {
  for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(number >> (8 * i));
}

/* tsbuild is gone, or gives up: nothing of a step stays. */
static _Noreturn void end_all(int status) {
  for (size_t i = 0; i < steps.count; i++) {
    close(steps.items[i].go);
    if (steps.items[i].pid > 0) end_init(steps.items[i].pid, settings.rung);
  }
  if (spare.made) close(spare.go);
  if (spare.made && spare.pid > 0) end_init(spare.pid, settings.rung);
  while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) continue;
  _exit(status);
}

/* False at the end of the requests. */
static bool read_request(uint8_t *into, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t got = read(REQUEST_FD, into + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += (size_t)got;
  }
  return true;
}

static void answer(enum answer_kind kind, uint32_t id, const void *data, size_t size) {
  uint8_t header[HEADER] = {(uint8_t)kind};
  put_number(header + 1, id);
  put_number(header + 5, (uint32_t)size);
  struct iovec parts[2] = {{.iov_base = header, .iov_len = HEADER}, {.iov_base = (void *)data, .iov_len = size}};
  for (size_t left = HEADER + size; left > 0;) {
    ssize_t wrote = writev(ANSWER_FD, parts, 2);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) end_all(SETUP_FAILED);
    left -= (size_t)wrote;
    for (int i = 0; i < 2; i++) {
      size_t part = (size_t)wrote < parts[i].iov_len ? (size_t)wrote : parts[i].iov_len;
      parts[i].iov_base = (uint8_t *)parts[i].iov_base + part;
      parts[i].iov_len -= part;
      wrote -= (ssize_t)part;
    }
  }
}

static void need_spare(void) {
  if (!spare.made) spare_make(&spare, settings.rung, settings.legacy_mounts);
}

/* What a step that was announced has mounted, the next one may mount. */
static void await_leaving(void) {
  for (size_t i = 0; i < steps.count; i++) {
    struct step *step = &steps.items[i];
    if (step->announced && step->pid > 0 && waitpid(step->pid, &step->status, 0) == step->pid) step->pid = 0;
  }
}

/* What is wrong with it PID 1 says. */
static void give_spec(struct step *step, uint8_t *data, size_t size) {
  struct spec spec;
  unsigned char joined = 0;
  if (step->pid > 0 && size >= SPEC_HEADER && spec_parse(&spec, data + SPEC_HEADER, size - SPEC_HEADER) == NULL) {
    step->grace = spec.grace;
    step->leaves_late = spec.cgroups.count > 0 || spec.rung == RUNG_CHROOT;
    joined = (unsigned char)join_groups(&spec.cgroups, step->pid);
    spec_free(&spec);
  }
  (void)!write(step->go, &joined, 1);
}

/* Gives the spare a step. NULL: it cannot be started. */
static struct step *start_step(uint32_t id, uint8_t *spec, size_t size) {
  need_spare();
  if (!spare.made) return NULL;
  if (steps.count == steps.room) {
    size_t room = steps.room == 0 ? 16 : steps.room * 2;
    struct step *items = realloc(steps.items, room * sizeof *items);
    if (items == NULL) return NULL;
    steps.items = items;
    steps.room = room;
  }
  if (!write_spec(spare.spec, spec, size)) return NULL;
  struct step *step = &steps.items[steps.count++];
  *step = (struct step){.id = id, .pid = spare.pid, .status = spare.status, .go = spare.go, .spec = spare.spec};
  memcpy(step->streams, spare.streams, sizeof step->streams);
  spare.made = false;
  give_spec(step, spec, size);
  return step;
}

static void forget_spec(struct step *step) {
  if (step->spec >= 0) close(step->spec);
  step->spec = -1;
}

/* `spec`: another than the one it was given, unless `size` is 0. */
static void let_mount(struct step *step, const uint8_t *spec, size_t size) {
  if (size > 0 && !write_spec(step->spec, spec, size)) end_init(step->pid, settings.rung);
  forget_spec(step);
  await_leaving();
  (void)!write(step->go, "", 1);
}

/* NULL: it has ended. */
static struct step *step_of(uint32_t id) {
  for (size_t i = 0; i < steps.count; i++)
    if (steps.items[i].id == id) return &steps.items[i];
  return NULL;
}

static void take_request(void) {
  uint8_t header[HEADER];
  if (!read_request(header, HEADER)) end_all(0);
  uint32_t id = number_at(header + 1), size = number_at(header + 5);
  uint8_t *data = malloc(size + 1U);
  if (data == NULL || !read_request(data, size)) end_all(SETUP_FAILED);
  bool held = header[0] == REQUEST_HOLD, starts = held || header[0] == REQUEST_STEP;
  struct step *step = starts ? start_step(id, data, size) : step_of(id);
  if (starts && step == NULL) {
    uint8_t code = SETUP_FAILED;
    answer(ANSWER_EXITED, id, &code, 1);
  }
  /* The one after it, while the step beneath runs. */
  if (held) need_spare();
  if (header[0] == REQUEST_STEP && step != NULL) let_mount(step, NULL, 0);
  if (header[0] == REQUEST_MOUNT && step != NULL && step->pid > 0) let_mount(step, data, size);
  if (header[0] == REQUEST_SIGNAL && size == 1 && step != NULL && step->pid > 0) {
    if (data[0] == ABORT) begin_abort(&step->abort, step->pid, step->grace);
    else kill(step->pid, data[0]);
  }
  if (header[0] == REQUEST_BEGIN && step != NULL) (void)!write(step->go, "", 1);
  free(data);
}

static const char success[] = "exit\0exited\0" "0";

/* Whether one of the records says so. They are written whole. */
static bool tell_success(const uint8_t *records, size_t size) {
  for (size_t at = 0; at + 4 <= size; at += 4 + number_at(records + at))
    if (size - at - 4 >= sizeof success && memcmp(records + at + 4, success, sizeof success) == 0) return true;
  return false;
}

static void pass_on(struct step *step, int stream) {
  static uint8_t buffer[CHUNK];
  ssize_t size = read(step->streams[stream], buffer, sizeof buffer);
  if (size < 0 && errno == EINTR) return;
  if (size > 0) {
    answer((enum answer_kind)(stream + 1), step->id, buffer, (size_t)size);
    if (stream != RECORDS) return;
    if (tell_success(buffer, (size_t)size)) step->succeeded = true;
    return;
  }
  close(step->streams[stream]);
  step->streams[stream] = -1;
}

static void reap(int arrived) {
  struct signalfd_siginfo info;
  (void)!read(arrived, &info, sizeof info);
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
    for (size_t i = 0; i <= steps.count; i++) {
      pid_t *known = i < steps.count ? &steps.items[i].pid : &spare.pid;
      if (*known != pid) continue;
      *known = 0;
      *(i < steps.count ? &steps.items[i].status : &spare.status) = status;
    }
}

/*
 * A step has ended when its PID 1 is gone and all that it wrote has been passed on; one that succeeded already when no
 * process of it is left to write: its mounts take longer to go than tsbuild needs to begin with what it changed.
 */
static bool announce_ends(void) {
  size_t kept = 0;
  bool any = false;
  for (size_t i = 0; i < steps.count; i++) {
    struct step *step = &steps.items[i];
    bool silent = step->streams[0] < 0 && step->streams[1] < 0;
    bool gone = step->pid == 0 && silent && step->streams[RECORDS] < 0;
    if (!step->announced && (gone || (silent && step->succeeded && !step->leaves_late))) {
      bool killed = gone && WIFSIGNALED(step->status);
      uint8_t number = (uint8_t)(!gone ? 0 : killed ? WTERMSIG(step->status) : WEXITSTATUS(step->status));
      answer(killed ? ANSWER_KILLED : ANSWER_EXITED, step->id, &number, 1);
      step->announced = true;
      any = true;
    }
    if (!gone) {
      steps.items[kept++] = *step;
      continue;
    }
    close(step->go);
    forget_spec(step);
  }
  steps.count = kept;
  return any;
}

/* Ends what did not heed an abort; returns the milliseconds until the next one's time is over, -1 where there is none. */
static int end_overdue(void) {
  int least = -1;
  for (size_t i = 0; i < steps.count; i++) {
    struct step *step = &steps.items[i];
    int left = step->pid > 0 ? abort_due(&step->abort, step->pid, settings.rung) : -1;
    if (left >= 0 && (least < 0 || left < least)) least = left;
  }
  return least;
}

static int watch_children(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int serve(enum rung rung, bool legacy_mounts) {
  /* A session of its own: Ctrl-C on the terminal is tsbuild's to pass on. */
  setsid();
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return SETUP_FAILED;
  for (int fd = REQUEST_FD; fd <= ANSWER_FD; fd++)
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return SETUP_FAILED;
  run_when_woken();
  settings.rung = rung;
  settings.legacy_mounts = legacy_mounts;
  int children = watch_children();
  if (children < 0) return SETUP_FAILED;
  need_spare();
  struct pollfd *events = NULL;
  for (;;) {
    size_t count = steps.count;
    struct pollfd *grown = realloc(events, (FIXED + count * STREAMS) * sizeof *events);
    if (grown == NULL) end_all(SETUP_FAILED);
    events = grown;
    events[0] = (struct pollfd){.fd = REQUEST_FD, .events = POLLIN};
    events[1] = (struct pollfd){.fd = children, .events = POLLIN};
    for (size_t i = 0; i < count * STREAMS; i++)
      events[FIXED + i] = (struct pollfd){.fd = steps.items[i / STREAMS].streams[i % STREAMS], .events = POLLIN};
    if (poll(events, FIXED + count * STREAMS, end_overdue()) < 0) {
      if (errno == EINTR) continue;
      end_all(SETUP_FAILED);
    }
    for (size_t i = 0; i < count * STREAMS; i++)
      if (events[FIXED + i].revents != 0) pass_on(&steps.items[i / STREAMS], (int)(i % STREAMS));
    if (events[1].revents != 0) reap(children);
    if (announce_ends()) need_spare();
    if (events[0].revents != 0) take_request();
  }
}
