/* Expansion: loads of elements that may lie beyond a border, select(0 < i & i < 15, x[clamp(i - 1)], 0). The lanes whose
 * condition holds are neighbours, mostly, and what they read lies in a row: then they are one load that does not touch the
 * others, where else each lane would be loaded on its own from its clamped place.
 *
 *     lanes   0 1 2 3 4 5 6 7        lane 0 is border
 *     x       . 0 1 2 3 4 5 6        mload8(x, -1, 8, 1, 1): offset of lane 0, lanes [1, 8), their distance */
#include "loop/expand_parts.h"
#include "loop/offset.h"

typedef struct BorderLanes {
    int first, end;   /* that are inside */
    Expr condition;   /* for all of them, beside that */
    Expr offset;      /* of the first */
    int64_t stride;
} BorderLanes;

static Expr at_lane(Expander *w, Expr e, int k)
{
    const Expr lane = expr_int(w->x, k);
    return expr_subst(w->x, e, 1, &w->lane, &lane);
}

/* Adds lane k, which is inside: it must be the next one, at the same distance. */
static bool add_lane(Expander *w, BorderLanes *l, int k, Expr condition, Expr offset)
{
    int64_t from_first;
    if (l->end == l->first) {
        *l = (BorderLanes){.first = k, .end = k + 1, .condition = condition, .offset = offset, .stride = 1};
        return true;
    }
    if (k != l->end || condition != l->condition || !expr_is_int(w->x, expr_sub(w->x, offset, l->offset), &from_first)) {
        return false;
    }
    if (k == l->first + 1) {
        l->stride = from_first;
    }
    l->end = k + 1;
    return from_first == l->stride * (k - l->first) && l->stride >= 1 && l->stride <= MAX_MLOAD_STRIDE;
}

static bool find_lanes(Expander *w, Expr condition, Expr load, int used, BorderLanes *l)
{
    Exprs *x = w->x;
    const int buffer = (int)expr_node(x, load)->imm.i;
    for (int k = 0; k < used; k++) {
        const Expr inside = at_lane(w, condition, k);
        int64_t known = 1;
        if (expr_is_int(x, inside, &known) && !known) {
            continue;
        }
        Expr index[MAX_RANK];
        for (int d = 0; d < expr_node(x, load)->nargs; d++) {
            index[d] = at_lane(w, expr_arg(x, load, d), k);
        }
        if (!add_lane(w, l, k, inside, buffer_offset(x, &w->in->buffer.at[buffer], index))) {
            return false;
        }
    }
    return l->end > l->first;
}

Expr expand_border(Expander *w, Expr e)
{
    Exprs *x = w->x;
    const ExprNode n = *expr_node(x, e);
    if (n.op != EX_SELECT || w->lanes < 4 || w->lanes > MAX_MLOAD_LANES || n.dtype != DT_F32) {
        return 0;
    }
    const Expr condition = expr_arg(x, e, 0), load = expr_arg(x, e, 1), other = expr_arg(x, e, 2);
    int64_t used = w->lanes;
    if (expr_node(x, load)->op != EX_LOAD || other != expr_float(x, DT_F32, 0) || !expand_uses_lane(w, condition) ||
        (w->count && !expr_is_int(x, w->count, &used))) {
        return 0;
    }
    const int buffer = (int)expr_node(x, load)->imm.i;
    BorderLanes l = {0};
    if (w->in->buffer.at[buffer].dtype != DT_F32 || expand_in_registers(w, buffer) ||
        !find_lanes(w, condition, load, (int)used, &l)) {
        return 0;
    }
    const Expr offset = expr_addi(x, l.offset, -l.stride * l.first);
    const Expr args[4] = {expand_term(w, offset), expr_int(x, l.end), expr_int(x, l.first), expr_int(x, l.stride)};
    const Expr v = expr_raw(x, EX_MLOAD, DT_F32, w->lanes, buffer, 4, args);
    if (expr_is_int(x, l.condition, NULL)) {
        return v;
    }
    const Expr pick[3] = {expand_term(w, l.condition), v, expand_widen(w, other)};
    return expr_raw(x, EX_SELECT, DT_F32, w->lanes, 0, 3, pick);
}
