/* Records as lines of a file.
 *
 * Each line is one write to a file that was opened for appending, so that who reads along sees
 * whole lines. A line that was cut off, by a full disk, is taken back; one that a crash of the
 * machine cut off is ended, and its record comes again. Lines are acknowledged together, when they
 * are on disk. A file that was renamed or removed is opened anew. */
#include "watch/sink_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/heap.h"

enum { WINDOW = 64 };

typedef struct Lines {
    const SinkSpec *spec;
    int wake, fd;
    bool regular;
    int64_t size;
    int n;
    SinkItem *written[WINDOW]; /* and not acknowledged */
} Lines;

static int check(const SinkSpec *spec, Error *e)
{
    if (strstr(spec->url, "://") != NULL)
        return error_set(e, ERR_INVALID, "a JSONL sink writes to a file, and not to an address");
    return spec->rotate >= 0 ? 0 : error_set(e, ERR_INVALID, "rotate is less than nothing");
}

static int make_folder(const char *path, Error *e)
{
    Arena *const a = arena_try_new();
    if (a == NULL)
        return error_set(e, ERR_MEMORY, "%s: out of memory", path);
    const int code = file_make_dirs(path_dir(a, path), e);
    arena_free(a);
    return code;
}

static int io(const Lines *l, Error *e)
{
    return error_set(e, ERR_IO, "%s: %s", l->spec->url, strerror(errno));
}

/* What a crash left without an end gets one. */
static int end_torn_line(Lines *l, Error *e)
{
    char last;
    const int fd = open(l->spec->url, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return io(l, e);
    const bool torn = pread(fd, &last, 1, l->size - 1) == 1 && last != '\n';
    close(fd);
    if (torn && write(l->fd, "\n", 1) != 1)
        return io(l, e);
    l->size += torn;
    return 0;
}

static int open_file(Lines *l, Error *e)
{
    struct stat st;
    if (stat(l->spec->url, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
        return error_set(e, ERR_IO, "%s: not a file that lines can be added to", l->spec->url);
    if (l->fd >= 0)
        close(l->fd);
    l->fd = open(l->spec->url, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (l->fd < 0 || fstat(l->fd, &st) != 0)
        return io(l, e);
    l->regular = S_ISREG(st.st_mode);
    l->size = l->regular ? st.st_size : 0;
    return l->size > 0 ? end_torn_line(l, e) : 0;
}

static void close_lines(void *link)
{
    Lines *const l = link;
    if (l->fd >= 0)
        close(l->fd);
    heap_free(l);
}

static int open_lines(const SinkSite *site, void **link, Error *e)
{
    Lines *const l = heap_alloc(sizeof *l, 8);
    if (l == NULL)
        return error_set(e, ERR_MEMORY, "%s: out of memory", site->spec->url);
    *l = (Lines){.spec = site->spec, .wake = site->wake, .fd = -1};
    int code = make_folder(site->spec->url, e);
    if (code == 0)
        code = open_file(l, e);
    if (code != 0)
        close_lines(l);
    else
        *link = l;
    return code;
}

/* What was written until now is on disk, as far as the spec asks for it. */
static int sync_lines(const Lines *l, Error *e)
{
    return l->spec->unsynced || !l->regular || fdatasync(l->fd) == 0 ? 0 : io(l, e);
}

/* The full file becomes PATH.20261121T214500Z, or that with -2, -3.. behind it. */
static int rotate(Lines *l, Error *e)
{
    char stamp[32], name[4096];
    const time_t now = time(NULL);
    struct tm parts;
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &parts));
    int len = snprintf(name, sizeof name, "%s.%s", l->spec->url, stamp);
    for (int k = 2; file_exists(name) && len < (int)sizeof name; k++)
        len = snprintf(name, sizeof name, "%s.%s-%d", l->spec->url, stamp, k);
    if (len >= (int)sizeof name)
        return error_set(e, ERR_IO, "%s: its name is too long for another one behind it",
                         l->spec->url);
    const int code = sync_lines(l, e);
    if (code != 0)
        return code;
    if (rename(l->spec->url, name) != 0)
        return io(l, e);
    return open_file(l, e);
}

/* Another file stands there now, or none: who rotates files by other means has taken ours away. */
static int follow(Lines *l, Error *e)
{
    struct stat now, ours;
    if (!l->regular)
        return 0;
    if (fstat(l->fd, &ours) != 0)
        return io(l, e);
    if (stat(l->spec->url, &now) == 0 && now.st_ino == ours.st_ino && now.st_dev == ours.st_dev) {
        l->size = ours.st_size;
        return 0;
    }
    const int code = sync_lines(l, e);
    return code == 0 ? open_file(l, e) : code;
}

static int send_line(void *link, SinkItem *item, Error *e)
{
    Lines *const l = link;
    const OutboxRecord *const r = item->record;
    const int64_t size = (int64_t)r->size + 1;
    int code = follow(l, e);
    if (code == 0 && l->regular && l->spec->rotate > 0 && l->size > 0 &&
        l->size + size > l->spec->rotate)
        code = rotate(l, e);
    if (code != 0)
        return code;
    const struct iovec line[] = {{.iov_base = (void *)(uintptr_t)r->json, .iov_len = r->size},
                                 {.iov_base = "\n", .iov_len = 1}};
    const ssize_t wrote = writev(l->fd, line, 2);
    if (wrote != size) {
        const int why = wrote < 0 ? errno : ENOSPC;
        if (wrote > 0 && l->regular)
            (void)!ftruncate(l->fd, l->size);
        errno = why;
        return io(l, e);
    }
    l->size += size;
    l->written[l->n++] = item;
    return 0;
}

static int wait_lines(void *link, int64_t timeout, Error *e)
{
    Lines *const l = link;
    if (l->n == 0) {
        sink_pause(l->wake, -1, timeout);
        return 0;
    }
    const int code = sync_lines(l, e);
    for (int i = 0; i < l->n && code == 0; i++)
        l->written[i]->verdict = SINK_TAKEN;
    l->n = 0;
    return code;
}

const SinkLinkKind sink_jsonl = {
    .window = WINDOW,
    .ordered = true,
    .check = check,
    .open = open_lines,
    .send = send_line,
    .wait = wait_lines,
    .close = close_lines,
};
