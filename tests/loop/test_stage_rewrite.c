/* Random stages, rewritten, copied and printed and read again: the oracle gives the same bits. */
#include "check.h"

#include "loop/oracle.h"

#define GRAPHS 250
#define STAGES 6

typedef struct Random {
    Stages *s;
    uint64_t seed;
    Expr dim[4]; /* N, M, 4, 6 */
} Random;

static uint32_t below(Random *r, uint32_t n)
{
    r->seed = r->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->seed >> 33) % n;
}

/* An index in [0, dim) that depends on some axis. */
static Expr random_index(Random *r, const Expr *var, int n, Expr dim)
{
    Exprs *const x = r->s->x;
    const Expr v = n ? var[below(r, (uint32_t)n)] : expr_int(x, 0);
    const Expr w = n ? var[below(r, (uint32_t)n)] : expr_int(x, 1);
    const Expr last = expr_addi(x, dim, -1);
    switch (below(r, 4)) {
    case 0:
        return expr_mod(x, v, dim);
    case 1:
        return expr_min(x, expr_addi(x, v, below(r, 3)), last);
    case 2:
        return expr_mod(x, expr_add(x, expr_muli(x, v, 3), w), dim);
    default:
        return expr_max(x, expr_sub(x, last, v), expr_int(x, 0));
    }
}

static Expr random_load(Random *r, const Expr *var, int n)
{
    const int tensor = (int)below(r, (uint32_t)r->s->tensor.len);
    const StageTensor t = r->s->tensor.at[tensor];
    Expr index[MAX_RANK];
    for (int i = 0; i < t.rank; i++)
        index[i] = random_index(r, var, n, t.dim[i]);
    return stages_load(r->s, tensor, index);
}

static Expr random_value(Random *r, const Expr *var, int n)
{
    Exprs *const x = r->s->x;
    const Expr a = random_load(r, var, n);
    const Expr b = random_load(r, var, n);
    switch (below(r, 5)) {
    case 0:
        return expr_add(x, a, b);
    case 1:
        return expr_mul(x, a, expr_float(x, DT_F32, 0.75));
    case 2:
        return expr_select(x, expr_lt(x, a, b), a, expr_un(x, EX_NEG, b));
    case 3:
        return expr_max(x, a, expr_sub(x, b, a));
    default:
        return a;
    }
}

static Expr random_where(Random *r, const Expr *var, int n)
{
    Exprs *const x = r->s->x;
    const Expr e = expr_add(x, var[below(r, (uint32_t)n)], var[below(r, (uint32_t)n)]);
    return expr_lt(x, e, expr_int(x, 2 + below(r, 6)));
}

static void random_dims(Random *r, Expr *dims)
{
    for (int i = 0; i < 2; i++)
        dims[i] = r->dim[below(r, 4)];
}

static void random_reduce(Random *r, const Expr *dims)
{
    Exprs *const x = r->s->x;
    StageBuild b = stage_begin(r->s, 2, dims);
    stage_reduce_axes(r->s, &b, 1, &r->dim[below(r, 4)]);
    const Expr var[] = {b.i[0], b.i[1], b.r[0]};
    const Expr state = expr_state(x, DT_F32, 0);
    const Expr init = random_load(r, b.i, 2);
    const Expr v = random_value(r, var, 3);
    const bool most = below(r, 2);
    const int t = stage_reduce(r->s, &b, "reduced", DT_F32, init,
                               most ? expr_max(x, v, state) : expr_add(x, state, v), 0);
    if (below(r, 2))
        stage_where(r->s, t, random_where(r, var, 3));
}

static void random_scatter(Random *r, const Expr *dims)
{
    Exprs *const x = r->s->x;
    Expr over[2];
    random_dims(r, over);
    const StageBuild b = stage_begin(r->s, 2, over);
    const StageBuild base = stage_begin(r->s, 2, dims);
    const Expr target[] = {expr_addi(x, random_index(r, b.i, 2, dims[0]), -(int64_t)below(r, 2)),
                           random_index(r, b.i, 2, dims[1])};
    const Expr update = expr_add(x, expr_state(x, DT_F32, 0), random_value(r, b.i, 2));
    stage_scatter(r->s, &b, &base, "put", DT_F32, random_load(r, base.i, 2), target, update,
                  below(r, 2) ? random_where(r, b.i, 2) : 0);
}

/* A running sum, sometimes by way of a MAP of the element before. */
static void random_scan(Random *r, const Expr *dims)
{
    Exprs *const x = r->s->x;
    const StageBuild b = stage_begin(r->s, 2, dims);
    const int axis = (int)below(r, 2);
    const Expr value = random_value(r, b.i, 2);
    const int t = stage_scan_declare(r->s, "run", DT_F32, 2, dims);
    int past = t;
    Expr index[] = {b.i[0], b.i[1]};
    if (below(r, 2)) {
        const StageBuild m = stage_begin(r->s, 2, dims);
        Expr before[] = {m.i[0], m.i[1]};
        before[axis] = expr_max(x, expr_addi(x, m.i[axis], -1), expr_int(x, 0));
        past = stage_map(r->s, &m, "past", DT_F32, stages_load(r->s, t, before));
    } else {
        index[axis] = expr_max(x, expr_addi(x, b.i[axis], -1), expr_int(x, 0));
    }
    const Expr first = expr_eq(x, b.i[axis], expr_int(x, 0));
    const Expr old = stages_load(r->s, past, index);
    stage_scan_define(r->s, &b, t, axis,
                      expr_add(x, expr_select(x, first, expr_float(x, DT_F32, 1), old), value));
}

static void random_stage(Random *r)
{
    Expr dims[2];
    random_dims(r, dims);
    switch (below(r, 6)) {
    case 0:
        random_reduce(r, dims);
        return;
    case 1:
        random_scatter(r, dims);
        return;
    case 2:
        random_scan(r, dims);
        return;
    default: {
        const StageBuild b = stage_begin(r->s, 2, dims);
        const DType t = below(r, 3) ? DT_F32 : DT_F16;
        const Expr value = below(r, 3) ? random_value(r, b.i, 2) : random_load(r, b.i, 2);
        const int y = stage_map(r->s, &b, "mapped", t, value);
        if (below(r, 3) == 0)
            stage_where(r->s, y, random_where(r, b.i, 2));
    }
    }
}

static void random_stages(Random *r, Context *ctx, uint64_t seed)
{
    Exprs *const x = exprs_new(ctx);
    *r = (Random){.s = stages_new(ctx, x), .seed = seed};
    r->dim[0] = expr_sym(x, "N", 1, 9, 1);
    r->dim[1] = expr_sym(x, "M", 1, 9, 1);
    r->dim[2] = expr_int(x, 4);
    r->dim[3] = expr_int(x, 6);
    for (int i = 0; i < 2; i++) {
        Expr dims[2];
        random_dims(r, dims);
        stages_tensor(r->s, "x", TENSOR_INPUT, DT_F32, 2, dims);
    }
    for (int i = 0; i < STAGES; i++)
        random_stage(r);
    r->s->tensor.at[r->s->tensor.len - 1].role = TENSOR_OUTPUT;
    for (int i = 2; i < r->s->tensor.len; i++)
        if (below(r, 4) == 0)
            r->s->tensor.at[i].role = TENSOR_OUTPUT;
}

static void drop(void *t)
{
    tensor_unref(t);
}

/* The outputs of s for inputs that its tensors' names decide, by name in `out`. */
static void compute(const Stages *s, int64_t n, int64_t m, Tensor **tensor)
{
    int64_t *const sym = arena_array_of(s->ctx->arena, s->x->var.len + 1, int64_t);
    for (int i = 0; i < s->x->var.len; i++)
        sym[i] = s->x->var.at[i].name[0] == 'N' ? n : m;
    for (int i = 0; i < s->tensor.len; i++) {
        const StageTensor *const t = &s->tensor.at[i];
        int64_t dim[MAX_RANK];
        if (t->role == TENSOR_TEMP)
            continue;
        for (int k = 0; k < t->rank; k++)
            dim[k] = expr_eval_int(s->x, t->dim[k], sym);
        tensor[i] = tensor_new(t->dtype, t->rank, dim, NULL);
        arena_defer(s->ctx->arena, drop, tensor[i]);
        if (t->role == TENSOR_INPUT)
            tensor_fill_random(tensor[i], hash_bytes(t->name, strlen(t->name), 7));
    }
    oracle_run(s, sym, tensor);
}

static const char *text_of(const Stages *s)
{
    Str out = str_new(s->ctx->arena);
    stages_print(s, &out);
    return str_text(&out);
}

static void check_same(const Stages *a, const Stages *b, const char *what, uint64_t seed)
{
    Str why = str_new(b->ctx->arena);
    if (!stages_verify(b, &why))
        FAIL_MSG("%s, seed %d: %s\n%s", what, (int)seed, str_text(&why), text_of(b));
    Tensor **const ta = arena_array_of(a->ctx->arena, a->tensor.len, Tensor *);
    Tensor **const tb = arena_array_of(b->ctx->arena, b->tensor.len, Tensor *);
    const int64_t n = 1 + (int64_t)seed % 9;
    const int64_t m = 1 + (int64_t)seed / 9 % 9;
    compute(a, n, m, ta);
    compute(b, n, m, tb);
    for (int i = 0; i < a->tensor.len; i++) {
        if (a->tensor.at[i].role != TENSOR_OUTPUT)
            continue;
        const Tensor *const other = tb[stages_find_tensor(b, a->tensor.at[i].name)];
        if (memcmp(ta[i]->data, other->data, ta[i]->bytes) != 0)
            FAIL_MSG("%s, seed %d: '%s' differs\n%s\nand\n%s", what, (int)seed,
                     a->tensor.at[i].name, text_of(a), text_of(b));
    }
}

/* A random legal step; what it was. */
static const char *random_step(Random *r, Stages *s, int *done)
{
    const int stage = (int)below(r, (uint32_t)s->stage.len);
    switch (below(r, 4)) {
    case 0:
        *done += stages_cache_write(s, stage) >= 0;
        return "cache_write";
    case 1:
        *done += stages_cache_read(s, (int)below(r, 2), stage, "cached") >= 0;
        return "cache_read";
    default:
        *done += stages_inline(s, stage);
        return "inline";
    }
}

typedef struct Job {
    uint64_t seed;
    int done;
} Job;

static void rewrite_job(Context *ctx, void *arg)
{
    Job *const job = arg;
    Random r;
    random_stages(&r, ctx, job->seed * 2 + 1);
    Stages *const s = stages_copy(ctx, r.s);
    check_same(r.s, s, "copy", job->seed);
    const char *const text = text_of(s);
    const Stages *const again = stages_parse(ctx, "printed", text, strlen(text));
    check_same(r.s, again, "parse", job->seed);
    assert_string_equal(text_of(again), text);
    const char *what = "";
    for (int k = 0; k < 4; k++)
        what = random_step(&r, s, &job->done);
    check_same(r.s, s, what, job->seed);
}

static void test_rewrites(void **state)
{
    (void)state;
    int done = 0;
    for (int k = 0; k < GRAPHS; k++) {
        Job job = {.seed = (uint64_t)k};
        Error e;
        Arena *const a = arena_new();
        if (job_run(a, rewrite_job, &job, &e, NULL))
            FAIL_MSG("seed %d: %s", k, e.message);
        arena_free(a);
        done += job.done;
    }
    assert_true(done > GRAPHS * 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rewrites)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
