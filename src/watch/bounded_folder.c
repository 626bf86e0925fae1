#include "watch/bounded_folder.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/str.h"

enum { PATH = 4096 };

typedef struct FolderFile {
    char *name;      /* heap */
    uint64_t hash;   /* of it */
    int64_t bytes;
    /* ns since 1970: names go by clocks of senders, which may say anything. Only while the folder
     * is read */
    int64_t written;
} FolderFile;

struct BoundedFolder {
    Arena *arena;
    const FolderKind *kind;
    const char *path, *name;
    int64_t max_bytes;
    pthread_mutex_t lock; /* guards what follows; the disk is never waited for under it */
    FolderFile *file;     /* oldest first: first..n */
    int first, n, cap;
    FolderCounts counts;
};

/* False: there is no such file. */
static bool look_at(const BoundedFolder *f, const char *name, const char *ending, struct stat *st)
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s%s", f->path, name, ending);
    return stat(path, st) == 0 && S_ISREG(st->st_mode);
}

static void remove_file(const BoundedFolder *f, const char *name, const char *ending)
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s%s", f->path, name, ending);
    unlink(path);
}

static int64_t bytes_of(const BoundedFolder *f, const char *name)
{
    struct stat st;
    int64_t bytes = 0;
    for (int i = 0; f->kind->ending[i]; i++)
        bytes += look_at(f, name, f->kind->ending[i], &st) ? st.st_size : 0;
    return bytes;
}

/* ---- the list: under the lock ---- */

static uint64_t hash_of(const char *name) { return hash_bytes(name, strlen(name), 0); }

/* Where it stands, looked for from the newest; -1: nowhere. */
static int find(const BoundedFolder *f, const char *name)
{
    const uint64_t hash = hash_of(name);
    for (int i = f->n - 1; i >= f->first; i--)
        if (f->file[i].hash == hash && strcmp(f->file[i].name, name) == 0)
            return i;
    return -1;
}

static bool make_room(BoundedFolder *f)
{
    if (f->n < f->cap)
        return true;
    const int n = f->n - f->first, cap = 2 * n + 64;
    FolderFile *const more = heap_alloc((size_t)cap * sizeof *more, 8);
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

/* The oldest, off the list, if there is no room for it; else NULL. The caller's to remove and to
 * free. */
static char *take_oldest(BoundedFolder *f)
{
    if (f->counts.bytes <= f->max_bytes || f->first >= f->n - 1)
        return NULL;
    const FolderFile *const old = &f->file[f->first++];
    f->counts.bytes -= old->bytes;
    f->counts.files--;
    f->counts.removed++;
    return old->name;
}

static void take_off(BoundedFolder *f, int i)
{
    f->counts.bytes -= f->file[i].bytes;
    f->counts.files--;
    heap_free(f->file[i].name);
    memmove(f->file + i, f->file + i + 1, (size_t)(--f->n - i) * sizeof *f->file);
}

/* False: no memory. It is then there, but does not count. */
static bool append(BoundedFolder *f, const char *name, int64_t bytes, int64_t written)
{
    const size_t size = strlen(name) + 1;
    char *const copy = make_room(f) ? heap_alloc(size, 1) : NULL;
    if (!copy)
        return false;
    memcpy(copy, name, size);
    f->file[f->n++] =
        (FolderFile){.name = copy, .hash = hash_of(name), .bytes = bytes, .written = written};
    f->counts.bytes += bytes;
    f->counts.files++;
    return true;
}

/* ---- from any thread ---- */

static char *next_oldest(BoundedFolder *f)
{
    pthread_mutex_lock(&f->lock);
    char *const name = take_oldest(f);
    pthread_mutex_unlock(&f->lock);
    return name;
}

static void remove_oldest(BoundedFolder *f)
{
    for (char *name; (name = next_oldest(f)) != NULL; heap_free(name))
        for (int i = 0; f->kind->ending[i]; i++)
            remove_file(f, name, f->kind->ending[i]);
}

void folder_add(BoundedFolder *f, const char *name)
{
    const int64_t bytes = bytes_of(f, name);
    pthread_mutex_lock(&f->lock);
    const int at = find(f, name);
    if (at >= 0) /* one that is written anew is as new as any */
        take_off(f, at);
    append(f, name, bytes, 0);
    pthread_mutex_unlock(&f->lock);
    remove_oldest(f);
}

bool folder_has(BoundedFolder *f, const char *name)
{
    pthread_mutex_lock(&f->lock);
    const bool has = find(f, name) >= 0;
    pthread_mutex_unlock(&f->lock);
    return has;
}

/* ---- what an earlier run left ---- */

static int by_age(const void *a, const void *b)
{
    const FolderFile *const x = a, *const y = b;
    return x->written != y->written ? (x->written > y->written) - (x->written < y->written)
                                    : strcmp(x->name, y->name);
}

/* A name of the kind, with this ending? Without it. */
static bool is_ours(const BoundedFolder *f, const char *file, const char *ending,
                    char name[FOLDER_NAME_MOST])
{
    const size_t n = strlen(file), m = strlen(ending);
    if (!str_ends(file, ending) || n - m >= FOLDER_NAME_MOST)
        return false;
    memcpy(name, file, n - m);
    name[n - m] = '\0';
    return f->kind->is_name(name);
}

static void take_in(BoundedFolder *f, const char *file)
{
    const FolderKind *const k = f->kind;
    char name[FOLDER_NAME_MOST];
    struct stat st;
    if (k->unfinished && is_ours(f, file, k->unfinished, name)) {
        remove_file(f, name, k->unfinished);
        return;
    }
    for (int i = 1; k->ending[0] && k->ending[i]; i++)
        if (is_ours(f, file, k->ending[i], name) && !look_at(f, name, k->ending[0], &st))
            remove_file(f, name, k->ending[i]);
    if (is_ours(f, file, k->ending[0], name) && look_at(f, name, k->ending[0], &st))
        append(f, name, bytes_of(f, name),
               (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
}

static int read_folder(BoundedFolder *f, Error *e)
{
    DIR *const d = opendir(f->path);
    if (!d)
        return error_set(e, ERR_IO, "%s: %s: %s", f->kind->what, f->path, strerror(errno));
    for (const struct dirent *one; (one = readdir(d)) != NULL;)
        take_in(f, one->d_name);
    closedir(d);
    if (f->n > 0)
        qsort(f->file, (size_t)f->n, sizeof *f->file, by_age);
    remove_oldest(f);
    if (access(f->path, W_OK | X_OK) == 0)
        return 0;
    return error_set(e, ERR_IO, "%s: %s: nothing can be written there: %s", f->kind->what, f->path,
                     strerror(errno));
}

/* ---- the folder ---- */

int folder_open(const char *path, int64_t max_bytes, const FolderKind *kind, BoundedFolder **out,
                Error *e)
{
    Arena *const a = arena_new();
    BoundedFolder *const f = arena_new_of(a, BoundedFolder);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    *f = (BoundedFolder){
        .arena = a, .kind = kind, .path = arena_strndup(a, path, n), .max_bytes = max_bytes};
    pthread_mutex_init(&f->lock, NULL);
    const char *const slash = strrchr(f->path, '/');
    f->name = slash ? slash + 1 : f->path;
    struct stat st;
    int code =
        n > 0 && n < PATH - FOLDER_NAME_MOST - 16
            ? 0
            : error_set(e, ERR_INVALID, "%s: no name for a folder: '%.100s'", kind->what, path);
    if (code == 0 && stat(f->path, &st) == 0 && !S_ISDIR(st.st_mode))
        code = error_set(e, ERR_INVALID, "%s: %s: is no folder", kind->what, f->path);
    if (code == 0)
        code = file_make_dirs(f->path, e);
    if (code == 0)
        code = read_folder(f, e);
    if (code != 0)
        folder_close(f);
    else
        *out = f;
    return code;
}

void folder_close(BoundedFolder *f)
{
    if (!f)
        return;
    for (int i = f->first; i < f->n; i++)
        heap_free(f->file[i].name);
    heap_free(f->file);
    pthread_mutex_destroy(&f->lock);
    arena_free(f->arena);
}

const char *folder_path(const BoundedFolder *f) { return f->path; }
const char *folder_name(const BoundedFolder *f) { return f->name; }

int64_t folder_free(const BoundedFolder *f)
{
    struct statvfs v;
    if (statvfs(f->path, &v) != 0)
        return INT64_MAX;
    const double bytes = (double)v.f_bavail * (double)v.f_frsize;
    return bytes < 9e18 ? (int64_t)bytes : INT64_MAX;
}

FolderCounts folder_counts(BoundedFolder *f)
{
    pthread_mutex_lock(&f->lock);
    const FolderCounts counts = f->counts;
    pthread_mutex_unlock(&f->lock);
    return counts;
}
