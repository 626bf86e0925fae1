/* Files. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/str.h"

/* An open descriptor of a regular file and its size. */
static int open_regular(const char *path, int *fd, size_t *size, Error *e)
{
    /* O_NONBLOCK: opening a FIFO must not hang; it is refused below. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return error_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(*fd);
        return error_set(e, ERR_IO, "%s: not a regular file", path);
    }
    *size = (size_t)st.st_size;
    return 0;
}

typedef struct Mapping {
    void *at;
    size_t size;
} Mapping;

static void unmap(void *arg)
{
    const Mapping *m = arg;
    munmap(m->at, m->size);
}

int file_map(Arena *a, const char *path, File *out, Error *e)
{
    int fd;
    size_t size;
    const int code = open_regular(path, &fd, &size, e);
    if (code != 0)
        return code;
    if (size == 0) {
        close(fd);
        *out = (File){.at = arena_alloc(a, 1)};
        return 0;
    }
    void *at = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return error_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    Mapping *m = arena_new_of(a, Mapping);
    *m = (Mapping){at, size};
    arena_defer(a, unmap, m);
    *out = (File){.at = at, .size = size};
    return 0;
}

int file_read(Arena *a, const char *path, File *out, Error *e)
{
    int fd;
    size_t size;
    const int code = open_regular(path, &fd, &size, e);
    if (code != 0)
        return code;
    uint8_t *at = arena_array(a, size + 1, 1);
    size_t got = 0;
    while (got < size) {
        const ssize_t n = read(fd, at + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    close(fd);
    if (got != size)
        return error_set(e, ERR_IO, "%s: read %zu of %zu bytes", path, got, size);
    *out = (File){.at = at, .size = size};
    return 0;
}

static int write_all(int fd, const uint8_t *at, size_t size)
{
    while (size > 0) {
        const ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

#define SPEND_BYTES                                                                                \
    ((uintptr_t)4 << 20) /* that are written before they go back: whole huge pages */

/* The disk begins at once: fsync comes after all of it. */
static int write_spent(int fd, const uint8_t *at, size_t size)
{
    int code = 0;
    for (size_t n; size > 0 && code == 0; at += n, size -= n) {
        const size_t left = SPEND_BYTES - ((uintptr_t)at & (SPEND_BYTES - 1));
        n = left < size ? left : size;
        code = write_all(fd, at, n);
        if (code == 0) {
            heap_release((void *)at, n);
            (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
        }
    }
    return code;
}

/* What becomes of the file and of the memory that is written. */
typedef struct Manner {
    bool sync, spend;
} Manner;

static bool write_parts(int fd, int n, const FilePart *part, Manner how)
{
    for (int i = 0; i < n; i++)
        if ((how.spend ? write_spent : write_all)(fd, part[i].at, part[i].size) != 0)
            return false;
    return true;
}

int file_write(const char *path, const void *at, size_t size, Error *e)
{
    return file_write_parts(path, 1, &(FilePart){at, size}, true, e);
}

/* The file at the end of a chain of symbolic links, which need not exist: what is to be replaced is
 * that file, not the link. */
static int follow_links(const char *path, char *out, size_t size)
{
    enum { MOST = 40 }; /* as many as the kernel follows */
    char text[PATH_MAX];
    if (snprintf(out, size, "%s", path) >= (int)size)
        return ENAMETOOLONG;
    for (int i = 0; i < MOST; i++) {
        const ssize_t n = readlink(out, text, sizeof text - 1);
        if (n < 0)
            return 0;
        text[n] = 0;
        char *const slash = strrchr(out, '/');
        char *const name = text[0] == '/' || !slash ? out : slash + 1;
        const size_t room = size - (size_t)(name - out);
        if (snprintf(name, room, "%s", text) >= (int)room)
            return ENAMETOOLONG;
    }
    return ELOOP;
}

/* The folder that `path` lies in, or what O_TMPFILE makes of it; -1: errno says why. */
static int open_folder(const char *path, int flags)
{
    char dir[PATH_MAX];
    const char *const slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    return open(dir, flags | O_CLOEXEC, 0600);
}

int file_lock(const char *path, Error *e)
{
    char target[PATH_MAX];
    const int failed = follow_links(path, target, sizeof target);
    const int fd = failed == 0 ? open_folder(target, O_RDONLY | O_DIRECTORY) : -1;
    if (fd < 0)
        return error_set(e, ERR_IO, "%s: %s", path, strerror(failed ? failed : errno));
    while (flock(fd, LOCK_EX) != 0) {
        if (errno == EINTR)
            continue;
        error_set(e, ERR_IO, "%s: its folder cannot be locked: %s", path, strerror(errno));
        close(fd);
        return ERR_IO;
    }
    return fd;
}

void file_unlock(int lock)
{
    close(lock);
}

/* Gives it a name: `temporary` ends in XXXXXX, as for mkstemp. */
static bool name_nameless(int fd, char *temporary)
{
    char from[64];
    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    unsigned seed = (unsigned)(int64_t)(1e9 * time_now()) ^ ((unsigned)getpid() << 8);
    for (int i = 0; i < 100; i++) {
        snprintf(strrchr(temporary, '.') + 1, 7, "%06x", seed & 0xffffff);
        if (linkat(AT_FDCWD, from, AT_FDCWD, temporary, AT_SYMLINK_FOLLOW) == 0)
            return true;
        if (errno != EEXIST)
            return false;
        seed = seed * 1664525 + 1013904223;
    }
    return false;
}

/* 0, or an errno: a new file beside `path`, which takes its place when it is whole. */
static int replace_file(const char *path, const struct stat *old, int n, const FilePart *part,
                        Manner how)
{
    char temporary[PATH_MAX];
    const int len = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (len < 0 || len >= (int)sizeof temporary)
        return ENAMETOOLONG;
    /* without a name it vanishes with the process */
    int fd = open_folder(path, O_TMPFILE | O_WRONLY);
    bool named = fd < 0; /* there is no such thing here */
    if (named)
        fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return errno;
    if (old && fchown(fd, old->st_uid, old->st_gid) != 0 && fchown(fd, (uid_t)-1, old->st_gid) != 0)
        errno = 0; /* who may not give files away becomes their owner, as with any editor */
    bool ok = write_parts(fd, n, part, how) && fchmod(fd, old ? old->st_mode & 0777 : 0644) == 0 &&
              (!how.sync || fsync(fd) == 0);
    if (ok && !named)
        ok = named = name_nameless(fd, temporary);
    ok = ok && rename(temporary, path) == 0;
    const int failed = ok ? 0 : errno;
    close(fd);
    if (!ok && named)
        unlink(temporary);
    return failed;
}

/* 0, or an errno: into what cannot be replaced, such as a device or a FIFO. */
static int write_into(const char *path, int n, const FilePart *part, Manner how)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return errno;
    const int failed = write_parts(fd, n, part, how) ? 0 : errno;
    return close(fd) != 0 && failed == 0 ? errno : failed;
}

static int write_file(const char *path, int n, const FilePart *part, Manner how, Error *e)
{
    char target[PATH_MAX];
    struct stat st;
    const bool exists = stat(path, &st) == 0; /* of what links lead to */
    int failed;
    if (exists && S_ISDIR(st.st_mode))
        failed = EISDIR;
    else if (exists && !S_ISREG(st.st_mode))
        failed = write_into(path, n, part, how);
    else if ((failed = follow_links(path, target, sizeof target)) == 0)
        failed = replace_file(target, exists ? &st : NULL, n, part, how);
    return failed == 0 ? 0 : error_set(e, ERR_IO, "%s: %s", path, strerror(failed));
}

int file_write_parts(const char *path, int n, const FilePart *part, bool sync, Error *e)
{
    return write_file(path, n, part, (Manner){.sync = sync}, e);
}

int file_write_spent(const char *path, int n, const FilePart *part, Error *e)
{
    return write_file(path, n, part, (Manner){.sync = true, .spend = true}, e);
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

int64_t file_written(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return 0;
    return (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
}

int file_check_regular(const char *path, Error *e)
{
    struct stat st;
    if (stat(path, &st) != 0 || S_ISREG(st.st_mode))
        return 0;
    return error_set(e, ERR_INVALID, "%s: not a regular file", path);
}

bool file_same(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int file_make_dirs(const char *path, Error *e)
{
    char part[PATH_MAX];
    const size_t len = strlen(path);
    if (len >= sizeof part)
        return error_set(e, ERR_IO, "%s: name too long", path);
    for (size_t i = 1; i <= len; i++) {
        if (i < len && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return error_set(e, ERR_IO, "%s: %s", part, strerror(errno));
    }
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return error_set(e, ERR_IO, "%s: not a directory", path);
    return 0;
}

const char *path_dir(Arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return ".";
    return slash == path ? "/" : arena_strndup(a, path, (size_t)(slash - path));
}

const char *path_join(Arena *a, const char *dir, const char *name)
{
    if (name[0] == '/' || dir[0] == 0)
        return arena_strdup(a, name);
    return arena_printf(a, "%s%s%s", dir, str_ends(dir, "/") ? "" : "/", name);
}

double time_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
