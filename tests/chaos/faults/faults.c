/* Loaded before the C library, it spoils calls on some files.

   FAULT_UNDER  what the paths begin with
   FAULT_CALL   open, write, rename or fsync
   FAULT_ERRNO  what the call fails with; 0: it writes less than it was asked to
   FAULT_AFTER  calls that are let through first
   FAULT_EVERY  after those, of so many calls one is spoiled; 1: all are */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int under(int folder, const char *path) {
    const char *root = getenv("FAULT_UNDER");
    char link[64], where[PATH_MAX], whole[2 * PATH_MAX];
    if (!root)
        return 0;
    if (!path || path[0] != '/') { /* an open file, or relative to an open folder */
        if (folder == AT_FDCWD)
            return 0;
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, where, sizeof where - 1);
        if (length < 0)
            return 0;
        where[length] = 0;
        snprintf(whole, sizeof whole, path ? "%s/%s" : "%s", where, path);
        path = whole;
    }
    return strncmp(path, root, strlen(root)) == 0;
}

static int spoiled(const char *call, int folder, const char *path) {
    static long calls;
    const char *wanted = getenv("FAULT_CALL");
    if (!wanted || strcmp(wanted, call) || !under(folder, path))
        return 0;
    long after = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) - number("FAULT_AFTER");
    return after > 0 && after % number("FAULT_EVERY") == 0;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define FAIL(call, folder, path) if (spoiled(call, folder, path)) { errno = (int)number("FAULT_ERRNO"); return -1; }

#define OPEN(name) int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    REAL(name); \
    if (flags & O_CREAT) FAIL("open", AT_FDCWD, path) \
    return real(path, flags, mode); }
OPEN(open)
OPEN(open64)

#define OPENAT(name) int name(int folder, const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    REAL(name); \
    if (flags & O_CREAT) FAIL("open", folder, path) \
    return real(folder, path, flags, mode); }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int file, const void *data, size_t count) {
    REAL(write);
    if (count && spoiled("write", file, NULL)) {
        errno = (int)number("FAULT_ERRNO");
        if (errno)
            return -1;
        count = count > 1 ? count / 2 : count;
    }
    return real(file, data, count);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    FAIL("rename", AT_FDCWD, to)
    return real(from, to);
}

int renameat(int old, const char *from, int new, const char *to) {
    REAL(renameat);
    FAIL("rename", new, to)
    return real(old, from, new, to);
}

int fsync(int file) {
    REAL(fsync);
    FAIL("fsync", file, NULL)
    return real(file);
}

int fdatasync(int file) {
    REAL(fdatasync);
    FAIL("fsync", file, NULL)
    return real(file);
}
