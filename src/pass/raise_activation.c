/* raise_activation: activations that exporters spell out become one op again.
 *
 *     d = div(x, 1.4142135); e = erf(d); f = add(e, 1); h = mul(x, f); y = mul(h, 0.5)
 *     ->  y = gelu(x)
 *
 * Gelu (erf and tanh), Swish, HardSwish, HardSigmoid, Sigmoid, Softplus, Mish, LeakyRelu. Requires
 * inference; leaves shapes as they were. Results may differ in the last bits; Softplus and what
 * holds it gain the range in which exp overflows. */
#include "pass/match.h"

#include <math.h>
#include <string.h>

static const Macro macros[] = {
    /* x * y / 2 */
    {"half_product", "{half(mul($1, $2))|mul(half($1), $2)|mul($1, half($2))}"},
    {"logistic_chain", "inverse(add(exp(neg($1)), 1))"},
    {"logistic", "{sigmoid($1)|logistic_chain($1)}"},
    {"log_one_exp", "log(add(exp($1), 1))"},
    {"sixth", "{div($1, 6)|mul($1, 0.16666666666666667)}"},
    /* 0.044715 x^3, and sqrt(2/pi) (x + 0.044715 x^3) */
    {"cubic", "{mul(cube(x), 0.044715)|mul(x, mul(square(x), 0.044715))|"
              "mul(x, mul(x, mul(x, 0.044715)))}"},
    {"tanh_inner", "{mul(add(x, $1), 0.7978845608028654)|"
                   "product(x, 0.7978845608028654, add(mul(square(x), 0.044715), 1))}"},
    {"relu6", "{clamp($1, 0, 6)|min(relu($1), 6)}"},
    {NULL, NULL},
};

/* x is the only operand, the result like x, and nothing on the way wider (then the result were). */
static bool fits(const Graph *g, const Match *m)
{
    const ValueId x = match_value(m, 'x'), y = g->node.at[m->node[0]].out[0];
    return is_same_type(g, x, y) && dtype_is_float(g->value.at[x].dtype);
}

static NodeId replace(Graph *g, const Match *m, OpCode op)
{
    const ValueId x = match_value(m, 'x');
    return match_replace(g, m, op, 1, &x);
}

static bool plain(Graph *g, const Match *m, const RaiseRule *rule)
{
    if (!fits(g, m))
        return false;
    replace(g, m, rule->op);
    return true;
}

static bool gelu_tanh(Graph *g, const Match *m, const RaiseRule *rule)
{
    if (!fits(g, m))
        return false;
    node_set_string(g, replace(g, m, rule->op), "approximate", "tanh");
    return true;
}

/* A is the factor of x, or D its divisor; B is added. */
static bool line(Graph *g, const Match *m, const RaiseRule *rule)
{
    if (!fits(g, m) || (m->known['D' - 'A'] && match_number(m, 'D') == 0))
        return false;
    const double a = m->known['D' - 'A'] ? 1 / match_number(m, 'D') : match_number(m, 'A');
    const NodeId n = replace(g, m, rule->op);
    node_set_float(g, n, "alpha", a);
    if (m->known['B' - 'A'])
        node_set_float(g, n, "beta", match_number(m, 'B'));
    return true;
}

/* max(x, A x) */
static bool leaky(Graph *g, const Match *m, const RaiseRule *rule)
{
    return match_number(m, 'A') > 0 && match_number(m, 'A') < 1 && line(g, m, rule);
}

static bool sixth_sigmoid(Graph *g, const Match *m, const RaiseRule *rule)
{
    if (!fits(g, m))
        return false;
    const NodeId n = replace(g, m, rule->op);
    node_set_float(g, n, "alpha", 1.0 / 6);
    node_set_float(g, n, "beta", 0.5);
    return true;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 0x1p-22 * fabs(b);
}

/* x * HardSigmoid(x), of the line x/6 + 1/2. */
static bool hard_swish(Graph *g, const Match *m, const RaiseRule *rule)
{
    for (int k = 1; k < m->nnodes; k++) {
        const Node *n = &g->node.at[m->node[k]];
        if (n->op == OP_HARD_SIGMOID && (!near(node_float(n, "alpha", 0.2), 1.0 / 6) ||
                                         !near(node_float(n, "beta", 0.5), 0.5)))
            return false;
    }
    return plain(g, m, rule);
}

static const RaiseRule rules[] = {
    {"half_product(x, add(erf({div(x, 1.4142135623730951)|mul(x, 0.7071067811865476)}), 1))",
     OP_GELU, plain},
    {"half_product(x, add(tanh(tanh_inner(cubic(x))), 1))", OP_GELU, gelu_tanh},
    {"mul(x, logistic(x))", OP_SWISH, plain},
    {"mul(x, logistic(mul(x, A)))", OP_SWISH, line},
    {"div(x, add(exp(neg(x)), 1))", OP_SWISH, plain},
    {"{sixth(mul(x, relu6(add(x, 3))))|mul(x, sixth(relu6(add(x, 3))))|"
     "mul(sixth(x), relu6(add(x, 3)))}", OP_HARD_SWISH, plain},
    {"mul(x, clamp(add(sixth(x), 0.5), 0, 1))", OP_HARD_SWISH, plain},
    {"mul(x, hard_sigmoid(x))", OP_HARD_SWISH, hard_swish},
    {"clamp(add(mul(x, A), B), 0, 1)", OP_HARD_SIGMOID, line},
    {"clamp(add(div(x, D), B), 0, 1)", OP_HARD_SIGMOID, line},
    {"sixth(relu6(add(x, 3)))", OP_HARD_SIGMOID, sixth_sigmoid},
    {"mul(x, tanh({softplus(x)|log_one_exp(x)}))", OP_MISH, plain},
    {"log_one_exp(x)", OP_SOFTPLUS, plain},
    {"logistic_chain(x)", OP_SIGMOID, plain},
    {"max(x, mul(x, A))", OP_LEAKY_RELU, leaky},
};

Graph *pass_raise_activation(Context *ctx, const Graph *g, const PassOptions *opt, int *count)
{
    (void)opt;
    return raise_chains(ctx, g, (int)(sizeof rules / sizeof *rules), rules, macros, count);
}
