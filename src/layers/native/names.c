/* Making, removing and renaming names, always relative to a directory's descriptor. */
#include "args.h"
#include "beneath.h"
#include "exports.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* openBeneath(root, path, flags, mode): descriptor */
napi_value native_open_beneath(napi_env env, napi_callback_info info) {
    struct args args;
    struct path path;
    args_read(&args, env, info, 4);
    int root = args_int(&args, 0);
    args_path(&args, 1, &path);
    int flags = args_int(&args, 2);
    mode_t mode = args_uint(&args, 3);
    if (args.failed) return NULL;
    int fd = open_beneath(root, path.text, flags, mode);
    if (fd < 0) return throw_errno(env, errno, "openat2", path.text);
    return make_int(env, fd);
}

/* mkdirAt(dir, name, mode): false when the name exists */
napi_value native_mkdir_at(napi_env env, napi_callback_info info) {
    struct args args;
    struct path name;
    args_read(&args, env, info, 3);
    int dir = args_int(&args, 0);
    args_path(&args, 1, &name);
    mode_t mode = args_uint(&args, 2);
    if (args.failed) return NULL;
    if (mkdirat(dir, name.text, mode) == 0) return make_bool(env, true);
    return errno == EEXIST ? make_bool(env, false) : throw_errno(env, errno, "mkdirat", name.text);
}

/* mknodAt(dir, name, type and mode, major, minor): false when the name exists */
napi_value native_mknod_at(napi_env env, napi_callback_info info) {
    struct args args;
    struct path name;
    args_read(&args, env, info, 5);
    int dir = args_int(&args, 0);
    args_path(&args, 1, &name);
    mode_t mode = args_uint(&args, 2);
    dev_t device = makedev(args_uint(&args, 3), args_uint(&args, 4));
    if (args.failed) return NULL;
    if (mknodat(dir, name.text, mode, device) == 0) return make_bool(env, true);
    return errno == EEXIST ? make_bool(env, false) : throw_errno(env, errno, "mknodat", name.text);
}

/* symlinkAt(target, dir, name): false when the name exists */
napi_value native_symlink_at(napi_env env, napi_callback_info info) {
    struct args args;
    struct path target, name;
    args_read(&args, env, info, 3);
    args_path(&args, 0, &target);
    int dir = args_int(&args, 1);
    args_path(&args, 2, &name);
    if (args.failed) return NULL;
    if (symlinkat(target.text, dir, name.text) == 0) return make_bool(env, true);
    return errno == EEXIST ? make_bool(env, false) : throw_errno(env, errno, "symlinkat", name.text);
}

/* linkAt(fromDir, fromName, dir, name): false when the name exists. A symlink is linked itself, never followed. */
napi_value native_link_at(napi_env env, napi_callback_info info) {
    struct args args;
    struct path from_name, name;
    args_read(&args, env, info, 4);
    int from_dir = args_int(&args, 0);
    args_path(&args, 1, &from_name);
    int dir = args_int(&args, 2);
    args_path(&args, 3, &name);
    if (args.failed) return NULL;
    if (linkat(from_dir, from_name.text, dir, name.text, 0) == 0) return make_bool(env, true);
    return errno == EEXIST ? make_bool(env, false) : throw_errno(env, errno, "linkat", name.text);
}

/* unlinkAt(dir, name, directory): false when there is no such name */
napi_value native_unlink_at(napi_env env, napi_callback_info info) {
    struct args args;
    struct path name;
    args_read(&args, env, info, 3);
    int dir = args_int(&args, 0);
    args_path(&args, 1, &name);
    bool directory = args_int(&args, 2) != 0;
    if (args.failed) return NULL;
    if (unlinkat(dir, name.text, directory ? AT_REMOVEDIR : 0) == 0) return make_bool(env, true);
    return errno == ENOENT ? make_bool(env, false) : throw_errno(env, errno, "unlinkat", name.text);
}

/* renameAt(fromDir, fromName, dir, name, flags of renameat2) */
napi_value native_rename_at(napi_env env, napi_callback_info info) {
    struct args args;
    struct path from_name, name;
    args_read(&args, env, info, 5);
    int from_dir = args_int(&args, 0);
    args_path(&args, 1, &from_name);
    int dir = args_int(&args, 2);
    args_path(&args, 3, &name);
    unsigned flags = args_uint(&args, 4);
    if (args.failed) return NULL;
    if (syscall(SYS_renameat2, from_dir, from_name.text, dir, name.text, flags) != 0)
        return throw_errno(env, errno, "renameat2", name.text);
    return NULL;
}

/* readlinkAt(dir, name): latin1 string */
napi_value native_readlink_at(napi_env env, napi_callback_info info) {
    struct args args;
    struct path name;
    char target[PATH_MAX];
    args_read(&args, env, info, 2);
    int dir = args_int(&args, 0);
    args_path(&args, 1, &name);
    if (args.failed) return NULL;
    ssize_t length = readlinkat(dir, name.text, target, sizeof target);
    if (length < 0) return throw_errno(env, errno, "readlinkat", name.text);
    return make_latin1(env, target, (size_t)length);
}

/* chownAt(dir, name, uid, gid): name "" is the descriptor itself; a symlink is not followed */
napi_value native_chown_at(napi_env env, napi_callback_info info) {
    struct args args;
    struct path name;
    args_read(&args, env, info, 4);
    int dir = args_int(&args, 0);
    args_path(&args, 1, &name);
    uid_t uid = args_uint(&args, 2);
    gid_t gid = args_uint(&args, 3);
    if (args.failed) return NULL;
    if (fchownat(dir, name.text, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0)
        return throw_errno(env, errno, "fchownat", name.text);
    return NULL;
}

/* chmodAt(dir, name, mode): name "" is the descriptor itself, which must be open for reading; never for symlinks */
napi_value native_chmod_at(napi_env env, napi_callback_info info) {
    struct args args;
    struct path name;
    args_read(&args, env, info, 3);
    int dir = args_int(&args, 0);
    args_path(&args, 1, &name);
    mode_t mode = args_uint(&args, 2);
    if (args.failed) return NULL;
    if (name.text[0] == '\0') {
        if (fchmod(dir, mode) != 0) return throw_errno(env, errno, "fchmod", "");
        return NULL;
    }
    /* fchmodat(2) would follow a symlink that took the name's place; a descriptor cannot be swapped. */
    char link[40];
    int fd = openat(dir, name.text, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return throw_errno(env, errno, "openat", name.text);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    struct stat found;
    int result = fstat(fd, &found);
    if (result == 0 && S_ISLNK(found.st_mode)) {
        result = -1;
        errno = ELOOP;
    }
    if (result == 0) result = chmod(link, mode);
    int error = errno;
    close(fd);
    if (result != 0) return throw_errno(env, error, "fchmodat", name.text);
    return NULL;
}

/* utimesAt(dir, name, nanoseconds): atime and mtime; name "" is the descriptor itself; a symlink is not followed */
napi_value native_utimes_at(napi_env env, napi_callback_info info) {
    struct args args;
    struct path name;
    args_read(&args, env, info, 3);
    int dir = args_int(&args, 0);
    args_path(&args, 1, &name);
    struct timespec time = timespec_of(args_bigint(&args, 2));
    if (args.failed) return NULL;
    struct timespec times[2] = {time, time};
    int result = name.text[0] == '\0' ? futimens(dir, times) : utimensat(dir, name.text, times, AT_SYMLINK_NOFOLLOW);
    if (result != 0) return throw_errno(env, errno, "utimensat", name.text);
    return NULL;
}

struct timespec timespec_of(int64_t nanoseconds) {
    int64_t seconds = nanoseconds / 1000000000;
    int64_t rest = nanoseconds % 1000000000;
    if (rest < 0) {
        rest += 1000000000;
        seconds -= 1;
    }
    struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)rest};
    return time;
}
