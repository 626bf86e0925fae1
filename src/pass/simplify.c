/* simplify: algebraic rules, one a row.
 *
 *     y = transpose(x); z = transpose(y); w = z * 1   ->   w = x
 *
 * Rewriting ends, because each rule lowers this measure, compared from the left:
 *   1. the number of nodes                                             (NODES)
 *   2. the sum of their ops' weights: pow > div, sum > mul, transpose > the rest  (WEIGHT, and 1. stays)
 *   3. the sum, over all that nodes read, of its depth: the longest way to it from an input or a
 *      constant                                                        (DEPTH, and 1. and 2. stay)
 * Nodes that nobody reads any more are left to remove_dead.
 *
 * What a rule may change of a float result: nothing, but for rule_constants, which may round
 * differently (see there). In particular x*0 is not 0, x-x is not 0, x+0 is not x (of -0), but
 * x-0 is and x + -0 is. Types and shapes stay: a rule does nothing where a constant broadcasts x
 * to a larger shape, or where symbolic dims are not known to be equal. */
#include "pass/simplify.h"

#include <assert.h>
#include <string.h>

#define R(o, what, rule, ...) {.op = OP_##o, .lowers = what, .apply = rule_##rule, __VA_ARGS__}
static const Rule rules[] = {
    /* arithmetic */
    R(ADD, NODES, neutral_right, .number = -0.0),           /* x + -0 = x */
    R(ADD, NODES, neutral_left, .number = -0.0),            /* -0 + x = x */
    R(SUB, NODES, neutral_right, .number = 0),              /* x - 0 = x */
    R(MUL, NODES, neutral_right, .number = 1),              /* x * 1 = x */
    R(MUL, NODES, neutral_left, .number = 1),               /* 1 * x = x */
    R(DIV, NODES, neutral_right, .number = 1),              /* x / 1 = x */
    R(AND, NODES, neutral_right, .number = 1),              /* x and true = x */
    R(AND, NODES, neutral_left, .number = 1),               /* true and x = x */
    R(OR, NODES, neutral_right, .number = 0),               /* x or false = x */
    R(OR, NODES, neutral_left, .number = 0),                /* false or x = x */
    R(XOR, NODES, neutral_right, .number = 0),              /* x xor false = x */
    R(XOR, NODES, neutral_left, .number = 0),               /* false xor x = x */
    R(BITWISE_OR, NODES, neutral_right, .number = 0),       /* x | 0 = x */
    R(BITWISE_OR, NODES, neutral_left, .number = 0),        /* 0 | x = x */
    R(BITWISE_XOR, NODES, neutral_right, .number = 0),      /* x ^ 0 = x */
    R(BITWISE_XOR, NODES, neutral_left, .number = 0),       /* 0 ^ x = x */
    R(BIT_SHIFT, NODES, neutral_right, .number = 0),        /* x << 0 = x */
    R(POW, NODES, power_of_one),                            /* pow(x, 1) = x */
    R(POW, WEIGHT, square),                                 /* pow(x, 2) = x * x */
    R(SUM, WEIGHT, two_inputs, .other = OP_ADD),            /* sum(x, y) = x + y */
    R(NEG, NODES, undone, .other = OP_NEG),                 /* -(-x) = x */
    R(NOT, NODES, undone, .other = OP_NOT),                 /* not not x = x */
    R(BITWISE_NOT, NODES, undone, .other = OP_BITWISE_NOT), /* ~~x = x */
    R(ABS, NODES, repeated, .other = OP_ABS),               /* f(f(x)) = f(x) */
    R(CEIL, NODES, repeated, .other = OP_CEIL), R(FLOOR, NODES, repeated, .other = OP_FLOOR),
    R(RELU, NODES, repeated, .other = OP_RELU), R(ROUND, NODES, repeated, .other = OP_ROUND),
    R(SIGN, NODES, repeated, .other = OP_SIGN),
    R(RELU, NODES, relu_of_clip),                  /* of clip(x, 0.., b) */
    R(CLIP, DEPTH, clip_of_clip),                  /* clip(x, max, min) of bounds */
    R(CLIP, DEPTH, clip_of_relu),                  /* clip(x, max(0, a), b) */
    R(MUL, WEIGHT, negation, .number = -1),        /* x * -1 = -x */
    R(DIV, WEIGHT, negation, .number = -1),        /* x / -1 = -x */
    R(DIV, WEIGHT, divide_by_power_of_two),        /* x / 8 = x * 0.125 */
    R(ADD, DEPTH, right_negated, .other = OP_SUB), /* x + -y = x - y */
    R(ADD, DEPTH, left_negated, .other = OP_SUB),  /* -x + y = y - x */
    R(SUB, DEPTH, right_negated, .other = OP_ADD), /* x - -y = x + y */
    R(MUL, DEPTH, both_negated),                   /* -x * -y = x * y */
    R(DIV, DEPTH, both_negated),                   /* -x / -y = x / y */
    R(MUL, DEPTH, constants),                      /* x * a * b = x * (a*b) */
    R(ADD, DEPTH, constants),                      /* x + a + b = x + (a+b) */
    /* moving and choosing */
    R(CONCAT, NODES, one_input),       /* concat(x) = x */
    R(CONCAT, DEPTH, concat_of_split), /* concat(a, split(x).., b) = concat(a, x, b) */
    R(MAX, NODES, one_input), R(MIN, NODES, one_input), R(MEAN, NODES, one_input),
    R(SUM, NODES, one_input), R(SPLIT, NODES, one_output), /* split(x) in one part = x */
    R(TRANSPOSE, NODES, in_order),                         /* perm = 0, 1, 2.. */
    R(TRANSPOSE, DEPTH, transpose_twice),                  /* of transpose(x) */
    R(TRANSPOSE, WEIGHT, transpose_of_ones),               /* of dims of 1 alone = reshape(x) */
    R(RESHAPE, NODES, same_shape),                         /* to the shape that x has */
    R(FLATTEN, NODES, same_shape), R(SQUEEZE, NODES, same_shape), R(UNSQUEEZE, NODES, same_shape),
    R(EXPAND, NODES, same_shape),
    R(RESHAPE, NODES, reshape_back), /* of one of these four, to what was */
    R(FLATTEN, NODES, reshape_back), R(SQUEEZE, NODES, reshape_back),
    R(UNSQUEEZE, NODES, reshape_back), R(RESHAPE, DEPTH, reshape_twice), /* of one of these four */
    R(FLATTEN, DEPTH, reshape_twice), R(SQUEEZE, DEPTH, reshape_twice),
    R(UNSQUEEZE, DEPTH, reshape_twice), R(EXPAND, DEPTH, expand_twice), /* of expand(x) */
    R(CAST, NODES, same_shape),                                         /* to the type that x has */
    R(CAST, DEPTH, cast_twice),           /* of cast(x), where exact */
    R(SLICE, NODES, slice_all),           /* x[0:N] = x */
    R(PAD, NODES, uniform, .number = 0),  /* by nothing */
    R(TILE, NODES, uniform, .number = 1), /* once */
    R(WHERE, NODES, where_known),         /* where(true, x, y) = x */
    R(WHERE, NODES, where_same),          /* where(c, x, x) = x */
};
#undef R

static int weight(OpCode op)
{
    return op == OP_POW                         ? 4
           : op == OP_DIV || op == OP_SUM       ? 3
           : op == OP_MUL || op == OP_TRANSPOSE ? 2
                                                : 1;
}

/* ---- what rules do and ask ---- */

bool drop_node(Graph *g, NodeId n, ValueId to)
{
    const ValueId from = result(g, n);
    if (to < 0 || !is_same_type(g, from, to) || !forward_value(g, from, to)) {
        return false;
    }
    block_remove(g, n);
    return true;
}

const Node *maker_is(const Graph *g, NodeId n, int k, OpCode op)
{
    const ValueId v = input(g, n, k);
    const NodeId p = v < 0 ? -1 : g->value.at[v].producer;
    return p >= 0 && g->node.at[p].op == op ? &g->node.at[p] : NULL;
}

/* ---- the walk ---- */

static bool apply_rules(Graph *g, NodeId n)
{
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++) {
        const Rule *r = &rules[k];
        const Node before = g->node.at[n];
        if (r->op != before.op || before.nout != 1 || before.out[0] < 0 ||
            !r->apply(g, n, r)) {
            continue;
        }
        const Node *now = &g->node.at[n];
        assert((now->home < 0) == (r->lowers == NODES));
        assert(r->lowers != WEIGHT || weight(now->op) < weight(before.op));
        assert(r->lowers != DEPTH || weight(now->op) == weight(before.op));
        (void)now;
        return true;
    }
    return false;
}

static int simplify_block(Graph *g, int block)
{
    const Block *b = &g->block.at[block];
    int count = 0;
    for (int i = 0; i < b->node.len;) {
        const NodeId n = b->node.at[i];
        while (g->node.at[n].home >= 0 && apply_rules(g, n)) {
            count++;
        }
        i += g->node.at[n].home >= 0;
    }
    return count;
}

Graph *pass_simplify(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    (void)opt;
    Graph *g = graph_copy(ctx, old);
    for (int more = 1; more > 0;) {
        more = 0;
        for (int b = 0; b < g->block.len; b++) {
            more += simplify_block(g, b);
        }
        *count += more;
    }
    return g;
}
