/* Expansion: expressions. A load becomes a vector load, a broadcast scalar, a gather or a register;
 * what depends on the lane is as wide as the chunk, the rest stays scalar. See expand_parts.h. */
#include "loop/expand_parts.h"
#include "loop/offset.h"
#include "loop/vecmath.h"

int expand_lanes(const Expander *w, Expr e)
{
    return expr_node(w->x, e)->lanes;
}

Expr expand_widen(Expander *w, Expr e)
{
    if (!w->lane || expand_lanes(w, e) == w->lanes) {
        return e;
    }
    return expr_raw(w->x, EX_BROADCAST, expr_type(w->x, e), w->lanes, 0, 1, &e);
}

Expr expand_subst(Expander *w, Expr e)
{
    for (int k = w->from.len - 1; k >= 0 && e; k--) {
        e = expr_subst(w->x, e, 1, &w->from.at[k], &w->to.at[k]);
    }
    return e;
}

static Expr zero_lane(Expander *w, Expr e)
{
    const Expr zero = expr_int(w->x, 0);
    return expr_subst(w->x, e, 1, &w->lane, &zero);
}

bool expand_uses_lane(const Expander *w, Expr e)
{
    return w->lane && expr_uses_var(w->x, e, (int)expr_node(w->x, w->lane)->imm.i);
}

bool expand_lane_linear(Expander *w, Expr offset, int64_t *stride, Expr *base)
{
    if (!expand_uses_lane(w, offset)) {
        *stride = 0;
        *base = offset;
        return true;
    }
    Expr coef;
    return expr_linear_in(w->x, offset, (int)expr_node(w->x, w->lane)->imm.i, &coef, base) &&
           expr_is_int(w->x, coef, stride);
}

Expr expand_mask(Expander *w)
{
    Exprs *x = w->x;
    const Expr zero = expr_int(x, 0);
    const Expr args[2] = {expr_raw(x, EX_RAMP, DT_I64, w->lanes, 1, 1, &zero),
                          expand_widen(w, w->count)};
    return expr_raw(x, EX_LT, DT_BOOL, w->lanes, 0, 2, args);
}

bool expand_all_used(const Expander *w)
{
    int64_t count;
    return !w->count || (expr_is_int(w->x, w->count, &count) && count == w->used);
}

/* ---- registers ---- */

void expand_demote(Expander *w, int buffer)
{
    if (w->has_rests) {
        w->no_rests = true;
    } else {
        w->demoted[buffer] = true;
    }
    w->again = true;
}

int expand_reg_at(Expander *w, int buffer, Expr offset, int lanes, bool writing)
{
    int64_t at;
    int64_t elements;
    const int used = lanes > 1 ? w->used : 1;
    if (!expr_is_int(w->x, offset, &at) ||
        !expr_is_int(w->x, buffer_elements(w->x, &w->in->buffer.at[buffer]), &elements) ||
        at < 0 || at + used > elements) {
        expand_demote(w, buffer);
        return -1;
    }
    if (!w->slot[buffer]) {
        w->slot[buffer] = arena_array_of(w->ctx->arena, elements, RegSlot);
        for (int64_t i = 0; i < elements; i++) {
            w->slot[buffer][i].reg = -1;
        }
    }
    RegSlot *slot = &w->slot[buffer][at];
    if (slot->reg < 0 && writing) {
        for (int i = 0; i < used; i++) {
            if (slot[i].reg >= 0) {
                expand_demote(w, buffer);
                return -1;
            }
        }
        const LoopReg reg = {.dtype = dtype_compute(w->in->buffer.at[buffer].dtype),
                             .lanes = lanes};
        vec_push(w->ctx->arena, &w->out->reg, reg);
        for (int i = 0; i < used; i++) {
            slot[i] = (RegSlot){.reg = w->out->reg.len - 1, .first = (int)at};
        }
    }
    const bool goes_on = at + used < elements && slot->reg >= 0 && slot[used].reg == slot->reg;
    if (slot->reg < 0 || slot->first != at || w->out->reg.at[slot->reg].lanes != lanes ||
        slot[used - 1].reg != slot->reg || goes_on) {
        expand_demote(w, buffer);
        return -1;
    }
    return slot->reg;
}

bool expand_in_registers(const Expander *w, int buffer)
{
    return w->in->buffer.at[buffer].scope == SCOPE_REG && !w->demoted[buffer];
}

Expr expand_reg(Expander *w, int reg)
{
    const LoopReg *r = &w->out->reg.at[reg];
    return expr_raw(w->x, EX_REG, r->dtype, r->lanes, reg, 0, NULL);
}

/* ---- expressions ---- */

Expr expand_ramp(Expander *w, Expr base, int64_t stride)
{
    const Expr first = expand_term(w, base);
    return expr_raw(w->x, EX_RAMP, DT_I64, w->lanes, stride, 1, &first);
}

static Expr gather(Expander *w, DType t, int buffer, Expr offset)
{
    Exprs *x = w->x;
    Expr offsets = expand_widen(w, expand_term(w, offset));
    if (w->count) { /* idle lanes read where lane 0 does */
        const Expr first = expand_widen(w, expand_term(w, zero_lane(w, offset)));
        const Expr args[3] = {expand_mask(w), offsets, first};
        offsets = expr_raw(x, EX_SELECT, DT_I64, w->lanes, 0, 3, args);
    }
    return expr_raw(x, EX_GATHER, t, w->lanes, buffer, 1, &offsets);
}

static Expr vec_load(Expander *w, Expr e)
{
    Exprs *x = w->x;
    const ExprNode n = *expr_node(x, e);
    const int buffer = (int)n.imm.i;
    Expr index[MAX_RANK];
    for (int k = 0; k < n.nargs; k++) {
        index[k] = expr_arg(x, e, k);
    }
    const Expr offset = buffer_offset(x, &w->in->buffer.at[buffer], index);
    int64_t stride = 0;
    Expr base = 0;
    const bool linear = expand_lane_linear(w, offset, &stride, &base);
    if (expand_in_registers(w, buffer)) {
        const int lanes = linear && stride == 1 ? w->lanes : 1;
        const int reg = linear && (stride == 0 || stride == 1)
                            ? expand_reg_at(w, buffer, base, lanes, false)
                            : (expand_demote(w, buffer), -1);
        return reg >= 0 ? expand_reg(w, reg) : expr_const(x, (DType)n.dtype, 0);
    }
    if (linear && stride == 0) {
        const Expr at = expand_term(w, base);
        return expr_raw(x, EX_VLOAD, (DType)n.dtype, 1, buffer, 1, &at);
    }
    if (linear && stride == 1) {
        const Expr args[2] = {expand_term(w, base), w->count};
        return w->count
                   ? expr_raw(x, EX_MLOAD, (DType)n.dtype, w->lanes, buffer, 2, args)
                   : expr_raw(x, EX_VLOAD, (DType)n.dtype, w->lanes, buffer, 1, args);
    }
    if (linear && !w->count) {
        const Expr offsets = expand_ramp(w, base, stride);
        return expr_raw(x, EX_GATHER, (DType)n.dtype, w->lanes, buffer, 1, &offsets);
    }
    const Expr clamped = expand_clamped(w, (DType)n.dtype, buffer, offset);
    return clamped ? clamped : gather(w, (DType)n.dtype, buffer, offset);
}

static Expr apply(Expander *w, ExprOp op, DType t, int lanes, int64_t imm, int n, const Expr *args)
{
    const Expr e = expr_raw(w->x, op, t, lanes, imm, n, args);
    return vecmath_is(w->x, e) ? vecmath_expand(w->x, e, args) : e;
}

static Expr vec_node(Expander *w, Expr e)
{
    Exprs *x = w->x;
    const ExprNode n = *expr_node(x, e);
    if (n.op == EX_LOAD) {
        return vec_load(w, e);
    }
    if (n.op == EX_VAR) {
        for (int k = w->wide_var.len - 1; k >= 0; k--) { /* the latest copy */
            if (w->wide_var.at[k] == e) {
                return w->wide_reg.at[k];
            }
        }
        if (e == w->lane) {
            const Expr zero = expr_int(x, 0);
            return expr_raw(x, EX_RAMP, DT_I64, w->lanes, 1, 1, &zero);
        }
        return e;
    }
    if (n.nargs == 0) {
        return e;
    }
    const Expr bordered = expand_border(w, e);
    if (bordered) {
        return bordered;
    }
    Expr *args = arena_array_of(w->ctx->arena, n.nargs, Expr);
    bool wide = false;
    bool changed = false;
    for (int k = 0; k < n.nargs; k++) {
        args[k] = expand_term(w, expr_arg(x, e, k));
        wide |= expand_lanes(w, args[k]) > 1;
        changed |= args[k] != expr_arg(x, e, k);
    }
    if (!wide) {
        const Expr same = changed ? expr_rebuild(x, e, args) : e;
        const ExprNode m = *expr_node(x, same);
        if (m.nargs && vecmath_is(x, same)) {
            for (int k = 0; k < m.nargs; k++) {
                args[k] = expr_arg(x, same, k);
            }
            return vecmath_expand(x, same, args);
        }
        return same;
    }
    for (int k = 0; k < n.nargs; k++) {
        args[k] = expand_widen(w, args[k]);
    }
    if (n.op == EX_ADD) { /* sums of index terms have any number of terms */
        Expr sum = args[0];
        for (int k = 1; k < n.nargs; k++) {
            const Expr pair[2] = {sum, args[k]};
            sum = expr_raw(x, EX_ADD, (DType)n.dtype, w->lanes, 0, 2, pair);
        }
        return sum;
    }
    return apply(w, (ExprOp)n.op, (DType)n.dtype, w->lanes, n.imm.i, n.nargs, args);
}

Expr expand_term(Expander *w, Expr e)
{
    const int known = intmap_get(&w->memo, e, 0);
    if (known) {
        return (Expr)known;
    }
    const Expr made = vec_node(w, e);
    intmap_put(&w->memo, e, (int)made);
    return made;
}

Expr expand_value(Expander *w, Expr e)
{
    w->memo = intmap_new(w->ctx->arena);
    return expand_term(w, expand_subst(w, e));
}
