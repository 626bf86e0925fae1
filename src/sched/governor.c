/* Grants by credit and window, and what a period teaches. */
#include "sched/governor.h"

#include <math.h>

#define MOST_FALL 0.5  /* of factor and window, in a period */
#define MOST_SLOPE 0.5 /* credits for each sample under way: where few are, one is no reason to pass over who has less */
#define OVER 0.98      /* a factor from there on is 1 */
#define STEP 0.25      /* of the way that the factor goes to what was granted .. */
#define LESS 0.05      /* .. less this for each credit of theirs on the average: they were granted less than given */
#define ROOM 0.97      /* of the workers' time: they had some left */
#define GROWTH 1.05    /* of the window */
#define NEAR_FULL 0.75 /* of it, else it was not too small */
#define CLEAN 0.01     /* samples that are late are work in vain, and nobody's credit: less of them than make an overload */
#define LEAST_WINDOW 2.0

Governor governor_new(int64_t now) { return (Governor){.factor = 1, .since = now}; }

void governor_report(Governor *g, bool late)
{
    g->done++;
    g->late += late;
}

/* What a stream is given each time; `most`: its credit does not rise beyond that. */
static void give(Governor *g, GovernorShare *s, double most)
{
    g->asked++;
    g->credits += fmin(s->credit, GOVERNOR_CREDIT);
    s->credit = fmax(s->credit, fmin(s->credit + g->factor, most)); /* what was saved for dear ones is kept */
}

void governor_miss(Governor *g, GovernorShare *s)
{
    if (g->factor < 1)
        give(g, s, GOVERNOR_CREDIT);
    else
        governor_report(g, true);
}

bool governor_grants(Governor *g, GovernorShare *s, double put_off)
{
    if (g->factor >= 1)
        return true;
    const double wait = g->factor * put_off, most = GOVERNOR_CREDIT + wait;
    give(g, s, most);
    const double worth = fmin(s->credit, most); /* what was saved takes no more of the window */
    const double span = fmin(GOVERNOR_SPAN, MOST_SLOPE * g->window);
    if (worth < 1 + wait + span * ((double)g->open / g->window - 1))
        return false;
    s->credit -= 1;
    g->granted++;
    g->open += !s->open;
    g->most = g->open > g->most ? g->open : g->most;
    s->open = true;
    return true;
}

void governor_close(Governor *g, GovernorShare *s, bool used)
{
    g->open -= s->open;
    s->credit += s->open && !used ? 1 : 0;
    s->open = false;
}

/* Multiples of the golden ratio are spread evenly, however many there are. */
double governor_phase(int stream) { return fmod(stream * 0.6180339887498949, 1); }

/* What a period teaches that was not overload yet. */
static void look_for_overload(Governor *g, double late, double seconds)
{
    if (g->busy < GOVERNOR_FULL || late <= GOVERNOR_LATE)
        return;
    g->factor = fmax(1 - late, MOST_FALL);
    g->window = fmax((double)(g->done - g->late) / seconds * GOVERNOR_BEGIN, LEAST_WINDOW);
}

static void adapt(Governor *g, double late)
{
    const double asked = (double)g->asked;
    const double fits = g->asked > 0 ? ((double)g->granted - LESS * g->credits) / asked : 1;
    g->factor += STEP * (fits - g->factor);
    g->factor = g->factor > OVER ? 1 : fmax(g->factor, GOVERNOR_MIN);
    if (g->busy >= GOVERNOR_FULL && late > CLEAN)
        g->window = fmax(g->window * fmax(1 - late, MOST_FALL), LEAST_WINDOW);
    else if (g->busy < ROOM && (double)g->most > NEAR_FULL * g->window)
        g->window *= GROWTH;
}

bool governor_tick(Governor *g, int64_t now, double busy_seconds)
{
    const int64_t length = now - g->since;
    if (length < GOVERNOR_PERIOD)
        return false;
    const double before = g->factor, late = g->done > 0 ? (double)g->late / (double)g->done : 0;
    const double seconds = (double)length * 1e-6;
    g->busy = (busy_seconds - g->busy_then) / seconds;
    if (before >= 1)
        look_for_overload(g, late, seconds);
    else
        adapt(g, late);
    g->since = now;
    g->busy_then = busy_seconds;
    g->done = g->late = g->asked = g->granted = 0;
    g->credits = 0;
    g->most = g->open;
    return g->factor != before;
}
