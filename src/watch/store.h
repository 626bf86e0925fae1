/* What was seen, kept to be found: runs of equal text, screens, objects, events; searched by words.
 * SQLite with FTS5, WAL.
 *
 *     sample -> open spans (in memory) -> once a second in one commit -> span, span_words, span_parts
 *     record ->                                                          span (kind event), record, fact
 *
 * A *span* is a run of samples in which a signal gave the same: one row, not one a frame. Texts
 * that are one edit apart are the same, as recognisers err, and the text that most samples gave is
 * kept; lines of a page are also where they were (boxes overlap by half). A span ends where the
 * text is another, or was not seen for the watch's gap, or in another epoch. What lasted one sample
 * alone is kept, too.
 *
 * A *fact* is the value a signal has now: what facets compare ("alive < 20").
 *
 * What a commit fails to write waits for the next one: spans and records as far as there is room,
 * of facts what they are by then.
 *
 * store_sample and store_record may come from any thread; they take microseconds, as a thread of
 * the store's writes. What it has not written yet (a second at most) is lost in a crash: events are
 * safe in the outbox (sink.h). Searching reads the same file from anywhere, other processes too.
 *
 * A file that is removed while the store is open, or that another takes the place of, is begun
 * anew within a second, or gone on with if it is a store: what was in it has been thrown away by
 * whoever did so. What goes on at that moment is written from its beginning. */
#ifndef LATHE_WATCH_STORE_H
#define LATHE_WATCH_STORE_H

#include "watch/event.h"
#include "watch/reading.h"

#define STORE_MAX_TEXT 512 /* bytes of a span's text; longer ones are cut */

typedef struct StoreOptions { /* zero: the default of each */
    int64_t max_age;   /* us; what ended longer ago goes. 30 days */
    int64_t max_bytes; /* of the file; the oldest go. 2 GB */
} StoreOptions;

typedef struct StoreCounts {
    int64_t spans, records;   /* written */
    /* spans, records and facts that the last commit failed to write: the next one does */
    int64_t waiting;
    int64_t dropped;          /* of these, what had no room to wait */
    int64_t failures;
    /* times at which the file had been removed or replaced, and was begun anew */
    int64_t renewed;
    char error[256];          /* the last one; "" */
} StoreCounts;

typedef struct Store Store;

/* ERR_INVALID: the file is something else, or of a later version; ERR_IO: it cannot be made. */
int store_open(const char *path, const StoreOptions *opt, Store **out, Error *e);
/* Ends and writes what is open; `waiting` in its counts is then what no disk took. */
void store_finish(Store *s);
/* As that, and frees it. NULL is allowed. */
void store_close(Store *s);
/* `reading`: of the events that judged the sample (events_readings), one a signal. Samples of one
 * stream come in order. */
void store_sample(Store *s, const Watch *w, const Sample *sample, const Reading *reading);
void store_record(Store *s, const EventRecord *r);
/* The stream is over: its spans end, its facts go. */
void store_stream_end(Store *s, const char *stream);
/* Returns when all that came until now is written. */
void store_flush(Store *s);
StoreCounts store_counts(Store *s);

/* ---- search ---- */

/* Words, all of which must be there, in any order, as words or parts of words of at least three
 * letters; "in quotes": a phrase; and
 *
 *     stream:NAME watch:NAME signal:NAME kind:text|screen|object|event       * is a wild card at the end
 *     since:10m  until:1h           by when it was seen, back from now
 *     alive<20  score>=3            facets: streams whose facts are so now (< <= > >= =)
 *
 * Without words: the newest. Best matches first, then the newest. */
typedef struct StoreHit {
    int64_t id;
    const char *kind, *stream, *watch, *signal; /* signal: of an event its name */
    const char *text, *snippet; /* snippet: with what matched between [ ] */
    int64_t wall;               /* when it began, us since 1970 */
    int epoch;
    int64_t t_start, t_end;     /* media time of its epoch, us */
    int samples;
    double confidence, score;   /* score: of the match, higher is better */
    Box box;                    /* width 0: none */
    const char *record;         /* of an event: its line of JSON; else NULL */
} StoreHit;

typedef struct StoreSearch StoreSearch;

/* Opens a file to read. ERR_IO: it is not there; ERR_INVALID: it is no store, or no file at all (a
 * FIFO, a folder). */
int store_search_open(const char *path, StoreSearch **out, Error *e);
void store_search_close(StoreSearch *s);
/* From one thread at a time. ERR_INVALID: the query is malformed, with what was wrong. */
int store_search(StoreSearch *s, Arena *a, const char *query, int limit, StoreHit **out, int *n,
                 Error *e);

#endif
