/*
 * The step to run, as it arrives on descriptor 3.
 * Runs in: the parent of PID 1 (parent.h), with the capabilities tsbuild has, and PID 1.
 *
 * Wire form, version 1: "TSB1", u32 length of what follows, then entries of u8 tag, u32 length, bytes. Numbers are
 * 8 bytes; all integers are little-endian. A text ends with its only NUL. Entries from MOUNT_TARGET up belong to
 * the MOUNT before them.
 */
#ifndef TSBUILD_SPEC_H
#define TSBUILD_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum spec_tag {
  TAG_RUNG = 1,
  TAG_PARENT = 2,
  TAG_GRACE = 3,
  TAG_LEGACY_MOUNTS = 4,
  TAG_SINGLE_ID = 5,
  TAG_TERMINAL = 6,
  TAG_INPUT = 7,
  TAG_HELD = 8,
  TAG_LOWER = 10,
  TAG_UPPER = 11,
  TAG_WORK = 12,
  TAG_DIRECTORY = 13,
  TAG_ARGUMENT = 20,
  TAG_VARIABLE = 21,
  TAG_CWD = 22,
  TAG_USER = 23,
  TAG_HOSTNAME = 24,
  TAG_NETWORK = 25,
  TAG_INSECURE = 26,
  TAG_RESOLV_CONF = 27,
  TAG_HOSTS = 28,
  TAG_SHM_SIZE = 29,
  TAG_RLIMIT = 30,
  TAG_CGROUP = 31,
  TAG_NETWORK_NAMESPACE = 32,
  TAG_MOUNT = 40,
  TAG_MOUNT_TARGET = 41,
  TAG_MOUNT_SOURCE = 42,
  TAG_MOUNT_READ_ONLY = 43,
  TAG_MOUNT_DISCARD = 44,
  TAG_MOUNT_SIZE = 45,
  TAG_MOUNT_MODE = 46,
  TAG_MOUNT_UID = 47,
  TAG_MOUNT_GID = 48,
  TAG_MOUNT_CONTENT = 49,
  TAG_MOUNT_LOWER = 50,
  TAG_MOUNT_UPPER = 51,
  TAG_MOUNT_WORK = 52,
  TAG_MOUNT_DIRECTORY = 53,
};

enum rung { RUNG_ROOT = 0, RUNG_USERNS = 1, RUNG_CHROOT = 2 };
enum network { NETWORK_HOST = 0, NETWORK_NONE = 1, NETWORK_JOINED = 2 };
enum mount_kind { MOUNT_BIND = 0, MOUNT_TMPFS = 1, MOUNT_SECRET = 2, MOUNT_SOCKET = 3 };

struct texts {
  const char **items; /* ends with NULL once it has an item */
  size_t count;
};

struct bytes {
  const uint8_t *data;
  size_t size;
};

/* A tree on the host: an overlay when it has lowers, else a directory. Lowers are highest first. */
struct root {
  const char *directory;
  struct texts lowers;
  const char *upper; /* NULL: read-only overlay */
  const char *work;
};

struct mount {
  enum mount_kind kind;
  const char *target;
  const char *source;
  struct root root;
  bool read_only;
  bool discard_writes;
  uint64_t size; /* bytes; 0: the kernel's default */
  uint32_t mode;
  uint32_t uid;
  uint32_t gid;
  struct bytes content;
};

struct limit {
  int resource;
  uint64_t soft;
  uint64_t hard;
};

struct spec {
  enum rung rung;
  uint64_t parent;          /* process ID of the caller; 0: not checked */
  uint64_t grace;           /* milliseconds between SIGTERM and SIGKILL */
  bool legacy_mounts;       /* behave as on a kernel without open_tree */
  bool single_id;           /* the user namespace maps one ID: ownership cannot change */
  bool terminal;            /* the step's streams are a terminal, passed on to and from descriptors 0 and 1 */
  bool input;               /* descriptor 0 is passed on to the step */
  bool held;                /* its program waits until tsbuild knows that the step is needed (start.h) */
  struct root root;
  struct texts args;
  struct texts env;
  const char *cwd;
  const char *user;
  const char *hostname;
  enum network network;
  const char *network_namespace; /* path; for NETWORK_JOINED */
  bool insecure;
  struct bytes resolv_conf;
  struct bytes hosts;
  uint64_t shm_size;
  struct limit *limits;
  size_t limit_count;
  struct texts cgroups;     /* files a process ID is written to in order to join */
  struct mount *mounts;
  size_t mount_count;
};

/* Of the wire form: what comes before the entries. */
enum { SPEC_HEADER = 8 };

/* Parses `size` bytes that follow the header; the spec points into them. Returns NULL, or what is wrong. */
const char *spec_parse(struct spec *spec, uint8_t *data, size_t size);

/* What parsing it took; the data are the caller's. */
void spec_free(struct spec *spec);

/*
 * Reads a whole spec from a descriptor, of a file from its beginning wherever others are in it, and parses it; ends the
 * process with a record when that fails.
 */
void spec_read(struct spec *spec, int fd);

#endif
