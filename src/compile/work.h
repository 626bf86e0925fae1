/* What the steps of the pipeline share. */
#ifndef LATHE_COMPILE_WORK_H
#define LATHE_COMPILE_WORK_H

#include "compile/compile.h"
#include "loop/schedule.h"
#include "loop/stage.h"
#include "runtime/program_build.h"

typedef struct UnitSym { /* a symbol of the unit's pool and the graph's */
    const char *name;
    int var; /* id in the graph's pool */
} UnitSym;

/* A unit becomes one step: a group of class S nodes (one kernel), a host call, or control flow. */
typedef struct Unit {
    char class;      /* of the op; V: a node that does nothing, as its results are views */
    int nnode;
    NodeId *node;    /* in order */
    int nin, nout;
    ValueId *in, *out; /* values from outside that nodes read; values that are read outside */
    bool live;
    bool is_run_here; /* while compiling: for this machine, whatever the target is */
    bool *in_used, *out_used;
    /* Class S, after define: */
    Arena *arena;    /* of its own: units are worked on in parallel */
    Stages *s;
    int *in_tensor, *out_tensor;
    VEC(UnitSym) sym;
    const char *key;
    int job;         /* index of the Job that compiles it; -1 */
    Error error;
    int code, detail;
} Unit;

typedef struct JobArg { /* one of bufs[] */
    enum { ARG_IN, ARG_OUT, ARG_TEMP } kind;
    int index;          /* of Unit.in or Unit.out */
    int buffer;         /* id in the loops */
} JobArg;

/* A distinct kernel. */
typedef struct Job {
    Arena *arena;
    const Unit *unit;   /* the first that wants it; its stages are consumed */
    const CompileOptions *opt;
    Target target;
    const char *name;
    Loops *loops;       /* structured: buffers, extents, symbols */
    Loops *expanded;
    JobArg *arg;
    int nread;
    /* by argument that is written: the one in whose place it may lie; -1 (loop/in_place.h) */
    int *over;
    const Image *image; /* of the batch that it was compiled in */
    int entry;          /* its first phase's there */
    KernelReport report;
    float unit_ns;
    int kernel;         /* id in the program; -1: not linked yet */
    Error error;
    int code;
} Job;

typedef struct Work {
    Context *ctx;
    Graph *g;
    const CompileOptions *opt;
    CompileReport *report;
    VEC(Unit) unit;
    int *unit_of;       /* by node */
    /* by symbol: the host routine's or control flow's value that gives it; -1 */
    ValueId *sym_owner;
    VEC(Job) job;
    StrMap jobs;        /* key -> job */
    const char *const *dim_name; /* of unify_names; NULL: none */
} Work;

/* ---- unify.c ---- */
/* Open sizes of the model's inputs that inference assumed equal to a number or to each other are
 * made so; the graph is to be inferred again. Returns how many. */
int unify_sizes(Graph *g);
/* What the dims of the model's inputs are called before that: [input * MAX_RANK + axis], NULL for
 * those that are fixed. */
const char *const *unify_names(const Graph *g);

/* ---- declared.c ---- */
/* Fails where an inferred output of the model is not what the file says. */
void check_declared(const Graph *g);

/* ---- units.c ---- */
void units_make(Work *w);   /* from Node.group */
/* stages of every class S unit, in parallel; then liveness, pruning, keys */
void units_define(Work *w);

/* ---- limits.c ---- */
/* Bytes of a value whose dims are numbers; -1: a symbol is among them. INT64_MAX: more than
 * that. */
int64_t limits_value_bytes(const Graph *g, const Value *v);
/* Fails for a value that would be stored and is over the limit. After units_make. */
void limits_check(const Work *w);
/* Fails for a unit whose stages are over the limit on work. After units_define. */
void limits_check_work(const Work *w);
/* Points that all stages visit; symbols count with their least value. */
double limits_work(const Stages *s);

/* ---- kernel.c ---- */
void jobs_make(Work *w);    /* equal units share a job */
void jobs_compile(Work *w, int first); /* in parallel */
/* Compiles one Stages alone: for relayouts. */
int job_add(Work *w, Unit *u);

/* ---- relayout.c ---- */
typedef struct Relayout { /* a constant, plain, in another layout: by a compiled kernel */
    const Job *job;
    const Tensor *from;
    void *to; /* zeroed: a copy writes the logical elements, so the pad stays zero */
    Tensor *spend; /* `from`, if nothing reads it after this copy; else NULL */
} Relayout;
void relayouts_run(Context *ctx, int n, const Relayout *r, int threads);
Unit *relayout_unit(Work *w, const Value *v, const Layout *layout);

/* ---- fold.c ---- */
/* Values known at compile time become constants. Returns how many nodes are gone. */
int fold_elements(Work *w);
/* What folding may still make and do; the rest is left to the run. */
typedef struct FoldBudget {
    int64_t value_bytes; /* most for one value */
    int64_t bytes;       /* for all together */
    double work;         /* points of stages */
} FoldBudget;
FoldBudget fold_budget(const Graph *g);
/* `shapes_changed`: sizes became known that inference did not know. */
int fold_constants(Context *ctx, Graph *g, const CompileOptions *opt, FoldBudget *budget,
                   bool *shapes_changed);
/* Stages of an inferred graph's units; and from there to a program. */
Work *work_define(Context *ctx, Graph *g, const CompileOptions *opt);
Compiled work_compile(Work *w);

/* ---- link_program.c, link_control.c: see link_program.h ---- */
Compiled link_program(Work *w);

#endif
