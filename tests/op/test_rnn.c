/* LSTM, GRU and RNN against plain loops over time, with all their options. */
#include <math.h>

#include "op/run_node.h"

enum { T = 4, B = 3, I = 2, H = 3 };

typedef struct Options {
    const char *direction;
    bool lens, bias, initial, peephole, input_forget, linear, batch_first;
    double clip;
    const char *const *activations;
    int nactivations;
} Options;

typedef struct Weights { /* of all directions */
    float x[T * B * I], w[2 * 4 * H * I], r[2 * 4 * H * H], b[2 * 8 * H], h0[2 * B * H],
        c0[2 * B * H], p[2 * 3 * H];
    int32_t lens[B];
} Weights;

static void fill(float *v, int n, uint32_t *seed)
{
    for (int i = 0; i < n; i++) {
        *seed = *seed * 1664525u + 1013904223u;
        v[i] = (float)((double)(*seed >> 8) / (1 << 23) - 1);
    }
}

static Weights make_weights(void)
{
    Weights w = {.lens = {4, 2, 3}};
    uint32_t seed = 11;
    fill(w.x, T * B * I, &seed);
    fill(w.w, 2 * 4 * H * I, &seed);
    fill(w.r, 2 * 4 * H * H, &seed);
    fill(w.b, 2 * 8 * H, &seed);
    fill(w.h0, 2 * B * H, &seed);
    fill(w.c0, 2 * B * H, &seed);
    fill(w.p, 2 * 3 * H, &seed);
    return w;
}

static double activate(const char *name, double v, double clip)
{
    if (clip > 0)
        v = fmin(fmax(v, -clip), clip);
    if (!strcmp(name, "Sigmoid"))
        return 1 / (1 + exp(-v));
    if (!strcmp(name, "Tanh"))
        return tanh(v);
    if (!strcmp(name, "Relu"))
        return fmax(v, 0);
    if (!strcmp(name, "HardSigmoid"))
        return fmin(fmax(0.2 * v + 0.5, 0), 1);
    if (!strcmp(name, "Softsign"))
        return v / (1 + fabs(v));
    if (!strcmp(name, "LeakyRelu"))
        return v < 0 ? 0.01 * v : v;
    assert_true(false);
    return 0;
}

/* One sequence of one direction. Results at time t; state in h and c. */
static void run_sequence(const Weights *w, const Options *o, int gates, int dir, int b,
                         const char *const *act, double *h, double *c, double y[T][H])
{
    const bool reverse = dir == 1 || !strcmp(o->direction, "reverse");
    const int len = o->lens ? w->lens[b] : T;
    for (int j = 0; j < H; j++) {
        h[j] = o->initial ? (double)w->h0[(dir * B + b) * H + j] : 0;
        c[j] = o->initial ? (double)w->c0[(dir * B + b) * H + j] : 0;
    }
    for (int s = 0; s < len; s++) {
        const int t = reverse ? len - 1 - s : s;
        double in[4 * H], rec[4 * H], wb[4 * H], rb[4 * H];
        for (int n = 0; n < gates * H; n++) {
            in[n] = rec[n] = 0;
            for (int i = 0; i < I; i++)
                in[n] +=
                    (double)w->x[(t * B + b) * I + i] * (double)w->w[(dir * gates * H + n) * I + i];
            for (int k = 0; k < H; k++)
                rec[n] += h[k] * (double)w->r[(dir * gates * H + n) * H + k];
            wb[n] = o->bias ? (double)w->b[dir * 2 * gates * H + n] : 0;
            rb[n] = o->bias ? (double)w->b[dir * 2 * gates * H + gates * H + n] : 0;
        }
        double next[H];
        double reset[H];
        for (int j = 0; j < H && gates == 3; j++)
            reset[j] = activate(act[0], in[H + j] + rec[H + j] + wb[H + j] + rb[H + j], o->clip);
        for (int j = 0; j < H; j++) {
#define GATE(g) (in[(g) * H + j] + rec[(g) * H + j] + wb[(g) * H + j] + rb[(g) * H + j])
#define PEEP(g) (o->peephole ? (double)w->p[dir * 3 * H + (g) * H + j] : 0)
            if (gates == 1) {
                next[j] = activate(act[0], GATE(0), o->clip);
            } else if (gates == 4) {
                const double i = activate(act[0], GATE(0) + PEEP(0) * c[j], o->clip);
                const double f =
                    o->input_forget ? 1 - i : activate(act[0], GATE(2) + PEEP(2) * c[j], o->clip);
                c[j] = f * c[j] + i * activate(act[1], GATE(3), o->clip);
                const double out = activate(act[0], GATE(1) + PEEP(1) * c[j], o->clip);
                next[j] = out * activate(act[2], c[j], o->clip);
            } else {
                const int n = 2 * H + j;
                double inner = 0;
                for (int k = 0; k < H; k++)
                    inner += reset[k] * h[k] * (double)w->r[(dir * 3 * H + n) * H + k];
                const double hidden = o->linear ? in[n] + wb[n] + reset[j] * (rec[n] + rb[n])
                                                : in[n] + wb[n] + rb[n] + inner;
                const double z = activate(act[0], GATE(0), o->clip);
                next[j] = (1 - z) * activate(act[1], hidden, o->clip) + z * h[j];
            }
        }
        for (int j = 0; j < H; j++)
            y[t][j] = h[j] = next[j];
    }
}

static void check(OpCode op, const Options *o)
{
    static const char *const defaults[3][3] = {
        {"Tanh", "", ""}, {"Sigmoid", "Tanh", ""}, {"Sigmoid", "Tanh", "Tanh"}};
    const int gates = op == OP_LSTM  ? 4
                      : op == OP_GRU ? 3
                                     : 1,
              family = gates == 4 ? 2 : gates == 3;
    const int nd = !strcmp(o->direction, "bidirectional") ? 2 : 1;
    const Weights w = make_weights();
    NodeTest n = node_test_new();
    float xt[B * T * I], h0t[B * 2 * H], c0t[B * 2 * H];
    for (int t = 0; t < T; t++)
        for (int b = 0; b < B; b++)
            memcpy(xt + (b * T + t) * I, w.x + (t * B + b) * I, I * sizeof(float));
    for (int d = 0; d < nd; d++)
        for (int b = 0; b < B; b++) {
            memcpy(h0t + (b * nd + d) * H, w.h0 + (d * B + b) * H, H * sizeof(float));
            memcpy(c0t + (b * nd + d) * H, w.c0 + (d * B + b) * H, H * sizeof(float));
        }
    const bool first = o->batch_first;
    node_input(&n, DT_F32, 3, first ? DIMS(B, T, I) : DIMS(T, B, I), first ? xt : w.x);
    node_input(&n, DT_F32, 3, DIMS(nd, gates * H, I), w.w);
    node_input(&n, DT_F32, 3, DIMS(nd, gates * H, H), w.r);
    if (o->bias)
        node_input(&n, DT_F32, 2, DIMS(nd, 2 * gates * H), w.b);
    else
        node_absent(&n);
    if (o->lens)
        node_input(&n, DT_I32, 1, DIMS(B), w.lens);
    else
        node_absent(&n);
    if (o->initial)
        node_input(&n, DT_F32, 3, first ? DIMS(B, nd, H) : DIMS(nd, B, H), first ? h0t : w.h0);
    else
        node_absent(&n);
    if (gates == 4) {
        if (o->initial)
            node_input(&n, DT_F32, 3, first ? DIMS(B, nd, H) : DIMS(nd, B, H), first ? c0t : w.c0);
        else
            node_absent(&n);
        if (o->peephole)
            node_input(&n, DT_F32, 2, DIMS(nd, 3 * H), w.p);
    }
    const NodeId id = node_make(&n, op, gates == 4 ? 3 : 2);
    node_set_string(n.g, id, "direction", o->direction);
    node_set_int(n.g, id, "hidden_size", H);
    node_set_int(n.g, id, "layout", first);
    node_set_int(n.g, id, "input_forget", o->input_forget);
    node_set_int(n.g, id, "linear_before_reset", o->linear);
    if (o->clip > 0)
        node_set_float(n.g, id, "clip", o->clip);
    if (o->activations)
        node_set_attr(n.g, id,
                      (Attr){.name = "activations",
                             .kind = ATTR_STRINGS,
                             .n = o->nactivations,
                             .strings = o->activations});
    node_run(&n);
    for (int d = 0; d < nd; d++) {
        const int per = family + 1;
        const char *const *act = o->activations ? o->activations + d * per : defaults[family];
        for (int b = 0; b < B; b++) {
            double h[H], c[H], y[T][H] = {0};
            run_sequence(&w, o, gates, d, b, act, h, c, y);
            for (int j = 0; j < H; j++) {
                for (int t = 0; t < T; t++) {
                    const int at =
                        first ? ((b * T + t) * nd + d) * H + j : ((t * nd + d) * B + b) * H + j;
                    assert_float_equal(node_float_at(&n, 0, at), y[t][j], 1e-5);
                }
                const int at = first ? (b * nd + d) * H + j : (d * B + b) * H + j;
                assert_float_equal(node_float_at(&n, 1, at), h[j], 1e-5);
                if (gates == 4)
                    assert_float_equal(node_float_at(&n, 2, at), c[j], 1e-5);
            }
        }
    }
    node_test_free(&n);
}

static const char *const directions[] = {"forward", "reverse", "bidirectional"};

static void test_options(void **state)
{
    (void)state;
    const OpCode ops[] = {OP_LSTM, OP_GRU, OP_RNN};
    for (int k = 0; k < 3; k++) {
        for (int d = 0; d < 3; d++) {
            for (int bits = 0; bits < 8; bits++) {
                const Options o = {.direction = directions[d],
                                   .lens = bits & 1,
                                   .bias = bits & 2,
                                   .initial = bits & 2,
                                   .batch_first = bits & 4,
                                   .peephole = bits & 1,
                                   .linear = bits & 4};
                check(ops[k], &o);
            }
        }
    }
}

static void test_lstm_rare(void **state)
{
    (void)state;
    static const char *const acts[] = {"HardSigmoid", "Softsign",  "Relu",
                                       "Sigmoid",     "LeakyRelu", "Tanh"};
    check(OP_LSTM, &(Options){.direction = "forward", .input_forget = true, .bias = true});
    check(OP_LSTM, &(Options){.direction = "reverse", .clip = 0.3, .bias = true, .peephole = true});
    check(OP_LSTM, &(Options){.direction = "bidirectional",
                              .activations = acts,
                              .nactivations = 6,
                              .initial = true,
                              .lens = true});
    check(OP_GRU, &(Options){.direction = "bidirectional",
                             .activations = acts + 1,
                             .nactivations = 4,
                             .clip = 0.5});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_lstm_rare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
