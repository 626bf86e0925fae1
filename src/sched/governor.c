/* The factor of all rates. Multiplying by the share that was in time comes near what can be done in one period
 * however large the overload is; the slow rise then overshoots by a percent or two at most before it is put right. */
#include "sched/governor.h"

#include <math.h>

Governor governor_new(int64_t now) { return (Governor){.factor = 1, .since = now}; }

void governor_report(Governor *g, bool late)
{
    g->done++;
    g->late += late;
}

bool governor_grants(const Governor *g, double *credit)
{
    *credit += g->factor;
    if (*credit < 1)
        return false;
    *credit -= 1;
    return true;
}

/* Multiples of the golden ratio are spread evenly, however many there are. */
double governor_phase(int stream) { return fmod(stream * 0.6180339887498949, 1); }

/* By what the factor is multiplied. */
static double change(double late, double busy)
{
    if (busy >= GOVERNOR_FULL && late > GOVERNOR_LATE)
        return fmax(1 - late, 0.1);
    if (busy >= GOVERNOR_FULL && late > GOVERNOR_LATE / 2)
        return 1; /* about right */
    return fmin(fmax(GOVERNOR_FULL / fmax(busy, 0.01), 1.01), 1.1);
}

bool governor_tick(Governor *g, int64_t now, double busy_seconds)
{
    const int64_t length = now - g->since;
    if (length < GOVERNOR_PERIOD || (g->done < GOVERNOR_SAMPLES && length < 4 * GOVERNOR_PERIOD))
        return false;
    const double before = g->factor, late = g->done > 0 ? (double)g->late / (double)g->done : 0;
    const double busy = (busy_seconds - g->busy_then) / ((double)length * 1e-6);
    const double factor = fmin(fmax(before * change(late, busy), GOVERNOR_MIN), 1);
    *g = (Governor){.factor = factor, .since = now, .busy_then = busy_seconds, .busy = busy};
    return factor != before;
}
