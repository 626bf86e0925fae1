/* Stages: what a fused group computes, without saying how.
 *
 * A `Stages` is a list of tensors and of stages that produce them. Every index map, extent and
 * body is an expression of the pool `x`. All extents may be symbolic. Four forms:
 *
 *   MAP      out[axes] = value
 *   REDUCE   state_k = init_k; then for every point of the reduction axes (last axis fastest) all
 *            states become update_k(old states) at once; out_k[axes] = state_k.
 *            combine_k(state, state2) merges two partial results; 0: splitting is not legal.
 *   SCAN     as MAP, but the axis `scan_axis` is ordered: the value at t may read this tensor, and
 *            tensors of stages listed later, at smaller t. (An RNN's h and c; a cumulative sum:
 *            y[t] = select(t == 0, x[t], y[max(t - 1, 0)] + x[t]).)
 *   SCATTER  out starts as init over its own dims (the base axes); then for every point of the
 *            domain axes in row-major order out[target...] = update (state 0 = the old element).
 *            A target out of bounds is skipped.
 *
 * `where` (bool, over all axes) restricts the domain: elsewhere a REDUCE's or SCATTER's point is
 * skipped and a MAP gives 0.
 *
 * Text, one line each; parse(print(s)) equals s (temporaries without a producer are left out).
 * After the axes may stand `where COND`; several results and their expressions are separated by
 * commas:
 *
 *     sym N 1 512                                  # dim symbol: low, high (and what divides it)
 *     input a f32 [N, 768]
 *     const b f32 [768, 64] layout 1 0 1:16
 *     input h f32 [4, 64] in [4, 192] at [0, 64]   # part of a larger array (loop/part.h)
 *     temp acc f32 [N, 64]
 *     output y f32 [N, 64]
 *     reduce acc (m: N, n: 64; k: 768) init 0 update fma(a[m, k], b[k, n], state0) combine state0 + state2_0
 *     map y (m: N, n: 64) = max(0, acc[m, n])
 *     scan y (b: 4, t: 10) along t = select(t == 0, x[b, t], y[b, max(t - 1, 0)] + x[b, t])
 *     scatter y (i: 4; j: 10) init x[j] at [idx[i]] update u[i]
 */
#ifndef LATHE_LOOP_STAGE_H
#define LATHE_LOOP_STAGE_H

#include "loop/part.h"

#define MAX_AXES 16   /* domain plus reduction axes of a stage */
#define MAX_RESULTS 4 /* results of a REDUCE */

typedef enum TensorRole { TENSOR_INPUT, TENSOR_CONST, TENSOR_TEMP, TENSOR_OUTPUT } TensorRole;

typedef struct StageTensor {
    const char *name; /* unique in the Stages */
    DType dtype;
    int rank;
    Expr dim[MAX_RANK];
    Layout layout;
    Part part;  /* inputs and outputs only */
    TensorRole role;
    int stage;  /* producer; -1: an input, a constant, or a temporary that was inlined away */
    int result; /* which of its results */
} StageTensor;

typedef struct Axis {
    const char *name; /* unique in the stage */
    Expr extent;      /* i64, over symbols */
    Expr var;         /* VAR node, in [0, extent) */
    /* of a sum: points outside [low, high) add nothing (stages_trim); 0: it is not said */
    Expr low, high;
} Axis;

typedef enum StageForm { STAGE_MAP, STAGE_REDUCE, STAGE_SCAN, STAGE_SCATTER } StageForm;

typedef struct Stage {
    StageForm form;
    int naxes, nreduce;
    Axis axis[MAX_AXES];       /* domain axes, then reduction axes (SCATTER: base axes) */
    int scan_axis;             /* SCAN: index of the ordered axis */
    int nresults;
    /* tensor ids; dims are the extents of the domain (SCATTER: base) axes */
    int result[MAX_RESULTS];
    Expr init[MAX_RESULTS];    /* REDUCE; SCATTER: over the base axes */
    Expr update[MAX_RESULTS];  /* MAP and SCAN: the value. In the compute type of the result */
    Expr combine[MAX_RESULTS]; /* REDUCE; 0: not splittable */
    Expr where;                /* 0: everywhere */
    Expr target[MAX_RANK];     /* SCATTER */
} Stage;

typedef struct Stages {
    Context *ctx;
    Exprs *x;
    VEC(StageTensor) tensor;
    VEC(Stage) stage; /* producers before consumers, but for SCAN */
} Stages;

Stages *stages_new(Context *ctx, Exprs *x);
/* Inputs and constants. The name is made unique. */
int stages_tensor(Stages *s, const char *name, TensorRole role, DType t, int rank,
                  const Expr *dims);
/* An element, in its compute type. */
Expr stages_load(Stages *s, int tensor, const Expr *index);
int stages_find_tensor(const Stages *s, const char *name); /* -1 */

/* Builders. `begin` makes axes over dims; the functions below make the stage and its TENSOR_TEMP
 * results, and return the tensor id.
 *     StageBuild b = stage_begin(s, rank, dims);
 *     int t = stage_map(s, &b, "y", DT_F32, value in terms of b.i[]);  */
typedef struct StageBuild {
    int naxes, nreduce;
    Axis axis[MAX_AXES];
    Expr i[MAX_AXES]; /* the domain variables */
    Expr r[MAX_AXES]; /* the reduction variables */
} StageBuild;
StageBuild stage_begin(Stages *s, int rank, const Expr *dims);
void stage_reduce_axes(Stages *s, StageBuild *b, int n, const Expr *dims);
int stage_map(Stages *s, const StageBuild *b, const char *name, DType t, Expr value);
int stage_reduce(Stages *s, const StageBuild *b, const char *name, DType t, Expr init, Expr update,
                 Expr combine);
void stage_reduce_n(Stages *s, const StageBuild *b, int n, const char *const *names, const DType *t,
                    const Expr *init, const Expr *update, const Expr *combine, int *out);
void stage_where(Stages *s, int tensor, Expr where); /* adds it to the producer of tensor */
/* SCAN: declare the results first so that bodies can load them, then define each. */
int stage_scan_declare(Stages *s, const char *name, DType t, int rank, const Expr *dims);
void stage_scan_define(Stages *s, const StageBuild *b, int tensor, int scan_axis, Expr value);
/* SCATTER: b runs over the updates, base over the output's dims. */
int stage_scatter(Stages *s, const StageBuild *b, const StageBuild *base, const char *name, DType t,
                  Expr init, const Expr *target, Expr update, Expr where);

/* ---- all expressions of a stage but its extents: init, update, combine, where, target ---- */
void stage_walk(const Stages *s, const Stage *st, ExprVisitFn fn, void *arg);
/* Points of summed axis `axis` outside [low, high), by the domain's axes, read only border, which
 * is 0; false: nothing is known (stage_trim.c). */
bool stages_inner_range(Stages *s, int stage, int axis, Expr *low, Expr *high);
/* Notes that in the axis. Steps that change the stage's axes come before; untrim forgets it. */
bool stages_trim(Stages *s, int stage, const char *axis);
void stages_untrim(Stage *st);
void stage_rewrite(Exprs *x, Stage *st, ExprRewriteFn fn, void *arg);

/* ---- structural rewrites: the steps of a schedule; each leaves the meaning as it was ---- */
/* Replaces loads of a MAP's result by its value and drops the stage; its tensor stays, without a
 * producer. False (and nothing changed) if it is no MAP, is an output, has a storage-only type (the
 * rounding would be lost), or is part of a SCAN's cycle. */
bool stages_inline(Stages *s, int stage);
/* Splits a stage into an accumulator (temp NAME.acc, of the compute type) and a MAP that copies it
 * into the result (one for each result). Returns the accumulator's stage; -1 for a SCAN. */
int stages_cache_write(Stages *s, int stage);
/* A MAP that copies `tensor` (temp `name`); every load of it in stage `reader` is redirected.
 * Returns the new stage's index; `reader` moves up by one. -1 if `reader` is before its
 * producer. */
int stages_cache_read(Stages *s, int tensor, int reader, const char *name);
/* Fuses axis `axis` of `stage` with the one after it (both domain or both reduction axes), and the
 * dims of the tensors with them: memory stays as it is (stage_fuse.c). False (and nothing changed)
 * where that is not legal. */
bool stages_fuse(Stages *s, int stage, int axis);
/* Likewise for a MAP that nobody here reads, whatever it reads: index expressions then divide by
 * the inner axis' extent, so that lanes go over both. */
bool stages_join(Stages *s, int stage, int axis);
/* Splits domain axis `axis` of a MAP into E/inner and inner, and its result's dim with it: memory
 * stays as it is (stage_split.c). False (and nothing changed) where that is not legal. */
bool stages_split(Stages *s, int stage, int axis, int64_t inner);

Stages *stages_copy(Context *ctx, const Stages *s); /* with a pool of its own */
/* False, and why: ranks, types, order, extents. */
bool stages_verify(const Stages *s, Str *why);
void stages_print(const Stages *s, Str *out);
Stages *stages_parse(Context *ctx, const char *name, const char *text, size_t size);

#endif
