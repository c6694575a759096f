/*
 * The helper as a sealed copy of itself.
 * Runs in: the first process, before anything else, with the capabilities of tsbuild.
 */
#ifndef TSBUILD_SEAL_H
#define TSBUILD_SEAL_H

/* Returns in the sealed copy only. */
void seal_self(char **argv, char **envp);

#endif
