/* Comparing what a program computed, layer by layer, with what it should have computed.
 *
 * A layer is a value that a kernel, a host routine or control flow of the main graph hands on
 * (compiled with CompileOptions.keep_values). Each is judged alone, from the values that its kernel
 * really read: an error is named where it is made, not where it has got large. */
#ifndef LATHE_TOOLS_CHECK_LAYERS_H
#define LATHE_TOOLS_CHECK_LAYERS_H

#include "graph/graph.h"

typedef struct Layer {
    ValueId value;
    const char *node;       /* name of the first node that it is made by */
    const char *op;         /* "conv+add+relu" */
    const char *shape;      /* "f32[1,64,56,56]" */
    int64_t checked, wrong; /* elements */
    double worst;           /* error / what is allowed, at the worst element */
    double max_abs, max_rel;
    int64_t at;             /* the worst element, row-major; -1: none was checked */
    double got, want;
    const char *failed;     /* the reference could not be computed: why; NULL */
} Layer;

typedef struct CheckOptions {
    double tolerance;
    int samples; /* elements compared of each layer: corners, edges of blocks, random; 0: all */
    int threads;
    void (*progress)(void *arg, const char *what, int done, int total);
    void *progress_arg;
} CheckOptions;

typedef struct CheckReport {
    int n;
    Layer *layer;  /* in the order of the graph */
    int first_bad; /* -1 */
    int nbad, nfailed;
} CheckReport;

/* All values that a run of a program compiled with keep_values knows: its inputs and outputs, and
 * the views of them, row-major. got: by value of g, filled with references that are the caller's
 * (also after a failure). */
int check_take(const Graph *g, Tensor *const *input, Tensor *const *output, Tensor **got, Error *e);

/* got: by value of g, NULL where not known; inputs too. Against the reference executor in double: a
 * float may be off by `tolerance` roundings of f32 of the magnitude of its terms (loop/oracle.h);
 * what control flow computes, which the reference does in f32, by CHECK_RELATIVE. */
int check_layers(Arena *arena, const Graph *g, Tensor *const *got, const CheckOptions *opt,
                 CheckReport *out, Error *e);
/* Against given values, all elements: |got - want| <= tolerance * (|want| + root mean square of
 * want). want: by value, NULL: no layer. */
int check_values(Arena *arena, const Graph *g, Tensor *const *got, Tensor *const *want,
                 const CheckOptions *opt, CheckReport *out, Error *e);
/* A sum of n equal terms in f32 may drift by n / 4 roundings; leaving one of them out is 2^24 /
 * n. */
#define CHECK_ROUNDINGS 1000.0
#define CHECK_RELATIVE 1e-3

/* "[0,12,7]" */
const char *check_index(Arena *a, const Tensor *t, int64_t at);

#endif
