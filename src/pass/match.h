/* Patterns of nodes, written as text: what the raising passes are made of. Private to pass/.
 *
 *     mul(mul(x, 0.5), add(erf(div(x, 1.4142135)), 1))
 *
 *     name(p, q)  a node of this op with exactly these inputs; of add, mul, min, max in any order
 *     x           a lower-case letter: any value, the same wherever the letter stands (constants:
 *                 of the same elements)
 *     E           an upper-case letter: a known number
 *     0.5         this number, as the value's type can hold it; all elements, if there are several
 *     {p|q}       either
 *     name(p, q)  also a macro: its body with p for $1 and q for $2
 *
 * All orders and alternatives are tried. Nodes below the root must stand in its block and be read
 * nowhere else: a match may be replaced as a whole. Attributes and shapes are the rule's affair. */
#ifndef LATHE_PASS_MATCH_H
#define LATHE_PASS_MATCH_H

#include "pass/edit.h"

#define MATCH_NODES 32

typedef struct Macro {
    const char *name, *body;
} Macro;

typedef struct Match {
    NodeId node[MATCH_NODES]; /* each once; the root first */
    int nnodes;
    ValueId value[26];        /* by letter, a..z; -1: not in what matched */
    double number[26];        /* by letter, A..Z */
    bool known[26];           /* has number[] been set? */
} Match;

static inline ValueId match_value(const Match *m, char letter)
{
    return m->value[letter - 'a'];
}

static inline double match_number(const Match *m, char letter)
{
    return m->number[letter - 'A'];
}

typedef struct RaiseRule {
    const char *pattern;
    OpCode op;
    /* Looks at attributes and shapes, then calls match_replace; false, and nothing done: no. */
    bool (*raise)(Graph *g, const Match *m, const struct RaiseRule *rule);
} RaiseRule;

/* Applies the rules at every node, last nodes first (so that the largest chain is found), the first
 * rule that fits. `macros` end with a NULL name; those of match.c are known too. Returns a copy. */
Graph *raise_chains(Context *ctx, const Graph *g, int n, const RaiseRule *rules,
                    const Macro *macros, int *count);

/* The root becomes an `op` of these inputs, with no attributes; the other nodes go. */
NodeId match_replace(Graph *g, const Match *m, OpCode op, int nin, const ValueId *in);

/* Reductions in the match keep their axes as 1. */
bool reductions_keep_dims(const Graph *g, const Match *m);

#endif
