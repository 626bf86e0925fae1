/* LSTM, GRU and RNN.
 *
 * Directions are an axis. They are made of
 *
 *     input   (D,T,B,G*H; i)   X W^T and its bias, for all time steps at once   reduce
 *     before  (S,D,B,H)        h[s-1]                                           map, in the cycle
 *     gates   (S,D,B,G,H; k)   before R^T and its bias                          reduce, in the cycle
 *     c, h    (S,D,B,H)        along s                                          scan
 *
 * s is the step: time s forward, time T-1-s in reverse (time len-1-s where the sequences have
 * lengths of their own). Past the end of a sequence the state stays as it is. Peepholes,
 * clipping and activations stand in the scans. */
#include <string.h>
#include <strings.h>

#include "op/activation.h"
#include "op/table.h"

enum { IN_X, IN_W, IN_R, IN_B, IN_LENS, IN_H, IN_C, IN_P };

/* ---- activations ---- */

typedef struct Activation {
    Expr (*make)(Exprs *x, Expr v, const struct Activation *a);
    double alpha, beta;
} Activation;

static Expr number(Exprs *x, Expr like, double v)
{
    return expr_const(x, expr_type(x, like), v);
}

static Expr affine(Exprs *x, Expr v, const Activation *a)
{
    return expr_add(x, expr_mul(x, v, number(x, v, a->alpha)), number(x, v, a->beta));
}

static Expr relu(Exprs *x, Expr v, const Activation *a)
{
    (void)a;
    return activation_relu(x, v);
}

static Expr tanh_of(Exprs *x, Expr v, const Activation *a)
{
    (void)a;
    return expr_un(x, EX_TANH, v);
}

static Expr sigmoid(Exprs *x, Expr v, const Activation *a)
{
    (void)a;
    return expr_un(x, EX_SIGMOID, v);
}

static Expr softsign(Exprs *x, Expr v, const Activation *a)
{
    (void)a;
    return activation_softsign(x, v);
}

static Expr softplus(Exprs *x, Expr v, const Activation *a)
{
    (void)a;
    return activation_softplus(x, v);
}

static Expr leaky_relu(Exprs *x, Expr v, const Activation *a)
{
    return activation_leaky_relu(x, v, a->alpha);
}

/* At alpha itself v, unlike the op of this name. */
static Expr thresholded_relu(Exprs *x, Expr v, const Activation *a)
{
    const Expr below = expr_lt(x, v, number(x, v, a->alpha));
    return expr_select(x, below, number(x, v, 0), v);
}

static Expr elu(Exprs *x, Expr v, const Activation *a)
{
    return activation_elu(x, v, a->alpha);
}

static Expr scaled_tanh(Exprs *x, Expr v, const Activation *a)
{
    const Expr t = expr_un(x, EX_TANH, expr_mul(x, v, number(x, v, a->beta)));
    return expr_mul(x, t, number(x, v, a->alpha));
}

static Expr hard_sigmoid(Exprs *x, Expr v, const Activation *a)
{
    return activation_hard_sigmoid(x, v, a->alpha, a->beta);
}

static const struct {
    const char *name;
    int params; /* 1: takes alpha, 2: and beta */
    Activation standard;
} activation_rows[] = {
    {"Relu", 0, {relu, 0, 0}},
    {"Tanh", 0, {tanh_of, 0, 0}},
    {"Sigmoid", 0, {sigmoid, 0, 0}},
    {"Softsign", 0, {softsign, 0, 0}},
    {"Softplus", 0, {softplus, 0, 0}},
    {"LeakyRelu", 1, {leaky_relu, 0.01, 0}},
    {"ThresholdedRelu", 1, {thresholded_relu, 1, 0}},
    {"Elu", 1, {elu, 1, 0}},
    {"Affine", 2, {affine, 1, 0}},
    {"ScaledTanh", 2, {scaled_tanh, 1, 1}},
    {"HardSigmoid", 2, {hard_sigmoid, 0.2, 0.5}},
};

/* Takes the next value of a list where there is one. */
static double next_param(const Attr *list, int *used, double missing)
{
    return list && list->kind == ATTR_FLOATS && *used < list->n ? list->floats[(*used)++] : missing;
}

/* All activations of the node, `count` a direction: those the model names, else the defaults. The
 * parameter lists are consumed in their order by the functions that take one. NULL, or the unknown
 * name. */
static const char *read_activations(const Node *node, int count, int directions,
                                    const char *const *defaults, Activation *out)
{
    const Attr *names = node_attr(node, "activations");
    const Attr *alphas = node_attr(node, "activation_alpha"),
               *betas = node_attr(node, "activation_beta");
    int alpha = 0, beta = 0;
    for (int i = 0; i < count * directions; i++) {
        const bool named = names && names->kind == ATTR_STRINGS && i < names->n;
        const char *name = named ? names->strings[i] : defaults[i % count];
        size_t row = 0;
        while (row < sizeof activation_rows / sizeof activation_rows[0] &&
               strcasecmp(activation_rows[row].name, name) != 0)
            row++;
        if (row == sizeof activation_rows / sizeof activation_rows[0])
            return name;
        out[i] = activation_rows[row].standard;
        if (activation_rows[row].params >= 1)
            out[i].alpha = next_param(alphas, &alpha, out[i].alpha);
        if (activation_rows[row].params >= 2)
            out[i].beta = next_param(betas, &beta, out[i].beta);
    }
    return NULL;
}

/* ---- what the three have in common ---- */

typedef struct Family {
    int gates, activations;
    const char *defaults[3];
    bool cell; /* has c */
} Family;

static const Family family_lstm = {4, 3, {"Sigmoid", "Tanh", "Tanh"}, true};
static const Family family_gru = {3, 2, {"Sigmoid", "Tanh", ""}, false};
static const Family family_rnn = {1, 1, {"Tanh", "", ""}, false};

static int directions_of(const Node *node)
{
    return strcmp(node_string(node, "direction", "forward"), "bidirectional") == 0 ? 2 : 1;
}

static void infer_recurrent(const Infer *f, const Family *family)
{
    const Value *v = infer_in(f, IN_X), *w = infer_in(f, IN_W), *r = infer_in(f, IN_R);
    Exprs *x = f->x;
    if (v->rank != 3 || w->rank != 3 || r->rank != 3)
        infer_fail(f, "input and weights must have rank 3");
    const char *direction = node_string(f->node, "direction", "forward");
    if (strcmp(direction, "forward") && strcmp(direction, "reverse") &&
        strcmp(direction, "bidirectional"))
        infer_fail(f, "unknown direction '%s'", direction);
    const int nd = directions_of(f->node);
    const bool batch_first = node_int(f->node, "layout", 0);
    const Expr d = expr_int(x, nd), h = r->dim[2], rows = expr_muli(x, h, family->gates);
    const Expr steps = v->dim[batch_first ? 1 : 0], batch = v->dim[batch_first ? 0 : 1];
    infer_require_equal(f, w->dim[0], d, "directions of the weights");
    infer_require_equal(f, r->dim[0], d, "directions of the recurrent weights");
    infer_require_equal(f, w->dim[1], rows, "rows of the weights");
    infer_require_equal(f, r->dim[1], rows, "rows of the recurrent weights");
    infer_require_equal(f, w->dim[2], v->dim[2], "columns of the weights");
    Activation unused[6];
    const char *unknown =
        read_activations(f->node, family->activations, nd, family->defaults, unused);
    if (unknown)
        infer_fail(f, "unknown activation '%s'", unknown);
    static const int ranks[] = {3, 3, 3, 2, 1, 3, 3, 2};
    for (int k = IN_B; k <= IN_P; k++)
        if (infer_has(f, k) && infer_in(f, k)->rank != ranks[k])
            infer_fail(f, "input %d must have rank %d", k, ranks[k]);
    const DType t = v->dtype;
    const Expr y0[4] = {steps, d, batch, h}, y1[4] = {batch, steps, d, h};
    const Expr last0[3] = {d, batch, h}, last1[3] = {batch, d, h};
    infer_out(f, 0, t, 4, batch_first ? y1 : y0);
    infer_out(f, 1, t, 3, batch_first ? last1 : last0);
    if (family->cell)
        infer_out(f, 2, t, 3, batch_first ? last1 : last0);
}

void infer_lstm(const Infer *f)
{
    infer_recurrent(f, &family_lstm);
}

void infer_gru(const Infer *f)
{
    infer_recurrent(f, &family_gru);
}

void infer_rnn(const Infer *f)
{
    infer_recurrent(f, &family_rnn);
}

/* All directions. */
typedef struct Cell {
    Define *d;
    Exprs *x;
    DType acc;
    int gates;
    int directions;
    bool reverse; /* of the only direction */
    bool batch_first;
    Expr steps, batch, hidden, count; /* count: of directions */
    Activation f[2][3];
    int input; /* (D,T,B,G*H) */
    int h, c;  /* (S,D,B,H) */
} Cell;

static Cell cell_new(Define *d, const Family *family)
{
    Exprs *x = d->x;
    const bool batch_first = node_int(d->node, "layout", 0);
    const int directions = directions_of(d->node);
    Cell c = {
        .d = d,
        .x = x,
        .acc = dtype_compute(define_in(d, IN_X)->dtype),
        .gates = family->gates,
        .directions = directions,
        .reverse = !strcmp(node_string(d->node, "direction", ""), "reverse"),
        .batch_first = batch_first,
        .steps = define_dim(d, IN_X, batch_first ? 1 : 0),
        .batch = define_dim(d, IN_X, batch_first ? 0 : 1),
        .hidden = define_dim(d, IN_R, 2),
        .count = expr_int(x, directions),
    };
    Activation all[6];
    read_activations(d->node, family->activations, directions, family->defaults, all);
    for (int k = 0; k < directions; k++)
        for (int i = 0; i < family->activations; i++)
            c.f[k][i] = all[k * family->activations + i];
    const Expr dims[4] = {c.steps, c.count, c.batch, c.hidden};
    c.h = stage_scan_declare(d->s, "h", c.acc, 4, dims);
    c.c = family->cell ? stage_scan_declare(d->s, "c", c.acc, 4, dims) : -1;
    return c;
}

static Expr sequence_length(const Cell *c, Expr b)
{
    if (!define_has(c->d, IN_LENS))
        return c->steps;
    return expr_cast(c->x, DT_I64, define_load(c->d, IN_LENS, &b));
}

/* The value of the direction that index `d` names. */
static Expr of_direction(const Cell *c, Expr d, Expr first, Expr second)
{
    return c->directions == 1 || first == second
               ? first
               : expr_select(c->x, expr_eq(c->x, d, expr_int(c->x, 0)), first, second);
}

/* The time of a step, and the step of a time. */
static Expr turn_time(const Cell *c, Expr t, Expr d, Expr b)
{
    Exprs *x = c->x;
    if (c->directions == 1 && !c->reverse)
        return t;
    Expr back = expr_addi(x, expr_sub(x, sequence_length(c, b), t), -1);
    if (define_has(c->d, IN_LENS)) { /* whatever the lengths hold */
        back = expr_max(x, back, expr_int(x, 0));
        back = expr_min(x, back, expr_addi(x, c->steps, -1));
    }
    return c->directions == 1 ? back : of_direction(c, d, t, back);
}

/* An initial state (D,B,H), or (B,D,H). */
static Expr load_initial(const Cell *c, int k, Expr d, Expr b, Expr j)
{
    if (!define_has(c->d, k))
        return expr_const(c->x, c->acc, 0);
    const Expr i0[3] = {d, b, j}, i1[3] = {b, d, j};
    return define_load(c->d, k, c->batch_first ? i1 : i0);
}

/* The state before step i[0]; i as h is indexed. */
static Expr load_before(const Cell *c, int tensor, int initial, const Expr i[4])
{
    Exprs *x = c->x;
    const Expr zero = expr_int(x, 0);
    const Expr at[4] = {expr_max(x, expr_addi(x, i[0], -1), zero), i[1], i[2], i[3]};
    return expr_select(x, expr_eq(x, i[0], zero), load_initial(c, initial, i[1], i[2], i[3]),
                       stages_load(c->d->s, tensor, at));
}

static int multiply_add(const Cell *c, const StageBuild *b, const char *name, Expr init, Expr u,
                        Expr v)
{
    Exprs *x = c->x;
    const Expr state = expr_state(x, c->acc, 0), state2 = expr_state2(x, c->acc, 0);
    return stage_reduce(c->d->s, b, name, c->acc, init, expr_fma(x, u, v, state),
                        expr_add(x, state, state2));
}

static Expr gate_row(const Cell *c, Expr gate, Expr j)
{
    return expr_add(c->x, expr_mul(c->x, c->hidden, gate), j);
}

/* The bias of a row that goes with the input (half 0) or the recurrence (half 1): B (D, 2*G*H). */
static Expr load_bias(const Cell *c, int half, Expr d, Expr row)
{
    if (!define_has(c->d, IN_B))
        return expr_const(c->x, c->acc, 0);
    const Expr at[2] = {d, expr_add(c->x, expr_muli(c->x, c->hidden, half * c->gates), row)};
    return define_load(c->d, IN_B, at);
}

/* X W^T and its bias, in order of time. */
static void cell_input(Cell *c)
{
    const Expr dims[4] = {c->count, c->steps, c->batch, expr_muli(c->x, c->hidden, c->gates)};
    StageBuild b = stage_begin(c->d->s, 4, dims);
    const Expr inputs = define_dim(c->d, IN_X, 2);
    stage_reduce_axes(c->d->s, &b, 1, &inputs);
    const Expr at[3] = {b.i[c->batch_first ? 2 : 1], b.i[c->batch_first ? 1 : 2], b.r[0]};
    const Expr v = define_load(c->d, IN_X, at);
    const Expr w = define_load(c->d, IN_W, (const Expr[]){b.i[0], b.i[3], b.r[0]});
    c->input = multiply_add(c, &b, "input", load_bias(c, 0, b.i[0], b.i[3]), v, w);
}

static StageBuild cell_begin(const Cell *c)
{
    return stage_begin(c->d->s, 4, (const Expr[]){c->steps, c->count, c->batch, c->hidden});
}

/* h R^T and its bias, for the gates [first, first + count): (S,D,B,count,H). `reset`: h is
 * multiplied by this tensor (S,D,B,H) first; -1: it is not. The state of the step before is a stage
 * of its own, so that the product has two plain factors. */
static int cell_recurrent(const Cell *c, int first, int count, int reset)
{
    Exprs *x = c->x;
    const StageBuild m = cell_begin(c);
    Expr h = load_before(c, c->h, IN_H, m.i);
    if (reset >= 0)
        h = expr_mul(x, stages_load(c->d->s, reset, m.i), h);
    const int before =
        stage_map(c->d->s, &m, "before", op_narrows_state(c->d->node) ? DT_BF16 : c->acc, h);
    const Expr dims[5] = {c->steps, c->count, c->batch, expr_int(x, count), c->hidden};
    StageBuild b = stage_begin(c->d->s, 5, dims);
    stage_reduce_axes(c->d->s, &b, 1, &c->hidden);
    const Expr row = gate_row(c, expr_addi(x, b.i[3], first), b.i[4]);
    const Expr r = define_load(c->d, IN_R, (const Expr[]){b.i[1], row, b.r[0]});
    const Expr v = stages_load(c->d->s, before, (const Expr[]){b.i[0], b.i[1], b.i[2], b.r[0]});
    return multiply_add(c, &b, "gates", load_bias(c, 1, b.i[1], row), v, r);
}

/* Gate `gate` of X W^T at step i[0]. */
static Expr load_input(const Cell *c, int gate, const Expr i[4])
{
    const Expr row = gate_row(c, expr_int(c->x, gate), i[3]);
    return stages_load(c->d->s, c->input,
                       (const Expr[]){i[1], turn_time(c, i[0], i[1], i[2]), i[2], row});
}

/* Gate number `at` of a tensor of cell_recurrent. */
static Expr load_recurrent(const Cell *c, int gates, int at, const Expr i[4])
{
    return stages_load(c->d->s, gates, (const Expr[]){i[0], i[1], i[2], expr_int(c->x, at), i[3]});
}

/* Input and recurrence (gate number `at` of tensor `gates`) together. */
static Expr load_gate(const Cell *c, int gates, int at, int gate, const Expr i[4])
{
    return expr_add(c->x, load_input(c, gate, i), load_recurrent(c, gates, at, i));
}

/* Clips, then applies activation k. */
static Expr activate(const Cell *c, int k, Expr d, Expr v)
{
    Exprs *x = c->x;
    const double clip = node_float(c->d->node, "clip", 0);
    if (clip > 0) {
        v = expr_max(x, v, number(x, v, -clip));
        v = expr_min(x, v, number(x, v, clip));
    }
    const Activation *f = &c->f[0][k], *g = &c->f[c->directions - 1][k];
    return of_direction(c, d, f->make(x, v, f), g->make(x, v, g));
}

/* Defines a state: past the end of its sequence it keeps what it was. */
static void cell_state(const Cell *c, const StageBuild *b, int tensor, int initial, Expr value)
{
    Exprs *x = c->x;
    if (define_has(c->d, IN_LENS)) {
        const Expr inside = expr_lt(x, b->i[0], sequence_length(c, b->i[2]));
        value = expr_select(x, inside, value, load_before(c, tensor, initial, b->i));
    }
    stage_scan_define(c->d->s, b, tensor, 0, value);
}

/* ---- outputs ---- */

static void define_sequence(Define *d, const Cell *c)
{
    if (d->node->nout < 1 || d->node->out[0] < 0)
        return;
    Exprs *x = d->x;
    const StageBuild m = define_begin(d, 0);
    const bool first = c->batch_first; /* (B,T,D,H), else (T,D,B,H) */
    const Expr t = m.i[first ? 1 : 0], dir = m.i[first ? 2 : 1], b = m.i[first ? 0 : 2];
    Expr v = stages_load(d->s, c->h, (const Expr[]){turn_time(c, t, dir, b), dir, b, m.i[3]});
    if (define_has(d, IN_LENS)) {
        const Expr inside = expr_lt(x, t, sequence_length(c, b));
        v = expr_select(x, inside, v, number(x, v, 0));
    }
    define_map(d, 0, &m, v);
}

/* After the last step; after none it is the initial state. */
static void define_last(Define *d, int k, const Cell *c, int tensor, int initial)
{
    if (d->node->nout <= k || d->node->out[k] < 0)
        return;
    const StageBuild m = define_begin(d, k);
    const Expr dir = m.i[c->batch_first ? 1 : 0], b = m.i[c->batch_first ? 0 : 1];
    const Expr last = expr_addi(d->x, c->steps, -1),
               none = expr_le(d->x, c->steps, expr_int(d->x, 0));
    const Expr before = load_initial(c, initial, dir, b, m.i[2]);
    const Expr after = stages_load(d->s, tensor, (const Expr[]){last, dir, b, m.i[2]});
    define_map(d, k, &m, expr_select(d->x, none, before, after));
}

static void define_recurrent(Define *d, const Family *family, void (*step)(Cell *c))
{
    Cell c = cell_new(d, family);
    cell_input(&c);
    step(&c);
    define_sequence(d, &c);
    define_last(d, 1, &c, c.h, IN_H);
    if (family->cell)
        define_last(d, 2, &c, c.c, IN_C);
}

/* ---- the steps ---- */

/* Peephole of gate i, o or f (0, 1, 2) times the cell. */
static Expr peephole(const Cell *c, int gate, const Expr i[4], Expr cell)
{
    if (!define_has(c->d, IN_P))
        return expr_const(c->x, c->acc, 0);
    const Expr at[2] = {i[1], gate_row(c, expr_int(c->x, gate), i[3])};
    return expr_mul(c->x, define_load(c->d, IN_P, at), cell);
}

/* Gates i, o, f, c. */
static void lstm_step(Cell *c)
{
    Exprs *x = c->x;
    const int gates = cell_recurrent(c, 0, 4, -1);
    const StageBuild b = cell_begin(c);
    const Expr before = load_before(c, c->c, IN_C, b.i), d = b.i[1];
    const Expr pi = expr_add(x, load_gate(c, gates, 0, 0, b.i), peephole(c, 0, b.i, before));
    const Expr pf = expr_add(x, load_gate(c, gates, 2, 2, b.i), peephole(c, 2, b.i, before));
    const Expr i = activate(c, 0, d, pi);
    const bool coupled = node_int(c->d->node, "input_forget", 0);
    const Expr f = coupled ? expr_sub(x, number(x, i, 1), i) : activate(c, 0, d, pf);
    const Expr g = activate(c, 1, d, load_gate(c, gates, 3, 3, b.i));
    cell_state(c, &b, c->c, IN_C, expr_add(x, expr_mul(x, f, before), expr_mul(x, i, g)));

    const StageBuild m = cell_begin(c);
    const Expr now = stages_load(c->d->s, c->c, m.i);
    const Expr po = expr_add(x, load_gate(c, gates, 1, 1, m.i), peephole(c, 1, m.i, now));
    const Expr o = activate(c, 0, m.i[1], po);
    cell_state(c, &m, c->h, IN_H, expr_mul(x, o, activate(c, 2, m.i[1], now)));
}

/* Gates z, r, h. Where the reset gate comes before the product, all of it is there first: then z is
 * a product of its own, beside the last one. */
static void gru_step(Cell *c)
{
    Exprs *x = c->x;
    const bool linear = node_int(c->d->node, "linear_before_reset", 0);
    const int gates = linear ? cell_recurrent(c, 0, 3, -1) : cell_recurrent(c, 1, 1, -1);
    const StageBuild r = cell_begin(c);
    const Expr reset_gate = activate(c, 0, r.i[1], load_gate(c, gates, linear ? 1 : 0, 1, r.i));
    const int reset = stage_map(c->d->s, &r, "reset", c->acc, reset_gate);
    const int after = linear ? gates : cell_recurrent(c, 2, 1, reset);
    const int update = linear ? gates : cell_recurrent(c, 0, 1, -1);

    const StageBuild b = cell_begin(c);
    Expr hidden = load_recurrent(c, after, linear ? 2 : 0, b.i);
    if (linear)
        hidden = expr_mul(x, stages_load(c->d->s, reset, b.i), hidden);
    hidden = expr_add(x, load_input(c, 2, b.i), hidden);
    const Expr candidate = activate(c, 1, b.i[1], hidden);
    const Expr z = activate(c, 0, b.i[1], load_gate(c, update, 0, 0, b.i));
    const Expr before = load_before(c, c->h, IN_H, b.i);
    const Expr fresh = expr_mul(x, expr_sub(x, number(x, z, 1), z), candidate);
    cell_state(c, &b, c->h, IN_H, expr_add(x, fresh, expr_mul(x, z, before)));
}

static void rnn_step(Cell *c)
{
    const int gates = cell_recurrent(c, 0, 1, -1);
    const StageBuild b = cell_begin(c);
    cell_state(c, &b, c->h, IN_H, activate(c, 0, b.i[1], load_gate(c, gates, 0, 0, b.i)));
}

void define_lstm(Define *d)
{
    define_recurrent(d, &family_lstm, lstm_step);
}

void define_gru(Define *d)
{
    define_recurrent(d, &family_gru, gru_step);
}

void define_rnn(Define *d)
{
    define_recurrent(d, &family_rnn, rnn_step);
}
