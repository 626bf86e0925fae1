/* Inside expansion: expand.c writes statements, expand_value.c the expressions in them. */
#ifndef LATHE_LOOP_EXPAND_PARTS_H
#define LATHE_LOOP_EXPAND_PARTS_H

#include "loop/loops.h"
#include "target/target.h"

typedef struct RegSlot { /* one element of a REG buffer */
    int reg;             /* -1: not written yet */
    int first;           /* element where its register begins */
} RegSlot;

typedef struct Expander {
    Context *ctx;
    Exprs *x;
    const Loops *in;
    Loops *out;
    const Target *target;
    bool *demoted;      /* by buffer */
    bool again;         /* something was demoted: this expansion is void */
    bool has_rests;     /* chunks of which only the first lanes are in use */
    bool no_rests;      /* .. did not fit each other: none are made */
    VEC(Expr) seen;     /* loads of the expression that is looked at */
    RegSlot **slot;     /* by buffer */
    VEC(Expr) from, to; /* unrolled and vector variables, innermost last */
    Expr lane;          /* VAR of the lane in the current chunk; 0 outside vector loops */
    int lanes;
    /* of them, from the first on: fewer at the end of a row that is no whole vectors */
    int used;
    Expr count;         /* active lanes (i64 scalar); 0: all */
    IntMap memo;        /* of the current statement */
    VEC(Expr) wide_var; /* LET variables with lanes: pairs (VAR, REG expression) */
    VEC(Expr) wide_reg;
    IntMap named;       /* LET variables that are in use */
    IntMap cleared;     /* registers that are 0 before the phase begins */
    int body;           /* of the phase */
    int guards;         /* open L_IFs */
    struct Tiles *tiles; /* accumulators of the loops being run on tiles; NULL: none are */
} Expander;

/* ---- expand.c ---- */
void expand_set(Expander *w, int reg, Expr value, int parent);

/* ---- expand_dot.c ---- */
/* The loop, in lanes, as one instruction. False (and nothing is emitted) where it is none. */
bool expand_dot(Expander *w, int stmt, int64_t extent, int parent);

/* ---- expand_tile.c ---- */
/* The loop, all of it on tiles. False (and nothing is emitted) where it cannot be. */
bool expand_tiles(Expander *w, int stmt, int parent);
/* The same of two statements, the first of which sets what the second sums up to zero. */
bool expand_cleared_tiles(Expander *w, int clear, int stmt, int parent);
/* A loop in it that one instruction runs. */
void expand_tile_dot(Expander *w, int stmt, int parent);

/* ---- expand.c ---- */
void expand_stmt(Expander *w, int stmt, int parent);

/* ---- expand_value.c ---- */
/* The value of a statement's expression in the current chunk. */
Expr expand_value(Expander *w, Expr e);
/* The same of a part, with what is unrolled replaced; w->memo is of its statement. */
Expr expand_term(Expander *w, Expr e);
/* Unrolled and vector variables replaced by what they are now. */
Expr expand_subst(Expander *w, Expr e);
int expand_lanes(const Expander *w, Expr e);
Expr expand_widen(Expander *w, Expr e); /* to the lanes of the chunk */
Expr expand_mask(Expander *w);          /* bool: the active lanes */
bool expand_uses_lane(const Expander *w, Expr e);
/* Does count leave out none of the lanes in use? */
bool expand_all_used(const Expander *w);
/* offset = stride*lane + base? */
bool expand_lane_linear(Expander *w, Expr offset, int64_t *stride, Expr *base);
/* Those offsets, as one term whose stride back ends see. */
/* A select of what may lie beyond a border, as one load (expand_border.c); 0: it is no such
 * thing. */
Expr expand_border(Expander *w, Expr e);
/* A load of neighbours whose place is clamped, all of them or none: a branch and one load; 0: it is
 * no such thing. */
Expr expand_clamped(Expander *w, DType t, int buffer, Expr offset);
Expr expand_ramp(Expander *w, Expr base, int64_t stride);

bool expand_in_registers(const Expander *w, int buffer);
/* The register of the elements in use (lanes > 1: of the chunk) from constant offset `at`; -1, and
 * a demotion, if none is. */
int expand_reg_at(Expander *w, int buffer, Expr offset, int lanes, bool writing);
Expr expand_reg(Expander *w, int reg);
void expand_demote(Expander *w, int buffer);

#endif
