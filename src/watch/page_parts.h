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

#define PAGE_RANKS 50

typedef struct PageSinks { /* as they are now */
    Sinks *all;            /* NULL: none */
    int n;
    const char *const *name;
} PageSinks;

/* {"factor":..,"busy":..,"streams":[{"name":..,"state":..,..,"signals":[..]}]} */
void page_streams_json(Str *out, const EngineStatus *engine, const BoardStream *board, int nboard);
/* {"shown":"cam2","seconds":12.5,"changes":4,"streams":3,"rank":[{"stream":"cam2","score":91,"standing":"can","shown":true},..]}:
 * the first PAGE_RANKS of `streams`. shown null: none. */
void page_spotlight_json(Str *out, const SpotlightStatus *s);
void page_spotlight_metrics(Str *out, const SpotlightStatus *s);
/* {"hits":[..]} */
void page_hits_json(Str *out, const StoreHit *hit, int n);
void page_metrics(Str *out, const PageOptions *opt, const EngineStatus *engine,
                  const PageSinks *sinks, const HttpCounts *http);
/* Files of a folder whose names end in `suffix`, newest first:
 * {"clips":[{"name":..,"bytes":..,"wall":..}]} */
void page_clips_json(Str *out, const char *folder, const char *suffix);

#endif
