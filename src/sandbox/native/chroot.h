/*
 * What can be given to a step where nothing can be mounted (rung chroot): devices, the files of /etc, secrets.
 * Runs in: the process that stands for PID 1, with the capabilities of root in a container.
 */
#ifndef TSBUILD_CHROOT_H
#define TSBUILD_CHROOT_H

#include "spec.h"

/* Puts them into the root's own directories, aside what is there. Before any process of the step. */
void place_files(int root, const struct spec *spec);

/* Takes them out again and puts back what was there. After the last process of the step. */
void remove_files(void);

#endif
