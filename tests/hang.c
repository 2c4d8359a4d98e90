/* A disk that hangs: preloaded, it lets calls wait for as long as the file named by
   ALERTING_HANG is there and holds a letter that means them: s (fdatasync, fsync), w (pwrite64) and r (pread64), before
   the call is made, or S, after it. Only files whose names hold ALERTING_HANG_NAME. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int meant(int file, char letter) {
    const char *name = getenv("ALERTING_HANG_NAME"), *path = getenv("ALERTING_HANG");
    char link[64], target[4096], held[16] = "";
    int flag = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (flag < 0) return 0;
    ssize_t size = read(flag, held, sizeof held - 1);
    close(flag);
    if (size <= 0 || !strchr(held, letter)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    size = readlink(link, target, sizeof target - 1);
    if (size < 0) return 0;
    target[size] = 0;
    return !name || strstr(target, name) != NULL;
}

static void wait_for(int file, char letter) {
    while (meant(file, letter)) usleep(2000);
}

int fdatasync(int file) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    wait_for(file, 's');
    int result = real(file);
    wait_for(file, 'S');
    return result;
}

int fsync(int file) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    wait_for(file, 's');
    int result = real(file);
    wait_for(file, 'S');
    return result;
}

ssize_t pwrite64(int file, const void *from, size_t size, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    wait_for(file, 'w');
    return real(file, from, size, at);
}

ssize_t pread64(int file, void *into, size_t size, off64_t at) {
    static ssize_t (*real)(int, void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pread64");
    wait_for(file, 'r');
    return real(file, into, size, at);
}
