/* A folder of files that is not to become larger than so many bytes: the oldest go.
 *
 * What belongs together has one name and an ending each: NAME.mp4, the first, and NAME.json beside
 * it. Only names that the kind knows belong to it; other files are left alone, and do not count.
 * Any threads may use one: its lock is never held over the disk, for which folder_add and folder_free wait. A name that is written anew by one
 * thread just as another removes it for its age may be lost. */
#ifndef LATHE_WATCH_BOUNDED_FOLDER_H
#define LATHE_WATCH_BOUNDED_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

#define FOLDER_NAME_MOST 200 /* bytes of a name without its ending */

typedef struct FolderKind {
    const char *what;                /* for messages */
    const char *ending[3];           /* NULL behind the last */
    /* ending of the first while it is written; what an earlier run left is removed. NULL: none */
    const char *unfinished;
    bool (*is_name)(const char *name);
} FolderKind;

typedef struct BoundedFolder BoundedFolder;

/* Makes it if it is not there; removes what is older than there is room for, what was left
 * unfinished, and what has lost its first file. ERR_INVALID: no name for a folder, or it is none;
 * ERR_IO: it cannot be read or written. */
int folder_open(const char *path, int64_t max_bytes, const FolderKind *kind, BoundedFolder **out,
                Error *e);
void folder_close(BoundedFolder *f); /* NULL is allowed */
const char *folder_path(const BoundedFolder *f);
const char *folder_name(const BoundedFolder *f); /* its last part */
/* Files of this name are there now, new or written anew. The newest stays, whatever its size. */
void folder_add(BoundedFolder *f, const char *name);
bool folder_has(BoundedFolder *f, const char *name);
/* Bytes that the disk has left; INT64_MAX: nobody knows. */
int64_t folder_free(const BoundedFolder *f);

typedef struct FolderCounts {
    int64_t files, bytes, removed; /* files: names; removed: since it was opened */
} FolderCounts;
FolderCounts folder_counts(BoundedFolder *f);

#endif
