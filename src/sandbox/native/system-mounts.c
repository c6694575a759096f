/*
 * Mounts /proc, /dev, /sys and the three files of /etc.
 *
 * Every file system the step can write to is mounted nodev, /dev itself included: with CAP_MKNOD, which Docker's
 * default set has, a step may make device nodes but open none. The usable nodes are bind mounts of themselves, made before
 * the mount around them became nodev.
 * Runs in: PID 1 of the step, with all capabilities of its user namespace, in namespaces of its own.
 */
#include "system-mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "inroot.h"
#include "report.h"
#include "tree.h"

static const struct {
  const char *name;
  unsigned major;
  unsigned minor;
} devices[DEVICES] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};

static const char *const masked_proc[] = {
    "acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats",
};
static const char *const read_only_proc[] = {"bus", "fs", "irq", "sys", "sysrq-trigger"};
/* What encode-spec.ts says of a step without --shm-size. */
#define DEFAULT_SHM_SIZE ((uint64_t)64 << 20)

static const char *const masked_sys[] = {"devices/virtual/powercap", "firmware"};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

struct system_sources open_system_sources(enum rung rung) {
  struct system_sources sources = {.sys = -1, .unified = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0};
  for (size_t i = 0; i < DEVICES; i++) {
    char path[32];
    snprintf(path, sizeof path, "/dev/%s", devices[i].name);
    sources.devices[i] = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  }
  if (rung == RUNG_USERNS) {
    sources.sys = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (sources.sys >= 0) sources.sys = tree_of(sources.sys);
  }
  return sources;
}

/*
 * A node of the step's own: changing the mode of the host's would reach the host. A user namespace may make none, or none
 * that can be opened.
 */
static bool make_node(int dev, size_t device) {
  const char *name = devices[device].name;
  if (mknodat(dev, name, S_IFCHR | 0666, makedev(devices[device].major, devices[device].minor)) != 0) return false;
  if (device > 0) return true;
  int probe = openat(dev, name, O_RDONLY | O_CLOEXEC);
  if (probe >= 0) close(probe);
  else unlinkat(dev, name, 0);
  return probe >= 0;
}

int stage_file(const struct stage *stage, const char *name, const struct bytes *content, unsigned mode) {
  int fd = openat(stage->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0 || fchmod(fd, mode) != 0) fail("stage", errno, name);
  for (size_t sent = 0; sent < content->size;) {
    ssize_t wrote = write(fd, content->data + sent, content->size - sent);
    if (wrote < 0) fail("stage", errno, name);
    sent += (size_t)wrote;
  }
  close(fd);
  fd = openat(stage->directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) fail("stage", errno, name);
  return fd;
}

static int mount_point(int root, const char *path, enum create create) {
  int target = open_in_root(root, path, create, true);
  if (target < 0) fail("mount-point", errno, path);
  return target;
}

static int mount_new(int root, const char *path, const char *type, const char *options, unsigned long flags) {
  int target = mount_point(root, path, CREATE_DIRECTORY);
  int result = mount_on(target, type, options, flags);
  int error = errno;
  close(target);
  errno = error;
  return result;
}

/* A copy of what lies at `name` below `directory`, read-only. Nothing there: nothing to do. */
static void make_read_only(int directory, const char *name) {
  int tree = tree_at(directory, name);
  if (tree < 0 && errno == ENOENT) return;
  if (tree < 0 || attach_at(tree, directory, name, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC) != 0)
    fail("read-only", errno, name);
}

/* Covers a file with an empty one and a directory with an empty one. Nothing there: nothing to do. */
static void mask(int directory, const char *name, const struct stage *stage) {
  struct stat status;
  if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return;
    fail("mask", errno, name);
  }
  int tree = tree_at(stage->directory, S_ISDIR(status.st_mode) ? "empty" : "blank");
  if (tree < 0 || attach_at(tree, directory, name, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC) != 0)
    fail("mask", errno, name);
}

static int open_below_root(int root, const char *name) {
  int fd = openat(root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) fail("open", errno, name);
  return fd;
}

static void hide_of_proc(int proc, const struct stage *stage) {
  for (size_t i = 0; i < COUNT(masked_proc); i++) mask(proc, masked_proc[i], stage);
  for (size_t i = 0; i < COUNT(read_only_proc); i++) make_read_only(proc, read_only_proc[i]);
}

void mount_proc(int root, const struct spec *spec, const struct stage *stage) {
  int target = mount_point(root, "/proc", CREATE_DIRECTORY);
  int result = spec->insecure ? mount_on(target, "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC)
                              : move_mounted(stage->directory, "proc", target);
  if (result != 0) fail("proc", errno, "/proc");
  close(target);
}

static void link_device(int dev, const char *name, const char *target) {
  if (symlinkat(target, dev, name) != 0) fail("dev", errno, name);
}

static void mount_below(int dev, const char *name, const char *type, const char *options, unsigned long flags) {
  if (mkdirat(dev, name, 0755) != 0) fail("dev", errno, name);
  int target = open_below_root(dev, name);
  int result = mount_on(target, type, options, flags);
  /* The group tty is 5 in every distribution, but a user namespace may have no such group. */
  if (result != 0 && errno == EINVAL && strcmp(type, "devpts") == 0)
    result = mount_on(target, type, "newinstance,ptmxmode=0666,mode=0620", flags);
  if (result != 0) fail("dev", errno, name);
  close(target);
}

static void shm_options(uint64_t size, char *options, size_t room) {
  snprintf(options, room, "mode=1777,size=%llu", (unsigned long long)size);
}

/* `dev`: without nodev, for the nodes in it are bound over themselves. */
static void fill_dev(int dev, const struct system_sources *sources, uint64_t shm_size) {
  bool may_own = true;
  for (size_t i = 0; i < DEVICES; i++) {
    const char *name = devices[i].name;
    bool own = may_own && make_node(dev, i);
    may_own = own || i > 0;
    if (!own && sources->devices[i] < 0) continue;
    int place = own ? -1 : openat(dev, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (place >= 0) close(place);
    int tree = own ? tree_at(dev, name) : tree_of(fcntl(sources->devices[i], F_DUPFD_CLOEXEC, 0));
    /* Read-only forbids changing the host's node, not writing to the device. */
    if (tree < 0 || attach_at(tree, dev, name, own ? 0 : MOUNT_ATTR_RDONLY) != 0) fail("dev", errno, name);
  }
  char options[64];
  shm_options(shm_size, options, sizeof options);
  mount_below(dev, "pts", "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5", MS_NOSUID | MS_NOEXEC);
  mount_below(dev, "shm", "tmpfs", options, MS_NOSUID | MS_NOEXEC | MS_NODEV);
  mount_below(dev, "mqueue", "mqueue", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV);
  link_device(dev, "ptmx", "pts/ptmx");
  link_device(dev, "fd", "/proc/self/fd");
  link_device(dev, "stdin", "/proc/self/fd/0");
  link_device(dev, "stdout", "/proc/self/fd/1");
  link_device(dev, "stderr", "/proc/self/fd/2");
  link_device(dev, "core", "/proc/kcore");
}

static const char dev_options[] = "mode=0755,size=65536k";

static int mount_staged(const struct stage *stage, const char *name, const char *type, const char *options, unsigned long flags) {
  if (mkdirat(stage->directory, name, 0755) != 0) fail("stage", errno, name);
  int target = open_below_root(stage->directory, name);
  if (mount_on(target, type, options, flags) != 0) fail(name, errno, "stage");
  close(target);
  return open_below_root(stage->directory, name);
}

void prepare_system(const struct system_sources *sources, const struct stage *stage) {
  if (mkdirat(stage->directory, "empty", 0555) != 0) fail("stage", errno, "empty");
  const struct bytes nothing = {0};
  close(stage_file(stage, "blank", &nothing, 0444));
  int proc = mount_staged(stage, "proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC);
  hide_of_proc(proc, stage);
  close(proc);
  int dev = mount_staged(stage, "dev", "tmpfs", dev_options, MS_NOSUID | MS_STRICTATIME);
  fill_dev(dev, sources, DEFAULT_SHM_SIZE);
  if (fchdir(dev) != 0 || mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV, NULL) != 0) fail("dev", errno, "nodev");
  close(dev);
}

static void resize_shm(int root, uint64_t size) {
  char options[64];
  shm_options(size, options, sizeof options);
  int shm = open_in_root(root, "/dev/shm", CREATE_NOTHING, false);
  if (shm < 0 || mount_on(shm, "tmpfs", options, MS_REMOUNT | MS_NOSUID | MS_NOEXEC | MS_NODEV) != 0) fail("dev", errno, "shm");
  close(shm);
}

void mount_dev(int root, const struct spec *spec, const struct system_sources *sources, const struct stage *stage) {
  if (spec->insecure) {
    if (mount_new(root, "/dev", "tmpfs", dev_options, MS_NOSUID | MS_STRICTATIME) != 0) fail("dev", errno, "/dev");
    int dev = open_in_root(root, "/dev", CREATE_NOTHING, false);
    if (dev < 0) fail("dev", errno, "/dev");
    fill_dev(dev, sources, spec->shm_size);
    close(dev);
    return;
  }
  int target = mount_point(root, "/dev", CREATE_DIRECTORY);
  if (move_mounted(stage->directory, "dev", target) != 0) fail("dev", errno, "/dev");
  close(target);
  if (spec->shm_size != DEFAULT_SHM_SIZE) resize_shm(root, spec->shm_size);
}

static void mask_sys(int root, const char *const *names, size_t count, const struct stage *stage) {
  int sys = open_in_root(root, "/sys", CREATE_NOTHING, false);
  if (sys < 0) fail("sys", errno, "/sys");
  for (size_t i = 0; i < count; i++) mask(sys, names[i], stage);
  close(sys);
}

/* The group of the step, or of tsbuild where it has none of its own. */
static void mount_cgroup(int root, unsigned long read_only) {
  int target = open_in_root(root, "/sys/fs/cgroup", CREATE_NOTHING, false);
  if (target < 0 || mount_on(target, "cgroup2", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC | read_only) != 0)
    fail("sys", errno, "/sys/fs/cgroup");
  close(target);
}

void mount_sys(int root, const struct spec *spec, struct system_sources *sources, const struct stage *stage) {
  static const char *const groups = "fs/cgroup";
  unsigned long read_only = spec->insecure ? 0 : MS_RDONLY;
  if (mount_new(root, "/sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC | read_only) != 0) {
    /* Only the owner of the network namespace may mount sysfs. */
    if (errno != EPERM || sources->sys < 0) fail("sys", errno, "/sys");
    int target = mount_point(root, "/sys", CREATE_NOTHING);
    if (attach(sources->sys, target, spec->insecure ? 0 : MOUNT_ATTR_RDONLY) != 0) fail("sys", errno, "/sys");
    close(target);
    /* The groups of the host come along, and a second mount of them would be refused right on the first. */
    if (sources->unified) mask_sys(root, &groups, 1, stage);
  } else if (sources->sys >= 0) {
    close(sources->sys);
  }
  sources->sys = -1;
  if (sources->unified) mount_cgroup(root, read_only);
  if (spec->insecure) return;
  mask_sys(root, masked_sys, COUNT(masked_sys), stage);
  /* The machine's top group, which alone has no type, would show the groups of all. */
  if (sources->unified && access("/sys/fs/cgroup/cgroup.type", F_OK) != 0) mask_sys(root, &groups, 1, stage);
}

static void bind_file(int root, const char *path, const struct stage *stage, const char *name, const struct bytes *content) {
  int file = stage_file(stage, name, content, 0644);
  int target = mount_point(root, path, CREATE_FILE);
  int tree = tree_of(file);
  if (tree < 0 || attach(tree, target, 0) != 0) fail("bind", errno, path);
  close(target);
}

void mount_etc(int root, const struct spec *spec, const struct stage *stage) {
  bind_file(root, "/etc/hosts", stage, "hosts", &spec->hosts);
  if (spec->resolv_conf.size > 0) bind_file(root, "/etc/resolv.conf", stage, "resolv.conf", &spec->resolv_conf);
}
