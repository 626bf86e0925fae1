/* Attention, LinearAttention, RotaryEmbedding, SwiGLU and CausalConvWithState against plain
 * loops. */
#include "check.h"

#include <math.h>

#include "op/run_node.h"

static void fill(float *v, int n, uint32_t *seed)
{
    for (int i = 0; i < n; i++) {
        *seed = *seed * 1664525u + 1013904223u;
        v[i] = (float)((double)(*seed >> 8) / (1 << 23) - 1);
    }
}

/* ---- Attention ---- */

enum { B = 2, HQ = 4, HK = 2, S = 3, P = 2, N = 4, D = 3, E = 2 }; /* N new keys, P cached */

typedef struct Options {
    bool packed, causal, cache, lengths, short_mask;
    int mask_rank; /* 0: none */
    bool mask_bool;
    int left, right; /* -1: open */
    double softcap, scale;
    int mode;
} Options;

static void check_attention(const Options *o)
{
    uint32_t seed = 5;
    float q[B * HQ * S * D], k[B * HK * N * D], v[B * HK * N * E], pk[B * HK * P * D],
        pv[B * HK * P * E];
    float mask[B * HQ * S * (N + P)];
    uint8_t mask_bool[B * HQ * S * (N + P)];
    const int64_t lengths[B] = {4, 2};
    fill(q, B * HQ * S * D, &seed);
    fill(k, B * HK * N * D, &seed);
    fill(v, B * HK * N * E, &seed);
    fill(pk, B * HK * P * D, &seed);
    fill(pv, B * HK * P * E, &seed);
    fill(mask, B * HQ * S * (N + P), &seed);
    for (int i = 0; i < B * HQ * S * (N + P); i++)
        mask_bool[i] = mask[i] < 0.3f;
    const int past = o->cache ? P : 0, total = N + past, width = o->short_mask ? total - 1 : total;

    NodeTest n = node_test_new();
    /* Packed: (B,S,H*D), so heads move inside. */
    float packed_q[B * S * HQ * D], packed_k[B * N * HK * D], packed_v[B * N * HK * E];
    for (int b = 0; b < B; b++) {
        for (int h = 0; h < HQ; h++)
            for (int s = 0; s < S; s++)
                memcpy(packed_q + ((b * S + s) * HQ + h) * D, q + ((b * HQ + h) * S + s) * D,
                       D * 4);
        for (int h = 0; h < HK; h++)
            for (int s = 0; s < N; s++) {
                memcpy(packed_k + ((b * N + s) * HK + h) * D, k + ((b * HK + h) * N + s) * D,
                       D * 4);
                memcpy(packed_v + ((b * N + s) * HK + h) * E, v + ((b * HK + h) * N + s) * E,
                       E * 4);
            }
    }
    if (o->packed) {
        node_input(&n, DT_F32, 3, DIMS(B, S, HQ * D), packed_q);
        node_input(&n, DT_F32, 3, DIMS(B, N, HK * D), packed_k);
        node_input(&n, DT_F32, 3, DIMS(B, N, HK * E), packed_v);
    } else {
        node_input(&n, DT_F32, 4, DIMS(B, HQ, S, D), q);
        node_input(&n, DT_F32, 4, DIMS(B, HK, N, D), k);
        node_input(&n, DT_F32, 4, DIMS(B, HK, N, E), v);
    }
    const int64_t mask_dims[4] = {B, HQ, S, width};
    if (o->mask_rank)
        node_input(&n, o->mask_bool ? DT_BOOL : DT_F32, o->mask_rank, mask_dims + 4 - o->mask_rank,
                   o->mask_bool ? (const void *)mask_bool : mask);
    else
        node_absent(&n);
    if (o->cache) {
        node_input(&n, DT_F32, 4, DIMS(B, HK, P, D), pk);
        node_input(&n, DT_F32, 4, DIMS(B, HK, P, E), pv);
    } else {
        node_absent(&n);
        node_absent(&n);
    }
    if (o->lengths)
        node_input(&n, DT_I64, 1, DIMS(B), lengths);
    const NodeId id = node_make(&n, OP_ATTENTION, 4);
    if (o->packed) {
        node_set_int(n.g, id, "q_num_heads", HQ);
        node_set_int(n.g, id, "kv_num_heads", HK);
    }
    node_set_int(n.g, id, "is_causal", o->causal);
    node_set_int(n.g, id, "left_window_size", o->left);
    node_set_int(n.g, id, "right_window_size", o->right);
    node_set_int(n.g, id, "qk_matmul_output_mode", o->mode);
    if (o->softcap > 0)
        node_set_float(n.g, id, "softcap", o->softcap);
    if (o->scale > 0)
        node_set_float(n.g, id, "scale", o->scale);
    node_run(&n);

    for (int b = 0; b < B; b++)
        for (int h = 0; h < HQ; h++)
            for (int s = 0; s < S; s++) {
                const int g = h / (HQ / HK);
                double logit[P + N], stage[4][P + N], top = -INFINITY, sum = 0, y[E] = {0};
                for (int t = 0; t < total; t++) {
                    const float *key = t < past ? pk + ((b * HK + g) * P + t) * D
                                                : k + ((b * HK + g) * N + t - past) * D;
                    double dot = 0;
                    for (int d = 0; d < D; d++)
                        dot += (double)q[((b * HQ + h) * S + s) * D + d] * (double)key[d];
                    stage[0][t] = dot * (o->scale > 0 ? o->scale : 1 / sqrt(D));
                    stage[1][t] =
                        o->softcap > 0 ? o->softcap * tanh(stage[0][t] / o->softcap) : stage[0][t];
                    const int at = s + (o->cache ? P : o->lengths ? (int)lengths[b] - S : 0);
                    bool seen = !(o->causal && t > at) && !(o->left >= 0 && t < at - o->left) &&
                                !(o->right >= 0 && t > at + o->right) &&
                                !(o->lengths && t >= lengths[b]);
                    double bias = 0;
                    if (o->mask_rank) {
                        const int row = o->mask_rank == 4   ? (b * HQ + h) * S + s
                                        : o->mask_rank == 3 ? h * S + s
                                        : o->mask_rank == 2 ? s
                                                            : 0;
                        seen = seen && t < width;
                        if (t < width && o->mask_bool)
                            seen = seen && mask_bool[row * width + t];
                        else if (t < width)
                            bias = (double)mask[row * width + t];
                    }
                    logit[t] = stage[2][t] = seen ? stage[1][t] + bias : -INFINITY;
                    top = fmax(top, logit[t]);
                }
                for (int t = 0; t < total; t++)
                    sum += isinf(top) ? 0 : exp(logit[t] - top);
                for (int t = 0; t < total; t++) {
                    stage[3][t] = isinf(top) ? 0 : exp(logit[t] - top) / sum;
                    const float *value = t < past ? pv + ((b * HK + g) * P + t) * E
                                                  : v + ((b * HK + g) * N + t - past) * E;
                    for (int e = 0; e < E; e++)
                        y[e] += stage[3][t] * (double)value[e];
                    const double got = node_float_at(&n, 3, ((b * HQ + h) * S + s) * total + t);
                    if (isinf(stage[o->mode][t]))
                        assert_true(isinf(got) && got < 0);
                    else
                        assert_float_equal(got, stage[o->mode][t], 1e-5);
                }
                for (int e = 0; e < E; e++) {
                    const int at =
                        o->packed ? ((b * S + s) * HQ + h) * E + e : ((b * HQ + h) * S + s) * E + e;
                    assert_float_equal(node_float_at(&n, 0, at), y[e], 1e-5);
                }
            }
    for (int i = 0; i < B * HK * total * D; i++) { /* present key */
        const int c = i % D, t = i / D % total, bh = i / D / total;
        const float want = t < past ? pk[(bh * P + t) * D + c] : k[(bh * N + t - past) * D + c];
        assert_float_equal(node_float_at(&n, 1, i), want, 0);
    }
    node_test_free(&n);
}

static void test_attention(void **state)
{
    (void)state;
    for (int bits = 0; bits < 32; bits++) {
        const Options o = {.packed = bits & 1,
                           .causal = bits & 2,
                           .cache = bits & 4,
                           .lengths = !(bits & 4) && bits & 8,
                           .left = bits & 16 ? 1 : -1,
                           .right = bits & 16 && bits & 8 ? 1 : -1,
                           .mode = bits & 3};
        check_attention(&o);
    }
    for (int rank = 1; rank <= 4; rank++)
        for (int bits = 0; bits < 8; bits++) {
            const Options o = {.mask_rank = rank,
                               .mask_bool = bits & 1,
                               .short_mask = bits & 2,
                               .causal = bits & 4,
                               .left = -1,
                               .right = -1,
                               .mode = 3,
                               .cache = bits & 1};
            check_attention(&o);
        }
    check_attention(&(Options){.left = -1, .right = -1, .softcap = 0.5, .scale = 2, .mode = 1});
}

/* One query and two keys, scores 1 and 2, values 10 and 20. */
static double attend(float second, const float *mask, const uint8_t *seen, double unseen,
                     bool nan_is_zero)
{
    const float q[1] = {1}, k[2] = {1, second}, v[2] = {10, 20};
    NodeTest n = node_test_new();
    node_input(&n, DT_F32, 4, DIMS(1, 1, 1, 1), q);
    node_input(&n, DT_F32, 4, DIMS(1, 1, 2, 1), k);
    node_input(&n, DT_F32, 4, DIMS(1, 1, 2, 1), v);
    if (mask)
        node_input(&n, DT_F32, 1, DIMS(2), mask);
    else
        node_absent(&n);
    for (int i = 0; i < 3; i++)
        node_absent(&n);
    if (seen)
        node_input(&n, DT_BOOL, 1, DIMS(2), seen);
    const NodeId id = node_make(&n, OP_ATTENTION, 1);
    if (seen && unseen < 0)
        node_set_float(n.g, id, "unseen", unseen);
    if (nan_is_zero)
        node_set_int(n.g, id, "nan_is_zero", 1);
    const int rc = node_try(&n);
    const double y = rc ? rc : node_float_at(&n, 0, 0);
    node_test_free(&n);
    return y;
}

static void test_unseen(void **state)
{
    (void)state;
    const float away[2] = {-2e4f, 0};
    const uint8_t first[2] = {1, 0}, none[2] = {0, 0};
    assert_float_equal(attend(2, NULL, first, -1e4, false), 10, 0);
    /* alike, whatever their scores */
    assert_float_equal(attend(2, NULL, none, -1e4, false), 15, 1e-5);
    /* -1e4 is more than 1 - 2e4 */
    assert_float_equal(attend(2, away, first, -1e4, false), 20, 0);
    /* an eighth input is not ONNX's */
    assert_true(attend(2, NULL, first, 0, false) == ERR_INVALID);
}

static void test_nan_is_zero(void **state)
{
    (void)state;
    const float nothing[2] = {-INFINITY, -INFINITY};
    const double last = 10 / (1 + exp(1)) + 20 / (1 + exp(-1));
    assert_float_equal(attend(2, NULL, NULL, 0, true), last, 1e-5);
    assert_float_equal(attend(2, nothing, NULL, 0, true), 0, 0);
    assert_float_equal(attend(NAN, NULL, NULL, 0, true), 0, 0);
    assert_float_equal(attend(INFINITY, NULL, NULL, 0, true), 0, 0);
    assert_true(isnan(attend(NAN, NULL, NULL, 0, false)));
}

/* ---- the others ---- */

static void check_rotary(bool packed, bool interleaved, bool positions, int rotary)
{
    enum { HEADS = 2, LEN = 3, SIZE = 6, MOST = 5 };
    const int half = (rotary ? rotary : SIZE) / 2;
    float x[B * HEADS * LEN * SIZE], cos_cache[MOST * B * LEN * SIZE],
        sin_cache[MOST * B * LEN * SIZE];
    uint32_t seed = 9;
    fill(x, B * HEADS * LEN * SIZE, &seed);
    fill(cos_cache, MOST * B * LEN * SIZE, &seed);
    fill(sin_cache, MOST * B * LEN * SIZE, &seed);
    const int64_t ids[B * LEN] = {4, 0, 2, 1, 1, 3};
    NodeTest n = node_test_new();
    if (packed)
        node_input(&n, DT_F32, 3, DIMS(B, LEN, HEADS * SIZE), x);
    else
        node_input(&n, DT_F32, 4, DIMS(B, HEADS, LEN, SIZE), x);
    for (int k = 0; k < 2; k++)
        node_input(&n, DT_F32, positions ? 2 : 3, positions ? DIMS(MOST, half) : DIMS(B, LEN, half),
                   k ? sin_cache : cos_cache);
    if (positions)
        node_input(&n, DT_I64, 2, DIMS(B, LEN), ids);
    const NodeId id = node_make(&n, OP_ROTARY_EMBEDDING, 1);
    node_set_int(n.g, id, "interleaved", interleaved);
    node_set_int(n.g, id, "rotary_embedding_dim", rotary);
    if (packed)
        node_set_int(n.g, id, "num_heads", HEADS);
    node_run(&n);
    for (int b = 0; b < B; b++)
        for (int h = 0; h < HEADS; h++)
            for (int s = 0; s < LEN; s++) {
                const int base = packed ? ((b * LEN + s) * HEADS + h) * SIZE
                                        : ((b * HEADS + h) * LEN + s) * SIZE;
                double want[SIZE];
                for (int i = 0; i < SIZE; i++)
                    want[i] = (double)x[base + i];
                for (int p = 0; p < half; p++) {
                    const int i1 = interleaved ? 2 * p : p, i2 = interleaved ? 2 * p + 1 : p + half;
                    const int row = positions ? (int)ids[b * LEN + s] : b * LEN + s;
                    const double c = (double)cos_cache[row * half + p],
                                 sn = (double)sin_cache[row * half + p];
                    const double x1 = want[i1], x2 = want[i2];
                    want[i1] = c * x1 - sn * x2;
                    want[i2] = sn * x1 + c * x2;
                }
                for (int i = 0; i < SIZE; i++)
                    assert_float_equal(node_float_at(&n, 0, base + i), want[i], 1e-5);
            }
    node_test_free(&n);
}

static void test_rotary(void **state)
{
    (void)state;
    for (int bits = 0; bits < 8; bits++)
        for (int rotary = 0; rotary <= 4; rotary += 4)
            check_rotary(bits & 1, bits & 2, bits & 4, rotary);
}

static void test_swiglu(void **state)
{
    (void)state;
    const float a[] = {-2, 0, 1.5f}, b[] = {3, 4, -5};
    NodeTest n = node_test_new();
    node_input(&n, DT_F32, 1, DIMS(3), a);
    node_input(&n, DT_F32, 1, DIMS(3), b);
    node_set_float(n.g, node_make(&n, OP_SWIGLU, 1), "alpha", 0.5);
    node_run(&n);
    for (int i = 0; i < 3; i++) {
        const double v = (double)a[i];
        assert_float_equal(node_float_at(&n, 0, i), v / (1 + exp(-0.5 * v)) * (double)b[i], 1e-5);
    }
    node_test_free(&n);
}

static void check_causal_conv(int length, int taps, bool past, bool bias, bool silu)
{
    enum { C = 2 };
    float x[B * C * 8], w[C * 4], c0[C], before[B * C * 4];
    uint32_t seed = 21;
    fill(x, B * C * 8, &seed);
    fill(w, C * 4, &seed);
    fill(c0, C, &seed);
    fill(before, B * C * 4, &seed);
    NodeTest n = node_test_new();
    node_input(&n, DT_F32, 3, DIMS(B, C, length), x);
    node_input(&n, DT_F32, 3, DIMS(C, 1, taps), w);
    if (bias)
        node_input(&n, DT_F32, 1, DIMS(C), c0);
    else
        node_absent(&n);
    if (past)
        node_input(&n, DT_F32, 3, DIMS(B, C, taps - 1), before);
    const NodeId id = node_make(&n, OP_CAUSAL_CONV_WITH_STATE, 2);
    if (silu)
        node_set_string(n.g, id, "activation", "silu");
    node_run(&n);
    for (int bc = 0; bc < B * C; bc++) {
        double line[12];
        for (int i = 0; i < taps - 1 + length; i++)
            line[i] = i >= taps - 1 ? (double)x[bc * length + i - (taps - 1)]
                      : past        ? (double)before[bc * (taps - 1) + i]
                                    : 0;
        for (int i = 0; i < length; i++) {
            double y = bias ? (double)c0[bc % C] : 0;
            for (int k = 0; k < taps; k++)
                y += (double)w[bc % C * taps + k] * line[i + k];
            assert_float_equal(node_float_at(&n, 0, bc * length + i), silu ? y / (1 + exp(-y)) : y,
                               1e-5);
        }
        for (int i = 0; i < taps - 1; i++)
            assert_float_equal(node_float_at(&n, 1, bc * (taps - 1) + i), line[length + i], 0);
    }
    node_test_free(&n);
}

static void test_causal_conv(void **state)
{
    (void)state;
    for (int bits = 0; bits < 8; bits++) {
        check_causal_conv(5, 3, bits & 1, bits & 2, bits & 4);
        check_causal_conv(1, 4, bits & 1, bits & 2, bits & 4);
        check_causal_conv(3, 1, false, bits & 2, bits & 4);
    }
}

static void check_linear_attention(const char *rule, bool past, bool per_dim, bool one_beta,
                                   int tokens)
{
    enum { Q_HEADS = 4, K_HEADS = 2, DK = 3, DV = 2 };
    float q[B * 4 * Q_HEADS * DK], k[B * 4 * K_HEADS * DK], v[B * 4 * K_HEADS * DV],
        s0[B * K_HEADS * DK * DV], decay[B * 4 * K_HEADS * DK], beta[B * 4 * K_HEADS];
    uint32_t seed = 33;
    fill(q, B * 4 * Q_HEADS * DK, &seed);
    fill(k, B * 4 * K_HEADS * DK, &seed);
    fill(v, B * 4 * K_HEADS * DV, &seed);
    fill(s0, B * K_HEADS * DK * DV, &seed);
    fill(decay, B * 4 * K_HEADS * DK, &seed);
    fill(beta, B * 4 * K_HEADS, &seed);
    const bool gated = strstr(rule, "gated"), delta = strstr(rule, "delta");
    NodeTest n = node_test_new();
    node_input(&n, DT_F32, 3, DIMS(B, tokens, Q_HEADS * DK), q);
    node_input(&n, DT_F32, 3, DIMS(B, tokens, K_HEADS * DK), k);
    node_input(&n, DT_F32, 3, DIMS(B, tokens, K_HEADS * DV), v);
    if (past)
        node_input(&n, DT_F32, 4, DIMS(B, K_HEADS, DK, DV), s0);
    else
        node_absent(&n);
    if (gated)
        node_input(&n, DT_F32, 3, DIMS(B, tokens, per_dim ? K_HEADS * DK : K_HEADS), decay);
    else
        node_absent(&n);
    if (delta)
        node_input(&n, DT_F32, 3, DIMS(B, tokens, one_beta ? 1 : K_HEADS), beta);
    const NodeId id = node_make(&n, OP_LINEAR_ATTENTION, 2);
    node_set_int(n.g, id, "q_num_heads", Q_HEADS);
    node_set_int(n.g, id, "kv_num_heads", K_HEADS);
    node_set_string(n.g, id, "update_rule", rule);
    node_run(&n);
    for (int b = 0; b < B; b++)
        for (int h = 0; h < K_HEADS; h++) {
            double s[DK][DV];
            for (int i = 0; i < DK * DV; i++)
                s[i / DV][i % DV] = past ? (double)s0[(b * K_HEADS + h) * DK * DV + i] : 0;
            for (int t = 0; t < tokens; t++) {
                const int row = b * tokens + t;
                const float *key = k + (row * K_HEADS + h) * DK;
                double u[DV];
                for (int m = 0; m < DV; m++) {
                    double held = 0;
                    for (int d = 0; d < DK; d++) {
                        if (gated)
                            s[d][m] *= exp((double)(per_dim ? decay[(row * K_HEADS + h) * DK + d]
                                                            : decay[row * K_HEADS + h]));
                        held += s[d][m] * (double)key[d];
                    }
                    u[m] = (double)v[(row * K_HEADS + h) * DV + m];
                    if (delta)
                        u[m] = (double)(one_beta ? beta[row] : beta[row * K_HEADS + h]) *
                               (u[m] - held);
                }
                for (int i = 0; i < DK * DV; i++)
                    s[i / DV][i % DV] += (double)key[i / DV] * u[i % DV];
                for (int g = 0; g < Q_HEADS / K_HEADS; g++) {
                    const int head = h * (Q_HEADS / K_HEADS) + g;
                    for (int m = 0; m < DV; m++) {
                        double y = 0;
                        for (int d = 0; d < DK; d++)
                            y += (double)q[(row * Q_HEADS + head) * DK + d] * s[d][m];
                        assert_float_equal(node_float_at(&n, 0, (row * Q_HEADS + head) * DV + m),
                                           y / sqrt(DK), 1e-4);
                    }
                }
            }
            for (int i = 0; i < DK * DV; i++)
                assert_float_equal(node_float_at(&n, 1, (b * K_HEADS + h) * DK * DV + i),
                                   s[i / DV][i % DV], 1e-4);
        }
    node_test_free(&n);
}

static void test_linear_attention(void **state)
{
    (void)state;
    static const char *const rules[] = {"linear", "gated", "delta", "gated_delta"};
    for (int r = 0; r < 4; r++)
        for (int bits = 0; bits < 8; bits++)
            check_linear_attention(rules[r], bits & 1, bits & 2, bits & 4, 1 + bits % 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention),        cmocka_unit_test(test_rotary),
        cmocka_unit_test(test_swiglu),           cmocka_unit_test(test_causal_conv),
        cmocka_unit_test(test_linear_attention), cmocka_unit_test(test_unseen),
        cmocka_unit_test(test_nan_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
