/*
 * Feeds specs to the helper's parser, under the sanitizers.
 *
 * With gcc: argv[1] times a mutation of one of the files argv[3] and after, from seed argv[2]; before, each as it is.
 * With clang's libFuzzer, which looks for specs that reach new code:
 *   clang -std=c11 -D_GNU_SOURCE -DLIBFUZZER -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
 *     -Isrc/sandbox/native -o /tmp/fuzz-spec test/sandbox/fuzz-spec.c src/sandbox/native/spec.c
 *   mkdir /tmp/found && /tmp/fuzz-spec -max_total_time=1200 -max_len=2048 /tmp/found test/sandbox/spec-corpus
 *   mkdir /tmp/least && /tmp/fuzz-spec -merge=1 -use_counters=0 /tmp/least test/sandbox/spec-corpus /tmp/found
 * What /tmp/least holds then takes the place of test/sandbox/spec-corpus.
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

static size_t weight;

static void weigh_text(const char *text) {
  if (text != NULL) weight += strlen(text);
}

static void weigh_texts(const struct texts *texts) {
  for (size_t i = 0; i < texts->count; i++) weigh_text(texts->items[i]);
  if (texts->count > 0 && texts->items[texts->count] != NULL) abort();
}

static void weigh_bytes(const struct bytes *bytes) {
  for (size_t i = 0; i < bytes->size; i++) weight += bytes->data[i];
}

static void weigh_root(const struct root *root) {
  weigh_text(root->directory);
  weigh_texts(&root->lowers);
  weigh_text(root->upper);
  weigh_text(root->work);
}

/* Reads all that a spec points to, to its end: what has none would run out of the buffer. */
static void weigh(const struct spec *spec) {
  weigh_root(&spec->root);
  weigh_texts(&spec->args);
  weigh_texts(&spec->env);
  weigh_texts(&spec->cgroups);
  weigh_text(spec->cwd);
  weigh_text(spec->user);
  weigh_text(spec->hostname);
  weigh_text(spec->network_namespace);
  weigh_bytes(&spec->resolv_conf);
  weigh_bytes(&spec->hosts);
  for (size_t i = 0; i < spec->limit_count; i++) weight += spec->limits[i].soft;
  for (size_t i = 0; i < spec->mount_count; i++) {
    const struct mount *mount = &spec->mounts[i];
    weigh_text(mount->target);
    weigh_text(mount->source);
    weigh_root(&mount->root);
    weigh_bytes(&mount->content);
  }
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

/* `input` is on the heap and exactly as large as it says, so that a read past its end is seen. */
static bool try_spec(unsigned char *input, size_t size) {
  struct spec spec;
  bool accepted = spec_parse(&spec, input, size) == NULL;
  if (accepted) weigh(&spec);
  release(&spec);
  return accepted;
}

static unsigned char *copy_of(const unsigned char *data, size_t size) {
  unsigned char *copy = malloc(size == 0 ? 1 : size);
  if (copy == NULL) abort();
  if (size > 0) memcpy(copy, data, size);
  return copy;
}

#ifdef LIBFUZZER

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  unsigned char *input = copy_of(data, size);
  try_spec(input, size);
  free(input);
  return 0;
}

#else

struct sample {
  unsigned char *data;
  size_t size;
};

static unsigned long long state;

static unsigned next_random(void) {
  state = state * 6364136223846793005ULL + 1442695040888963407ULL;
  return (unsigned)(state >> 33);
}

static struct sample read_sample(const char *path) {
  static unsigned char buffer[1 << 16];
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail("open", errno, path);
  size_t size = fread(buffer, 1, sizeof buffer, file);
  fclose(file);
  return (struct sample){copy_of(buffer, size), size};
}

static bool try_mutation(const struct sample *sample) {
  size_t size = next_random() % 4 == 0 ? next_random() % (sample->size + 1) : sample->size;
  unsigned char *input = copy_of(sample->data, size);
  for (unsigned changes = next_random() % 8; changes > 0 && size > 0; changes--)
    input[next_random() % size] = next_random() % 3 == 0 ? 0 : (unsigned char)next_random();
  bool accepted = try_spec(input, size);
  free(input);
  return accepted;
}

int main(int count, char **args) {
  if (count < 4) return 2;
  size_t samples = (size_t)count - 3;
  struct sample *all = calloc(samples, sizeof *all);
  if (all == NULL) return 2;
  unsigned long untouched = 0, mutated = 0;
  for (size_t i = 0; i < samples; i++) {
    all[i] = read_sample(args[i + 3]);
    untouched += try_spec(all[i].data, all[i].size);
  }
  state = strtoull(args[2], NULL, 10);
  for (long round = strtol(args[1], NULL, 10); round > 0; round--) mutated += try_mutation(&all[next_random() % samples]);
  printf("accepted %lu of %zu untouched, %lu mutated, weight %zu\n", untouched, samples, mutated, weight);
  for (size_t i = 0; i < samples; i++) free(all[i].data);
  free(all);
  return 0;
}

#endif
