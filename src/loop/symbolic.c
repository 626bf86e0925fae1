/* Evaluation of stages on expressions: elements of inputs are known as expressions (of the same
 * pool, over symbols), and so become those of the results. That carries shapes that a model
 * computes (Shape, Gather, Concat, Reshape...) through any op by nothing but its definition.
 *
 * An element is its stage's value with the axes replaced by numbers and every load by the element
 * loaded; reductions are unrolled. What cannot be resolved stays a load, which may yet vanish: a
 * select with a constant condition takes one side only. If one is left at the end, the element is
 * not known. */
#include "loop/oracle.h"

#define WORK_MAX 20000 /* elements and points of reductions */
#define DEPTH_MAX 500

typedef struct Symbolic {
    Stages *s;
    int nknown;
    const Expr *const *known;
    IntMap *done; /* by tensor: row-major index -> place in value; -1: under way */
    VEC(Expr) value;
    int work, depth;
} Symbolic;

static Expr element(Symbolic *y, int tensor, const int64_t *index);

/* ---- expressions at a point ---- */
typedef struct At {
    Symbolic *y;
    const Expr *state;
} At;

static Expr resolve_load(Exprs *x, Expr e, At *at);

static Expr resolve(Exprs *x, Expr e, void *arg)
{
    At *const at = arg;
    const ExprNode n = *expr_node(x, e);
    if (n.op == EX_LOAD)
        return resolve_load(x, e, at);
    if (n.op == EX_STATE)
        return at->state ? at->state[n.imm.i] : 0;
    if (n.op != EX_SELECT)
        return 0;
    const Expr c = expr_rewrite(x, expr_arg(x, e, 0), resolve, arg);
    int64_t taken;
    if (!expr_is_int(x, c, &taken))
        return 0;
    return expr_rewrite(x, expr_arg(x, e, taken ? 1 : 2), resolve, arg);
}

static Expr resolve_load(Exprs *x, Expr e, At *at)
{
    const ExprNode n = *expr_node(x, e);
    int64_t index[MAX_RANK];
    if (n.nargs > MAX_RANK)
        return e;
    for (int i = 0; i < n.nargs; i++)
        if (!expr_is_int(x, expr_rewrite(x, expr_arg(x, e, i), resolve, at), &index[i]))
            return e;
    const Expr v = element(at->y, (int)n.imm.i, index);
    return v ? v : e;
}

/* e with its axes at `point`; 0 if it cannot be resolved. */
static Expr value_at(Symbolic *y, Expr e, const Axis *axis, int naxes, const int64_t *point,
                     const Expr *state)
{
    Exprs *const x = y->s->x;
    Expr from[MAX_AXES], to[MAX_AXES];
    for (int i = 0; i < naxes; i++) {
        from[i] = axis[i].var;
        to[i] = expr_int(x, point[i]);
    }
    At at = {.y = y, .state = state};
    const Expr r = expr_rewrite(x, expr_subst(x, e, naxes, from, to), resolve, &at);
    return expr_node(x, r)->varies ? 0 : r;
}

/* Is the point inside? -1: not known. */
static int inside(Symbolic *y, const Stage *st, int naxes, const int64_t *point)
{
    int64_t c;
    if (!st->where)
        return 1;
    const Expr e = value_at(y, st->where, st->axis, naxes, point, NULL);
    return e && expr_is_int(y->s->x, e, &c) ? c != 0 : -1;
}

/* ---- the forms ---- */
static bool constant_extents(const Exprs *x, const Axis *axis, int n, int64_t *extent,
                             int64_t *count)
{
    *count = 1;
    for (int i = 0; i < n; i++)
        if (!expr_is_int(x, axis[i].extent, &extent[i]) ||
            __builtin_mul_overflow(*count, extent[i] > 0 ? extent[i] : 0, count))
            return false;
    return true;
}

static void coordinates(int64_t at, const int64_t *extent, int n, int64_t *point)
{
    for (int i = n - 1; i >= 0; i--) {
        point[i] = at % extent[i];
        at /= extent[i];
    }
}

static Expr map_element(Symbolic *y, const Stage *st, int k, const int64_t *index)
{
    Exprs *const x = y->s->x;
    const int in = inside(y, st, st->naxes, index);
    if (in == 0)
        return expr_const(x, expr_type(x, st->update[k]), 0);
    return in < 0 ? 0 : value_at(y, st->update[k], st->axis, st->naxes, index, NULL);
}

static Expr reduce_element(Symbolic *y, const Stage *st, int k, const int64_t *index)
{
    const int all = st->naxes + st->nreduce;
    int64_t extent[MAX_AXES], point[MAX_AXES], count;
    Expr state[MAX_RESULTS], next[MAX_RESULTS];
    if (!constant_extents(y->s->x, st->axis + st->naxes, st->nreduce, extent, &count) ||
        count > WORK_MAX - y->work)
        return 0;
    y->work += (int)count;
    for (int i = 0; i < st->naxes; i++)
        point[i] = index[i];
    for (int i = 0; i < st->nresults; i++)
        if (!(state[i] = value_at(y, st->init[i], st->axis, st->naxes, point, NULL)))
            return 0;
    for (int64_t p = 0; p < count; p++) {
        coordinates(p, extent, st->nreduce, point + st->naxes);
        const int in = inside(y, st, all, point);
        if (in < 0)
            return 0;
        for (int i = 0; i < st->nresults && in; i++)
            if (!(next[i] = value_at(y, st->update[i], st->axis, all, point, state)))
                return 0;
        for (int i = 0; i < st->nresults && in; i++)
            state[i] = next[i];
    }
    return state[k];
}

/* Is `point`'s target this element? -1: not known. */
static int targets(Symbolic *y, const Stage *st, const int64_t *point, const int64_t *index)
{
    for (int i = 0; i < st->nreduce; i++) {
        int64_t t;
        const Expr e = value_at(y, st->target[i], st->axis, st->naxes, point, NULL);
        if (!e || !expr_is_int(y->s->x, e, &t))
            return -1;
        if (t != index[i])
            return 0;
    }
    return 1;
}

static Expr scatter_element(Symbolic *y, const Stage *st, const int64_t *index)
{
    int64_t extent[MAX_AXES], point[MAX_AXES], count;
    if (!constant_extents(y->s->x, st->axis, st->naxes, extent, &count) ||
        count > WORK_MAX - y->work)
        return 0;
    y->work += (int)count;
    Expr v = value_at(y, st->init[0], st->axis + st->naxes, st->nreduce, index, NULL);
    for (int64_t p = 0; p < count && v; p++) {
        coordinates(p, extent, st->naxes, point);
        const int in = inside(y, st, st->naxes, point);
        const int hit = in > 0 ? targets(y, st, point, index) : in;
        if (hit < 0)
            return 0;
        if (hit)
            v = value_at(y, st->update[0], st->axis, st->naxes, point, &v);
    }
    return v;
}

static Expr compute(Symbolic *y, const StageTensor *t, const int64_t *index)
{
    const Stage st = y->s->stage.at[t->stage];
    if (st.form == STAGE_REDUCE)
        return reduce_element(y, &st, t->result, index);
    return st.form == STAGE_SCATTER ? scatter_element(y, &st, index)
                                    : map_element(y, &st, t->result, index);
}

/* As it comes back from memory: 0 where a type rounds and the value is no constant. */
static Expr stored(Exprs *x, DType t, Expr e)
{
    double v;
    if (!e || dtype_compute(t) == t)
        return e;
    if (!expr_is_const(x, e, &v))
        return 0;
    uint8_t room[8] = {0};
    if (dtype_is_float(t))
        dtype_write(t, room, v, false);
    else
        dtype_write_int(t, room, (int64_t)v);
    return expr_const(x, dtype_compute(t), dtype_read(t, room));
}

static Expr element(Symbolic *y, int tensor, const int64_t *index)
{
    Exprs *const x = y->s->x;
    const StageTensor t = y->s->tensor.at[tensor];
    int64_t at = 0;
    for (int i = 0; i < t.rank; i++) {
        int64_t dim = INT64_MAX; /* a symbolic dim can only be the first */
        if (index[i] < 0 || (!expr_is_int(x, t.dim[i], &dim) && i > 0) || index[i] >= dim)
            return 0;
        at = i ? at * dim + index[i] : index[i];
    }
    if (t.stage < 0) {
        const bool known = tensor < y->nknown && y->known[tensor];
        return known ? expr_cast(x, dtype_compute(t.dtype), y->known[tensor][at]) : 0;
    }
    const int place = intmap_get(&y->done[tensor], (uint64_t)at, -2);
    if (place != -2)
        return place < 0 ? 0 : y->value.at[place];
    if (++y->work > WORK_MAX || y->depth == DEPTH_MAX)
        return 0;
    intmap_put(&y->done[tensor], (uint64_t)at, -1);
    y->depth++;
    const Expr e = stored(x, t.dtype, compute(y, &t, index));
    y->depth--;
    vec_push(y->s->ctx->arena, &y->value, e);
    intmap_put(&y->done[tensor], (uint64_t)at, y->value.len - 1);
    return e;
}

bool stages_eval_symbolic(Stages *s, int tensor, int nknown, const Expr *const *known, Expr *out)
{
    Symbolic y = {.s = s, .nknown = nknown, .known = known};
    const StageTensor t = s->tensor.at[tensor];
    int64_t dim[MAX_RANK], index[MAX_RANK], count = 1;
    for (int i = 0; i < t.rank; i++)
        if (!expr_is_int(s->x, t.dim[i], &dim[i]) ||
            __builtin_mul_overflow(count, dim[i] > 0 ? dim[i] : 0, &count))
            return false;
    if (count > WORK_MAX)
        return false;
    y.done = arena_array_of(s->ctx->arena, s->tensor.len + 1, IntMap);
    for (int i = 0; i < s->tensor.len; i++)
        y.done[i] = intmap_new(s->ctx->arena);
    for (int64_t k = 0; k < count; k++) {
        coordinates(k, dim, t.rank, index);
        out[k] = element(&y, tensor, index);
        if (out[k] == 0)
            return false;
    }
    return true;
}
