/*
 * `tsbuild-sandbox userns`: a program inside a new user namespace with mapped IDs.
 * Runs in: a process of the user who started tsbuild, without capabilities.
 */
#ifndef TSBUILD_USERNS_H
#define TSBUILD_USERNS_H

/*
 * `args`: path of newuidmap, path of newgidmap (both "-": the maps are written directly), number of uid map numbers,
 * those, number of gid map numbers, those, "--", program and arguments. Without numbers the caller's own ID is
 * mapped to root and nothing else. Returns the program's exit status, or 120 to 122 for what failed before it.
 */
int run_in_user_namespace(int count, char **args, char **envp);

#endif
