/*
 * PID 1 of the step. Nothing of the step outlives it: the kernel kills a PID namespace with its first process, and
 * this one dies with its parent, which dies with tsbuild.
 * Runs in: the child its parent (parent.h) clones into new namespaces, with all capabilities of its user namespace.
 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chroot.h"
#include "descriptor-channel.h"
#include "go.h"
#include "inroot.h"
#include "net.h"
#include "orphans.h"
#include "owners.h"
#include "parent.h"
#include "report.h"
#include "rootfs.h"
#include "start.h"
#include "step-mounts.h"
#include "system-mounts.h"
#include "terminal.h"
#include "tree.h"
#include "users.h"

static sigset_t watched_signals(void) {
  static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) sigaddset(&set, numbers[i]);
  return set;
}

/* Dies with its parent; when that died before this line, `wait_to_go_on` tells. */
static void tie_to_parent(const struct spec *spec) {
  int signal_at_death = spec->rung == RUNG_CHROOT ? SIGUSR2 : SIGKILL;
  if (prctl(PR_SET_PDEATHSIG, signal_at_death, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
    fail("init", errno, "prctl");
}

static void wait_to_go_on(struct spec *spec, const struct channels *channels) {
  bool stands_ready = channels->alive < 0;
  struct pollfd hangup = {.fd = stands_ready ? channels->go : channels->alive};
  int error = stands_ready ? await_go(channels->go) : 0;
  if (stands_ready) {
    enum rung prepared = spec->rung;
    spec_read(spec, channels->spec);
    if (spec->rung != prepared || spec->terminal || spec->input) fail("spec", EINVAL, "it is not for a step that stands ready");
  } else if (spec->cgroups.count > 0) {
    error = await_go(channels->alive);
  }
  if (error != 0) fail("cgroup", error, spec->cgroups.items[0]);
  if (poll(&hangup, 1, 0) == 1 && hangup.revents & POLLHUP) _exit(SETUP_FAILED);
  if (!stands_ready) close(channels->alive);
}

/* What all roots have in common, made before it is known which one it is to be. */
struct prepared {
  struct stage stage;
  struct system_sources system;
};

static void prepare_root(const struct spec *spec, struct prepared *prepared) {
  detach_from_host();
  trees_begin(spec->legacy_mounts);
  prepared->system = open_system_sources(spec->rung);
  stage_begin(&prepared->stage);
  prepare_system(&prepared->system, &prepared->stage);
}

static int enter_new_root(struct spec *spec, struct prepared *prepared, const struct channels *channels) {
  struct stage *stage = &prepared->stage;
  struct root_fds root_fds = open_root(&spec->root);
  struct step_source *sources = open_step_sources(spec);
  if (channels->go >= 0) {
    await_go(channels->go);
    /* What it says of the machine may be another now. */
    if (spec->held) spec_read(spec, channels->spec);
    close(channels->spec);
  }
  int root = mount_root(stage, &root_fds, spec->rung == RUNG_USERNS, false, spec->insecure ? 0 : MS_NODEV);
  close_root(&root_fds);
  prepare_step_sources(spec, sources, stage);
  int old_root = enter_root(root);
  mount_proc(root, spec, stage);
  mount_dev(root, spec, &prepared->system, stage);
  mount_sys(root, spec, &prepared->system, stage);
  mount_etc(root, spec, stage);
  mount_step_sources(root, spec, sources);
  leave_old_root(old_root);
  close(stage->directory);
  for (size_t i = 0; i < DEVICES; i++)
    if (prepared->system.devices[i] >= 0) close(prepared->system.devices[i]);
  return root;
}

static int enter_chroot(const struct spec *spec, int go) {
  if (go >= 0) await_go(go);
  trees_begin(true);
  int root = open(spec->root.directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0 || fchdir(root) != 0 || chroot(".") != 0 || chdir("/") != 0) fail("chroot", errno, spec->root.directory);
  place_files(root, spec);
  return root;
}

static void set_up_names(const struct spec *spec) {
  /* After its parent placed this process in its cgroup, which becomes the root the step sees. */
  if (unshare(CLONE_NEWCGROUP) != 0 && errno != EINVAL) fail("cgroup", errno, "namespace");
  if (sethostname(spec->hostname, __builtin_strlen(spec->hostname)) != 0) fail("hostname", errno, spec->hostname);
  if (spec->network == NETWORK_NONE) {
    if (unshare(CLONE_NEWNET) != 0) fail("network", errno, "namespace");
    raise_loopback();
  }
  if (spec->network == NETWORK_JOINED) join_network(spec->network_namespace);
}

/* The child that becomes the step's program, and the way to it. */
struct program {
  pid_t pid;
  int channel;
};

enum { CHANNEL_FD = 8 };

/* `early`: before the root is there. Then nothing is left open in it that leads to files outside of the step. */
static struct program fork_program(const struct spec *spec, const struct channels *channels, const struct terminal *terminal, bool early) {
  int ends[2];
  open_channel(ends);
  struct program program = {.pid = fork(), .channel = ends[0]};
  if (program.pid < 0) fail("fork", errno, "main process");
  if (program.pid == 0) {
    close(ends[0]);
    if (early && ends[1] != CHANNEL_FD && dup3(ends[1], CHANNEL_FD, O_CLOEXEC) < 0) fail("fork", errno, "channel");
    if (early) close_from(CHANNEL_FD + 1);
    start_program(spec, channels, terminal, early ? CHANNEL_FD : ends[1]);
  }
  close(ends[1]);
  /* The pipes end when the step's processes do. */
  const int theirs[] = {channels->input, channels->output, channels->error};
  for (int i = 0; i < 3; i++)
    if (theirs[i] >= 0) close(theirs[i]);
  int null = early ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3 && !early; fd++) null >= 0 ? (void)dup2(null, fd) : (void)close(fd);
  if (null >= 0) close(null);
  return program;
}

/* Returns the listener for changes of owners, or -1. */
static int let_start(const struct spec *spec, const struct program *program, int root) {
  static struct identity identity;
  find_identity(root, spec->user, &identity);
  int cwd = open_in_root(root, spec->cwd, CREATE_DIRECTORY, false);
  if (cwd < 0) fail("cwd", errno, spec->cwd);
  if (spec->held) report_ready();
  send_descriptor(program->channel, root);
  send_descriptor(program->channel, cwd);
  if (send(program->channel, &identity, sizeof identity, MSG_NOSIGNAL) < 0 && errno != EPIPE) fail("channel", errno, "send");
  int listener = has_listener(spec) ? receive_descriptor(program->channel) : -1;
  close(program->channel);
  return listener;
}

/* Reaps whatever has ended; true when the main process has, with its status. */
static bool reap(pid_t main_process, int *status) {
  bool ended = false;
  int one;
  for (pid_t pid; (pid = waitpid(-1, &one, WNOHANG)) > 0;) {
    if (pid != main_process) continue;
    *status = one;
    ended = true;
  }
  return ended;
}

/* The next signal, as sigwaitinfo gives it; calls that are told to the listener are answered meanwhile. */
static int next_signal(const sigset_t *signals, siginfo_t *info, int *listener) {
  static int arrived = -1;
  if (*listener < 0) return sigwaitinfo(signals, info);
  if (arrived < 0) arrived = signalfd(-1, signals, SFD_CLOEXEC);
  struct pollfd events[2] = {{.fd = arrived, .events = POLLIN}, {.fd = *listener, .events = POLLIN}};
  if (poll(events, 2, -1) < 0) return -1;
  if (events[1].revents & POLLIN) answer_owner_call(*listener);
  else if (events[1].revents != 0) {
    /* Nobody is left under the filter. */
    close(*listener);
    *listener = -1;
  }
  struct signalfd_siginfo one;
  if (events[0].revents == 0 || read(arrived, &one, sizeof one) != sizeof one) return -1;
  info->si_pid = (pid_t)one.ssi_pid;
  return (int)one.ssi_signo;
}

static int wait_for_main(pid_t main_process, bool alone, int listener) {
  sigset_t signals = watched_signals();
  int status = 0;
  while (!reap(main_process, &status)) {
    siginfo_t info;
    int number = next_signal(&signals, &info, &listener);
    if (number < 0 || number == SIGCHLD) continue;
    /* Without a PID namespace nothing but a signal says that the parent is gone. */
    if (alone && number == SIGUSR2) {
      end_orphans();
      _exit(SETUP_FAILED);
    }
    /* Signals from outside the namespace have no sender in it; the step's own to PID 1 are not for its main process. */
    if (alone || info.si_pid == 0) kill(main_process, number);
  }
  return status;
}

static void end_everything(bool alone) {
  if (alone) {
    end_orphans();
    return;
  }
  kill(-1, SIGKILL);
  while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) continue;
}

static uint64_t microseconds(const struct timeval *time) {
  return (uint64_t)time->tv_sec * 1000000 + (uint64_t)time->tv_usec;
}

_Noreturn void run_init(struct spec *spec, const struct channels *channels) {
  bool alone = spec->rung == RUNG_CHROOT;
  sigset_t signals = watched_signals();
  sigprocmask(SIG_BLOCK, &signals, NULL);
  if (alone) watch_orphans();
  tie_to_parent(spec);
  umask(0);
  struct prepared prepared;
  if (!alone) prepare_root(spec, &prepared);
  struct terminal terminal = {-1, -1};
  struct program program = {.channel = -1};
  wait_to_go_on(spec, channels);
  if (channels->spec >= 0) run_when_woken();
  if (!alone) set_up_names(spec);
  bool early = channels->spec >= 0 && !alone;
  if (early) program = fork_program(spec, channels, &terminal, true);
  /* In a root without mounts there is no other devpts than the host's, and no name for what was opened of it. */
  if (spec->terminal && alone) terminal = open_terminal();
  int root = alone ? enter_chroot(spec, channels->go) : enter_new_root(spec, &prepared, channels);
  if (spec->terminal && !alone) terminal = open_terminal();
  if (spec->terminal) {
    /* The slave stays open here: to the master it is a hangup when nobody has it open for a moment. */
    send_descriptor(channels->terminal, terminal.master);
    close(channels->terminal);
  }
  if (!early) program = fork_program(spec, channels, &terminal, false);
  int listener = let_start(spec, &program, root);
  int status = wait_for_main(program.pid, alone, listener);
  end_everything(alone);
  if (alone) remove_files();
  remove_mount_points();
  struct rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  report_exit(status, microseconds(&usage.ru_utime), microseconds(&usage.ru_stime), (uint64_t)usage.ru_maxrss * 1024);
  _exit(0);
}
