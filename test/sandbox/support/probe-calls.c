/*
 * Tries system calls a step must not have and prints "name errno" for each; as `identity`, prints the real and the
 * effective user and the effective capabilities; as `descriptors`, the open ones;
 * as `sockets`, the kinds with which it reaches a network: a packet socket's device that is up and no loopback, a connection.
 * Runs in: a step.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void try(const char *name, long result) { printf("%s %s\n", name, result < 0 ? strerrorname_np(errno) : "allowed"); }

static int print_identity(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {{0}};
  if (syscall(SYS_capget, &header, data) != 0) return 1;
  printf("%u %u %08x%08x\n", getuid(), geteuid(), data[1].effective, data[0].effective);
  return 0;
}

/* 1.1.1.1 need not answer: a route to it is enough for a datagram. */
static int print_sockets(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = 0x3500, .sin_addr = {0x01010101}};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) puts("datagram");
  struct ifreq request = {.ifr_ifindex = 2};
  fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (fd >= 0 && ioctl(fd, SIOCGIFNAME, &request) == 0) puts("packet");
  return 0;
}

static int print_descriptors(void) {
  for (int fd = 0; fd < 1024; fd++)
    if (fcntl(fd, F_GETFD) >= 0) printf("%d\n", fd);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "sockets") == 0) return print_sockets();
  if (argc == 2 && strcmp(argv[1], "descriptors") == 0) return print_descriptors();
  if (argc == 2 && strcmp(argv[1], "identity") == 0) return print_identity();
  char handle[128] = {0};
  try("keyctl", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
  try("add_key", syscall(SYS_add_key, "user", "x", "y", 1, KEY_SPEC_SESSION_KEYRING));
  try("bpf", syscall(SYS_bpf, 0, handle, sizeof handle));
  try("io_uring_setup", syscall(SYS_io_uring_setup, 1, handle));
  try("userfaultfd", syscall(SYS_userfaultfd, 0));
  try("perf_event_open", syscall(SYS_perf_event_open, handle, 0, -1, -1, 0));
  try("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, handle, O_RDONLY));
  try("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
  try("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
  try("move_mount", syscall(SYS_move_mount, -1, "", -1, "", 0));
  try("setns", syscall(SYS_setns, -1, 0));
  try("unshare", syscall(SYS_unshare, CLONE_NEWUSER));
  try("pivot_root", syscall(SYS_pivot_root, ".", "."));
  try("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
  try("swapon", syscall(SYS_swapon, "/tmp", 0));
  try("clone_newuser", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));
  try("clone3", syscall(SYS_clone3, handle, 64));
  try("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
  try("personality", syscall(SYS_personality, 0x0040000 /* ADDR_NO_RANDOMIZE */));
  try("unknown", syscall(5000));
  return 0;
}
