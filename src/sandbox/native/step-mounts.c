/*
 * RUN --mount. A source is resolved inside its own tree, a target inside the step's root, both by descriptor: another
 * step that swaps a component for a link meanwhile changes what is found inside the tree, never the tree.
 * Runs in: PID 1 of the step, with all capabilities of its user namespace, in namespaces of its own.
 */
#include "step-mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inroot.h"
#include "report.h"
#include "system-mounts.h"
#include "tree.h"

struct step_source *open_step_sources(const struct spec *spec) {
  struct step_source *sources = calloc(spec->mount_count + 1, sizeof *sources);
  if (sources == NULL) fail("mount-source", ENOMEM, "mounts");
  for (size_t i = 0; i < spec->mount_count; i++) {
    const struct mount *mount = &spec->mounts[i];
    sources[i].tree = -1;
    if (mount->kind == MOUNT_BIND) sources[i].root = open_root(&mount->root);
    if (mount->kind != MOUNT_SOCKET) continue;
    int socket = open(mount->source, O_PATH | O_CLOEXEC);
    struct stat status;
    if (socket >= 0 && fstat(socket, &status) == 0 && !S_ISSOCK(status.st_mode)) fail("mount-source", ENOTSOCK, mount->source);
    sources[i].tree = socket < 0 ? -1 : tree_of(socket);
    if (sources[i].tree < 0) fail("mount-source", errno, mount->source);
  }
  return sources;
}

static int secret_tree(const struct mount *mount, const struct stage *stage, size_t index) {
  char name[24];
  snprintf(name, sizeof name, "s%zu", index);
  int file = stage_file(stage, name, &mount->content, mount->mode);
  if (fchownat(file, "", mount->uid, mount->gid, AT_EMPTY_PATH) != 0) fail("mount-owner", errno, mount->target);
  return tree_of(file);
}

static int bind_tree(const struct spec *spec, const struct mount *mount, struct step_source *source, struct stage *stage) {
  unsigned long flags = spec->insecure ? 0 : MS_NODEV;
  int root = mount_root(stage, &source->root, spec->rung == RUNG_USERNS, mount->discard_writes, flags);
  close_root(&source->root);
  int place = open_in_root(root, mount->source, CREATE_NOTHING, false);
  if (place < 0) fail("mount-source", errno, mount->source);
  close(root);
  return tree_of(place);
}

void prepare_step_sources(const struct spec *spec, struct step_source *sources, struct stage *stage) {
  for (size_t i = 0; i < spec->mount_count; i++) {
    const struct mount *mount = &spec->mounts[i];
    if (mount->kind == MOUNT_BIND) sources[i].tree = bind_tree(spec, mount, &sources[i], stage);
    else if (mount->kind == MOUNT_SECRET) sources[i].tree = secret_tree(mount, stage, i);
    else continue;
    if (sources[i].tree < 0) fail("mount-source", errno, mount->target);
  }
}

static void mount_tmpfs(int target, const struct mount *mount) {
  char options[64];
  int length = snprintf(options, sizeof options, "mode=%o", mount->mode);
  if (mount->size > 0)
    snprintf(options + length, sizeof options - (size_t)length, ",size=%llu", (unsigned long long)mount->size);
  if (mount_on(target, "tmpfs", options, MS_NOSUID | MS_NODEV) != 0) fail("mount", errno, mount->target);
}

static bool is_directory(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
}

void mount_step_sources(int root, const struct spec *spec, struct step_source *sources) {
  for (size_t i = 0; i < spec->mount_count; i++) {
    const struct mount *mount = &spec->mounts[i];
    bool directory = mount->kind == MOUNT_TMPFS || is_directory(sources[i].tree);
    int target = open_in_root(root, mount->target, directory ? CREATE_DIRECTORY : CREATE_FILE, true);
    if (target < 0) fail("mount-point", errno, mount->target);
    unsigned long attributes = spec->insecure ? 0 : MOUNT_ATTR_NODEV;
    if (mount->read_only || mount->kind == MOUNT_SECRET) attributes |= MOUNT_ATTR_RDONLY;
    if (mount->kind == MOUNT_TMPFS) mount_tmpfs(target, mount);
    else if (attach(sources[i].tree, target, attributes) != 0) fail("mount", errno, mount->target);
    close(target);
  }
  free(sources);
}
