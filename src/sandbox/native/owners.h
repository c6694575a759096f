/*
 * Owners a step gives where only one ID is mapped: the kernel hands calls of the chown family to PID 1, which writes the
 * owner into an attribute of the file. tsbuild reads it when it makes the layer.
 * Runs in: PID 1 of the step, with all capabilities of its user namespace, inside the step's root.
 */
#ifndef TSBUILD_OWNERS_H
#define TSBUILD_OWNERS_H

/* Answers one call. */
void answer_owner_call(int listener);

#endif
