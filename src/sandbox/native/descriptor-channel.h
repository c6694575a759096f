/*
 * Hands descriptors from one process to another.
 * Runs in: every process of the helper, whatever its capabilities.
 */
#ifndef TSBUILD_DESCRIPTOR_CHANNEL_H
#define TSBUILD_DESCRIPTOR_CHANNEL_H

/* A pair of sockets. */
void open_channel(int ends[2]);

/* Sends the descriptor, or that there is none (-1), and closes it. */
void send_descriptor(int channel, int descriptor);

/* The descriptor, or -1 when there is none. Waits until the other end has sent it or closed. */
int receive_descriptor(int channel);

#endif
