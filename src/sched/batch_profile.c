/* How long batches take. Kept for powers of two alone: what is kept for more sizes is seen less
 * often, and of many uncertain values one is always too good to be true. */
#include <math.h>

#include "sched/batcher.h"

/* The line through two measured sizes, from `a` on. */
static double line(const BatchProfile *p, int a, int b, int n)
{
    const double from = a > 0 ? p->seconds[a] : 0; /* a batch of none takes no time */
    return from + (p->seconds[b] - from) * (n - a) / (b - a);
}

static double estimate(const BatchProfile *p, int n)
{
    int below = 0, before = 0, above = n;
    for (int i = 1; i < n; i++) {
        if (p->seconds[i] > 0) {
            before = below;
            below = i;
        }
    }
    while (above <= p->max && p->seconds[above] <= 0)
        above++;
    if (above <= p->max)
        return line(p, below, above, n);
    return below > 0 ? line(p, before, below, n) : 0;
}

static double time_of(const BatchProfile *p, int n)
{
    double most = 0;
    for (int i = 1; i <= n; i++)
        most = fmax(most, estimate(p, i));
    return most;
}

int64_t batch_profile_time(const BatchProfile *p, int n) { return llrint(time_of(p, n) * 1e6); }

void batch_profile_add(BatchProfile *p, int n, double seconds)
{
    const bool kept = (n & (n - 1)) == 0;
    if (kept && p->seconds[n] <= 0)
        p->seconds[n] = fmax(seconds, 1e-9);
    const double known = time_of(p, n);
    if (known <= 0)
        return;
    const double step = (fmin(fmax(seconds / known, 0.5), 2) - 1) / 16;
    for (int i = 1; i <= p->max; i *= 2)
        p->seconds[i] *= 1 + (2 * i > n && i < 2 * n ? step : step / 2);
}
