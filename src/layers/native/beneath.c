#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_by_component(int root, const char *path, int flags, mode_t mode);

int open_beneath(int root, const char *path, int flags, mode_t mode) {
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
        .mode = (flags & O_CREAT) ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    if (path[0] == '\0') path = ".";
    int fd;
    do {
        fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
        /* EAGAIN: a rename raced with the lookup; the kernel asks for another try. */
    } while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return fd;
    return open_by_component(root, path, flags, mode);
}

static int open_by_component(int root, const char *path, int flags, mode_t mode) {
    char name[NAME_MAX + 1];
    int at = root;
    for (;;) {
        while (*path == '/') path++;
        size_t length = strcspn(path, "/");
        const char *rest = path + length;
        while (*rest == '/') rest++;
        int fd = -1;
        if (length > NAME_MAX) {
            errno = ENAMETOOLONG;
        } else {
            memcpy(name, path, length);
            name[length] = '\0';
            /* What stands above a directory is exactly what must not be reached. */
            if (strcmp(name, "..") == 0)
                errno = EXDEV;
            else if (*rest == '\0')
                fd = openat(at, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
            else
                fd = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        int error = errno;
        if (at != root) close(at);
        errno = error;
        if (fd < 0 || *rest == '\0') return fd;
        at = fd;
        path = rest;
    }
}
