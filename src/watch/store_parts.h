/* What the files store*.c share: what is open, in memory. (store_sql.h: the file.) */
#ifndef LATHE_WATCH_STORE_PARTS_H
#define LATHE_WATCH_STORE_PARTS_H

#include <pthread.h>

#include "base/vec.h"
#include "watch/store_sql.h"

enum {
    STORE_VARIANTS = 4,    /* texts of one span that are counted against each other */
    STORE_OPEN = 512,      /* spans of one stream at once */
    STORE_FACT_TEXT = 128,
    STORE_FORGETS = 1000,  /* names of streams that ended while no commit succeeded */
    STORE_WAITING = 100000 /* spans of all, with what a full disk keeps from being written */
};

typedef struct Variant {
    char text[STORE_MAX_TEXT];
    int n;
} Variant;

typedef struct StreamSpans StreamSpans;

typedef struct OpenSpan {
    struct OpenSpan *next, *prev; /* in the store */
    StreamSpans *from;            /* whose names the row has */
    SpanRow row;                  /* text: of `variant` */
    int signal;
    int64_t track;
    int64_t left_out; /* of samples since row.t1 */
    int nvariant;
    Variant variant[STORE_VARIANTS];
    bool dirty, ended;
} OpenSpan;

typedef struct Fact {
    ValueKind kind;
    double number;
    char text[STORE_FACT_TEXT];
    bool dirty;
} Fact;

struct StreamSpans {
    Arena *arena;
    int users;             /* spans, and the store while it goes on */
    const char *name, *watch;
    const Watch *of;       /* compared, never looked into: it may be gone */
    int nsignal;
    const char **signal;
    bool over;             /* its facts are to go, and then all of it .. */
    bool tried;            /* .. and one commit for that was begun */
    int epoch;
    Fact *fact;
    int nopen;
    OpenSpan *open[STORE_OPEN];
};

typedef struct WaitingRecord {
    struct WaitingRecord *next;
    Arena *arena;
    char id[20];
    int rev;
    SpanRow row;
    const char *json;
} WaitingRecord;

struct Store {
    Arena *arena;
    StoreOptions opt;
    const char *path;
    StoreDb *db;           /* the writer's; NULL: none can be opened */
    pthread_t thread;
    pthread_mutex_t lock;  /* guards all that follows */
    pthread_cond_t work, written;
    VEC(StreamSpans *) stream;
    OpenSpan *span;
    int nspan;
    WaitingRecord *record, **last_record;
    int nrecord;
    int64_t asked, done;   /* of store_flush */
    bool stop, lost_file;  /* lost_file: no other was opened yet */
    StoreCounts counts;
};

/* ---- store_spans.c; all under the lock ---- */

void store_end_spans(StreamSpans *t);
/* One span, or the store, needs it no more. */
void store_leave_stream(StreamSpans *t);
/* Its spans end, and the store forgets it. */
void store_end_stream(Store *s, StreamSpans *t);

#endif
