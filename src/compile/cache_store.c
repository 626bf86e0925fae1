/* The folder of the disk cache. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/vec.h"
#include "compile/cache.h"
#include "runtime/module_file.h"

#define TEMPORARY_SECONDS 3600 /* a file that is still being written is younger */

static bool ours_alone(const struct stat *st)
{
    return st->st_uid == geteuid() && (st->st_mode & 022) == 0;
}

bool cache_open(const char *directory)
{
    struct stat st;
    Error e;
    if (stat(directory, &st) != 0) {
        Arena *a = arena_try_new();
        const bool above = a && file_make_dirs(path_dir(a, directory), &e) == 0;
        arena_free(a);
        if (!above || (mkdir(directory, 0700) != 0 && !file_exists(directory)) ||
            stat(directory, &st) != 0)
            return false;
    }
    return S_ISDIR(st.st_mode) && ours_alone(&st);
}

static const char *entry_path(Arena *a, const char *directory, const Digest *key,
                              const char *ending)
{
    char text[DIGEST_TEXT];
    digest_print(key, text);
    return path_join(a, directory, arena_printf(a, "%s.%s", text, ending));
}

Module *cache_load(Arena *a, const char *directory, const Digest *key)
{
    const char *path = entry_path(a, directory, key, "lathe");
    struct stat st;
    Error e;
    Module *m = NULL;
    if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) || !ours_alone(&st))
        return NULL;
    if (module_load(path, &m, &e) == 0) {
        utimensat(AT_FDCWD, path, NULL, 0);
        return m;
    }
    log_line(1, "cache: %s: compiled again", e.message);
    if (e.code == ERR_INVALID)
        unlink(path);
    return NULL;
}

void cache_store(Arena *a, const char *directory, const Digest *key, const Model *m,
                 const char *target)
{
    Error e;
    const char *path = entry_path(a, directory, key, "lathe");
    if (module_save(path, module_program(m->module), &m->image, target, false, &e) != 0)
        log_line(1, "cache: %s", e.message);
}

const char *cache_needs(Arena *a, const char *directory, const Digest *key)
{
    File f;
    struct stat st;
    const char *path = entry_path(a, directory, key, "needs");
    if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) || !ours_alone(&st) ||
        file_read(a, path, &f, NULL) != 0)
        return NULL;
    return (const char *)f.at;
}

void cache_store_needs(Arena *a, const char *directory, const Digest *key, const char *needs)
{
    const FilePart part = {needs, strlen(needs)};
    file_write_parts(entry_path(a, directory, key, "needs"), 1, &part, false, NULL);
}

/* ---- size ---- */

typedef struct Entry {
    const char *path;
    struct timespec used;
    int64_t size;
} Entry;

static int by_use(const void *a, const void *b)
{
    const struct timespec x = ((const Entry *)a)->used, y = ((const Entry *)b)->used;
    if (x.tv_sec != y.tv_sec)
        return x.tv_sec < y.tv_sec ? -1 : 1;
    return (x.tv_nsec > y.tv_nsec) - (x.tv_nsec < y.tv_nsec);
}

/* "KEY.lathe", "KEY.needs", or either with ".XXXXXX" while it is written: 0 no, 1 yes, 2
 * temporary. */
static int name_kind(const char *name)
{
    if (strspn(name, "0123456789abcdef") != DIGEST_TEXT - 1)
        return 0;
    const char *ending = name + DIGEST_TEXT - 1;
    if (strncmp(ending, ".lathe", 6) != 0 && strncmp(ending, ".needs", 6) != 0)
        return 0;
    return ending[6] == 0 ? 1 : ending[6] == '.' && strlen(ending) == 13 ? 2 : 0;
}

void cache_trim(Arena *a, const char *directory, int64_t limit)
{
    VEC(Entry) entries = {0};
    int64_t total = 0;
    DIR *dir = opendir(directory);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        const int kind = name_kind(d->d_name);
        const char *path = path_join(a, directory, d->d_name);
        struct stat st;
        if (kind == 0 || lstat(path, &st) != 0)
            continue;
        if (kind == 2 && time(NULL) - st.st_mtim.tv_sec > TEMPORARY_SECONDS)
            unlink(path);
        if (kind == 2)
            continue;
        const Entry e = {path, st.st_mtim, st.st_size};
        vec_push(a, &entries, e);
        total += st.st_size;
    }
    if (dir)
        closedir(dir);
    if (total <= limit)
        return;
    qsort(entries.at, (size_t)entries.len, sizeof *entries.at, by_use);
    for (int i = 0; i < entries.len && total > limit; i++) {
        unlink(entries.at[i].path); /* whoever has it mapped keeps it */
        total -= entries.at[i].size;
    }
}
