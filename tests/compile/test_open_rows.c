/* Open counts of rows: one kernel has tiles of several sizes, and a run takes what suits its count.
 * Whatever the count, from none to some tiles, the result is that of plain loops, and nothing is
 * written beyond it. */
#include "run_text.h"

#include <math.h>

#define DEPTH 37
#define WIDTH 50
#define MOST_ROWS 47

static Tensor *random_tensor(int rank, const int64_t *dim, uint64_t seed)
{
    Error e;
    Tensor *t = tensor_new(DT_F32, rank, dim, &e);
    assert_non_null(t);
    tensor_fill_random(t, seed);
    return t;
}

static void set(Fixture *f, int input, Tensor *t)
{
    Error e;
    if (run_set_input(f->r, input, t, &e) != 0)
        FAIL_MSG("%s", e.message);
}

static void execute(Fixture *f)
{
    Error e;
    if (run_set_guard(f->r, &e) != 0 || run_execute(f->r, &e) != 0)
        FAIL_MSG("%s", e.message);
}

/* y = x . w + b, in batches of x; b by column. */
static void check_product(const Tensor *x, const Tensor *w, const Tensor *b, const Tensor *y,
                          int64_t rows)
{
    const float *xs = x->data, *ws = w->data, *bs = b->data, *ys = y->data;
    assert_int_equal(tensor_elements(y), rows * WIDTH);
    for (int64_t i = 0; i < rows; i++) {
        for (int n = 0; n < WIDTH; n++) {
            double sum = bs[n], size = fabs(sum);
            for (int k = 0; k < DEPTH; k++) {
                sum += (double)xs[i * DEPTH + k] * ws[k * WIDTH + n];
                size += fabs((double)xs[i * DEPTH + k] * ws[k * WIDTH + n]);
            }
            if (!(fabs(ys[i * WIDTH + n] - sum) <= 1e-6 * size))
                FAIL_MSG("%d rows: [%d, %d] is %g, not %g", (int)rows, (int)i, n,
                         (double)ys[i * WIDTH + n], sum);
        }
    }
}

/* The weights are constants here, and laid out in panels. */
static const char *product_text(Arena *a, const Tensor *w, const Tensor *b)
{
    Str s = str_new(a);
    str_add(&s, "graph \"rows\"\nsym M 0 1000\ninput x f32[1,M,37]\nconst w f32[37,50] = {");
    for (int i = 0; i < DEPTH * WIDTH; i++)
        str_addf(&s, "%s%.9g", i ? "," : "", (double)((const float *)w->data)[i]);
    str_add(&s, "}\nconst b f32[50] = {");
    for (int i = 0; i < WIDTH; i++)
        str_addf(&s, "%s%.9g", i ? "," : "", (double)((const float *)b->data)[i]);
    str_add(&s, "}\np = matmul(x, w)\ny = add(p, b)\noutput y\n");
    return str_text(&s);
}

static void every_count_of_rows(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Tensor *w = random_tensor(2, (const int64_t[]){DEPTH, WIDTH}, 1);
    Tensor *b = random_tensor(1, (const int64_t[]){WIDTH}, 2);
    Fixture f = fixture(product_text(a, w, b));
    for (int64_t rows = 0; rows <= MOST_ROWS; rows++) {
        Tensor *x = random_tensor(3, (const int64_t[]){1, rows, DEPTH}, 3 + (uint64_t)rows);
        set(&f, 0, x);
        execute(&f);
        check_product(x, w, b, run_output(f.r, 0), rows);
        tensor_unref(x);
    }
    finish(&f);
    tensor_unref(w);
    tensor_unref(b);
    arena_free(a);
}

/* Both sides are inputs, in batches; rows and columns are open. */
static void batches_of_open_products(void **state)
{
    (void)state;
    Fixture f =
        fixture("graph \"batch\"\nsym B 0 100\nsym M 0 1000\nsym N 0 1000\ninput x f32[B,M,37]\n"
                "input w f32[B,37,N]\ny = matmul(x, w)\noutput y\n");
    Tensor *zero = random_tensor(1, (const int64_t[]){WIDTH}, 1);
    memset(zero->data, 0, zero->bytes);
    for (int64_t rows = 0; rows <= MOST_ROWS; rows += rows < 20 ? 1 : 9) {
        Tensor *x = random_tensor(3, (const int64_t[]){1, rows, DEPTH}, 3 + (uint64_t)rows);
        Tensor *w = random_tensor(3, (const int64_t[]){1, DEPTH, WIDTH}, 4 + (uint64_t)rows);
        set(&f, 0, x);
        set(&f, 1, w);
        execute(&f);
        check_product(x, w, zero, run_output(f.r, 0), rows);
        tensor_unref(x);
        tensor_unref(w);
    }
    finish(&f);
    tensor_unref(zero);
}

#define MIXED                                                                                      \
    "v = transpose(x) perm=[0,2,1]\ns = matmul(x, v)\np = softmax(s) axis=-1\ny = matmul(p, "      \
    "x)\noutput y\n"

/* The rows are what is summed over, too: as a compile for the number. */
static void as_compiled_for_the_number(void **state)
{
    (void)state;
    static const int counts[] = {1, 2, 3, 5, 7, 13, 19};
    Fixture open = fixture("graph \"open\"\nsym M 0 500\ninput x f32[3,M,24]\n" MIXED);
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        Arena *a = arena_new();
        Fixture one =
            fixture(arena_printf(a, "graph \"one\"\ninput x f32[3,%d,24]\n" MIXED, counts[k]));
        Tensor *x = random_tensor(3, (const int64_t[]){3, counts[k], 24}, k);
        set(&open, 0, x);
        set(&one, 0, x);
        execute(&open);
        execute(&one);
        const Tensor *y = run_output(open.r, 0), *want = run_output(one.r, 0);
        assert_int_equal(tensor_elements(y), tensor_elements(want));
        for (int64_t i = 0; i < tensor_elements(y); i++)
            if (!(fabsf(((const float *)y->data)[i] - ((const float *)want->data)[i]) <= 1e-6f))
                FAIL_MSG("%d rows: [%d] is %g, not %g", counts[k], (int)i,
                         (double)((const float *)y->data)[i],
                         (double)((const float *)want->data)[i]);
        finish(&one);
        tensor_unref(x);
        arena_free(a);
    }
    finish(&open);
}

/* After the largest size no other takes memory: what one run needs is bounded, whatever ran
 * before. */
static void memory_is_that_of_the_largest(void **state)
{
    (void)state;
    Fixture f = fixture("graph \"open\"\nsym M 0 300\ninput x f32[3,M,24]\n" MIXED);
    uint64_t seed = 5;
    int64_t allocations = 0;
    for (int run = 0; run < 200; run++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const int64_t rows = run == 0 ? 300 : 1 + (int64_t)(seed >> 33) % 300;
        Tensor *x = random_tensor(3, (const int64_t[]){3, rows, 24}, seed);
        Error e;
        set(&f, 0, x);
        if (run_execute(f.r, &e) != 0)
            FAIL_MSG("%s", e.message);
        tensor_unref(x);
        if (run == 0)
            allocations = run_memory(f.r).allocations;
        if (run_memory(f.r).allocations != allocations)
            FAIL_MSG("run %d, of %d rows, took memory", run, (int)rows);
    }
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_count_of_rows),
        cmocka_unit_test(batches_of_open_products),
        cmocka_unit_test(as_compiled_for_the_number),
        cmocka_unit_test(memory_is_that_of_the_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
