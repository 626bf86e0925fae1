/* Greedy: the best moment, then the best of what is left. */
#include "watch/highlight.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static double height(int n, const Moment *m, int64_t t)
{
    double h = 0;
    for (int i = 0; i < n; i++)
        h += m[i].weight * exp(-fabs((double)(t - m[i].t_start)) / HIGHLIGHT_NEAR);
    return h;
}

static int64_t start_of(const Moment *m) { return m->t_start > m->pre ? m->t_start - m->pre : 0; }
static int64_t end_of(const Moment *m)
{
    return (m->t_end > m->t_start ? m->t_end : m->t_start) + m->post;
}

/* The part of one moment, and of all that begin in it. */
static Highlight grow(int n, const Moment *m, int first, int64_t max_length, bool *taken)
{
    Highlight h = {.from = start_of(&m[first]),
                   .to = end_of(&m[first]),
                   .at = m[first].t_start,
                   .event = m[first].event};
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < n; i++) {
            if (taken[i] || start_of(&m[i]) > h.to || end_of(&m[i]) < h.from)
                continue;
            const int64_t from = start_of(&m[i]) < h.from ? start_of(&m[i]) : h.from;
            const int64_t to = end_of(&m[i]) > h.to ? end_of(&m[i]) : h.to;
            if (i != first && to - from > max_length)
                continue;
            h.from = from;
            h.to = to;
            taken[i] = more = true;
            h.n++;
        }
    }
    h.to = h.to - h.from > max_length ? h.from + max_length : h.to;
    return h;
}

/* What others already show of it does not count: parts of different highlights do not overlap. */
static bool trim(Highlight *h, int n, const Highlight *before)
{
    for (int i = 0; i < n; i++) {
        if (before[i].from >= h->to || before[i].to <= h->from)
            continue;
        if (before[i].from <= h->from)
            h->from = before[i].to;
        else
            h->to = before[i].from;
    }
    return h->from < h->to;
}

int highlights(Arena *a, int n, const Moment *moment, int top, int64_t max_length,
               const Highlight **out)
{
    bool *const taken = arena_array_of(a, n + 1, bool);
    double *const score = arena_array_of(a, n + 1, double);
    Highlight *const all = arena_array_of(a, (top < n ? top : n) + 1, Highlight);
    int found = 0;
    for (int i = 0; i < n; i++)
        score[i] = height(n, moment, moment[i].t_start);
    *out = all;
    while (found < top) {
        int best = -1;
        for (int i = 0; i < n; i++)
            if (!taken[i] && (best < 0 || score[i] > score[best]))
                best = i;
        if (best < 0 || !(score[best] > 0))
            return found;
        Highlight h = grow(n, moment, best, max_length, taken);
        h.score = score[best];
        for (int i = 0; i < n; i++)
            score[i] *= strcmp(moment[i].event, h.event) == 0 ? 0.5 : 1;
        if (trim(&h, found, all))
            all[found++] = h;
    }
    return found;
}
