#include "watch/cut_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/str.h"

#define BUFFER (64 << 10)

typedef struct Place { /* of one who writes, or reads */
    int file;
    int64_t at;
} Place;

/* ---- the file ---- */

int cut_output_open(Arena *a, const char *path, CutOutput *out, Error *e)
{
    *out = (CutOutput){.path = path, .partial = arena_printf(a, "%s.part", path)};
    out->file = open(out->partial, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return out->file >= 0 ? 0 : error_set(e, ERR_IO, "%s: it cannot be made: %m", path);
}

int cut_output_close(CutOutput *o, int code, int64_t *bytes, Error *e)
{
    struct stat st = {0};
    if (code == 0 && fstat(o->file, &st) != 0)
        code = error_set(e, ERR_IO, "%s: %m", o->path);
    if (close(o->file) != 0 && code == 0)
        code = error_set(e, ERR_IO, "%s: could not be written whole", o->path);
    if (code == 0 && rename(o->partial, o->path) != 0)
        code = error_set(e, ERR_IO, "%s: %m", o->path);
    if (code != 0)
        unlink(o->partial);
    *bytes = code == 0 ? st.st_size : 0;
    return code;
}

/* ---- as libav sees it ---- */

static int write_some(void *opaque, uint8_t *at, int n)
{
    Place *const p = opaque;
    for (int done = 0; done < n;) {
        const ssize_t wrote = pwrite(p->file, at + done, (size_t)(n - done), p->at);
        if (wrote < 0 && errno != EINTR)
            return AVERROR(errno);
        done += wrote > 0 ? (int)wrote : 0;
        p->at += wrote > 0 ? wrote : 0;
    }
    return n;
}

static int read_some(void *opaque, uint8_t *to, int n)
{
    Place *const p = opaque;
    const ssize_t got = pread(p->file, to, (size_t)n, p->at);
    if (got < 0)
        return AVERROR(errno);
    p->at += got;
    return got > 0 ? (int)got : AVERROR_EOF;
}

static int64_t seek(void *opaque, int64_t to, int whence)
{
    Place *const p = opaque;
    struct stat st;
    switch (whence & ~AVSEEK_FORCE) {
    case SEEK_SET: return p->at = to;
    case SEEK_CUR: return p->at += to;
    case AVSEEK_SIZE: return fstat(p->file, &st) == 0 ? st.st_size : AVERROR(errno);
    default: return AVERROR(EINVAL);
    }
}

static int close_place(AVIOContext *pb)
{
    avio_flush(pb);
    const int error = pb->error;
    heap_free(pb->opaque);
    av_freep(&pb->buffer);
    avio_context_free(&pb);
    return error;
}

static AVIOContext *open_place(int file, bool writes)
{
    Place *const p = heap_alloc(sizeof *p, 16);
    uint8_t *buffer = av_malloc(BUFFER);
    AVIOContext *const pb =
        p && buffer ? avio_alloc_context(buffer, BUFFER, writes, p, read_some, write_some, seek)
                    : NULL;
    if (pb) {
        *p = (Place){.file = file};
        return pb;
    }
    heap_free(p);
    av_free(buffer);
    return NULL;
}

/* MP4's head is put before what was written, which is read again for that. */
static int reopen(AVFormatContext *f, AVIOContext **pb, const char *url, int flags,
                  AVDictionary **options)
{
    (void)url, (void)options;
    *pb = flags & AVIO_FLAG_WRITE ? NULL : open_place(*(const int *)f->opaque, false);
    return *pb ? 0 : AVERROR(EPERM);
}

static int close_again(AVFormatContext *f, AVIOContext *pb)
{
    (void)f;
    return close_place(pb);
}

int cut_output_attach(AVFormatContext *f, int *file)
{
    f->opaque = file;
    f->io_open = reopen;
    f->io_close2 = close_again;
    f->pb = open_place(*file, true);
    return f->pb ? 0 : AVERROR(ENOMEM);
}

int cut_output_detach(AVFormatContext *f)
{
    const int error = f && f->pb ? close_place(f->pb) : 0;
    if (f)
        f->pb = NULL;
    return error;
}
