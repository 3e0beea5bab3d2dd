/*
 * A clock that does not count while its process stands still, as that of a machine that was put to sleep.
 * Loaded before the relay (LD_PRELOAD), it takes the microseconds that stand in the file STILL_FILE (one
 * 64-bit number) from the clocks that only pass. The wall is left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *still_us;

__attribute__((constructor)) static void open_file(void)
{
    const char *path = getenv("STILL_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *still_us, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        still_us = map;
}

static int only_passes(clockid_t clock)
{
    return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW
        || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && still_us && only_passes(clock)) {
        int64_t us = now->tv_nsec / 1000 - *still_us;
        int64_t seconds = us / 1000000, rest = us % 1000000;
        if (rest < 0) {
            rest += 1000000;
            seconds -= 1;
        }
        now->tv_sec += seconds;
        now->tv_nsec = rest * 1000 + now->tv_nsec % 1000;
    }
    return result;
}
