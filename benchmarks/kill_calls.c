/* Counts the calls that change files below a folder, and kills the process at one of them.
 *
 * Loaded with LD_PRELOAD by kill_calls.py, which compiles it. Nothing is counted before
 * kill_calls_arm. Sending to a socket counts too, so that an upload can be cut anywhere. The
 * processes that an armed one starts count on: the one that makes call n is hit.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL, KILL_IN_THE_MIDDLE, FAIL_ONCE, DISK_FULL };

#define STATE "LAWM_KILL_CALLS_STATE"
#define ARMED "LAWM_KILL_CALLS_ARMED"

/* One file, mapped by all processes. */
static struct {
    atomic_long calls;
    atomic_int hit;
    long wanted;
    int mode;
    size_t root_length;
    char root[PATH_MAX];
} *state;
static int armed;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv(STATE);
    int fd = name ? open(name, O_RDWR | O_CREAT, 0600) : -1;
    if (fd < 0 || ftruncate(fd, sizeof *state)) return;
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    armed = state != MAP_FAILED && getenv(ARMED);
}

/* Begin to count: call number n (from 1) is hit in the way of the mode. */
void kill_calls_arm(const char *folder, long n, int how) {
    state->root_length = strlen(strncpy(state->root, folder, PATH_MAX - 1));
    state->wanted = n;
    state->mode = how;
    atomic_store(&state->calls, 0);
    atomic_store(&state->hit, 0);
    setenv(ARMED, "1", 1);
    armed = 1;
}

long kill_calls_seen(void) { return atomic_load(&state->calls); }

int kill_calls_hit(void) { return atomic_load(&state->hit); }

static int below(const char *path) {
    size_t n = state->root_length;
    return !strncmp(path, state->root, n) && (path[n] == '/' || !path[n]);
}

static int fd_below(int fd) {
    char name[64], path[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, path, PATH_MAX - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return below(path) || !strncmp(path, "socket:", 7);
}

static int at_below(int fd, const char *path) {
    if (path[0] == '/') return below(path);
    if (fd != AT_FDCWD) return fd_below(fd);
    char folder[PATH_MAX];
    return getcwd(folder, PATH_MAX) && below(folder);
}

static void end(void) { kill(getpid(), SIGKILL), pause(); }

/* 1: the call is to fail (errno is set). 2: half of it is to be done, then the process ends. */
static int hit(int counts, int grows) {
    if (!armed || !counts) return 0;
    int old = errno, mode = state->mode;
    long n = atomic_fetch_add(&state->calls, 1) + 1;
    errno = old;
    if (mode == DISK_FULL && n >= state->wanted && grows) return errno = ENOSPC, 1;
    if (n != state->wanted) return 0;
    atomic_store(&state->hit, 1);
    if (mode == FAIL_ONCE) return errno = EIO, 1;
    if (mode == KILL_IN_THE_MIDDLE && grows) return 2;
    if (mode == KILL || mode == KILL_IN_THE_MIDDLE) end();
    return 0;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define SIZED(name, head, call, half) \
    ssize_t name head { \
        REAL(name); \
        int how = armed ? hit(fd_below(fd), 1) : 0; \
        if (how == 1) return -1; \
        if (how == 2) { half; end(); } \
        return call; \
    }

SIZED(write, (int fd, const void *data, size_t n), real(fd, data, n), real(fd, data, n / 2))
SIZED(pwrite, (int fd, const void *data, size_t n, off_t at), real(fd, data, n, at), real(fd, data, n / 2, at))
SIZED(pwrite64, (int fd, const void *data, size_t n, off64_t at), real(fd, data, n, at), real(fd, data, n / 2, at))
SIZED(writev, (int fd, const struct iovec *data, int n), real(fd, data, n), real(fd, data, n / 2))
SIZED(send, (int fd, const void *data, size_t n, int flags), real(fd, data, n, flags), real(fd, data, n / 2, flags))
SIZED(sendfile, (int fd, int from, off_t *at, size_t n), real(fd, from, at, n), real(fd, from, at, n / 2))
SIZED(sendfile64, (int fd, int from, off64_t *at, size_t n), real(fd, from, at, n), real(fd, from, at, n / 2))
SIZED(copy_file_range, (int from, off64_t *a, int fd, off64_t *b, size_t n, unsigned flags),
      real(from, a, fd, b, n, flags), real(from, a, fd, b, n / 2, flags))

#define PLAIN(name, head, counts, grows, call) \
    int name head { \
        REAL(name); \
        int how = armed ? hit(counts, grows) : 0; \
        if (how == 1) return -1; \
        if (how == 2) end(); \
        return call; \
    }

PLAIN(fsync, (int fd), fd_below(fd), 0, real(fd))
PLAIN(fdatasync, (int fd), fd_below(fd), 0, real(fd))
PLAIN(ftruncate, (int fd, off_t n), fd_below(fd), 0, real(fd, n))
PLAIN(ftruncate64, (int fd, off64_t n), fd_below(fd), 0, real(fd, n))
PLAIN(rename, (const char *a, const char *b), at_below(AT_FDCWD, b), 0, real(a, b))
PLAIN(renameat, (int f, const char *a, int g, const char *b), at_below(g, b), 0, real(f, a, g, b))
PLAIN(renameat2, (int f, const char *a, int g, const char *b, unsigned int flags), at_below(g, b), 0,
      real(f, a, g, b, flags))
PLAIN(unlink, (const char *a), at_below(AT_FDCWD, a), 0, real(a))
PLAIN(unlinkat, (int f, const char *a, int flags), at_below(f, a), 0, real(f, a, flags))
PLAIN(rmdir, (const char *a), at_below(AT_FDCWD, a), 0, real(a))
PLAIN(mkdir, (const char *a, mode_t m), at_below(AT_FDCWD, a), 1, real(a, m))
PLAIN(mkdirat, (int f, const char *a, mode_t m), at_below(f, a), 1, real(f, a, m))
PLAIN(link, (const char *a, const char *b), at_below(AT_FDCWD, b), 1, real(a, b))
PLAIN(symlink, (const char *a, const char *b), at_below(AT_FDCWD, b), 1, real(a, b))

#define OPENS(name, head, at, path, ...) \
    int name head { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t m = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        int changes = flags & (O_CREAT | O_TRUNC); \
        int how = armed && changes ? hit(at_below(at, path), 1) : 0; \
        if (how == 1) return -1; \
        if (how == 2) end(); \
        return real(__VA_ARGS__, m); \
    }

OPENS(open, (const char *a, int flags, ...), AT_FDCWD, a, a, flags)
OPENS(open64, (const char *a, int flags, ...), AT_FDCWD, a, a, flags)
OPENS(openat, (int f, const char *a, int flags, ...), f, a, f, a, flags)
OPENS(openat64, (int f, const char *a, int flags, ...), f, a, f, a, flags)

#define FOPENS(name) \
    FILE *name(const char *a, const char *how) { \
        REAL(name); \
        if (armed && how[0] != 'r') { \
            int hits = hit(at_below(AT_FDCWD, a), 1); \
            if (hits == 1) return NULL; \
            if (hits == 2) end(); \
        } \
        return real(a, how); \
    }

FOPENS(fopen)
FOPENS(fopen64)
