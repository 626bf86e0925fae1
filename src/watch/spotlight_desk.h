/* The spotlight of an engine: verdicts come from workers, choices are told from one thread.
 *
 *     streams' steps --desk_see--> verdicts that wait --desk_tick, in the order of their time--> spotlight.h --> told
 *
 * **By which clock.** Streams that play by the clock (live ones, files at their pace) compete by
 * when they were judged, in steps of DESK_STEP. Files that are read as fast as can be compete as if
 * all had begun at once: by media time, an epoch following the one before without a gap. Their
 * verdicts wait until all that are not over have come as far (who is far ahead is held back), so
 * the choices are the same whenever they are watched, on whatever machine. Both kinds at once are
 * refused.
 *
 * A seat belongs to its stream, which calls for it from one thread at a time; desk_tick and
 * desk_end: one thread, the only one that is called back. */
#ifndef LATHE_WATCH_SPOTLIGHT_DESK_H
#define LATHE_WATCH_SPOTLIGHT_DESK_H

#include "base/error.h"
#include "watch/observation.h"
#include "watch/spotlight.h"

#define DESK_STEP 100000 /* us */
#define DESK_WAITING 256 /* verdicts of one seat that wait for others: then it is ahead */

typedef struct DeskChange {
    const SpotlightChange *change;
    bool offline;         /* change->t is media time; else of the machine's clock */
    int64_t wall;         /* us since 1970; 0: offline */
} DeskChange;

typedef void (*DeskFn)(void *arg, const DeskChange *c);

typedef struct SpotlightStatus {
    int nrank;            /* streams that compete */
    const SpotlightRank *rank;
    const char *shown;    /* NULL: none */
    double seconds;       /* that it is there */
    int64_t changes;      /* so far */
} SpotlightStatus;

typedef struct Desk Desk;
typedef struct DeskSeat DeskSeat;

/* Offline streams wait for desk_begin: all that stand at the start are to begin at once. */
Desk *desk_new(DeskFn fn, void *arg);
void desk_begin(Desk *d);
/* Streams with and without a clock do not compete: ERR_INVALID. An offline one that joins later
 * begins where the others are. */
int desk_join(Desk *d, const char *stream, const SpotlightBy *by, bool offline, DeskSeat **out,
              Error *e);
/* Whether a stream could join if this seat (NULL: none) were free. */
int desk_check(Desk *d, const DeskSeat *seat, const char *stream, bool offline, Error *e);
/* So much of it waits for slower streams that it had better wait for them, too. */
bool desk_ahead(const DeskSeat *seat);
/* Another watch. */
void desk_rules(Desk *d, DeskSeat *seat, const SpotlightBy *by);
/* Of a sample at `t` of `epoch`, just judged. */
void desk_see(Desk *d, DeskSeat *seat, int epoch, int64_t t, const SpotlightVerdict *v);
/* The stream is over, or competes no more. The seat is not the caller's any more. */
void desk_leave(Desk *d, DeskSeat *seat);
/* Tells what follows from verdicts up to now. Calls back without a lock. */
void desk_tick(Desk *d);
/* What is judged from now on counts no more, and who leaves now leaves with all others. */
void desk_stop(Desk *d);
/* All have left: tells the rest, and is gone. NULL is allowed. */
void desk_end(Desk *d);
SpotlightStatus desk_status(Desk *d, Arena *a);

#endif
