/*
 * Reads and checks the spec; every length is checked before it is used, and nothing is assumed about the order of
 * entries but that a mount's entries follow it.
 * Runs in: the parent of PID 1 (parent.h), with the capabilities tsbuild has, and PID 1.
 */
#include "spec.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

static const size_t largest_spec = (size_t)64 << 20;

struct entry {
  uint8_t tag;
  uint8_t *data;
  size_t size;
};

static uint64_t little_endian(const uint8_t *data, size_t size) {
  uint64_t value = 0;
  for (size_t i = size; i > 0; i--) value = value << 8 | data[i - 1];
  return value;
}

static bool text_of(const struct entry *entry, const char **text) {
  if (entry->size == 0 || memchr(entry->data, 0, entry->size) != entry->data + entry->size - 1) return false;
  *text = (const char *)entry->data;
  return true;
}

static bool number_of(const struct entry *entry, uint64_t most, uint64_t *number) {
  if (entry->size != 8) return false;
  *number = little_endian(entry->data, 8);
  return *number <= most;
}

static bool flag_of(const struct entry *entry, bool *flag) {
  uint64_t number = 0;
  if (!number_of(entry, 1, &number)) return false;
  *flag = number == 1;
  return true;
}

static bool id_of(const struct entry *entry, uint32_t *id) {
  uint64_t number = 0;
  if (!number_of(entry, INT32_MAX, &number)) return false;
  *id = (uint32_t)number;
  return true;
}

static bool add_text(const struct entry *entry, struct texts *texts) {
  const char *text = NULL;
  if (!text_of(entry, &text)) return false;
  const char **items = realloc(texts->items, (texts->count + 2) * sizeof *items);
  if (items == NULL) return false;
  items[texts->count] = text;
  items[texts->count + 1] = NULL;
  texts->items = items;
  texts->count++;
  return true;
}

static bool add_limit(struct spec *spec, const struct entry *entry) {
  if (entry->size != 24) return false;
  struct limit *limits = realloc(spec->limits, (spec->limit_count + 1) * sizeof *limits);
  if (limits == NULL) return false;
  spec->limits = limits;
  struct limit *limit = &limits[spec->limit_count++];
  limit->resource = (int)(little_endian(entry->data, 8) & 0xff);
  limit->soft = little_endian(entry->data + 8, 8);
  limit->hard = little_endian(entry->data + 16, 8);
  return true;
}

static bool add_mount(struct spec *spec, const struct entry *entry) {
  uint64_t kind = 0;
  if (!number_of(entry, MOUNT_SOCKET, &kind)) return false;
  struct mount *mounts = realloc(spec->mounts, (spec->mount_count + 1) * sizeof *mounts);
  if (mounts == NULL) return false;
  spec->mounts = mounts;
  mounts[spec->mount_count] = (struct mount){.kind = (enum mount_kind)kind};
  spec->mount_count++;
  return true;
}

static bool take_mount_entry(struct spec *spec, const struct entry *entry) {
  if (spec->mount_count == 0) return false;
  struct mount *mount = &spec->mounts[spec->mount_count - 1];
  uint64_t number = 0;
  switch (entry->tag) {
    case TAG_MOUNT_TARGET: return text_of(entry, &mount->target);
    case TAG_MOUNT_SOURCE: return text_of(entry, &mount->source);
    case TAG_MOUNT_READ_ONLY: return flag_of(entry, &mount->read_only);
    case TAG_MOUNT_DISCARD: return flag_of(entry, &mount->discard_writes);
    case TAG_MOUNT_SIZE: return number_of(entry, INT64_MAX, &mount->size);
    case TAG_MOUNT_MODE:
      if (!number_of(entry, 07777, &number)) return false;
      mount->mode = (uint32_t)number;
      return true;
    case TAG_MOUNT_UID: return id_of(entry, &mount->uid);
    case TAG_MOUNT_GID: return id_of(entry, &mount->gid);
    case TAG_MOUNT_CONTENT:
      mount->content = (struct bytes){entry->data, entry->size};
      return true;
    case TAG_MOUNT_LOWER: return add_text(entry, &mount->root.lowers);
    case TAG_MOUNT_UPPER: return text_of(entry, &mount->root.upper);
    case TAG_MOUNT_WORK: return text_of(entry, &mount->root.work);
    case TAG_MOUNT_DIRECTORY: return text_of(entry, &mount->root.directory);
    default: return false;
  }
}

static bool take_entry(struct spec *spec, const struct entry *entry) {
  uint64_t number = 0;
  switch (entry->tag) {
    case TAG_RUNG:
      if (!number_of(entry, RUNG_CHROOT, &number)) return false;
      spec->rung = (enum rung)number;
      return true;
    case TAG_PARENT: return number_of(entry, INT32_MAX, &spec->parent);
    case TAG_GRACE: return number_of(entry, 3600000, &spec->grace);
    case TAG_LEGACY_MOUNTS: return flag_of(entry, &spec->legacy_mounts);
    case TAG_SINGLE_ID: return flag_of(entry, &spec->single_id);
    case TAG_TERMINAL: return flag_of(entry, &spec->terminal);
    case TAG_HELD: return flag_of(entry, &spec->held);
    case TAG_INPUT: return flag_of(entry, &spec->input);
    case TAG_LOWER: return add_text(entry, &spec->root.lowers);
    case TAG_UPPER: return text_of(entry, &spec->root.upper);
    case TAG_WORK: return text_of(entry, &spec->root.work);
    case TAG_DIRECTORY: return text_of(entry, &spec->root.directory);
    case TAG_ARGUMENT: return add_text(entry, &spec->args);
    case TAG_VARIABLE: return add_text(entry, &spec->env);
    case TAG_CWD: return text_of(entry, &spec->cwd);
    case TAG_USER: return text_of(entry, &spec->user);
    case TAG_HOSTNAME: return text_of(entry, &spec->hostname);
    case TAG_NETWORK:
      if (!number_of(entry, NETWORK_JOINED, &number)) return false;
      spec->network = (enum network)number;
      return true;
    case TAG_INSECURE: return flag_of(entry, &spec->insecure);
    case TAG_RESOLV_CONF: spec->resolv_conf = (struct bytes){entry->data, entry->size}; return true;
    case TAG_HOSTS: spec->hosts = (struct bytes){entry->data, entry->size}; return true;
    case TAG_SHM_SIZE: return number_of(entry, INT64_MAX, &spec->shm_size);
    case TAG_RLIMIT: return add_limit(spec, entry);
    case TAG_CGROUP: return add_text(entry, &spec->cgroups);
    case TAG_NETWORK_NAMESPACE: return text_of(entry, &spec->network_namespace);
    case TAG_MOUNT: return add_mount(spec, entry);
    default: return take_mount_entry(spec, entry);
  }
}

static const char *check_root(const struct root *root) {
  if (root->lowers.count > 0) {
    if ((root->upper == NULL) != (root->work == NULL)) return "an overlay has an upper without a work directory";
    return NULL;
  }
  return root->directory == NULL ? "a root file system has neither lowers nor a directory" : NULL;
}

static const char *check(const struct spec *spec) {
  if (spec->args.count == 0) return "no program";
  if (spec->cwd == NULL || spec->cwd[0] != '/') return "the working directory is not absolute";
  if (spec->user == NULL || spec->hostname == NULL) return "no user or host name";
  if (spec->network == NETWORK_JOINED && spec->network_namespace == NULL) return "no network namespace";
  const char *wrong = check_root(&spec->root);
  if (wrong != NULL) return wrong;
  for (size_t i = 0; i < spec->mount_count; i++) {
    const struct mount *mount = &spec->mounts[i];
    if (mount->target == NULL || mount->target[0] != '/') return "a mount's target is not absolute";
    if (mount->kind == MOUNT_BIND || mount->kind == MOUNT_SOCKET) {
      if (mount->source == NULL) return "a mount has no source";
    }
    if (mount->kind == MOUNT_BIND && (wrong = check_root(&mount->root)) != NULL) return wrong;
  }
  return NULL;
}

const char *spec_parse(struct spec *spec, uint8_t *data, size_t size) {
  *spec = (struct spec){0};
  for (size_t at = 0; at < size;) {
    if (size - at < 5) return "an entry is cut short";
    struct entry entry = {.tag = data[at], .size = (size_t)little_endian(data + at + 1, 4)};
    at += 5;
    if (size - at < entry.size) return "an entry is cut short";
    entry.data = data + at;
    at += entry.size;
    if (!take_entry(spec, &entry)) return "an entry has a bad tag or value";
  }
  return check(spec);
}

void spec_free(struct spec *spec) {
  const struct texts lists[] = {spec->root.lowers, spec->args, spec->env, spec->cgroups};
  for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) free(lists[i].items);
  for (size_t i = 0; i < spec->mount_count; i++) free(spec->mounts[i].root.lowers.items);
  free(spec->mounts);
  free(spec->limits);
}

static void read_exactly(int fd, uint8_t *data, size_t size, off_t at) {
  for (size_t have = 0; have < size;) {
    ssize_t got = pread(fd, data + have, size - have, at + (off_t)have);
    if (got < 0 && errno == ESPIPE) got = read(fd, data + have, size - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("spec", errno, "read");
    if (got == 0) fail("spec", EPROTO, "the spec ends early");
    have += (size_t)got;
  }
}

void spec_read(struct spec *spec, int fd) {
  uint8_t header[SPEC_HEADER];
  read_exactly(fd, header, sizeof header, 0);
  if (memcmp(header, "TSB1", 4) != 0) fail("spec", EPROTO, "the spec has another version");
  size_t size = (size_t)little_endian(header + 4, 4);
  if (size > largest_spec) fail("spec", E2BIG, "the spec");
  uint8_t *data = malloc(size + 1);
  if (data == NULL) fail("spec", ENOMEM, "the spec");
  read_exactly(fd, data, size, sizeof header);
  const char *wrong = spec_parse(spec, data, size);
  if (wrong != NULL) fail("spec", EPROTO, wrong);
}
