/* What comes live to readers of the page (/api/live): server-sent events, the last PAGE_RECORDS of
 * which wait for who comes late.
 *
 *     any thread --page_live_record--> lines --a post to the loop--> every reader */
#ifndef LATHE_WATCH_PAGE_LIVE_H
#define LATHE_WATCH_PAGE_LIVE_H

#include <pthread.h>

#include "net/http_server.h"

typedef struct PageLive {
    EventLoop *loop;
    LoopTimer heartbeat;
    struct PageReader *reader; /* the loop's, as `told` */
    int64_t told;              /* lines that readers have */
    pthread_mutex_t lock;      /* guards what follows */
    struct PageLine *line, **last;
    int64_t nline;             /* ever */
    bool posted;
    LoopPost wake;
} PageLive;

void page_live_init(PageLive *v);
void page_live_begin(PageLive *v, EventLoop *loop);
/* A line of JSON, from any thread, once it has begun. */
void page_live_record(PageLive *v, const char *json, size_t size);
/* From the loop: x is a reader from now on, behind the line that its Last-Event-ID names. */
void page_live_serve(PageLive *v, HttpExchange *x);
/* There are no readers any more. */
void page_live_end(PageLive *v);

#endif
