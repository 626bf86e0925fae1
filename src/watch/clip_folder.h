/* A folder of clips that is not to become larger than so many bytes: the oldest go.
 *
 * Only files that are named as clips are (clip_plan.h) belong to it:
 * 20261122T005712.345Z-..-0123456789abcdef.mp4, with .json beside it. Others are left alone, and do
 * not count. One thread at a time. */
#ifndef LATHE_WATCH_CLIP_FOLDER_H
#define LATHE_WATCH_CLIP_FOLDER_H

#include "base/arena.h"
#include "base/error.h"

typedef struct ClipFolder ClipFolder;

/* Makes it if it is not there, removes what is older than there is room for, and what an earlier
 * run left half written. */
int clip_folder_open(const char *path, int64_t max_bytes, ClipFolder **out, Error *e);
void clip_folder_close(ClipFolder *f); /* NULL is allowed */
const char *clip_folder_path(const ClipFolder *f);
const char *clip_folder_name(const ClipFolder *f); /* its last part */
/* NAME.mp4 and NAME.json are there now. */
void clip_folder_add(ClipFolder *f, const char *name);
/* Bytes that the disk has left; INT64_MAX: nobody knows. */
int64_t clip_folder_free(const ClipFolder *f);

typedef struct ClipFolderCounts {
    int64_t files, bytes, removed; /* removed: since it was opened */
} ClipFolderCounts;
ClipFolderCounts clip_folder_counts(const ClipFolder *f);

#endif
