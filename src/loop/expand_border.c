/* Expansion: loads of elements that may lie beyond a border, select(0 < i & i < 15, x[clamp(i -
 * 1)], 0). The lanes whose condition holds are neighbours, mostly, and what they read lies in a
 * row: then they are one load that does not touch the others, where else each lane would be loaded
 * on its own from its clamped place.
 *
 *     lanes   0 1 2 3 4 5 6 7        lane 0 is border
 *     x       . 0 1 2 3 4 5 6        mload8(x, -1, 8, 1, 1): offset of lane 0, lanes [1, 8), their distance
 *
 * Where rows are put together (concat), pieces mostly begin and end between two vectors:
 * x[min(k*16 + lane, 6399)] is 16 neighbours or, from 6400 on, one element 16 times. */
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
        *l = (BorderLanes){
            .first = k, .end = k + 1, .condition = condition, .offset = offset, .stride = 1};
        return true;
    }
    if (k != l->end || condition != l->condition ||
        !expr_is_int(w->x, expr_sub(w->x, offset, l->offset), &from_first)) {
        return false;
    }
    if (k == l->first + 1) {
        l->stride = from_first;
    }
    l->end = k + 1;
    return from_first == l->stride * (k - l->first) && l->stride >= 1 &&
           l->stride <= MAX_MLOAD_STRIDE;
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
    if (expr_node(x, load)->op != EX_LOAD || other != expr_float(x, DT_F32, 0) ||
        !expand_uses_lane(w, condition) || (w->count && !expr_is_int(x, w->count, &used))) {
        return 0;
    }
    const int buffer = (int)expr_node(x, load)->imm.i;
    BorderLanes l = {0};
    if (w->in->buffer.at[buffer].dtype != DT_F32 || expand_in_registers(w, buffer) ||
        !find_lanes(w, condition, load, (int)used, &l)) {
        return 0;
    }
    const Expr offset = expr_addi(x, l.offset, -l.stride * l.first);
    const Expr args[4] = {expand_term(w, offset), expr_int(x, l.end), expr_int(x, l.first),
                          expr_int(x, l.stride)};
    const Expr v = expr_raw(x, EX_MLOAD, DT_F32, w->lanes, buffer, 4, args);
    if (expr_is_int(x, l.condition, NULL)) {
        return v;
    }
    const Expr pick[3] = {expand_term(w, l.condition), v, expand_widen(w, other)};
    return expr_raw(x, EX_SELECT, DT_F32, w->lanes, 0, 3, pick);
}

/* rest + clamp(first + lane, low, high); low and high are numbers where they are set. */
typedef struct Clamp {
    Expr rest, first;
    int64_t low, high;
    bool has_low, has_high;
} Clamp;

static bool add_bound(Expander *w, Expr e, Clamp *c)
{
    const ExprNode *n = expr_node(w->x, e);
    int64_t bound;
    if (n->nargs != 2 || !expr_is_int(w->x, expr_arg(w->x, e, 1), &bound)) {
        return false;
    }
    if (n->op == EX_MIN) {
        c->high = c->has_high && c->high < bound ? c->high : bound;
        c->has_high = true;
    } else {
        c->low = c->has_low && c->low > bound ? c->low : bound;
        c->has_low = true;
    }
    return true;
}

/* Does e count in whole vectors from `from`? */
static bool in_vectors(Expander *w, Expr e, int64_t from)
{
    return expr_proves_multiple(w->x, expr_addi(w->x, e, -from), w->lanes);
}

static bool find_clamp(Expander *w, Expr offset, Clamp *c)
{
    Exprs *x = w->x;
    const bool sum = expr_node(x, offset)->op == EX_ADD;
    const int nterms = sum ? expr_node(x, offset)->nargs : 1;
    Expr e = 0;
    c->rest = expr_int(x, 0);
    for (int k = 0; k < nterms; k++) {
        const Expr term = sum ? expr_arg(x, offset, k) : offset;
        if (!expand_uses_lane(w, term)) {
            c->rest = expr_add(x, c->rest, term);
        } else if (e) {
            return false;
        } else {
            e = term;
        }
    }
    while (e && (expr_node(x, e)->op == EX_MIN || expr_node(x, e)->op == EX_MAX)) {
        if (!add_bound(w, e, c)) {
            return false;
        }
        e = expr_arg(x, e, 0);
    }
    int64_t stride;
    return e && (c->has_low || c->has_high) && expand_lane_linear(w, e, &stride, &c->first) &&
           stride == 1 && (!c->has_low || in_vectors(w, c->first, c->low)) &&
           (!c->has_high || in_vectors(w, c->first, c->high + 1)) &&
           (!c->has_low || !c->has_high || c->low <= c->high);
}

Expr expand_clamped(Expander *w, DType t, int buffer, Expr offset)
{
    Exprs *x = w->x;
    Clamp c = {0};
    if (w->count || w->lanes < 4 || !find_clamp(w, offset, &c)) {
        return 0;
    }
    Expr inside = 0, one = c.first;
    if (c.has_high) {
        inside = expr_le(x, c.first, expr_int(x, c.high));
        one = expr_min(x, one, expr_int(x, c.high));
    }
    if (c.has_low) {
        const Expr from = expr_le(x, expr_int(x, c.low), c.first);
        inside = inside ? expr_and(x, inside, from) : from;
        one = expr_max(x, one, expr_int(x, c.low));
    }
    const Expr all = expand_term(w, expr_add(x, c.rest, c.first)),
               edge = expand_term(w, expr_add(x, c.rest, one));
    const Expr v = expr_raw(x, EX_VLOAD, t, w->lanes, buffer, 1, &all);
    const Expr same = expand_widen(w, expr_raw(x, EX_VLOAD, t, 1, buffer, 1, &edge));
    const Expr args[3] = {expand_term(w, inside), v, same};
    return expr_raw(x, EX_RARE, t, w->lanes, 1, 3, args); /* inside, usually */
}
