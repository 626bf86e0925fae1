/* RotaryEmbedding, SwiGLU and CausalConvWithState: the small ops around attention. */
#include <string.h>

#include "op/activation.h"
#include "op/table.h"

/* ---- RotaryEmbedding ---- */

/* x (B,H,S,D), or (B,S,H*D) with the attribute num_heads. */
static Expr head_size(Exprs *x, const Node *node, int rank, const Expr *dim)
{
    return rank == 4 ? dim[3] : expr_divi(x, dim[2], node_int(node, "num_heads", 1));
}

void infer_rotary_embedding(const Infer *f)
{
    const Value *x = infer_in(f, 0), *cos = infer_in(f, 1), *sin = infer_in(f, 2);
    if (x->rank != 3 && x->rank != 4)
        infer_fail(f, "the input must have rank 3 or 4");
    if (x->rank == 3 && node_int(f->node, "num_heads", 0) < 1)
        infer_fail(f, "num_heads must be given for an input of rank 3");
    const int rank = infer_has(f, 3) ? 2 : 3;
    if (cos->rank != rank || sin->rank != rank)
        infer_fail(f, "the caches must have rank %d", rank);
    const int64_t rotary = node_int(f->node, "rotary_embedding_dim", 0);
    const Expr size = rotary ? expr_int(f->x, rotary) : head_size(f->x, f->node, x->rank, x->dim);
    const Expr half = expr_divi(f->x, size, 2);
    infer_require_equal(f, cos->dim[rank - 1], half, "last dim of the cosine cache");
    infer_require_equal(f, sin->dim[rank - 1], half, "last dim of the sine cache");
    infer_same(f, 0, 0);
}

/* Element (b, s, pair) of a cache: by position where there are position ids. */
static Expr rotary_cache(const Define *d, int k, Expr b, Expr s, Expr pair)
{
    Exprs *x = d->x;
    if (!define_has(d, 3))
        return define_load(d, k, (const Expr[]){b, s, pair});
    const Expr last = expr_addi(x, define_dim(d, k, 0), -1);
    Expr position = expr_cast(x, DT_I64, define_load(d, 3, (const Expr[]){b, s}));
    position = expr_min(x, expr_max(x, position, expr_int(x, 0)), last);
    return define_load(d, k, (const Expr[]){position, pair});
}

/* y[i] = cos x[i] -+ sin x[partner]: the pair (x1, x2) is turned by the angle of its position. */
void define_rotary_embedding(Define *d)
{
    Exprs *x = d->x;
    const StageBuild b = define_begin(d, 0);
    const bool packed = define_rank(d, 0) == 3;
    const Expr size = head_size(x, d->node, define_rank(d, 0), define_in(d, 0)->dim);
    const int64_t rotary = node_int(d->node, "rotary_embedding_dim", 0);
    const Expr turned = rotary ? expr_int(x, rotary) : size, half = expr_divi(x, turned, 2);
    const Expr s = packed ? b.i[1] : b.i[2];
    const Expr i = packed ? expr_mod(x, b.i[2], size) : b.i[3];

    Expr first, pair, partner;
    if (node_int(d->node, "interleaved", 0)) {
        const Expr odd = expr_modi(x, i, 2);
        first = expr_eq(x, odd, expr_int(x, 0));
        pair = expr_divi(x, i, 2);
        partner = expr_add(x, i, expr_addi(x, expr_muli(x, odd, -2), 1));
    } else {
        first = expr_lt(x, i, half);
        pair = expr_select(x, first, i, expr_sub(x, i, half));
        partner = expr_select(x, first, expr_add(x, i, half), pair);
    }
    if (turned != size) { /* what is not turned loads within bounds too */
        pair = expr_min(x, pair, expr_addi(x, half, -1));
        partner = expr_min(x, partner, expr_addi(x, turned, -1));
    }
    Expr at[4] = {b.i[0], b.i[1], b.i[2], b.i[3]};
    at[packed ? 2 : 3] = packed ? expr_add(x, expr_sub(x, b.i[2], i), partner) : partner;
    const Expr x1 = define_load(d, 0, b.i), x2 = define_load(d, 0, at);
    const Expr sin = rotary_cache(d, 2, b.i[0], s, pair);
    const Expr cos = rotary_cache(d, 1, b.i[0], s, pair);
    const Expr sign = expr_select(x, first, expr_un(x, EX_NEG, sin), sin);
    Expr y = expr_add(x, expr_mul(x, cos, x1), expr_mul(x, sign, x2));
    if (turned != size)
        y = expr_select(x, expr_lt(x, i, turned), y, x1);
    define_map(d, 0, &b, y);
}

/* ---- SwiGLU ---- */

void infer_swiglu(const Infer *f)
{
    const Value *a = infer_in(f, 0), *b = infer_in(f, 1);
    if (!b)
        infer_fail(f, "input 1 is missing");
    if (a->dtype != b->dtype || a->rank != b->rank)
        infer_fail(f, "both inputs must have one type and shape");
    for (int k = 0; k < a->rank; k++)
        infer_require_equal(f, a->dim[k], b->dim[k], "shapes of the inputs");
    infer_same(f, 0, 0);
}

void define_swiglu(Define *d)
{
    const StageBuild b = define_begin(d, 0);
    const Expr gate =
        activation_swish(d->x, define_load(d, 0, b.i), node_float(d->node, "alpha", 1));
    define_map(d, 0, &b, expr_mul(d->x, gate, define_load(d, 1, b.i)));
}

/* ---- CausalConvWithState ---- */

/* x (B,C,L), w (C,1,K), bias (C), past (B,C,K-1) -> y (B,C,L), present (B,C,K-1) */
void infer_causal_conv_with_state(const Infer *f)
{
    const Value *x = infer_in(f, 0), *w = infer_in(f, 1), *past = infer_in(f, 3);
    if (x->rank != 3 || w->rank != 3)
        infer_fail(f, "input and weight must have rank 3");
    infer_require_equal(f, w->dim[0], x->dim[1], "channels of the weight");
    infer_require_equal(f, w->dim[1], expr_int(f->x, 1), "dim 1 of the weight");
    const char *activation = node_string(f->node, "activation", "none");
    if (strcmp(activation, "none") && strcmp(activation, "silu") && strcmp(activation, "swish"))
        infer_fail(f, "unknown activation '%s'", activation);
    const Expr dims[3] = {x->dim[0], x->dim[1], expr_addi(f->x, w->dim[2], -1)};
    if (past) {
        if (past->rank != 3)
            infer_fail(f, "the past state must have rank 3");
        for (int k = 0; k < 3; k++)
            infer_require_equal(f, past->dim[k], dims[k], "the past state");
    }
    const DType type = x->dtype;
    infer_same(f, 0, 0);
    infer_out(f, 1, type, 3, dims);
}

/* Position p of the past (K-1 elements) followed by the input. */
static Expr causal_at(const Define *d, Expr b, Expr c, Expr p)
{
    Exprs *x = d->x;
    const Expr before = expr_addi(x, define_dim(d, 1, 2), -1), zero = expr_int(x, 0);
    int64_t n;
    const bool has_before = !expr_is_int(x, before, &n) || n > 0;
    const bool has_input = !expr_is_int(x, define_dim(d, 0, 2), &n) || n > 0;
    const Expr nothing = expr_const(x, dtype_compute(define_in(d, 0)->dtype), 0);
    Expr past = nothing, now = nothing;
    if (has_before && define_has(d, 3)) {
        const Expr at = expr_min(x, p, expr_addi(x, before, -1));
        past = define_load(d, 3, (const Expr[]){b, c, at});
    }
    if (has_input)
        now = define_load(d, 0, (const Expr[]){b, c, expr_max(x, expr_sub(x, p, before), zero)});
    return has_before ? expr_select(x, expr_lt(x, p, before), past, now) : now;
}

void define_causal_conv_with_state(Define *d)
{
    Exprs *x = d->x;
    StageBuild b = define_begin(d, 0);
    const Expr taps = define_dim(d, 1, 2);
    stage_reduce_axes(d->s, &b, 1, &taps);
    const Expr v = causal_at(d, b.i[0], b.i[1], expr_add(x, b.i[2], b.r[0]));
    const Expr w = define_load(d, 1, (const Expr[]){b.i[1], expr_int(x, 0), b.r[0]});
    const DType type = expr_type(x, v);
    const Expr state = expr_state(x, type, 0), state2 = expr_state2(x, type, 0);
    const int sum = stage_reduce(d->s, &b, "conv", type, expr_const(x, type, 0),
                                 expr_fma(x, w, v, state), expr_add(x, state, state2));
    const StageBuild m = define_begin(d, 0);
    Expr y = stages_load(d->s, sum, m.i);
    if (define_has(d, 2))
        y = expr_add(x, y, define_load(d, 2, &m.i[1]));
    if (strcmp(node_string(d->node, "activation", "none"), "none"))
        y = activation_swish(x, y, 1);
    define_map(d, 0, &m, y);

    if (d->node->nout > 1 && d->node->out[1] >= 0) {
        const StageBuild p = define_begin(d, 1);
        const Expr at = expr_add(x, p.i[2], define_dim(d, 0, 2));
        define_map(d, 1, &p, causal_at(d, p.i[0], p.i[1], at));
    }
}
