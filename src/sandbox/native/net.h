/*
 * Network namespaces: an empty one for a step, or one with outward access that all steps of a tsbuild share.
 * Runs in: PID 1 of a step (raise_loopback, join_network) and, for hold_network, a process beside tsbuild with its
 * capabilities.
 */
#ifndef TSBUILD_NET_H
#define TSBUILD_NET_H

/* Sets the loopback interface up: 127.0.0.1 and ::1 answer, nothing else does. */
void raise_loopback(void);

/* Moves this process into the network namespace a file stands for. */
void join_network(const char *path);

/*
 * `tsbuild-sandbox net`: makes a network namespace, has slirp4netns or pasta (`kind`, at `program`) connect it, reports
 * `ready` on descriptor 4 and keeps it until stdin ends or tsbuild dies.
 */
int hold_network(const char *kind, const char *program);

#endif
