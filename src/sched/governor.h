/* How much of what is asked for can be done: one factor for the rates of all streams, so that overload lowers them
 * evenly.
 *
 * Told of each piece of work whether it was in time, it goes by periods. Where workers have no time left
 * (GOVERNOR_FULL) and more than GOVERNOR_LATE of what is finished was late, what was not late is what can be done:
 * the factor is multiplied by that share, and what was begun before then is not counted any more. What is late
 * although workers have time is so for a reason of its own, and all others need not wait for it. Else the factor rises
 * again: while workers have time, to where they would have none, by half at most; from near where it fell last time on by a
 * percent of itself or a few a period, which finds out whether more can be done. */
#ifndef LATHE_SCHED_GOVERNOR_H
#define LATHE_SCHED_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#define GOVERNOR_MIN 0.01      /* the least factor; the most is 1 */
#define GOVERNOR_PERIOD 1000000 /* us at least, and as long as it takes to see GOVERNOR_SAMPLES, but no longer than four */
#define GOVERNOR_SAMPLES 100
#define GOVERNOR_LATE 0.03
#define GOVERNOR_SETTLE 500000 /* us after the factor fell: what ends until then was begun before */
#define GOVERNOR_FULL 0.9      /* so much of their time taken, workers have none left */

typedef struct Governor {
    double factor;
    int64_t since;      /* of the period that is counted now, us */
    int64_t done, late; /* in it; late ones are among those done */
    double ceiling;     /* the factor that was too much last time; 1: none was */
    bool settling;      /* the factor fell when it began */
    double busy_then;   /* busy seconds when it began */
    double busy;        /* share of the workers' time, of the last period */
} Governor;

Governor governor_new(int64_t now);
/* One sample was finished (late: after its deadline, or given up, or not even begun because the one before was under
 * way). */
void governor_report(Governor *g, bool late);
/* May a stream take the sample that is due? Of n that are due it may take factor * n, evenly spread. `credit` is the
 * stream's: to begin with governor_phase, so that streams of one rate do not all take theirs in the same moment.
 * put_off: 0, or the sample is dear, and cheaper ones are due within so many: a grant waits for these, as long as that. */
bool governor_grants(const Governor *g, double *credit, double put_off);
double governor_phase(int stream); /* 0 to 1 */
/* Called now and then, with the busy seconds of a worker so far (of all of them, divided by their number): moves the
 * factor at the end of a period. True: it changed. */
bool governor_tick(Governor *g, int64_t now, double busy_seconds);

#endif
