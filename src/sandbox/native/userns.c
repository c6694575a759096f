/*
 * Starts a program as root of a new user and mount namespace. The child unshares; the parent, still outside, has the
 * setuid programs newuidmap and newgidmap write the maps, then waits and passes signals and the exit status on.
 * Runs in: a process of the user who started tsbuild, without capabilities; the child gains all within its namespace.
 */
#include "userns.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"

enum { NO_NAMESPACE = 120, NO_MAP = 121, NO_PROGRAM = 122, MOST_NUMBERS = 60 };

struct request {
  const char *uid_program;
  const char *gid_program;
  char **uid_numbers;
  int uid_count;
  char **gid_numbers;
  int gid_count;
  char **program;
};

static void say(const char *what, const char *detail) {
  dprintf(2, "tsbuild-sandbox: %s: %s: %s\n", what, detail, strerror(errno));
}

static bool take_numbers(int *at, int count, char **args, char ***numbers, int *size) {
  if (*at >= count) return false;
  *size = atoi(args[(*at)++]);
  if (*size < 0 || *size > MOST_NUMBERS || *size > count - *at) return false;
  *numbers = args + *at;
  *at += *size;
  return true;
}

static bool parse(int count, char **args, struct request *request) {
  if (count < 2) return false;
  request->uid_program = args[0];
  request->gid_program = args[1];
  int at = 2;
  if (!take_numbers(&at, count, args, &request->uid_numbers, &request->uid_count)) return false;
  if (!take_numbers(&at, count, args, &request->gid_numbers, &request->gid_count)) return false;
  if (at >= count || strcmp(args[at], "--") != 0) return false;
  request->program = args + at + 1;
  return request->program[0] != NULL;
}

static bool write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  close(fd);
  return written;
}

static bool map_one(uid_t uid, gid_t gid) {
  char map[32];
  /* Kernels before 3.19 have no such file and need none. */
  if (!write_file("/proc/self/setgroups", "deny") && errno != ENOENT) return false;
  snprintf(map, sizeof map, "0 %u 1\n", uid);
  if (!write_file("/proc/self/uid_map", map)) return false;
  snprintf(map, sizeof map, "0 %u 1\n", gid);
  return write_file("/proc/self/gid_map", map);
}

/* Root outside needs no setuid program. */
static bool write_map(pid_t pid, const char *file, char **numbers, int count) {
  char path[64], text[2048];
  size_t size = 0;
  snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
  for (int i = 0; i < count && size < sizeof text; i++)
    size += (size_t)snprintf(text + size, sizeof text - size, "%s%c", numbers[i], i % 3 == 2 ? '\n' : ' ');
  if (size < sizeof text && write_file(path, text)) return true;
  say("map", path);
  return false;
}

static bool run_map_program(const char *program, pid_t pid, char **numbers, int count) {
  char *args[MOST_NUMBERS + 3], *env[] = {NULL}, name[16];
  char *path = strdup(program);
  snprintf(name, sizeof name, "%d", pid);
  args[0] = path;
  args[1] = name;
  memcpy(args + 2, numbers, (size_t)count * sizeof *args);
  args[count + 2] = NULL;
  pid_t child = fork();
  if (child == 0) {
    execve(path, args, env);
    say("exec", path);
    _exit(NO_MAP);
  }
  free(path);
  int status = -1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static _Noreturn void become_root(const struct request *request, int to_parent, int from_parent, char **envp) {
  bool alone = request->uid_count == 0;
  uid_t uid = geteuid();
  gid_t gid = getegid();
  char answer;
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
    say("unshare", "user namespace");
    _exit(NO_NAMESPACE);
  }
  if (alone && !map_one(uid, gid)) {
    say("map", "/proc/self/uid_map");
    _exit(NO_MAP);
  }
  if (write(to_parent, "", 1) != 1 || read(from_parent, &answer, 1) != 1) _exit(NO_MAP);
  if (setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0 || (!alone && setgroups(0, NULL) != 0)) {
    say("map", "root");
    _exit(NO_MAP);
  }
  /* Last: a change of credentials takes it back. A parent that died before is noticed by its closed pipe. */
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  struct pollfd hangup = {.fd = from_parent};
  if (poll(&hangup, 1, 0) == 1 && hangup.revents & POLLHUP) _exit(NO_MAP);
  if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0) {
    say("mount", "/");
    _exit(NO_NAMESPACE);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execve(request->program[0], request->program, envp);
  say("exec", request->program[0]);
  _exit(NO_PROGRAM);
}

/*
 * A terminal sends its signals to the whole process group, the program included: they are not sent twice. A copy of
 * one that tsbuild outside passes on as well is recognised by having come from the kernel just before.
 */
static void pass_signal(pid_t child, const siginfo_t *info, int *from_terminal) {
  if (info->si_code > 0) {
    *from_terminal = info->si_signo;
    return;
  }
  if (*from_terminal == info->si_signo) {
    *from_terminal = 0;
    return;
  }
  kill(child, info->si_signo);
}

static sigset_t passed_signals(void) {
  static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) sigaddset(&set, numbers[i]);
  return set;
}

static int wait_for(pid_t child) {
  sigset_t set = passed_signals();
  int from_terminal = 0;
  for (;;) {
    int status;
    if (waitpid(child, &status, WNOHANG) == child) return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    siginfo_t info;
    if (sigwaitinfo(&set, &info) > 0 && info.si_signo != SIGCHLD) pass_signal(child, &info, &from_terminal);
  }
}

static bool write_maps(const struct request *request, pid_t child) {
  if (request->uid_count == 0) return true;
  if (strcmp(request->uid_program, "-") == 0)
    return write_map(child, "uid_map", request->uid_numbers, request->uid_count) &&
           write_map(child, "gid_map", request->gid_numbers, request->gid_count);
  return run_map_program(request->uid_program, child, request->uid_numbers, request->uid_count) &&
         run_map_program(request->gid_program, child, request->gid_numbers, request->gid_count);
}

int run_in_user_namespace(int count, char **args, char **envp) {
  struct request request;
  int to_parent[2], to_child[2];
  if (!parse(count, args, &request)) return SETUP_FAILED;
  if (pipe2(to_parent, O_CLOEXEC) != 0 || pipe2(to_child, O_CLOEXEC) != 0) return SETUP_FAILED;
  pid_t parent = getppid();
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent) return SETUP_FAILED;
  sigset_t set = passed_signals();
  sigprocmask(SIG_BLOCK, &set, NULL);
  pid_t child = fork();
  if (child < 0) return NO_NAMESPACE;
  if (child == 0) {
    close(to_parent[0]);
    close(to_child[1]);
    become_root(&request, to_parent[1], to_child[0], envp);
  }
  close(to_parent[1]);
  close(to_child[0]);
  char ready;
  bool going = read(to_parent[0], &ready, 1) == 1;
  if (going && !write_maps(&request, child)) {
    close(to_child[1]);
    (void)wait_for(child);
    return NO_MAP;
  }
  if (going) (void)!write(to_child[1], "", 1);
  return wait_for(child);
}
