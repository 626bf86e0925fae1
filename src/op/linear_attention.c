/* LinearAttention: a state (B,H,K,V) that every token decays, corrects and writes to.
 *
 *     S_t = decay_t S_{t-1} + k_t (x) u_t        u_t = v_t, or beta_t (v_t - k_t . decay_t S_{t-1})
 *     y_t = scale q_t . S_t
 *
 * The state is a SCAN over t; what a token reads of the state before it is a REDUCE inside the
 * cycle. */
#include <math.h>
#include <string.h>

#include "op/table.h"

enum { IN_QUERY, IN_KEY, IN_VALUE, IN_PAST, IN_DECAY, IN_BETA };

typedef struct LinearRule {
    bool gated, delta;
} LinearRule;

static bool rule_of(const Node *node, LinearRule *r)
{
    const char *name = node_string(node, "update_rule", "gated_delta");
    *r = (LinearRule){.gated = !strncmp(name, "gated", 5),
                      .delta = !strcmp(name, "delta") || !strcmp(name, "gated_delta")};
    return r->delta || !strcmp(name, "gated") || !strcmp(name, "linear");
}

void infer_linear_attention(const Infer *f)
{
    Exprs *x = f->x;
    const int64_t hq = node_int(f->node, "q_num_heads", 0),
                  hkv = node_int(f->node, "kv_num_heads", 0);
    if (hq < 1 || hkv < 1 || hq % hkv != 0)
        infer_fail(f, "%lld query heads cannot share %lld key heads", (long long)hq,
                   (long long)hkv);
    LinearRule rule;
    if (!rule_of(f->node, &rule))
        infer_fail(f, "unknown update_rule '%s'", node_string(f->node, "update_rule", ""));
    if (rule.gated && !infer_has(f, IN_DECAY))
        infer_fail(f, "this update_rule needs a decay");
    if (rule.delta && !infer_has(f, IN_BETA))
        infer_fail(f, "this update_rule needs a beta");
    for (int k = 0; k <= IN_BETA; k++)
        if (infer_has(f, k) && infer_in(f, k)->rank != (k == IN_PAST ? 4 : 3))
            infer_fail(f, "input %d has rank %d", k, infer_in(f, k)->rank);
    const Value *q = infer_in(f, IN_QUERY), *k = infer_in(f, IN_KEY), *v = infer_in(f, IN_VALUE),
                *past = infer_in(f, IN_PAST);
    const Expr dk = expr_divi(x, k->dim[2], hkv), dv = expr_divi(x, v->dim[2], hkv);
    infer_require_equal(f, expr_divi(x, q->dim[2], hq), dk, "head size of query and key");
    infer_require_equal(f, q->dim[1], k->dim[1], "length of query and key");
    infer_require_equal(f, k->dim[1], v->dim[1], "length of key and value");
    const Expr y[3] = {q->dim[0], q->dim[1], expr_muli(x, dv, hq)};
    const Expr state[4] = {q->dim[0], expr_int(x, hkv), dk, dv};
    for (int i = 0; past && i < 4; i++)
        infer_require_equal(f, past->dim[i], state[i], "shape of the past state");
    const DType t = q->dtype, ts = past ? past->dtype : t;
    infer_out(f, 0, t, 3, y);
    infer_out(f, 1, ts, 4, state);
}

typedef struct Linear {
    Define *d;
    Exprs *x;
    LinearRule rule;
    Expr batch, tokens, dk, dv;
    int64_t heads, group; /* key heads, query heads per key head */
    int state;            /* (T,B,H,K,V), declared before it is defined */
} Linear;

/* Element c of a head in a packed input (B,T,H*size). */
static Expr load_head(const Linear *l, int k, Expr t, Expr b, Expr head, Expr size, Expr c)
{
    const Expr at = expr_add(l->x, expr_mul(l->x, head, size), c);
    return define_load(l->d, k, (const Expr[]){b, t, at});
}

/* An input (B,T,H*K), (B,T,H) or (B,T,1): per key dim, per head, or for all. */
static Expr load_gate(const Linear *l, int k, Expr t, Expr b, Expr head, Expr c)
{
    const Expr last = define_dim(l->d, k, 2);
    if (last == expr_int(l->x, l->heads))
        return define_load(l->d, k, (const Expr[]){b, t, head});
    if (last == expr_int(l->x, 1))
        return define_load(l->d, k, (const Expr[]){b, t, expr_int(l->x, 0)});
    return load_head(l, k, t, b, head, l->dk, c);
}

/* decay_t S_{t-1} at (t,b,h,k,v). */
static Expr decayed_state(const Linear *l, Expr t, Expr b, Expr h, Expr k, Expr v)
{
    Exprs *x = l->x;
    const Expr zero = expr_int(x, 0);
    const Expr before[5] = {expr_max(x, expr_addi(x, t, -1), zero), b, h, k, v};
    const Expr past = define_has(l->d, IN_PAST) ? define_load(l->d, IN_PAST, before + 1)
                                                : expr_const(x, DT_F32, 0);
    const Expr s =
        expr_select(x, expr_eq(x, t, zero), past, stages_load(l->d->s, l->state, before));
    if (!l->rule.gated)
        return s;
    return expr_mul(x, s, expr_un(x, EX_EXP, load_gate(l, IN_DECAY, t, b, h, k)));
}

/* What the state before token t holds for its key: (T,B,H,V). */
static int linear_retrieved(const Linear *l)
{
    Exprs *x = l->x;
    const Expr dims[4] = {l->tokens, l->batch, expr_int(x, l->heads), l->dv};
    StageBuild b = stage_begin(l->d->s, 4, dims);
    stage_reduce_axes(l->d->s, &b, 1, &l->dk);
    const Expr s = decayed_state(l, b.i[0], b.i[1], b.i[2], b.r[0], b.i[3]);
    const Expr k = load_head(l, IN_KEY, b.i[0], b.i[1], b.i[2], l->dk, b.r[0]);
    const Expr state = expr_state(x, DT_F32, 0), state2 = expr_state2(x, DT_F32, 0);
    return stage_reduce(l->d->s, &b, "retrieved", DT_F32, expr_const(x, DT_F32, 0),
                        expr_fma(x, s, k, state), expr_add(x, state, state2));
}

static void linear_state(const Linear *l, const Expr dims[5])
{
    Exprs *x = l->x;
    const int retrieved = l->rule.delta ? linear_retrieved(l) : -1;
    const StageBuild b = stage_begin(l->d->s, 5, dims);
    const Expr t = b.i[0], n = b.i[1], h = b.i[2], k = b.i[3], v = b.i[4];
    Expr u = load_head(l, IN_VALUE, t, n, h, l->dv, v);
    if (l->rule.delta) {
        const Expr r = stages_load(l->d->s, retrieved, (const Expr[]){t, n, h, v});
        u = expr_mul(x, load_gate(l, IN_BETA, t, n, h, expr_int(x, 0)), expr_sub(x, u, r));
    }
    const Expr key = load_head(l, IN_KEY, t, n, h, l->dk, k);
    stage_scan_define(l->d->s, &b, l->state, 0,
                      expr_fma(x, key, u, decayed_state(l, t, n, h, k, v)));
}

/* y (B,T,Hq*V) */
static void linear_read(const Linear *l)
{
    Exprs *x = l->x;
    StageBuild b = define_begin(l->d, 0);
    stage_reduce_axes(l->d->s, &b, 1, &l->dk);
    const Expr head = expr_div(x, b.i[2], l->dv), v = expr_mod(x, b.i[2], l->dv);
    const Expr q = load_head(l, IN_QUERY, b.i[1], b.i[0], head, l->dk, b.r[0]);
    const Expr s = stages_load(
        l->d->s, l->state, (const Expr[]){b.i[1], b.i[0], expr_divi(x, head, l->group), b.r[0], v});
    const Expr state = expr_state(x, DT_F32, 0), state2 = expr_state2(x, DT_F32, 0);
    const int sum = stage_reduce(l->d->s, &b, "read", DT_F32, expr_const(x, DT_F32, 0),
                                 expr_fma(x, q, s, state), expr_add(x, state, state2));
    const double given = node_float(l->d->node, "scale", 0);
    const Expr size = expr_cast(x, DT_F32, l->dk), one = expr_const(x, DT_F32, 1);
    const Expr scale =
        given != 0 ? expr_const(x, DT_F32, given) : expr_div(x, one, expr_un(x, EX_SQRT, size));
    const StageBuild m = define_begin(l->d, 0);
    define_map(l->d, 0, &m, expr_mul(x, stages_load(l->d->s, sum, m.i), scale));
}

void define_linear_attention(Define *d)
{
    Exprs *x = d->x;
    Linear l = {.d = d, .x = x, .heads = node_int(d->node, "kv_num_heads", 1)};
    rule_of(d->node, &l.rule);
    l.group = node_int(d->node, "q_num_heads", 1) / l.heads;
    l.batch = define_dim(d, IN_QUERY, 0);
    l.tokens = define_dim(d, IN_QUERY, 1);
    l.dk = expr_divi(x, define_dim(d, IN_KEY, 2), l.heads);
    l.dv = expr_divi(x, define_dim(d, IN_VALUE, 2), l.heads);
    const Expr dims[5] = {l.tokens, l.batch, expr_int(x, l.heads), l.dk, l.dv};
    l.state = stage_scan_declare(d->s, "state", DT_F32, 5, dims);
    linear_state(&l, dims);
    linear_read(&l);
    if (d->node->nout > 1 && d->node->out[1] >= 0) {
        const StageBuild b = define_begin(d, 1);
        const Expr at[5] = {expr_addi(x, l.tokens, -1), b.i[0], b.i[1], b.i[2], b.i[3]};
        define_map(d, 1, &b, stages_load(d->s, l.state, at));
    }
}
