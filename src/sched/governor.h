/* How much of what is asked for can be done: one factor for the rates of all streams, so that overload lowers them evenly.
 *
 * Told of each piece of work whether it was in time, it lowers the factor while too many are not, and raises it again, slowly,
 * while all are and workers have time left. The factor is never above 1 nor below GOVERNOR_MIN. */
#ifndef LATHE_SCHED_GOVERNOR_H
#define LATHE_SCHED_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#define GOVERNOR_MIN 0.01

typedef struct Governor {
    double factor;
    int64_t since;      /* of the period that is counted now, us */
    int64_t done, late;
    double busy;        /* share of the workers' time, of the last period */
} Governor;

Governor governor_new(int64_t now);
/* One sample was finished (late: after its deadline, or given up). */
void governor_report(Governor *g, bool late);
/* Called now and then, with the workers' busy seconds so far per worker: moves the factor at the end of a period. True: it changed. */
bool governor_tick(Governor *g, int64_t now, double busy_seconds);

#endif
