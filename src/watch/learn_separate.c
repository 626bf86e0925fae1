/* One pass over sorted scores. */
#include "watch/learn_separate.h"

#include <math.h>
#include <stdlib.h>

#include "base/vec.h"

static int by_score(const void *x, const void *y)
{
    const float a = *(const float *)x, b = *(const float *)y;
    return (a > b) - (a < b);
}

static void add_score(ScoreRange *r, const SampleScore *s)
{
    if (r->n == 0 || s->score < r->least) {
        r->least = s->score;
        r->least_at = s->t;
    }
    if (r->n == 0 || s->score > r->best) {
        r->best = s->score;
        r->best_at = s->t;
    }
    r->n++;
}

/* The widest gap between neighbours among `low`, `high` and the sorted scores between them. */
static void widest(int n, const float *sorted, float low, float high, Separation *out)
{
    float before = low;
    for (int i = 0; i <= n; i++) {
        const float next = i < n ? fminf(high, fmaxf(low, sorted[i])) : high;
        if (next - before > out->high - out->low) {
            out->low = before;
            out->high = next;
        }
        before = next;
    }
}

static double two_decimals(float v) { return round((double)v * 100) / 100; }

static void find_runs(Arena *a, int n, const SampleScore *score, Separation *out)
{
    VEC(LearnSpan) seen = {0};
    bool within = false;
    for (int i = 0; i < n; i++) {
        const bool above = score[i].score >= out->high;
        if (score[i].shows != SHOWS_OPEN) {
            within = within && above;
            continue;
        }
        if (above && !within)
            vec_push(a, &seen, ((LearnSpan){score[i].t, score[i].t}));
        if (above)
            seen.at[seen.len - 1].to = score[i].t;
        within = above;
        add_score(above ? &out->above : &out->below, &score[i]);
    }
    out->nseen = seen.len;
    out->seen = seen.at;
}

Separation separate_scores(Arena *a, int n, const SampleScore *score)
{
    Separation out = {0};
    Arena *const tmp = arena_new();
    float *const with = arena_array_of(tmp, n + 1, float), *const open =
                                                               arena_array_of(tmp, n + 1, float);
    int nwith = 0, nopen = 0;
    for (int i = 0; i < n; i++) {
        if (score[i].shows == SHOWS_OPEN) {
            open[nopen++] = score[i].score;
            continue;
        }
        add_score(score[i].shows == SHOWS_IT ? &out.with : &out.without, &score[i]);
        if (score[i].shows == SHOWS_IT)
            with[nwith++] = score[i].score;
    }
    qsort(with, (size_t)nwith, sizeof *with, by_score);
    qsort(open, (size_t)nopen, sizeof *open, by_score);
    const float high = with[nwith / 20],
                low = fmaxf(SEPARATE_FLOOR, out.without.n > 0 ? out.without.best : -1);
    out.low = out.high = high;
    if (high > low)
        widest(nopen, open, low, high, &out);
    arena_free(tmp);
    out.parts = out.high - out.low >= SEPARATE_GAP;
    out.on = two_decimals(out.low + 0.6f * (out.high - out.low));
    out.off = two_decimals(out.low + 0.35f * (out.high - out.low));
    find_runs(a, n, score, &out);
    return out;
}
