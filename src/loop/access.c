/* See access.h. */
#include "loop/access.h"

#include <string.h>

#include "loop/offset.h"

typedef struct Use {
    const Stages *s;
    const Stage *st;
    uint32_t axes;
    int tensor;     /* loads of it are counted */
    int loads;
    bool pointwise; /* so far */
    int cost;
} Use;

static void visit_axes(const Exprs *x, Expr e, void *arg)
{
    Use *u = arg;
    if (expr_node(x, e)->op != EX_VAR) {
        return;
    }
    for (int a = 0; a < u->st->naxes + u->st->nreduce; a++) {
        if (u->st->axis[a].var == e) {
            u->axes |= (uint32_t)1 << a;
        }
    }
}

static uint32_t axes_used(const Stages *s, const Stage *st, Expr e)
{
    Use u = {.s = s, .st = st};
    expr_walk(s->x, e, visit_axes, &u);
    return u.axes;
}

static bool is_load(const Exprs *x, Expr e)
{
    return expr_node(x, e)->op == EX_LOAD;
}

int load_dim_along(const Stages *s, const Stage *st, Expr load, int axis, Expr *rest)
{
    Exprs *x = s->x;
    const Expr var = st->axis[axis].var;
    if (expr_node(x, var)->op != EX_VAR) {
        return -1; /* of extent 1 */
    }
    for (int d = 0; d < expr_node(x, load)->nargs; d++) {
        Expr coef;
        int64_t one;
        if (expr_linear_in(x, expr_arg(x, load, d), (int)expr_node(x, var)->imm.i, &coef, rest) &&
            expr_is_int(x, coef, &one) && one == 1 && axes_used(s, st, *rest) >> st->naxes == 0) {
            return d;
        }
    }
    return -1;
}

#define FEW_LANES 4

/* May axis b take the place of axis a in lanes? Not if it fills few of them, and a more: the two
 * columns of a transposed convolution's phases, where there are many channels. */
static bool is_as_wide(const Stages *s, const Stage *st, int a, int b)
{
    int64_t na = 0, nb;
    return a < 0 || !expr_is_int(s->x, st->axis[b].extent, &nb) || nb >= FEW_LANES ||
           (expr_is_int(s->x, st->axis[a].extent, &na) && na <= nb);
}

/* The load of 8 or 16 bits that e widens; 0. */
static Expr narrow_load(const Exprs *x, Expr e)
{
    const Expr a =
        expr_node(x, e)->op == EX_CAST && expr_type(x, e) == DT_I32 ? expr_arg(x, e, 0) : 0;
    return a && is_load(x, a) && dtype_is_int(expr_type(x, a)) && dtype_bits(expr_type(x, a)) <= 16
               ? a
               : 0;
}

bool product_terms(const Exprs *x, Expr update, Expr *a, Expr *b, Expr *sum)
{
    if (expr_node(x, update)->op == EX_FMA) {
        *a = expr_arg(x, update, 0);
        *b = expr_arg(x, update, 1);
        *sum = expr_arg(x, update, 2);
        return is_load(x, *a) && is_load(x, *b);
    }
    for (int k = 0; k < 2 && expr_node(x, update)->op == EX_ADD && expr_type(x, update) == DT_I32;
         k++) {
        const Expr product = expr_arg(x, update, k);
        if (expr_node(x, product)->op == EX_MUL) {
            *a = narrow_load(x, expr_arg(x, product, 0));
            *b = narrow_load(x, expr_arg(x, product, 1));
            *sum = expr_arg(x, update, 1 - k);
            return *a && *b;
        }
    }
    return false;
}

bool contraction_of(const Stages *s, int stage, Contraction *out)
{
    const Exprs *x = s->x;
    const Stage *st = &s->stage.at[stage];
    if (st->form != STAGE_REDUCE || st->nresults != 1 || st->where) {
        return false;
    }
    Contraction c = {.stage = stage};
    Expr sum;
    if (!product_terms(x, st->update[0], &c.a, &c.b, &sum) || expr_node(x, sum)->op != EX_STATE) {
        return false;
    }
    const int first = (int)expr_node(x, c.a)->imm.i;
    const int second = (int)expr_node(x, c.b)->imm.i;
    if (s->tensor.at[first].role == TENSOR_CONST && s->tensor.at[second].role != TENSOR_CONST) {
        const Expr t = c.a;
        c.a = c.b;
        c.b = t;
    }
    c.a_tensor = (int)expr_node(x, c.a)->imm.i;
    c.b_tensor = (int)expr_node(x, c.b)->imm.i;
    c.in_a = axes_used(s, st, c.a);
    c.in_b = axes_used(s, st, c.b);
    c.vector_axis = -1;
    bool is_along = false;
    for (int a = 0; a < st->naxes; a++) {
        const bool a_has = c.in_a >> a & 1;
        const bool b_has = c.in_b >> a & 1;
        if (b_has && !a_has) {
            Expr rest;
            const bool along = load_dim_along(s, st, c.b, a, &rest) >= 0;
            if (!is_as_wide(s, st, c.vector_axis, a)) {
                continue;
            }
            if (along || !is_along) {
                c.vector_axis = a;
            }
            is_along |= along;
        }
        if (a_has && !b_has) {
            c.row_axes |= (uint32_t)1 << a;
        }
    }
    *out = c;
    return true;
}

bool is_axis(const Exprs *x, const Stage *st, int axis, Expr index)
{
    int64_t one, zero;
    return axis >= 0 && axis < st->naxes &&
           (index == st->axis[axis].var ||
            (expr_is_int(x, st->axis[axis].extent, &one) && one == 1 &&
             expr_is_int(x, index, &zero) && zero == 0));
}

static void visit_loads(const Exprs *x, Expr e, void *arg)
{
    Use *u = arg;
    const ExprNode *n = expr_node(x, e);
    if (n->op != EX_LOAD || n->imm.i != u->tensor) {
        return;
    }
    u->loads++;
    for (int k = 0; k < n->nargs; k++) {
        u->pointwise &= is_axis(x, u->st, k, expr_arg(x, e, k));
    }
    u->pointwise &= n->nargs == u->st->naxes;
}

bool stage_loads(const Stages *s, const Stage *st, int tensor)
{
    Use u = {.s = s, .st = st, .tensor = tensor};
    stage_walk(s, st, visit_loads, &u);
    return u.loads > 0;
}

typedef struct Latest {
    const Stages *s;
    int stage;
} Latest;

static void visit_producer(const Exprs *x, Expr e, void *arg)
{
    Latest *l = arg;
    const ExprNode *n = expr_node(x, e);
    if (n->op == EX_LOAD && l->s->tensor.at[n->imm.i].stage > l->stage) {
        l->stage = l->s->tensor.at[n->imm.i].stage;
    }
}

int last_producer(const Stages *s, const Stage *st)
{
    Latest l = {.s = s, .stage = -1};
    stage_walk(s, st, visit_producer, &l);
    return l.stage;
}

int count_readers(const Stages *s, int stage, int *reader)
{
    int n = 0;
    for (int i = 0; i < s->stage.len; i++) {
        bool reads = false;
        for (int k = 0; k < s->stage.at[stage].nresults; k++) {
            reads |= stage_loads(s, &s->stage.at[i], s->stage.at[stage].result[k]);
        }
        if (reads && i != stage) {
            n++;
            *reader = i;
        }
    }
    return n;
}

bool reads_pointwise(const Stages *s, int reader, int stage)
{
    const Stage *r = &s->stage.at[reader];
    if (r->form != STAGE_MAP) {
        return false;
    }
    Use u = {.s = s, .st = r, .pointwise = true};
    for (int k = 0; k < s->stage.at[stage].nresults; k++) {
        u.tensor = s->stage.at[stage].result[k];
        stage_walk(s, r, visit_loads, &u);
    }
    return u.loads > 0 && u.pointwise;
}

static void visit_cost(const Exprs *x, Expr e, void *arg)
{
    Use *u = arg;
    const ExprNode *n = expr_node(x, e);
    if (n->op >= EX_EXP && n->op <= EX_POW) {
        u->cost += 20;
    } else if (n->nargs > 0 && dtype_is_float((DType)n->dtype)) {
        u->cost += n->op == EX_DIV || n->op == EX_SQRT ? 4 : 1;
    }
}

int point_cost(const Stages *s, const Stage *st)
{
    Use u = {.s = s, .st = st};
    Stage point = *st; /* partial results are combined elsewhere */
    memset(point.combine, 0, sizeof point.combine);
    stage_walk(s, &point, visit_cost, &u);
    return u.cost;
}

bool load_stride(const Stages *s, Expr load, Expr var, int64_t *stride)
{
    Exprs *x = s->x;
    const ExprNode n = *expr_node(x, load);
    const StageTensor *t = &s->tensor.at[n.imm.i];
    LoopBuffer b = {.rank = t->rank, .layout = t->layout, .part = t->part};
    Expr index[MAX_RANK];
    for (int k = 0; k < t->rank; k++) {
        b.dim[k] = t->dim[k];
        index[k] = expr_arg(x, load, k);
    }
    const Expr offset = buffer_offset(x, &b, index);
    Expr coef, rest;
    if (!expr_linear_in(x, offset, (int)expr_node(x, var)->imm.i, &coef, &rest)) {
        return false;
    }
    return expr_is_int(x, coef, stride);
}

typedef struct LoadList {
    Arena *arena;
    VEC(Expr) load;
} LoadList;

static void collect_load(const Exprs *x, Expr e, void *arg)
{
    LoadList *l = arg;
    if (expr_node(x, e)->op == EX_LOAD) {
        vec_push(l->arena, &l->load, e);
    }
}

/* Of all updates; collected before they are looked at, as strides build terms in the pool. */
static LoadList loads_of(const Stages *s, const Stage *st)
{
    LoadList l = {.arena = s->ctx->arena};
    for (int k = 0; k < st->nresults; k++) {
        expr_walk(s->x, st->update[k], collect_load, &l);
    }
    return l;
}

bool reduction_is_contiguous(const Stages *s, int stage)
{
    const Stage *st = &s->stage.at[stage];
    const Expr var = st->axis[st->naxes + st->nreduce - 1].var;
    const LoadList l = loads_of(s, st);
    bool contiguous = false;
    for (int k = 0; k < l.load.len; k++) {
        int64_t stride;
        if (!load_stride(s, l.load.at[k], var, &stride) || stride < 0 || stride > 1) {
            return false;
        }
        contiguous |= stride == 1;
    }
    return contiguous;
}

bool loads_are_straight(const Stages *s, const Stage *st, int axis)
{
    const LoadList l = loads_of(s, st);
    int64_t stride;
    for (int k = 0; k < l.load.len; k++) {
        if (!load_stride(s, l.load.at[k], st->axis[axis].var, &stride)) {
            return false;
        }
    }
    return true;
}

Expr load_of(const Stages *s, const Stage *st, int tensor)
{
    const LoadList l = loads_of(s, st);
    Expr found = 0;
    int count = 0;
    for (int k = 0; k < l.load.len; k++) {
        if (expr_node(s->x, l.load.at[k])->imm.i == tensor) {
            count += l.load.at[k] != found;
            found = l.load.at[k];
        }
    }
    return count == 1 ? found : 0;
}

int load_dim_of(const Stages *s, const Stage *st, int tensor, Expr var)
{
    const LoadList l = loads_of(s, st);
    for (int k = 0; k < l.load.len; k++) {
        const ExprNode *n = expr_node(s->x, l.load.at[k]);
        for (int d = 0; d < n->nargs && n->imm.i == tensor; d++) {
            if (expr_arg(s->x, l.load.at[k], d) == var) {
                return d;
            }
        }
    }
    return -1;
}

#define FAR 16 /* elements: another cache line */

int load_axis_across(const Stages *s, const Stage *st, int axis)
{
    const LoadList l = loads_of(s, st);
    for (int k = 0; k < l.load.len; k++) {
        int64_t stride;
        if (!load_stride(s, l.load.at[k], st->axis[axis].var, &stride) || stride < FAR) {
            continue;
        }
        for (int a = 0; a < st->naxes; a++) {
            const bool runs = expr_node(s->x, st->axis[a].var)->op == EX_VAR; /* not of extent 1 */
            if (a != axis && runs && load_stride(s, l.load.at[k], st->axis[a].var, &stride) &&
                stride == 1) {
                return a;
            }
        }
    }
    return -1;
}
