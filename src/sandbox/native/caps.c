/*
 * Drops capabilities to Docker's default set. For root, execve gives what the bounding set allows; another user has
 * none after its change of user ID, and gains those of the bounding set through setuid programs only.
 * Runs in: the step's main process, between fork and exec, still with all capabilities.
 */
#include "caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "report.h"

#define BIT(capability) ((uint64_t)1 << (capability))

const uint64_t default_capabilities =
    BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_KILL) | BIT(CAP_SETGID) |
    BIT(CAP_SETUID) | BIT(CAP_SETPCAP) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_NET_RAW) | BIT(CAP_SYS_CHROOT) |
    BIT(CAP_MKNOD) | BIT(CAP_AUDIT_WRITE) | BIT(CAP_SETFCAP);
const uint64_t all_capabilities = ~(uint64_t)0;

void bound_capabilities(void) {
  /* EINVAL: past the last capability of this kernel. */
  for (unsigned long capability = 0; capability < 64; capability++) {
    if (default_capabilities & BIT(capability)) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) return;
    fail("capabilities", errno, "bounding set");
  }
}

void set_capabilities(uint64_t permitted) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) != 0) fail("capabilities", errno, "capget");
  for (int i = 0; i < 2; i++) {
    data[i].permitted &= (uint32_t)(permitted >> (32 * i));
    data[i].effective = data[i].permitted;
    data[i].inheritable = 0;
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) fail("capabilities", errno, "ambient");
  if (syscall(SYS_capset, &header, data) != 0) fail("capabilities", errno, "capset");
}
