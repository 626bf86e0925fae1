/* LSTM, GRU and RNN as compiled kernels, their weights known: against the reference executor, on
 * one thread and on three the same bits, and with records that schedule_check takes. In bf16 on
 * tiles, which are emulated where this CPU has none, on one thread. */
#include "check.h"

#include "compile/compile.h"
#include "loop/schedule.h"
#include "op/op.h"
#include "op/reference.h"

#include "codegen/tile_emulator.h" /* last: unistd.h defines names of the loops' */

enum { MAX_IN = 6 };

typedef struct Cell {
    const char *op;
    int gates, directions, hidden, inputs;
    int64_t steps, batch;    /* as run; T and B in the graph are free where `free` */
    bool free, lens, initial;
    const char *attributes;
} Cell;

static const Cell cells[] = {
    {"lstm", 4, 1, 64, 24, 5, 1, false, false, false, ""},
    {"lstm", 4, 2, 32, 7, 6, 1, false, false, true, "direction=\"bidirectional\""},
    {"lstm", 4, 1, 33, 9, 4, 3, false, false, true, "direction=\"reverse\""},
    {"lstm", 4, 2, 16, 5, 7, 2, true, true, true, "direction=\"bidirectional\" layout=1"},
    {"lstm", 4, 1, 48, 5, 1, 1, false, false, true, ""},
    {"gru", 3, 1, 64, 24, 5, 1, false, false, false, "linear_before_reset=1"},
    {"gru", 3, 1, 64, 24, 5, 1, false, false, false, ""},
    {"gru", 3, 2, 32, 8, 6, 2, true, true, true, "direction=\"bidirectional\""},
    {"gru", 3, 1, 20, 8, 3, 2, true, false, true, "linear_before_reset=1 direction=\"reverse\""},
    {"rnn", 1, 1, 64, 24, 5, 1, false, false, true, ""},
    {"rnn", 1, 2, 7, 3, 5, 3, true, true, false, "direction=\"bidirectional\""},
};

typedef struct Job {
    const Cell *cell;
    const char *text;
    Tensor *in[MAX_IN]; /* x w r b lens initial_h */
    int nin;
    bool weights_known, on_tiles;
    Compiled c;
    Tensor *want[3];
} Job;

static const char *graph_text(Arena *a, const Cell *c)
{
    const bool batch_first = strstr(c->attributes, "layout=1");
    const char *t = c->free ? "T" : arena_printf(a, "%d", (int)c->steps);
    const char *b = c->free ? "B" : arena_printf(a, "%d", (int)c->batch);
    Str s = str_new(a);
    str_addf(&s, "graph \"cell\"\n%s", c->free ? "sym T 1 1000\nsym B 1 1000\n" : "");
    str_addf(&s, "input x f32[%s,%s,%d]\n", batch_first ? b : t, batch_first ? t : b, c->inputs);
    str_addf(&s, "input w f32[%d,%d,%d]\n", c->directions, c->gates * c->hidden, c->inputs);
    str_addf(&s, "input r f32[%d,%d,%d]\n", c->directions, c->gates * c->hidden, c->hidden);
    str_addf(&s, "input b f32[%d,%d]\n", c->directions, 2 * c->gates * c->hidden);
    if (c->lens)
        str_addf(&s, "input lens i32[%s]\n", b);
    if (c->initial && batch_first)
        str_addf(&s, "input h0 f32[%s,%d,%d]\n", b, c->directions, c->hidden);
    else if (c->initial)
        str_addf(&s, "input h0 f32[%d,%s,%d]\n", c->directions, b, c->hidden);
    str_addf(&s, "y, h%s = %s(x, w, r, b, %s, %s) \"y\" hidden_size=%d %s\noutput y, h%s\n",
             c->gates == 4 ? ", c" : "", c->op, c->lens ? "lens" : "_", c->initial ? "h0" : "_",
             c->hidden, c->attributes, c->gates == 4 ? ", c" : "");
    return str_text(&s);
}

static Tensor *random_tensor(DType t, int rank, const int64_t *dim, uint64_t seed)
{
    Error e;
    Tensor *x = tensor_new(t, rank, dim, &e);
    assert_non_null(x);
    tensor_fill_random(x, seed);
    return x;
}

static void make_inputs(Job *j)
{
    const Cell *c = j->cell;
    const bool batch_first = strstr(c->attributes, "layout=1");
    const int64_t rows = c->gates * c->hidden, d = c->directions,
                  outer = batch_first ? c->batch : c->steps,
                  inner = batch_first ? c->steps : c->batch;
    j->in[j->nin++] = random_tensor(DT_F32, 3, (const int64_t[]){outer, inner, c->inputs}, 1);
    j->in[j->nin++] = random_tensor(DT_F32, 3, (const int64_t[]){d, rows, c->inputs}, 2);
    j->in[j->nin++] = random_tensor(DT_F32, 3, (const int64_t[]){d, rows, c->hidden}, 3);
    j->in[j->nin++] = random_tensor(DT_F32, 2, (const int64_t[]){d, 2 * rows}, 4);
    for (int64_t k = 0; k < d * rows * c->hidden; k++)
        ((float *)j->in[2]->data)[k] *= 0.2f; /* or errors grow from step to step */
    if (c->lens) {
        Tensor *lens = random_tensor(DT_I32, 1, &c->batch, 5);
        for (int64_t k = 0; k < c->batch; k++)
            ((int32_t *)lens->data)[k] = (int32_t)(c->steps - k * 3);
        j->in[j->nin++] = lens;
    }
    if (c->initial)
        j->in[j->nin++] = random_tensor(DT_F32, 3,
                                        (const int64_t[]){batch_first ? c->batch : d,
                                                          batch_first ? d : c->batch, c->hidden},
                                        6);
}

static void reference_job(Context *ctx, void *arg)
{
    Job *j = arg;
    Graph *g = graph_parse(ctx, "cell", j->text, strlen(j->text));
    op_infer_graph(g);
    reference_run(ctx, g, j->in, j->want);
}

/* Inputs 1 to 3 become constants. */
static void know_weights(Graph *g, const Job *j)
{
    Block *b = &g->block.at[0];
    for (int k = 1; k <= 3; k++)
        g->value.at[b->input.at[k]].constant = j->in[k];
    memmove(b->input.at + 1, b->input.at + 4, sizeof *b->input.at * (size_t)(b->input.len - 4));
    b->input.len -= 3;
}

/* Each kernel's record, read back, is legal. */
static void check_records(Context *ctx, const Compiled *c, const Target *target)
{
    for (int k = 0; k < c->report->nkernels; k++) {
        const KernelReport *r = &c->report->kernel[k];
        if (!r->stages)
            continue;
        Str why = str_new(ctx->arena);
        Stages *s = stages_parse(ctx, r->name, r->stages, strlen(r->stages));
        const Schedule *sc = schedule_parse(ctx, s, r->schedule);
        if (schedule_check(sc, s, target, &why) != SCHEDULE_OK)
            FAIL_MSG("%s: %s\n%s\n%s", r->name, str_text(&why), r->schedule, r->stages);
    }
}

static Target target_with_tiles(void)
{
    const Target here = target_native();
    return here.amx && target_runs(&here, NULL) ? here : tile_emulator_target();
}

static void compile_job(Context *ctx, void *arg)
{
    Job *j = arg;
    CompileOptions opt = {.target = target_native(), .threads = 2, .want_text = true};
    if (j->on_tiles) {
        opt.target = target_with_tiles();
        opt.precision = PRECISION_BF16;
    }
    Graph *g = graph_parse(ctx, "cell", j->text, strlen(j->text));
    if (j->weights_known)
        know_weights(g, j);
    j->c = compile_graph(ctx, g, &opt);
    check_records(ctx, &j->c, &opt.target);
}

static void compare(const Job *j, Run *r, Tensor *const *want, double tolerance)
{
    Error e = {0};
    for (int i = 0, k = 0; i < j->nin; i++)
        if ((!j->weights_known || i < 1 || i > 3) && run_set_input(r, k++, j->in[i], &e) != 0)
            FAIL_MSG("%s", e.message);
    if (run_execute(r, &e) != 0)
        FAIL_MSG("%s", e.message);
    for (int i = 0; i < 2 + (j->cell->gates == 4); i++) {
        const TensorDiff d = tensor_compare(run_output(r, i), want[i], tolerance, tolerance);
        if (!d.same_type || !d.same_shape || d.mismatches)
            FAIL_MSG("output %d: %lld differ\n%s", i, (long long)d.mismatches, j->text);
    }
}

/* What the reference gives, and what is compiled: that in `a`, which the module then owns. */
static void job_begin(Job *j, Arena *a, Arena *own)
{
    Error e = {0};
    make_inputs(j);
    if (job_run(own, reference_job, j, &e, NULL) != 0 || job_run(a, compile_job, j, &e, NULL) != 0)
        FAIL_MSG("%s\n%s", e.message, j->text);
}

static void job_end(Job *j)
{
    for (int i = 0; i < 3; i++)
        tensor_unref(j->want[i]);
    for (int i = 0; i < j->nin; i++)
        tensor_unref(j->in[i]);
}

static void check_cell(const Cell *cell, bool weights_known)
{
    Arena *a = arena_new(), *own = arena_new();
    Job j = {.cell = cell, .text = graph_text(own, cell), .weights_known = weights_known};
    Module *m;
    Pool *pool;
    Run *one, *three;
    Error e = {0};
    job_begin(&j, a, own);
    assert_int_equal(module_new(a, j.c.program, &j.c.image, &m, &e), 0);
    assert_int_equal(pool_new(3, &pool, &e), 0);
    assert_int_equal(run_new(m, pool, 1, &one, &e), 0);
    assert_int_equal(run_new(m, pool, 3, &three, &e), 0);
    compare(&j, one, j.want, 2e-5);
    Tensor *same[3];
    for (int i = 0; i < 2 + (cell->gates == 4); i++)
        same[i] = run_output(one, i);
    compare(&j, three, same, 0);
    run_free(one);
    run_free(three);
    pool_free(pool);
    module_unref(m);
    job_end(&j);
    arena_free(own);
}

/* The products of a step are on tiles: in the record, and in what is run. */
static void check_on_tiles(const Cell *cell)
{
    Arena *a = arena_new(), *own = arena_new();
    Job j = {.cell = cell, .text = graph_text(own, cell), .weights_known = true, .on_tiles = true};
    Module *m;
    Pool *pool;
    Run *r;
    Error e = {0};
    job_begin(&j, a, own);
    bool chosen = false;
    for (int k = 0; k < j.c.report->nkernels; k++) {
        const char *gates = j.c.report->kernel[k].schedule
                                ? strstr(j.c.report->kernel[k].schedule, "gates: tile k 16")
                                : NULL;
        chosen |= gates && strstr(gates, "dot k1 n1 r1 r2; at h.m0; scope scratch");
    }
    if (!chosen)
        FAIL_MSG("no tiles:\n%s", j.text);
    assert_int_equal(module_new(a, j.c.program, &j.c.image, &m, &e), 0);
    assert_int_equal(pool_new(1, &pool, &e), 0);
    assert_int_equal(run_new(m, pool, 1, &r, &e), 0);
    memset(tile_emulator.count, 0, sizeof tile_emulator.count);
    tile_emulator_start();
    compare(&j, r, j.want, 2e-2); /* h and weights have 8 bits */
    assert_true(tile_emulator_idle("amx") || tile_emulator.count[TILE_DOT] > 0);
    run_free(r);
    pool_free(pool);
    module_unref(m);
    job_end(&j);
    arena_free(own);
}

static void test_tiles(void **state)
{
    (void)state;
    int checked = 0;
    for (size_t k = 0; k < sizeof cells / sizeof cells[0]; k++) {
        if (cells[k].hidden % TILE_ROWS == 0 && cells[k].inputs % 2 == 0 && !cells[k].free) {
            check_on_tiles(&cells[k]);
            checked++;
        }
    }
    assert_true(checked >= 4);
}

static void test_cell(void **state)
{
    check_cell(*state, true);
    check_cell(*state, false);
}

int main(void)
{
    enum { CELLS = sizeof cells / sizeof cells[0] };
    struct CMUnitTest tests[CELLS + 1];
    for (int k = 0; k < CELLS; k++)
        tests[k] = (struct CMUnitTest){
            .name = cells[k].op, .test_func = test_cell, .initial_state = (void *)&cells[k]};
    /* last: it takes a signal over */
    tests[CELLS] = (struct CMUnitTest)cmocka_unit_test(test_tiles);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
