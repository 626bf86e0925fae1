/* The loop interpreter in both forms, what it refuses, and the text and verifier of loops. */
#include "../codegen/kernels.h"

/* y (4,6) = transpose of x (6,4) * 2, structured; y has layout 0 1 1:4: its rows are padded to
 * 8. */
static Kernel transpose(Context *ctx)
{
    Kernel k = kernel_new(ctx, "transpose", "i", 4);
    k.l->expanded = false;
    float x[24];
    for (int i = 0; i < 24; i++)
        x[i] = (float)i;
    const int bx = kernel_buffer(&k, "x", DT_F32, 24, false, x);
    const int by = kernel_buffer(&k, "y", DT_F32, 32, true, NULL);
    LoopBuffer *in = &k.l->buffer.at[bx], *out = &k.l->buffer.at[by];
    in->rank = out->rank = 2;
    in->dim[0] = out->dim[1] = expr_int(k.x, 6);
    in->dim[1] = out->dim[0] = expr_int(k.x, 4);
    out->layout = (Layout){3, {{0, 0}, {1, 0}, {1, 4}}};
    const Expr i = kernel_par(&k), j = expr_loop_var(k.x, "j", expr_int(k.x, 6));
    const int loop = kernel_for(&k, k.body, j, expr_int(k.x, 6));
    const Expr v = expr_load(k.x, DT_F32, bx, 2, (Expr[]){j, i});
    const int s = loops_stmt(k.l, L_STORE);
    k.l->stmt.at[s].buffer = by;
    k.l->stmt.at[s].nindex = 2;
    k.l->stmt.at[s].index[0] = i;
    k.l->stmt.at[s].index[1] = j;
    k.l->stmt.at[s].value = expr_mul(k.x, v, expr_float(k.x, DT_F32, 2));
    loops_append(k.l, loop, s);
    return k;
}

static void structured(Context *ctx, void *arg)
{
    (void)arg;
    Kernel k = transpose(ctx);
    Str why = str_new(ctx->arena);
    if (!loops_verify(k.l, &why))
        FAIL_MSG("%s", str_text(&why));
    loops_interpret(ctx, k.l, k.data, k.elements, NULL);
    const float *x = k.data[0], *y = k.data[1];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 6; j++)
            assert_true(y[i * 8 + j] == 2 * x[j * 4 + i]);
}

static void text(Context *ctx, void *arg)
{
    (void)arg;
    const Kernel k = transpose(ctx);
    Str out = str_new(ctx->arena);
    loops_print(k.l, &out);
    assert_string_equal(str_text(&out), "loops transpose structured\n"
                                        "  arg 0 x f32 [6, 4]\n"
                                        "  arg 1 y f32 [4, 6] layout 0 1 1:4 written\n"
                                        "  phase i < 4\n"
                                        "    for j < 6\n"
                                        "      y[i, j] = x[j, i]*2\n");
}

static void run(Context *ctx, void *arg)
{
    Kernel *k = arg;
    loops_interpret(ctx, k->l, k->data, k->elements, NULL);
}

/* The interpreter must fail with ERR_INTERNAL and say `words`. */
static void refuses(Context *ctx, Kernel *k, const char *words)
{
    Error e = {0};
    assert_int_equal(job_run(ctx->arena, run, k, &e, NULL), ERR_INTERNAL);
    if (!strstr(e.message, words))
        FAIL_MSG("'%s' is not in: %s", words, e.message);
}

static Kernel copy_kernel(Context *ctx, int lanes, int64_t shift, int *a, int *y)
{
    Kernel k = kernel_new(ctx, "copy", "i", 16 / lanes);
    *a = kernel_buffer(&k, "a", DT_F32, 16, false, NULL);
    *y = kernel_buffer(&k, "y", DT_F32, 16, true, NULL);
    const Expr at = expr_muli(k.x, kernel_par(&k), lanes);
    kernel_store(&k, k.body, *y, at, 0, kernel_load(&k, *a, lanes, expr_addi(k.x, at, shift)));
    return k;
}

static void refusals(Context *ctx, void *arg)
{
    (void)arg;
    int a, y;
    Kernel k = copy_kernel(ctx, 4, 0, &a, &y);
    run(ctx, &k);
    k = copy_kernel(ctx, 4, 1, &a, &y); /* the last lane of the last load */
    refuses(ctx, &k, "'a' at 16 of 16");
    k = copy_kernel(ctx, 4, -1, &a, &y);
    refuses(ctx, &k, "'a' at -1 of 16");
    k = copy_kernel(ctx, 4, 0, &a, &y);
    k.elements[y] = 15;
    refuses(ctx, &k, "'y' at 15 of 15");
    k = transpose(ctx); /* logical indices: in memory, but of another row */
    k.l->buffer.at[0].dim[1] = expr_int(k.x, 3);
    refuses(ctx, &k, "index of 'x' at 3 of 3");
    k = kernel_new(ctx, "unset", "i", 1); /* a register before it is set */
    y = kernel_buffer(&k, "y", DT_F32, 16, true, NULL);
    const int r = kernel_reg(&k, DT_F32, 1);
    kernel_store(&k, k.body, y, kernel_par(&k), 0, kernel_get(&k, r));
    refuses(ctx, &k, "register");
}

/* What is not used is not read: a partial load at the very end of a buffer. */
static void partial_load_reads_no_more(Context *ctx, void *arg)
{
    (void)arg;
    Kernel k = kernel_new(ctx, "partial", "i", 1);
    const float data[5] = {1, 2, 3, 4, 5};
    const int a = kernel_buffer(&k, "a", DT_F32, 5, false, data);
    const int y = kernel_buffer(&k, "y", DT_F32, 4, true, NULL);
    const Expr v = kernel_op(&k, EX_MLOAD, DT_F32, 4, a, 2,
                             (Expr[]){expr_int(k.x, 3), expr_int(k.x, 2)});
    kernel_store(&k, k.body, y, kernel_par(&k), 0, v);
    loops_interpret(ctx, k.l, k.data, k.elements, NULL);
    const float *got = k.data[y];
    assert_true(got[0] == 4 && got[1] == 5 && got[2] == 0 && got[3] == 0);
}

static void reject(Context *ctx, const Loops *l, const char *words)
{
    Str why = str_new(ctx->arena);
    assert_false(loops_verify(l, &why));
    if (!strstr(str_text(&why), words))
        FAIL_MSG("'%s' is not in: %s", words, str_text(&why));
}

static void verifier(Context *ctx, void *arg)
{
    (void)arg;
    int a, y;
    Str why = str_new(ctx->arena);
    Kernel k = copy_kernel(ctx, 4, 0, &a, &y);
    assert_true(loops_verify(k.l, &why));
    k.l->expanded = false;
    reject(ctx, k.l, "in the structured form");
    k = copy_kernel(ctx, 4, 0, &a, &y);
    k.l->buffer.at[y].written = false;
    reject(ctx, k.l, "not marked written");
    k = copy_kernel(ctx, 4, 0, &a, &y);
    k.l->buffer.at[y].dtype = DT_F64;
    reject(ctx, k.l, "store of f32 to 'y' (f64)");
    k = copy_kernel(ctx, 4, 0, &a, &y);
    k.l->buffer.at[a].dtype = DT_I32;
    reject(ctx, k.l, "load of 'a' (i32) gives f32");
    k = copy_kernel(ctx, 4, 0, &a, &y);
    const Expr free_var = expr_loop_var(k.x, "j", expr_int(k.x, 4));
    kernel_store(&k, k.body, y, free_var, 0, kernel_load(&k, a, 1, free_var));
    reject(ctx, k.l, "'j'");
    k = copy_kernel(ctx, 4, 0, &a, &y);
    kernel_store(&k, k.body, y, kernel_par(&k), 0,
                 kernel_op1(&k, EX_EXP, DT_F32, 1, 0, kernel_load(&k, a, 1, kernel_par(&k))));
    reject(ctx, k.l, "'exp' in the expanded form");
    k = copy_kernel(ctx, 4, 0, &a, &y);
    const int r = kernel_reg(&k, DT_F32, 8);
    kernel_set(&k, k.body, r, kernel_load(&k, a, 4, kernel_par(&k)));
    reject(ctx, k.l, "register 0 is set to f32 x 4");
    k = copy_kernel(ctx, 4, 0, &a, &y);
    loops_append(k.l, k.body, k.l->stmt.at[k.body].child.at[0]);
    reject(ctx, k.l, "two parents");
    k = copy_kernel(ctx, 4, 0, &a, &y);
    const Expr j = expr_loop_var(k.x, "j", expr_int(k.x, 2));
    const int loop = kernel_for(&k, k.body, j, expr_int(k.x, 2));
    k.l->stmt.at[loop].mark = MARK_UNROLL;
    reject(ctx, k.l, "mark is left");
}

#define IN_JOB(name)                                                                               \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        in_job(name, NULL);                                                                        \
    }
IN_JOB(structured)
IN_JOB(text)
IN_JOB(refusals)
IN_JOB(partial_load_reads_no_more)
IN_JOB(verifier)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structured),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_partial_load_reads_no_more),
        cmocka_unit_test(test_verifier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
