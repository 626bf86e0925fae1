/* From a model file to a module that runs.
 *
 * Where inference must know a value (a shape that is an input, say) it is taken from the given
 * inputs and bound: the module is then right for those values only. Without given inputs that is an
 * error which names --bind. */
#ifndef LATHE_COMPILE_MODEL_H
#define LATHE_COMPILE_MODEL_H

#include "compile/compile.h"
#include "import/onnx.h"

typedef struct ModelOptions {
    CompileOptions compile;
    OnnxOptions onnx;         /* --bind */
    int ninput;               /* given tensors, by graph input; NULL: not given */
    Tensor *const *input;
    bool static_shapes;       /* take all dims of inputs from the given tensors */
    /* the model's file in memory, of `size`; `path` is its name then. NULL: read `path` */
    const uint8_t *bytes;
    size_t size;
    /* what the compile leaves behind (hundreds of megabytes) is not wanted: see cache_compile */
    bool module_only;
} ModelOptions;

typedef struct Model {
    Module *module;
    CompileReport *report;    /* in the module's arena, as the graph is */
    const Graph *graph;       /* NULL if cached */
    Image image;              /* of the module, for saving */
    int nbound;               /* inputs whose value was bound */
    const char **bound;
    int *bound_input;         /* their numbers */
    double load_seconds;      /* import */
    bool cached;              /* it is the cache's: see compile/cache.h */
    /* just now: what that took is free, but its pages may be the process's still */
    bool compiled;
} Model;

/* Only as far as compile_early: the graph that layouts are chosen on, in a new arena. */
int model_early(const char *path, const ModelOptions *opt, Arena **arena, const Graph **out,
                Error *e);
int model_compile(const char *path, const ModelOptions *opt, Model *out, Error *e);
/* What a module that was loaded says of its kernels: names, sources, flops; counts of steps. In its
 * arena. */
CompileReport *model_loaded_report(const Module *m);
/* The inputs alone, for making test data: a graph that is only imported, in `arena`. */
int model_import(Arena *arena, const char *path, const OnnxOptions *opt, Graph **out, Error *e);

#endif
