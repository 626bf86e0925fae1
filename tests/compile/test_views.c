/* Concats, splits, slices and borders that cost nothing, beside the reference executor. */
#include "against_reference.h"

static int count_kernels(const Fixture *f)
{
    const Program *p = module_program(f->m);
    int n = 0;
    for (int i = 0; i < p->nstep; i++)
        n += p->step[i].code == PSTEP_KERNEL;
    return n;
}

/* Concats, splits, slices and reshapes of rows cost nothing; a matmul reads a part and writes
 * one. */
static void views_of_rows(void **state)
{
    (void)state;
    Fixture f = fixture(
        "graph \"rows\"\nsym M 0 100\ninput x f32[M,6]\nconst w f32[8,5] = {"
        "1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4}\n"
        "const b i64[1] = {1}\nconst e i64[1] = {9}\n"
        "const k i64[1] = {1}\nconst v f32[8,8] = 0.125\n"
        "a = relu(x)\nc = exp(x)\nd = concat(a, c, x) axis=1\n" /* two in place, one copied: 3 */
        "g = abs(d)\nh = tanh(d)\nj, l = split(g) axis=1 num_outputs=2\n" /* 2 */
        "q = mul(j, l)\n"                                                 /* 1 */
        "s = slice(h, b, e, k)\nt = matmul(s, w)\n"                       /* 1 */
        "u = matmul(s, v)\nn = concat(t, u) axis=1\no = neg(n)\n" /* u is a part of t's product, n
                                                                     is that product: 1 */
        "output q, o, j\n");                                      /* j is copied out: 1 */
    check2(&f, 5, 6);
    check2(&f, 1, 6);
    check2(&f, 33, 6);
    assert_int_equal(count_kernels(&f), 8);
    finish(&f);
}

/* The same for images whose channels lie in blocks, and a reshape. */
static void views_of_images(void **state)
{
    (void)state;
    const char *text = "graph \"images\"\ninput x f32[2,3,9,9]\nconst w f32[16,3,3,3] = "
                       "0.125\nconst v f32[32,3,3,3] = 0.25\n"
                       "const u f32[16,48,1,1] = 0.0625\nconst t f32[16,16,1,1] = 0.5\n"
                       "a = conv(x, w)\nb = conv(x, v)\nc = concat(a, b) axis=1\nd = conv(c, u)\n"
                       "e, f, g = split(c) axis=1 num_outputs=3\nh = conv(f, t)\ni = max_pool(g) "
                       "kernel_shape=[3,3] pads=[1,1,1,1]\n"
                       "j = concat(h, i) axis=1\nk = relu(j)\nl = add(e, d)\noutput k, l\n";
    Fixture f = fixture(text);
    Tensor *x = tensor_of(DT_F32, 4, (const int64_t[]){2, 3, 9, 9}, 5);
    compare(f.r, f.m, text, &x);
    assert_int_equal(count_kernels(&f), 5); /* a with b, h, d with the add; a pool, a relu */
    tensor_unref(x);
    finish(&f);
}

/* Dense blocks: what is computed joins all that was before; parts are read before the whole is
 * complete. */
static void views_of_dense_blocks(void **state)
{
    (void)state;
    const char *text =
        "graph \"dense\"\ninput x f32[2,3,14,14]\nconst w f32[16,3,3,3] = 0.125\nconst v1 "
        "f32[8,16,1,1] = 0.25\n"
        "const v2 f32[8,24,3,3] = 0.0625\nconst v3 f32[8,32,1,1] = 0.125\n"
        "a = conv(x, w)\nar = relu(a)\nb = conv(ar, v1)\nc = concat(a, b) axis=1\ncr = sin(c)\n"
        "d = conv(cr, v2) pads=[1,1,1,1]\ne = concat(a, b, d) axis=1\nf = cos(e)\ng = conv(f, v3)\n"
        "h = concat(a, b, d, g) axis=1\ni = relu(h)\nj = exp(c)\noutput i, j\n";
    Fixture f = fixture(text);
    Tensor *x = tensor_of(DT_F32, 4, (const int64_t[]){2, 3, 14, 14}, 7);
    compare(f.r, f.m, text, &x);
    assert_int_equal(count_kernels(&f), 9); /* no concat */
    tensor_unref(x);
    finish(&f);
}

typedef struct RandomViews {
    uint64_t state;
    Str text;
    int nvalues, channels[32]; /* of values v0.. */
} RandomViews;

static int draw_below(RandomViews *r, int n)
{
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return (int)((r->state >> 33) % (uint64_t)n);
}

/* Appends a node: a concat of up to four values, both halves of one, or something computed. */
static void random_node(RandomViews *r)
{
    static const char *ops[] = {"relu", "neg", "sin", "abs"};
    const int kind = draw_below(r, 5), v = draw_below(r, r->nvalues), c = r->channels[v];
    if (kind < 3) {
        const int base = r->nvalues < 6 ? 0 : draw_below(r, r->nvalues - 5),
                  parts = 2 + draw_below(r, 3);
        int sum = 0;
        str_addf(&r->text, "v%d = concat(", r->nvalues);
        for (int k = 0; k < parts; k++) { /* mostly in order, as in a dense block */
            const int in = draw_below(r, 6) ? (base + k) % r->nvalues : draw_below(r, r->nvalues);
            str_addf(&r->text, "%sv%d", k ? ", " : "", in);
            sum += r->channels[in];
        }
        str_add(&r->text, ") axis=1\n");
        r->channels[r->nvalues++] = sum;
    } else if (kind == 3 && c % 2 == 0) {
        str_addf(&r->text, "v%d, v%d = split(v%d) axis=1 num_outputs=2\n", r->nvalues,
                 r->nvalues + 1, v);
        r->channels[r->nvalues++] = c / 2;
        r->channels[r->nvalues++] = c / 2;
    } else {
        str_addf(&r->text, "v%d = %s(v%d)\n", r->nvalues, ops[draw_below(r, 4)], v);
        r->channels[r->nvalues++] = c;
    }
}

/* Concats and splits of concats and splits, in any order: the same values. */
static void random_views(void **state)
{
    (void)state;
    int views = 0;
    for (int seed = 1; seed <= 12; seed++) {
        RandomViews r = {.state = (uint64_t)seed * 977, .nvalues = 3, .channels = {2, 4, 2}};
        Arena *arena = arena_new();
        r.text = str_new(arena);
        str_add(
            &r.text,
            "graph \"random\"\ninput x f32[2,8,3]\nconst s i64[3] = {2,4,2}\n"
            "y = exp(x)\na, b, c = split(y, s) axis=1\nv0 = relu(a)\nv1 = neg(b)\nv2 = sin(c)\n");
        while (r.nvalues < 14) {
            random_node(&r);
        }
        str_addf(&r.text, "o = neg(v%d)\np = abs(v%d)\noutput o, p, v%d\n", r.nvalues - 1,
                 r.nvalues - 2, r.nvalues - 3);
        Fixture f = fixture(str_text(&r.text));
        Tensor *x = tensor_of(DT_F32, 3, (const int64_t[]){2, 8, 3}, seed);
        compare(f.r, f.m, str_text(&r.text), &x);
        for (int v = 0; v < f.b.c.graph->value.len; v++) {
            views += f.b.c.graph->value.at[v].within >= 0;
        }
        tensor_unref(x);
        finish(&f);
        arena_free(arena);
    }
    assert_true(views > 40);
}

/* Borders that are part of the array, read by several convolutions, with other readers and writers
 * around; the same values when memory was used before. */
static void borders_in_place(void **state)
{
    (void)state;
    const char *text =
        "graph \"borders\"\ninput x f32[2,8,33,31]\nconst one f32[16,8,1,1] = 0.5\nconst b f32[16] "
        "= 1\n"
        "const dw f32[16,1,3,3] = 0.25\nconst w f32[8,16,3,3] = 0.125\nconst v f32[16,1,5,5] = "
        "0.0625\n"
        "a = conv(x, one, b)\nr = sin(a)\nc = conv(r, dw) group=16 pads=[1,1,1,1]\n"
        "d = conv(r, w) pads=[1,1,1,1] strides=[2,2]\ne = conv(r, w) pads=[0,2,1,0]\n"
        "f = conv(r, v) group=16 auto_pad=\"SAME_UPPER\" strides=[2,2]\ng = conv(r, w)\n"
        "h = concat(r, c) axis=1\ni = cos(h)\nj = conv(c, dw) group=16 pads=[1,1,1,1]\noutput d, "
        "e, f, g, i, j\n";
    Fixture f = fixture(text);
    for (int seed = 1; seed < 4; seed++) {
        Tensor *x = tensor_of(DT_F32, 4, (const int64_t[]){2, 8, 33, 31}, seed);
        compare(f.r, f.m, text, &x);
        tensor_unref(x);
    }
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(borders_in_place),
        cmocka_unit_test(views_of_rows),
        cmocka_unit_test(views_of_images),
        cmocka_unit_test(views_of_dense_blocks),
        cmocka_unit_test(random_views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
