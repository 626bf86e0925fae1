/* One line for each stream that is watched, on stderr: on a terminal refreshed in place each
 * second, else every ten seconds and when a stream's state changes.
 *
 *     cam1   up           2.0/s   p95  45 ms     12 events    skipped: 3 busy, 1 late
 *     cam2   connecting   refused: rtsp://cam2/live: opening it as video: Connection refused */
#ifndef LATHE_TOOLS_WATCH_STATUS_H
#define LATHE_TOOLS_WATCH_STATUS_H

#include "watch/engine.h"

typedef struct StatusLines {
    bool terminal;
    int lines;         /* that stand on the terminal */
    double shown;      /* when, seconds; 0: never */
    Arena *arena;      /* of `state` */
    int nstate;
    struct StatusState {
        const char *name;
        LiveState state;
    } *state;          /* as last told, without a terminal */
} StatusLines;

StatusLines status_lines_new(void);
void status_lines_free(StatusLines *s);
/* Writes what is due; `now`: seconds. */
void status_lines_show(StatusLines *s, const EngineStatus *e, double now);
/* Takes the lines off the terminal, so that something else can be written. */
void status_lines_clear(StatusLines *s);
/* At the end: a line for each stream. */
void status_lines_end(StatusLines *s, const EngineStatus *e);

#endif
