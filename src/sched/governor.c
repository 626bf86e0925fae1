/* Who is next, and what a period teaches. */
#include "sched/governor.h"

#include <math.h>
#include <stddef.h>

#define MOST_FALL 0.5  /* of the factor and of `narrow`, in a period */
#define OVER 0.98      /* a factor from there on is 1 */
#define STEP 0.5       /* of the way that the factor and the rate go to those of the period */
#define BALANCE 0.2    /* of the pot is given in a period, beside what is paid in it */
/* samples that are late are work in vain, and nobody's credit: less of them than make an
 * overload */
#define CLEAN 0.01
#define WIDER 1.1      /* `narrow`, in a period without */
#define LEAST_BUSY 0.2 /* of a share of time less than that nothing follows for all of it */
#define LEAST_WINDOW 2.0

Governor governor_new(int64_t now) { return (Governor){.factor = 1, .narrow = 1, .since = now}; }

/* Multiples of the golden ratio are spread evenly, however many there are. All credits and the pot
 * add up to nothing. */
void governor_join(Governor *g, GovernorShare *s, int number)
{
    *s = (GovernorShare){.credit = fmod(number * 0.6180339887498949, 1) - 0.5};
    g->pot -= s->credit;
}

void governor_leave(Governor *g, GovernorShare *s)
{
    governor_close(g, s, false);
    g->pot += s->credit;
    s->credit = 0;
}

void governor_report(Governor *g, bool late)
{
    g->done++;
    g->late += late;
}

/* Once for each sample that comes to be due: a stream's part of what is paid. It is the same for
 * all that ask in a period: by what is in the pot just then, who asks together with many others
 * would have less each time. What one cannot take others have. */
static void give(Governor *g, GovernorShare *s)
{
    if (s->asked)
        return;
    s->asked = true;
    g->asked++;
    g->credits += s->credit;
    const double part = fmin(g->each, GOVERNOR_CREDIT - s->credit);
    s->credit += part;
    g->pot -= part;
}

void governor_miss(Governor *g, GovernorShare *s)
{
    if (g->factor >= 1) {
        governor_report(g, true);
        return;
    }
    s->asked = false;
    give(g, s);
    s->asked = false;
}

static void unlink_share(Governor *g, GovernorShare *s)
{
    if (!s->waits)
        return;
    *(s->prev ? &s->prev->next : &g->first) = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->next = s->prev = NULL;
    s->waits = false;
}

static void wait(Governor *g, GovernorShare *s)
{
    if (s->waits)
        return;
    s->next = g->first;
    if (g->first)
        g->first->prev = s;
    g->first = s;
    s->waits = true;
}

/* Of a stream that waits, or comes to be due. */
static void open(Governor *g, GovernorShare *s)
{
    unlink_share(g, s);
    s->credit -= 1;
    g->pot += 1;
    g->granted++;
    g->open++;
    s->open = true;
    s->asked = false;
}

bool governor_ask(Governor *g, GovernorShare *s, double dear)
{
    if (g->factor >= 1 || s->open)
        return true;
    give(g, s);
    s->dear = dear;
    wait(g, s);
    return false;
}

/* Whoever is far in debt had it because nobody else asked. */
static bool may_begin(const Governor *g, const GovernorShare *s)
{
    return g->factor >= 1 || s->credit >= g->usual - GOVERNOR_DEBT;
}

GovernorShare *governor_next(Governor *g)
{
    GovernorShare *best = g->first;
    if (!best || (g->factor < 1 && (double)g->open + 1 > g->window))
        return NULL;
    best = NULL;
    for (GovernorShare *s = g->first; s; s = s->next)
        if (may_begin(g, s) && (!best || s->credit - s->dear > best->credit - best->dear))
            best = s;
    if (!best)
        return NULL; /* these are just the first to ask: others will */
    if (g->factor < 1)
        open(g, best);
    else
        governor_close(g, best, false); /* all is granted */
    return best;
}

void governor_close(Governor *g, GovernorShare *s, bool used)
{
    unlink_share(g, s);
    s->asked = false;
    if (!s->open)
        return;
    g->open--;
    s->open = false;
    if (used)
        return;
    s->credit += 1;
    g->pot -= 1;
    g->granted--;
}

void governor_withdraw(Governor *g, GovernorShare *s)
{
    const bool asked = s->asked || s->open;
    governor_close(g, s, false);
    s->asked = asked; /* it has had its part for the point, and will ask for it again */
}

/* What a period teaches that was not overload yet. */
static void look_for_overload(Governor *g, double late)
{
    if (g->busy < GOVERNOR_FULL || late <= GOVERNOR_LATE)
        return;
    g->factor = fmax(1 - late, MOST_FALL);
    g->narrow = 1;
    g->rate = 0;
    g->each = g->factor;
    g->usual = -INFINITY;
}

static void adapt(Governor *g, double late)
{
    /* one that was granted a period before may have been given back in this one */
    const double granted = (double)(g->granted > 0 ? g->granted : 0);
    const double fits = g->asked > 0 ? fmin(granted / (double)g->asked, 1) : 1;
    g->factor += STEP * (fits - g->factor);
    g->factor = g->factor > OVER ? 1 : fmax(g->factor, GOVERNOR_MIN);
    g->each = fmax(g->factor + BALANCE * g->pot / fmax((double)g->asked, 1), 0);
    g->usual = g->asked > 0 ? g->credits / (double)g->asked : -INFINITY;
    if (g->busy >= GOVERNOR_FULL && late > CLEAN)
        g->narrow *= fmax(1 - late, MOST_FALL);
    else
        g->narrow = fmin(g->narrow * WIDER, 1);
}

/* What can be done in GOVERNOR_SPAN. */
static void set_window(Governor *g, double seconds)
{
    const double rate = (double)(g->done - g->late) / seconds / fmax(fmin(g->busy, 1), LEAST_BUSY);
    g->rate = g->rate > 0 ? g->rate + STEP * (rate - g->rate) : rate;
    g->window = fmax(g->rate * GOVERNOR_SPAN * g->narrow, LEAST_WINDOW);
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
        look_for_overload(g, late);
    else
        adapt(g, late);
    if (g->factor < 1)
        set_window(g, seconds);
    g->since = now;
    g->busy_then = busy_seconds;
    g->done = g->late = g->asked = g->granted = 0;
    g->credits = 0;
    return g->factor != before;
}
