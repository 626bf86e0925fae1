/* Models shared in batches: the same to the bit as alone, with workers and without; what comes too
 * late, is withdrawn, fails. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "sched/blocker.h"
#include "watch/inference.h"

#define PIXELS (3 * 48 * 160)
#define MANY 60

typedef struct Set {
    Arena *arena;
    NetHost nets;
    Workers *workers;
    Infer *infer;
    InferModel *model;
} Set;

static const char *data(Arena *a, const char *name)
{
    return arena_printf(a, "%s/data/%s.onnx", TEST_DIR, name);
}

static const InferShapes in_f32 = {.open_width = true, .width = {96}, .precision = MODEL_F32};

static Set *set_up_as(int workers, const char *model, const InferShapes *shapes)
{
    Arena *const a = arena_new();
    Set *const s = arena_new_of(a, Set);
    *s = (Set){.arena = a, .nets.threads = 1};
    Error e;
    assert_int_equal(pool_new(1, &s->nets.pool, &e), 0);
    if (workers > 0)
        assert_int_equal(workers_new(workers, &s->workers, &e), 0);
    s->infer = infer_new(s->arena, &s->nets, s->workers);
    const int code = infer_open(s->infer, data(s->arena, model), shapes, &s->model, &e);
    if (code != 0)
        FAIL_MSG("%s", e.message);
    return s;
}

static Set *set_up(int workers, const char *model) { return set_up_as(workers, model, &in_f32); }

static void tear_down(Set *s)
{
    Workers *const workers = s->workers;
    Pool *const pool = s->nets.pool;
    arena_free(s->arena);
    workers_free(workers);
    pool_free(pool);
}

typedef struct Asked {
    InferRequest q;
    _Alignas(64) float planes[PIXELS];
    float result[4096];
    int64_t n;
    atomic_int *ended;
} Asked;

/* Widths 96, 128 and 160, of which the first has a module of its own. */
static void fill(Asked *x, InferModel *m, int i)
{
    *x = (Asked){.q = {.model = m,
                       .height = 48,
                       .width = i % 3 == 2 ? 128 + i % 2 * 32 : 96,
                       .planes = x->planes}};
    uint32_t seed = 99u + (uint32_t)i;
    for (int k = 0; k < 3 * 48 * x->q.width; k++) {
        seed = seed * 1664525 + 1013904223;
        x->planes[k] = (float)(seed >> 8) * 0x1p-23f - 1;
    }
}

static void keep_result(Asked *x)
{
    if (x->q.end != INFER_DONE)
        FAIL_MSG("end %d: %s", x->q.end, x->q.error);
    const InferOutput y = infer_output(&x->q);
    x->n = y.elements;
    assert_in_range(x->n, 1, 4096);
    assert_int_equal(y.dim[0], 1);
    memcpy(x->result, y.values, (size_t)x->n * sizeof *y.values);
    tensor_unref(x->q.result);
}

static Asked *many(Set *s)
{
    Asked *const x = arena_alloc_aligned(s->arena, MANY * sizeof *x, 64);
    for (int i = 0; i < MANY; i++)
        fill(&x[i], s->model, i);
    return x;
}

/* Each in a batch of its own. */
static Asked *alone(Set *s)
{
    Asked *const x = many(s);
    for (int i = 0; i < MANY; i++) {
        InferRequest *const q = &x[i].q;
        infer_run(s->infer, 1, &q);
        keep_result(&x[i]);
    }
    return x;
}

static void same_results(const Asked *a, const Asked *b)
{
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(a[i].n, b[i].n);
        assert_memory_equal(a[i].result, b[i].result, (size_t)a[i].n * sizeof a[i].result[0]);
    }
}

/* Batches of two or more so far. */
static int64_t shared_batches(Infer *inf, int *classes)
{
    int64_t n = 0;
    InferStatus st;
    for (*classes = 0; infer_status(inf, *classes, &st); ++*classes) {
        assert_int_equal(st.counts.waiting, 0);
        for (int k = 2; k <= BATCH_MAX; k++)
            n += st.counts.size[k];
    }
    return n;
}

static void check_without_workers(const char *model, bool batches)
{
    Set *const s = set_up(0, model);
    const Asked *const expected = alone(s);
    int classes;
    assert_int_equal(shared_batches(s->infer, &classes), 0);
    Asked *const x = many(s);
    InferRequest *q[MANY];
    for (int i = 0; i < MANY; i++)
        q[i] = &x[i].q;
    for (int from = 0, n = 1; from < MANY; from += n, n = n + 2 < MANY - from ? n + 2 : MANY - from)
        infer_run(s->infer, n, &q[from]);
    for (int i = 0; i < MANY; i++)
        keep_result(&x[i]);
    same_results(x, expected);
    assert_int_equal(shared_batches(s->infer, &classes) > 0, batches);
    assert_int_equal(classes, 3);
    tear_down(s);
}

static void the_same_in_batches(void **state)
{
    (void)state;
    check_without_workers("read_lines", true);
    check_without_workers("classify", true);
}

/* One model in f32 and in bf16 is two; the second is about the first, and the same in whatever
 * batch. */
static void a_precision_is_a_model_of_its_own(void **state)
{
    (void)state;
    InferShapes in_bf16 = in_f32;
    in_bf16.precision = MODEL_BF16;
    Set *const s = set_up_as(0, "read_lines", &in_bf16), *const one = set_up(0, "read_lines");
    Error e;
    InferModel *m;
    assert_int_equal(infer_open(s->infer, data(s->arena, "read_lines"), &in_bf16, &m, &e), 0);
    assert_ptr_equal(m, s->model);
    assert_int_equal(infer_precision(m), MODEL_BF16);
    assert_int_equal(infer_open(s->infer, data(s->arena, "read_lines"), &in_f32, &m, &e), 0);
    assert_ptr_not_equal(m, s->model);
    const Asked *const x = alone(s), *const exact = alone(one);
    Asked *const y = many(s);
    InferRequest *q[MANY];
    for (int i = 0; i < MANY; i++)
        q[i] = &y[i].q;
    infer_run(s->infer, MANY, q);
    for (int i = 0; i < MANY; i++)
        keep_result(&y[i]);
    same_results(y, x);
    double off = 0, all = 0;
    for (int i = 0; i < MANY; i++)
        for (int64_t k = 0; k < x[i].n; k++) {
            const double d = (double)x[i].result[k] - (double)exact[i].result[k];
            off += d * d;
            all += (double)exact[i].result[k] * (double)exact[i].result[k];
        }
    assert_true(off <= 1e-4 * all);
    tear_down(one);
    tear_down(s);
}

/* Its results depend on the batch: it runs one by one. */
static void what_mixes_pictures_runs_one_by_one(void **state)
{
    (void)state;
    Set *const s = set_up(0, "mixed");
    Asked *const x = arena_alloc_aligned(s->arena, 5 * sizeof *x, 64);
    InferRequest *q[5];
    for (int i = 0; i < 5; i++) {
        fill(&x[i], s->model, 0);
        x[i].q.height = x[i].q.width = 16;
        q[i] = &x[i].q;
    }
    infer_run(s->infer, 5, q);
    for (int i = 0; i < 5; i++) {
        keep_result(&x[i]);
        for (int k = 0; k < 3 * 16 * 16; k++) /* less the mean of itself alone */
            assert_true(x[i].result[k] == x[i].planes[k]);
    }
    int classes;
    assert_int_equal(shared_batches(s->infer, &classes), 0);
    tear_down(s);
}

/* ---- with workers ---- */

static void count_end(InferRequest *q) { atomic_fetch_add(((Asked *)q)->ended, 1); }

typedef struct Poster {
    Asked *x;
    int first, step;
} Poster;

static void *post_some(void *arg)
{
    const Poster *const p = arg;
    for (int i = p->first; i < MANY; i += p->step) {
        p->x[i].q.r = (Request){
            .arrival = machine_now(), .deadline = machine_now() + 60000000, .source = p->first};
        infer_post(&p->x[i].q);
    }
    return NULL;
}

static void the_same_on_workers(void **state)
{
    (void)state;
    Set *const one = set_up(0, "read_lines"), *const s = set_up(3, "read_lines");
    const Asked *const expected = alone(one);
    Error e;
    /* the other widths are compiled when they are asked */
    assert_int_equal(infer_prepare(s->model, 48, 96, &e), 0);
    for (int round = 0; round < 4; round++) {
        Asked *const x = many(s);
        atomic_int ended = 0;
        pthread_t thread[3];
        Poster p[3];
        for (int i = 0; i < MANY; i++) {
            x[i].q.done = count_end;
            x[i].ended = &ended;
        }
        for (int t = 0; t < 3; t++) {
            p[t] = (Poster){x, t, 3};
            assert_int_equal(pthread_create(&thread[t], NULL, post_some, &p[t]), 0);
        }
        for (int t = 0; t < 3; t++)
            pthread_join(thread[t], NULL);
        wait_for(&ended, MANY);
        for (int i = 0; i < MANY; i++)
            keep_result(&x[i]);
        same_results(x, expected);
    }
    tear_down(s);
    tear_down(one);
}

static void late_and_withdrawn(void **state)
{
    (void)state;
    Set *const s = set_up(1, "read_lines");
    Error e;
    assert_int_equal(infer_prepare(s->model, 48, 96, &e), 0);
    Blocker b;
    blocker_start(&b, s->workers);
    Asked *const x = many(s);
    atomic_int ended = 0;
    const int64_t now = machine_now(),
                  deadline[] = {now - 1, now + 60000000, now + 60000000, INT64_MAX};
    for (int i = 0; i < 4; i++) {
        fill(&x[i], s->model, 3 * i); /* of one width */
        x[i].ended = &ended;
        x[i].q.done = count_end;
        x[i].q.r = (Request){.arrival = now, .deadline = deadline[i], .source = i};
        infer_post(&x[i].q);
    }
    infer_withdraw(&x[2].q);
    assert_int_equal(x[2].q.end, INFER_WITHDRAWN);
    infer_withdraw(&x[2].q); /* over */
    assert_int_equal(atomic_load(&ended), 1);
    atomic_store(&b.let_go, 1);
    wait_for(&ended, 4);
    assert_int_equal(x[0].q.end, INFER_LATE);
    keep_result(&x[1]);
    keep_result(&x[3]);
    InferStatus st;
    assert_true(infer_status(s->infer, 0, &st));
    assert_int_equal(st.counts.requests, 4);
    assert_int_equal(st.counts.dropped, 1);
    assert_true(st.profile.seconds[1] > 0 || st.profile.seconds[2] > 0);
    assert_false(infer_status(s->infer, 1, &st));
    tear_down(s);
}

static void failures_are_told(void **state)
{
    (void)state;
    Set *const s = set_up(2, "image"); /* fixes its input at (1,3,2,4) */
    Asked *const x = many(s);
    atomic_int ended = 0;
    for (int i = 0; i < 3; i++) {
        x[i].ended = &ended;
        x[i].q.done = count_end;
        x[i].q.r.deadline = INT64_MAX;
        x[i].q.height = i == 0 ? 48 : 2;
        x[i].q.width = i == 0 ? 96 : 4;
        x[i].q.output = i == 1 ? 7 : 0;
        infer_post(&x[i].q);
    }
    wait_for(&ended, 3);
    assert_int_equal(x[0].q.end, INFER_FAILED);
    assert_int_equal(x[1].q.end, INFER_FAILED);
    assert_non_null(strstr(x[1].q.error, "no output 7"));
    keep_result(&x[2]);
    assert_int_equal(x[2].n, 3 * 2 * 4);
    Error e;
    assert_true(infer_prepare(s->model, 48, 96, &e) != 0); /* and again */
    InferModel *other;
    assert_int_equal(infer_open(s->infer, data(s->arena, "image_bytes"), &(InferShapes){0}, &other,
                                &e),
                     ERR_UNSUPPORTED);
    assert_int_equal(infer_open(s->infer, data(s->arena, "not_there"), &(InferShapes){0}, &other,
                                &e),
                     ERR_IO);
    tear_down(s);
}

/* Who cannot wait is sent to the nearest size that can run, until his own can. */
static void the_nearest_size(void **state)
{
    (void)state;
    Set *const s = set_up(1, "classify");
    InferModel *m;
    Error e;
    assert_int_equal(infer_open(s->infer, data(s->arena, "classify"), &(InferShapes){0}, &m, &e),
                     0);
    int height = 48, width = 96;
    infer_size_now(m, &height, &width); /* nothing is there yet */
    assert_true(height == 48 && width == 96);
    assert_int_equal(infer_prepare(m, 48, 96, &e), 0);
    assert_int_equal(infer_prepare(m, 64, 128, &e), 0);
    height = 50, width = 104;
    infer_size_now(m, &height, &width);
    /* compiled meanwhile */
    assert_true((height == 48 && width == 96) || (height == 50 && width == 104));
    assert_int_equal(infer_prepare(m, 50, 104, &e), 0); /* waits for what was begun */
    height = 50, width = 104;
    infer_size_now(m, &height, &width);
    assert_true(height == 50 && width == 104);
    height = 48, width = 400;
    infer_size_now(m, &height, &width); /* none is near */
    assert_true(height == 48 && width == 400);
    tear_down(s);
}

static void keep_line(void *arg, const char *line) { snprintf(arg, 256, "%s", line); }

/* A compile that takes a second is told of, once. */
static void slow_compiles(void **state)
{
    (void)state;
    char line[256] = "";
    const NetHost nets = {.slow = keep_line, .slow_arg = line};
    NetCompile c = {
        .nets = &nets, .path = "rec.onnx", .height = 48, .width = 320, .begun = time_now() - 0.5};
    net_progress(&c, "compiling", 1, 3);
    assert_string_equal(line, "");
    c.begun -= 1;
    net_progress(&c, "compiling", 2, 3);
    assert_string_equal(line, "rec.onnx: is being compiled for 320 x 48; this is done once");
    line[0] = '\0';
    net_progress(&c, "compiling", 3, 3);
    assert_string_equal(line, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_compiles),
        cmocka_unit_test(the_nearest_size),
        cmocka_unit_test(the_same_in_batches),
        cmocka_unit_test(a_precision_is_a_model_of_its_own),
        cmocka_unit_test(what_mixes_pictures_runs_one_by_one),
        cmocka_unit_test(the_same_on_workers),
        cmocka_unit_test(late_and_withdrawn),
        cmocka_unit_test(failures_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
