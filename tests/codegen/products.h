/* Products y[m, n] = sum a[m, k] * b[k, n] + 1 of any types and extents, for tests of dot
 * instructions: stages, loops, arguments as they lie in memory, and sums in double to compare
 * with. */
#ifndef LATHE_TESTS_PRODUCTS_H
#define LATHE_TESTS_PRODUCTS_H

#include "check.h"

#include <math.h>

#include "codegen/run_phases.h"
#include "loop/interp.h"
#include "loop/intrinsic.h"
#include "record/choose.h"

typedef struct Case {
    int m, n, k;
    const char *a, *b, *sum, *line; /* types; line NULL: chosen */
    const char *target;
    bool is_input; /* b is no constant */
    int dots;      /* in the expanded loops; -1: some */
} Case;

static inline Stages *make_stages(Context *ctx, const Case *c)
{
    const bool ints = strcmp(c->sum, "i32") == 0;
    const char *text = arena_printf(
        ctx->arena,
        "input a %s [%d, %d]\n%s b %s [%d, %d]\ntemp acc %s [%d, %d]\noutput y %s [%d, %d]\n"
        "reduce acc (m: %d, n: %d; k: %d) init 0 update %s combine state0 + state2_0\n"
        "map y (m: %d, n: %d) = acc[m, n] + 1\n",
        c->a, c->m, c->k, c->is_input ? "input" : "const", c->b, c->k, c->n, c->sum, c->m, c->n,
        c->sum, c->m, c->n, c->m, c->n, c->k,
        ints ? "state0 + i32(a[m, k])*i32(b[k, n])" : "fma(a[m, k], b[k, n], state0)", c->m, c->n);
    return stages_parse(ctx, "test", text, strlen(text));
}

typedef struct Array {
    const LoopBuffer *b;
    int64_t dim[2];
    uint8_t *data;
    int64_t elements;
} Array;

/* An argument as it lies in memory; what pads it must not be read as a number. */
static inline Array make_array(Context *ctx, const Loops *l, const Lowered *low, const Stages *s,
                               const char *name)
{
    Array a = {.b = &l->buffer.at[low->tensor_buffer[stages_find_tensor(s, name)]]};
    for (int d = 0; d < 2; d++)
        assert_true(expr_is_int(l->x, a.b->dim[d], &a.dim[d]));
    a.elements = layout_elements(&a.b->layout, 2, a.dim);
    const size_t bytes = (size_t)(a.elements * dtype_size(a.b->dtype));
    a.data = arena_alloc_aligned(ctx->arena, bytes + 1, 64);
    memset(a.data, 0xff, bytes);
    return a;
}

static inline uint8_t *element(const Array *a, int64_t i, int64_t j)
{
    return a->data +
           layout_offset(&a->b->layout, 2, a->dim, (int64_t[]){i, j}) * dtype_size(a->b->dtype);
}

static inline void fill(const Array *a, uint32_t seed)
{
    for (int64_t i = 0; i < a->dim[0]; i++)
        for (int64_t j = 0; j < a->dim[1]; j++) {
            seed = seed * 1664525u + 1013904223u;
            const DType t = a->b->dtype;
            const double unit = (double)(seed >> 8) / (1 << 24);
            const double least = t == DT_I16 ? -255 : dtype_lowest(t); /* i16: bytes less bytes */
            const double v =
                dtype_is_float(t) ? unit * 4 - 2 : least + floor(unit * (t == DT_I16 ? 511 : 256));
            dtype_write(t, element(a, i, j), v, true);
        }
}

static inline void check_sums(const Case *c, const Array *a, const Array *b, const Array *y)
{
    for (int m = 0; m < c->m; m++)
        for (int n = 0; n < c->n; n++) {
            double sum = 1, size = 1;
            for (int k = 0; k < c->k; k++) {
                const double p = dtype_read(a->b->dtype, element(a, m, k)) *
                                 dtype_read(b->b->dtype, element(b, k, n));
                sum += p;
                size += fabs(p);
            }
            const double got = dtype_read(y->b->dtype, element(y, m, n));
            const double bound = dtype_is_float(y->b->dtype) ? (c->k + 2) * 0x1p-24 * size : 0;
            if (!(fabs(got - sum) <= bound))
                FAIL_MSG("%s %dx%dx%d: y[%d, %d] is %.9g, not %.9g", c->a, c->m, c->n, c->k, m, n,
                         got, sum);
        }
}

static inline Loops *make_loops(Context *ctx, const Case *c, const Target *t, Stages *s,
                                Lowered *low)
{
    Str why = str_new(ctx->arena);
    const Schedule *sc;
    if (c->line) {
        sc = schedule_parse(ctx, s, c->line);
        Str again = str_new(ctx->arena);
        schedule_print(sc, s, &again);
        assert_string_equal(str_text(&again), c->line);
    } else {
        sc = schedule_choose(ctx, s, t, NULL);
        assert_true(schedule_apply_steps(sc, s, &why));
    }
    if (schedule_check(sc, s, t, &why) != SCHEDULE_OK)
        FAIL_MSG("%s", str_text(&why));
    Target none;
    assert_int_equal(target_find("avx512", &none, NULL), 0);
    if (c->line)
        assert_int_equal(schedule_check(sc, s, &none, &why), SCHEDULE_BAD_DOT);
    *low = lower(ctx, s, sc, t);
    Loops *l = expand(ctx, low->loops, t);
    if (!loops_verify(l, &why))
        FAIL_MSG("%s", str_text(&why));
    return l;
}

/* The arguments: a, b and y in array, random values in a and b. */
static inline void **make_arguments(Context *ctx, const Loops *l, const Lowered *low,
                                    const Stages *s, Array *array, int64_t **buf_elements)
{
    static const char *const names[] = {"a", "b", "y"};
    for (int k = 0; k < 3; k++)
        array[k] = make_array(ctx, l, low, s, names[k]);
    fill(&array[0], 1);
    fill(&array[1], 2);
    void **bufs = arena_array_of(ctx->arena, l->nargs + 1, void *);
    int64_t *elements = *buf_elements = arena_array_of(ctx->arena, l->nargs + 1, int64_t);
    for (int k = 0; k < l->buffer.len; k++) { /* temporaries, and then what is known */
        const LoopBuffer *b = &l->buffer.at[k];
        int64_t dim[MAX_RANK];
        for (int d = 0; d < b->rank && b->scope == SCOPE_ARG && b->arg >= 0; d++)
            assert_true(expr_is_int(l->x, b->dim[d], &dim[d]));
        if (b->scope != SCOPE_ARG || b->arg < 0)
            continue;
        elements[b->arg] = layout_elements(&b->layout, b->rank, dim);
        bufs[b->arg] = arena_alloc_aligned(ctx->arena, (size_t)elements[b->arg] * 8, 64);
    }
    for (int k = 0; k < 3; k++)
        bufs[array[k].b->arg] = array[k].data;
    return bufs;
}

static inline void run_native(Context *ctx, const Loops *l, const CodegenResult *code,
                              void *const *bufs)
{
    LoadedImage *image;
    Error e;
    assert_int_equal(image_load(&code->image, &image, &e), ERR_OK);
    run_phases(l, image, &code->image, bufs, NULL,
               arena_alloc_aligned(ctx->arena, (size_t)l->scratch_bytes + 64, 64), NULL);
    image_unload(image);
}

static inline void run_job(JobFn fn, void *arg)
{
    Arena *a = arena_new();
    Error e = {0};
    if (job_run(a, fn, arg, &e, NULL) != ERR_OK)
        FAIL_MSG("%s", e.message);
    arena_free(a);
}

#endif
