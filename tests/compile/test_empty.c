/* Open sizes that are 0 when a model runs. The rows are megabytes wide, and an empty input lies on
 * a page that nobody may touch: what loads "element 0" of an empty axis must find memory that is
 * there. */
#include "run_text.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { WIDE = 1000000, PAGE = 1 << 16 };

#define HEAD "graph \"empty\"\nsym A 0 100\nsym B 0 100000000\ninput x f32[A,B]\ninput o f32[1,B]\n"

static void *forbidden_page(void)
{
    void *page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    return page;
}

static Tensor *filled(int rank, const int64_t *dim, float value)
{
    Error e;
    Tensor *t = tensor_new(DT_F32, rank, dim, &e);
    assert_non_null(t);
    for (int64_t i = 0; i < tensor_elements(t); i++)
        ((float *)t->data)[i] = value;
    return t;
}

/* x is [0, WIDE], o is [1, WIDE] of 2s. */
static void run_empty(Fixture *f)
{
    Error e = {0};
    void *page = forbidden_page();
    Tensor *x = tensor_wrap(DT_F32, 2, (const int64_t[]){0, WIDE}, page, 0, NULL, NULL);
    Tensor *o = filled(2, (const int64_t[]){1, WIDE}, 2);
    if (run_set_input(f->r, 0, x, &e) || run_set_input(f->r, 1, o, &e) || run_execute(f->r, &e))
        FAIL_MSG("%s", e.message);
    munmap(page, PAGE);
    tensor_unref(x);
    tensor_unref(o);
}

static const struct {
    const char *text;
    int64_t elements;
    float value; /* of each */
} cases[] = {
    {HEAD "y = concat(x, o) axis=0\noutput y\n", WIDE, 2},
    {HEAD "q = concat(x, o) axis=0\ny = neg(q)\noutput y\n", WIDE, -2},
    {HEAD "const a i64[1] = {0}\nq = concat(o, x) axis=0\ny = reduce_sum(q, a)\noutput y\n", WIDE,
     2},
    {HEAD "t = transpose(x) perm=[1,0]\nu = transpose(o) perm=[1,0]\ny = concat(t, u) "
          "axis=1\noutput y\n",
     WIDE, 2},
    {HEAD "const p i64[4] = {1,0,0,0}\ny = pad(x, p)\noutput y\n", WIDE, 0},
    {HEAD "h = neg(x)\nq = concat(h, o) axis=0\ny = neg(q)\noutput y\n", WIDE, -2},
    /* An empty part at the end of what it is a part of. */
    {HEAD "h = neg(o)\nconst s i64[1] = {1}\nconst e i64[1] = {9}\nconst a i64[1] = {0}\nv = "
          "slice(h, s, e, a)\n"
          "q = concat(v, o) axis=0\ny = neg(q)\noutput y\n",
     WIDE, -2},
    /* Nothing is read where nothing is wanted. */
    {HEAD "const i i64[0] = {}\ng = gather(x, i) axis=0\ny = concat(g, o) axis=0\noutput y\n", WIDE,
     2},
    {HEAD "const p i64[4] = {0,1,0,0}\nq = pad(x, p) mode=\"edge\"\nr = pad(o, p)\nc = concat(q, "
          "r) axis=0\n"
          "const s i64[1] = {1}\nconst e i64[1] = {2000000}\ny = slice(c, s, e, s)\noutput y\n",
     WIDE, 2},
    {HEAD
     "const s i64[2] = {10,-1}\nh = reshape(x, s)\nz = reshape(o, s)\nq = concat(h, z) axis=1\n"
     "y = neg(q)\noutput y\n",
     WIDE, -2},
    {HEAD
     "const s i64[3] = {0,2,-1}\nh = reshape(x, s)\nz = reshape(o, s)\ny = concat(h, z) axis=0\n"
     "output y\n",
     WIDE, 2},
};

static void empty_axes(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        Fixture f = fixture(cases[k].text);
        run_empty(&f);
        const Tensor *y = run_output(f.r, 0);
        assert_int_equal(tensor_elements(y), cases[k].elements);
        for (int64_t i = 0; i < cases[k].elements; i++)
            if (((const float *)y->data)[i] != cases[k].value)
                FAIL_MSG("%s\n[%d] is %g", cases[k].text, (int)i,
                         (double)((const float *)y->data)[i]);
        finish(&f);
    }
}

/* There is nothing to take what is wanted from. */
static void reads_from_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {
        HEAD "const i i64[1] = {0}\ny = gather(x, i) axis=0\noutput y\n",
        HEAD "i = cast(o) to=7\ny = gather_elements(x, i) axis=0\noutput y\n",
        HEAD "const i i64[2,2] = {0,0,0,1}\ny = gather_nd(x, i)\noutput y\n",
        HEAD "const p i64[4] = {1,0,1,0}\ny = pad(x, p) mode=\"edge\"\noutput y\n",
        HEAD "const p i64[4] = {1,0,0,0}\ny = pad(x, p) mode=\"wrap\"\noutput y\n",
        HEAD "const p i64[4] = {0,0,1,0}\ny = pad(x, p) mode=\"reflect\"\noutput y\n",
    };
    for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
        Fixture f = fixture(texts[k]);
        Error e = {0};
        Tensor *x = filled(2, (const int64_t[]){0, 7}, 0),
               *o = filled(2, (const int64_t[]){1, 7}, 0);
        assert_int_equal(run_set_input(f.r, 0, x, &e), 0);
        assert_int_equal(run_set_input(f.r, 1, o, &e), 0);
        if (run_execute(f.r, &e) != ERR_INVALID ||
            !strstr(e.message, "reads from an axis of size 0"))
            FAIL_MSG("%s: '%s'", texts[k], e.message);
        tensor_unref(x);
        tensor_unref(o);
        finish(&f);
    }
}

/* After no step the states are the initial ones. */
static void no_steps(void **state)
{
    (void)state;
    static const struct {
        const char *op, *more;
        int gates;
    } cells[] = {{"rnn", "", 1}, {"gru", "", 3}, {"lstm", ", c0", 4}};
    for (int k = 0; k < 3; k++) {
        const int rows = cells[k].gates * 64;
        char text[1024];
        snprintf(text, sizeof text,
                 "graph \"cell\"\nsym T 0 100\nsym B 0 100000\ninput x f32[T,B,2]\ninput h0 "
                 "f32[1,B,64]\n%s"
                 "input w f32[1,%d,2]\ninput r f32[1,%d,64]\n"
                 "y, h%s = %s(x, w, r, _, _, h0%s) \"y\" hidden_size=64\noutput h%s\n",
                 k == 2 ? "input c0 f32[1,B,64]\n" : "", rows, rows, k == 2 ? ", c" : "",
                 cells[k].op, cells[k].more, k == 2 ? ", c" : "");
        Fixture f = fixture(text);
        void *page = forbidden_page();
        Error e = {0};
        Tensor *in[5];
        int n = 0;
        in[n++] = tensor_wrap(DT_F32, 3, (const int64_t[]){0, 3000, 2}, page, 0, NULL, NULL);
        in[n++] = filled(3, (const int64_t[]){1, 3000, 64}, 7);
        if (k == 2)
            in[n++] = filled(3, (const int64_t[]){1, 3000, 64}, 8);
        in[n++] = filled(3, (const int64_t[]){1, rows, 2}, 1);
        in[n++] = filled(3, (const int64_t[]){1, rows, 64}, 1);
        for (int i = 0; i < n; i++)
            assert_int_equal(run_set_input(f.r, i, in[i], &e), 0);
        if (run_execute(f.r, &e) != 0)
            FAIL_MSG("%s", e.message);
        for (int out = 0; out < (k == 2 ? 2 : 1); out++)
            for (int i = 0; i < 3000 * 64; i++)
                assert_true(((const float *)run_output(f.r, out)->data)[i] == (float)(7 + out));
        for (int i = 0; i < n; i++)
            tensor_unref(in[i]);
        munmap(page, PAGE);
        finish(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(empty_axes),
                                       cmocka_unit_test(reads_from_nothing),
                                       cmocka_unit_test(no_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
