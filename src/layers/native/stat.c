/* What a name is: one record of 12 slots of 8 bytes, the same for a single name and for a whole directory at once. */
#include "args.h"
#include "exports.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define STAT_BYTES (12 * 8)

/* Eight doubles (exact below 2^53), then four int64. addon.ts names the slots. */
static void pack_stat(uint8_t *out, const struct stat *found) {
    double numbers[8] = {
        found->st_mode,
        found->st_uid,
        found->st_gid,
        (double)found->st_size,
        (double)found->st_nlink,
        major(found->st_rdev),
        minor(found->st_rdev),
        (double)found->st_blocks,
    };
    int64_t exact[4] = {
        (int64_t)found->st_dev,
        (int64_t)found->st_ino,
        (int64_t)found->st_mtim.tv_sec * 1000000000 + found->st_mtim.tv_nsec,
        (int64_t)found->st_ctim.tv_sec * 1000000000 + found->st_ctim.tv_nsec,
    };
    memcpy(out, numbers, sizeof numbers);
    memcpy(out + sizeof numbers, exact, sizeof exact);
}

/* statAt(dir, name, out): false when there is none; name "" is the descriptor itself; a symlink is not followed */
napi_value native_stat_at(napi_env env, napi_callback_info info) {
    struct args args;
    struct path name;
    args_read(&args, env, info, 3);
    int dir = args_int(&args, 0);
    args_path(&args, 1, &name);
    struct bytes out = args_bytes(&args, 2);
    if (args.failed) return NULL;
    if (out.length < STAT_BYTES) return throw_errno(env, EINVAL, "statAt", name.text);
    struct stat found;
    if (fstatat(dir, name.text, &found, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) return make_bool(env, false);
        return throw_errno(env, errno, "fstatat", name.text);
    }
    pack_stat(out.data, &found);
    return make_bool(env, true);
}

/* holders(dirs, name): the positions in `dirs`, an Int32Array, of the directories that have the name, in order */
napi_value native_holders(napi_env env, napi_callback_info info) {
    struct args args;
    struct path name;
    args_read(&args, env, info, 2);
    struct bytes dirs = args_bytes(&args, 0);
    args_path(&args, 1, &name);
    if (args.failed) return NULL;
    napi_value found;
    uint32_t count = 0;
    if (napi_create_array(env, &found) != napi_ok) return NULL;
    for (size_t i = 0; i < dirs.length / sizeof(int32_t); i++) {
        int32_t dir;
        struct stat ignored;
        memcpy(&dir, dirs.data + i * sizeof dir, sizeof dir);
        if (fstatat(dir, name.text, &ignored, AT_SYMLINK_NOFOLLOW) == 0) {
            if (napi_set_element(env, found, count++, make_int(env, (int64_t)i)) != napi_ok) return NULL;
        } else if (errno != ENOENT && errno != ENOTDIR) {
            return throw_errno(env, errno, "fstatat", name.text);
        }
    }
    return found;
}

struct packed {
    uint8_t *data;
    size_t used;
    size_t size;
    size_t count;
};

/* A record, the length of the name as a double, the name, zeros up to the next multiple of 8. */
static size_t entry_size(size_t name_length) {
    return STAT_BYTES + 8 + ((name_length + 7) & ~(size_t)7);
}

static size_t name_length(const uint8_t *entry) {
    double length;
    memcpy(&length, entry + STAT_BYTES, sizeof length);
    return (size_t)length;
}

static bool pack_entry(struct packed *packed, const struct stat *found, const char *name) {
    size_t length = strlen(name);
    size_t needed = entry_size(length);
    if (packed->used + needed > packed->size) {
        size_t size = packed->size * 2 + needed;
        uint8_t *larger = realloc(packed->data, size);
        if (larger == NULL) return false;
        packed->data = larger;
        packed->size = size;
    }
    uint8_t *at = packed->data + packed->used;
    double count = (double)length;
    memset(at, 0, needed);
    pack_stat(at, found);
    memcpy(at + STAT_BYTES, &count, sizeof count);
    memcpy(at + STAT_BYTES + 8, name, length);
    packed->used += needed;
    packed->count += 1;
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

/* A Buffer of the entries in byte order of their names; NULL without memory. */
static napi_value make_sorted(napi_env env, const struct packed *packed) {
    napi_value result = NULL;
    void *data = NULL;
    const uint8_t **order = malloc((packed->count + 1) * sizeof *order);
    if (order == NULL) return NULL;
    const uint8_t *entry = packed->data;
    for (size_t i = 0; i < packed->count; i++) {
        order[i] = entry;
        entry += entry_size(name_length(entry));
    }
    qsort(order, packed->count, sizeof *order, compare_names);
    if (napi_create_buffer(env, packed->used, &data, &result) == napi_ok) {
        uint8_t *out = data;
        for (size_t i = 0; i < packed->count; i++) {
            size_t size = entry_size(name_length(order[i]));
            memcpy(out, order[i], size);
            out += size;
        }
    }
    free(order);
    return result;
}

/* scanDirectory(fd): Buffer of all entries but . and .., in byte order of their names */
napi_value native_scan_directory(napi_env env, napi_callback_info info) {
    struct args args;
    args_read(&args, env, info, 1);
    int dir = args_int(&args, 0);
    if (args.failed) return NULL;

    _Alignas(struct dirent64) char chunk[32768];
    struct packed packed = {NULL, 0, 0, 0};
    int error = 0;
    const char *failed = "getdents64";
    if (lseek(dir, 0, SEEK_SET) < 0) error = errno;
    while (error == 0) {
        long length = syscall(SYS_getdents64, dir, chunk, sizeof chunk);
        if (length < 0) error = errno;
        if (length <= 0) break;
        for (long at = 0; at < length && error == 0;) {
            const struct dirent64 *entry = (const struct dirent64 *)(chunk + at);
            at += entry->d_reclen;
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
            struct stat found;
            if (fstatat(dir, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0) {
                /* Gone since it was listed: a directory somebody else still writes to. */
                if (errno == ENOENT) continue;
                error = errno;
                failed = "fstatat";
            } else if (!pack_entry(&packed, &found, entry->d_name)) {
                error = ENOMEM;
            }
        }
    }
    napi_value result = error == 0 ? make_sorted(env, &packed) : NULL;
    free(packed.data);
    return result != NULL ? result : throw_errno(env, error != 0 ? error : ENOMEM, failed, "");
}
