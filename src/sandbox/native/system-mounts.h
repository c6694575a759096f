/*
 * What every step finds mounted: /proc, /dev, /sys, and its own /etc/resolv.conf and /etc/hosts. As in
 * BuildKit, /etc/hostname is the image's: what a step writes there stays.
 * Runs in: PID 1 of the step, with all capabilities of its user namespace, in namespaces of its own.
 */
#ifndef TSBUILD_SYSTEM_MOUNTS_H
#define TSBUILD_SYSTEM_MOUNTS_H

#include "rootfs.h"
#include "spec.h"

enum { DEVICES = 6 };

/* What is taken of the old root while it is there. */
struct system_sources {
  int devices[DEVICES]; /* the host's nodes; -1: it has none */
  int sys;              /* the host's /sys, for a namespace that may not mount its own; -1: not opened */
  bool unified;         /* the host has control groups of version 2 where programs expect them */
};

struct system_sources open_system_sources(enum rung rung);

/* Mounts /proc and /dev on the stage, as every step but an insecure one has them. Needs no spec. */
void prepare_system(const struct system_sources *sources, const struct stage *stage);

/* Binds need the new root's /proc only after this. */
void mount_proc(int root, const struct spec *spec, const struct stage *stage);
void mount_dev(int root, const struct spec *spec, const struct system_sources *sources, const struct stage *stage);
void mount_sys(int root, const struct spec *spec, struct system_sources *sources, const struct stage *stage);
void mount_etc(int root, const struct spec *spec, const struct stage *stage);

/* Writes a file on the stage and opens it (O_PATH). */
int stage_file(const struct stage *stage, const char *name, const struct bytes *content, unsigned mode);

#endif
