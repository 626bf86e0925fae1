/* Loops: making them, and the verifier of both forms (see loops.h).
 *
 * The verifier walks each phase once, keeping the variables in scope, and looks at every node of
 * every expression: what is wrong is named by the statement and the reason, so that a defect of
 * lowering or expansion shows itself here and not as wrong numbers. */
#include "loop/loops.h"

#include <assert.h>

#include "loop/intrinsic.h"
#include "loop/vecmath.h"

Loops *loops_new(Context *ctx, Exprs *x, const char *name)
{
    Loops *l = arena_new_of(ctx->arena, Loops);
    *l = (Loops){.ctx = ctx, .x = x, .name = name};
    return l;
}

int loops_stmt(Loops *l, LoopOp op)
{
    vec_push(l->ctx->arena, &l->stmt, (LoopStmt){.op = op});
    return l->stmt.len - 1;
}

void loops_append(Loops *l, int parent, int child)
{
    assert(parent >= 0 && parent < l->stmt.len && child >= 0 && child < l->stmt.len);
    vec_push(l->ctx->arena, &l->stmt.at[parent].child, child);
}

typedef struct Verify {
    const Loops *l;
    Str *why;
    bool *in_scope; /* by var id */
    bool *seen;     /* by statement id: no statement has two parents */
    bool in_tiles;  /* inside a block marked MARK_TILES */
    int stmt;       /* being looked at */
    bool ok;
} Verify;

static void complain(Verify *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void complain(Verify *v, const char *format, ...)
{
    if (!v->ok)
        return; /* the first reason is the one that helps */
    v->ok = false;
    va_list args;
    va_start(args, format);
    const char *text = arena_vprintf(v->l->ctx->arena, format, args);
    va_end(args);
    str_addf(v->why, "loops '%s', statement %d: %s", v->l->name, v->stmt, text);
}

static bool is_expanded_only(ExprOp op)
{
    return op >= EX_RAMP && op <= EX_REDUCE_MAX;
}

static bool is_power_of_two(int n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

static bool is_index(const Exprs *x, Expr e)
{
    return expr_type(x, e) == DT_I64 && expr_node(x, e)->lanes == 1;
}

/* The buffer a load or store names, or NULL. */
static const LoopBuffer *buffer_of(Verify *v, int64_t id)
{
    const Loops *l = v->l;
    if (id < 0 || id >= l->buffer.len) {
        complain(v, "buffer %lld does not exist", (long long)id);
        return NULL;
    }
    const LoopBuffer *b = &l->buffer.at[id];
    if (b->scope == SCOPE_ARG && b->arg < 0) {
        complain(v, "buffer '%s' is no argument", b->name);
        return NULL;
    }
    if (l->expanded && b->scope == SCOPE_REG) {
        complain(v, "register buffer '%s' in the expanded form", b->name);
        return NULL;
    }
    return b;
}

static void verify_load(Verify *v, Expr e, const ExprNode *n)
{
    const Exprs *x = v->l->x;
    const LoopBuffer *b = buffer_of(v, n->imm.i);
    if (!b)
        return;
    if (n->dtype != (uint8_t)dtype_compute(b->dtype))
        complain(v, "a load of '%s' (%s) gives %s", b->name, dtype_name(b->dtype),
                 dtype_name((DType)n->dtype));
    const bool gather = n->op == EX_GATHER;
    const int want = n->op == EX_LOAD ? b->rank : n->op == EX_MLOAD ? 2 : n->op == EX_TILE ? 3 : 1;
    const bool part = n->op == EX_MLOAD && n->nargs == 4;
    for (int k = 1; k < 4 && part; k++) {
        if (!expr_is_int(x, expr_arg(x, e, k), NULL))
            complain(v, "a part of '%s' that is not known", b->name);
    }
    if (n->nargs != want && !part)
        complain(v, "a load of '%s' has %d indices, not %d", b->name, n->nargs, want);
    for (int k = 0; k < n->nargs; k++) {
        const Expr a = expr_arg(x, e, k);
        if (expr_type(x, a) != DT_I64 || expr_node(x, a)->lanes != (gather ? n->lanes : 1))
            complain(v, "an index of a load of '%s' is %s x %d", b->name,
                     dtype_name(expr_type(x, a)), expr_node(x, a)->lanes);
    }
}

/* Rows of an EX_TILE, or of a register; 0: it is none that fits the hardware. `element`: bytes in
 * memory. */
static int64_t tile_rows(const Loops *l, Expr e, int element)
{
    const ExprNode *n = expr_node(l->x, e);
    int64_t rows = 0;
    if (n->op == EX_REG && n->imm.i >= 0 && n->imm.i < l->reg.len)
        rows = l->reg.at[n->imm.i].rows;
    else if (n->op == EX_TILE && !expr_is_int(l->x, expr_arg(l->x, e, 2), &rows))
        rows = 0;
    const bool fits = rows > 0 && rows <= TILE_ROWS && n->lanes % rows == 0 &&
                      n->lanes / rows * element <= TILE_ROW_BYTES;
    return fits ? rows : 0;
}

/* sum (m, n) + a (m, k groups) . b (k, n groups) */
static void verify_tile_dot(Verify *v, Expr e, const ExprNode *n)
{
    const Loops *l = v->l;
    const Intrinsic *row = intrinsic_row(n->imm.i);
    int64_t rows[3];
    for (int k = 0; k < 3; k++) {
        const Expr arg = expr_arg(l->x, e, k);
        const ExprNode *m = expr_node(l->x, arg);
        rows[k] = tile_rows(l, arg, k == 2 ? 4 : dtype_size(row->first));
        bool ok = v->in_tiles && rows[k] > 0 && (k < 2 ? m->op == EX_TILE : m->op == EX_REG);
        ok = ok && (k == 2 || (m->imm.i >= 0 && m->imm.i < l->buffer.len &&
                               l->buffer.at[m->imm.i].dtype == (k ? row->second : row->first)));
        if (!ok) {
            complain(v, "operand %d of '%s' is no tile that fits", k, row->name);
            return;
        }
    }
    const int64_t columns = n->lanes / rows[2];
    if (n->dtype != (uint8_t)row->sum || expr_node(l->x, expr_arg(l->x, e, 2))->lanes != n->lanes ||
        rows[0] != rows[2] ||
        expr_node(l->x, expr_arg(l->x, e, 0))->lanes != rows[0] * rows[1] * row->group ||
        expr_node(l->x, expr_arg(l->x, e, 1))->lanes != rows[1] * columns * row->group)
        complain(v, "the tiles of '%s' do not fit together", row->name);
}

/* Both factors are loads of the row's types, or one group for all lanes. */
static void verify_dot(Verify *v, Expr e, const ExprNode *n)
{
    const Exprs *x = v->l->x;
    const Intrinsic *row = intrinsic_row(n->imm.i);
    for (int k = 0; k < 2; k++) {
        Expr load = expr_arg(x, e, k);
        const bool all = expr_node(x, load)->op == EX_BROADCAST;
        bool ok = expr_node(x, load)->lanes == n->lanes * row->group;
        load = all ? expr_arg(x, load, 0) : load;
        const ExprNode *m = expr_node(x, load);
        ok = ok && m->op == EX_VLOAD && m->lanes == row->group * (all ? 1 : n->lanes) &&
             m->imm.i >= 0 && m->imm.i < v->l->buffer.len &&
             v->l->buffer.at[m->imm.i].dtype == (k ? row->second : row->first);
        if (!ok)
            complain(v, "factor %d of '%s' is not loaded as it must be", k, row->name);
    }
    const Expr sum = expr_arg(x, e, 2);
    if (n->dtype != (uint8_t)row->sum || expr_type(x, sum) != row->sum ||
        expr_node(x, sum)->lanes != n->lanes)
        complain(v, "'%s' adds to %s x %d", row->name, dtype_name(expr_type(x, sum)),
                 expr_node(x, sum)->lanes);
}

static void verify_node(const Exprs *x, Expr e, void *arg)
{
    Verify *v = arg;
    const Loops *l = v->l;
    const ExprNode *n = expr_node(x, e);
    const ExprOp op = (ExprOp)n->op;
    if (op == EX_STATE || op == EX_STATE2 || op == EX_NONE)
        complain(v, "'%s' has no meaning in loops", expr_op_text(op));
    if (!l->expanded && (is_expanded_only(op) || n->lanes != 1))
        complain(v, "'%s' of %d lanes in the structured form", expr_op_text(op), n->lanes);
    if (l->expanded && (op == EX_LOAD || vecmath_is(x, e)))
        complain(v, "'%s' in the expanded form", expr_op_text(op));
    if (op == EX_LOAD || op == EX_VLOAD || op == EX_MLOAD || op == EX_GATHER || op == EX_TILE)
        verify_load(v, e, n);
    if (op == EX_VAR && !v->in_scope[n->imm.i])
        complain(v, "variable '%s' (%lld) is not in scope", x->var.at[n->imm.i].name,
                 (long long)n->imm.i);
    if (op == EX_REG) {
        if (n->imm.i < 0 || n->imm.i >= l->reg.len)
            complain(v, "register %lld does not exist", (long long)n->imm.i);
        else if (l->reg.at[n->imm.i].dtype != (DType)n->dtype ||
                 l->reg.at[n->imm.i].lanes != n->lanes)
            complain(v, "register %lld is read as %s x %d", (long long)n->imm.i,
                     dtype_name((DType)n->dtype), n->lanes);
    }
    if (op == EX_RARE && (expr_node(x, expr_arg(x, e, 0))->lanes != 1 ||
                          expr_type(x, expr_arg(x, e, 0)) != DT_BOOL))
        complain(v, "the condition of 'rare' is no scalar bool");
    if (op == EX_DOT) {
        if (intrinsic_row(n->imm.i)->tile)
            verify_tile_dot(v, e, n);
        else
            verify_dot(v, e, n);
        return;
    }
    const bool reduces = op >= EX_REDUCE_ADD && op <= EX_REDUCE_MAX;
    if (reduces && !is_power_of_two(expr_node(x, expr_arg(x, e, 0))->lanes))
        complain(v, "'%s' over a number of lanes that is no power of two", expr_op_text(op));
    if (reduces || op == EX_BROADCAST || op == EX_RAMP || op == EX_VLOAD || op == EX_MLOAD ||
        op == EX_TILE)
        return;
    for (int k = 0; k < n->nargs; k++) {
        const int lanes = expr_node(x, expr_arg(x, e, k))->lanes;
        if (lanes != n->lanes &&
            !((op == EX_SELECT || op == EX_RARE) && k == 0 && lanes == 1))
            complain(v, "'%s' of %d lanes has an operand of %d", expr_op_text(op), n->lanes, lanes);
    }
}

static void verify_expr(Verify *v, Expr e, const char *what)
{
    if (e == 0) {
        complain(v, "no %s", what);
        return;
    }
    expr_walk(v->l->x, e, verify_node, v);
}

static void verify_store(Verify *v, const LoopStmt *s)
{
    const Exprs *x = v->l->x;
    const LoopBuffer *b = buffer_of(v, s->buffer);
    if (!b || !v->ok)
        return;
    if (!b->written)
        complain(v, "a store to '%s', which is not marked written", b->name);
    if (expr_type(x, s->value) != dtype_compute(b->dtype))
        complain(v, "a store of %s to '%s' (%s)", dtype_name(expr_type(x, s->value)), b->name,
                 dtype_name(b->dtype));
    const int lanes = expr_node(x, s->value)->lanes;
    if (!v->l->expanded) {
        if (s->nindex != b->rank)
            complain(v, "a store to '%s' has %d indices, not %d", b->name, s->nindex, b->rank);
        for (int k = 0; k < s->nindex; k++)
            if (!is_index(x, s->index[k]))
                complain(v, "an index of a store to '%s' is no i64", b->name);
        return;
    }
    if (s->nindex < 1 || s->nindex > 2)
        complain(v, "a store to '%s' has %d operands", b->name, s->nindex);
    const int offsets = expr_node(x, s->index[0])->lanes;
    if (expr_type(x, s->index[0]) != DT_I64 || (offsets != 1 && offsets != lanes))
        complain(v, "the offset of a store to '%s' is no i64 of 1 or %d lanes", b->name, lanes);
    if (expr_node(x, s->value)->op == EX_REG && v->ok && tile_rows(v->l, s->value, 4) &&
        (!v->in_tiles || s->nindex != 2))
        complain(v, "a tile stored to '%s' has no stride, or no value", b->name);
    if (s->nindex == 2 && !is_index(x, s->index[1]))
        complain(v, "the count of a store to '%s' is no i64", b->name);
}

static void verify_fetch(Verify *v, const LoopStmt *s)
{
    const LoopBuffer *b = buffer_of(v, s->buffer);
    if (!b || !v->ok)
        return;
    if (s->nindex != (v->l->expanded ? 1 : b->rank) || (v->l->expanded && s->value))
        complain(v, "a fetch from '%s' has %d indices", b->name, s->nindex);
    if (s->value && !is_index(v->l->x, s->value))
        complain(v, "the distance of a fetch from '%s' is no i64", b->name);
    for (int k = 0; k < s->nindex; k++)
        if (!is_index(v->l->x, s->index[k]))
            complain(v, "an index of a fetch from '%s' is no i64", b->name);
}

static void verify_stmt(Verify *v, int id);

static void verify_children(Verify *v, const LoopStmt *s)
{
    for (int k = 0; k < s->child.len; k++)
        verify_stmt(v, s->child.at[k]);
    for (int k = 0; k < s->child.len; k++) { /* a LET's scope ends with its block */
        const LoopStmt *c = &v->l->stmt.at[s->child.at[k]];
        if (c->op == L_LET && c->var)
            v->in_scope[expr_node(v->l->x, c->var)->imm.i] = false;
    }
}

/* Puts a VAR node in scope; false if it is none. */
static bool bind(Verify *v, Expr var)
{
    if (var == 0 || expr_node(v->l->x, var)->op != EX_VAR) {
        complain(v, "no variable");
        return false;
    }
    v->in_scope[expr_node(v->l->x, var)->imm.i] = true;
    return true;
}

static void verify_for(Verify *v, const LoopStmt *s)
{
    const Exprs *x = v->l->x;
    verify_expr(v, s->extent, "extent");
    if (!v->ok)
        return;
    int64_t n;
    if (!is_index(x, s->extent))
        complain(v, "the extent of a loop is no i64");
    if (v->l->expanded && s->mark != MARK_SERIAL)
        complain(v, "a loop mark is left in the expanded form");
    if ((s->mark == MARK_VECTOR || s->mark == MARK_UNROLL) && !expr_is_int(x, s->extent, &n))
        complain(v, "the extent of a vector or unrolled loop is not constant");
    if (!bind(v, s->var))
        return;
    verify_children(v, s);
    v->in_scope[expr_node(x, s->var)->imm.i] = false;
}

static void verify_set(Verify *v, const LoopStmt *s)
{
    const Loops *l = v->l;
    if (!l->expanded || s->buffer < 0 || s->buffer >= l->reg.len)
        complain(v, "register %d does not exist", s->buffer);
    else if (l->reg.at[s->buffer].dtype != expr_type(l->x, s->value) ||
             l->reg.at[s->buffer].lanes != expr_node(l->x, s->value)->lanes)
        complain(v, "register %d is set to %s x %d", s->buffer,
                 dtype_name(expr_type(l->x, s->value)), expr_node(l->x, s->value)->lanes);
    else if (l->reg.at[s->buffer].rows) {
        const ExprNode *n = expr_node(l->x, s->value);
        const bool dot = n->op == EX_DOT && intrinsic_row(n->imm.i)->tile;
        const bool zero = n->op == EX_BROADCAST &&
                          expr_arg(l->x, s->value, 0) == expr_const(l->x, (DType)n->dtype, 0);
        if (!v->in_tiles ||
            !(dot || zero ||
              (n->op == EX_TILE && tile_rows(l, s->value, 4) == l->reg.at[s->buffer].rows)))
            complain(v, "tile %d is set to what is none", s->buffer);
    }
}

static void verify_stmt(Verify *v, int id)
{
    const Loops *l = v->l;
    v->stmt = id;
    if (id < 0 || id >= l->stmt.len || v->seen[id]) {
        complain(v, "does not exist or has two parents");
        return;
    }
    v->seen[id] = true;
    const LoopStmt *s = &l->stmt.at[id];
    if (s->op == L_IF || s->op == L_LET || s->op == L_STORE || s->op == L_SET)
        verify_expr(v, s->value, "value");
    if (s->op == L_STORE || s->op == L_FETCH)
        for (int k = 0; k < s->nindex; k++)
            verify_expr(v, s->index[k], "index");
    if (!v->ok)
        return;
    switch (s->op) {
    case L_BLOCK: {
        const bool outside = v->in_tiles;
        v->in_tiles |= s->mark == MARK_TILES;
        verify_children(v, s);
        v->in_tiles = outside;
        break;
    }
    case L_FOR: verify_for(v, s); break;
    case L_IF:
        if (expr_type(l->x, s->value) != DT_BOOL || expr_node(l->x, s->value)->lanes != 1)
            complain(v, "the condition is no scalar bool");
        verify_children(v, s);
        break;
    case L_LET:
        if (bind(v, s->var) && (expr_type(l->x, s->var) != expr_type(l->x, s->value) ||
                                expr_node(l->x, s->value)->lanes != expr_node(l->x, s->var)->lanes))
            complain(v, "a let changes the type");
        break;
    case L_STORE: verify_store(v, s); break;
    case L_SET: verify_set(v, s); break;
    case L_FETCH:
        if (!l->expanded)
            verify_expr(v, s->value, "distance");
        verify_fetch(v, s);
        break;
    }
}

static void verify_buffers(Verify *v)
{
    const Loops *l = v->l;
    v->stmt = -1;
    for (int k = 0; k < l->buffer.len; k++) {
        const LoopBuffer *b = &l->buffer.at[k];
        if (dtype_size(b->dtype) == 0)
            complain(v, "buffer '%s' is %s", b->name, dtype_name(b->dtype));
        if (b->scope == SCOPE_ARG && b->arg >= l->nargs) /* below 0: not used, see buffer_of */
            complain(v, "buffer '%s' is argument %d of %d", b->name, b->arg, l->nargs);
        if (b->scope == SCOPE_SCRATCH && (b->offset % 64 != 0 || b->offset < 0 ||
                                          b->offset > l->scratch_bytes))
            complain(v, "buffer '%s' is at byte %lld of the scratch", b->name,
                     (long long)b->offset);
        if (!layout_is_plain(&b->layout) && !layout_valid(&b->layout, b->rank))
            complain(v, "buffer '%s' has an invalid layout", b->name);
        for (int d = 0; d < b->rank; d++)
            verify_expr(v, b->dim[d], "dim");
    }
}

bool loops_verify(const Loops *l, Str *why)
{
    Arena *a = l->ctx->arena;
    Verify v = {.l = l, .why = why, .ok = true, .stmt = -1};
    v.in_scope = arena_array_of(a, l->x->var.len + 1, bool);
    v.seen = arena_array_of(a, l->stmt.len + 1, bool);
    for (int k = 0; k < l->sym.len; k++)
        bind(&v, l->sym.at[k]);
    if (v.ok)
        verify_buffers(&v);
    for (int k = 0; k < l->phase.len && v.ok; k++) {
        const LoopPhase *p = &l->phase.at[k];
        verify_expr(&v, p->extent, "extent");
        if (p->step)
            verify_expr(&v, p->steps, "steps");
        if (!v.ok || !bind(&v, p->par) || (p->step && !bind(&v, p->step)))
            break;
        verify_stmt(&v, p->body);
        v.in_scope[expr_node(l->x, p->par)->imm.i] = false;
        if (p->step)
            v.in_scope[expr_node(l->x, p->step)->imm.i] = false;
    }
    return v.ok;
}

int loops_group_end(const Loops *l, int phase)
{
    const Expr step = l->phase.at[phase].step;
    int end = phase + 1;
    while (step && end < l->phase.len && l->phase.at[end].step == step)
        end++;
    return end;
}
