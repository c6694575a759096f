/*
 * RUN --mount: bind, tmpfs, secret and socket.
 * Runs in: PID 1 of the step, with all capabilities of its user namespace, in namespaces of its own.
 */
#ifndef TSBUILD_STEP_MOUNTS_H
#define TSBUILD_STEP_MOUNTS_H

#include "rootfs.h"
#include "spec.h"

/* What one mount needs of the host, held by descriptor. */
struct step_source {
  struct root_fds root;
  int tree;
};

/* In this order: before the stage covers anything, with the stage, and in the new root. */
struct step_source *open_step_sources(const struct spec *spec);
void prepare_step_sources(const struct spec *spec, struct step_source *sources, struct stage *stage);
void mount_step_sources(int root, const struct spec *spec, struct step_source *sources);

#endif
