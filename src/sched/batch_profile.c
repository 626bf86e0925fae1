/* How long batches take. */
#include <math.h>

#include "sched/batcher.h"

void batch_profile_add(BatchProfile *p, int n, double seconds)
{
    double *const known = &p->seconds[n];
    if (*known > 0)
        *known += (fmin(fmax(seconds, *known / 2), *known * 2) - *known) / 8;
    else
        *known = fmax(seconds, 1e-9);
}

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

int64_t batch_profile_time(const BatchProfile *p, int n)
{
    double most = 0;
    for (int i = 1; i <= n; i++)
        most = fmax(most, estimate(p, i));
    return llrint(most * 1e6);
}
