/* Files: mapped read-only, read whole, written atomically (temporary file, fsync, rename). */
#ifndef LATHE_BASE_FILE_H
#define LATHE_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

typedef struct File { /* a read-only mapping; an empty file has size 0 and a valid pointer */
    const uint8_t *at;
    size_t size;
} File;

/* Maps `path`; unmapped when the arena is freed. Refuses what is not a regular file. */
int file_map(Arena *a, const char *path, File *out, Error *e);
/* Whole file, NUL-terminated after `size` bytes. */
int file_read(Arena *a, const char *path, File *out, Error *e);
int file_write(const char *path, const void *at, size_t size, Error *e);
typedef struct FilePart {
    const void *at;
    size_t size;
} FilePart;
/* The parts one after another, into a file that takes the place of an old one when it is whole,
 * with its mode, and its owner and group as far as we may give files to others. Symbolic links are
 * followed; a device, a FIFO and the like are written into, as they stand. Without `sync` a crash
 * of the system may leave a damaged file, and it is quicker. */
int file_write_parts(const char *path, int n, const FilePart *part, bool sync, Error *e);
/* The same with `sync`, and memory of the parts goes back as they are written (heap_release), so
 * that the file takes pages which this process has had, where that pays: fresh ones cost a guest of
 * a virtual machine more than filling them. What the parts held is lost, also if this fails. */
int file_write_spent(const char *path, int n, const FilePart *part, Error *e);
/* While it is held nobody else who asks holds one for a file of the same folder; the folder itself
 * is locked, so that nothing is left lying and the file may be replaced meanwhile. Waits; ends with
 * the process. Gives a descriptor for file_unlock, or a negative code. */
int file_lock(const char *path, Error *e);
void file_unlock(int lock);
bool file_exists(const char *path);
int64_t file_written(const char *path); /* when, us since 1970; 0: it is not there */
/* ERR_INVALID: something is there that is no regular file. Whoever opens a path blindly may wait
 * for ever (a FIFO). */
int file_check_regular(const char *path, Error *e);
/* both exist and are one file, whatever their names */
bool file_same(const char *a, const char *b);
int file_make_dirs(const char *path, Error *e); /* like mkdir -p */
/* "dir/of/path" of a path, "." if it has none. */
const char *path_dir(Arena *a, const char *path);
const char *path_join(Arena *a, const char *dir, const char *name);

double time_now(void); /* monotonic seconds */

#endif
