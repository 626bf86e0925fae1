/* The page of a service: streams with pictures and values, events as they come, search, clips; a
 * region editor; metrics. HTTP on one thread (net/), with a worker beside it for what takes time
 * (pictures, the search).
 *
 *     GET  /                        the page (page/index.html and what it loads), embedded in the program
 *     GET  /api/streams             states, counts, values of signals, regions
 *     GET  /api/spotlight           which stream is shown, and how the others stand
 *     GET  /api/live                server-sent events: records as they come; Last-Event-ID resumes within the last PAGE_RECORDS
 *     GET  /api/search?q=&limit=    store.h
 *     GET  /api/clips               parts that were cut
 *     POST /api/region              {"stream", "region", "box": [x, y, width, height]}: into the watch's file (region_edit.h)
 *     GET  /snapshot/STREAM.jpg     the last picture that was judged; 404 until there is one: asking makes it be kept
 *     GET  /evidence/NAME  /clips/NAME
 *     GET  /metrics                 Prometheus
 *
 * It listens at loopback unless told otherwise. Nothing of it is private from who can reach it,
 * and it has no passwords: to be reached from elsewhere it belongs behind a server that asks for
 * them. A page of another site can neither read it (Host and Origin are checked) nor change
 * anything. */
#ifndef LATHE_WATCH_PAGE_H
#define LATHE_WATCH_PAGE_H

#include "watch/board.h"
#include "watch/engine.h"
#include "watch/sink.h"
#include "watch/store.h"
#include "watch/telling.h"

#define PAGE_RECORDS 500 /* that a reader who comes late may still have */

typedef struct PageOptions { /* what it shows: engine, board, store and clips outlive the page;
                                texts are copied */
    const char *address;   /* 127.0.0.1:8080, [::1]:0, 8080 (at 127.0.0.1); port 0: a free one */
    int nname;             /* names besides addresses and localhost under which it may be asked */
    const char *const *name;
    Engine *engine;
    Board *board;
    Store *store;          /* NULL: no search */
    const char *store_path;
    const char *evidence, *clips; /* folders; NULL: none */
    Clips *cutting;        /* for metrics; NULL: none */
    Evidence *picturing;   /* likewise */
    Telling *telling;      /* likewise */
} PageOptions;

typedef struct Page Page;

/* ERR_INVALID: no address; ERR_IO: it is taken. */
int page_open(const PageOptions *opt, Page **out, Error *e);
/* Answers nobody any more, and looks at the engine no more; page_record may still be called. */
void page_stop(Page *p);
void page_close(Page *p); /* NULL is allowed, for both */
int page_port(const Page *p);

/* A line of JSON (event_json, system_json) for those who listen. From any thread. */
void page_record(Page *p, const char *json, size_t size);
/* Sinks, which outlive the page (NULL: none), and their names, in their order: for metrics. They
 * may change. */
void page_sinks(Page *p, Sinks *sinks, int n, const char *const *name);

#endif
