/* A disk that fails on command, loaded before the C library (LD_PRELOAD).
 *
 * DISK_FAULT=operation:errno:part:skip:times makes an operation fail with this error number where the path has this part:
 * not the first `skip` times, then so many times. Operations: sync, write, create (files and directories), name (rename,
 * link).
 *
 * DISK_JOURNAL=file:part has every change to paths with this part written down, a line each, so that what a power cut
 * would take back can be told: "W inode path" written, "S inode path" synchronised, "N inode path" a new name in its
 * directory.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long passed;

/* The n-th field of a variable, fields separated by colons. */
static int field(const char *variable, int n, char *into, size_t size) {
    const char *value = getenv(variable);
    while (value && n-- > 0) {
        value = strchr(value, ':');
        if (value) value++;
    }
    if (!value) return 0;
    size_t length = strcspn(value, ":");
    if (length >= size) length = size - 1;
    memcpy(into, value, length);
    into[length] = 0;
    return 1;
}

/* Whether this call is to fail; errno is set then. */
static int fails(const char *operation, const char *path) {
    char wanted[16], error[16], part[256], skip[16], times[16];
    if (!path || !field("DISK_FAULT", 0, wanted, sizeof wanted) || strcmp(wanted, operation)) return 0;
    if (!field("DISK_FAULT", 1, error, sizeof error) || !field("DISK_FAULT", 2, part, sizeof part) ||
        !field("DISK_FAULT", 3, skip, sizeof skip) || !field("DISK_FAULT", 4, times, sizeof times))
        return 0;
    if (!strstr(path, part)) return 0;
    pthread_mutex_lock(&lock);
    long count = passed++;
    pthread_mutex_unlock(&lock);
    if (count < atol(skip) || count >= atol(skip) + atol(times)) return 0;
    errno = atoi(error);
    return 1;
}

static const char *path_of(int fd, char *into, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, into, size - 1);
    if (length < 0) return NULL;
    into[length] = 0;
    return into;
}

static void note(char what, const char *path) {
    char journal[512], part[256], line[1200];
    struct stat status;
    if (!path || !field("DISK_JOURNAL", 0, journal, sizeof journal) || !field("DISK_JOURNAL", 1, part, sizeof part)) return;
    if (!strstr(path, part) || stat(path, &status) != 0) return;
    int fd = REAL(open)(journal, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (fd < 0) return;
    int length = snprintf(line, sizeof line, "%c %llu %s\n", what, (unsigned long long) status.st_ino, path);
    if (REAL(write)(fd, line, length) != length) abort();
    close(fd);
}

static int sync_with(int fd, int (*real)(int)) {
    char path[1024];
    const char *known = path_of(fd, path, sizeof path);
    if (fails("sync", known)) return -1;
    int result = real(fd);
    if (result == 0) note('S', known);
    return result;
}

int fsync(int fd) { return sync_with(fd, REAL(fsync)); }
int fdatasync(int fd) { return sync_with(fd, REAL(fdatasync)); }

/* Noted before it happens: what may have been written counts as written. */
#define WRITES(fd, call)                                 \
    char path[1024];                                     \
    const char *known = path_of(fd, path, sizeof path);  \
    if (fails("write", known)) return -1;                \
    note('W', known);                                    \
    return call

ssize_t write(int fd, const void *bytes, size_t length) { WRITES(fd, REAL(write)(fd, bytes, length)); }
ssize_t writev(int fd, const struct iovec *parts, int count) { WRITES(fd, REAL(writev)(fd, parts, count)); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { WRITES(fd, REAL(pwrite)(fd, bytes, length, at)); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { WRITES(fd, REAL(pwrite64)(fd, bytes, length, at)); }

#define OPENS(call)                                               \
    mode_t mode = 0;                                              \
    if (flags & O_CREAT) {                                        \
        va_list more;                                             \
        va_start(more, flags);                                    \
        mode = va_arg(more, mode_t);                              \
        va_end(more);                                             \
        if (fails("create", path)) return -1;                     \
    }                                                             \
    int is_new = (flags & O_CREAT) && access(path, F_OK) != 0;    \
    int fd = call;                                                \
    if (fd >= 0 && is_new) note('N', path);                       \
    return fd

int open(const char *path, int flags, ...) { OPENS(REAL(open)(path, flags, mode)); }
int open64(const char *path, int flags, ...) { OPENS(REAL(open64)(path, flags, mode)); }

#define NAMES(operation, call)                \
    if (fails(operation, to)) return -1;      \
    int result = call;                        \
    if (result == 0) note('N', to);           \
    return result

int mkdir(const char *to, mode_t mode) { NAMES("create", REAL(mkdir)(to, mode)); }
int rename(const char *from, const char *to) { NAMES("name", REAL(rename)(from, to)); }
int link(const char *from, const char *to) { NAMES("name", REAL(link)(from, to)); }
int linkat(int here, const char *from, int there, const char *to, int flags) {
    NAMES("name", REAL(linkat)(here, from, there, to, flags));
}
