/*
 * Lets calls on the store's files fail on demand. Loaded before the relay (LD_PRELOAD), it looks at the
 * three bytes of the file named by FAULTS: which call fails (1 pwrite, 2 pread, 3 fsync and fdatasync,
 * 4 ftruncate), with which errno, and how many times more.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile unsigned char *control;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void map(void)
{
    const char *name = getenv("FAULTS");
    int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *at = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        control = at;
}

static int fails(int kind, int fd)
{
    char link[64], path[1024];
    pthread_once(&once, map);
    if (!control || control[0] != kind || control[2] == 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (!strstr(path, "/milkrun.db"))
        return 0;
    control[2]--;
    errno = control[1];
    return 1;
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at)
{
    return fails(1, fd) ? -1 : REAL("pwrite", ssize_t (*)(int, const void *, size_t, off_t))(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at)
{
    return fails(1, fd) ? -1 : REAL("pwrite64", ssize_t (*)(int, const void *, size_t, off64_t))(fd, bytes, count, at);
}

ssize_t pread(int fd, void *bytes, size_t count, off_t at)
{
    return fails(2, fd) ? -1 : REAL("pread", ssize_t (*)(int, void *, size_t, off_t))(fd, bytes, count, at);
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t at)
{
    return fails(2, fd) ? -1 : REAL("pread64", ssize_t (*)(int, void *, size_t, off64_t))(fd, bytes, count, at);
}

int fsync(int fd)
{
    return fails(3, fd) ? -1 : REAL("fsync", int (*)(int))(fd);
}

int fdatasync(int fd)
{
    return fails(3, fd) ? -1 : REAL("fdatasync", int (*)(int))(fd);
}

int ftruncate(int fd, off_t length)
{
    return fails(4, fd) ? -1 : REAL("ftruncate", int (*)(int, off_t))(fd, length);
}

int ftruncate64(int fd, off64_t length)
{
    return fails(4, fd) ? -1 : REAL("ftruncate64", int (*)(int, off64_t))(fd, length);
}
