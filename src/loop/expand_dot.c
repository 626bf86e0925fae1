/* Expansion: a loop that an instruction runs (`dot`, loop/intrinsic.h).
 *
 *     for n0 < 16 vector                        r0 = vdpbf16ps(bcast(vload2(x, ..), 32), vload32(w, ..), r0)
 *       for k1 < 2 dot                    ->
 *         acc[n0] = fma(x[.. k1], w[.. k1, n0], acc[n0])
 *
 * One factor must be the same in all lanes and lie in groups, the other lane by lane in groups. */
#include "loop/access.h"
#include "loop/expand_parts.h"
#include "loop/intrinsic.h"
#include "loop/offset.h"

typedef struct Factor {
    DType type;    /* in memory */
    int buffer;
    Expr base;     /* offset of its first element */
    int64_t lane;  /* elements from lane to lane */
} Factor;

/* Where the load is: elements of the group side by side? */
static bool place_factor(Expander *w, Expr load, Expr member, Factor *f)
{
    Exprs *x = w->x;
    const ExprNode n = *expr_node(x, load);
    Expr index[MAX_RANK], coef, rest;
    int64_t one;
    for (int k = 0; k < n.nargs; k++) {
        index[k] = expand_subst(w, expr_arg(x, load, k));
    }
    f->buffer = (int)n.imm.i;
    f->type = w->in->buffer.at[f->buffer].dtype;
    const Expr offset = buffer_offset(x, &w->in->buffer.at[f->buffer], index);
    return w->in->buffer.at[f->buffer].scope != SCOPE_REG &&
           expr_linear_in(x, offset, (int)expr_node(x, member)->imm.i, &coef, &rest) &&
           expr_is_int(x, coef, &one) && one == 1 &&
           expand_lane_linear(w, rest, &f->lane, &f->base);
}

static Expr load_factor(Expander *w, const Factor *f, int group)
{
    Exprs *x = w->x;
    const DType t = dtype_compute(f->type);
    const Expr at = expand_term(w, f->base);
    const int lanes = group * w->lanes;
    if (f->lane) {
        return expr_raw(x, EX_VLOAD, t, lanes, f->buffer, 1, &at);
    }
    const Expr one = expr_raw(x, EX_VLOAD, t, group, f->buffer, 1, &at);
    return expr_raw(x, EX_BROADCAST, t, lanes, 0, 1, &one);
}

/* The register that the statement adds to; -1. */
static int sum_register(Expander *w, const LoopStmt *store, Expr sum)
{
    Exprs *x = w->x;
    const LoopBuffer *b = &w->in->buffer.at[store->buffer];
    Expr index[MAX_RANK];
    if (!expand_in_registers(w, store->buffer) || expr_node(x, sum)->op != EX_LOAD ||
        expr_node(x, sum)->imm.i != store->buffer) {
        return -1;
    }
    for (int k = 0; k < store->nindex; k++) {
        if (expr_arg(x, sum, k) != store->index[k]) {
            return -1;
        }
        index[k] = expand_subst(w, store->index[k]);
    }
    int64_t stride;
    Expr base;
    if (!expand_lane_linear(w, buffer_offset(x, b, index), &stride, &base) || stride != 1) {
        return -1;
    }
    return expand_reg_at(w, store->buffer, base, w->lanes, true);
}

static bool is_vector(const Expander *w)
{
    return w->lane && !w->count && w->lanes >= 4 && w->lanes * 4 <= w->target->vector_bytes;
}

bool expand_dot(Expander *w, int stmt, int64_t extent, int parent)
{
    Exprs *x = w->x;
    const LoopStmt loop = w->in->stmt.at[stmt];
    const LoopStmt store = w->in->stmt.at[loop.child.len == 1 ? loop.child.at[0] : stmt];
    Expr factor[2], sum;
    if (!is_vector(w) || store.op != L_STORE ||
        !product_terms(x, store.value, &factor[0], &factor[1], &sum)) {
        return false;
    }
    const int depth = w->from.len;
    const Expr member = expr_loop_var(x, "member", expr_int(x, extent));
    vec_push(w->ctx->arena, &w->from, loop.var);
    vec_push(w->ctx->arena, &w->to, member);
    Factor f[2];
    const bool placed =
        place_factor(w, factor[0], member, &f[0]) && place_factor(w, factor[1], member, &f[1]);
    w->from.len = w->to.len = depth;
    if (!placed) {
        return false;
    }
    bool swap = false;
    const int row = intrinsic_find(w->target, f[0].type, f[1].type, expr_type(x, sum), &swap);
    const int group = row < 0 ? 0 : intrinsic_row(row)->group;
    const bool in_lanes =
        f[0].lane == group ? f[1].lane == 0 : f[1].lane == group && f[0].lane == 0;
    const int reg = row < 0 || extent != group || !in_lanes ? -1 : sum_register(w, &store, sum);
    if (reg < 0) {
        return false;
    }
    w->memo = intmap_new(w->ctx->arena);
    const Expr args[3] = {load_factor(w, &f[swap], group), load_factor(w, &f[!swap], group),
                          expand_reg(w, reg)};
    const LoopReg r = w->out->reg.at[reg];
    expand_set(w, reg, expr_raw(x, EX_DOT, r.dtype, r.lanes, row, 3, args), parent);
    return true;
}
