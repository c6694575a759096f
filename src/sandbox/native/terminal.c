/*
 * Pseudo terminals (pts(4), ioctl_tty(2)).
 * Runs in: the supervisor, or PID 1 of the step, see terminal.h.
 */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "report.h"

/* The user's terminal as it was; -1: nothing to restore. */
static int changed = -1;
static struct termios before;

struct terminal open_terminal(void) {
  int unlocked = 0;
  struct terminal terminal = {.master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)};
  if (terminal.master < 0 || ioctl(terminal.master, TIOCSPTLCK, &unlocked) != 0) fail("terminal", errno, "/dev/ptmx");
  terminal.slave = ioctl(terminal.master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal.slave < 0) fail("terminal", errno, "/dev/pts");
  return terminal;
}

void control_terminal(void) {
  if (ioctl(0, TIOCSCTTY, 0) != 0) fail("terminal", errno, "controlling terminal");
}

void copy_window_size(int master) {
  struct winsize size;
  if (ioctl(1, TIOCGWINSZ, &size) == 0) (void)ioctl(master, TIOCSWINSZ, &size);
}

void make_terminal_raw(void) {
  if (tcgetattr(0, &before) != 0) return;
  /* When tsbuild is killed its shell takes the terminal back, and who is in the background may not change it without this. */
  signal(SIGTTOU, SIG_IGN);
  struct termios raw = before;
  cfmakeraw(&raw);
  changed = fcntl(0, F_DUPFD_CLOEXEC, 3);
  if (changed >= 0) (void)tcsetattr(changed, TCSANOW, &raw);
}

void restore_terminal(void) {
  if (changed >= 0) (void)tcsetattr(changed, TCSANOW, &before);
}

int without_waiting(int fd, int flags) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int own = isatty(fd) ? open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
  return own >= 0 ? own : fd;
}
