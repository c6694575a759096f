/*
 * Network namespaces. The connecting program stays in the host's network and is told the namespace by path; it dies
 * with this process, which dies with tsbuild.
 * Runs in: PID 1 of a step, or a process beside tsbuild with its capabilities; see net.h.
 */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "caps.h"
#include "report.h"

enum { LONGEST_START = 5000 };

void raise_loopback(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
  strcpy(request.ifr_name, "lo");
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) fail("network", errno, "lo");
  close(fd);
}

void join_network(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) fail("network", errno, path);
  close(fd);
}

/* A default route is the last thing either program sets up. */
static bool has_default_route(void) {
  char text[2048];
  int fd = open("/proc/thread-self/net/route", O_RDONLY | O_CLOEXEC);
  ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  if (size <= 0) return false;
  text[size] = 0;
  return strstr(text, "\t00000000\t") != NULL;
}

static _Noreturn void connect_network(const char *kind, const char *program, pid_t holder, int go) {
  char path[64], byte;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (read(go, &byte, 1) != 1) _exit(1);
  snprintf(path, sizeof path, "/proc/%d/ns/net", holder);
  char *const env[] = {NULL};
  if (strcmp(kind, "slirp4netns") == 0) {
    execle(program, program, "--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path", path, "tap0", NULL, env);
  } else {
    execle(program, program, "--config-net", "--foreground", "--quiet", "-t", "none", "-u", "none", "-T", "none", "-U", "none",
           "--no-map-gw", "--dns-forward", "169.254.1.1", "--netns-only", "--netns", path, NULL, env);
  }
  _exit(1);
}

static bool wait_for_route(pid_t program) {
  for (int waited = 0; waited < LONGEST_START; waited += 2) {
    if (has_default_route()) return true;
    if (waitpid(program, NULL, WNOHANG) == program) return false;
    poll(NULL, 0, 2);
  }
  return false;
}

int hold_network(const char *kind, const char *program) {
  int go[2];
  pid_t self = getpid();
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || pipe2(go, O_CLOEXEC) != 0) fail("network", errno, "holder");
  if (fcntl(RECORD_FD, F_SETFD, FD_CLOEXEC) != 0) return SETUP_FAILED;
  setsid();
  pid_t child = fork();
  if (child < 0) fail("network", errno, "fork");
  if (child == 0) connect_network(kind, program, self, go[0]);
  if (unshare(CLONE_NEWNET) != 0) fail("network", errno, "namespace");
  raise_loopback();
  /* A connecting program that drops privileges may open the namespace of a process that has none. */
  set_capabilities(0);
  if (write(go[1], "", 1) != 1 || !wait_for_route(child)) {
    kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    fail("network", ENETUNREACH, kind);
  }
  report_ready();
  char byte;
  while (read(0, &byte, 1) < 0 && errno == EINTR) continue;
  kill(child, SIGKILL);
  (void)waitpid(child, NULL, 0);
  return 0;
}
