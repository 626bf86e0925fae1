/* Attention and LinearAttention.
 *
 * Attention is a list of stages, kept apart so that a schedule may fuse them:
 *
 *     keys    (B,H,d,T)      k transposed                 map
 *     scores  (B,H,S,T; d)   sum of q k                   reduce
 *     logits  (B,H,S,T)      scale, soft cap, masks       map
 *     max     (B,H,S; t)                                  reduce
 *     weight  (B,H,S,T)      exp(logits - max)            map
 *     sum     (B,H,S; t)     of the weights               reduce
 *     y       (B,H,S,D; t)   sum of weight v              reduce, then / sum
 *
 * exp is taken once an element, and the division is of the results, which are fewer. The keys are
 * transposed so that scores are a product whose right side is contiguous along the result's rows.
 *
 * Two things are no ONNX's, but of pass/raise_attention: an eighth input, which says where scores
 * count, and `unseen`, what they are elsewhere, before the mask is added; and `nan_is_zero`: rows
 * whose softmax is NaN are zero.
 *
 * B batch, H query heads in groups that share one key/value head, S queries, T keys with the
 * cache. */
#include <math.h>
#include <string.h>

#include "op/table.h"

enum { IN_Q, IN_K, IN_V, IN_MASK, IN_PAST_KEY, IN_PAST_VALUE, IN_LENGTHS, IN_SEEN };
enum { OUT_Y, OUT_PRESENT_KEY, OUT_PRESENT_VALUE, OUT_QK };

/* ---- inference ---- */

/* Dims of an operand as (B, heads, S, D), from 4-D, or 3-D (B, S, heads * D). */
static void unpack_dims(Exprs *x, int rank, const Expr *dim, int64_t heads, Expr out[4])
{
    if (rank == 4) {
        memcpy(out, dim, 4 * sizeof *out);
        return;
    }
    out[0] = dim[0];
    out[1] = expr_int(x, heads);
    out[2] = dim[1];
    out[3] = expr_divi(x, dim[2], heads);
}

static void infer_operand(const Infer *f, int k, const char *heads_attr, Expr out[4])
{
    const Value *v = infer_in(f, k);
    if (v->rank != infer_in(f, IN_Q)->rank || (v->rank != 3 && v->rank != 4))
        infer_fail(f, "query, key and value must all have rank 3 or all rank 4");
    const int64_t heads = node_int(f->node, heads_attr, 0);
    int64_t n;
    if (v->rank == 3 && heads < 1)
        infer_fail(f, "%s must be given for inputs of rank 3", heads_attr);
    if (v->rank == 3 && infer_dim_is(f, v->dim[2], &n) && n % heads != 0)
        infer_fail(f, "%lld elements cannot be split into %lld heads", (long long)n,
                   (long long)heads);
    unpack_dims(f->x, v->rank, v->dim, heads, out);
}

static void check_cache(const Infer *f)
{
    if (infer_has(f, IN_PAST_KEY) != infer_has(f, IN_PAST_VALUE))
        infer_fail(f, "past key and past value must be used together");
    if (infer_has(f, IN_PAST_KEY) && infer_has(f, IN_LENGTHS))
        infer_fail(f, "nonpad_kv_seqlen cannot be combined with a past key");
    for (int k = IN_PAST_KEY; k <= IN_PAST_VALUE; k++)
        if (infer_has(f, k) && infer_in(f, k)->rank != 4)
            infer_fail(f, "past key and value must have rank 4");
    if (infer_has(f, IN_LENGTHS) && infer_in(f, IN_LENGTHS)->rank != 1)
        infer_fail(f, "nonpad_kv_seqlen must be a vector");
}

void infer_attention(const Infer *f)
{
    Exprs *x = f->x;
    Expr q[4], k[4], v[4];
    infer_operand(f, IN_Q, "q_num_heads", q);
    infer_operand(f, IN_K, "kv_num_heads", k);
    infer_operand(f, IN_V, "kv_num_heads", v);
    check_cache(f);
    infer_require_equal(f, q[0], k[0], "batch of query and key");
    infer_require_equal(f, k[0], v[0], "batch of key and value");
    infer_require_equal(f, q[3], k[3], "head size of query and key");
    infer_require_equal(f, k[1], v[1], "heads of key and value");
    infer_require_equal(f, k[2], v[2], "length of key and value");
    int64_t hq, hk;
    if (!infer_dim_is(f, q[1], &hq) || !infer_dim_is(f, k[1], &hk))
        infer_unsupported(f, "the number of heads must be known");
    if (hk < 1 || hq % hk != 0)
        infer_fail(f, "%lld query heads cannot share %lld key heads", (long long)hq, (long long)hk);
    if (infer_has(f, IN_PAST_KEY)) {
        const Expr past = infer_in(f, IN_PAST_KEY)->dim[2];
        infer_require_equal(f, past, infer_in(f, IN_PAST_VALUE)->dim[2], "length of the cache");
        k[2] = v[2] = expr_add(x, past, k[2]);
    }
    const Value *mask = infer_in(f, IN_MASK);
    if (mask && (mask->rank < 1 || mask->rank > 4))
        infer_fail(f, "the mask must have rank 1 to 4");
    if (infer_has(f, IN_SEEN) != (node_attr(f->node, "unseen") != NULL))
        infer_fail(f, "an eighth input is no ONNX");
    const DType t1 = infer_in(f, IN_Q)->dtype, t2 = infer_in(f, IN_V)->dtype;
    const Expr y4[4] = {q[0], q[1], q[2], v[3]};
    const Expr y3[3] = {q[0], q[2], expr_mul(x, q[1], v[3])};
    const Expr qk[4] = {q[0], q[1], q[2], k[2]};
    const bool packed = infer_in(f, IN_Q)->rank == 3;
    infer_out(f, OUT_Y, t1, packed ? 3 : 4, packed ? y3 : y4);
    infer_out(f, OUT_PRESENT_KEY, t1, 4, k);
    infer_out(f, OUT_PRESENT_VALUE, t2, 4, v);
    infer_out(f, OUT_QK, t1, 4, qk);
}

/* ---- definition ---- */

typedef struct Attention {
    Define *d;
    Exprs *x;
    DType acc;             /* of products and softmax: f32 or f64 */
    Expr q[4], k[4], v[4]; /* (B, heads, length, size); k and v with the cache */
    Expr past;             /* length of the cache; 0: none */
    int64_t group;         /* query heads per key head */
    int key, value;        /* with the cache, (B,heads,T,D); -1: read the input */
} Attention;

static bool wants(const Define *d, int k)
{
    return k < d->node->nout && d->node->out[k] >= 0;
}

/* Input k at (b, head, i, c), where it is packed too. */
static Expr load_operand(const Attention *a, int k, const Expr dims[4], const Expr i[4])
{
    Exprs *x = a->x;
    if (define_rank(a->d, k) == 4)
        return define_load(a->d, k, i);
    const Expr packed = expr_add(x, expr_mul(x, i[1], dims[3]), i[3]);
    return define_load(a->d, k, (const Expr[]){i[0], i[2], packed});
}

/* The cache followed by the input, or the input alone in 4-D: a tensor of the input's type. */
static int concat_past(const Attention *a, int in, int past, const Expr dims[4], const char *name)
{
    Exprs *x = a->x;
    const StageBuild b = stage_begin(a->d->s, 4, dims);
    Expr i[4];
    memcpy(i, b.i, sizeof i);
    Expr now = 0, before = 0, value;
    int64_t n;
    const bool some = a->past && !(expr_is_int(x, a->past, &n) && n == 0);
    if (some) {
        i[2] = expr_min(x, b.i[2], expr_addi(x, a->past, -1));
        before = define_load(a->d, past, i);
        i[2] = expr_max(x, expr_sub(x, b.i[2], a->past), expr_int(x, 0));
    }
    now = load_operand(a, in, dims, i);
    value = some ? expr_select(x, expr_lt(x, b.i[2], a->past), before, now) : now;
    return stage_map(a->d->s, &b, name, define_in(a->d, in)->dtype, value);
}

static Attention attention_of(Define *d)
{
    Attention a = {.d = d, .x = d->x, .key = -1, .value = -1};
    Exprs *x = d->x;
    const Node *n = d->node;
    const int64_t kv_heads = node_int(n, "kv_num_heads", 1);
    unpack_dims(x, define_rank(d, IN_Q), define_in(d, IN_Q)->dim, node_int(n, "q_num_heads", 1),
                a.q);
    unpack_dims(x, define_rank(d, IN_K), define_in(d, IN_K)->dim, kv_heads, a.k);
    unpack_dims(x, define_rank(d, IN_V), define_in(d, IN_V)->dim, kv_heads, a.v);
    int64_t hq = 1, hk = 1;
    expr_is_int(x, a.q[1], &hq);
    expr_is_int(x, a.k[1], &hk);
    a.group = hq / hk;
    const DType compute = dtype_compute(define_in(d, IN_Q)->dtype);
    const bool wide = node_int(n, "softmax_precision", compute) == DT_F64;
    a.acc = wide ? DT_F64 : compute;
    if (define_has(d, IN_PAST_KEY)) {
        a.past = define_dim(d, IN_PAST_KEY, 2);
        a.k[2] = a.v[2] = expr_add(x, a.past, a.k[2]);
    }
    if (a.past || wants(d, OUT_PRESENT_KEY))
        a.key = concat_past(&a, IN_K, IN_PAST_KEY, a.k, "key");
    if (a.past || wants(d, OUT_PRESENT_VALUE))
        a.value = concat_past(&a, IN_V, IN_PAST_VALUE, a.v, "value");
    return a;
}

static Expr load_key_value(const Attention *a, bool key, Expr b, Expr head, Expr t, Expr c)
{
    const Expr i[4] = {b, expr_divi(a->x, head, a->group), t, c};
    const int tensor = key ? a->key : a->value;
    const Expr v = tensor >= 0 ? stages_load(a->d->s, tensor, i)
                   : key       ? load_operand(a, IN_K, a->k, i)
                               : load_operand(a, IN_V, a->v, i);
    return expr_cast(a->x, a->acc, v);
}

static int contract(const Attention *a, const StageBuild *b, const char *name, Expr u, Expr v)
{
    Exprs *x = a->x;
    const Expr state = expr_state(x, a->acc, 0), state2 = expr_state2(x, a->acc, 0);
    return stage_reduce(a->d->s, b, name, a->acc, expr_const(x, a->acc, 0),
                        expr_fma(x, u, v, state), expr_add(x, state, state2));
}

/* The keys as (B,heads,size,T). Not for one query: that reads each key once. */
static int attention_keys(const Attention *a)
{
    int64_t queries;
    if (expr_is_int(a->x, a->q[2], &queries) && queries == 1)
        return -1;
    const StageBuild b =
        stage_begin(a->d->s, 4, (const Expr[]){a->k[0], a->k[1], a->k[3], a->k[2]});
    const Expr i[4] = {b.i[0], b.i[1], b.i[3], b.i[2]};
    const Expr v = a->key >= 0 ? stages_load(a->d->s, a->key, i) : load_operand(a, IN_K, a->k, i);
    return stage_map(a->d->s, &b, "keys", define_in(a->d, IN_K)->dtype, v);
}

/* scale * q k^T, (B,H,S,T). The scale is applied to the sum: products are in f32 at least. */
static int attention_scores(const Attention *a)
{
    Exprs *x = a->x;
    const Expr dims[4] = {a->q[0], a->q[1], a->q[2], a->k[2]};
    const int keys = attention_keys(a);
    StageBuild b = stage_begin(a->d->s, 4, dims);
    stage_reduce_axes(a->d->s, &b, 1, &a->q[3]);
    const Expr qi[4] = {b.i[0], b.i[1], b.i[2], b.r[0]};
    const Expr q = expr_cast(x, a->acc, load_operand(a, IN_Q, a->q, qi));
    const Expr ki[4] = {b.i[0], expr_divi(x, b.i[1], a->group), b.r[0], b.i[3]};
    const Expr k = keys >= 0 ? expr_cast(x, a->acc, stages_load(a->d->s, keys, ki))
                             : load_key_value(a, true, b.i[0], b.i[1], b.i[3], b.r[0]);
    const int sum = contract(a, &b, "scores", q, k);
    const Attr *attr = node_attr(a->d->node, "scale");
    const Expr size = expr_cast(x, a->acc, a->q[3]);
    const Expr scale = attr ? expr_const(x, a->acc, attr->f)
                            : expr_div(x, expr_const(x, a->acc, 1), expr_un(x, EX_SQRT, size));
    const StageBuild m = stage_begin(a->d->s, 4, dims);
    return stage_map(a->d->s, &m, "qk", a->acc, expr_mul(x, stages_load(a->d->s, sum, m.i), scale));
}

static int attention_softcap(const Attention *a, int qk)
{
    const double cap = node_float(a->d->node, "softcap", 0);
    if (cap <= 0)
        return qk;
    Exprs *x = a->x;
    const StageBuild b = stage_begin(a->d->s, 4, a->d->s->tensor.at[qk].dim);
    const Expr c = expr_const(x, a->acc, cap);
    const Expr v = expr_div(x, stages_load(a->d->s, qk, b.i), c);
    return stage_map(a->d->s, &b, "capped", a->acc, expr_mul(x, expr_un(x, EX_TANH, v), c));
}

/* Keys that precede this block of queries: the cache's, or what is valid of an external one. */
static Expr attention_offset(const Attention *a, Expr b)
{
    Exprs *x = a->x;
    if (a->past)
        return a->past;
    if (!define_has(a->d, IN_LENGTHS))
        return expr_int(x, 0);
    const Expr valid = expr_cast(x, DT_I64, define_load(a->d, IN_LENGTHS, &b));
    return expr_sub(x, valid, a->q[2]);
}

static Expr both(Exprs *x, Expr a, Expr b)
{
    return a ? expr_and(x, a, b) : b;
}

/* May query i of (b, head) see key j, as far as attributes and lengths say? 0: always. */
static Expr attention_allowed(const Attention *a, const Expr i[4])
{
    Exprs *x = a->x;
    const Node *n = a->d->node;
    const Expr at = expr_add(x, i[2], attention_offset(a, i[0])), key = i[3];
    const int64_t left = node_int(n, "left_window_size", -1),
                  right = node_int(n, "right_window_size", -1);
    Expr allowed = 0;
    if (node_int(n, "is_causal", 0))
        allowed = both(x, allowed, expr_le(x, key, at));
    if (left >= 0)
        allowed = both(x, allowed, expr_le(x, expr_addi(x, at, -left), key));
    if (right >= 0)
        allowed = both(x, allowed, expr_le(x, key, expr_addi(x, at, right)));
    if (define_has(a->d, IN_LENGTHS)) {
        const Expr valid = expr_cast(x, DT_I64, define_load(a->d, IN_LENGTHS, &i[0]));
        allowed = both(x, allowed, expr_lt(x, key, valid));
    }
    return allowed;
}

/* Mask `in` at i, aligned to the right; `inside` gets whether it reaches so far (a mask may be
 * shorter than the keys), 0: it does. */
static Expr load_mask(const Attention *a, int in, const Expr i[4], Expr *inside)
{
    Exprs *x = a->x;
    const StageTensor *mask = define_in(a->d, in);
    Expr index[4];
    for (int k = 0; k < mask->rank; k++) {
        int64_t n;
        const bool one = expr_is_int(x, mask->dim[k], &n) && n == 1;
        index[k] = one ? expr_int(x, 0) : i[4 - mask->rank + k];
    }
    const Expr length = mask->dim[mask->rank - 1];
    *inside = 0;
    if (length != a->k[2]) {
        *inside = expr_lt(x, i[3], length);
        index[mask->rank - 1] = expr_min(x, i[3], expr_addi(x, length, -1));
    }
    return define_load(a->d, in, index);
}

/* Scores where they count, `unseen` elsewhere. */
static int attention_seen(const Attention *a, int qk)
{
    if (!define_has(a->d, IN_SEEN))
        return qk;
    Exprs *x = a->x;
    const StageBuild b = stage_begin(a->d->s, 4, a->d->s->tensor.at[qk].dim);
    Expr inside;
    const Expr seen = load_mask(a, IN_SEEN, b.i, &inside);
    const Expr low = expr_const(x, a->acc, node_float(a->d->node, "unseen", 0));
    return stage_map(a->d->s, &b, "seen", a->acc,
                     expr_select(x, both(x, inside, seen), stages_load(a->d->s, qk, b.i), low));
}

static int attention_mask(const Attention *a, int qk)
{
    Exprs *x = a->x;
    const Expr no = expr_float(x, a->acc, -INFINITY);
    const StageBuild b = stage_begin(a->d->s, 4, a->d->s->tensor.at[qk].dim);
    Expr allowed = attention_allowed(a, b.i), v = stages_load(a->d->s, qk, b.i);
    if (define_has(a->d, IN_MASK)) {
        Expr inside;
        const Expr mask = load_mask(a, IN_MASK, b.i, &inside);
        if (inside)
            allowed = both(x, allowed, inside);
        if (expr_type(x, mask) == DT_BOOL)
            allowed = both(x, allowed, mask);
        else
            v = expr_add(x, v, expr_cast(x, a->acc, mask));
    } else if (!allowed) {
        return qk;
    }
    if (allowed)
        v = expr_select(x, allowed, v, no);
    return stage_map(a->d->s, &b, "masked", a->acc, v);
}

/* Softmax over the keys, in parts. */
typedef struct Softmax {
    int max, weight, sum; /* weight: exp(logits - max), which is 0 where there is nothing to see */
} Softmax;

static Softmax attention_softmax(const Attention *a, int logits)
{
    Exprs *x = a->x;
    Stages *s = a->d->s;
    const Expr none = expr_float(x, a->acc, -INFINITY);
    const StageTensor t = s->tensor.at[logits];
    Softmax r = {.max = block_reduce(s, logits, 1u << 3, false, REDUCE_MAX_NUMBER, a->acc)};
    const StageBuild b = stage_begin(s, 4, t.dim);
    const Expr max = stages_load(s, r.max, b.i), v = stages_load(s, logits, b.i);
    const Expr shift = expr_select(x, expr_eq(x, max, none), expr_const(x, a->acc, 0), max);
    const Expr e = expr_un(x, EX_EXP_DOWN, expr_sub(x, expr_cast(x, a->acc, v), shift));
    r.weight = stage_map(s, &b, "weight", a->acc, e);
    r.sum = block_reduce(s, r.weight, 1u << 3, false, REDUCE_SUM, a->acc);
    return r;
}

/* v over the sum of row i; a row with nothing to attend to is zero. */
static Expr attention_divide(const Attention *a, const Softmax *m, Expr v, const Expr *i)
{
    Exprs *x = a->x;
    const Expr zero = expr_const(x, a->acc, 0), sum = stages_load(a->d->s, m->sum, i);
    if (node_int(a->d->node, "nan_is_zero", 0)) /* of a NaN nothing is true */
        return expr_select(x, expr_lt(x, zero, sum), expr_div(x, v, sum), zero);
    return expr_select(x, expr_eq(x, sum, zero), zero, expr_div(x, v, sum));
}

/* The probabilities, where they are a result. */
static int attention_prob(const Attention *a, const Softmax *m)
{
    Stages *s = a->d->s;
    const StageBuild b = stage_begin(s, 4, s->tensor.at[m->weight].dim);
    const Expr v = stages_load(s, m->weight, b.i);
    return stage_map(s, &b, "prob", a->acc, attention_divide(a, m, v, b.i));
}

/* Rounds to the type that softmax shall be computed in, where that is narrower than ours. */
static int attention_round(const Attention *a, int tensor)
{
    const DType t = (DType)node_int(a->d->node, "softmax_precision", a->acc);
    return t == DT_F16 || t == DT_BF16 ? block_cast(a->d->s, tensor, t) : tensor;
}

void define_attention(Define *d)
{
    const Attention a = attention_of(d);
    Exprs *x = d->x;
    const int qk = attention_scores(&a), capped = attention_softcap(&a, qk);
    const int masked = attention_mask(&a, attention_seen(&a, capped));
    const Softmax softmax = attention_softmax(&a, attention_round(&a, masked));

    const Expr dims[4] = {a.q[0], a.q[1], a.q[2], a.v[3]};
    StageBuild b = stage_begin(d->s, 4, dims);
    stage_reduce_axes(d->s, &b, 1, &a.k[2]);
    const Expr i[4] = {b.i[0], b.i[1], b.i[2], b.r[0]};
    const int y = contract(&a, &b, "attended", stages_load(d->s, softmax.weight, i),
                           load_key_value(&a, false, b.i[0], b.i[1], b.r[0], b.i[3]));
    const StageBuild h = stage_begin(d->s, 4, dims);
    const int heads = stage_map(d->s, &h, "heads", a.acc,
                                attention_divide(&a, &softmax, stages_load(d->s, y, h.i), h.i));
    const StageBuild m = define_begin(d, OUT_Y);
    Expr at[4] = {m.i[0], m.i[1], m.i[2], m.i[3]};
    if (m.naxes == 3) {
        at[1] = expr_div(x, m.i[2], a.v[3]);
        at[2] = m.i[1];
        at[3] = expr_mod(x, m.i[2], a.v[3]);
    }
    define_map(d, OUT_Y, &m, stages_load(d->s, heads, at));
    if (wants(d, OUT_PRESENT_KEY))
        define_out(d, OUT_PRESENT_KEY, a.key);
    if (wants(d, OUT_PRESENT_VALUE))
        define_out(d, OUT_PRESENT_VALUE, a.value);
    if (wants(d, OUT_QK)) {
        const int mode = (int)node_int(d->node, "qk_matmul_output_mode", 0) & 3;
        const int shown[3] = {qk, capped, masked};
        define_out(d, OUT_QK, mode == 3 ? attention_prob(&a, &softmax) : shown[mode]);
    }
}
