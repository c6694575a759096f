/*
 * What every step finds mounted: /proc, /dev, /sys, and its own /etc/resolv.conf, /etc/hosts and /etc/hostname.
 * Runs in: PID 1 of the step, with all capabilities of its user namespace, in namespaces of its own.
 */
#ifndef TSBUILD_SYSTEM_MOUNTS_H
#define TSBUILD_SYSTEM_MOUNTS_H

#include "rootfs.h"
#include "spec.h"

enum { DEVICES = 6 };

/* Trees prepared while the old root is there. */
struct system_sources {
  int devices[DEVICES]; /* -1: the host has none */
  bool own[DEVICES];    /* made for this step, not the host's */
  int sys;              /* the host's /sys, for a namespace that may not mount its own; -1: not opened */
};

struct system_sources open_system_sources(const struct spec *spec);
void prepare_devices(struct system_sources *sources, const struct stage *stage);

/* Binds need the new root's /proc only after this. */
void mount_proc(int root, const struct spec *spec, const struct stage *stage);
void mount_dev(int root, const struct spec *spec, struct system_sources *sources);
void mount_sys(int root, const struct spec *spec, struct system_sources *sources, const struct stage *stage);
void mount_etc(int root, const struct spec *spec, const struct stage *stage);

/* Writes a file on the stage and opens it (O_PATH). */
int stage_file(const struct stage *stage, const char *name, const struct bytes *content, unsigned mode);

#endif
