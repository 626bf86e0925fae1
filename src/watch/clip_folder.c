#include "watch/clip_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/heap.h"
#include "base/str.h"

enum { NAME = 200, PATH = 4096 };

typedef struct ClipFile {
    char name[NAME]; /* without ending */
    int64_t bytes;
    int64_t written; /* ns since 1970. Names go by clocks of senders, which may say anything */
} ClipFile;

struct ClipFolder {
    Arena *arena;
    const char *path, *name;
    int64_t max_bytes;
    ClipFile *file; /* oldest first: first..n */
    int first, n, cap;
    ClipFolderCounts counts;
};

static int64_t size_of(const ClipFolder *f, const char *name, const char *ending)
{
    char path[PATH];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s%s", f->path, name, ending);
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : -1;
}

static void remove_file(const ClipFolder *f, const char *name, const char *ending)
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s%s", f->path, name, ending);
    unlink(path);
}

/* ---- names ---- */

/* # a digit, x one in hexadecimal, others themselves. */
static bool fits(const char *text, const char *pattern)
{
    for (; *pattern; text++, pattern++) {
        const bool digit = *text >= '0' && *text <= '9';
        const bool hex = digit || (*text >= 'a' && *text <= 'f');
        if (*pattern == '#' ? !digit : *pattern == 'x' ? !hex : *text != *pattern)
            return false;
    }
    return true;
}

/* A clip's, with this ending? Its name without it. */
static bool is_clip(const char *file, const char *ending, char name[NAME])
{
    const size_t n = strlen(file), m = strlen(ending);
    if (n < 40 + m || n - m >= NAME || strcmp(file + n - m, ending) != 0 ||
        !fits(file, "########T######.###Z-") || !fits(file + n - m - 17, "-xxxxxxxxxxxxxxxx"))
        return false;
    memcpy(name, file, n - m);
    name[n - m] = '\0';
    return true;
}

/* ---- the list ---- */

static bool make_room(ClipFolder *f)
{
    if (f->n < f->cap)
        return true;
    const int n = f->n - f->first, cap = 2 * n + 64;
    ClipFile *const more = heap_alloc((size_t)cap * sizeof *more, 8);
    if (!more)
        return false;
    if (n > 0)
        memcpy(more, f->file + f->first, (size_t)n * sizeof *more);
    heap_free(f->file);
    f->file = more;
    f->first = 0;
    f->n = n;
    f->cap = cap;
    return true;
}

/* The newest stays, whatever its size. */
static void remove_oldest(ClipFolder *f)
{
    while (f->counts.bytes > f->max_bytes && f->first < f->n - 1) {
        const ClipFile *const old = &f->file[f->first++];
        remove_file(f, old->name, ".mp4");
        remove_file(f, old->name, ".json");
        f->counts.bytes -= old->bytes;
        f->counts.files--;
        f->counts.removed++;
    }
}

/* One that is written anew is as new as any. */
static void forget(ClipFolder *f, const char *name)
{
    for (int i = f->first; i < f->n; i++) {
        if (strcmp(f->file[i].name, name) != 0)
            continue;
        f->counts.bytes -= f->file[i].bytes;
        f->counts.files--;
        memmove(f->file + i, f->file + i + 1, (size_t)(--f->n - i) * sizeof *f->file);
        return;
    }
}

static void append(ClipFolder *f, const char *name, int64_t bytes)
{
    if (!make_room(f))
        return;
    ClipFile *const one = &f->file[f->n++];
    snprintf(one->name, NAME, "%s", name);
    one->bytes = bytes;
    f->counts.bytes += bytes;
    f->counts.files++;
}

void clip_folder_add(ClipFolder *f, const char *name)
{
    const int64_t video = size_of(f, name, ".mp4"), list = size_of(f, name, ".json");
    forget(f, name);
    append(f, name, (video > 0 ? video : 0) + (list > 0 ? list : 0));
    remove_oldest(f);
}

/* ---- the folder ---- */

static int by_age(const void *a, const void *b)
{
    const ClipFile *const x = a, *const y = b;
    return x->written != y->written ? (x->written > y->written) - (x->written < y->written) : strcmp(x->name, y->name);
}

static int64_t written(const ClipFolder *f, const char *name)
{
    char path[PATH];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s.mp4", f->path, name);
    return stat(path, &st) == 0 ? (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec : 0;
}

static void take_in(ClipFolder *f, const char *file)
{
    char name[NAME];
    if (is_clip(file, ".mp4.part", name)) {
        remove_file(f, name, ".mp4.part");
    } else if (is_clip(file, ".json", name) && size_of(f, name, ".mp4") < 0) {
        remove_file(f, name, ".json");
    } else if (is_clip(file, ".mp4", name) && size_of(f, name, ".mp4") >= 0 && make_room(f)) {
        const int64_t list = size_of(f, name, ".json");
        append(f, name, size_of(f, name, ".mp4") + (list > 0 ? list : 0));
        f->file[f->n - 1].written = written(f, name);
    }
}

static int read_folder(ClipFolder *f, Error *e)
{
    DIR *const d = opendir(f->path);
    if (!d)
        return error_set(e, ERR_IO, "clips: %s: %s", f->path, strerror(errno));
    for (const struct dirent *one; (one = readdir(d)) != NULL;)
        take_in(f, one->d_name);
    closedir(d);
    if (f->n > 0)
        qsort(f->file, (size_t)f->n, sizeof *f->file, by_age);
    remove_oldest(f);
    return access(f->path, W_OK | X_OK) == 0
               ? 0
               : error_set(e, ERR_IO, "clips: %s: nothing can be written there: %s", f->path,
                           strerror(errno));
}

int clip_folder_open(const char *path, int64_t max_bytes, ClipFolder **out, Error *e)
{
    Arena *const a = arena_new();
    ClipFolder *const f = arena_new_of(a, ClipFolder);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    f->arena = a;
    f->path = arena_strndup(a, path, n);
    const char *const slash = strrchr(f->path, '/');
    f->name = slash ? slash + 1 : f->path;
    f->max_bytes = max_bytes;
    struct stat st;
    int code = n > 0 && n < PATH - NAME - 16
                   ? 0
                   : error_set(e, ERR_INVALID, "clips: no name for a folder: '%.100s'", path);
    if (code == 0 && stat(f->path, &st) == 0 && !S_ISDIR(st.st_mode))
        code = error_set(e, ERR_INVALID, "clips: %s: is no folder", f->path);
    if (code == 0)
        code = file_make_dirs(f->path, e);
    if (code == 0)
        code = read_folder(f, e);
    if (code != 0)
        clip_folder_close(f);
    else
        *out = f;
    return code;
}

void clip_folder_close(ClipFolder *f)
{
    if (!f)
        return;
    heap_free(f->file);
    arena_free(f->arena);
}

const char *clip_folder_path(const ClipFolder *f)
{
    return f->path;
}
const char *clip_folder_name(const ClipFolder *f)
{
    return f->name;
}

int64_t clip_folder_free(const ClipFolder *f)
{
    struct statvfs v;
    if (statvfs(f->path, &v) != 0)
        return INT64_MAX;
    const double bytes = (double)v.f_bavail * (double)v.f_frsize;
    return bytes < 9e18 ? (int64_t)bytes : INT64_MAX;
}

ClipFolderCounts clip_folder_counts(const ClipFolder *f)
{
    return f->counts;
}
