/*
 * Sets the loopback interface of a new network namespace up.
 * Runs in: PID 1 of the step, in a new network namespace it owns.
 */
#include "net.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "report.h"

void raise_loopback(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
  strcpy(request.ifr_name, "lo");
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) fail("network", errno, "lo");
  close(fd);
}
