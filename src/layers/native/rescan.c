/*
 * Looks at the directories of a record again, in threads of its own, while JavaScript goes on: the threads only read,
 * and what a directory holds is compared with what the record says it held.
 * A record is one run of bytes: for each directory the length of its path and that of its listing (64 bits each), the
 * path with at least one zero up to the next multiple of 8, and the listing.
 */
#include "args.h"
#include "beneath.h"
#include "exports.h"
#include "listing.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_THREADS 8

struct directory {
    const char *path;
    const uint8_t *listing;
    size_t length;
    struct listing found;
    enum { UNSEEN, SAME, DIFFERENT, UNREADABLE } state;
};

struct rescan {
    int root;
    struct directory *directories;
    size_t count;
    atomic_size_t next;
    atomic_bool stopped;
    pthread_t threads[MAX_THREADS];
    size_t running;
    /* Keeps the record. */
    napi_ref record;
};

static void look_at(struct rescan *rescan, struct directory *directory) {
    const char *failed;
    int fd = open_beneath(rescan->root, directory->path, O_RDONLY | O_DIRECTORY, 0);
    directory->state = UNREADABLE;
    if (fd < 0) return;
    if (read_listing(fd, &directory->found, &failed) == 0)
        directory->state = same_listing(&directory->found, directory->listing, directory->length) ? SAME : DIFFERENT;
    close(fd);
    if (directory->state != DIFFERENT) free_listing(&directory->found);
}

static void *work(void *given) {
    struct rescan *rescan = given;
    for (;;) {
        size_t number = atomic_fetch_add(&rescan->next, 1);
        if (number >= rescan->count || atomic_load(&rescan->stopped)) return NULL;
        look_at(rescan, &rescan->directories[number]);
    }
}

static void join(struct rescan *rescan) {
    while (rescan->running > 0) pthread_join(rescan->threads[--rescan->running], NULL);
}

static void free_rescan(struct rescan *rescan) {
    for (size_t i = 0; i < rescan->count; i++) free_listing(&rescan->directories[i].found);
    free(rescan->directories);
    if (rescan->root >= 0) close(rescan->root);
    free(rescan);
}

static void finalize(napi_env env, void *data, void *hint) {
    (void)env;
    (void)hint;
    struct rescan *rescan = data;
    atomic_store(&rescan->stopped, true);
    join(rescan);
    free_rescan(rescan);
}

/* Cuts the record into its directories; false when it is damaged, or there is no memory. */
static bool read_record(struct rescan *rescan, struct bytes record) {
    size_t capacity = 0;
    for (size_t at = 0; at < record.length;) {
        uint64_t lengths[2];
        size_t left = record.length - at;
        if (left < sizeof lengths) return false;
        memcpy(lengths, record.data + at, sizeof lengths);
        left -= sizeof lengths;
        if (lengths[0] >= PATH_MAX || lengths[1] % 8 != 0) return false;
        size_t padded = ((size_t)lengths[0] / 8 + 1) * 8;
        if (left < padded || left - padded < lengths[1]) return false;
        const char *path = (const char *)record.data + at + sizeof lengths;
        if (memchr(path, '\0', padded) != path + lengths[0]) return false;
        if (rescan->count == capacity) {
            capacity = capacity * 2 + 64;
            struct directory *larger = realloc(rescan->directories, capacity * sizeof *larger);
            if (larger == NULL) return false;
            rescan->directories = larger;
        }
        rescan->directories[rescan->count++] =
            (struct directory){.path = path, .listing = (const uint8_t *)path + padded, .length = lengths[1]};
        at += sizeof lengths + padded + lengths[1];
    }
    return true;
}

/* With every signal blocked: they are for the threads of Node. One that cannot be had is done without. */
static void start_threads(struct rescan *rescan, uint32_t threads) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (rescan->running < threads && rescan->running < MAX_THREADS) {
        if (pthread_create(&rescan->threads[rescan->running], NULL, work, rescan) != 0) break;
        rescan->running += 1;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* startRescan(root, record, threads): what finishRescan takes, once; undefined when the record is damaged */
napi_value native_start_rescan(napi_env env, napi_callback_info info) {
    struct args args;
    args_read(&args, env, info, 3);
    int root = args_int(&args, 0);
    struct bytes record = args_bytes(&args, 1);
    uint32_t threads = args_uint(&args, 2);
    if (args.failed) return NULL;
    struct rescan *rescan = calloc(1, sizeof *rescan);
    if (rescan == NULL) return throw_errno(env, ENOMEM, "startRescan", "");
    rescan->root = fcntl(root, F_DUPFD_CLOEXEC, 0);
    if (rescan->root < 0) {
        free_rescan(rescan);
        return throw_errno(env, errno, "fcntl", "");
    }
    napi_value result;
    if (!read_record(rescan, record) || napi_create_reference(env, args.value[1], 1, &rescan->record) != napi_ok) {
        free_rescan(rescan);
        return NULL;
    }
    if (napi_create_external(env, rescan, finalize, NULL, &result) != napi_ok) {
        free_rescan(rescan);
        return NULL;
    }
    start_threads(rescan, threads);
    return result;
}

static napi_value found_in(napi_env env, struct directory *directory) {
    napi_value value = NULL;
    if (directory->state == DIFFERENT)
        napi_create_buffer_copy(env, directory->found.used, directory->found.data, NULL, &value);
    else if (directory->state == SAME)
        napi_get_boolean(env, true, &value);
    else
        napi_get_null(env, &value);
    return value;
}

/*
 * finishRescan(rescan): waits, and helps meanwhile. True when all is as the record says; else for each of its directories
 * true, the listing it has now, or null when it cannot be read.
 */
napi_value native_finish_rescan(napi_env env, napi_callback_info info) {
    struct args args;
    void *data = NULL;
    args_read(&args, env, info, 1);
    if (args.failed) return NULL;
    if (napi_get_value_external(env, args.value[0], &data) != napi_ok || data == NULL)
        return throw_errno(env, EINVAL, "finishRescan", "");
    struct rescan *rescan = data;
    work(rescan);
    join(rescan);
    bool same = true;
    for (size_t i = 0; i < rescan->count && same; i++) same = rescan->directories[i].state == SAME;
    napi_value result;
    if (same) {
        result = make_bool(env, true);
    } else {
        if (napi_create_array_with_length(env, rescan->count, &result) != napi_ok) return NULL;
        for (size_t i = 0; i < rescan->count; i++) {
            napi_value value = found_in(env, &rescan->directories[i]);
            if (value == NULL || napi_set_element(env, result, (uint32_t)i, value) != napi_ok) return NULL;
            free_listing(&rescan->directories[i].found);
        }
    }
    if (rescan->record != NULL) napi_delete_reference(env, rescan->record);
    rescan->record = NULL;
    return result;
}
