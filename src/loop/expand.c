/* Expansion: structured loops -> loops, vectors and registers (loops.h).
 *
 * Unrolled loops are written out, a vector loop becomes chunks of the target's lanes, multi-dim
 * indices become element offsets, and buffers of scope REG become registers. Inside a chunk every
 * expression is either uniform (one lane) or as wide as the chunk; a load whose offset is lane + b
 * is a vector load, b a scalar one, anything else a gather. An `if` on the lane ("is this element
 * inside?") becomes a count of active lanes: loads and stores are masked by it.
 *
 * A row that is no whole vectors ends in one whose last lanes idle, where that is a matter of
 * masked loads and stores; else in halves, quarters..
 *
 * A REG buffer that is not always reached by constant offsets and equal lanes cannot live in
 * registers: it is demoted to scratch and the expansion starts again. */
#include <assert.h>
#include <string.h>

#include "loop/expand_parts.h"
#include "loop/hoist.h"
#include "loop/merge_ifs.h"
#include "loop/offset.h"
#include "loop/schedule.h"

enum { MAX_GROUP = 4 };

static LoopStmt *add_stmt(Expander *w, LoopOp op, int parent, int *id)
{
    *id = loops_stmt(w->out, op);
    loops_append(w->out, parent, *id);
    return &w->out->stmt.at[*id];
}

static void emit_children(Expander *w, int stmt, int parent)
{
    const LoopStmt in = w->in->stmt.at[stmt];
    for (int k = 0; k < in.child.len; k++) {
        if (k + 1 < in.child.len &&
            expand_cleared_tiles(w, in.child.at[k], in.child.at[k + 1], parent)) {
            k++;
        } else {
            expand_stmt(w, in.child.at[k], parent);
        }
    }
}

void expand_set(Expander *w, int reg, Expr value, int parent)
{
    int id;
    LoopStmt *s = add_stmt(w, L_SET, parent, &id);
    s->buffer = reg;
    s->value = value;
}

/* What a masked or guarded set may leave out has a value from the start: pad elements, and idle
 * lanes, are computed from it. (Where nothing reads it, it costs nothing.) */
static void clear_first(Expander *w, int reg)
{
    const LoopReg r = w->out->reg.at[reg];
    if (!intmap_put(&w->cleared, (uint32_t)reg, 1)) {
        return;
    }
    const Expr zero = expr_const(w->x, r.dtype, 0);
    expand_set(w, reg, r.lanes == 1 ? zero
                                  : expr_raw(w->x, EX_BROADCAST, r.dtype, r.lanes, 0, 1, &zero),
             w->body);
    LoopStmt *body = &w->out->stmt.at[w->body];
    const int set = vec_last(&body->child);
    memmove(body->child.at + 1, body->child.at, sizeof set * (size_t)(body->child.len - 1));
    body->child.at[0] = set;
}

static void emit_store(Expander *w, const LoopStmt *in, int parent)
{
    Exprs *x = w->x;
    const LoopBuffer *b = &w->in->buffer.at[in->buffer];
    Expr index[MAX_RANK];
    for (int k = 0; k < in->nindex; k++) {
        index[k] = expand_subst(w, in->index[k]);
    }
    const Expr offset = buffer_offset(x, b, index);
    Expr value = expand_value(w, in->value);
    int64_t stride = 0;
    Expr base = 0;
    const bool linear = expand_lane_linear(w, offset, &stride, &base);
    if (expand_in_registers(w, in->buffer)) {
        const int lanes = linear && stride == 1 ? w->lanes : 1;
        const int reg = linear && (stride == 0 || stride == 1)
                            ? expand_reg_at(w, in->buffer, base, lanes, true)
                            : (expand_demote(w, in->buffer), -1);
        if (reg < 0) {
            return;
        }
        value = lanes > 1 ? expand_widen(w, value) : value;
        const bool masked = lanes > 1 && !expand_all_used(w);
        if (w->guards > 0 || masked) {
            clear_first(w, reg);
        }
        if (masked) {
            const Expr args[3] = {expand_mask(w), value, expand_reg(w, reg)};
            value = expr_raw(x, EX_SELECT, expr_type(x, value), lanes, 0, 3, args);
        }
        expand_set(w, reg, value, parent);
        return;
    }
    Expr at = expand_term(w, linear ? base : offset);
    if (linear && stride != 0) {
        value = expand_widen(w, value);
    }
    if (!linear || (stride != 0 && stride != 1)) {
        at = linear ? expand_ramp(w, base, stride) : expand_widen(w, expand_term(w, offset));
        value = expand_widen(w, value);
    }
    int id;
    LoopStmt *s = add_stmt(w, L_STORE, parent, &id);
    s->buffer = in->buffer;
    s->nindex = 1;
    s->index[0] = at;
    if (w->count && stride == 1) {
        s->index[s->nindex++] = w->count;
    }
    s->value = value;
}

static void emit_fetch(Expander *w, const LoopStmt *in, int parent)
{
    Exprs *x = w->x;
    Expr index[MAX_RANK];
    for (int k = 0; k < in->nindex; k++) {
        index[k] = expand_subst(w, in->index[k]);
    }
    const Expr first = buffer_offset(x, &w->in->buffer.at[in->buffer], index);
    const Expr at = expr_add(x, first, expand_subst(w, in->value));
    int id;
    LoopStmt *s = add_stmt(w, L_FETCH, parent, &id);
    s->buffer = in->buffer;
    s->nindex = 1;
    s->index[0] = expand_term(w, at);
}

static void emit_let(Expander *w, const LoopStmt *in, int parent)
{
    const Expr value = expand_value(w, in->value);
    if (expand_lanes(w, value) > 1) { /* a wide name is a register */
        const LoopReg reg = {.dtype = expr_type(w->x, value), .lanes = w->lanes};
        vec_push(w->ctx->arena, &w->out->reg, reg);
        expand_set(w, w->out->reg.len - 1, value, parent);
        vec_push(w->ctx->arena, &w->wide_var, in->var);
        vec_push(w->ctx->arena, &w->wide_reg, expand_reg(w, w->out->reg.len - 1));
        return;
    }
    if (expr_is_int(w->x, value, NULL)) {
        vec_push(w->ctx->arena, &w->from, in->var);
        vec_push(w->ctx->arena, &w->to, value);
        return;
    }
    /* Unrolled copies of a LET need variables of their own; the first keeps the name (and what is
     * known of its range). */
    const bool first = intmap_put(&w->named, in->var, 1);
    const Expr var = first ? in->var : expr_value_var(w->x, "v", expr_type(w->x, in->var));
    int id;
    LoopStmt *s = add_stmt(w, L_LET, parent, &id);
    s->var = var;
    s->value = value;
    if (var != in->var) {
        vec_push(w->ctx->arena, &w->from, in->var);
        vec_push(w->ctx->arena, &w->to, var);
    } else { /* no longer the wide one of an earlier chunk */
        vec_push(w->ctx->arena, &w->wide_var, var);
        vec_push(w->ctx->arena, &w->wide_reg, var);
    }
}

/* Lanes for which `condition` holds are the first ones? Then how many (i64, before clamping). */
static bool count_of(Expander *w, Expr condition, Expr *count)
{
    Exprs *x = w->x;
    const ExprNode n = *expr_node(x, condition);
    if ((n.op != EX_LT && n.op != EX_LE) || n.varies ||
        expr_type(x, expr_arg(x, condition, 0)) != DT_I64) {
        return false;
    }
    const Expr side = expr_sub(x, expr_arg(x, condition, 0), expr_arg(x, condition, 1));
    int64_t stride;
    Expr base;
    if (!expand_lane_linear(w, side, &stride, &base) || stride != 1) {
        return false;
    }
    *count = expr_sub(x, expr_int(x, n.op == EX_LE), base);
    return true;
}

static void emit_if(Expander *w, int stmt, int parent)
{
    Exprs *x = w->x;
    const Expr condition = expand_subst(w, w->in->stmt.at[stmt].value);
    int64_t known;
    if (expr_is_int(x, condition, &known)) {
        if (known) {
            emit_children(w, stmt, parent);
        }
        return;
    }
    const Expr old_count = w->count;
    Expr test = condition;
    if (expand_uses_lane(w, condition)) {
        Expr count = 0;
        const bool fits = count_of(w, condition, &count);
        assert(fits && "vector_fits lets only such conditions through");
        (void)fits;
        count = expr_min(x, count, expr_int(x, w->lanes));
        w->count = w->count ? expr_min(x, w->count, count) : count;
        test = expr_lt(x, expr_int(x, 0), w->count);
        if (expr_is_int(x, w->count, &known) && known == w->lanes) {
            w->count = 0;
        }
    }
    if (expr_is_int(x, test, &known)) {
        if (known) {
            emit_children(w, stmt, parent);
        }
    } else {
        w->memo = intmap_new(w->ctx->arena);
        int id;
        LoopStmt *s = add_stmt(w, L_IF, parent, &id);
        s->value = expand_term(w, test);
        w->guards++;
        emit_children(w, stmt, id);
        w->guards--;
    }
    w->count = old_count;
}

static void push(Expander *w, Expr from, Expr to)
{
    vec_push(w->ctx->arena, &w->from, from);
    vec_push(w->ctx->arena, &w->to, to);
}

/* May the body of a vector loop be run in lanes? */
static bool vector_fits(Expander *w, int stmt, bool masked)
{
    const LoopStmt *s = &w->in->stmt.at[stmt];
    if (s->op == L_FOR && expand_uses_lane(w, expand_subst(w, s->extent))) {
        return false;
    }
    if (s->op == L_IF) {
        const Expr condition = expand_subst(w, s->value);
        Expr count;
        if (expand_uses_lane(w, condition)) {
            if (!count_of(w, condition, &count)) {
                return false;
            }
            masked = true;
        }
    }
    if (s->op == L_STORE) {
        Expr index[MAX_RANK];
        for (int k = 0; k < s->nindex; k++) {
            index[k] = expand_subst(w, s->index[k]);
        }
        int64_t stride;
        Expr base;
        const Expr offset = buffer_offset(w->x, &w->in->buffer.at[s->buffer], index);
        const bool linear = expand_lane_linear(w, offset, &stride, &base);
        if (!linear ? masked : stride == 0 ? true : stride != 1 && masked) {
            return false;
        }
    }
    for (int k = 0; k < s->child.len; k++) {
        if (!vector_fits(w, s->child.at[k], masked)) {
            return false;
        }
    }
    return true;
}

static void emit_unrolled(Expander *w, int stmt, int64_t extent, int parent)
{
    const Expr var = w->in->stmt.at[stmt].var;
    const int depth = w->from.len;
    for (int64_t i = 0; i < extent; i++) {
        push(w, var, expr_int(w->x, i));
        emit_children(w, stmt, parent);
        w->from.len = w->to.len = depth;
    }
}

static void emit_serial(Expander *w, int stmt, int parent)
{
    const LoopStmt in = w->in->stmt.at[stmt];
    w->memo = intmap_new(w->ctx->arena);
    const Expr extent = expand_term(w, expand_subst(w, in.extent));
    int64_t known;
    const int depth = w->from.len;
    if (expr_is_int(w->x, extent, &known) && known <= 1) {
        if (known == 1) {
            push(w, in.var, expr_int(w->x, 0));
            emit_children(w, stmt, parent);
        }
    } else {
        int id;
        LoopStmt *s = add_stmt(w, L_FOR, parent, &id);
        s->var = in.var;
        s->extent = extent;
        emit_children(w, stmt, id);
    }
    w->from.len = w->to.len = depth;
}

static void see_load(const Exprs *x, Expr e, void *arg)
{
    Expander *w = arg;
    if (expr_node(x, e)->op == EX_LOAD) {
        vec_push(w->ctx->arena, &w->seen, e);
    }
}

/* Are all loads vectors that a mask can cut off at low cost, or one element for all lanes? */
static bool loads_simply(Expander *w, Expr value)
{
    w->seen.len = 0;
    w->memo = intmap_new(w->ctx->arena);
    if (expand_border(w, expand_subst(w, value))) {
        return true;
    }
    expr_walk(w->x, expand_subst(w, value), see_load, w);
    for (int k = 0; k < w->seen.len; k++) {
        const Expr e = w->seen.at[k];
        const int buffer = (int)expr_node(w->x, e)->imm.i;
        const LoopBuffer *b = &w->in->buffer.at[buffer];
        Expr index[MAX_RANK], base;
        for (int d = 0; d < b->rank; d++) {
            index[d] = expr_arg(w->x, e, d);
        }
        int64_t stride;
        if (!expand_lane_linear(w, buffer_offset(w->x, b, index), &stride, &base) || stride < 0 ||
            stride > 1 ||
            (stride == 1 && dtype_size(b->dtype) < 4 && !expand_in_registers(w, buffer))) {
            return false;
        }
    }
    return true;
}

/* May the statement be run in a chunk of which only the first lanes are in use? */
static bool rest_fits(Expander *w, int stmt)
{
    const LoopStmt *s = &w->in->stmt.at[stmt];
    bool fits = s->op != L_IF && (s->op != L_FOR || s->mark != MARK_DOT);
    fits &= !s->value || loads_simply(w, s->value);
    fits &= s->op != L_STORE || expand_in_registers(w, s->buffer) ||
            dtype_size(w->in->buffer.at[s->buffer].dtype) >= 4;
    for (int k = 0; k < s->child.len && fits; k++) {
        fits = rest_fits(w, s->child.at[k]);
    }
    return fits;
}

static void open_chunk(Expander *w, Expr var, int64_t done, int lanes, int used)
{
    const Expr lane = lanes > 1 ? expr_loop_var(w->x, "lane", expr_int(w->x, lanes)) : 0;
    push(w, var, lane ? expr_addi(w->x, lane, done) : expr_int(w->x, done));
    w->lane = lane;
    w->lanes = lane ? lanes : 1;
    w->used = lane ? used : 1;
    w->count = used < lanes ? expr_int(w->x, used) : 0;
}

static void close_chunk(Expander *w, int depth)
{
    w->from.len = w->to.len = depth;
    w->lane = w->count = 0;
    w->lanes = w->used = 1;
}

/* The end of a vector loop, if it is no power of two, as one vector whose last lanes idle. False:
 * it cannot be. */
static bool emit_rest(Expander *w, int stmt, int64_t done, int left, int parent)
{
    const LoopStmt in = w->in->stmt.at[stmt];
    const int depth = w->from.len;
    int lanes = 1;
    while (lanes < left) {
        lanes *= 2;
    }
    if (lanes == left || w->no_rests) {
        return false;
    }
    open_chunk(w, in.var, done, lanes, left);
    bool fits = true;
    for (int k = 0; k < in.child.len && fits; k++) {
        fits = rest_fits(w, in.child.at[k]) && vector_fits(w, in.child.at[k], true);
    }
    if (fits) {
        w->has_rests = true;
        emit_children(w, stmt, parent);
    }
    close_chunk(w, depth);
    return fits;
}

static void emit_vector(Expander *w, int stmt, int64_t extent, int parent)
{
    const LoopStmt in = w->in->stmt.at[stmt];
    const int widest = target_lanes(w->target, 4);
    const int depth = w->from.len;
    for (int64_t done = 0; done < extent;) {
        int lanes = widest;
        if (extent - done < widest && emit_rest(w, stmt, done, (int)(extent - done), parent)) {
            return;
        }
        while (lanes > extent - done) {
            lanes /= 2;
        }
        open_chunk(w, in.var, done, lanes, lanes);
        bool fits = true;
        for (int k = 0; k < in.child.len && w->lane; k++) {
            fits &= vector_fits(w, in.child.at[k], false);
        }
        if (fits) {
            emit_children(w, stmt, parent);
        } else {
            for (int i = 0; i < lanes; i++) {
                w->lane = 0;
                w->lanes = w->used = 1;
                w->from.len = w->to.len = depth;
                push(w, in.var, expr_int(w->x, done + i));
                emit_children(w, stmt, parent);
            }
        }
        close_chunk(w, depth);
        done += lanes;
    }
}

void expand_stmt(Expander *w, int stmt, int parent)
{
    const LoopStmt in = w->in->stmt.at[stmt];
    const int depth = w->from.len;
    int64_t extent;
    switch (in.op) {
    case L_BLOCK:
        emit_children(w, stmt, parent);
        break;
    case L_FOR:
        if (w->tiles && in.mark == MARK_DOT) {
            expand_tile_dot(w, stmt, parent);
        } else if (expand_tiles(w, stmt, parent)) {
            break;
        } else if (in.mark == MARK_SERIAL ||
                   !expr_is_int(w->x, expand_subst(w, in.extent), &extent)) {
            emit_serial(w, stmt, parent);
        } else if (in.mark == MARK_VECTOR && !w->lane) {
            emit_vector(w, stmt, extent, parent);
        } else if (in.mark == MARK_DOT && expand_dot(w, stmt, extent, parent)) {
            break;
        } else if (in.mark == MARK_DOT && extent > MAX_GROUP) {
            emit_serial(w, stmt, parent); /* of tiles */
        } else {
            emit_unrolled(w, stmt, extent, parent);
        }
        break;
    case L_IF:
        emit_if(w, stmt, parent);
        break;
    case L_LET:
        emit_let(w, &in, parent);
        return; /* its name stays visible to the statements after it */
    case L_STORE:
        emit_store(w, &in, parent);
        break;
    case L_FETCH:
        emit_fetch(w, &in, parent);
        break;
    case L_SET:
        assert(!"registers are made here");
    }
    w->from.len = w->to.len = depth;
}

/* ---- the whole ---- */

static void add_buffers(Expander *w)
{
    for (int k = 0; k < w->in->buffer.len; k++) {
        LoopBuffer b = w->in->buffer.at[k];
        if (b.scope == SCOPE_REG && w->demoted[k]) {
            int64_t elements = 0;
            expr_is_int(w->x, buffer_elements(w->x, &b), &elements);
            b.scope = SCOPE_SCRATCH;
            b.offset = w->out->scratch_bytes;
            b.size = elements * dtype_size(b.dtype);
            w->out->scratch_bytes += (b.size + 127) / 64 * 64;
        }
        vec_push(w->ctx->arena, &w->out->buffer, b);
    }
}

static void expand_once(Expander *w)
{
    const Loops *in = w->in;
    Loops *out = loops_new(w->ctx, w->x, in->name);
    w->out = out;
    w->again = w->has_rests = false;
    w->slot = arena_array_of(w->ctx->arena, in->buffer.len, RegSlot *);
    w->lane = w->count = 0;
    w->lanes = w->used = 1;
    w->guards = 0;
    w->tiles = NULL;
    w->named = intmap_new(w->ctx->arena);
    w->cleared = intmap_new(w->ctx->arena);
    w->wide_var.len = w->wide_reg.len = 0;
    out->expanded = true;
    out->scratch_bytes = in->scratch_bytes;
    out->nargs = in->nargs;
    add_buffers(w);
    for (int k = 0; k < in->sym.len; k++) {
        vec_push(w->ctx->arena, &out->sym, in->sym.at[k]);
    }
    for (int k = 0; k < in->phase.len && !w->again; k++) {
        LoopPhase phase = in->phase.at[k];
        const int body = loops_stmt(out, L_BLOCK);
        w->from.len = w->to.len = 0;
        w->body = body;
        emit_children(w, phase.body, body);
        phase.body = body;
        vec_push(w->ctx->arena, &out->phase, phase);
    }
}

Loops *expand(Context *ctx, const Loops *structured, const Target *t)
{
    Expander w = {.ctx = ctx, .x = structured->x, .in = structured, .target = t};
    w.demoted = arena_array_of(ctx->arena, structured->buffer.len, bool);
    do {
        expand_once(&w);
    } while (w.again);
    merge_ifs(w.out);
    hoist_invariants(w.out);
    return w.out;
}
