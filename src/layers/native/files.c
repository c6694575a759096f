/* Contents: whole small files in one call, holes, locks, syncing. */
#include "args.h"
#include "beneath.h"
#include "exports.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* What readWhole returns when the file is not what was expected. */
enum { NOT_REGULAR = -1, SIZE_DIFFERS = -2, HAS_XATTRS = -3 };

static ssize_t read_fully(int fd, uint8_t *data, size_t length) {
    size_t done = 0;
    while (done < length) {
        ssize_t count = read(fd, data + done, length - done);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return -1;
        if (count == 0) break;
        done += (size_t)count;
    }
    return (ssize_t)done;
}

static int write_fully(int fd, const uint8_t *data, size_t length) {
    while (length > 0) {
        ssize_t count = write(fd, data, length);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return -1;
        data += count;
        length -= (size_t)count;
    }
    return 0;
}

/*
 * readWhole(root, path, buffer, offset, length, plain): length, or one of the codes above. The file must be regular
 * and have exactly that length before and after. O_NONBLOCK: a FIFO that took its place must not hang the open.
 * With `plain`, a file that has extended attributes is not read.
 */
napi_value native_read_whole(napi_env env, napi_callback_info info) {
    struct args args;
    struct path path;
    args_read(&args, env, info, 6);
    int root = args_int(&args, 0);
    args_path(&args, 1, &path);
    struct bytes window = args_window(&args, 2, 3, 4);
    bool plain = args_int(&args, 5) != 0;
    if (args.failed) return NULL;
    int fd = open_beneath(root, path.text, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) {
        if (errno == ENXIO) return make_int(env, NOT_REGULAR);
        return throw_errno(env, errno, "openat2", path.text);
    }
    struct stat found;
    int64_t result = 0;
    int error = 0;
    uint8_t more;
    if (fstat(fd, &found) != 0)
        error = errno;
    else if (!S_ISREG(found.st_mode))
        result = NOT_REGULAR;
    else if ((uint64_t)found.st_size != window.length)
        result = SIZE_DIFFERS;
    else if (plain && flistxattr(fd, NULL, 0) > 0)
        result = HAS_XATTRS;
    else if ((result = read_fully(fd, window.data, window.length)) < 0)
        error = errno;
    else if ((size_t)result != window.length || read_fully(fd, &more, 1) != 0)
        result = SIZE_DIFFERS;
    close(fd);
    return error != 0 ? throw_errno(env, error, "read", path.text) : make_int(env, result);
}

/*
 * writeWhole(dir, name, buffer, offset, length, mode, uid, gid, mtime): a new file with this content and metadata;
 * false when the name exists. uid -1 leaves the owner. chown comes before chmod: it clears setuid and setgid.
 */
napi_value native_write_whole(napi_env env, napi_callback_info info) {
    struct args args;
    struct path name;
    args_read(&args, env, info, 9);
    int dir = args_int(&args, 0);
    args_path(&args, 1, &name);
    struct bytes window = args_window(&args, 2, 3, 4);
    mode_t mode = args_uint(&args, 5);
    int64_t uid = args_int64(&args, 6);
    int64_t gid = args_int64(&args, 7);
    struct timespec time = timespec_of(args_bigint(&args, 8));
    if (args.failed) return NULL;
    int fd = openat(dir, name.text, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return errno == EEXIST ? make_bool(env, false) : throw_errno(env, errno, "openat", name.text);
    struct timespec times[2] = {time, time};
    const char *failed = NULL;
    if (write_fully(fd, window.data, window.length) != 0)
        failed = "write";
    else if (uid >= 0 && fchown(fd, (uid_t)uid, (gid_t)gid) != 0)
        failed = "fchown";
    else if (fchmod(fd, mode) != 0)
        failed = "fchmod";
    else if (futimens(fd, times) != 0)
        failed = "futimens";
    int error = errno;
    close(fd);
    return failed != NULL ? throw_errno(env, error, failed, name.text) : make_bool(env, true);
}

/* seekData(fd, offset, hole): the next data (or hole) at or after offset; -1 when there is none */
napi_value native_seek_data(napi_env env, napi_callback_info info) {
    struct args args;
    args_read(&args, env, info, 3);
    int fd = args_int(&args, 0);
    int64_t offset = args_int64(&args, 1);
    bool hole = args_int(&args, 2) != 0;
    if (args.failed) return NULL;
    off_t found = lseek(fd, offset, hole ? SEEK_HOLE : SEEK_DATA);
    if (found < 0 && errno != ENXIO) return throw_errno(env, errno, "lseek", "");
    return make_int(env, found);
}

/* tryLock(fd, exclusive): false when another open file holds it. The kernel lets go when the descriptor's last copy closes. */
napi_value native_try_lock(napi_env env, napi_callback_info info) {
    struct args args;
    args_read(&args, env, info, 2);
    int fd = args_int(&args, 0);
    bool exclusive = args_int(&args, 1) != 0;
    if (args.failed) return NULL;
    int result;
    do {
        result = flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    if (result == 0) return make_bool(env, true);
    return errno == EWOULDBLOCK ? make_bool(env, false) : throw_errno(env, errno, "flock", "");
}

/* unlock(fd) */
napi_value native_unlock(napi_env env, napi_callback_info info) {
    struct args args;
    args_read(&args, env, info, 1);
    int fd = args_int(&args, 0);
    if (args.failed) return NULL;
    if (flock(fd, LOCK_UN) != 0) return throw_errno(env, errno, "flock", "");
    return NULL;
}

/* startWriteback(fd, offset, length): the disk begins to write that range; nothing is waited for */
napi_value native_start_writeback(napi_env env, napi_callback_info info) {
    struct args args;
    args_read(&args, env, info, 3);
    int fd = args_int(&args, 0);
    int64_t offset = args_int64(&args, 1);
    int64_t length = args_int64(&args, 2);
    if (args.failed) return NULL;
    /* Advice: a file system that cannot take it writes later. Length 0 would be all of the file. */
    if (length > 0) (void)sync_file_range(fd, offset, length, SYNC_FILE_RANGE_WRITE);
    return NULL;
}

/* syncFileSystem(fd): everything written to the file system that holds it */
napi_value native_sync_file_system(napi_env env, napi_callback_info info) {
    struct args args;
    args_read(&args, env, info, 1);
    int fd = args_int(&args, 0);
    if (args.failed) return NULL;
    if (syncfs(fd) != 0) return throw_errno(env, errno, "syncfs", "");
    return NULL;
}

/*
 * spreadDirectories(fd): the directories in this one have nothing to do with each other, so the file system need not keep
 * them close (chattr +T). False where it knows no such thing.
 */
napi_value native_spread_directories(napi_env env, napi_callback_info info) {
    struct args args;
    args_read(&args, env, info, 1);
    int fd = args_int(&args, 0);
    if (args.failed) return NULL;
    int flags = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return make_bool(env, false);
    if ((flags & FS_TOPDIR_FL) != 0) return make_bool(env, true);
    flags |= FS_TOPDIR_FL;
    return make_bool(env, ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0);
}
