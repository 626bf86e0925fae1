/* Inside lowering: what its parts share. lower.c opens loops and makes phases, lower_body.c writes
 * the statements of one element, lower_at.c the stages computed inside another's loop. */
#ifndef LATHE_LOOP_LOWER_PARTS_H
#define LATHE_LOOP_LOWER_PARTS_H

#include "loop/nest.h"

typedef struct Place { /* where the elements of a tensor are to be found now */
    int buffer;
    bool boxed;
    Expr low[MAX_RANK]; /* corner of the box */
} Place;

typedef struct Lowerer {
    Context *ctx;
    Exprs *x;
    const Stages *s;
    const Schedule *sc;
    Loops *l;
    Place *place; /* by tensor */
} Lowerer;

const char *lower_stage_name(const Lowerer *w, int stage);
const StageSchedule *lower_schedule_of(const Lowerer *w, int stage); /* NULL: defaults */

/* ---- lower_body.c: appended to `parent`; the statement to go on in ---- */
int lower_for(Lowerer *w, int parent, Expr var, Expr extent, LoopMark mark);
int lower_if(Lowerer *w, int parent, Expr condition);
void lower_let(Lowerer *w, int parent, Expr var, Expr value);
/* The element that the nest stands at: its initial value, or its statement. */
void lower_body(Lowerer *w, const Nest *n, int parent, bool init);

/* ---- lower_at.c ---- */
/* The stages computed at loop `pos` of n, which is open inside `parent`. */
void lower_at(Lowerer *w, const Nest *n, int pos, int parent);
/* Is stage i a phase of its own in each step of n? */
bool lower_in_step(const Lowerer *w, const Nest *n, int i);
/* The nest of stage i, which is computed at loop `pos` of n. */
Nest lower_at_nest(Lowerer *w, const Nest *n, int pos, int i);

/* ---- ahead.c ---- */
/* What `child`, computed at loop `pos` of n, which is open inside `parent`, fetches ahead; NULL:
 * nothing. */
const Fetch *lower_plan_fetch(Lowerer *w, const Nest *n, int pos, const Nest *child, int parent);
/* The statement, inside loop n->fetch->pos. */
void lower_fetch(Lowerer *w, const Nest *n, int parent);

/* ---- lower.c ---- */
/* The loops of n from `pos` on, and its statement. */
void lower_open(Lowerer *w, Nest *n, int pos, int parent, bool init);

#endif
