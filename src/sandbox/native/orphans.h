/*
 * Where there is no PID namespace (rung chroot): every descendant found by its parent and ended.
 * Runs in: the process that stands for PID 1, with the capabilities of root in a container.
 */
#ifndef TSBUILD_ORPHANS_H
#define TSBUILD_ORPHANS_H

/* Makes this process the parent of what its descendants leave behind; before the root changes. */
void watch_orphans(void);

/* Kills and reaps until this process has no children. */
void end_orphans(void);

#endif
