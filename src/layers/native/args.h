/*
 * Reading arguments and throwing errors: the part of the addon every other file uses.
 * Runs in the Node process, on whichever thread called; keeps no state, so it serves any number of threads.
 */
#ifndef TSBUILD_LAYERS_ARGS_H
#define TSBUILD_LAYERS_ARGS_H

#define NAPI_VERSION 8
#include <limits.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_ARGS 9

/* One call's arguments. `failed` is set once an exception is pending; every reader then returns a harmless value. */
struct args {
    napi_env env;
    napi_value value[MAX_ARGS];
    bool failed;
};

struct bytes {
    uint8_t *data;
    size_t length;
};

/* A path or name: bytes without NUL, at most PATH_MAX - 1 of them. */
struct path {
    char text[PATH_MAX];
};

void args_read(struct args *args, napi_env env, napi_callback_info info, size_t expected);
int32_t args_int(struct args *args, size_t index);
uint32_t args_uint(struct args *args, size_t index);
int64_t args_int64(struct args *args, size_t index);
/* A bigint, clamped to 64 bits. */
int64_t args_bigint(struct args *args, size_t index);
/* A latin1 string: one byte for each code unit. */
void args_path(struct args *args, size_t index, struct path *path);
/* Any typed array or Buffer. */
struct bytes args_bytes(struct args *args, size_t index);
/* A window of a buffer, checked against its length. */
struct bytes args_window(struct args *args, size_t buffer, size_t offset, size_t length);

/* Throws a JavaScript Error with `code`, `errno` and `syscall`; returns NULL, for `return throw_errno(…)`. */
napi_value throw_errno(napi_env env, int error, const char *syscall, const char *path);

napi_value make_int(napi_env env, int64_t value);
napi_value make_bool(napi_env env, bool value);
napi_value make_latin1(napi_env env, const char *text, size_t length);

#endif
