/*
 * Feeds mutated specs to the helper's parser, under the sanitizers: argv[1] rounds from seed argv[2].
 * Runs in: a test, without privileges.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "spec.h"

_Noreturn void fail(const char *stage, int error, const char *detail) {
  fprintf(stderr, "%s %d %s\n", stage, error, detail);
  exit(9);
}

static unsigned long long state;

static unsigned next_random(void) {
  state = state * 6364136223846793005ULL + 1442695040888963407ULL;
  return (unsigned)(state >> 33);
}

/* Reads every text to its end: a text without one would run out of the buffer. */
static size_t weigh(const struct spec *spec) {
  size_t weight = 0;
  for (size_t i = 0; i < spec->args.count; i++) weight += strlen(spec->args.items[i]);
  for (size_t i = 0; i < spec->env.count; i++) weight += strlen(spec->env.items[i]);
  for (size_t i = 0; i < spec->root.lowers.count; i++) weight += strlen(spec->root.lowers.items[i]);
  for (size_t i = 0; i < spec->mount_count; i++) {
    weight += strlen(spec->mounts[i].target);
    for (size_t j = 0; j < spec->mounts[i].content.size; j++) weight += spec->mounts[i].content.data[j];
  }
  for (size_t i = 0; i < spec->resolv_conf.size; i++) weight += spec->resolv_conf.data[i];
  return weight + strlen(spec->cwd) + strlen(spec->user) + strlen(spec->hostname);
}

static void release(struct spec *spec) {
  free(spec->args.items);
  free(spec->env.items);
  free(spec->cgroups.items);
  free(spec->root.lowers.items);
  free(spec->limits);
  for (size_t i = 0; i < spec->mount_count; i++) free(spec->mounts[i].root.lowers.items);
  free(spec->mounts);
}

int main(int count, char **args) {
  if (count != 3) return 2;
  static unsigned char sample[1 << 16];
  size_t size = fread(sample, 1, sizeof sample, stdin);
  state = strtoull(args[2], NULL, 10);
  unsigned long accepted = 0;
  size_t weight = 0;
  for (long round = strtol(args[1], NULL, 10); round > 0; round--) {
    size_t length = next_random() % 4 == 0 ? next_random() % (size + 1) : size;
    /* Exactly as large as it says, so that a read past its end is seen. */
    unsigned char *data = malloc(length + 1);
    unsigned char *input = realloc(data, length == 0 ? 1 : length);
    memcpy(input, sample, length);
    for (unsigned changes = next_random() % 8; changes > 0 && length > 0; changes--)
      input[next_random() % length] = next_random() % 3 == 0 ? 0 : (unsigned char)next_random();
    struct spec spec;
    if (spec_parse(&spec, input, length) == NULL) {
      accepted++;
      weight += weigh(&spec);
    }
    release(&spec);
    free(input);
  }
  printf("accepted %lu %zu\n", accepted, weight);
  return 0;
}
