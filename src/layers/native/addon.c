/* The addon's table of exports. */
#include <stdlib.h>

#include "exports.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

/*
 * Many threads with large buffers: of its own, glibc gives each thread an arena, and after the first large buffer was
 * freed takes the next from there instead of mapping it, so that what is freed stays with the process.
 */
static void bound_allocator(void) {
#ifdef __GLIBC__
    (void)mallopt(M_ARENA_MAX, 2);
    (void)mallopt(M_MMAP_THRESHOLD, 256 << 10);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
#endif
}

static void export_function(napi_env env, napi_value exports, const char *name, napi_callback callback) {
    napi_value function;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok)
        napi_set_named_property(env, exports, name, function);
}

NAPI_MODULE_INIT() {
    bound_allocator();
    export_function(env, exports, "openBeneath", native_open_beneath);
    export_function(env, exports, "mkdirAt", native_mkdir_at);
    export_function(env, exports, "mknodAt", native_mknod_at);
    export_function(env, exports, "symlinkAt", native_symlink_at);
    export_function(env, exports, "linkAt", native_link_at);
    export_function(env, exports, "unlinkAt", native_unlink_at);
    export_function(env, exports, "renameAt", native_rename_at);
    export_function(env, exports, "readlinkAt", native_readlink_at);
    export_function(env, exports, "chownAt", native_chown_at);
    export_function(env, exports, "chmodAt", native_chmod_at);
    export_function(env, exports, "utimesAt", native_utimes_at);
    export_function(env, exports, "statAt", native_stat_at);
    export_function(env, exports, "holders", native_holders);
    export_function(env, exports, "scanDirectory", native_scan_directory);
    export_function(env, exports, "startRescan", native_start_rescan);
    export_function(env, exports, "finishRescan", native_finish_rescan);
    export_function(env, exports, "listXattrs", native_list_xattrs);
    export_function(env, exports, "getXattr", native_get_xattr);
    export_function(env, exports, "setXattr", native_set_xattr);
    export_function(env, exports, "removeXattr", native_remove_xattr);
    export_function(env, exports, "readWhole", native_read_whole);
    export_function(env, exports, "writeWhole", native_write_whole);
    export_function(env, exports, "seekData", native_seek_data);
    export_function(env, exports, "tryLock", native_try_lock);
    export_function(env, exports, "unlock", native_unlock);
    export_function(env, exports, "startWriteback", native_start_writeback);
    export_function(env, exports, "syncFileSystem", native_sync_file_system);
    export_function(env, exports, "spreadDirectories", native_spread_directories);
    export_function(env, exports, "deflate", native_deflate);
    return exports;
}
