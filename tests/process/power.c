/*
 * Makes a power cut visible to a test. Loaded before the relay (LD_PRELOAD), it keeps, of the store
 * and its write-ahead log, what was on disk after each sync, as FILE.synced: all that a power cut is
 * sure to leave. A file that was never synced has no such copy. With POWER_LIES in the environment a
 * sync does nothing and says that it did. Several connections write and sync: a sync and its copy are
 * one step, in which nobody writes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static int ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

static void keep(int fd)
{
    char link[64], path[1024], fresh[1100], synced[1100], block[65536];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return;
    path[length] = 0;
    /* The record of heads is synced under this name, and then renamed. */
    if (ends_with(path, "/milkrun.db-heads.new"))
        path[length - 4] = 0;
    if (!ends_with(path, "/milkrun.db") && !ends_with(path, "/milkrun.db-wal")
        && !ends_with(path, "/milkrun.db-heads"))
        return;
    snprintf(fresh, sizeof fresh, "%s.fresh", path);
    snprintf(synced, sizeof synced, "%s.synced", path);
    int copy = open(fresh, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (copy < 0)
        return;
    /* By its own descriptor: closing another one of the same file would drop the relay's locks. */
    off_t at = 0;
    ssize_t got;
    while ((got = pread(fd, block, sizeof block, at)) > 0) {
        if (write(copy, block, got) != got)
            break;
        at += got;
    }
    close(copy);
    /* In one step, so that a kill finds either the older copy or the newer one. */
    rename(fresh, synced);
}

static int synced(const char *name, int fd)
{
    if (getenv("POWER_LIES"))
        return 0;
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    pthread_mutex_lock(&turn);
    int result = real(fd);
    if (result == 0)
        keep(fd);
    pthread_mutex_unlock(&turn);
    return result;
}

static ssize_t written(const char *name, int fd, const void *bytes, size_t count, off_t at)
{
    ssize_t (*real)(int, const void *, size_t, off_t) =
        (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, name);
    pthread_mutex_lock(&turn);
    ssize_t result = real(fd, bytes, count, at);
    pthread_mutex_unlock(&turn);
    return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at)
{
    return written("pwrite", fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at)
{
    return written("pwrite64", fd, bytes, count, at);
}

int fsync(int fd)
{
    return synced("fsync", fd);
}

int fdatasync(int fd)
{
    return synced("fdatasync", fd);
}
