/* Evaluates stages symbolically: a stage's body with its axes replaced by numbers, and its loads by
 * the elements they name, found in the same way, until only known elements and symbols are left.
 *
 * A select whose condition becomes constant is followed on its taken side only: so a SCAN ends at
 * its first step, and a clamped index is never looked at. */
#include "op/elements.h"

#include <string.h>

enum { MAX_WORK = 20000, MAX_DEPTH = 300 }; /* bodies evaluated; stages deep */

typedef struct Evaluation {
    Stages *s;
    int nknown;
    const Expr *const *known;
    bool failed;
    int work, depth;
} Evaluation;

/* One body: axis variables and their values, and the old states. */
typedef struct Body {
    Evaluation *e;
    int n;
    Expr from[MAX_AXES], to[MAX_AXES];
    const Expr *state;
} Body;

static Expr element(Evaluation *e, int tensor, const int64_t *index);
static Expr replace(Exprs *x, Expr node, void *arg);

static Expr eval(Body *b, Expr expr)
{
    return b->e->failed ? expr : expr_rewrite(b->e->s->x, expr, replace, b);
}

static Expr eval_load(Exprs *x, Expr node, Body *b)
{
    const ExprNode n = *expr_node(x, node);
    int64_t index[MAX_RANK];
    for (int k = 0; k < n.nargs; k++) {
        const Expr i = eval(b, expr_arg(x, node, k));
        if (!expr_is_int(x, i, &index[k])) {
            b->e->failed = true;
            return node;
        }
    }
    return element(b->e, (int)n.imm.i, index);
}

static Expr eval_select(Exprs *x, Expr node, Body *b)
{
    const Expr condition = eval(b, expr_arg(x, node, 0));
    int64_t taken;
    if (expr_is_int(x, condition, &taken))
        return eval(b, expr_arg(x, node, taken ? 1 : 2));
    const Expr yes = eval(b, expr_arg(x, node, 1)), no = eval(b, expr_arg(x, node, 2));
    return b->e->failed ? node : expr_select(x, condition, yes, no);
}

static Expr replace(Exprs *x, Expr node, void *arg)
{
    Body *b = arg;
    if (b->e->failed)
        return node;
    switch (expr_node(x, node)->op) {
    case EX_VAR:
        for (int k = 0; k < b->n; k++)
            if (b->from[k] == node)
                return b->to[k];
        return node;
    case EX_STATE:
        return b->state[expr_node(x, node)->imm.i];
    case EX_SELECT:
        return eval_select(x, node, b);
    case EX_LOAD:
        return eval_load(x, node, b);
    default:
        return 0;
    }
}

/* ---- points of a run of axes ---- */

typedef struct Points {
    int n;
    int64_t extent[MAX_AXES], at[MAX_AXES];
    bool empty;
} Points;

static Points points_of(Evaluation *e, const Axis *axes, int n)
{
    Points p = {.n = n};
    for (int k = 0; k < n; k++) {
        if (!expr_is_int(e->s->x, axes[k].extent, &p.extent[k]))
            e->failed = true;
        p.empty |= p.extent[k] <= 0;
    }
    return p;
}

static bool next_point(Points *p)
{
    for (int k = p->n - 1; k >= 0; k--) {
        if (++p->at[k] < p->extent[k])
            return true;
        p->at[k] = 0;
    }
    return false;
}

static void set_axes(Body *b, int first, const Axis *axes, int n, const int64_t *at)
{
    for (int k = 0; k < n; k++) {
        b->from[first + k] = axes[k].var;
        b->to[first + k] = expr_int(b->e->s->x, at[k]);
    }
    b->n = first + n;
}

/* Is the point in the domain? What is not known fails. */
static bool inside(Body *b, Expr where)
{
    int64_t v = 1;
    if (where && !expr_is_int(b->e->s->x, eval(b, where), &v))
        b->e->failed = true;
    return v != 0 && !b->e->failed;
}

/* ---- one element of each form ---- */

static Expr eval_reduce(Evaluation *e, const Stage *stage, int result, const int64_t *index)
{
    Body b = {.e = e};
    Expr state[MAX_RESULTS], next[MAX_RESULTS];
    set_axes(&b, 0, stage->axis, stage->naxes, index);
    for (int k = 0; k < stage->nresults; k++)
        state[k] = eval(&b, stage->init[k]);
    b.state = state;
    const Axis *axes = stage->axis + stage->naxes;
    Points p = points_of(e, axes, stage->nreduce);
    if (p.empty || e->failed)
        return state[result];
    do {
        if (++e->work > MAX_WORK)
            e->failed = true;
        set_axes(&b, stage->naxes, axes, stage->nreduce, p.at);
        if (inside(&b, stage->where)) {
            for (int k = 0; k < stage->nresults; k++)
                next[k] = eval(&b, stage->update[k]);
            memcpy(state, next, sizeof state);
        }
    } while (!e->failed && next_point(&p));
    return state[result];
}

/* The base element, then every update whose target it is, in order. */
static Expr eval_scatter(Evaluation *e, const Stage *stage, const int64_t *index)
{
    Body base = {.e = e}, b = {.e = e};
    const int rank = stage->nreduce;
    set_axes(&base, 0, stage->axis + stage->naxes, rank, index);
    Expr old = eval(&base, stage->init[0]);
    Points p = points_of(e, stage->axis, stage->naxes);
    if (p.empty || e->failed)
        return old;
    do {
        if (++e->work > MAX_WORK)
            e->failed = true;
        set_axes(&b, 0, stage->axis, stage->naxes, p.at);
        bool hit = inside(&b, stage->where);
        for (int k = 0; hit && k < rank; k++) {
            int64_t target;
            if (!expr_is_int(e->s->x, eval(&b, stage->target[k]), &target))
                e->failed = true;
            hit = !e->failed && target == index[k];
        }
        b.state = &old;
        if (hit)
            old = eval(&b, stage->update[0]);
    } while (!e->failed && next_point(&p));
    return old;
}

static Expr eval_map(Evaluation *e, const Stage *stage, DType t, const int64_t *index)
{
    Body b = {.e = e};
    set_axes(&b, 0, stage->axis, stage->naxes, index);
    if (stage->where && !inside(&b, stage->where))
        return expr_const(e->s->x, t, 0);
    return eval(&b, stage->update[0]);
}

static Expr known_element(Evaluation *e, int tensor, const int64_t *index)
{
    const StageTensor *t = &e->s->tensor.at[tensor];
    int64_t offset = 0;
    bool ok = tensor < e->nknown && e->known[tensor];
    for (int k = 0; ok && k < t->rank; k++) {
        int64_t dim;
        ok = expr_is_int(e->s->x, t->dim[k], &dim) && index[k] >= 0 && index[k] < dim;
        offset = ok ? offset * dim + index[k] : 0;
    }
    if (ok)
        return e->known[tensor][offset];
    e->failed = true;
    return 0;
}

static Expr element(Evaluation *e, int tensor, const int64_t *index)
{
    const StageTensor *t = &e->s->tensor.at[tensor];
    const DType type = dtype_compute(t->dtype);
    const int result = t->result;
    if (++e->work > MAX_WORK || e->depth >= MAX_DEPTH)
        e->failed = true;
    Expr v = 0;
    if (!e->failed && t->stage < 0) {
        v = known_element(e, tensor, index);
    } else if (!e->failed) {
        const Stage stage = e->s->stage.at[t->stage];
        e->depth++;
        v = stage.form == STAGE_REDUCE    ? eval_reduce(e, &stage, result, index)
            : stage.form == STAGE_SCATTER ? eval_scatter(e, &stage, index)
                                          : eval_map(e, &stage, type, index);
        e->depth--;
    }
    return e->failed ? expr_const(e->s->x, type, 0) : v;
}

bool elements_eval(Stages *s, int tensor, int nknown, const Expr *const *known, Expr *out)
{
    Evaluation e = {.s = s, .nknown = nknown, .known = known};
    const StageTensor t = s->tensor.at[tensor];
    Points p = {.n = t.rank};
    for (int k = 0; k < t.rank; k++) {
        if (!expr_is_int(s->x, t.dim[k], &p.extent[k]))
            return false;
        p.empty |= p.extent[k] <= 0;
    }
    if (p.empty)
        return true;
    int n = 0;
    do {
        out[n++] = element(&e, tensor, p.at);
    } while (!e.failed && next_point(&p));
    return !e.failed;
}
