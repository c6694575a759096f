/*
 * Clones PID 1, passes the step's output on, and turns an abort into SIGTERM and, after the grace time, SIGKILL.
 * The step writes to real pipes, as in any container engine, because /dev/stdout cannot be opened when it is a socket,
 * which is what Node gives its children; the bytes are spliced on.
 * Runs in: the namespaces and with the capabilities of tsbuild.
 */
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"
#include "report.h"
#include "spec.h"

enum { SPEC_FD = 3, CHUNK = 1 << 16 };

struct relay {
  int from; /* -1: at its end */
  int to;
  bool full; /* wait until `to` takes more */
  bool copy; /* splice does not work for this target */
};

static unsigned long new_namespaces(const struct spec *spec) {
  if (spec->rung == RUNG_CHROOT) return 0;
  unsigned long flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
  return spec->network == NETWORK_NONE ? flags | CLONE_NEWNET : flags;
}

static void join_cgroups(const struct spec *spec, pid_t pid) {
  char text[16];
  int length = 0;
  for (pid_t rest = pid; rest > 0; rest /= 10) length++;
  for (int i = length - 1; i >= 0; i--, pid /= 10) text[i] = (char)('0' + pid % 10);
  for (size_t i = 0; i < spec->cgroups.count; i++) {
    int fd = open(spec->cgroups.items[i], O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, (size_t)length) != length) fail("cgroup", errno, spec->cgroups.items[i]);
    close(fd);
  }
}

/* Dies with tsbuild; a parent that is gone already is noticed by the process that took its place. */
static void tie_to_parent(const struct spec *spec) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) fail("supervise", errno, "prctl");
  if (spec->parent != 0 && (uint64_t)getppid() != spec->parent) _exit(SETUP_FAILED);
}

static ssize_t pass_on(struct relay *relay) {
  if (!relay->copy) {
    ssize_t moved = splice(relay->from, NULL, relay->to, NULL, CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved >= 0 || errno != EINVAL) return moved;
    relay->copy = true;
  }
  static char buffer[4096];
  ssize_t size = read(relay->from, buffer, sizeof buffer);
  for (ssize_t sent = 0; sent < size;) {
    ssize_t wrote = write(relay->to, buffer + sent, (size_t)(size - sent));
    if (wrote > 0) sent += wrote;
    else if (errno == EAGAIN) (void)poll(&(struct pollfd){.fd = relay->to, .events = POLLOUT}, 1, -1);
    else if (errno != EINTR) return -1;
  }
  return size;
}

static void advance(struct relay *relay, short ready) {
  if (relay->from < 0 || ready == 0) return;
  relay->full = false;
  ssize_t moved = pass_on(relay);
  if (moved > 0 || (moved < 0 && errno == EINTR)) return;
  if (moved < 0 && errno == EAGAIN) {
    relay->full = true;
    return;
  }
  close(relay->from);
  relay->from = -1;
}

static struct pollfd interest(const struct relay *relay) {
  if (relay->from < 0) return (struct pollfd){.fd = -1};
  return relay->full ? (struct pollfd){.fd = relay->to, .events = POLLOUT}
                     : (struct pollfd){.fd = relay->from, .events = POLLIN};
}

static int64_t milliseconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct watch {
  const struct spec *spec;
  pid_t init;
  int signals;
  int64_t deadline; /* 0: not aborted */
  bool ended;
  int status;
};

static void take_signal(struct watch *watch) {
  struct signalfd_siginfo info;
  if (read(watch->signals, &info, sizeof info) != sizeof info) return;
  if (info.ssi_signo == SIGCHLD) {
    if (waitpid(watch->init, &watch->status, WNOHANG) == watch->init) watch->ended = true;
    return;
  }
  if (watch->deadline == 0) watch->deadline = milliseconds_now() + (int64_t)watch->spec->grace;
  if (!watch->ended) kill(watch->init, (int)info.ssi_signo);
}

static int time_left(struct watch *watch) {
  if (watch->deadline == 0 || watch->ended) return -1;
  int64_t left = watch->deadline - milliseconds_now();
  if (left > 0) return (int)left;
  /* Without a PID namespace PID 1's death frees its children: it is asked to end them instead. */
  kill(watch->init, watch->spec->rung == RUNG_CHROOT ? SIGUSR2 : SIGKILL);
  watch->deadline = milliseconds_now() + 1000;
  return 1000;
}

/* Until PID 1 is gone, and with it every process of the step, and all they wrote has been passed on. */
static void pass_output(struct watch *watch, struct relay relays[2]) {
  while (!watch->ended || relays[0].from >= 0 || relays[1].from >= 0) {
    struct pollfd events[3] = {{.fd = watch->signals, .events = POLLIN}, interest(&relays[0]), interest(&relays[1])};
    int timeout = time_left(watch);
    if (poll(events, 3, timeout) < 0 && errno != EINTR) fail("supervise", errno, "poll");
    if (events[0].revents != 0) take_signal(watch);
    for (int i = 0; i < 2; i++) advance(&relays[i], events[i + 1].revents);
  }
}

static int watch_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGQUIT);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) fail("supervise", errno, "signalfd");
  signal(SIGPIPE, SIG_IGN);
  return fd;
}

static void open_pipe(int ends[2]) {
  if (pipe2(ends, O_CLOEXEC) != 0) fail("supervise", errno, "pipe");
}

int supervise(void) {
  static struct spec spec;
  if (syscall(SYS_close_range, RECORD_FD + 1, ~0U, 0) != 0 && errno == ENOSYS)
    for (int fd = RECORD_FD + 1; fd < 1024; fd++) close(fd);
  if (fcntl(RECORD_FD, F_SETFD, FD_CLOEXEC) != 0) return SETUP_FAILED;
  spec_read(&spec, SPEC_FD);
  close(SPEC_FD);
  tie_to_parent(&spec);
  setsid();
  struct watch watch = {.spec = &spec, .signals = watch_signals()};
  int output[2], error[2], alive[2];
  open_pipe(output);
  open_pipe(error);
  open_pipe(alive);
  watch.init = (pid_t)syscall(SYS_clone, new_namespaces(&spec) | SIGCHLD, NULL, NULL, NULL, NULL);
  if (watch.init < 0) fail("namespaces", errno, "clone");
  if (watch.init == 0) {
    close(output[0]);
    close(error[0]);
    close(alive[1]);
    close(watch.signals);
    run_init(&spec, &(struct channels){.output = output[1], .error = error[1], .alive = alive[0]});
  }
  close(output[1]);
  close(error[1]);
  close(alive[0]);
  join_cgroups(&spec, watch.init);
  if (write(alive[1], "", 1) != 1 && errno != EPIPE) fail("supervise", errno, "pipe");
  struct relay relays[2] = {{.from = output[0], .to = 1}, {.from = error[0], .to = 2}};
  for (int fd = 1; fd <= 2; fd++) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  pass_output(&watch, relays);
  return WIFEXITED(watch.status) ? WEXITSTATUS(watch.status) : SETUP_FAILED;
}
