#include "args.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *errno_name(int error);

static void fail(struct args *args, const char *message) {
    if (!args->failed) napi_throw_type_error(args->env, "ERR_INVALID_ARG_VALUE", message);
    args->failed = true;
}

void args_read(struct args *args, napi_env env, napi_callback_info info, size_t expected) {
    size_t count = MAX_ARGS;
    args->env = env;
    args->failed = false;
    napi_get_cb_info(env, info, &count, args->value, NULL, NULL);
    if (count < expected) fail(args, "too few arguments");
}

int32_t args_int(struct args *args, size_t index) {
    int32_t value = -1;
    if (!args->failed && napi_get_value_int32(args->env, args->value[index], &value) != napi_ok)
        fail(args, "a number was expected");
    return value;
}

uint32_t args_uint(struct args *args, size_t index) {
    uint32_t value = 0;
    if (!args->failed && napi_get_value_uint32(args->env, args->value[index], &value) != napi_ok)
        fail(args, "a number was expected");
    return value;
}

int64_t args_int64(struct args *args, size_t index) {
    int64_t value = 0;
    if (!args->failed && napi_get_value_int64(args->env, args->value[index], &value) != napi_ok)
        fail(args, "a number was expected");
    return value;
}

int64_t args_bigint(struct args *args, size_t index) {
    int64_t value = 0;
    int sign = 0;
    size_t words = 1;
    uint64_t word = 0;
    bool lossless = true;
    if (args->failed) return 0;
    if (napi_get_value_bigint_int64(args->env, args->value[index], &value, &lossless) != napi_ok) {
        fail(args, "a bigint was expected");
        return 0;
    }
    if (lossless) return value;
    napi_get_value_bigint_words(args->env, args->value[index], &sign, &words, &word);
    return sign ? INT64_MIN : INT64_MAX;
}

void args_path(struct args *args, size_t index, struct path *path) {
    size_t length = 0;
    path->text[0] = '\0';
    if (args->failed) return;
    if (napi_get_value_string_latin1(args->env, args->value[index], path->text, sizeof path->text, &length) != napi_ok) {
        fail(args, "a string was expected");
        return;
    }
    if (length == sizeof path->text - 1) {
        throw_errno(args->env, ENAMETOOLONG, "path", "");
        args->failed = true;
    } else if (strlen(path->text) != length) {
        fail(args, "a path must not contain NUL");
    }
}

struct bytes args_bytes(struct args *args, size_t index) {
    struct bytes bytes = {NULL, 0};
    napi_typedarray_type type;
    void *data = NULL;
    size_t length = 0;
    if (args->failed) return bytes;
    if (napi_get_typedarray_info(args->env, args->value[index], &type, &length, &data, NULL, NULL) != napi_ok) {
        fail(args, "a typed array was expected");
        return bytes;
    }
    if (type == napi_int32_array) length *= 4;
    if (type == napi_float64_array || type == napi_bigint64_array || type == napi_biguint64_array) length *= 8;
    bytes.data = data;
    bytes.length = length;
    return bytes;
}

struct bytes args_window(struct args *args, size_t buffer, size_t offset, size_t length) {
    struct bytes whole = args_bytes(args, buffer);
    struct bytes none = {NULL, 0};
    int64_t start = args_int64(args, offset);
    int64_t count = args_int64(args, length);
    if (args->failed) return none;
    if (start < 0 || count < 0 || (uint64_t)start > whole.length || (uint64_t)count > whole.length - (uint64_t)start) {
        fail(args, "the window lies outside the buffer");
        return none;
    }
    struct bytes window = {whole.data + start, (size_t)count};
    return window;
}

napi_value throw_errno(napi_env env, int error, const char *syscall, const char *path) {
    char message[512];
    napi_value code, text, name, number, failure;
    snprintf(message, sizeof message, "%s: %s, %s%s%.300s", errno_name(error), strerror(error), syscall,
             *path ? " " : "", path);
    napi_create_string_utf8(env, errno_name(error), NAPI_AUTO_LENGTH, &code);
    /* The path may hold any byte. */
    napi_create_string_latin1(env, message, NAPI_AUTO_LENGTH, &text);
    napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &name);
    napi_create_int32(env, error, &number);
    napi_create_error(env, code, text, &failure);
    napi_set_named_property(env, failure, "syscall", name);
    napi_set_named_property(env, failure, "errno", number);
    napi_throw(env, failure);
    return NULL;
}

napi_value make_int(napi_env env, int64_t value) {
    napi_value result;
    napi_create_int64(env, value, &result);
    return result;
}

napi_value make_bool(napi_env env, bool value) {
    napi_value result;
    napi_get_boolean(env, value, &result);
    return result;
}

napi_value make_latin1(napi_env env, const char *text, size_t length) {
    napi_value result;
    napi_create_string_latin1(env, text, length, &result);
    return result;
}

static const char *errno_name(int error) {
    switch (error) {
    case EACCES: return "EACCES";
    case EAGAIN: return "EAGAIN";
    case EBADF: return "EBADF";
    case EBUSY: return "EBUSY";
    case EDQUOT: return "EDQUOT";
    case EEXIST: return "EEXIST";
    case EFBIG: return "EFBIG";
    case EINTR: return "EINTR";
    case EINVAL: return "EINVAL";
    case EIO: return "EIO";
    case EISDIR: return "EISDIR";
    case ELOOP: return "ELOOP";
    case EMFILE: return "EMFILE";
    case EMLINK: return "EMLINK";
    case ENAMETOOLONG: return "ENAMETOOLONG";
    case ENFILE: return "ENFILE";
    case ENODATA: return "ENODATA";
    case ENODEV: return "ENODEV";
    case ENOENT: return "ENOENT";
    case ENOLCK: return "ENOLCK";
    case ENOMEM: return "ENOMEM";
    case ENOSPC: return "ENOSPC";
    case ENOSYS: return "ENOSYS";
    case ENOTDIR: return "ENOTDIR";
    case ENOTEMPTY: return "ENOTEMPTY";
    case ENXIO: return "ENXIO";
    case EOPNOTSUPP: return "EOPNOTSUPP";
    case EOVERFLOW: return "EOVERFLOW";
    case EPERM: return "EPERM";
    case ERANGE: return "ERANGE";
    case EROFS: return "EROFS";
    case ESTALE: return "ESTALE";
    case ETXTBSY: return "ETXTBSY";
    case EXDEV: return "EXDEV";
    default: return "EUNKNOWN";
    }
}
