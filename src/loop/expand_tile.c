/* Expansion: loops that run on tiles (`dot m n k g`, loop/intrinsic.h).
 *
 *     for k0 < 24                                    tiles
 *       for m0 < 2 unroll                              r0 = tile256(acc, 0, 32, 16) .. r3
 *         for n0 < 2 unroll                            for k0 < 24
 *           for m1 < 16 dot                       ->     r0 = tdpbf16ps(tile512(x, ..), tile512(w, ..), r0)
 *             for n1 < 16 dot                            ..
 *               for k1 < 16 dot, k2 < 2 dot            acc[0, stride 32] = r0
 *                 acc[..] = fma(x, w, acc[..])         ..
 *
 * The outermost loop in which there are only such products is what the accumulators live
 * through: they are loaded from the box before it, or zero if it would just have been set to
 * zero, and stored after it. Which operand of a product has the rows, and where they lie, is
 * read off the offsets. */
#include "loop/access.h"
#include "loop/expand_parts.h"
#include "loop/intrinsic.h"
#include "loop/offset.h"

enum { MAX_DOT_LOOPS = 4 };

typedef struct TileShape {
    int rows, bytes; /* of a row */
} TileShape;

typedef struct TileSlot { /* an accumulator */
    int buffer, reg;
    int64_t at, stride; /* in the buffer, elements */
} TileSlot;

typedef struct Tiles {
    bool failed;
    int nslots, nshapes;
    TileSlot slot[TILE_REGISTERS];
    TileShape shape[TILE_REGISTERS]; /* of operands */
} Tiles;

/* ---- is it one? ---- */

/* Nothing but loops around products of tiles, and what fetches their operands ahead? */
static bool only_tiles(const Loops *l, int stmt)
{
    const LoopStmt *s = &l->stmt.at[stmt];
    if (s->op == L_FETCH) {
        return true;
    }
    if (s->op == L_FOR && s->mark == MARK_DOT) {
        while (s->op == L_FOR && s->mark == MARK_DOT && s->child.len == 1) {
            s = &l->stmt.at[s->child.at[0]];
        }
        return s->op == L_STORE && l->buffer.at[s->buffer].scope == SCOPE_SCRATCH;
    }
    bool only = (s->op == L_FOR && s->mark != MARK_VECTOR) || s->op == L_BLOCK;
    for (int k = 0; k < s->child.len && only; k++) {
        only = only_tiles(l, s->child.at[k]);
    }
    return only && s->child.len > 0;
}

/* ---- one product ---- */

typedef struct Operand {
    DType type; /* in memory */
    int buffer;
    Expr base;
    int64_t stride[MAX_DOT_LOOPS];
} Operand;

typedef struct DotLoops { /* innermost last */
    int n;
    Expr var[MAX_DOT_LOOPS];
    int64_t extent[MAX_DOT_LOOPS];
} DotLoops;

static bool place(Expander *w, int buffer, const Expr *given, int n, const DotLoops *d,
                  Operand *out)
{
    Exprs *x = w->x;
    Expr index[MAX_RANK], coef;
    for (int k = 0; k < n; k++) {
        index[k] = expand_subst(w, given[k]);
    }
    out->buffer = buffer;
    out->type = w->in->buffer.at[buffer].dtype;
    out->base = buffer_offset(x, &w->in->buffer.at[buffer], index);
    for (int k = 0; k < d->n; k++) {
        const int var = (int)expr_node(x, d->var[k])->imm.i;
        if (!expr_linear_in(x, out->base, var, &coef, &out->base) ||
            !expr_is_int(x, coef, &out->stride[k])) {
            return false;
        }
    }
    return w->in->buffer.at[buffer].scope != SCOPE_REG;
}

static bool place_load(Expander *w, Expr load, const DotLoops *d, Operand *out)
{
    const ExprNode n = *expr_node(w->x, load);
    Expr index[MAX_RANK];
    for (int k = 0; k < n.nargs; k++) {
        index[k] = expr_arg(w->x, load, k);
    }
    return place(w, (int)n.imm.i, index, n.nargs, d, out);
}

/* Which loop is which; -1: it has only one point. */
typedef struct Roles {
    int m, n, k, g;
} Roles;

/* The loops' roles, where f[0] has the rows and f[1] is packed. */
static bool find_roles(const DotLoops *d, const Operand *f, const Operand *sum, Roles *r)
{
    *r = (Roles){-1, -1, -1, d->n - 1};
    const int64_t group = d->extent[r->g];
    if (sum->stride[r->g] != 0 || f[0].stride[r->g] != 1 || f[1].stride[r->g] != 1) {
        return false;
    }
    for (int i = 0; i < r->g; i++) {
        int *role = sum->stride[i] == 0 ? &r->k : f[1].stride[i] == 0 ? &r->m : &r->n;
        const bool packed =
            role == &r->m   ? f[0].stride[i] != 0
            : role == &r->n ? f[1].stride[i] == group && f[0].stride[i] == 0 && sum->stride[i] == 1
                            : f[0].stride[i] == group;
        if (*role >= 0 || !packed) {
            return false;
        }
        *role = i;
    }
    return true;
}

static int64_t extent_of(const DotLoops *d, int loop)
{
    return loop < 0 ? 1 : d->extent[loop];
}

static bool add_shape(Tiles *t, TileShape s)
{
    for (int k = 0; k < t->nshapes; k++) {
        if (t->shape[k].rows == s.rows && t->shape[k].bytes == s.bytes) {
            return true;
        }
    }
    if (t->nshapes == TILE_REGISTERS) {
        return false;
    }
    t->shape[t->nshapes++] = s;
    return true;
}

/* The register of the accumulator; -1: none is left, or it is not always the same part of the
 * box. */
static int accumulator(Expander *w, const Operand *sum, int64_t stride, LoopReg shape)
{
    Tiles *t = w->tiles;
    int64_t at;
    if (!expr_is_int(w->x, sum->base, &at)) {
        return -1;
    }
    for (int k = 0; k < t->nslots; k++) {
        const TileSlot *s = &t->slot[k];
        const LoopReg *r = &w->out->reg.at[s->reg];
        if (s->buffer == sum->buffer && s->at == at) {
            return s->stride == stride && r->rows == shape.rows && r->lanes == shape.lanes ? s->reg
                                                                                           : -1;
        }
    }
    if (t->nslots == TILE_REGISTERS) {
        return -1;
    }
    vec_push(w->ctx->arena, &w->out->reg, shape);
    t->slot[t->nslots++] = (TileSlot){sum->buffer, w->out->reg.len - 1, at, stride};
    return w->out->reg.len - 1;
}

static Expr tile(Expander *w, DType t, int buffer, Expr at, int64_t stride, int rows, int columns)
{
    const Expr args[3] = {at, expr_int(w->x, stride), expr_int(w->x, rows)};
    return expr_raw(w->x, EX_TILE, t, rows * columns, buffer, 3, args);
}

static int64_t stride_of(const Operand *f, int loop, int columns)
{
    return loop < 0 ? columns : f->stride[loop];
}

/* The loops of one product, down to its statement; false: not of this form. */
static bool collect_loops(Expander *w, int stmt, DotLoops *d, LoopStmt *store)
{
    const LoopStmt *s = &w->in->stmt.at[stmt];
    for (; s->op == L_FOR; s = &w->in->stmt.at[s->child.at[0]]) {
        if (d->n == MAX_DOT_LOOPS ||
            !expr_is_int(w->x, expand_subst(w, s->extent), &d->extent[d->n])) {
            return false;
        }
        d->var[d->n++] = s->var;
    }
    *store = *s;
    return true;
}

static bool run_on_tiles(Expander *w, int stmt, int parent)
{
    Exprs *x = w->x;
    DotLoops d = {0};
    LoopStmt store;
    Expr factor[2], old;
    Operand f[2], sum, same;
    Roles r;
    w->memo = intmap_new(w->ctx->arena);
    if (!collect_loops(w, stmt, &d, &store) ||
        !product_terms(x, store.value, &factor[0], &factor[1], &old) ||
        expr_node(x, old)->op != EX_LOAD || expr_node(x, old)->imm.i != store.buffer ||
        !place_load(w, factor[0], &d, &f[0]) || !place_load(w, factor[1], &d, &f[1]) ||
        !place_load(w, old, &d, &same) ||
        !place(w, store.buffer, store.index, store.nindex, &d, &sum) || same.base != sum.base) {
        return false;
    }
    if (!find_roles(&d, f, &sum, &r)) {
        const Operand first = f[0];
        f[0] = f[1];
        f[1] = first;
        if (!find_roles(&d, f, &sum, &r)) {
            return false;
        }
    }
    const int row = intrinsic_find_tile(w->target, f[0].type, f[1].type, expr_type(x, old));
    const int rows = (int)extent_of(&d, r.m), columns = (int)extent_of(&d, r.n),
              k = (int)extent_of(&d, r.k);
    const int group = (int)d.extent[r.g], bytes = group * dtype_size(f[0].type);
    if (row < 0 || group != intrinsic_row(row)->group || rows > TILE_ROWS || k > TILE_ROWS ||
        columns * 4 > TILE_ROW_BYTES) {
        return false;
    }
    const LoopReg shape = {.dtype = intrinsic_row(row)->sum, .lanes = rows * columns, .rows = rows};
    const int reg = accumulator(w, &sum, stride_of(&sum, r.m, columns), shape);
    if (reg < 0 || !add_shape(w->tiles, (TileShape){rows, k * bytes}) ||
        !add_shape(w->tiles, (TileShape){k, columns * bytes})) {
        return false;
    }
    const Expr args[3] = {
        tile(w, dtype_compute(f[0].type), f[0].buffer, expand_term(w, f[0].base),
             stride_of(&f[0], r.m, k * group), rows, k * group),
        tile(w, dtype_compute(f[1].type), f[1].buffer, expand_term(w, f[1].base),
             stride_of(&f[1], r.k, columns * group), k, columns * group),
        expand_reg(w, reg),
    };
    expand_set(w, reg, expr_raw(x, EX_DOT, shape.dtype, shape.lanes, row, 3, args), parent);
    return true;
}

void expand_tile_dot(Expander *w, int stmt, int parent)
{
    w->tiles->failed = w->tiles->failed || !run_on_tiles(w, stmt, parent);
}

/* ---- all of a loop ---- */

static void load_accumulators(Expander *w, const Tiles *t, bool zero, int parent)
{
    for (int k = 0; k < t->nslots; k++) {
        const TileSlot *s = &t->slot[k];
        const LoopReg r = w->out->reg.at[s->reg];
        if (zero) {
            const Expr value = expr_const(w->x, r.dtype, 0);
            expand_set(w, s->reg, expr_raw(w->x, EX_BROADCAST, r.dtype, r.lanes, 0, 1, &value),
                       parent);
            continue;
        }
        expand_set(w, s->reg,
                   tile(w, r.dtype, s->buffer, expr_int(w->x, s->at), s->stride, r.rows,
                        r.lanes / r.rows),
                   parent);
    }
}

static void store_accumulators(Expander *w, const Tiles *t, int parent)
{
    for (int k = 0; k < t->nslots; k++) {
        const TileSlot *s = &t->slot[k];
        const int id = loops_stmt(w->out, L_STORE);
        LoopStmt *store = &w->out->stmt.at[id];
        store->buffer = s->buffer;
        store->nindex = 2;
        store->index[0] = expr_int(w->x, s->at);
        store->index[1] = expr_int(w->x, s->stride);
        store->value = expand_reg(w, s->reg);
        loops_append(w->out, parent, id);
    }
}

/* What a loop nest that does nothing else sets to zero. */
typedef struct Clear {
    int buffer; /* -1: it does something else */
    int64_t elements;
} Clear;

static Clear clear_of(Expander *w, int stmt)
{
    Clear c = {-1, 1};
    int64_t extent;
    const LoopStmt *s = &w->in->stmt.at[stmt];
    for (; s->op == L_FOR && s->child.len == 1; s = &w->in->stmt.at[s->child.at[0]]) {
        if (!expr_is_int(w->x, expand_subst(w, s->extent), &extent)) {
            return c;
        }
        c.elements *= extent;
    }
    const bool zero = s->op == L_STORE && w->in->buffer.at[s->buffer].scope == SCOPE_SCRATCH &&
                      s->value == expr_const(w->x, expr_type(w->x, s->value), 0);
    c.buffer = zero ? s->buffer : -1;
    return c;
}

/* Are the accumulators all that was set to zero? */
static bool covers(const Expander *w, const Tiles *t, const Clear *c)
{
    int64_t elements = 0;
    bool same = true;
    for (int k = 0; k < t->nslots; k++) {
        same &= t->slot[k].buffer == c->buffer;
        elements += w->out->reg.at[t->slot[k].reg].lanes;
    }
    return same && elements == c->elements;
}

/* cleared: what the accumulators begin with need not be loaded, as it is zero; NULL: it is not
 * known. */
static bool run_loop(Expander *w, int stmt, const Clear *cleared, int parent)
{
    if (!w->target->amx || w->tiles || w->lane || !only_tiles(w->in, stmt)) {
        return false;
    }
    const int depth = w->from.len;
    Tiles t = {0};
    w->tiles = &t;
    const int all = loops_stmt(w->out, L_BLOCK), loads = loops_stmt(w->out, L_BLOCK);
    w->out->stmt.at[all].mark = MARK_TILES;
    loops_append(w->out, all, loads);
    expand_stmt(w, stmt, all);
    w->tiles = NULL;
    w->from.len = w->to.len = depth;
    if (t.failed || t.nslots + t.nshapes > TILE_REGISTERS || (cleared && !covers(w, &t, cleared))) {
        return false;
    }
    load_accumulators(w, &t, cleared != NULL, loads);
    store_accumulators(w, &t, all);
    loops_append(w->out, parent, all);
    return true;
}

bool expand_tiles(Expander *w, int stmt, int parent)
{
    return run_loop(w, stmt, NULL, parent);
}

bool expand_cleared_tiles(Expander *w, int clear, int stmt, int parent)
{
    if (!w->target->amx) {
        return false;
    }
    const Clear c = clear_of(w, clear);
    return c.buffer >= 0 && w->in->stmt.at[stmt].op == L_FOR && run_loop(w, stmt, &c, parent);
}
