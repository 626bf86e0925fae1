/* The pipeline: a graph in, a program and its code out.
 *
 *     infer -> passes -> units (fused groups) -> define -> schedule -> lower -> expand -> codegen -> link
 *
 * Units are defined and compiled in parallel; equal ones (same stages, target) are compiled
 * once. What depends on constants alone is computed here, by the same means, and becomes
 * constants. */
#ifndef LATHE_COMPILE_COMPILE_H
#define LATHE_COMPILE_COMPILE_H

#include "graph/graph.h"
#include "pass/cost_table.h"
#include "pass/pass.h"
#include "runtime/run.h"
#include "target/peak.h"
#include "target/target.h"

typedef struct KernelReport {
    const char *name;     /* "conv_relu" */
    const char *source;   /* where the schedule comes from: a template's name, the database */
    const char *schedule; /* its line */
    const char *stages, *loops, *expanded, *ir, *assembly; /* NULL unless asked for */
    double seconds;       /* compile time */
    double flops;         /* of one call, where all extents are numbers; else 0 */
    PeakProduct product;  /* what multiplies in it */
    int uses;
} KernelReport;

typedef struct CompileReport {
    int nkernels;
    KernelReport *kernel;  /* by Program.kernel id */
    /* graph nodes, kernels called, nodes computed at compile time, constants re-laid */
    int nodes, units, folded, relaid;
    double infer_seconds, define_seconds, codegen_seconds, link_seconds, seconds;
} CompileReport;

/* A day or more on any CPU: a mistake, or a model that means harm. */
#define WORK_LIMIT 0x1p50

typedef struct CompileOptions {
    Target target;
    Precision precision;
    int threads;
    bool want_text;     /* stages and loops */
    bool want_code;     /* IR and assembly */
    /* What kernels of block 0 hand on becomes an output too, after the model's: for `check`. Views
     * do not, but what they lie in. The elements lie in the value's layout, though the tensors say
     * row-major. */
    bool keep_values;
    /* no late passes: each node is a kernel of its own, all layouts are plain */
    bool unfused;
    /* Nobody reads constants of the graph afterwards: what is laid out anew for the kernels goes as
     * it is copied, and no moment has all weights twice. */
    bool spend_constants;
    /* bytes for one stored tensor, and for what compiling itself takes; 0: the machine's memory */
    int64_t memory_limit;
    /* measured, for choosing layouts and variants; NULL: they are estimated */
    const CostTable *costs;
    double work_limit;  /* points that the stages of one kernel may visit; 0: WORK_LIMIT */
    /* May be NULL. Called from the calling thread. */
    void (*progress)(void *arg, const char *what, int done, int total);
    void *progress_arg;
} CompileOptions;

typedef struct Compiled {
    const Program *program;
    Image image;
    CompileReport *report;
    const Graph *graph; /* after all passes; its outputs are the program's */
} Compiled;

/* The limit in force. */
int64_t compile_memory_limit(const CompileOptions *opt);
/* What late passes work on: g, from an importer, inferred; early passes have run, constants are
 * folded. *folded: nodes. */
Graph *compile_early(Context *ctx, Graph *g, const CompileOptions *opt, int *folded);
/* A graph as it is, with its layouts: no pass runs, and each node is a kernel of its own. */
Compiled compile_as_is(Context *ctx, Graph *g, const CompileOptions *opt);
/* g comes from an importer, not inferred; it is changed. Everything is in ctx's arena. */
Compiled compile_graph(Context *ctx, Graph *g, const CompileOptions *opt);

#endif
