/* Deflate for JavaScript: input and output are windows of one buffer. */
#include "args.h"
#include "deflate.h"
#include "exports.h"

#include <errno.h>

#define SEGMENT_MOST (64u << 20)

/* deflate(buffer, window, length, last, level): bytes of output, which lies behind the input */
napi_value native_deflate(napi_env env, napi_callback_info info) {
    struct args args;
    args_read(&args, env, info, 5);
    struct bytes buffer = args_bytes(&args, 0);
    uint32_t window = args_uint(&args, 1);
    uint32_t length = args_uint(&args, 2);
    bool last = args_int(&args, 3) != 0;
    int level = args_int(&args, 4);
    if (args.failed) return NULL;
    bool fits = window <= DEFLATE_WINDOW && length <= SEGMENT_MOST && level >= 0 && level <= 9;
    if (!fits || buffer.length < window + length + deflate_bound(length)) return throw_errno(env, EINVAL, "deflate", "");
    struct deflate *deflate = deflate_new();
    if (!deflate) return throw_errno(env, ENOMEM, "deflate", "");
    size_t made = deflate_segment(deflate, buffer.data, window, length, last, level, buffer.data + window + length);
    deflate_free(deflate);
    return make_int(env, (int64_t)made);
}
