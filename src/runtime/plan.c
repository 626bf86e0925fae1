/* Memory plan: lifetimes from the steps, then greedy placement in several orders, of which the best
 * is kept and mended. */
#include "runtime/plan.h"

#include <string.h>

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

static int root_of(const Program *p, int buffer)
{
    while (p->buffer[buffer].kind == BUF_VIEW)
        buffer = p->buffer[buffer].parent;
    return buffer;
}

/* How many operands of the step are b or views of it. */
static int count_operands(const Program *p, const KernelStep *k, int b)
{
    int n = 0;
    for (int i = 0; i < k->nread + k->nwrite; i++)
        n += root_of(p, k->buffer[i]) == b;
    return n;
}

/* What a step writes first and may write in place of what it reads last, and reads nothing else of,
 * gets its home. Step by step: the other may have its place from one before. */
static void share_places(Arena *a, const Program *p, Lifetime *life)
{
    bool *gone = arena_array_of(a, p->nbuffer + 1, bool); /* another has its place */
    int32_t *last = arena_array_of(a, p->nbuffer + 1, int32_t); /* its own */
    for (int b = 0; b < p->nbuffer; b++)
        last[b] = life[b].last;
    for (int i = 0; i < p->nstep; i++) {
        if (p->step[i].code != PSTEP_KERNEL)
            continue;
        const KernelStep k = program_kernel_step(p, &p->step[i]);
        for (int w = k.nread; w < k.nread + k.nwrite; w++) {
            const int out = k.buffer[w],
                      in = p->buffer[out].kind == BUF_TEMP ? p->buffer[out].replaces : 0;
            if (in == 0 || gone[in] || life[out].first != i || last[in] != i ||
                count_operands(p, &k, in) != 1 || count_operands(p, &k, out) != 1)
                continue;
            gone[in] = true;
            life[out].home = life[in].home;
            life[life[in].home].last = last[out];
        }
    }
}

Lifetime *plan_lifetimes(Arena *a, const Program *p)
{
    Uses u = {p, arena_array_of(a, p->nbuffer, Lifetime), arena_array_of(a, p->nbuffer, bool)};
    for (int b = 0; b < p->nbuffer; b++)
        u.life[b].last = -1;
    for (int i = 0; i < p->nstep; i++)
        step_uses(&u, i);
    /* A loop is [to, from]. What crosses its border, or the border between two iterations, lives
     * through all of it. Inner loops may widen what outer ones see, so repeat until nothing
     * changes. */
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
    for (int b = 0; b < p->nbuffer; b++)
        u.life[b].home = b;
    share_places(a, p, u.life);
    return u.life;
}

/* ---- placing ---- */

typedef struct Placing {
    const Lifetime *life;
    const int64_t *bytes;
    int64_t *offset;
    int n;
    int32_t *order;  /* to be placed, first first */
    int32_t *placed; /* the same by offset */
    int32_t *best;   /* the order of the best plan so far */
    PlanSize size;
} Placing;

/* What buffers are placed by, most first. No order is best for all models: long chains of layers
 * want the largest first, branches that live long want those, and tight steps want what lives in
 * them. */
typedef enum Order { ORDER_SIZE, ORDER_AREA, ORDER_PRESSURE, ORDER_LENGTH, ORDER_COUNT } Order;

static int64_t align_up(int64_t n)
{
    return (n + PLAN_ALIGN - 1) & ~(int64_t)(PLAN_ALIGN - 1);
}

/* Bytes that live at the step where b begins. */
static int64_t live_with(const Placing *g, int b)
{
    int64_t sum = 0;
    for (int i = 0; i < g->n; i++) {
        const int o = g->order[i];
        if (g->life[o].first <= g->life[b].first && g->life[o].last >= g->life[b].first)
            sum += align_up(g->bytes[o]);
    }
    return sum;
}

static int64_t sort_key(const Placing *g, Order order, int b)
{
    const int64_t length = (int64_t)g->life[b].last - g->life[b].first + 1;
    int64_t area;
    switch (order) {
    case ORDER_AREA:
        return __builtin_mul_overflow(g->bytes[b], length, &area) ? INT64_MAX : area;
    case ORDER_PRESSURE:
        return live_with(g, b);
    case ORDER_LENGTH:
        return length;
    default:
        return g->bytes[b];
    }
}

/* By key, then size, then id, so that a plan is reproducible. */
static bool goes_before(const Placing *g, int a, int b)
{
    if (g->offset[a] != g->offset[b])
        return g->offset[a] > g->offset[b];
    return g->bytes[a] != g->bytes[b] ? g->bytes[a] > g->bytes[b] : a < b;
}

/* Sorts g->order; the keys stand in offset[] until a buffer is placed. */
static void sort_order(const Placing *g, Order order)
{
    int32_t *at = g->order;
    for (int i = 0; i < g->n; i++)
        g->offset[at[i]] = sort_key(g, order, at[i]);
    for (int gap = g->n / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
        for (int i = gap; i < g->n; i++) {
            const int32_t b = at[i];
            int k = i;
            for (; k >= gap && goes_before(g, b, at[k - gap]); k -= gap)
                at[k] = at[k - gap];
            at[k] = b;
        }
    }
}

/* A place for b among the first nplaced of g->placed: the lowest, or where `tight` the smallest gap
 * that holds it. */
static int64_t find_place(const Placing *g, int nplaced, int b, bool tight)
{
    const Lifetime *life = g->life;
    int64_t end = 0, best = -1, least = INT64_MAX;
    for (int i = 0; i < nplaced; i++) {
        const int o = g->placed[i];
        if (life[o].last < life[b].first || life[o].first > life[b].last)
            continue;
        const int64_t gap = g->offset[o] - end;
        if (gap >= g->bytes[b] && gap < least) {
            best = end;
            least = gap;
            if (!tight)
                return best;
        }
        const int64_t after = align_up(g->offset[o] + g->bytes[o]);
        end = after > end ? after : end;
    }
    return best >= 0 ? best : end;
}

static int64_t place(const Placing *g, bool tight)
{
    int64_t total = 0;
    for (int i = 0; i < g->n; i++) {
        const int32_t b = g->order[i];
        g->offset[b] = find_place(g, i, b, tight);
        const int64_t end = align_up(g->offset[b] + g->bytes[b]);
        total = end > total ? end : total;
        int k = i;
        for (; k > 0 && g->offset[g->placed[k - 1]] > g->offset[b]; k--)
            g->placed[k] = g->placed[k - 1];
        g->placed[k] = b;
    }
    return total;
}

/* Places g->order and keeps it if that is the best yet. */
static int64_t try_order(Placing *g, bool tight, bool *best_tight)
{
    const int64_t slab = place(g, tight);
    if (g->size.slab < 0 || slab < g->size.slab) {
        g->size.slab = slab;
        *best_tight = tight;
        memcpy(g->best, g->order, sizeof *g->best * (size_t)g->n);
    }
    return slab;
}

#define REPAIRS 32

/* What sticks out of the plan just made, `slab` bytes, goes first; again and again. */
static void repair(Placing *g, bool tight, int64_t slab, bool *best_tight)
{
    for (int i = 0; i < REPAIRS && g->size.slab > g->size.bound; i++) {
        int k = 0;
        while (align_up(g->offset[g->order[k]] + g->bytes[g->order[k]]) != slab)
            k++;
        const int32_t highest = g->order[k];
        memmove(g->order + 1, g->order, sizeof *g->order * (size_t)k);
        g->order[0] = highest;
        slab = try_order(g, tight, best_tight);
    }
}

PlanSize plan_place(const Program *p, const Lifetime *life, const int64_t *bytes, int32_t *scratch,
                    int64_t *offset)
{
    Placing g = {.life = life,
                 .bytes = bytes,
                 .offset = offset,
                 .order = scratch,
                 .placed = scratch + p->nbuffer,
                 .best = scratch + 2 * p->nbuffer,
                 .size.slab = -1};
    for (int b = 0; b < p->nbuffer; b++) {
        offset[b] = -1;
        if (p->buffer[b].kind != BUF_TEMP || life[b].last < 0)
            continue;
        g.size.naive += align_up(bytes[b]);
        if (life[b].home == b)
            g.order[g.n++] = b;
    }
    for (int i = 0; i < g.n; i++) {
        const int64_t live = live_with(&g, g.order[i]);
        g.size.bound = live > g.size.bound ? live : g.size.bound;
    }
    bool tight = false;
    for (int way = 0; way < 2 * ORDER_COUNT && (way == 0 || g.size.slab > g.size.bound); way++) {
        sort_order(&g, (Order)(way / 2));
        const int64_t slab = try_order(&g, way % 2 != 0, &tight);
        repair(&g, way % 2 != 0, slab, &tight);
    }
    memcpy(g.order, g.best, sizeof *g.order * (size_t)g.n);
    place(&g, tight);
    for (int b = 0; b < p->nbuffer; b++)
        offset[b] = offset[life[b].home];
    return g.size;
}
