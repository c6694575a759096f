/*
 * From a child of PID 1 to the step's program: filter, streams, limits, identity, capabilities, exec. The filter goes in
 * while CAP_SYS_ADMIN is there, since no_new_privs must stay off; what follows are calls it allows. It takes longer than
 * all else, so it goes in before the root is there.
 * Runs in: the child PID 1 forks; with all capabilities until it gives them up, just before exec.
 */
#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "caps.h"
#include "descriptor-channel.h"
#include "go.h"
#include "report.h"
#include "seccomp.h"
#include "users.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static const char *variable(char *const *env, const char *name) {
  size_t length = strlen(name);
  for (; *env != NULL; env++)
    if (strncmp(*env, name, length) == 0 && (*env)[length] == '=') return *env + length + 1;
  return NULL;
}

/* The environment with HOME from passwd when the image sets none. */
static char **environment(const struct spec *spec, const struct identity *identity) {
  static char home[sizeof identity->home + 8];
  char **env = calloc(spec->env.count + 2, sizeof *env);
  if (env == NULL) fail("environment", ENOMEM, "environment");
  size_t count = 0;
  for (size_t i = 0; i < spec->env.count; i++) {
    if (strcmp(spec->env.items[i], "HOME=") == 0) continue;
    memcpy(&env[count++], &spec->env.items[i], sizeof *env);
  }
  if (variable(env, "HOME") == NULL) {
    snprintf(home, sizeof home, "HOME=%s", identity->home);
    env[count] = home;
  }
  return env;
}

static void set_limits(const struct spec *spec) {
  for (size_t i = 0; i < spec->limit_count; i++) {
    const struct limit *limit = &spec->limits[i];
    const struct rlimit value = {.rlim_cur = limit->soft, .rlim_max = limit->hard};
    if (setrlimit((unsigned)limit->resource, &value) != 0) fail_at("ulimit", errno, "resource", (unsigned long)limit->resource);
  }
}

static void reset_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A directory of the host would show as "(unreachable)". */
static void enter_directory(const struct spec *spec, int cwd) {
  char path[4096];
  if (fchdir(cwd) != 0 || syscall(SYS_getcwd, path, sizeof path) < 0) fail("cwd", errno, spec->cwd);
  if (path[0] != '/') fail("cwd", ELOOP, spec->cwd);
}

static void take_identity(const struct spec *spec, const struct identity *identity) {
  if (setgroups(identity->group_count, identity->groups) != 0 && !(spec->single_id && errno == EPERM))
    fail("user", errno, "supplementary groups");
  if (setresgid(identity->gid, identity->gid, identity->gid) != 0) fail("user", errno, spec->user);
  if (setresuid(identity->uid, identity->uid, identity->uid) != 0) fail("user", errno, spec->user);
}

bool has_listener(const struct spec *spec) {
  return spec->single_id && !spec->insecure;
}

/* Returns the listener, or -1. */
static int filter_calls(const struct spec *spec) {
  bool no_namespaces = spec->rung == RUNG_CHROOT;
  bool filter_network = no_namespaces && spec->network == NETWORK_NONE;
  if (spec->insecure && !filter_network) return -1;
  return install_filter((spec->single_id ? FILTER_PRETEND_OWNERSHIP : 0) | (no_namespaces ? FILTER_OPTIONAL : 0) |
                        (filter_network ? FILTER_NETWORK : 0));
}

static void give_up_privileges(const struct spec *spec, const struct identity *identity) {
  if (!spec->insecure) bound_capabilities();
  take_identity(spec, identity);
  set_capabilities(identity->uid != 0 ? 0 : spec->insecure ? all_capabilities : default_capabilities);
}

/* The error a search over PATH ends with: the one that says most. */
static int execute_on_path(const char *program, const char *path, char *const *args, char *const *env) {
  int best = ENOENT;
  char full[4096];
  for (const char *end; ; path = end + 1) {
    end = strchrnul(path, ':');
    int length = (int)(end - path);
    int size = snprintf(full, sizeof full, "%.*s/%s", length > 0 ? length : 1, length > 0 ? path : ".", program);
    if (size > 0 && (size_t)size < sizeof full) {
      execve(full, args, env);
      if (errno != ENOENT && errno != ENOTDIR) {
        struct stat status;
        bool directory = stat(full, &status) == 0 && S_ISDIR(status.st_mode);
        if (!directory) best = errno;
        if (!directory && errno != EACCES) return best;
      }
    }
    if (*end == 0) return best;
  }
}

static int execute(const struct spec *spec, char *const *env) {
  char **args = calloc(spec->args.count + 1, sizeof *args);
  if (args == NULL) return ENOMEM;
  memcpy(args, spec->args.items, spec->args.count * sizeof *args);
  if (args[0][0] == 0) return ENOENT;
  if (strchr(args[0], '/') == NULL) {
    const char *path = variable(env, "PATH");
    return execute_on_path(args[0], path == NULL ? default_path : path, args, env);
  }
  execve(args[0], args, env);
  return errno;
}

/* pivot_root brings every process along that was in the old root; where that was covered instead, this one is in it. */
static void enter_root_of_step(int root) {
  struct stat own, wanted;
  if (stat("/", &own) != 0 || fstat(root, &wanted) != 0) fail("pivot", errno, "root");
  if (own.st_dev == wanted.st_dev && own.st_ino == wanted.st_ino) return;
  if (fchdir(root) != 0 || chroot(".") != 0) fail("pivot", errno, "root");
}

/* stdin is the step's own /dev/null, or a pipe; the ends of pipes are such that a user without privileges may open them again. */
static void set_up_streams(const struct channels *channels, const struct identity *identity) {
  int input = channels->input >= 0 ? channels->input : open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (input >= 0 && dup2(input, 0) < 0) fail("stdio", errno, "stdin");
  if (dup2(channels->output, 1) < 0 || dup2(channels->error, 2) < 0) fail("stdio", errno, "pipes");
  for (int fd = channels->input >= 0 ? 0 : 1; fd < 3; fd++) (void)fchown(fd, identity->uid, identity->gid);
}

static void set_up_terminal(const struct terminal *terminal, const struct identity *identity) {
  for (int fd = 0; fd < 3; fd++)
    if (dup2(terminal->slave, fd) < 0) fail("stdio", errno, "terminal");
  (void)fchown(0, identity->uid, (gid_t)-1);
  control_terminal();
}

_Noreturn void start_program(const struct spec *spec, const struct channels *channels, const struct terminal *terminal, int pid1) {
  setsid();
  reset_signals();
  /* A session keyring of its own; a kernel without keyrings has none to share. */
  (void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
  /* Told of what this process itself changes, PID 1 would not do it. */
  if (!has_listener(spec)) filter_calls(spec);
  static struct identity identity;
  int root = receive_descriptor(pid1), cwd = receive_descriptor(pid1);
  if (root < 0 || cwd < 0 || read(pid1, &identity, sizeof identity) != sizeof identity) _exit(SETUP_FAILED);
  enter_root_of_step(root);
  if (spec->terminal) set_up_terminal(terminal, &identity);
  else set_up_streams(channels, &identity);
  umask(0022);
  char **env = environment(spec, &identity);
  enter_directory(spec, cwd);
  set_limits(spec);
  if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) fail("exec", errno, "dumpable");
  if (has_listener(spec)) send_descriptor(pid1, filter_calls(spec));
  give_up_privileges(spec, &identity);
  if (spec->held && channels->go >= 0) await_go(channels->go);
  int error = execute(spec, env);
  report_exec(error, spec->args.items[0]);
  _exit(error == ENOENT || error == ENOTDIR ? 127 : 126);
}
