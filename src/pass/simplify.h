/* What a rule of `simplify` is, and what rules are made of. Private to pass/simplify*.c. */
#ifndef LATHE_PASS_SIMPLIFY_H
#define LATHE_PASS_SIMPLIFY_H

#include "pass/edit.h"
#include "pass/known.h"

/* What a rule lowers; see simplify.c. */
typedef enum Lowers {
    NODES,  /* the node goes, its readers read what it read */
    WEIGHT, /* it becomes a cheaper op of what it read */
    DEPTH,  /* it reads what an input of it reads */
} Lowers;

typedef struct Rule Rule;
/* Tries the rule on node n, whose op is the rule's: true if the graph was changed. */
typedef bool RuleFn(Graph *g, NodeId n, const Rule *r);

struct Rule {
    OpCode op;
    Lowers lowers;
    RuleFn *apply;
    double number; /* a constant that the rule looks for */
    OpCode other;  /* an op that it looks for, or writes */
};

/* ---- what rules do ---- */
/* The readers of n's only result read `to`, and n goes. False: types differ, or `to` cannot take
 * over an output. */
bool drop_node(Graph *g, NodeId n, ValueId to);

/* ---- what they ask ---- */
/* The node that makes input k of n, if its op is `op`; NULL. */
const Node *maker_is(const Graph *g, NodeId n, int k, OpCode op);
static inline ValueId input(const Graph *g, NodeId n, int k)
{
    return k < g->node.at[n].nin ? g->node.at[n].in[k] : -1;
}
static inline ValueId result(const Graph *g, NodeId n)
{
    return g->node.at[n].out[0];
}

/* ---- rules of arithmetic: simplify_math.c ---- */
RuleFn rule_neutral_left, rule_neutral_right; /* one input is `number`: the other one */
RuleFn rule_power_of_one, rule_square;
RuleFn rule_undone;      /* other(x) comes in: x */
RuleFn rule_repeated;    /* other(x) comes in, and does it all */
RuleFn rule_relu_of_clip, rule_clip_of_clip, rule_clip_of_relu;
RuleFn rule_negation;    /* by -1 */
RuleFn rule_divide_by_power_of_two;
RuleFn rule_left_negated, rule_right_negated, rule_both_negated;
RuleFn rule_constants;   /* (x op c1) op c2 */
RuleFn rule_two_inputs;

/* ---- rules of moving and choosing: simplify_move.c ---- */
RuleFn rule_one_input, rule_one_output;
RuleFn rule_concat_of_split;
RuleFn rule_in_order, rule_transpose_twice, rule_transpose_of_ones;
RuleFn rule_same_shape, rule_reshape_back, rule_reshape_twice, rule_expand_twice;
RuleFn rule_cast_twice;
RuleFn rule_slice_all;
RuleFn rule_uniform;     /* input 1 is `number` all over: input 0 */
RuleFn rule_where_known, rule_where_same;

#endif
