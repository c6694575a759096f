/*
 * Looks users and groups up in the image's files, which are hostile: regular files inside the root, at most 10 MiB,
 * lines of any shape.
 * Runs in: PID 1 of the step, inside the new root, before any process of the step.
 */
#include "users.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inroot.h"
#include "report.h"

enum { LARGEST_FILE = 10 << 20, MOST_FIELDS = 7 };

struct line {
  char *fields[MOST_FIELDS];
  int count;
};

/* The whole file as a string; an empty one when there is none. */
static char *read_text(int root, const char *path) {
  int fd = read_in_root(root, path);
  if (fd < 0 && errno != ENOENT && errno != ENOTDIR) fail("user", errno, path);
  off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
  if (size < 0 || size > LARGEST_FILE) fail("user", EFBIG, path);
  char *text = malloc((size_t)size + 1);
  if (text == NULL) fail("user", ENOMEM, path);
  size_t have = 0;
  if (fd >= 0) {
    for (ssize_t got; have < (size_t)size; have += (size_t)got) {
      got = pread(fd, text + have, (size_t)size - have, (off_t)have);
      if (got < 0) fail("user", errno, path);
      if (got == 0) break;
    }
    close(fd);
  }
  text[have] = 0;
  return text;
}

/* Cuts the next line of `*text` into its fields at ':'; false at the end. Changes the text. */
static bool next_line(char **text, struct line *line) {
  char *start = *text;
  if (*start == 0) return false;
  char *end = strchrnul(start, '\n');
  *text = *end == 0 ? end : end + 1;
  *end = 0;
  line->count = 0;
  while (start != NULL && line->count < MOST_FIELDS) line->fields[line->count++] = strsep(&start, ":");
  return true;
}

static bool parse_id(const char *text, uint32_t *id) {
  size_t length = strlen(text);
  if (length == 0 || length > 10 || strspn(text, "0123456789") != length) return false;
  unsigned long long value = strtoull(text, NULL, 10);
  if (value > INT32_MAX) return false;
  *id = (uint32_t)value;
  return true;
}

/* A name or the decimal ID of an entry: what the user wrote fits either. */
static bool names_entry(const char *wanted, const char *name, const char *id_text, uint32_t *id) {
  uint32_t number = 0;
  if (!parse_id(id_text, id)) return false;
  return strcmp(wanted, name) == 0 || (parse_id(wanted, &number) && number == *id);
}

static bool lists(const char *members, const char *name) {
  size_t length = strlen(name);
  while (*members != 0) {
    size_t size = strcspn(members, ",");
    if (size == length && strncmp(members, name, size) == 0) return true;
    members += size + (members[size] == ',' ? 1 : 0);
  }
  return false;
}

static void find_user(int root, const char *user, bool given, struct identity *identity, char *name, size_t size) {
  char *text = read_text(root, "/etc/passwd");
  struct line line;
  uint32_t uid = 0, gid = 0;
  for (char *rest = text; next_line(&rest, &line);) {
    if (line.count < 6 || !names_entry(user, line.fields[0], line.fields[2], &uid)) continue;
    if (!parse_id(line.fields[3], &gid)) continue;
    identity->uid = uid;
    identity->gid = gid;
    strncpy(name, line.fields[0], size - 1);
    strncpy(identity->home, line.fields[5], sizeof identity->home - 1);
    free(text);
    return;
  }
  free(text);
  if (!parse_id(user, &uid)) fail("user", given ? ESRCH : EINVAL, user);
  identity->uid = uid;
}

static void find_group(int root, const char *group, struct identity *identity) {
  char *text = read_text(root, "/etc/group");
  struct line line;
  uint32_t gid = 0;
  bool found = false;
  for (char *rest = text; !found && next_line(&rest, &line);)
    found = line.count >= 3 && names_entry(group, line.fields[0], line.fields[2], &gid);
  free(text);
  if (!found && !parse_id(group, &gid)) fail("group", ESRCH, group);
  identity->gid = gid;
}

static void add_group(struct identity *identity, gid_t gid) {
  for (size_t i = 0; i < identity->group_count; i++)
    if (identity->groups[i] == gid) return;
  if (identity->group_count < MOST_GROUPS) identity->groups[identity->group_count++] = gid;
}

static void find_memberships(int root, const char *name, struct identity *identity) {
  char *text = read_text(root, "/etc/group");
  struct line line;
  uint32_t gid = 0;
  for (char *rest = text; next_line(&rest, &line);)
    if (line.count >= 4 && parse_id(line.fields[2], &gid) && lists(line.fields[3], name)) add_group(identity, gid);
  free(text);
}

void find_identity(int root, const char *user, struct identity *identity) {
  *identity = (struct identity){.home = "/"};
  char wanted[256], name[256] = "";
  if (strlen(user) >= sizeof wanted) fail("user", ENAMETOOLONG, "user");
  strcpy(wanted, user);
  char *group = strchr(wanted, ':');
  if (group != NULL) *group++ = 0;
  find_user(root, wanted[0] == 0 ? "0" : wanted, wanted[0] != 0, identity, name, sizeof name);
  if (group != NULL && *group != 0) find_group(root, group, identity);
  add_group(identity, identity->gid);
  if ((group == NULL || *group == 0) && name[0] != 0) find_memberships(root, name, identity);
  if (identity->home[0] == 0) strcpy(identity->home, "/");
}
