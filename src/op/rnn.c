/* LSTM, GRU and RNN.
 *
 * Each direction is made of
 *
 *     input   (T,B,G*H; i)   X W^T for all time steps at once        reduce
 *     gates   (S,B,G*H; k)   h[s-1] R^T                              reduce, in the cycle
 *     c, h    (S,B,H)        along s                                 scan
 *
 * s is the step: time s forward, time T-1-s in reverse (time len-1-s where the sequences have
 * lengths of their own). Past the end of a sequence the state stays as it is. Biases, peepholes,
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

/* One direction. */
typedef struct Cell {
    Define *d;
    Exprs *x;
    DType acc;
    int gates;
    Expr direction; /* index into the weights */
    bool reverse, batch_first;
    Expr steps, batch, hidden;
    Activation f[3];
    int input; /* (T,B,G*H) */
    int h, c;  /* (S,B,H) */
} Cell;

static Cell cell_new(Define *d, const Family *family, int direction)
{
    Exprs *x = d->x;
    const bool batch_first = node_int(d->node, "layout", 0);
    Cell c = {
        .d = d,
        .x = x,
        .acc = dtype_compute(define_in(d, IN_X)->dtype),
        .gates = family->gates,
        .direction = expr_int(x, direction),
        .reverse = direction == 1 || !strcmp(node_string(d->node, "direction", ""), "reverse"),
        .batch_first = batch_first,
        .steps = define_dim(d, IN_X, batch_first ? 1 : 0),
        .batch = define_dim(d, IN_X, batch_first ? 0 : 1),
        .hidden = define_dim(d, IN_R, 2),
    };
    Activation all[6];
    read_activations(d->node, family->activations, directions_of(d->node), family->defaults, all);
    for (int i = 0; i < family->activations; i++)
        c.f[i] = all[direction * family->activations + i];
    const Expr dims[3] = {c.steps, c.batch, c.hidden};
    c.h = stage_scan_declare(d->s, "h", c.acc, 3, dims);
    c.c = family->cell ? stage_scan_declare(d->s, "c", c.acc, 3, dims) : -1;
    return c;
}

static Expr sequence_length(const Cell *c, Expr b)
{
    if (!define_has(c->d, IN_LENS))
        return c->steps;
    return expr_cast(c->x, DT_I64, define_load(c->d, IN_LENS, &b));
}

/* The time of a step, and the step of a time. */
static Expr turn_time(const Cell *c, Expr t, Expr b)
{
    Exprs *x = c->x;
    if (!c->reverse)
        return t;
    Expr at = expr_addi(x, expr_sub(x, sequence_length(c, b), t), -1);
    if (define_has(c->d, IN_LENS)) { /* whatever the lengths hold */
        at = expr_max(x, at, expr_int(x, 0));
        at = expr_min(x, at, expr_addi(x, c->steps, -1));
    }
    return at;
}

/* An initial state (D,B,H), or (B,D,H). */
static Expr load_initial(const Cell *c, int k, Expr b, Expr j)
{
    if (!define_has(c->d, k))
        return expr_const(c->x, c->acc, 0);
    const Expr i0[3] = {c->direction, b, j}, i1[3] = {b, c->direction, j};
    return define_load(c->d, k, c->batch_first ? i1 : i0);
}

/* The state before step s. */
static Expr load_before(const Cell *c, int tensor, int initial, Expr s, Expr b, Expr j)
{
    Exprs *x = c->x;
    const Expr zero = expr_int(x, 0);
    const Expr i[3] = {expr_max(x, expr_addi(x, s, -1), zero), b, j};
    return expr_select(x, expr_eq(x, s, zero), load_initial(c, initial, b, j),
                       stages_load(c->d->s, tensor, i));
}

static int multiply_add(const Cell *c, const StageBuild *b, const char *name, Expr u, Expr v)
{
    Exprs *x = c->x;
    const Expr state = expr_state(x, c->acc, 0), state2 = expr_state2(x, c->acc, 0);
    return stage_reduce(c->d->s, b, name, c->acc, expr_const(x, c->acc, 0),
                        expr_fma(x, u, v, state), expr_add(x, state, state2));
}

/* X W^T in order of time. */
static void cell_input(Cell *c)
{
    const Expr dims[3] = {c->steps, c->batch, expr_muli(c->x, c->hidden, c->gates)};
    StageBuild b = stage_begin(c->d->s, 3, dims);
    const Expr inputs = define_dim(c->d, IN_X, 2);
    stage_reduce_axes(c->d->s, &b, 1, &inputs);
    const Expr at[3] = {b.i[c->batch_first ? 1 : 0], b.i[c->batch_first ? 0 : 1], b.r[0]};
    const Expr v = define_load(c->d, IN_X, at);
    const Expr w = define_load(c->d, IN_W, (const Expr[]){c->direction, b.i[2], b.r[0]});
    c->input = multiply_add(c, &b, "input", v, w);
}

/* h R^T for the gates [first, first + count): (S,B,count*H). `reset`: h is multiplied by this
 * tensor (S,B,H) first; -1: it is not. */
static int cell_recurrent(const Cell *c, int first, int count, int reset)
{
    Exprs *x = c->x;
    const Expr dims[3] = {c->steps, c->batch, expr_muli(x, c->hidden, count)};
    StageBuild b = stage_begin(c->d->s, 3, dims);
    stage_reduce_axes(c->d->s, &b, 1, &c->hidden);
    Expr h = load_before(c, c->h, IN_H, b.i[0], b.i[1], b.r[0]);
    if (reset >= 0) {
        const Expr i[3] = {b.i[0], b.i[1], b.r[0]};
        h = expr_mul(x, stages_load(c->d->s, reset, i), h);
    }
    const Expr row = expr_add(x, b.i[2], expr_muli(x, c->hidden, first));
    const Expr r = define_load(c->d, IN_R, (const Expr[]){c->direction, row, b.r[0]});
    return multiply_add(c, &b, "gates", h, r);
}

static Expr gate_row(const Cell *c, int gate, Expr j)
{
    return expr_add(c->x, expr_muli(c->x, c->hidden, gate), j);
}

/* Gate `gate` of X W^T at step i[0]. */
static Expr load_input(const Cell *c, int gate, const Expr i[3])
{
    const Expr at[3] = {turn_time(c, i[0], i[1]), i[1], gate_row(c, gate, i[2])};
    return stages_load(c->d->s, c->input, at);
}

/* The bias of a gate that goes with the input (half 0) or the recurrence (half 1): B (D, 2*G*H). */
static Expr load_bias(const Cell *c, int half, int gate, Expr j)
{
    if (!define_has(c->d, IN_B))
        return expr_const(c->x, c->acc, 0);
    const Expr at[2] = {c->direction, gate_row(c, half * c->gates + gate, j)};
    return define_load(c->d, IN_B, at);
}

static Expr both_biases(const Cell *c, int gate, Expr j)
{
    return expr_add(c->x, load_bias(c, 0, gate, j), load_bias(c, 1, gate, j));
}

/* Input, recurrence (gate number `at` of tensor `gates`) and biases together. */
static Expr load_gate(const Cell *c, int gates, int at, int gate, const Expr i[3])
{
    Exprs *x = c->x;
    const Expr g[3] = {i[0], i[1], gate_row(c, at, i[2])};
    const Expr products = expr_add(x, load_input(c, gate, i), stages_load(c->d->s, gates, g));
    return expr_add(x, products, both_biases(c, gate, i[2]));
}

/* Clips, then applies activation k. */
static Expr activate(const Cell *c, int k, Expr v)
{
    Exprs *x = c->x;
    const double clip = node_float(c->d->node, "clip", 0);
    if (clip > 0) {
        v = expr_max(x, v, number(x, v, -clip));
        v = expr_min(x, v, number(x, v, clip));
    }
    return c->f[k].make(x, v, &c->f[k]);
}

/* Defines a state: past the end of its sequence it keeps what it was. */
static void cell_state(const Cell *c, const StageBuild *b, int tensor, int initial, Expr value)
{
    Exprs *x = c->x;
    if (define_has(c->d, IN_LENS)) {
        const Expr inside = expr_lt(x, b->i[0], sequence_length(c, b->i[1]));
        const Expr before = load_before(c, tensor, initial, b->i[0], b->i[1], b->i[2]);
        value = expr_select(x, inside, value, before);
    }
    stage_scan_define(c->d->s, b, tensor, 0, value);
}

static StageBuild cell_begin(const Cell *c)
{
    return stage_begin(c->d->s, 3, (const Expr[]){c->steps, c->batch, c->hidden});
}

/* ---- outputs ---- */

/* The value of the direction that index `d` names. */
static Expr of_direction(Exprs *x, int count, const Expr values[2], Expr d)
{
    return count == 1 ? values[0]
                      : expr_select(x, expr_eq(x, d, expr_int(x, 0)), values[0], values[1]);
}

static void define_sequence(Define *d, int count, const Cell *cells)
{
    if (d->node->nout < 1 || d->node->out[0] < 0)
        return;
    Exprs *x = d->x;
    const StageBuild m = define_begin(d, 0);
    const bool first = cells[0].batch_first; /* (B,T,D,H), else (T,D,B,H) */
    const Expr t = m.i[first ? 1 : 0], dir = m.i[first ? 2 : 1], b = m.i[first ? 0 : 2];
    Expr y[2];
    for (int k = 0; k < count; k++) {
        const Expr at[3] = {turn_time(&cells[k], t, b), b, m.i[3]};
        y[k] = stages_load(d->s, cells[k].h, at);
    }
    Expr v = of_direction(x, count, y, dir);
    if (define_has(d, IN_LENS)) {
        const Expr inside = expr_lt(x, t, sequence_length(&cells[0], b));
        v = expr_select(x, inside, v, number(x, v, 0));
    }
    define_map(d, 0, &m, v);
}

static void define_last(Define *d, int k, int count, const Cell *cells, bool cell_state_wanted)
{
    if (d->node->nout <= k || d->node->out[k] < 0)
        return;
    Exprs *x = d->x;
    const StageBuild m = define_begin(d, k);
    const bool first = cells[0].batch_first;
    const Expr dir = m.i[first ? 1 : 0], b = m.i[first ? 0 : 1];
    Expr y[2];
    for (int i = 0; i < count; i++) {
        const Expr at[3] = {expr_addi(x, cells[i].steps, -1), b, m.i[2]};
        y[i] = stages_load(d->s, cell_state_wanted ? cells[i].c : cells[i].h, at);
    }
    define_map(d, k, &m, of_direction(x, count, y, dir));
}

static void define_recurrent(Define *d, const Family *family, void (*step)(Cell *c))
{
    const int count = directions_of(d->node);
    Cell cells[2];
    for (int k = 0; k < count; k++) {
        cells[k] = cell_new(d, family, k);
        cell_input(&cells[k]);
        step(&cells[k]);
    }
    define_sequence(d, count, cells);
    define_last(d, 1, count, cells, false);
    if (family->cell)
        define_last(d, 2, count, cells, true);
}

/* ---- the steps ---- */

/* Peephole of gate i, o or f (0, 1, 2) times the cell. */
static Expr peephole(const Cell *c, int gate, Expr j, Expr cell)
{
    if (!define_has(c->d, IN_P))
        return expr_const(c->x, c->acc, 0);
    const Expr at[2] = {c->direction, gate_row(c, gate, j)};
    return expr_mul(c->x, define_load(c->d, IN_P, at), cell);
}

/* Gates i, o, f, c. */
static void lstm_step(Cell *c)
{
    Exprs *x = c->x;
    const int gates = cell_recurrent(c, 0, 4, -1);
    const StageBuild b = cell_begin(c);
    const Expr before = load_before(c, c->c, IN_C, b.i[0], b.i[1], b.i[2]), j = b.i[2];
    const Expr pi = expr_add(x, load_gate(c, gates, 0, 0, b.i), peephole(c, 0, j, before));
    const Expr pf = expr_add(x, load_gate(c, gates, 2, 2, b.i), peephole(c, 2, j, before));
    const Expr i = activate(c, 0, pi);
    const bool coupled = node_int(c->d->node, "input_forget", 0);
    const Expr f = coupled ? expr_sub(x, number(x, i, 1), i) : activate(c, 0, pf);
    const Expr g = activate(c, 1, load_gate(c, gates, 3, 3, b.i));
    cell_state(c, &b, c->c, IN_C, expr_add(x, expr_mul(x, f, before), expr_mul(x, i, g)));

    const StageBuild m = cell_begin(c);
    const Expr now = stages_load(c->d->s, c->c, m.i);
    const Expr po = expr_add(x, load_gate(c, gates, 1, 1, m.i), peephole(c, 1, m.i[2], now));
    cell_state(c, &m, c->h, IN_H, expr_mul(x, activate(c, 0, po), activate(c, 2, now)));
}

/* Gates z, r, h. */
static void gru_step(Cell *c)
{
    Exprs *x = c->x;
    const bool linear = node_int(c->d->node, "linear_before_reset", 0);
    const int gates = cell_recurrent(c, 0, linear ? 3 : 2, -1);
    const StageBuild r = cell_begin(c);
    const int reset =
        stage_map(c->d->s, &r, "reset", c->acc, activate(c, 0, load_gate(c, gates, 1, 1, r.i)));
    const int after = linear ? -1 : cell_recurrent(c, 2, 1, reset);

    const StageBuild b = cell_begin(c);
    Expr hidden;
    if (linear) {
        const Expr at[3] = {b.i[0], b.i[1], gate_row(c, 2, b.i[2])};
        const Expr inner = expr_add(x, stages_load(c->d->s, gates, at), load_bias(c, 1, 2, b.i[2]));
        const Expr scaled = expr_mul(x, stages_load(c->d->s, reset, b.i), inner);
        hidden =
            expr_add(x, expr_add(x, load_input(c, 2, b.i), scaled), load_bias(c, 0, 2, b.i[2]));
    } else {
        hidden = load_gate(c, after, 0, 2, b.i);
    }
    const Expr candidate = activate(c, 1, hidden);
    const Expr z = activate(c, 0, load_gate(c, gates, 0, 0, b.i));
    const Expr before = load_before(c, c->h, IN_H, b.i[0], b.i[1], b.i[2]);
    const Expr fresh = expr_mul(x, expr_sub(x, number(x, z, 1), z), candidate);
    cell_state(c, &b, c->h, IN_H, expr_add(x, fresh, expr_mul(x, z, before)));
}

static void rnn_step(Cell *c)
{
    const int gates = cell_recurrent(c, 0, 1, -1);
    const StageBuild b = cell_begin(c);
    cell_state(c, &b, c->h, IN_H, activate(c, 0, load_gate(c, gates, 0, 0, b.i)));
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
