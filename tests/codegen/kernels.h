/* Expanded loops written by hand, and running them both ways: interpreter and generated code. */
#ifndef LATHE_TESTS_KERNELS_H
#define LATHE_TESTS_KERNELS_H

#include "check.h"

#include <math.h>
#include <stdio.h>

#include "codegen/run_phases.h"
#include "loop/interp.h"

enum { MAX_BUFS = 96 };

typedef struct Kernel {
    Context *ctx;
    Exprs *x;
    Loops *l;
    int body; /* of the only phase */
    void *data[MAX_BUFS];
    int64_t elements[MAX_BUFS];
} Kernel;

/* One phase: par in [0, extent). */
static inline Kernel kernel_new(Context *ctx, const char *name, const char *par, int64_t extent)
{
    Exprs *x = exprs_new(ctx);
    Kernel k = {.ctx = ctx, .x = x, .l = loops_new(ctx, x, name)};
    k.l->expanded = true;
    k.body = loops_stmt(k.l, L_BLOCK);
    const Expr n = expr_int(x, extent);
    const LoopPhase p = {.par = expr_loop_var(x, par, n), .extent = n, .body = k.body};
    vec_push(ctx->arena, &k.l->phase, p);
    return k;
}

static inline Expr kernel_par(const Kernel *k)
{
    return k->l->phase.at[0].par;
}

/* The next argument; data is copied. */
static inline int kernel_buffer(Kernel *k, const char *name, DType t, int64_t n, bool written,
                                const void *data)
{
    const size_t bytes = (size_t)n * (size_t)dtype_size(t);
    LoopBuffer b = {.name = name, .dtype = t, .rank = 1, .dim = {expr_int(k->x, n)}};
    b.arg = k->l->nargs++;
    b.written = written;
    assert_true(b.arg < MAX_BUFS);
    k->data[b.arg] = arena_alloc_aligned(k->ctx->arena, bytes, 64);
    k->elements[b.arg] = n;
    if (data)
        memcpy(k->data[b.arg], data, bytes);
    vec_push(k->ctx->arena, &k->l->buffer, b);
    return k->l->buffer.len - 1;
}

static inline int kernel_reg(Kernel *k, DType t, int lanes)
{
    vec_push(k->ctx->arena, &k->l->reg, ((LoopReg){.dtype = t, .lanes = lanes}));
    return k->l->reg.len - 1;
}

static inline Expr kernel_op(const Kernel *k, ExprOp op, DType t, int lanes, int64_t imm, int n,
                             const Expr *args)
{
    return expr_raw(k->x, op, t, lanes, imm, n, args);
}

static inline Expr kernel_op1(const Kernel *k, ExprOp op, DType t, int lanes, int64_t imm, Expr a)
{
    return kernel_op(k, op, t, lanes, imm, 1, &a);
}

static inline Expr kernel_op2(const Kernel *k, ExprOp op, DType t, int lanes, Expr a, Expr b)
{
    return kernel_op(k, op, t, lanes, 0, 2, (Expr[]){a, b});
}

static inline Expr kernel_load(const Kernel *k, int buffer, int lanes, Expr offset)
{
    const DType t = dtype_compute(k->l->buffer.at[buffer].dtype);
    return kernel_op1(k, EX_VLOAD, t, lanes, buffer, offset);
}

static inline Expr kernel_get(const Kernel *k, int reg)
{
    const LoopReg r = k->l->reg.at[reg];
    return kernel_op(k, EX_REG, r.dtype, r.lanes, reg, 0, NULL);
}

static inline void kernel_set(Kernel *k, int parent, int reg, Expr value)
{
    const int s = loops_stmt(k->l, L_SET);
    k->l->stmt.at[s].buffer = reg;
    k->l->stmt.at[s].value = value;
    loops_append(k->l, parent, s);
}

/* count 0: a full store */
static inline void kernel_store(Kernel *k, int parent, int buffer, Expr offset, Expr count,
                                Expr value)
{
    const int id = loops_stmt(k->l, L_STORE);
    LoopStmt *s = &k->l->stmt.at[id];
    s->buffer = buffer;
    s->value = value;
    s->nindex = count ? 2 : 1;
    s->index[0] = offset;
    s->index[1] = count;
    loops_append(k->l, parent, id);
}

static inline int kernel_for(Kernel *k, int parent, Expr var, Expr extent)
{
    const int id = loops_stmt(k->l, L_FOR);
    k->l->stmt.at[id].var = var;
    k->l->stmt.at[id].extent = extent;
    loops_append(k->l, parent, id);
    return id;
}

/* Equal bit for bit, but for NaNs, of which all are equal. */
static inline bool same_element(DType t, const void *p, const void *q)
{
    if (memcmp(p, q, (size_t)dtype_size(t)) == 0)
        return true;
    return dtype_is_float(t) && isnan(dtype_read(t, p)) && isnan(dtype_read(t, q));
}

/* Compiles for the target; the image is loaded and run on `bufs` if the machine can. Generated
 * code writes into guard bytes behind each written buffer if it leaves it: checked. */
static inline bool kernel_run(Kernel *k, const Target *t, void *const *bufs, const int64_t *syms,
                              void *scratch)
{
    const CodegenResult r = codegen_compile(k->ctx, k->l, t, NULL);
    if (!target_runs(t, NULL))
        return false;
    LoadedImage *l;
    Error e;
    if (image_load(&r.image, &l, &e) != ERR_OK)
        fail(k->ctx, e.code, "%s", e.message);
    int64_t var[64] = {0};
    for (int i = 0; i < k->l->sym.len; i++)
        var[expr_node(k->x, k->l->sym.at[i])->imm.i] = syms[i];
    run_phases(k->l, l, &r.image, bufs, syms, scratch, var);
    image_unload(l);
    return true;
}

/* Runs both ways and compares every written buffer. */
static inline void kernel_check(Kernel *k, const Target *t, const int64_t *syms)
{
    enum { GUARD = 64 };
    const Loops *l = k->l;
    Str why = str_new(k->ctx->arena);
    if (!loops_verify(l, &why))
        FAIL_MSG("%s", str_text(&why));
    void *bufs[MAX_BUFS] = {0};
    for (int i = 0; i < l->buffer.len; i++) {
        const LoopBuffer *b = &l->buffer.at[i];
        if (b->scope != SCOPE_ARG || bufs[b->arg])
            continue;
        const size_t bytes = (size_t)k->elements[b->arg] * (size_t)dtype_size(b->dtype);
        uint8_t *p = arena_alloc_aligned(k->ctx->arena, bytes + GUARD, 64);
        memcpy(p, k->data[b->arg], bytes);
        memset(p + bytes, 0x5a, GUARD);
        bufs[b->arg] = p;
    }
    void *scratch = arena_alloc_aligned(k->ctx->arena, (size_t)l->scratch_bytes + 1, 64);
    if (!kernel_run(k, t, bufs, syms, scratch))
        return;
    loops_interpret(k->ctx, l, k->data, k->elements, syms);
    for (int i = 0; i < l->buffer.len; i++) {
        const LoopBuffer *b = &l->buffer.at[i];
        if (b->scope != SCOPE_ARG)
            continue;
        const int64_t n = k->elements[b->arg];
        const size_t size = (size_t)dtype_size(b->dtype);
        const uint8_t *got = bufs[b->arg], *want = k->data[b->arg];
        for (int64_t j = 0; j < n; j++)
            if (!same_element(b->dtype, got + (size_t)j * size, want + (size_t)j * size))
                FAIL_MSG("%s (%s): %s[%lld] is %.17g, not %.17g", l->name, t->name, b->name,
                         (long long)j, dtype_read(b->dtype, got + (size_t)j * size),
                         dtype_read(b->dtype, want + (size_t)j * size));
        for (int j = 0; j < GUARD; j++)
            assert_int_equal(got[(size_t)n * size + (size_t)j], 0x5a);
    }
}

/* Runs a test inside a job; a failure of the job fails the test. */
static inline void in_job(JobFn fn, void *arg)
{
    Arena *a = arena_new();
    Error e = {0};
    if (job_run(a, fn, arg, &e, NULL) != ERR_OK)
        FAIL_MSG("%s", e.message);
    arena_free(a);
}

#endif
