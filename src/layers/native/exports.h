/* Every function the addon exports; src/layers/native/addon.ts says what each takes and gives. */
#ifndef TSBUILD_LAYERS_EXPORTS_H
#define TSBUILD_LAYERS_EXPORTS_H

#include "args.h"
#include <time.h>

napi_value native_open_beneath(napi_env env, napi_callback_info info);
napi_value native_mkdir_at(napi_env env, napi_callback_info info);
napi_value native_mknod_at(napi_env env, napi_callback_info info);
napi_value native_symlink_at(napi_env env, napi_callback_info info);
napi_value native_link_at(napi_env env, napi_callback_info info);
napi_value native_unlink_at(napi_env env, napi_callback_info info);
napi_value native_rename_at(napi_env env, napi_callback_info info);
napi_value native_readlink_at(napi_env env, napi_callback_info info);
napi_value native_chown_at(napi_env env, napi_callback_info info);
napi_value native_chmod_at(napi_env env, napi_callback_info info);
napi_value native_utimes_at(napi_env env, napi_callback_info info);

napi_value native_stat_at(napi_env env, napi_callback_info info);
napi_value native_holders(napi_env env, napi_callback_info info);
napi_value native_scan_directory(napi_env env, napi_callback_info info);
napi_value native_start_rescan(napi_env env, napi_callback_info info);
napi_value native_finish_rescan(napi_env env, napi_callback_info info);

napi_value native_list_xattrs(napi_env env, napi_callback_info info);
napi_value native_get_xattr(napi_env env, napi_callback_info info);
napi_value native_set_xattr(napi_env env, napi_callback_info info);
napi_value native_remove_xattr(napi_env env, napi_callback_info info);

napi_value native_read_whole(napi_env env, napi_callback_info info);
napi_value native_write_whole(napi_env env, napi_callback_info info);
napi_value native_seek_data(napi_env env, napi_callback_info info);
napi_value native_try_lock(napi_env env, napi_callback_info info);
napi_value native_unlock(napi_env env, napi_callback_info info);
napi_value native_start_writeback(napi_env env, napi_callback_info info);
napi_value native_sync_file_system(napi_env env, napi_callback_info info);
napi_value native_spread_directories(napi_env env, napi_callback_info info);

napi_value native_deflate(napi_env env, napi_callback_info info);

/* Nanoseconds since 1970, before it too, as the kernel wants them. */
struct timespec timespec_of(int64_t nanoseconds);

#endif
