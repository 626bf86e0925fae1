/* What the files page*.c share. */
#ifndef LATHE_WATCH_PAGE_PARTS_H
#define LATHE_WATCH_PAGE_PARTS_H

#include "net/http_server.h"
#include "watch/page.h"

typedef struct PageFile { /* of the page itself: page_files.c, made from the folder page/ */
    const char *path, *type;
    const unsigned char *at;
    size_t size;
} PageFile;
extern const PageFile page_file[];
extern const int page_nfile;

typedef struct PageSinks { /* names as they are now */
    int n;
    const char *const *name;
} PageSinks;

/* {"factor":..,"busy":..,"streams":[{"name":..,"state":..,..,"signals":[..]}]} */
void page_streams_json(Str *out, const EngineStatus *engine, const BoardStream *board, int nboard);
/* {"hits":[..]} */
void page_hits_json(Str *out, const StoreHit *hit, int n);
void page_metrics(Str *out, const PageOptions *opt, const EngineStatus *engine, const PageSinks *sinks, const HttpCounts *http);
/* Files of a folder whose names end in `suffix`, newest first: {"clips":[{"name":..,"bytes":..,"wall":..}]} */
void page_clips_json(Str *out, const char *folder, const char *suffix);

#endif
