/*
 * All entries of a directory in one run of bytes: for each a stat record, the length of the name as a double, the name,
 * and zeros up to the next multiple of 8. In byte order of the names, whatever order the file system has.
 */
#ifndef TSBUILD_LAYERS_LISTING_H
#define TSBUILD_LAYERS_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define STAT_BYTES (12 * 8)

/* Zeros are an empty one. */
struct listing {
    uint8_t *data;
    size_t used;
    size_t size;
    size_t count;
};

void pack_stat(uint8_t *out, const struct stat *found);

/* Fills an empty listing with all but . and .. of a directory. Returns 0, or errno and in `failed` the system call. */
int read_listing(int dir, struct listing *listing, const char **failed);
void free_listing(struct listing *listing);

/* Whether two listings say the same of everything but the blocks on disk: a file is given those after it was written. */
bool same_listing(const struct listing *found, const uint8_t *data, size_t length);

#endif
