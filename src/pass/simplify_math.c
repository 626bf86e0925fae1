/* Rules of simplify on arithmetic. */
#include <float.h>
#include <math.h>

#include "pass/simplify.h"

/* All elements are this number; of floats, also its sign if it is zero. */
static bool is_number(const Graph *g, ValueId v, double number)
{
    double c;
    return known_uniform(g, v, &c) && c == number &&
           (!dtype_is_float(g->value.at[v].dtype) || signbit(c) == signbit(number));
}

bool rule_neutral_right(Graph *g, NodeId n, const Rule *r)
{
    return is_number(g, input(g, n, 1), r->number) && drop_node(g, n, input(g, n, 0));
}

bool rule_neutral_left(Graph *g, NodeId n, const Rule *r)
{
    return is_number(g, input(g, n, 0), r->number) && drop_node(g, n, input(g, n, 1));
}

/* Integers to a float power are computed in floats, which may not hold them. */
static bool exact_power(const Graph *g, NodeId n)
{
    return dtype_is_float(g->value.at[input(g, n, 0)].dtype) ||
           dtype_is_int(g->value.at[input(g, n, 1)].dtype);
}

bool rule_power_of_one(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    return is_number(g, input(g, n, 1), 1) && exact_power(g, n) &&
           drop_node(g, n, input(g, n, 0));
}

bool rule_square(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    const ValueId x = input(g, n, 0);
    if (!is_number(g, input(g, n, 1), 2) || !exact_power(g, n) ||
        !is_same_type(g, x, result(g, n))) {
        return false;
    }
    change_node(g, n, OP_MUL, 2, (const ValueId[]){x, x});
    return true;
}

bool rule_undone(Graph *g, NodeId n, const Rule *r)
{
    const Node *m = maker_is(g, n, 0, r->other);
    return m && drop_node(g, n, m->in[0]);
}

bool rule_repeated(Graph *g, NodeId n, const Rule *r)
{
    return maker_is(g, n, 0, r->other) && drop_node(g, n, input(g, n, 0));
}

bool rule_two_inputs(Graph *g, NodeId n, const Rule *r)
{
    if (g->node.at[n].nin != 2) {
        return false;
    }
    change_node(g, n, r->other, 2, g->node.at[n].in);
    return true;
}

/* ---- clip ---- */

typedef struct Bounds {
    ValueId low, high;       /* -1: none */
    double low_at, high_at;
} Bounds;

/* False where a bound is not known, or a double does not hold all numbers of the type. */
static bool known_bounds(const Graph *g, const Node *clip, Bounds *b)
{
    const DType t = g->value.at[clip->out[0]].dtype;
    *b = (Bounds){
        .low = clip->nin > 1 ? clip->in[1] : -1,
        .high = clip->nin > 2 ? clip->in[2] : -1,
        .low_at = -INFINITY,
        .high_at = INFINITY,
    };
    return (dtype_is_float(t) || dtype_bits(t) <= 32) &&
           (b->low < 0 || known_uniform(g, b->low, &b->low_at)) &&
           (b->high < 0 || known_uniform(g, b->high, &b->high_at));
}

bool rule_relu_of_clip(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    const Node *clip = maker_is(g, n, 0, OP_CLIP);
    Bounds b;
    return clip && known_bounds(g, clip, &b) && b.low_at >= 0 && b.high_at >= 0 &&
           drop_node(g, n, input(g, n, 0));
}

/* Both intervals and what they share must not be empty (nor NaN). Of equal bounds, which may be
 * zeros of two signs, the inner one counts. */
bool rule_clip_of_clip(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    const Node *inner = maker_is(g, n, 0, OP_CLIP);
    Bounds a, b;
    if (!inner || !known_bounds(g, inner, &a) || !known_bounds(g, &g->node.at[n], &b)) {
        return false;
    }
    const double low = a.low_at >= b.low_at ? a.low_at : b.low_at;
    const double high = a.high_at <= b.high_at ? a.high_at : b.high_at;
    if (!(a.low_at <= a.high_at && b.low_at <= b.high_at && low <= high)) {
        return false;
    }
    const ValueId in[3] = {
        inner->in[0],
        a.low_at >= b.low_at ? a.low : b.low,
        a.high_at <= b.high_at ? a.high : b.high,
    };
    change_node(g, n, OP_CLIP, 3, in);
    return true;
}

bool rule_clip_of_relu(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    const Node *relu = maker_is(g, n, 0, OP_RELU);
    Bounds b;
    if (!relu || !known_bounds(g, &g->node.at[n], &b) || isnan(b.low_at)) {
        return false;
    }
    ValueId in[3] = {relu->in[0], b.low, b.high};
    if (b.low_at <= 0) {
        in[1] = graph_const_scalar(g, "zero", g->value.at[in[0]].dtype, 0);
    }
    change_node(g, n, OP_CLIP, 3, in);
    return true;
}

/* ---- signs ---- */

bool rule_negation(Graph *g, NodeId n, const Rule *r)
{
    for (int k = 0; k < 2; k++) {
        const ValueId x = input(g, n, 1 - k);
        const bool exact = r->op == OP_MUL || dtype_is_float(g->value.at[x].dtype);
        if ((k == 1 || r->op == OP_MUL) && exact && is_number(g, input(g, n, k), r->number) &&
            is_same_type(g, x, result(g, n))) {
            change_node(g, n, OP_NEG, 1, &x);
            return true;
        }
    }
    return false;
}

bool rule_right_negated(Graph *g, NodeId n, const Rule *r)
{
    const Node *neg = maker_is(g, n, 1, OP_NEG);
    if (!neg) {
        return false;
    }
    change_node(g, n, r->other, 2, (const ValueId[]){input(g, n, 0), neg->in[0]});
    return true;
}

bool rule_left_negated(Graph *g, NodeId n, const Rule *r)
{
    const Node *neg = maker_is(g, n, 0, OP_NEG);
    if (!neg) {
        return false;
    }
    change_node(g, n, r->other, 2, (const ValueId[]){input(g, n, 1), neg->in[0]});
    return true;
}

/* Not of integer division: the lowest number has no opposite. */
bool rule_both_negated(Graph *g, NodeId n, const Rule *r)
{
    const Node *a = maker_is(g, n, 0, OP_NEG), *b = maker_is(g, n, 1, OP_NEG);
    if (!a || !b || (r->op == OP_DIV && !dtype_is_float(g->value.at[result(g, n)].dtype))) {
        return false;
    }
    change_node(g, n, r->op, 2, (const ValueId[]){a->in[0], b->in[0]});
    return true;
}

/* ---- constants ---- */

/* A new tensor of v's type and shape; NULL if the dims are not numbers. */
static Tensor *tensor_like(const Graph *g, ValueId id)
{
    const Value *v = &g->value.at[id];
    int64_t dims[MAX_RANK];
    for (int k = 0; k < v->rank; k++) {
        if (!expr_is_int(g->x, v->dim[k], &dims[k])) {
            return NULL;
        }
    }
    Error e = {0};
    Tensor *t = tensor_new(v->dtype, v->rank, dims, &e);
    if (!t) {
        fail(g->ctx, e.code, "%s", e.message);
    }
    return t;
}

static void *element_at(const Tensor *t, int64_t i)
{
    return (char *)t->data + i * dtype_size(t->dtype);
}

/* 1/c is exact then, so that the product is the quotient, rounded once. */
bool rule_divide_by_power_of_two(Graph *g, NodeId n, const Rule *r)
{
    (void)r;
    const ValueId divisor = input(g, n, 1);
    const DType type = g->value.at[divisor].dtype;
    Known c;
    if (!dtype_is_float(type) || !known_elements(g, divisor, &c) || c.count == 0) {
        return false;
    }
    Tensor *t = tensor_like(g, divisor);
    bool exact = t != NULL;
    for (int64_t i = 0; exact && i < c.count; i++) {
        const double v = known_float(&c, i);
        int power;
        dtype_write(type, element_at(t, i), 1 / v, false);
        exact = isfinite(v) && fabs(frexp(v, &power)) == 0.5 &&
                dtype_read(type, element_at(t, i)) == 1 / v;
    }
    if (!exact) {
        tensor_unref(t);
        return false;
    }
    const ValueId factor = graph_constant(g, "reciprocal", t);
    change_node(g, n, OP_MUL, 2, (const ValueId[]){input(g, n, 0), factor});
    return true;
}

/* May x*a*b become x*(a*b), whatever x is? Rounded once less, the result may differ by some ulps,
 * but no number may become zero, infinite or NaN, or cease to be: if neither factor shrinks, what
 * overflows half-way does so in the end; if neither grows, likewise what underflows. The product
 * itself must be a normal number. */
static bool may_combine(DType t, double a, double b)
{
    const double product = fabs(a * b);
    const bool grow = fabs(a) >= 1 && fabs(b) >= 1, shrink = fabs(a) <= 1 && fabs(b) <= 1;
    const double least = t == DT_F64 ? DBL_MIN : (double)FLT_MIN;
    return (grow || shrink) && product >= least && product <= dtype_highest(t);
}

static Tensor *combine(const Graph *g, OpCode op, ValueId large, const Known *a, const Known *b)
{
    Tensor *t = tensor_like(g, large);
    for (int64_t i = 0; t && i < tensor_elements(t); i++) {
        const int64_t ia = a->count == 1 ? 0 : i, ib = b->count == 1 ? 0 : i;
        if (dtype_is_float(t->dtype)) {
            const double va = known_float(a, ia), vb = known_float(b, ib);
            if (!may_combine(t->dtype, va, vb)) {
                tensor_unref(t);
                return NULL;
            }
            dtype_write(t->dtype, element_at(t, i), va * vb, false);
        } else {
            const uint64_t va = (uint64_t)known_int(a, ia), vb = (uint64_t)known_int(b, ib);
            dtype_write_int(t->dtype, element_at(t, i),
                            (int64_t)(op == OP_MUL ? va * vb : va + vb));
        }
    }
    return t;
}

/* Integers wrap, so that order does not matter. Sums of floats keep theirs: x + 1e30 - 1e30 is not
 * x. Products: f32 and f64, whose numbers a register holds; narrower types round in between. */
bool rule_constants(Graph *g, NodeId n, const Rule *r)
{
    const DType type = g->value.at[result(g, n)].dtype;
    if (!dtype_is_int(type) && !(r->op == OP_MUL && (type == DT_F32 || type == DT_F64))) {
        return false;
    }
    for (int k = 0; k < 4; k++) {
        const int outer = k & 1, inner = k >> 1; /* where the constants are */
        const Node *m = maker_is(g, n, 1 - outer, r->op);
        Known a, b;
        if (!m || !known_elements(g, input(g, n, outer), &b) ||
            !known_elements(g, m->in[inner], &a) || a.count < 1 || b.count < 1) {
            continue;
        }
        const ValueId x = m->in[1 - inner];
        const ValueId large = a.count > 1 ? m->in[inner] : input(g, n, outer);
        if (!is_same_type(g, x, result(g, n)) ||
            (a.count > 1 && b.count > 1 &&
             !is_same_type(g, m->in[inner], input(g, n, outer)))) {
            continue;
        }
        Tensor *t = combine(g, r->op, large, &a, &b);
        if (t) {
            const ValueId c = graph_constant(g, "combined", t);
            change_node(g, n, r->op, 2, (const ValueId[]){x, c});
            return true;
        }
    }
    return false;
}
