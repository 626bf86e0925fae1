/* Linking: values to buffers, units to steps. */
#ifndef LATHE_COMPILE_LINK_PROGRAM_H
#define LATHE_COMPILE_LINK_PROGRAM_H

#include "compile/work.h"

typedef struct Link {
    Work *w;
    Context *ctx;
    Graph *g;
    ProgramBuilder *b;
    int *buffer;      /* by value; -1: none yet */
    int *var;         /* by symbol of the graph: program variable; -1: none yet */
    bool *var_set;    /* by program variable made here: does a step set it? */
    int var_cap;
    bool *checked;    /* by assumption */
    struct Relaid {
        ValueId value;
        Layout layout;
        int buffer, job;
        void *data;
    } *relaid;
    int nrelaid;
} Link;

/* Program value of an expression of the graph's pool. */
int link_expr(Link *l, Expr e);
/* Buffer of a value, made if there is none: a constant's, else a temporary with the value's dims.
 * Steps that write a temporary of late size call link_alloc first. */
int link_buffer(Link *l, ValueId v);
void link_alloc(Link *l, int buffer);
/* The program variable of a bare symbol that nothing has set yet; -1: no such thing. */
int link_unset_symbol(Link *l, Expr e);
void link_set(Link *l, int var, int value);
/* Takes the symbols that stand alone in the dims of `to` from the dims of `from`; those of elements
 * from its data. */
void link_bind_dims(Link *l, ValueId to, ValueId from);
void link_bind_elements(Link *l, ValueId v);
void link_copy(Link *l, int to, int from);
void link_block(Link *l, int block);
void link_control(Link *l, const Unit *u); /* link_control.c */

/* ---- link_constants.c ---- */
/* The buffer of a constant as it is. */
int link_constant(Link *l, const Tensor *t);
/* Must v, which a kernel reads in this layout, be laid out for it? Then its buffer is
 * link_relaid's. */
bool link_wants_relayout(const Link *l, ValueId v, const Layout *layout);
int link_relaid(Link *l, ValueId v, const Layout *layout);
/* Buffers of constants in the layouts that kernels want. They are filled when all else is linked,
 * as then it is known which constants nothing reads as they are. */
void link_plan_relayouts(Link *l);
void link_run_relayouts(Link *l);

#endif
