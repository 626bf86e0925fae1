/* What runs as a service: streams, each with a watch, and where their records go. From one YAML
 * file.
 *
 *     streams:
 *       cam1: {url: "rtsp://..", watch: royale.yaml, latency: 300ms, keyframes: true}
 *     sinks:
 *       all: {to: jsonl, path: events.jsonl}
 *       hook: {to: webhook, url: "https://..", secret_file: key.txt, events: ["final_*"], min_severity: 2}
 *     service: {outbox: watch.outbox, evidence: pictures, evidence_bytes: 1000000000, store: seen.db, page: "127.0.0.1:8080", clips: clips}
 *
 * The file may be a watch itself (config.h): then streams without `watch` use that. Everything
 * is checked while it is read, the watches, and what sinks can be asked without a connection; no
 * file may be written by two. What streams share is counted, so that a service that is read anew
 * keeps the watches whose files, with the pictures and models they name, are what they were:
 * streams that use these need not be touched. */
#ifndef LATHE_WATCH_SERVICE_H
#define LATHE_WATCH_SERVICE_H

#include "watch/engine.h"
#include "watch/sink.h"

#define SERVICE_MAX_STREAMS 10000
#define SERVICE_MAX_SINKS 64

typedef struct WatchFile WatchFile; /* a watch that was read; counted. Belongs to one thread */
int watch_file_read(const char *path, WatchFile **out, Error *e);
const Watch *watch_file_watch(const WatchFile *f);
WatchFile *watch_file_ref(WatchFile *f);
void watch_file_unref(WatchFile *f); /* NULL is allowed */

typedef struct ServiceStream {
    StreamSpec spec;
    WatchFile *file;  /* of spec.watch */
} ServiceStream;

typedef struct ServicePlaces { /* of settings, for messages; line 0: the file says nothing of it */
    Place workers, outbox, evidence, store, page, clips, clips_bytes, clips_ring, clips_pending,
        page_names;
} ServicePlaces;

typedef struct Service {
    Arena *arena;
    const char *path;
    WatchFile *own;   /* the file as a watch; NULL: it is none */
    int nstream;
    ServiceStream *stream;
    int nsink;
    const SinkSpec *sink;
    const char *outbox;
    const char *evidence;      /* folder of pictures; NULL: none */
    int64_t evidence_bytes;    /* that it may take */
    int workers;      /* 0: one a CPU */
    const char *store, *clips; /* a file, a folder; NULL: none */
    /* ClipsOptions: max_bytes, ring_bytes, pending_bytes */
    int64_t clips_bytes, clips_ring, clips_pending;
    const char *page;          /* address (page.h); NULL: none */
    int npage_name;
    const char *const *page_name;
    ServicePlaces at;
} Service;

typedef struct FileSeen {
    const char *path;
    uint64_t stamp; /* size, time, or that it was not there, before it was read */
} FileSeen;

typedef struct FileList { /* what was read; folders of pictures too, as a wild card may find others
                             there */
    Arena *arena;
    int n;
    const FileSeen *at;
} FileList;

/* `before`: takes over watches that are the same; NULL. `files`: may be NULL; filled in as far as
 * reading came, so also after an error. */
int service_read(const char *path, const Service *before, FileList *files, Service **out, Error *e);
void service_free(Service *s); /* NULL is allowed */

/* One of them is other than when it was read. */
bool files_changed(const FileList *f);

#endif
