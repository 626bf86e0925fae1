/* What is to be learnt, as people write it: options of a command, or a file of many.
 *
 *     refs/skull.png: {over: 12s..20s, box: [876, 431, 40, 40], absent: 30s..40s}
 *     refs/lobby.png: {at: 1:02.5, screen: true}
 *     refs/arrow.png: {at: 15s, box: [100, 520, 24, 24], signal: player}        with a watch that has one
 *
 * A time is seconds (12.5), a duration (12.5s, 2m) or a clock (1:02.5); a span two of them. With
 * a signal of a watch its region, method and size are taken, and where `to` is not said the name
 * is what the signal reads: of refs/skull*.png the first of skull1.png, skull2.png .. that is
 * not there. */
#ifndef LATHE_WATCH_LEARN_LIST_H
#define LATHE_WATCH_LEARN_LIST_H

#include "watch/learn.h"

typedef struct LearnAsk { /* texts; NULL: not said */
    const char *name;     /* for messages */
    const char *to;
    const char *at, *over;       /* one of both */
    const char *box;             /* "x,y,width,height"; the whole picture, or the signal's region */
    const char *region;          /* likewise; the box and LEARN_AROUND */
    const char *absent;          /* "30s..40s,50s..60s" */
    const char *signal, *label;  /* label: of a screen's classes */
    bool screen;
} LearnAsk;

/* In the order of the file; names are relative to it. Fails the job. */
const LearnAsk *learn_list_read(Context *ctx, const char *path, int *n);
/* w: read by config_read_names; NULL: there is none. Fails the job: what is missing, contradicts
 * itself, or is no signal that compares with pictures. */
const LearnItem *learn_plan(Context *ctx, const Watch *w, int width, int height, int n,
                            const LearnAsk *ask);

#endif
