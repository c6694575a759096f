/* What a name is: one record of 12 slots of 8 bytes, the same for a single name and for a whole directory at once. */
#include "args.h"
#include "exports.h"
#include "listing.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Eight doubles (exact below 2^53), then four int64. addon.ts names the slots. */
void pack_stat(uint8_t *out, const struct stat *found) {
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

/* scanDirectory(fd): Buffer of all entries but . and .., in byte order of their names */
napi_value native_scan_directory(napi_env env, napi_callback_info info) {
    struct args args;
    args_read(&args, env, info, 1);
    int dir = args_int(&args, 0);
    if (args.failed) return NULL;
    struct listing listing = {0};
    const char *failed = "";
    int error = read_listing(dir, &listing, &failed);
    napi_value result = NULL;
    if (error == 0 && napi_create_buffer_copy(env, listing.used, listing.data, NULL, &result) != napi_ok) error = ENOMEM;
    free_listing(&listing);
    return error == 0 ? result : throw_errno(env, error, failed, "");
}
