/* Dot instructions on tiles (AMX), over all shapes of tails. The expanded loops, run by the
 * interpreter with the instructions' own meaning, against sums in double; then the machine code,
 * its tile instructions emulated where this CPU has none (tile_emulator.h), bit for bit against the
 * interpreter; and the instructions of a kernel, counted. */
#include "codegen/products.h"

#include <stdio.h>

#include "codegen/tile_emulator.h"

#undef L_SET /* of unistd.h */

static bool is_tile_set(const Loops *l, const LoopStmt *s)
{
    return s->op == L_SET && l->reg.at[s->buffer].rows > 0 &&
           expr_node(l->x, s->value)->op == EX_DOT;
}

static int count_tile_dots(const Loops *l, int stmt)
{
    const LoopStmt *s = &l->stmt.at[stmt];
    int n = is_tile_set(l, s);
    for (int k = 0; k < s->child.len; k++)
        n += count_tile_dots(l, s->child.at[k]);
    return n;
}

static void compare_native(Context *ctx, const Case *c, const Loops *l, const CodegenResult *code,
                           void **bufs, Array *y)
{
    const size_t bytes = (size_t)y->elements * 4;
    uint8_t *want = arena_alloc(ctx->arena, bytes);
    memcpy(want, y->data, bytes);
    memset(y->data, 0xff, bytes);
    memset(tile_emulator.count, 0, sizeof tile_emulator.count);
    /* after cmocka's handler; where the CPU has tiles, no signal is raised */
    tile_emulator_start();
    run_native(ctx, l, code, bufs);
    if (memcmp(y->data, want, bytes) != 0)
        FAIL_MSG("%s.%s %dx%dx%d: code and loops differ", c->a, c->b, c->m, c->n, c->k);
}

static void run_on(Context *ctx, const Case *c, const Target *t, bool emulate)
{
    Stages *s = make_stages(ctx, c);
    Lowered low;
    const Loops *l = make_loops(ctx, c, t, s, &low);
    int dots = 0;
    for (int k = 0; k < l->phase.len; k++)
        dots += count_tile_dots(l, l->phase.at[k].body);
    if (c->dots >= 0 ? dots != c->dots : dots == 0)
        FAIL_MSG("%s.%s %dx%dx%d: %d dots of tiles", c->a, c->b, c->m, c->n, c->k, dots);
    Array array[3];
    int64_t *elements;
    void **bufs = make_arguments(ctx, l, &low, s, array, &elements);
    loops_interpret(ctx, l, bufs, elements, NULL);
    check_sums(c, &array[0], &array[1], &array[2]);
    /* for all of AMX: verified and assembled */
    const CodegenResult code = codegen_compile(ctx, l, t, NULL);
    if (target_runs(t, NULL))
        compare_native(ctx, c, l, &code, bufs, &array[2]);
    if (emulate) {
        compare_native(ctx, c, l, &code, bufs, &array[2]);
        if (dots > 0 && !tile_emulator_idle("amx"))
            assert_true(tile_emulator.count[TILE_DOT] > 0 && !tile_emulator.configured);
    }
}

static void run_case(Context *ctx, void *arg)
{
    const Case *c = arg;
    Target t;
    assert_int_equal(target_find("amx", &t, NULL), 0);
    run_on(ctx, c, &t, false);
}

/* The same loops for a machine that has tiles but is otherwise this one. */
static void emulate_case(Context *ctx, void *arg)
{
    const Target t = tile_emulator_target();
    run_on(ctx, arg, &t, true);
}

#define TILE_LINE(lay, group)                                                                      \
    "s1 def=default | b: layout " lay                                                              \
    " | y: tile m 32 peel, n 32 peel; order m0 n0 m1 n1; parallel m0 n0; vector n1"                \
    " | acc: tile m 16 peel, n 16 peel, k 16 " group                                               \
    " peel; order k0 m0 n0 m1 n1 k1 k2; unroll m0 n0; dot m1 n1 k1 k2; "                           \
    "at y.n0; scope scratch"
static const char pairs[] = TILE_LINE("1 0 0:16 1:16 0:2", "2"),
                  flat_pairs[] = TILE_LINE("1 0 1:16 0:2", "2");
static const char quads[] = TILE_LINE("1 0 0:16 1:16 0:4", "4");

static void run_both(Case c)
{
    run_job(run_case, &c);
    run_job(emulate_case, &c);
}

static void test_bf16(void **state)
{
    (void)state;
    static const int shapes[][4] = {
        /* m, n, k, products of tiles written out */
        {32, 32, 32, 4},  {64, 96, 64, 4}, {16, 16, 32, 1},   {1, 1, 2, 1},
        {5, 7, 6, 1},     {33, 16, 32, 3}, {17, 19, 34, 8},   {48, 32, 70, 12},
        {65, 50, 96, 18}, {32, 32, 30, 4}, {31, 33, 100, 12}, {3, 64, 128, 2},
    };
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        const int *s = shapes[k];
        run_both((Case){s[0], s[1], s[2], "bf16", "bf16", "f32", k % 2 ? pairs : flat_pairs, "amx",
                        false, -1});
    }
}

/* An odd end of the sum is no pair: that part runs in plain loops. */
static void test_odd_sum(void **state)
{
    (void)state;
    run_both((Case){20, 18, 33, "bf16", "bf16", "f32", pairs, "amx", false, 4});
    run_both((Case){4, 5, 3, "bf16", "bf16", "f32", pairs, "amx", false, 0});
}

static void test_bytes(void **state)
{
    (void)state;
    static const char *const types[][2] = {{"i8", "i8"}, {"i8", "u8"}, {"u8", "i8"}, {"u8", "u8"}};
    static const int shapes[][3] = {{32, 32, 64}, {40, 24, 72}, {7, 9, 4}, {50, 70, 196}};
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 4; i++) {
            const int *s = shapes[(k + i) % 4];
            run_both((Case){s[0], s[1], s[2], types[k][0], types[k][1], "i32", quads, "amx", false,
                            -1});
        }
}

/* What the template chooses. */
static void test_chosen(void **state)
{
    (void)state;
    static const int shapes[][3] = {{37, 96, 256}, {100, 64, 96}, {49, 34, 128},
                                    {5, 130, 64},  {12, 20, 100}, {64, 48, 72}};
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        const int *s = shapes[k];
        run_both((Case){s[0], s[1], s[2], "bf16", "bf16", "f32", NULL, "amx", false, -1});
        run_both((Case){s[0], s[1], s[2], "u8", "i8", "i32", NULL, "amx", false, -1});
    }
    /* no copy of B pays: it is in L2 */
    run_both((Case){96, 64, 96, "bf16", "bf16", "f32", NULL, "amx", true, 0});
    run_both((Case){2, 64, 96, "bf16", "bf16", "f32", NULL, "amx", false, 0});
    run_both((Case){64, 64, 33, "bf16", "bf16", "f32", NULL, "amx", false, 0});
}

/* ---- the instructions' meaning ---- */

static float bf16_tile(int groups, const float *a, const float *b, float sum)
{
    Target t;
    Scalar sa[8], sb[8], s = {.dtype = DT_F32, .f = sum};
    assert_int_equal(target_find("amx", &t, NULL), 0);
    for (int k = 0; k < 2 * groups; k++) {
        sa[k] = (Scalar){.dtype = DT_F32, .f = a[k]};
        sb[k] = (Scalar){.dtype = DT_F32, .f = b[k]};
    }
    const int row = intrinsic_find_tile(&t, DT_BF16, DT_BF16, DT_F32);
    intrinsic_apply_tile(intrinsic_row(row), 1, 1, groups, sa, sb, &s);
    return (float)s.f;
}

static void test_meaning(void **state)
{
    (void)state;
    const float one[] = {1, 1, 1, 1};
    assert_true(bf16_tile(2, (float[]){1, 2, 3, 4}, (float[]){5, 6, 7, 8}, 1) == 71);
    /* first among themselves */
    assert_true(bf16_tile(1, (float[]){0x1p30f, -0x1p30f}, one, 1) == 1);
    /* even ones apart from odd ones */
    assert_true(bf16_tile(2, (float[]){0x1p30f, 1, -0x1p30f, 0}, one, 0) == 1);
    assert_true(bf16_tile(1, (float[]){0x1p-100f, 0}, (float[]){0x1p-30f, 0}, 0) == 0);
    assert_true(bf16_tile(1, (float[]){0, 0}, one, 0x1p-130f) == 0);
    assert_true(isnan(bf16_tile(1, (float[]){INFINITY, -INFINITY}, one, 0)));
}

/* ---- the code ---- */

static int count_lines(const char *assembly, const char *word)
{
    int n = 0;
    const size_t length = strlen(word);
    for (const char *at = strstr(assembly, word); at; at = strstr(at + 1, word))
        n += at[-1] == '\t' && (at[length] == '\t' || at[length] == '\n');
    return n;
}

static void look_at_code(Context *ctx, void *arg)
{
    const Case *c = arg;
    Target t;
    assert_int_equal(target_find(c->target, &t, NULL), 0);
    Stages *s = make_stages(ctx, c);
    Lowered low;
    const Loops *l = make_loops(ctx, c, &t, s, &low);
    const CodegenOptions options = {.want_assembly = true};
    const char *code = codegen_compile(ctx, l, &t, &options).assembly;
    const bool ints = strcmp(c->sum, "i32") == 0;
    /* Two by two tiles: each operand is loaded once for two products; accumulators are zero before
     * the loop, stored after it. */
    assert_int_equal(count_lines(code, ints ? "tdpbusd" : "tdpbf16ps"), 4);
    assert_int_equal(count_lines(code, "tilezero"), 4);
    assert_int_equal(count_lines(code, "tileloadd"), 4);
    assert_int_equal(count_lines(code, "tilestored"), 4);
    assert_int_equal(count_lines(code, "ldtilecfg"), 1);
    assert_int_equal(count_lines(code, "tilerelease"), 1);
}

static void test_code(void **state)
{
    (void)state;
    Case floats = {64, 96, 128, "bf16", "bf16", "f32", pairs, "amx", false, 4};
    run_job(look_at_code, &floats);
    Case bytes = {64, 96, 128, "u8", "i8", "i32", quads, "amx", false, 4};
    run_job(look_at_code, &bytes);
}

static void test_illegal(void **state)
{
    (void)state;
    static const char *const lines[] = {
        TILE_LINE("1 0 1:16 0:2", "4"), /* pairs, not quads */
        "s1 def=default | y: tile m 32 peel, n 32 peel; order m0 n0 m1 n1; parallel m0 n0 | acc: "
        "tile m 32 peel, n 16 peel, k 16 2 "
        "peel; order k0 m0 n0 m1 n1 k1 k2; dot m1 n1 k1 k2; at y.n0; scope scratch", /* too many
                                                                                        rows */
        "s1 def=default | y: tile m 32 peel, n 32 peel; order m0 n0 m1 n1; parallel m0 n0 | acc: "
        "tile m 16 peel, n 16 peel, k 16 2 "
        "peel; order k0 m0 n0 m1 n1 k1 k2; dot m1 n1 k1 k2; at y.n0; scope reg", /* no memory to
                                                                                    load from */
    };
    for (size_t k = 0; k < sizeof lines / sizeof lines[0]; k++) {
        Arena *a = arena_new();
        Context *ctx = &(Context){.arena = a};
        const Case c = {64, 64, 64, "bf16", "bf16", "f32", NULL, "amx", false, 0};
        Target t;
        assert_int_equal(target_find("amx", &t, NULL), 0);
        Stages *s = make_stages(ctx, &c);
        Str why = str_new(a);
        const Schedule *sc = schedule_parse(ctx, s, lines[k]);
        assert_int_equal(schedule_check(sc, s, &t, &why), SCHEDULE_BAD_DOT);
        arena_free(a);
    }
}

int main(void)
{
    if (!tile_emulator_idle("amx"))
        printf("# tile instructions are emulated: this CPU has none\n");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meaning), cmocka_unit_test(test_bf16), cmocka_unit_test(test_odd_sum),
        cmocka_unit_test(test_bytes),   cmocka_unit_test(test_chosen), cmocka_unit_test(test_code),
        cmocka_unit_test(test_illegal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
