/* Memory plan: lifetimes from the steps, then greedy placement. */
#include "runtime/plan.h"

#include <assert.h>

typedef struct Uses {
    const Program *p;
    Lifetime *life;
    bool *read_first; /* the first use reads: in a loop, the value came from the iteration before */
} Uses;

static void use(Uses *u, int step, int buffer, bool read)
{
    for (;;) {
        Lifetime *l = &u->life[buffer];
        if (l->last < 0) {
            l->first = step;
            u->read_first[buffer] = read;
        }
        l->last = step;
        if (u->p->buffer[buffer].kind != BUF_VIEW)
            return;
        buffer = u->p->buffer[buffer].parent;
    }
}

static void step_uses(Uses *u, int i)
{
    const ProgramStep *s = &u->p->step[i];
    const int32_t *a = u->p->arg + s->arg;
    switch (s->code) {
    case PSTEP_KERNEL: {
        const KernelStep k = program_kernel_step(u->p, s);
        for (int b = 0; b < k.nread + k.nwrite; b++)
            use(u, i, k.buffer[b], b < k.nread);
        break;
    }
    case PSTEP_EXTERN: {
        const ExternStep e = program_extern_step(u->p, s);
        for (int b = 0; b < e.nin; b++)
            if (e.in[b] >= 0)
                use(u, i, e.in[b], true);
        for (int b = 0; b < e.nout; b++)
            if (e.out[b] >= 0)
                use(u, i, e.out[b], false);
        break;
    }
    case PSTEP_READ:
        use(u, i, a[1], true);
        break;
    case PSTEP_WRITE:
        use(u, i, a[0], false);
        break;
    case PSTEP_COPY:
        use(u, i, a[2], true);
        use(u, i, a[0], a[1] >= 0); /* a part only: the rest must survive */
        break;
    default:
        break;
    }
}

Lifetime *plan_lifetimes(Arena *a, const Program *p)
{
    Uses u = {p, arena_array_of(a, p->nbuffer, Lifetime), arena_array_of(a, p->nbuffer, bool)};
    for (int b = 0; b < p->nbuffer; b++)
        u.life[b].last = -1;
    for (int i = 0; i < p->nstep; i++)
        step_uses(&u, i);
    /* A loop is [to, from]. What crosses its border, or the border between two iterations, lives through all of it.
     * Inner loops may widen what outer ones see, so repeat until nothing changes. */
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < p->nstep; i++) {
            const ProgramStep *s = &p->step[i];
            const int to = s->code == PSTEP_JUMP     ? p->arg[s->arg]
                           : s->code == PSTEP_BRANCH ? p->arg[s->arg + 1]
                                                     : i + 1;
            if (to > i)
                continue;
            for (int b = 0; b < p->nbuffer; b++) {
                Lifetime *l = &u.life[b];
                if (l->last < to || l->first > i)
                    continue;
                const bool inside = l->first >= to && l->last <= i;
                if (inside && !u.read_first[b])
                    continue;
                if (l->first > to || l->last < i) {
                    l->first = l->first < to ? l->first : to;
                    l->last = l->last > i ? l->last : i;
                    changed = true;
                }
            }
        }
    }
    return u.life;
}

/* order[0..n) by size, largest first; equal sizes by id, so that a plan is reproducible. */
static void sort_by_size(int32_t *order, int n, const int64_t *bytes)
{
    for (int gap = n / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
        for (int i = gap; i < n; i++) {
            const int32_t b = order[i];
            int k = i;
            for (; k >= gap; k -= gap) {
                const int32_t o = order[k - gap];
                if (bytes[o] > bytes[b] || (bytes[o] == bytes[b] && o < b))
                    break;
                order[k] = o;
            }
            order[k] = b;
        }
    }
}

static int64_t align_up(int64_t n)
{
    return (n + PLAN_ALIGN - 1) & ~(int64_t)(PLAN_ALIGN - 1);
}

/* The lowest place for b among those placed, which are sorted by offset. */
static int64_t find_place(const Lifetime *life, const int64_t *bytes, const int64_t *offset,
                          const int32_t *placed, int nplaced, int b)
{
    int64_t at = 0;
    for (int i = 0; i < nplaced; i++) {
        const int o = placed[i];
        if (life[o].last < life[b].first || life[o].first > life[b].last)
            continue;
        if (offset[o] >= at + bytes[b])
            break;
        const int64_t end = align_up(offset[o] + bytes[o]);
        at = end > at ? end : at;
    }
    return at;
}

int64_t plan_place(const Program *p, const Lifetime *life, const int64_t *bytes, int32_t *scratch,
                   int64_t *offset, int64_t *naive)
{
    int n = 0;
    *naive = 0;
    for (int b = 0; b < p->nbuffer; b++) {
        offset[b] = -1;
        if (p->buffer[b].kind != BUF_TEMP || life[b].last < 0)
            continue;
        scratch[n++] = b;
        *naive += align_up(bytes[b]);
    }
    sort_by_size(scratch, n, bytes);
    /* The sorted list turns, in place, into the list of placed buffers by offset. */
    int64_t total = 0;
    for (int i = 0; i < n; i++) {
        const int32_t b = scratch[i];
        offset[b] = find_place(life, bytes, offset, scratch, i, b);
        const int64_t end = align_up(offset[b] + bytes[b]);
        total = end > total ? end : total;
        int k = i;
        for (; k > 0 && offset[scratch[k - 1]] > offset[b]; k--)
            scratch[k] = scratch[k - 1];
        scratch[k] = b;
    }
    return total;
}
