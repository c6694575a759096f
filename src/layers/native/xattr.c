/*
 * Extended attributes of a descriptor (name "") or of a name in a directory, the name never followed. The system calls
 * for the latter need a path: /proc/self/fd/N/name is one that no rename can redirect.
 */
#include "args.h"
#include "exports.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

/* The kernel's own bounds (XATTR_LIST_MAX, XATTR_SIZE_MAX). */
#define LIST_MAX 65536
#define VALUE_MAX 65536

struct subject {
    int fd;
    bool itself;
    char path[PATH_MAX + 40];
};

static void read_subject(struct args *args, struct subject *subject) {
    struct path name;
    subject->fd = args_int(args, 0);
    args_path(args, 1, &name);
    subject->itself = name.text[0] == '\0';
    snprintf(subject->path, sizeof subject->path, "/proc/self/fd/%d/%s", subject->fd, name.text);
}

/* listXattrs(fd, name): names, each ended by NUL, as one latin1 string; '' when there are none or no support */
napi_value native_list_xattrs(napi_env env, napi_callback_info info) {
    struct args args;
    struct subject subject;
    char small[512];
    args_read(&args, env, info, 2);
    read_subject(&args, &subject);
    if (args.failed) return NULL;
    char *list = small;
    ssize_t length = subject.itself ? flistxattr(subject.fd, small, sizeof small)
                                    : llistxattr(subject.path, small, sizeof small);
    if (length < 0 && errno == ERANGE) {
        list = malloc(LIST_MAX);
        if (list == NULL) return throw_errno(env, ENOMEM, "listxattr", "");
        length = subject.itself ? flistxattr(subject.fd, list, LIST_MAX) : llistxattr(subject.path, list, LIST_MAX);
    }
    int error = errno;
    napi_value result = NULL;
    if (length >= 0)
        result = make_latin1(env, list, (size_t)length);
    else if (error == EOPNOTSUPP)
        result = make_latin1(env, "", 0);
    else
        throw_errno(env, error, "listxattr", subject.itself ? "" : subject.path);
    if (list != small) free(list);
    return result;
}

/* getXattr(fd, name, attribute): Buffer, or undefined when there is none */
napi_value native_get_xattr(napi_env env, napi_callback_info info) {
    struct args args;
    struct subject subject;
    struct path attribute;
    args_read(&args, env, info, 3);
    read_subject(&args, &subject);
    args_path(&args, 2, &attribute);
    if (args.failed) return NULL;
    char *value = malloc(VALUE_MAX);
    if (value == NULL) return throw_errno(env, ENOMEM, "getxattr", "");
    ssize_t length = subject.itself ? fgetxattr(subject.fd, attribute.text, value, VALUE_MAX)
                                    : lgetxattr(subject.path, attribute.text, value, VALUE_MAX);
    int error = errno;
    napi_value result = NULL;
    if (length >= 0)
        napi_create_buffer_copy(env, (size_t)length, value, NULL, &result);
    else if (error != ENODATA && error != EOPNOTSUPP)
        throw_errno(env, error, "getxattr", attribute.text);
    free(value);
    return result;
}

/* setXattr(fd, name, attribute, value) */
napi_value native_set_xattr(napi_env env, napi_callback_info info) {
    struct args args;
    struct subject subject;
    struct path attribute;
    args_read(&args, env, info, 4);
    read_subject(&args, &subject);
    args_path(&args, 2, &attribute);
    struct bytes value = args_bytes(&args, 3);
    if (args.failed) return NULL;
    int result = subject.itself ? fsetxattr(subject.fd, attribute.text, value.data, value.length, 0)
                                : lsetxattr(subject.path, attribute.text, value.data, value.length, 0);
    if (result != 0) return throw_errno(env, errno, "setxattr", attribute.text);
    return NULL;
}

/* removeXattr(fd, name, attribute): false when there was none */
napi_value native_remove_xattr(napi_env env, napi_callback_info info) {
    struct args args;
    struct subject subject;
    struct path attribute;
    args_read(&args, env, info, 3);
    read_subject(&args, &subject);
    args_path(&args, 2, &attribute);
    if (args.failed) return NULL;
    int result = subject.itself ? fremovexattr(subject.fd, attribute.text) : lremovexattr(subject.path, attribute.text);
    if (result == 0) return make_bool(env, true);
    return errno == ENODATA ? make_bool(env, false) : throw_errno(env, errno, "removexattr", attribute.text);
}
