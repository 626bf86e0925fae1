/* raise_norm: LayerNormalization, RMSNormalization, Softmax and LogSoftmax from their chains; and
 * Softmax in the form of opset 12, over rows of a matrix, where the rows are those of the last
 * axis.
 *
 *     c = sub(x, reduce_mean(x)); v = reduce_mean(pow(c, 2)); n = div(c, sqrt(add(v, E)))
 *     y = add(mul(n, w), b)
 *     ->  y = layer_normalization(x, w, b) axis=.. epsilon=E
 *
 * Layer and RMS: the mean is over the last axes; w and b, where there are any, span these alone
 * (what spans more is no parameter but an operand, such as a residual). Requires inference; leaves
 * shapes as they were. */
#include "pass/known.h"
#include "pass/match.h"

static const Macro macros[] = {
    {"mean", "reduce_mean($1, a)"},
    {"centred", "sub($1, mean($1))"},
    {"variance", "add(mean(square({centred($1)|sub(mean($1), $1)})), E)"},
    {"layer", "{div(centred(x), root(variance(x)))|mul(centred(x), inverse_root(variance(x)))}"},
    {"layer_scaled", "{mul(layer(x), w)|mul(centred(x), mul(inverse_root(variance(x)), w))}"},
    /* x*s + (b - mean*s), with s = w / deviation */
    {"layer_line", "add(mul(x, $1), sub(b, mul(mean(x), $1)))"},
    {"power", "add(mean(square($1)), E)"},
    {"rms", "{div(x, root(power(x)))|mul(x, inverse_root(power(x)))}"},
    {"rms_scaled", "{mul(rms(x), w)|mul(x, mul(inverse_root(power(x)), w))}"},
    {"shifted", "sub(x, reduce_max(x, a))"},
    {"total", "reduce_sum(exp(shifted(x)), a)"},
    {NULL, NULL},
};

/* The first of the axes `a`, if they are the last ones of x; -1: they are not. */
static int first_axis(const Graph *g, const Match *m)
{
    int64_t axis[MAX_RANK];
    const int rank = g->value.at[match_value(m, 'x')].rank;
    const int n = known_ints(g, match_value(m, 'a'), axis, MAX_RANK);
    unsigned seen = 0;
    for (int k = 0; k < n; k++) {
        const int64_t at = axis[k] < 0 ? axis[k] + rank : axis[k];
        if (at < rank - n || at >= rank)
            return -1;
        seen |= 1u << at;
    }
    const unsigned want = n > 0 ? ((1u << n) - 1) << (rank - n) : 0;
    return n > 0 && seen == want ? rank - n : -1;
}

/* Absent, or over the axes from `axis` on alone. */
static bool is_parameter(const Graph *g, ValueId v, ValueId x, int axis)
{
    if (v < 0)
        return true;
    const Value *p = &g->value.at[v];
    const int rank = g->value.at[x].rank;
    int64_t one;
    for (int k = 0; k < p->rank; k++)
        if (k + rank - p->rank < axis && !(expr_is_int(g->x, p->dim[k], &one) && one == 1))
            return false;
    return p->rank <= rank && p->dtype == g->value.at[x].dtype;
}

static bool moments(Graph *g, const Match *m, const RaiseRule *rule)
{
    const ValueId x = match_value(m, 'x'), b = match_value(m, 'b');
    const int axis = first_axis(g, m);
    if (axis < 0 || !reductions_keep_dims(g, m) || match_number(m, 'E') < 0 ||
        !dtype_is_float(g->value.at[x].dtype) ||
        !is_same_type(g, x, g->node.at[m->node[0]].out[0]) ||
        !is_parameter(g, match_value(m, 'w'), x, axis) || !is_parameter(g, b, x, axis))
        return false;
    ValueId in[3] = {x, match_value(m, 'w'), b};
    if (in[1] < 0)
        in[1] = graph_const_scalar(g, "one", g->value.at[x].dtype, 1);
    const NodeId n = match_replace(g, m, rule->op, b < 0 ? 2 : 3, in);
    node_set_int(g, n, "axis", axis);
    node_set_float(g, n, "epsilon", match_number(m, 'E'));
    return true;
}

static bool one_axis(Graph *g, const Match *m, const RaiseRule *rule)
{
    const ValueId x = match_value(m, 'x');
    int64_t axis;
    if (known_ints(g, match_value(m, 'a'), &axis, 1) != 1 || !reductions_keep_dims(g, m) ||
        !dtype_is_float(g->value.at[x].dtype) ||
        !is_same_type(g, x, g->node.at[m->node[0]].out[0]))
        return false;
    node_set_int(g, match_replace(g, m, rule->op, 1, &x), "axis", axis);
    return true;
}

/* Rows of the last axis: the matrix may as well be what it was made of. */
static bool rows(Graph *g, const Match *m, const RaiseRule *rule)
{
    const ValueId x = match_value(m, 'x');
    const Node *op = &g->node.at[m->node[1]], *flatten = &g->node.at[m->node[2]];
    const int64_t axis = node_int(op, "axis", -1), first = node_int(flatten, "axis", 1);
    const int rank = g->value.at[x].rank;
    if ((axis != -1 && axis != 1) || (first != rank - 1 && first != -1) || rank < 1 ||
        !is_same_type(g, x, g->node.at[m->node[0]].out[0]))
        return false;
    node_set_int(g, match_replace(g, m, rule->op, 1, &x), "axis", -1);
    return true;
}

/* The layer's before those of RMS: a layer is the RMS of what is centred. */
static const RaiseRule rules[] = {
    {"add(layer_scaled(x), b)", OP_LAYER_NORMALIZATION, moments},
    {"layer_line(mul(inverse_root(variance(x)), w))", OP_LAYER_NORMALIZATION, moments},
    {"layer_line(inverse_root(variance(x)))", OP_LAYER_NORMALIZATION, moments},
    {"layer_scaled(x)", OP_LAYER_NORMALIZATION, moments},
    {"layer(x)", OP_LAYER_NORMALIZATION, moments},
    {"rms_scaled(x)", OP_RMS_NORMALIZATION, moments},
    {"rms(x)", OP_RMS_NORMALIZATION, moments},
    {"{div(exp(shifted(x)), total(x))|mul(exp(shifted(x)), inverse(total(x)))}", OP_SOFTMAX,
     one_axis},
    {"sub(shifted(x), log(total(x)))", OP_LOG_SOFTMAX, one_axis},
    {"reshape(softmax(flatten(x)), {shape(x)|s})", OP_SOFTMAX, rows},
    {"reshape(log_softmax(flatten(x)), {shape(x)|s})", OP_LOG_SOFTMAX, rows},
};

Graph *pass_raise_norm(Context *ctx, const Graph *g, const PassOptions *opt, int *count)
{
    (void)opt;
    return raise_chains(ctx, g, (int)(sizeof rules / sizeof *rules), rules, macros, count);
}
