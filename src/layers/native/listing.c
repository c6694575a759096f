#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Slot of st_blocks in a record. */
#define BLOCKS_AT (7 * 8)

static int sort_listing(struct listing *listing);

static size_t entry_size(size_t name_length) {
    return STAT_BYTES + 8 + ((name_length + 7) & ~(size_t)7);
}

static size_t name_length(const uint8_t *entry) {
    double length;
    memcpy(&length, entry + STAT_BYTES, sizeof length);
    return (size_t)length;
}

static bool pack_entry(struct listing *listing, const struct stat *found, const char *name) {
    size_t length = strlen(name);
    size_t needed = entry_size(length);
    if (listing->used + needed > listing->size) {
        size_t size = listing->size * 2 + needed;
        uint8_t *larger = realloc(listing->data, size);
        if (larger == NULL) return false;
        listing->data = larger;
        listing->size = size;
    }
    uint8_t *at = listing->data + listing->used;
    double count = (double)length;
    memset(at, 0, needed);
    pack_stat(at, found);
    memcpy(at + STAT_BYTES, &count, sizeof count);
    memcpy(at + STAT_BYTES + 8, name, length);
    listing->used += needed;
    listing->count += 1;
    return true;
}

/* Byte order: what comes first is shorter or has the smaller byte at the first difference. */
static int compare_names(const void *left, const void *right) {
    const uint8_t *a = *(const uint8_t *const *)left;
    const uint8_t *b = *(const uint8_t *const *)right;
    size_t a_length = name_length(a);
    size_t b_length = name_length(b);
    int order = memcmp(a + STAT_BYTES + 8, b + STAT_BYTES + 8, a_length < b_length ? a_length : b_length);
    if (order != 0) return order;
    return a_length < b_length ? -1 : a_length > b_length;
}

int read_listing(int dir, struct listing *listing, const char **failed) {
    _Alignas(struct dirent64) char chunk[32768];
    *failed = "getdents64";
    if (lseek(dir, 0, SEEK_SET) < 0) return errno;
    for (;;) {
        long length = syscall(SYS_getdents64, dir, chunk, sizeof chunk);
        if (length < 0) return errno;
        if (length == 0) return sort_listing(listing);
        for (long at = 0; at < length;) {
            const struct dirent64 *entry = (const struct dirent64 *)(chunk + at);
            at += entry->d_reclen;
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
            struct stat found;
            if (fstatat(dir, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0) {
                /* Gone since it was listed: a directory somebody else still writes to. */
                if (errno == ENOENT) continue;
                *failed = "fstatat";
                return errno;
            }
            if (!pack_entry(listing, &found, entry->d_name)) return ENOMEM;
        }
    }
}

void free_listing(struct listing *listing) {
    free(listing->data);
    memset(listing, 0, sizeof *listing);
}

static int sort_listing(struct listing *listing) {
    if (listing->count < 2) return 0;
    const uint8_t **order = malloc(listing->count * sizeof *order);
    uint8_t *sorted = malloc(listing->used);
    if (order == NULL || sorted == NULL) {
        free(order);
        free(sorted);
        return ENOMEM;
    }
    const uint8_t *entry = listing->data;
    for (size_t i = 0; i < listing->count; i++) {
        order[i] = entry;
        entry += entry_size(name_length(entry));
    }
    qsort(order, listing->count, sizeof *order, compare_names);
    uint8_t *out = sorted;
    for (size_t i = 0; i < listing->count; i++) {
        size_t size = entry_size(name_length(order[i]));
        memcpy(out, order[i], size);
        out += size;
    }
    free(order);
    free(listing->data);
    listing->data = sorted;
    listing->size = listing->used;
    return 0;
}

bool same_listing(const struct listing *found, const uint8_t *data, size_t length) {
    if (found->used != length) return false;
    const size_t rest = BLOCKS_AT + 8;
    for (size_t at = 0; at < length;) {
        const uint8_t *entry = found->data + at;
        const uint8_t *other = data + at;
        size_t size = entry_size(name_length(entry));
        if (memcmp(entry, other, BLOCKS_AT) != 0 || memcmp(entry + rest, other + rest, size - rest) != 0) return false;
        at += size;
    }
    return true;
}
