/*
 * Owners a step gives where only one ID is mapped: the kernel hands calls of the chown family to PID 1, which writes the
 * owner into an attribute of the file. tsbuild reads it when it makes the layer.
 * Runs in: PID 1 of the step, with all capabilities of its user namespace, inside the step's root.
 */
#ifndef TSBUILD_OWNERS_H
#define TSBUILD_OWNERS_H

/* A pair of sockets over which the step's main process hands its listener to PID 1. */
void open_owner_channel(int ends[2]);

/* Main process: sends the listener, when there is one, and closes both. */
void send_listener(int channel, int listener);

/* PID 1: the listener, or -1 when there is none. Waits until the main process has sent it or ended. */
int receive_listener(int channel);

/* Answers one call. */
void answer_owner_call(int listener);

#endif
