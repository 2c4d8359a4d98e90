/* Shifts the wall clock of one process, and nothing else: preloaded, it adds to CLOCK_REALTIME the nanoseconds that
   stand in the first eight bytes of the file named by ALERTING_WALL, which may change while the process runs. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static volatile int64_t *shift;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("ALERTING_WALL");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) shift = page;
    if (file >= 0) close(file);
}

int clock_gettime(clockid_t which, struct timespec *at) {
    long result = syscall(SYS_clock_gettime, which, at);
    if (result == 0 && shift && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
        int64_t shifted = at->tv_sec * SECOND + at->tv_nsec + *shift;
        at->tv_sec = shifted / SECOND;
        at->tv_nsec = shifted % SECOND;
    }
    return (int)result;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
