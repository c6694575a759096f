/*
 * USER as the image's own /etc/passwd and /etc/group understand it.
 * Runs in: PID 1 of the step, inside the new root, before any process of the step.
 */
#ifndef TSBUILD_USERS_H
#define TSBUILD_USERS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { MOST_GROUPS = 1024 };

struct identity {
  uid_t uid;
  gid_t gid;
  gid_t groups[MOST_GROUPS]; /* the primary group first */
  size_t group_count;
  char home[4096];
};

/* Resolves `''`, `name`, `uid`, `name:group`, `uid:gid` by the rules of runc; ends with a record when it cannot. */
void find_identity(int root, const char *user, struct identity *identity);

#endif
