/* The loop interpreter (see interp.h).
 *
 * Values are arrays of Scalar, one a lane, in a pool that is reset with each statement; a memo by
 * expression id lives as long, because expanded math is a graph with much sharing. */
#include "loop/interp.h"

#include <assert.h>
#include <string.h>

#include "loop/intrinsic.h"

typedef struct InterpBuffer {
    uint8_t *at;
    int64_t elements; /* that may be reached */
    int64_t dim[MAX_RANK]; /* a part's: those of the whole */
    int64_t rounded[MAX_RANK], at_index[MAX_RANK];
} InterpBuffer;

typedef struct InterpMemo {
    uint32_t stamp; /* valid if it is the statement's */
    int at;         /* in the pool */
} InterpMemo;

typedef struct Interp {
    Context *ctx;
    const Loops *l;
    const Exprs *x;
    InterpBuffer *buffer; /* by buffer id */
    Scalar **reg;         /* by register id, `lanes` scalars */
    bool *reg_set;
    Scalar **var;         /* by var id; NULL: has no value yet */
    uint8_t *scratch;
    VEC(Scalar) pool;
    InterpMemo *memo;     /* by expression id */
    uint32_t stamp;
    int stmt;
} Interp;

static _Noreturn void wrong(Interp *p, const char *what, const char *name, int64_t at,
                            int64_t limit)
{
    fail(p->ctx, ERR_INTERNAL, "loops '%s', statement %d: %s '%s' at %lld of %lld", p->l->name,
         p->stmt, what, name, (long long)at, (long long)limit);
}

/* ---- memory ---- */
static Scalar read_element(const Interp *p, int id, int64_t at)
{
    const DType t = p->l->buffer.at[id].dtype;
    const uint8_t *q = p->buffer[id].at + at * dtype_size(t);
    Scalar s = {.dtype = dtype_compute(t)};
    if (dtype_is_float(t))
        s.f = dtype_read(t, q);
    else
        s.i = t == DT_BOOL ? *q != 0 : dtype_read_int(t, q);
    return s;
}

static void write_element(const Interp *p, int id, int64_t at, Scalar v)
{
    const DType t = p->l->buffer.at[id].dtype;
    uint8_t *q = p->buffer[id].at + at * dtype_size(t);
    if (dtype_is_float(t))
        dtype_write(t, q, v.f, false);
    else
        dtype_write_int(t, q, v.i);
}

static int64_t checked_offset(Interp *p, int id, int64_t at)
{
    if (at < 0 || at >= p->buffer[id].elements)
        wrong(p, "access to", p->l->buffer.at[id].name, at, p->buffer[id].elements);
    return at;
}

static int64_t logical_offset(Interp *p, int id, const int64_t *index)
{
    const LoopBuffer *b = &p->l->buffer.at[id];
    for (int k = 0; k < b->rank; k++)
        if (index[k] < 0 || index[k] >= p->buffer[id].rounded[k])
            wrong(p, "index of", b->name, index[k], p->buffer[id].rounded[k]);
    int64_t moved[MAX_RANK];
    for (int k = 0; k < b->rank; k++)
        moved[k] = index[k] + p->buffer[id].at_index[k];
    return checked_offset(p, id, layout_offset(&b->layout, b->rank, p->buffer[id].dim, moved));
}

/* ---- expressions ---- */
static int eval(Interp *p, Expr e); /* its place in the pool */

static int64_t eval_int(Interp *p, Expr e)
{
    const int at = eval(p, e); /* may move the pool */
    return p->pool.at[at].i;
}

static int take(Interp *p, int lanes)
{
    const int at = p->pool.len;
    vec_reserve(p->ctx->arena, &p->pool, lanes);
    p->pool.len += lanes;
    memset(p->pool.at + at, 0, sizeof(Scalar) * (size_t)lanes);
    return at;
}

static void eval_load(Interp *p, Expr e, const ExprNode *n, int to)
{
    const int id = (int)n->imm.i;
    if (n->op == EX_LOAD) {
        int64_t index[MAX_RANK];
        for (int k = 0; k < n->nargs; k++)
            index[k] = eval_int(p, expr_arg(p->x, e, k));
        p->pool.at[to] = read_element(p, id, logical_offset(p, id, index));
        return;
    }
    const int offset = eval(p, expr_arg(p->x, e, 0));
    if (n->op == EX_TILE) {
        const int64_t stride = eval_int(p, expr_arg(p->x, e, 1));
        const int columns = (int)(n->lanes / eval_int(p, expr_arg(p->x, e, 2)));
        for (int k = 0; k < n->lanes; k++) {
            const int64_t at = p->pool.at[offset].i + k / columns * stride + k % columns;
            p->pool.at[to + k] = read_element(p, id, checked_offset(p, id, at));
        }
        return;
    }
    const int64_t count = n->op == EX_MLOAD ? eval_int(p, expr_arg(p->x, e, 1)) : n->lanes;
    const int64_t first = n->nargs == 4 ? eval_int(p, expr_arg(p->x, e, 2)) : 0;
    const int64_t stride = n->nargs == 4 ? eval_int(p, expr_arg(p->x, e, 3)) : 1;
    for (int k = 0; k < n->lanes; k++) {
        const int64_t at =
            n->op == EX_GATHER ? p->pool.at[offset + k].i : p->pool.at[offset].i + k * stride;
        p->pool.at[to + k] = k >= first && k < count
                                 ? read_element(p, id, checked_offset(p, id, at))
                                 : (Scalar){.dtype = (DType)n->dtype};
    }
}

/* Lane k with lane k + n/2, until one is left: the order that back ends keep to. */
static void eval_reduce(Interp *p, Expr e, const ExprNode *n, int to)
{
    const ExprOp op = n->op == EX_REDUCE_ADD   ? EX_ADD
                      : n->op == EX_REDUCE_MUL ? EX_MUL
                      : n->op == EX_REDUCE_MIN ? EX_MIN
                                               : EX_MAX;
    const Expr a = expr_arg(p->x, e, 0);
    const int lanes = expr_node(p->x, a)->lanes;
    const int from = eval(p, a), copy = take(p, lanes);
    Scalar *v = p->pool.at + copy;
    memcpy(v, p->pool.at + from, sizeof *v * (size_t)lanes);
    for (int half = lanes / 2; half >= 1; half /= 2)
        for (int k = 0; k < half; k++)
            v[k] = scalar_apply(op, (DType)n->dtype, 2, (Scalar[]){v[k], v[k + half]});
    p->pool.at[to] = v[0];
}

static void eval_op(Interp *p, Expr e, const ExprNode *n, int to)
{
    enum { MAX_ARGS = 128 };
    int arg[MAX_ARGS];
    bool single[MAX_ARGS]; /* one lane for all: a scalar condition of a select */
    Scalar v[MAX_ARGS];
    assert(n->nargs <= MAX_ARGS);
    for (int k = 0; k < n->nargs; k++) {
        arg[k] = eval(p, expr_arg(p->x, e, k));
        single[k] = expr_node(p->x, expr_arg(p->x, e, k))->lanes == 1;
    }
    for (int lane = 0; lane < n->lanes; lane++) {
        for (int k = 0; k < n->nargs; k++)
            v[k] = p->pool.at[arg[k] + (single[k] || n->op == EX_BROADCAST ? 0 : lane)];
        if (n->op == EX_BROADCAST)
            p->pool.at[to + lane] =
                p->pool.at[arg[0] + lane % expr_node(p->x, expr_arg(p->x, e, 0))->lanes];
        else if (n->op == EX_RAMP)
            p->pool.at[to + lane] =
                scalar_apply(EX_ADD, v[0].dtype, 2,
                             (Scalar[]){v[0], {.dtype = v[0].dtype, .i = lane * n->imm.i}});
        else
            p->pool.at[to + lane] = scalar_apply((ExprOp)n->op, (DType)n->dtype, n->nargs, v);
    }
}

static void eval_dot(Interp *p, Expr e, const ExprNode *n, int to)
{
    int arg[3];
    for (int k = 0; k < 3; k++)
        arg[k] = eval(p, expr_arg(p->x, e, k));
    const Scalar *v = p->pool.at;
    const Intrinsic *row = intrinsic_row(n->imm.i);
    memcpy(p->pool.at + to, v + arg[2], sizeof *v * n->lanes);
    if (row->tile) {
        const int rows = p->l->reg.at[expr_node(p->x, expr_arg(p->x, e, 2))->imm.i].rows;
        const int groups = expr_node(p->x, expr_arg(p->x, e, 0))->lanes / rows / row->group;
        intrinsic_apply_tile(row, rows, n->lanes / rows, groups, v + arg[0], v + arg[1],
                             p->pool.at + to);
        return;
    }
    intrinsic_apply(row, n->lanes, v + arg[0], v + arg[1], p->pool.at + to);
}

/* Only the side that counts. */
static void eval_rare(Interp *p, Expr e, const ExprNode *n, int to)
{
    const int from = eval(p, expr_arg(p->x, e, eval_int(p, expr_arg(p->x, e, 0)) ? 1 : 2));
    memcpy(p->pool.at + to, p->pool.at + from, sizeof(Scalar) * n->lanes);
}

static void eval_leaf(Interp *p, Expr e, const ExprNode *n, int to)
{
    Scalar *v = p->pool.at + to;
    for (int k = 0; k < n->lanes; k++) {
        v[k].dtype = (DType)n->dtype;
        if (n->op == EX_INT) {
            v[k].i = n->imm.i;
        } else if (n->op == EX_FLOAT) {
            v[k].f = n->imm.f;
        } else if (n->op == EX_VAR) {
            if (!p->var[n->imm.i])
                wrong(p, "read of variable", p->x->var.at[n->imm.i].name, n->imm.i, 0);
            v[k] = p->var[n->imm.i][k];
        } else {
            assert(n->op == EX_REG);
            if (!p->reg_set[n->imm.i])
                wrong(p, "read before it is set of", "register", n->imm.i, p->l->reg.len);
            v[k] = p->reg[n->imm.i][k];
        }
    }
    (void)e;
}

static int eval(Interp *p, Expr e)
{
    if (p->memo[e].stamp == p->stamp)
        return p->memo[e].at;
    const ExprNode *n = expr_node(p->x, e);
    const int to = take(p, n->lanes);
    if (n->op == EX_LOAD || n->op == EX_VLOAD || n->op == EX_MLOAD || n->op == EX_GATHER ||
        n->op == EX_TILE)
        eval_load(p, e, n, to);
    else if (n->op == EX_RARE)
        eval_rare(p, e, n, to);
    else if (n->op == EX_DOT)
        eval_dot(p, e, n, to);
    else if (n->nargs == 0)
        eval_leaf(p, e, n, to);
    else if (n->op >= EX_REDUCE_ADD && n->op <= EX_REDUCE_MAX)
        eval_reduce(p, e, n, to);
    else
        eval_op(p, e, n, to);
    p->memo[e] = (InterpMemo){p->stamp, to};
    return to;
}

/* What was computed is void: a statement begins, or memory changed. */
static void forget(Interp *p)
{
    p->stamp++;
    p->pool.len = 0;
}

/* ---- statements ---- */
static void bind(Interp *p, Expr var, const Scalar *v)
{
    const ExprNode *n = expr_node(p->x, var);
    if (!p->var[n->imm.i])
        p->var[n->imm.i] = arena_array_of(p->ctx->arena, n->lanes, Scalar);
    memcpy(p->var[n->imm.i], v, sizeof *v * n->lanes);
}

static void bind_int(Interp *p, Expr var, int64_t v)
{
    bind(p, var, &(Scalar){.dtype = DT_I64, .i = v});
}

static void run_tile_store(Interp *p, const LoopStmt *s, int columns)
{
    const int lanes = expr_node(p->x, s->value)->lanes, value = eval(p, s->value);
    const int64_t offset = eval_int(p, s->index[0]), stride = eval_int(p, s->index[1]);
    for (int k = 0; k < lanes; k++) {
        const int64_t at = offset + k / columns * stride + k % columns;
        write_element(p, s->buffer, checked_offset(p, s->buffer, at), p->pool.at[value + k]);
    }
}

/* Columns of the tile that is stored; 0: it is none. */
static int tile_columns(const Interp *p, const LoopStmt *s)
{
    const ExprNode *n = expr_node(p->x, s->value);
    const int rows = n->op == EX_REG ? p->l->reg.at[n->imm.i].rows : 0;
    return rows ? n->lanes / rows : 0;
}

static void run_store(Interp *p, const LoopStmt *s)
{
    const int columns = tile_columns(p, s);
    if (columns) {
        run_tile_store(p, s, columns);
        return;
    }
    const int value = eval(p, s->value);
    if (!p->l->expanded) {
        int64_t index[MAX_RANK];
        for (int k = 0; k < s->nindex; k++)
            index[k] = eval_int(p, s->index[k]);
        write_element(p, s->buffer, logical_offset(p, s->buffer, index), p->pool.at[value]);
        return;
    }
    const int lanes = expr_node(p->x, s->value)->lanes;
    const bool scatter = expr_node(p->x, s->index[0])->lanes > 1;
    const int offset = eval(p, s->index[0]);
    const int64_t count = s->nindex > 1 ? eval_int(p, s->index[1]) : lanes;
    for (int k = 0; k < lanes && k < count; k++) {
        const int64_t at = scatter ? p->pool.at[offset + k].i : p->pool.at[offset].i + k;
        write_element(p, s->buffer, checked_offset(p, s->buffer, at), p->pool.at[value + k]);
    }
}

static void run_stmt(Interp *p, int id)
{
    const LoopStmt *s = &p->l->stmt.at[id];
    p->stmt = id;
    forget(p);
    switch (s->op) {
    case L_BLOCK:
        for (int k = 0; k < p->l->reg.len && s->mark == MARK_TILES; k++)
            p->reg_set[k] &= p->l->reg.at[k].rows == 0;
        for (int k = 0; k < s->child.len; k++)
            run_stmt(p, s->child.at[k]);
        break;
    case L_FOR: {
        const int64_t extent = eval_int(p, s->extent);
        for (int64_t i = 0; i < extent; i++) {
            bind_int(p, s->var, i);
            for (int k = 0; k < s->child.len; k++)
                run_stmt(p, s->child.at[k]);
        }
        break;
    }
    case L_IF:
        if (eval_int(p, s->value))
            for (int k = 0; k < s->child.len; k++)
                run_stmt(p, s->child.at[k]);
        break;
    case L_LET: {
        const int v = eval(p, s->value);
        bind(p, s->var, p->pool.at + v);
        break;
    }
    case L_STORE: run_store(p, s); break;
    case L_FETCH: break;
    case L_SET: {
        const int v = eval(p, s->value);
        memcpy(p->reg[s->buffer], p->pool.at + v,
               sizeof(Scalar) * (size_t)p->l->reg.at[s->buffer].lanes);
        p->reg_set[s->buffer] = true;
        break;
    }
    }
}

/* ---- set-up ---- */
static void set_up_buffer(Interp *p, int id, void *const *bufs, const int64_t *buf_elements)
{
    const LoopBuffer *b = &p->l->buffer.at[id];
    InterpBuffer *out = &p->buffer[id];
    for (int k = 0; k < b->rank; k++) {
        const int64_t dim = eval_int(p, b->dim[k]);
        const int64_t block = layout_is_plain(&b->layout) ? 1 : layout_block(&b->layout, k);
        out->rounded[k] = (dim + block - 1) / block * block;
        out->dim[k] = b->part.is_part ? eval_int(p, b->part.whole[k]) : dim;
        out->at_index[k] = b->part.is_part ? eval_int(p, b->part.at[k]) : 0;
    }
    const int64_t own = layout_elements(&b->layout, b->rank, out->dim);
    const int64_t bytes = own * dtype_size(b->dtype);
    if (b->scope == SCOPE_ARG && b->arg < 0) {
        out->elements = 0; /* not used */
    } else if (b->scope == SCOPE_ARG) {
        out->at = bufs[b->arg];
        out->elements = buf_elements[b->arg];
    } else if (b->scope == SCOPE_SCRATCH) {
        if (b->offset + bytes > p->l->scratch_bytes)
            wrong(p, "end in the scratch of", b->name, b->offset + bytes, p->l->scratch_bytes);
        out->at = p->scratch + b->offset;
        out->elements = own;
    } else {
        out->at = arena_alloc(p->ctx->arena, (size_t)bytes);
        out->elements = own;
    }
}

/* Nothing survives from one value of the parallel loop to the next. */
static void spoil(Interp *p)
{
    const Loops *l = p->l;
    memset(p->scratch, 0xa5, (size_t)l->scratch_bytes);
    for (int k = 0; k < l->buffer.len; k++)
        if (l->buffer.at[k].scope == SCOPE_REG)
            memset(p->buffer[k].at, 0xa5,
                   (size_t)(p->buffer[k].elements * dtype_size(l->buffer.at[k].dtype)));
    for (int k = 0; k < l->reg.len; k++)
        p->reg_set[k] = false;
}

static void run_phase(Interp *p, const LoopPhase *phase)
{
    forget(p);
    const int64_t extent = eval_int(p, phase->extent);
    for (int64_t i = 0; i < extent; i++) {
        spoil(p);
        bind_int(p, phase->par, i);
        run_stmt(p, phase->body);
    }
}

void loops_interpret(Context *ctx, const Loops *l, void *const *bufs, const int64_t *buf_elements,
                     const int64_t *syms)
{
    Arena *a = ctx->arena;
    Interp p = {.ctx = ctx, .l = l, .x = l->x, .stmt = -1};
    p.buffer = arena_array_of(a, l->buffer.len + 1, InterpBuffer);
    p.reg = arena_array_of(a, l->reg.len + 1, Scalar *);
    p.reg_set = arena_array_of(a, l->reg.len + 1, bool);
    p.var = arena_array_of(a, l->x->var.len + 1, Scalar *);
    p.memo = arena_array_of(a, l->x->node.len + 1, InterpMemo);
    p.scratch = arena_alloc_aligned(a, (size_t)l->scratch_bytes + 1, 64);
    for (int k = 0; k < l->reg.len; k++)
        p.reg[k] = arena_array_of(a, l->reg.at[k].lanes, Scalar);
    forget(&p); /* stamps begin at 1: a zeroed memo is empty */
    for (int k = 0; k < l->sym.len; k++)
        bind_int(&p, l->sym.at[k], syms[k]);
    for (int k = 0; k < l->buffer.len; k++)
        set_up_buffer(&p, k, bufs, buf_elements);
    for (int k = 0; k < l->phase.len;) {
        const LoopPhase *first = &l->phase.at[k];
        const int end = loops_group_end(l, k);
        forget(&p);
        const int64_t steps = first->step ? eval_int(&p, first->steps) : 1;
        for (int64_t t = 0; t < steps; t++) {
            if (first->step)
                bind_int(&p, first->step, t);
            for (int i = k; i < end; i++)
                run_phase(&p, &l->phase.at[i]);
        }
        k = end;
    }
}
