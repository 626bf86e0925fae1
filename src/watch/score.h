/* How well do events fit the truth? For `lathe watch test`.
 *
 * The truth is a file of lines {"event": "kill", "key": null, "t_start": 12.5, "t_end": 13.1,
 * "value": 3}, times in seconds of media time; key, t_end and value may be absent. An event found
 * fits one of the truth with the same name and key whose start is at most `tolerance` away, each
 * fits one, the nearest first. With a value in the truth the event's first datum must equal it.
 * Events of which the truth never speaks, by name, are not judged, but counted by themselves; of a
 * truth without any event all are judged: it says that nothing happens. */
#ifndef LATHE_WATCH_SCORE_H
#define LATHE_WATCH_SCORE_H

#include "base/map.h"
#include "base/vec.h"
#include "watch/event.h"

typedef struct ScoreEvent {
    const char *event, *key, *value; /* key, value: NULL for none; numbers as shortest decimals */
    double start, end;               /* seconds; end: NAN where it is not known */
} ScoreEvent;

typedef struct ScoreRow { /* of one event's name */
    const char *event;
    int truth, found, matched;
    /* seconds: mean, greatest; mean of those that have ends */
    double start_error, max_start_error, end_error;
    int nend;
} ScoreRow;

typedef struct Score {
    int nrow;
    ScoreRow *row;
    ScoreRow all;
    int nmissed, nextra;
    const ScoreEvent **missed, **extra; /* in order of time */
    int nother;
    ScoreRow *other; /* what is not judged: names, and how many were found */
} Score;

typedef struct ScoreList {
    Arena *arena;
    VEC(ScoreEvent) event;
    IntMap open; /* id of an event -> its place in `event` */
} ScoreList;
ScoreList score_list(Arena *a);

/* A record of the engine: starts and points are added, ends complete theirs. */
void score_add_record(ScoreList *l, const EventRecord *r);
int score_read(ScoreList *l, const char *path, Error *e);
Score score_events(Arena *a, const ScoreList *truth, const ScoreList *found, double tolerance);
double score_precision(const ScoreRow *r); /* 1 where nothing was found */
double score_recall(const ScoreRow *r);    /* 1 where there is nothing to find */

#endif
