/* The speed gate: GEMM and convolution kernels through stages, records, loops and code generation,
 * against the FMA peak of this machine (measured in turns with each).
 *
 *     build/bench/kernels [--target LEVEL] [--schedule LINE] [--asm] [--loops] [NAME...]
 *
 * Every result is checked against a plain C loop on sampled elements before it is timed. Minimum
 * over repetitions, one thread; weights packed ahead, everything else inside the time. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "codegen/codegen.h"
#include "loop/offset.h"
#include "record/choose.h"

typedef struct Case {
    const char *name;
    bool conv;
    int64_t batch, m, n, k;       /* GEMM */
    int64_t c, hw, kc, rs, stride; /* convolution: C, H = W, K, R = S */
} Case;

static const Case cases[] = {
    {.name = "gemm_1024", .batch = 1, .m = 1024, .n = 1024, .k = 1024},
    {.name = "gemm_3136x64x576", .batch = 1, .m = 3136, .n = 64, .k = 576},
    {.name = "gemm_196x256x2304", .batch = 1, .m = 196, .n = 256, .k = 2304},
    {.name = "gemm_49x512x4608", .batch = 1, .m = 49, .n = 512, .k = 4608},
    {.name = "gemm_128x768x768", .batch = 1, .m = 128, .n = 768, .k = 768},
    {.name = "gemm_128x3072x768", .batch = 1, .m = 128, .n = 3072, .k = 768},
    {.name = "gemm_128x768x3072", .batch = 1, .m = 128, .n = 768, .k = 3072},
    {.name = "gemm_197x768x3072", .batch = 1, .m = 197, .n = 768, .k = 3072},
    {.name = "gemm_12x128x128x64", .batch = 12, .m = 128, .n = 128, .k = 64},
    {.name = "conv3x3_64@56", .conv = true, .c = 64, .hw = 56, .kc = 64, .rs = 3, .stride = 1},
    {.name = "conv3x3_128@28", .conv = true, .c = 128, .hw = 28, .kc = 128, .rs = 3, .stride = 1},
    {.name = "conv3x3_256@14", .conv = true, .c = 256, .hw = 14, .kc = 256, .rs = 3, .stride = 1},
    {.name = "conv3x3_512@7", .conv = true, .c = 512, .hw = 7, .kc = 512, .rs = 3, .stride = 1},
    {.name = "conv1x1_1024-2048@14/2",
     .conv = true,
     .c = 1024,
     .hw = 14,
     .kc = 2048,
     .rs = 1,
     .stride = 2},
    {.name = "conv1x1_128-512@28",
     .conv = true,
     .c = 128,
     .hw = 28,
     .kc = 512,
     .rs = 1,
     .stride = 1},
};

typedef struct Options {
    const char *level, *schedule;
    bool show_asm, show_loops;
} Options;

static Expr dim(Stages *s, int64_t v)
{
    return expr_int(s->x, v);
}

static Stages *gemm_stages(Context *ctx, const Case *c)
{
    Stages *s = stages_new(ctx, exprs_new(ctx));
    const bool batched = c->batch > 1;
    const Expr da[3] = {dim(s, c->batch), dim(s, c->m), dim(s, c->k)};
    const Expr db[3] = {dim(s, c->batch), dim(s, c->k), dim(s, c->n)};
    const Expr dy[3] = {dim(s, c->batch), dim(s, c->m), dim(s, c->n)};
    const int skip = batched ? 0 : 1;
    const int a = stages_tensor(s, "a", TENSOR_INPUT, DT_F32, 3 - skip, da + skip);
    const int b = stages_tensor(s, "b", batched ? TENSOR_INPUT : TENSOR_CONST, DT_F32, 3 - skip,
                                db + skip);
    StageBuild st = stage_begin(s, 3 - skip, dy + skip);
    stage_reduce_axes(s, &st, 1, &da[2]);
    static const char *const names[] = {"b", "m", "n"};
    for (int k = 0; k < 3 - skip; k++) {
        st.axis[k].name = names[k + skip];
    }
    st.axis[3 - skip].name = "k";
    const Expr *i = st.i;
    Expr ia[3] = {i[0], i[1 - skip], st.r[0]};
    Expr ib[3] = {i[0], st.r[0], i[2 - skip]};
    const Expr av = stages_load(s, a, ia + skip);
    const Expr bv = stages_load(s, b, ib + skip);
    const Expr state = expr_state(s->x, DT_F32, 0);
    const int y = stage_reduce(s, &st, "y", DT_F32, expr_float(s->x, DT_F32, 0),
                               expr_fma(s->x, av, bv, state),
                               expr_add(s->x, state, expr_state2(s->x, DT_F32, 0)));
    s->tensor.at[y].role = TENSOR_OUTPUT;
    return s;
}

static Layout blocked(int block)
{
    return (Layout){.n = 5, .dim = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {1, block}}};
}

/* x is padded already, as in the peers' measurements; x and y in NCHW8c (16c). */
static Stages *conv_stages(Context *ctx, const Case *c, int block)
{
    Stages *s = stages_new(ctx, exprs_new(ctx));
    const int64_t in = (c->hw - 1) * c->stride + c->rs;
    const Expr dx[4] = {dim(s, 1), dim(s, c->c), dim(s, in), dim(s, in)};
    const Expr dw[4] = {dim(s, c->kc), dim(s, c->c), dim(s, c->rs), dim(s, c->rs)};
    const Expr dy[4] = {dim(s, 1), dim(s, c->kc), dim(s, c->hw), dim(s, c->hw)};
    const int x = stages_tensor(s, "x", TENSOR_INPUT, DT_F32, 4, dx);
    const int w = stages_tensor(s, "w", TENSOR_CONST, DT_F32, 4, dw);
    StageBuild st = stage_begin(s, 4, dy);
    stage_reduce_axes(s, &st, 3, &dw[1]);
    static const char *const names[] = {"n", "k", "p", "q", "c", "r", "s"};
    for (int k = 0; k < 7; k++) {
        st.axis[k].name = names[k];
    }
    const Expr ix[4] = {st.i[0], st.r[0],
                        expr_add(s->x, expr_muli(s->x, st.i[2], c->stride), st.r[1]),
                        expr_add(s->x, expr_muli(s->x, st.i[3], c->stride), st.r[2])};
    const Expr iw[4] = {st.i[1], st.r[0], st.r[1], st.r[2]};
    const Expr state = expr_state(s->x, DT_F32, 0);
    const int y = stage_reduce(s, &st, "y", DT_F32, expr_float(s->x, DT_F32, 0),
                               expr_fma(s->x, stages_load(s, x, ix), stages_load(s, w, iw), state),
                               expr_add(s->x, state, expr_state2(s->x, DT_F32, 0)));
    s->tensor.at[y].role = TENSOR_OUTPUT;
    s->tensor.at[x].layout = blocked(block);
    s->tensor.at[y].layout = blocked(block);
    return s;
}

static int64_t constant(const Stages *s, Expr e)
{
    int64_t v = 0;
    expr_is_int(s->x, e, &v);
    return v;
}

typedef struct Data {
    const LoopBuffer *b;
    int64_t dims[MAX_RANK];
    float *at;
} Data;

static float value_at(int64_t seed, const int64_t *index, int rank)
{
    uint64_t h = (uint64_t)seed;
    for (int k = 0; k < rank; k++) {
        h = hash_mix(h, (uint64_t)index[k]);
    }
    return (float)((double)(h >> 40) / (double)(1 << 24) - 0.5);
}

static void fill(Data *d, int64_t seed)
{
    int64_t index[MAX_RANK] = {0};
    for (;;) {
        d->at[layout_offset(&d->b->layout, d->b->rank, d->dims, index)] =
            value_at(seed, index, d->b->rank);
        int k = d->b->rank - 1;
        while (k >= 0 && ++index[k] == d->dims[k]) {
            index[k--] = 0;
        }
        if (k < 0) {
            return;
        }
    }
}

static double expected(const Case *c, const int64_t *y)
{
    double sum = 0;
    if (!c->conv) {
        const bool batched = c->batch > 1;
        const int skip = batched ? 0 : 1;
        for (int64_t k = 0; k < c->k; k++) {
            const int64_t ia[3] = {y[0], y[1 - skip], k};
            const int64_t ib[3] = {y[0], k, y[2 - skip]};
            sum += (double)value_at(1, ia + skip, 3 - skip) * value_at(2, ib + skip, 3 - skip);
        }
        return sum;
    }
    for (int64_t i = 0; i < c->c * c->rs * c->rs; i++) {
        const int64_t ch = i / (c->rs * c->rs);
        const int64_t r = i / c->rs % c->rs;
        const int64_t q = i % c->rs;
        const int64_t ix[4] = {0, ch, y[2] * c->stride + r, y[3] * c->stride + q};
        const int64_t iw[4] = {y[1], ch, r, q};
        sum += (double)value_at(1, ix, 4) * value_at(2, iw, 4);
    }
    return sum;
}

static double worst_error(const Case *c, const Data *y)
{
    double worst = 0;
    for (int s = 0; s < 500; s++) {
        int64_t index[MAX_RANK];
        for (int k = 0; k < y->b->rank; k++) {
            const uint64_t h = hash_mix((uint64_t)s * 77, (uint64_t)k);
            index[k] = s == 0 ? 0 : s == 1 ? y->dims[k] - 1 : (int64_t)(h % (uint64_t)y->dims[k]);
        }
        const double got = y->at[layout_offset(&y->b->layout, y->b->rank, y->dims, index)];
        worst = fmax(worst, fabs(got - expected(c, index)));
    }
    return worst;
}

#define PEAK_TURNS 20

/* FMA peak of one core as compiled code sees it: independent chains in registers. Clocks change
 * from one second to the next, so it is measured in turns with each kernel. */
typedef struct Peak {
    LoadedImage *image;
    KernelPhase fn;
    float *mem;
    double flops; /* of one call */
} Peak;

static Peak load_peak(Context *ctx, const Target *t)
{
    Exprs *x = exprs_new(ctx);
    Loops *l = loops_new(ctx, x, "peak");
    const int lanes = target_lanes(t, 4);
    LoopBuffer out = {.name = "out", .dtype = DT_F32, .rank = 1, .written = true};
    out.dim[0] = expr_int(x, 4096);
    vec_push(ctx->arena, &l->buffer, out);
    l->nargs = 1;
    l->expanded = true;
    LoopPhase phase = {.extent = expr_int(x, 1000000), .body = loops_stmt(l, L_BLOCK)};
    phase.par = expr_loop_var(x, "par", phase.extent);
    const int chains = 12;
    const Expr zero = expr_int(x, 0);
    const Expr scale = expr_raw(x, EX_VLOAD, DT_F32, lanes, 0, 1, &zero);
    Expr reg[12];
    for (int k = 0; k < chains; k++) {
        vec_push(ctx->arena, &l->reg, ((LoopReg){.dtype = DT_F32, .lanes = lanes}));
        reg[k] = expr_raw(x, EX_REG, DT_F32, lanes, k, 0, NULL);
        const int set = loops_stmt(l, L_SET);
        const Expr at = expr_int(x, (int64_t)k * lanes);
        l->stmt.at[set].buffer = k;
        l->stmt.at[set].value = expr_raw(x, EX_VLOAD, DT_F32, lanes, 0, 1, &at);
        loops_append(l, phase.body, set);
    }
    const int loop = loops_stmt(l, L_FOR);
    l->stmt.at[loop].extent = expr_int(x, 1000);
    l->stmt.at[loop].var = expr_loop_var(x, "i", l->stmt.at[loop].extent);
    loops_append(l, phase.body, loop);
    for (int k = 0; k < chains; k++) {
        const Expr args[3] = {reg[k], scale, scale};
        const int set = loops_stmt(l, L_SET);
        l->stmt.at[set].buffer = k;
        l->stmt.at[set].value = expr_raw(x, EX_FMA, DT_F32, lanes, 0, 3, args);
        loops_append(l, loop, set);
    }
    for (int k = 0; k < chains; k++) {
        const int store = loops_stmt(l, L_STORE);
        l->stmt.at[store].buffer = 0;
        l->stmt.at[store].nindex = 1;
        l->stmt.at[store].index[0] = expr_int(x, (int64_t)k * lanes);
        l->stmt.at[store].value = reg[k];
        loops_append(l, phase.body, store);
    }
    vec_push(ctx->arena, &l->phase, phase);
    const CodegenResult r = codegen_compile(ctx, l, t, &(CodegenOptions){0});
    Peak peak = {.flops = 2.0 * chains * lanes * 1000 * PEAK_TURNS,
                 .mem = arena_alloc_aligned(ctx->arena, 4096 * 4, 64)};
    Error e;
    if (image_load(&r.image, &peak.image, &e)) {
        fail(ctx, e.code, "%s", e.message);
    }
    peak.fn = image_entry(peak.image, r.image.entry[0].offset);
    return peak;
}

/* Seconds of one call. */
static double time_peak(const Peak *p)
{
    void *const bufs[1] = {p->mem};
    const KernelEnv env = {.abi_version = KERNEL_ABI_VERSION};
    const double start = time_now();
    p->fn(&env, bufs, NULL, NULL, 0, PEAK_TURNS);
    return time_now() - start;
}

typedef struct Run {
    const Case *c;
    const Options *o;
    const Target *t;
    Peak peak;
} Run;

static void run_case(Context *ctx, void *arg)
{
    const Run *run = arg;
    const Case *c = run->c;
    Stages *s = c->conv ? conv_stages(ctx, c, target_lanes(run->t, 4)) : gemm_stages(ctx, c);
    const char *source = "given";
    const Schedule *sc;
    if (run->o->schedule) {
        sc = schedule_parse(ctx, s, run->o->schedule);
    } else {
        Str why = str_new(ctx->arena);
        sc = schedule_choose(ctx, s, run->t, &source);
        if (!schedule_apply_steps(sc, s, &why)) {
            fail(ctx, ERR_INTERNAL, "%s", str_text(&why));
        }
    }
    Str line = str_new(ctx->arena);
    schedule_print(sc, s, &line);
    const Lowered low = lower(ctx, s, sc, run->t);
    Str text = str_new(ctx->arena);
    if (run->o->show_loops) {
        loops_print(low.loops, &text);
    }
    const double t0 = time_now();
    const Loops *l = expand(ctx, low.loops, run->t);
    const double t1 = time_now();
    if (run->o->show_loops) {
        loops_print(l, &text);
    }
    const CodegenOptions options = {.want_assembly = run->o->show_asm};
    const CodegenResult r = codegen_compile(ctx, l, run->t, &options);
    const double t2 = time_now();
    fputs(str_text(&text), stdout);
    if (r.assembly) {
        fputs(r.assembly, stdout);
    }
    LoadedImage *image;
    Error e;
    if (image_load(&r.image, &image, &e)) {
        fail(ctx, e.code, "%s", e.message);
    }
    Data data[16] = {0};
    void *bufs[16] = {0};
    Data *y = NULL;
    for (int b = 0; b < l->buffer.len; b++) {
        const LoopBuffer *lb = &l->buffer.at[b];
        if (lb->scope != SCOPE_ARG || lb->arg < 0) {
            continue;
        }
        Data *d = &data[lb->arg];
        d->b = lb;
        for (int k = 0; k < lb->rank; k++) {
            d->dims[k] =
                constant(s, expr_import(s->x, l->x, lb->dim[k],
                                        arena_array_of(ctx->arena, l->x->var.len + 1, Expr)));
        }
        const size_t bytes = (size_t)layout_elements(&lb->layout, lb->rank, d->dims) * 4;
        d->at = arena_alloc_aligned(ctx->arena, bytes + 256, bytes > 1 << 21 ? 1 << 21 : 64);
        bufs[lb->arg] = d->at;
        if (lb->written && !y) {
            y = d;
        } else {
            fill(d, lb->arg + 1);
        }
    }
    const KernelEnv env = {.abi_version = KERNEL_ABI_VERSION};
    void *scratch = arena_alloc_aligned(ctx->arena, (size_t)l->scratch_bytes + 64, 64);
    int64_t extents[8];
    KernelPhase fn[8];
    for (int p = 0; p < l->phase.len; p++) {
        expr_is_int(l->x, l->phase.at[p].extent, &extents[p]);
        fn[p] = image_entry(image, r.image.entry[p].offset);
    }
    double best = 1e30, best_peak = 1e30;
    double begin = time_now();
    for (int rep = 0; rep < 2000 && (rep < 5 || time_now() - begin < 0.6); rep++) {
        best_peak = fmin(best_peak, time_peak(&run->peak));
        const double start = time_now();
        for (int p = 0; p < l->phase.len; p++) {
            fn[p](&env, bufs, NULL, scratch, 0, extents[p]);
        }
        const double dt = time_now() - start;
        best = dt < best ? dt : best;
    }
    const double flops = c->conv ? 2.0 * (double)(c->hw * c->hw * c->kc * c->c * c->rs * c->rs)
                                 : 2.0 * (double)(c->batch * c->m * c->n * c->k);
    const double error = worst_error(c, y), peak = run->peak.flops / best_peak;
    printf("%-20s %8.1f us %7.1f GFLOP/s %5.1f%% of peak  expand %.1f ms codegen %.1f ms  err %.1e "
           "%s\n",
           c->name, best * 1e6, flops / best / 1e9, flops / best / peak * 100,
           (t1 - t0) * 1e3, (t2 - t1) * 1e3, error, error < 1e-2 ? "" : "WRONG");
    if (run->o->show_loops || error >= 1e-2) {
        printf("  %s\n", str_text(&line));
    }
    image_unload(image);
}

static void run_all(Context *ctx, void *arg)
{
    Run *run = arg;
    run->peak = load_peak(ctx, run->t);
    double best = 1e30;
    for (int rep = 0; rep < 60; rep++) {
        best = fmin(best, time_peak(&run->peak));
    }
    printf("target %s, peak of one thread %.1f GFLOP/s\n", target_describe(ctx->arena, run->t),
           run->peak.flops / best / 1e9);
}

static bool wanted(int argc, char **argv, int first, const char *name)
{
    for (int k = first; k < argc; k++) {
        if (strcmp(argv[k], name) == 0) {
            return true;
        }
    }
    return first == argc;
}

int main(int argc, char **argv)
{
    Options o = {.level = "native"};
    int k = 1;
    for (; k < argc && argv[k][0] == '-'; k++) {
        if (strcmp(argv[k], "--asm") == 0) {
            o.show_asm = true;
        } else if (strcmp(argv[k], "--loops") == 0) {
            o.show_loops = true;
        } else if (strcmp(argv[k], "--target") == 0 && k + 1 < argc) {
            o.level = argv[++k];
        } else if (strcmp(argv[k], "--schedule") == 0 && k + 1 < argc) {
            o.schedule = argv[++k];
        } else {
            fprintf(stderr, "kernels: unknown option %s\n", argv[k]);
            return 1;
        }
    }
    Error e;
    Target t;
    if (target_find(o.level, &t, &e)) {
        fprintf(stderr, "%s\n", e.message);
        return 1;
    }
    Run run = {.o = &o, .t = &t};
    int code = 0;
    Arena *all = arena_new();
    if (job_run(all, run_all, &run, &e, NULL)) {
        fprintf(stderr, "%s\n", e.message);
        code = 1;
    }
    for (size_t c = 0; c < sizeof cases / sizeof *cases && !code; c++) {
        if (!wanted(argc, argv, k, cases[c].name)) {
            continue;
        }
        run.c = &cases[c];
        Arena *a = arena_new();
        if (job_run(a, run_case, &run, &e, NULL)) {
            fprintf(stderr, "%s: %s\n", cases[c].name, e.message);
            code = 1;
        }
        arena_free(a);
    }
    if (run.peak.image) {
        image_unload(run.peak.image);
    }
    arena_free(all);
    return code;
}
