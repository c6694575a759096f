/*
 * Clones PID 1, passes the step's output on, and turns an abort into SIGTERM and, after the grace time, SIGKILL.
 * The step writes to real pipes, as in any container engine, because /dev/stdout cannot be opened when it is a socket,
 * which is what Node gives its children, or to a terminal of its own; the bytes are passed on.
 * Runs in: the namespaces and with the capabilities of tsbuild.
 */
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "descriptor-channel.h"
#include "init.h"
#include "parent.h"
#include "relay.h"
#include "report.h"
#include "spec.h"
#include "terminal.h"

enum { SPEC_FD = 3, OUTPUT = 0, ERROR = 1, INPUT = 2, RELAYS = 3 };

/* Dies with its parent; one that is gone already is noticed by the process that took its place. */
static void tie_to_parent(pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) fail("supervise", errno, "prctl");
  if (parent != 0 && getppid() != parent) _exit(SETUP_FAILED);
}

/* From the kernel, instead of SIGKILL: tsbuild is gone, and the user's terminal is to be as it was. */
#define PARENT_GONE SIGRTMIN

struct watch {
  const struct spec *spec;
  pid_t init;
  int signals;
  deadline abort;
  int master;       /* of the step's terminal; -1: it has none */
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
  if ((int)info.ssi_signo == PARENT_GONE) {
    restore_terminal();
    _exit(SETUP_FAILED);
  }
  if (info.ssi_signo == SIGWINCH) {
    if (watch->master >= 0) copy_window_size(watch->master);
    return;
  }
  if (watch->ended) return;
  if (info.ssi_signo == ABORT) begin_abort(&watch->abort, watch->init, watch->spec->grace);
  else kill(watch->init, (int)info.ssi_signo);
}

/* The user's terminal hung up: nobody can see or end the step any more. */
static bool lost_terminal(const struct watch *watch, const struct relay relays[RELAYS]) {
  if (watch->master < 0 || watch->ended || watch->abort != 0) return false;
  return relays[OUTPUT].from < 0 || (watch->spec->input && relays[INPUT].from < 0);
}

/* Until PID 1 is gone, and with it every process of the step, and all they wrote has been passed on. */
static void pass_streams(struct watch *watch, struct relay relays[RELAYS]) {
  while (!watch->ended || relays[OUTPUT].from >= 0 || relays[ERROR].from >= 0) {
    struct pollfd events[1 + RELAYS] = {{.fd = watch->signals, .events = POLLIN}};
    for (int i = 0; i < RELAYS; i++) events[1 + i] = relay_interest(&relays[i]);
    int timeout = watch->ended ? -1 : abort_due(&watch->abort, watch->init, watch->spec->rung);
    if (poll(events, 1 + RELAYS, timeout) < 0 && errno != EINTR) fail("supervise", errno, "poll");
    if (events[0].revents != 0) take_signal(watch);
    for (int i = 0; i < RELAYS; i++) relay_advance(&relays[i], events[1 + i].revents);
    if (lost_terminal(watch, relays)) begin_abort(&watch->abort, watch->init, watch->spec->grace);
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
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGWINCH);
  sigaddset(&set, ABORT);
  sigaddset(&set, PARENT_GONE);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) fail("supervise", errno, "signalfd");
  signal(SIGPIPE, SIG_IGN);
  return fd;
}

/* Read end first, but `terminal`: ours first. -1: not used. */
struct pipes {
  int input[2];
  int output[2];
  int error[2];
  int terminal[2];
  int alive[2];
};

static void open_pipe(int ends[2]) {
  if (pipe2(ends, O_CLOEXEC) != 0) fail("supervise", errno, "pipe");
}

static struct pipes open_pipes(const struct spec *spec) {
  struct pipes pipes = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
  open_pipe(pipes.alive);
  if (spec->terminal) {
    open_channel(pipes.terminal);
    return pipes;
  }
  open_pipe(pipes.output);
  open_pipe(pipes.error);
  if (spec->input) open_pipe(pipes.input);
  return pipes;
}

enum side { OURS, THEIRS };

static void close_ends(const struct pipes *pipes, enum side side) {
  const int ends[] = {pipes->input[1], pipes->output[0], pipes->error[0], pipes->terminal[0], pipes->alive[1],
                      pipes->input[0], pipes->output[1], pipes->error[1], pipes->terminal[1], pipes->alive[0]};
  for (int i = side == OURS ? 0 : 5; i < (side == OURS ? 5 : 10); i++)
    if (ends[i] >= 0) close(ends[i]);
}

static void relay_pipes(const struct pipes *pipes, struct relay relays[RELAYS]) {
  relays[OUTPUT] = (struct relay){.from = pipes->output[0], .to = 1};
  relays[ERROR] = (struct relay){.from = pipes->error[0], .to = 2};
  relays[INPUT] = (struct relay){.from = pipes->input[1] >= 0 ? 0 : -1, .to = pipes->input[1], .owns_to = true};
  for (int i = 0; i < RELAYS; i++)
    if (relays[i].to >= 0) fcntl(relays[i].to, F_SETFL, fcntl(relays[i].to, F_GETFL) | O_NONBLOCK);
}

/* PID 1 sends the terminal when the step is about to start, or ends without. */
static void relay_terminal(struct watch *watch, int channel, struct relay relays[RELAYS]) {
  watch->master = receive_descriptor(channel);
  close(channel);
  for (int i = 0; i < RELAYS; i++) relays[i] = (struct relay){.from = -1, .to = -1};
  if (watch->master < 0) return;
  copy_window_size(watch->master);
  relays[OUTPUT] = (struct relay){.from = dup(watch->master), .to = without_waiting(1, O_WRONLY)};
  if (!watch->spec->input) return;
  if (prctl(PR_SET_PDEATHSIG, PARENT_GONE, 0, 0, 0) != 0) fail("supervise", errno, "prctl");
  make_terminal_raw();
  relays[INPUT] = (struct relay){.from = 0, .to = watch->master};
}

int supervise(void) {
  static struct spec spec;
  close_from(RECORD_FD + 1);
  if (fcntl(RECORD_FD, F_SETFD, FD_CLOEXEC) != 0) return SETUP_FAILED;
  spec_read(&spec, SPEC_FD);
  close(SPEC_FD);
  tie_to_parent((pid_t)spec.parent);
  /* With a terminal it stays in the group of tsbuild, which is told when the window changes. */
  if (!spec.terminal) setsid();
  struct watch watch = {.spec = &spec, .signals = watch_signals(), .master = -1};
  struct pipes pipes = open_pipes(&spec);
  watch.init = clone_init(spec.rung);
  if (watch.init < 0) fail("namespaces", errno, "clone");
  if (watch.init == 0) {
    close_ends(&pipes, OURS);
    close(watch.signals);
    run_init(&spec, &(struct channels){
      .input = pipes.input[0], .output = pipes.output[1], .error = pipes.error[1],
      .terminal = pipes.terminal[1], .alive = pipes.alive[0], .spec = -1, .go = -1,
    });
  }
  close_ends(&pipes, THEIRS);
  unsigned char joined = (unsigned char)join_groups(&spec.cgroups, watch.init);
  if (write(pipes.alive[1], &joined, 1) != 1 && errno != EPIPE) fail("supervise", errno, "pipe");
  static struct relay relays[RELAYS];
  if (spec.terminal) relay_terminal(&watch, pipes.terminal[0], relays);
  else relay_pipes(&pipes, relays);
  pass_streams(&watch, relays);
  restore_terminal();
  return WIFEXITED(watch.status) ? WEXITSTATUS(watch.status) : SETUP_FAILED;
}
