/* The factor of all rates. Where far too much is begun nearly all of it is late, though half might have been done: so one
 * period lowers it to a half at most, and the next one sees more clearly. */
#include "sched/governor.h"

#include <math.h>

#define MOST_FALL 0.5 /* of the factor, in a period */
#define MOST_RISE 1.5
#define NEAR 0.8 /* of the factor that was too much */
#define SLOW_RISE 0.1 /* .. from there on, where workers have nothing to do */
#define ROOM 0.8 /* of the workers' time: what is less is taken at once, the rest by small steps */

Governor governor_new(int64_t now) { return (Governor){.factor = 1, .ceiling = 1, .since = now}; }

void governor_report(Governor *g, bool late)
{
    g->done++;
    g->late += late;
}

bool governor_grants(const Governor *g, double *credit, double put_off)
{
    if (g->factor >= 1)
        return true;
    *credit += g->factor;
    if (*credit < 1 + g->factor * put_off)
        return false;
    *credit -= 1;
    return true;
}

/* Multiples of the golden ratio are spread evenly, however many there are. */
double governor_phase(int stream) { return fmod(stream * 0.6180339887498949, 1); }

/* By what the factor is multiplied. */
static double change(const Governor *g, double late, double busy)
{
    if (busy >= GOVERNOR_FULL && late > GOVERNOR_LATE)
        return fmax(1 - late, MOST_FALL);
    if (busy >= GOVERNOR_FULL && late > GOVERNOR_LATE / 2)
        return 1; /* about right */
    const double room = fmax(ROOM - busy, 0), fast = fmin(fmax(ROOM / fmax(busy, 0.01), 1.01), MOST_RISE);
    const double slow = 1.01 + SLOW_RISE * room, below = g->ceiling < 1 ? NEAR * g->ceiling / g->factor : MOST_RISE;
    return fmin(fast, fmax(slow, below));
}

static Governor next_period(const Governor *g, double factor, int64_t now, double busy_seconds, double busy)
{
    const bool fell = factor < g->factor;
    const double ceiling = fell ? g->factor : factor > g->ceiling ? 1 : g->ceiling;
    return (Governor){.factor = factor, .ceiling = ceiling, .since = now, .settling = fell, .busy_then = busy_seconds, .busy = busy};
}

bool governor_tick(Governor *g, int64_t now, double busy_seconds)
{
    const int64_t length = now - g->since;
    if (g->settling && length >= GOVERNOR_SETTLE) {
        *g = next_period(g, g->factor, now, busy_seconds, g->busy);
        return false;
    }
    const double busy = (busy_seconds - g->busy_then) / fmax((double)length * 1e-6, 1e-6);
    const bool full = busy >= GOVERNOR_FULL;
    if (length < GOVERNOR_PERIOD || (full && g->done < GOVERNOR_SAMPLES && length < 4 * GOVERNOR_PERIOD))
        return false;
    const double before = g->factor, late = g->done > 0 ? (double)g->late / (double)g->done : 0;
    *g = next_period(g, fmin(fmax(before * change(g, late, busy), GOVERNOR_MIN), 1), now, busy_seconds, busy);
    return g->factor != before;
}
