/*
 * A byte over a pipe that lets a process go on.
 * Runs in: every process of the helper, whatever its capabilities.
 */
#ifndef TSBUILD_GO_H
#define TSBUILD_GO_H

/* Takes one byte; ends this process when there will be none, for whoever would write it is gone. */
unsigned char await_go(int pipe);

#endif
