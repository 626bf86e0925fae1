/* include/lathe.h from outside: a small picture classifier, f32[N,3,H,W] -> f32[N,10], and its
 * memory. */
#include <lathe.h> /* first: it must need nothing before it */

#include "check.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define MODEL TEST_DIR "/data/classify.onnx"
#define MAX_SIDE 16
#define MAX_BATCH 4

/* ---- an allocator that counts, and fails on request ---- */

static int allocations, live, fail_at; /* fail_at: this and all later ones fail; 0: none */

static void *count_alloc(void *arg, size_t size, size_t align)
{
    (void)arg;
    const int n = __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);
    const int limit = __atomic_load_n(&fail_at, __ATOMIC_RELAXED);
    if (limit > 0 && n >= limit)
        return NULL;
    void *p = aligned_alloc(align, (size + align - 1) / align * align);
    if (p)
        __atomic_fetch_add(&live, 1, __ATOMIC_RELAXED);
    return p;
}

static void count_free(void *arg, void *p)
{
    (void)arg;
    if (p)
        __atomic_fetch_sub(&live, 1, __ATOMIC_RELAXED);
    free(p);
}

/* ---- the model ---- */

static _Alignas(64) float pixels[MAX_BATCH * 3 * MAX_SIDE * MAX_SIDE + 16];

static lathe_tensor image(int n, int h, int w)
{
    const size_t elements = (size_t)(n * 3 * h * w);
    for (size_t i = 0; i < elements; i++) /* every picture of the batch the same */
        pixels[i] = (float)(i % (size_t)(3 * h * w) % 97) / 97.0f;
    return (lathe_tensor){LATHE_F32, 4, {n, 3, h, w}, pixels, elements * sizeof(float)};
}

static lathe_module *compile(const lathe_options *o)
{
    lathe_error e;
    lathe_module *m = lathe_compile(MODEL, o, &e);
    if (!m)
        FAIL_MSG("%s", e.message);
    return m;
}

static lathe_session *session(lathe_module *m, int threads)
{
    lathe_error e;
    lathe_session *s = lathe_session_new(m, threads, &e);
    if (!s)
        FAIL_MSG("%s", e.message);
    return s;
}

static void run_ok(lathe_session *s, const lathe_tensor *x, lathe_tensor *y)
{
    lathe_error e = {0};
    if (lathe_set_input(s, 0, x, &e) != 0 || lathe_run(s, &e) != 0 ||
        lathe_get_output(s, 0, y, &e) != 0)
        FAIL_MSG("%s", e.message);
}

/* ---- modules ---- */

static void describes_itself(void **state)
{
    (void)state;
    lathe_module *m = compile(NULL);
    lathe_port p;
    char text[64];
    assert_int_equal(lathe_input_count(m), 1);
    assert_int_equal(lathe_output_count(m), 1);
    assert_int_equal(lathe_find_input(m, "x"), 0);
    assert_int_equal(lathe_find_input(m, "scores"), -1);
    assert_int_equal(lathe_find_output(m, "scores"), 0);
    assert_int_equal(lathe_input(m, 0, &p), 0);
    assert_string_equal(p.name, "x");
    assert_int_equal(p.dtype, LATHE_F32);
    assert_int_equal(p.dim[0], -1);
    assert_string_equal(p.dim_name[0], "N");
    assert_int_equal(p.dim[1], 3);
    assert_null(p.dim_name[1]);
    assert_int_equal(lathe_port_text(&p, text, sizeof text), 12);
    assert_string_equal(text, "f32[N,3,H,W]");
    assert_int_equal(lathe_port_text(&p, text, 6), 12);
    assert_string_equal(text, "f32[N");
    assert_int_equal(lathe_port_text(&p, NULL, 0), 12);
    assert_int_equal(lathe_output(m, 0, &p), 0);
    assert_string_equal(p.dim_name[0], "N");
    assert_int_equal(p.dim[1], 10);
    assert_int_equal(lathe_input(m, 1, &p), LATHE_INVALID);
    assert_int_equal(lathe_output(m, -1, &p), LATHE_INVALID);
    lathe_module_free(m);
    assert_string_equal(lathe_version(), LATHE_VERSION);
    assert_string_equal(lathe_dtype_name(LATHE_BF16), "bf16");
    assert_null(lathe_dtype_name(8));
    assert_null(lathe_dtype_name(-1));
    assert_int_equal(lathe_dtype_size(LATHE_I64), 8);
    assert_int_equal(lathe_dtype_size(1000), 0);
}

/* The environment's limit on the CPU (test_target.c), misspelt. */
static void an_unknown_limit_is_refused(void **state)
{
    (void)state;
    const char *const outer = getenv("LATHE_MAX_ISA");
    char *const kept = outer ? strdup(outer) : NULL;
    lathe_error e;
    setenv("LATHE_MAX_ISA", "avx3", 1);
    assert_null(lathe_compile(MODEL, NULL, &e));
    unsetenv("LATHE_MAX_ISA");
    if (kept)
        setenv("LATHE_MAX_ISA", kept, 1);
    free(kept);
    assert_int_equal(e.code, LATHE_INVALID);
    assert_non_null(strstr(e.message, "LATHE_MAX_ISA: 'avx3'"));
}

/* Sizes fixed by name and by shape: described so, and other sizes refused. */
static void options_fix_sizes(void **state)
{
    (void)state;
    const lathe_bind bind = {"N", 2};
    const lathe_shape shape = {"x", 4, {-1, -1, 8, 8}};
    const lathe_options o = {
        .threads = 1, .target = "avx2", .nbind = 1, .bind = &bind, .nshape = 1, .shape = &shape};
    lathe_module *m = compile(&o);
    lathe_port p;
    lathe_error e = {0};
    char text[64];
    assert_int_equal(lathe_input(m, 0, &p), 0);
    lathe_port_text(&p, text, sizeof text);
    assert_string_equal(text, "f32[2,3,8,8]");
    lathe_session *s = session(m, 1);
    lathe_tensor y, x = image(2, 8, 8);
    run_ok(s, &x, &y);
    x.dim[0] = 1;
    assert_int_equal(lathe_set_input(s, 0, &x, &e), 0);
    assert_int_equal(lathe_run(s, &e), LATHE_INVALID);
    assert_non_null(strstr(e.message, "'x'"));
    /* the last run failed: nothing stale */
    assert_int_equal(lathe_get_output(s, 0, &y, &e), LATHE_INVALID);
    run_ok(s, &(lathe_tensor){LATHE_F32, 4, {2, 3, 8, 8}, pixels, sizeof pixels}, &y);
    lathe_session_free(s);
    lathe_module_free(m);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    lathe_error e;
    const lathe_bind negative = {"N", -1}, unknown = {"Q", 1};
    const lathe_shape rank = {"x", 9, {0}}, wrong = {"x", 4, {1, 4, 8, 8}};
    const lathe_value few = {"x", {LATHE_F32, 4, {1, 3, 8, 8}, pixels, 4}};
    const lathe_value no_data = {"x", {LATHE_F32, 4, {1, 3, 8, 8}, NULL, 768}};
    const lathe_value no_input = {NULL, {LATHE_F32, 4, {1, 3, 8, 8}, pixels, 768}};
    const lathe_bind no_name = {NULL, 1};
    const lathe_shape no_shape = {NULL, 4, {1, 3, 8, 8}};
    const lathe_options bad[] = {
        {.target = "pdp11"},
        {.threads = -1},
        {.nbind = 1, .bind = &negative},
        {.nbind = 1, .bind = &unknown},
        {.nshape = 1, .shape = &rank},
        {.nshape = 1, .shape = &wrong},
        {.nvalue = 1, .value = &few},
        {.nvalue = 1, .value = &no_data},
        {.nvalue = 1, .value = &no_input},
        {.nbind = 1, .bind = &no_name},
        {.nshape = 1, .shape = &no_shape},
        {.nbind = 1},
        {.nshape = 1},
        {.nvalue = 1},
        {.nbind = -1},
        {.nshape = -1},
        {.nvalue = -1},
        {.threads = 100000},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e = (lathe_error){0};
        assert_null(lathe_compile(MODEL, &bad[i], &e));
        assert_int_equal(e.code, LATHE_INVALID);
        assert_true(e.message[0] != 0);
    }
    assert_null(lathe_compile("/nowhere/model.onnx", NULL, &e));
    assert_int_equal(e.code, LATHE_IO);
    assert_non_null(strstr(e.message, "/nowhere/model.onnx"));
    assert_null(lathe_compile(TEST_DIR "/data/bad_op.onnx", NULL, NULL));
    assert_null(lathe_compile(TEST_DIR "/data/bad_cycle.onnx", NULL, &e));
    assert_int_equal(e.code, LATHE_INVALID);
    assert_null(lathe_load("/nowhere/model.lathe", NULL));
    assert_null(lathe_load(MODEL, &e));
    assert_int_equal(e.code, LATHE_INVALID);
    assert_null(lathe_load_memory("short", 5, NULL, NULL, &e));
    assert_int_equal(e.code, LATHE_INVALID);
}

#define REFUSED(expression, says)                                                                  \
    do {                                                                                           \
        e = (lathe_error){0};                                                                      \
        assert_true(expression);                                                                   \
        assert_int_equal(e.code, LATHE_INVALID);                                                   \
        assert_non_null(strstr(e.message, says));                                                  \
    } while (0)

/* What C lets a caller leave out is refused by every function, in words where there is room for
 * them. */
static void null_is_refused(void **state)
{
    (void)state;
    lathe_error e;
    lathe_port p;
    lathe_tensor y, x = image(1, 8, 8);
    REFUSED(!lathe_compile(NULL, NULL, &e), "no path was given");
    REFUSED(!lathe_compile_memory(NULL, 0, NULL, &e), "no data was given");
    REFUSED(!lathe_compile_memory(NULL, 8, NULL, &e), "no data was given");
    REFUSED(!lathe_compile_memory(pixels, 0, NULL, &e), "not an ONNX model");
    REFUSED(!lathe_load(NULL, &e), "no path was given");
    REFUSED(!lathe_load_memory(NULL, 8, NULL, NULL, &e), "no data was given");
    assert_null(lathe_compile(NULL, NULL, NULL));
    lathe_module *m = compile(NULL);
    lathe_session *s = session(m, 1);
    REFUSED(!lathe_session_new(NULL, 1, &e), "no module was given");
    REFUSED(!lathe_session_new(m, -1, &e), "-1 threads");
    REFUSED(!lathe_session_new(m, 100000, &e), "100000 threads");
    REFUSED(lathe_save(NULL, "x", &e) == LATHE_INVALID, "no module was given");
    REFUSED(lathe_save(m, NULL, &e) == LATHE_INVALID, "no path was given");
    REFUSED(lathe_set_input(NULL, 0, &x, &e) == LATHE_INVALID, "no session was given");
    REFUSED(lathe_set_input(s, 0, NULL, &e) == LATHE_INVALID, "no tensor was given");
    REFUSED(lathe_set_input_named(NULL, "x", &x, &e) == LATHE_INVALID, "no session was given");
    REFUSED(lathe_set_input_named(s, NULL, &x, &e) == LATHE_INVALID, "no name was given");
    REFUSED(lathe_run(NULL, &e) == LATHE_INVALID, "no session was given");
    run_ok(s, &x, &y);
    REFUSED(lathe_get_output(NULL, 0, &y, &e) == LATHE_INVALID, "no session was given");
    REFUSED(lathe_get_output(s, 0, NULL, &e) == LATHE_INVALID, "no tensor was given");
    REFUSED(lathe_get_output_named(NULL, "scores", &y, &e) == LATHE_INVALID,
            "no session was given");
    REFUSED(lathe_get_output_named(s, NULL, &y, &e) == LATHE_INVALID, "no name was given");
    assert_int_equal(lathe_find_input(m, NULL), -1);
    assert_int_equal(lathe_find_output(m, NULL), -1);
    assert_int_equal(lathe_find_input(NULL, "x"), -1);
    assert_int_equal(lathe_find_output(NULL, "x"), -1);
    assert_int_equal(lathe_input_count(NULL), 0);
    assert_int_equal(lathe_output_count(NULL), 0);
    assert_int_equal(lathe_input(NULL, 0, &p), LATHE_INVALID);
    assert_int_equal(lathe_input(m, 0, NULL), LATHE_INVALID);
    assert_int_equal(lathe_output(NULL, 0, &p), LATHE_INVALID);
    assert_int_equal(lathe_output(m, 0, NULL), LATHE_INVALID);
    assert_int_equal(lathe_port_text(NULL, NULL, 0), LATHE_INVALID);
    lathe_session_free(s);
    lathe_module_free(m);
}

static void *read_all(const char *path, size_t align, size_t *size)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    char *at = aligned_alloc(64, (*size + align + 63) / 64 * 64 + 64);
    assert_int_equal(fread(at + align, 1, *size, f), *size);
    fclose(f);
    return at;
}

static void count_call(void *arg)
{
    ++*(int *)arg;
}

/* The bytes of a model; saved and loaded from a file, from memory in place, from memory that must
 * be copied: all give the same, bit for bit. */
static void memory_and_files(void **state)
{
    (void)state;
    char path[] = "/tmp/lathe_api_XXXXXX";
    lathe_error e = {0};
    size_t onnx_size, size;
    int freed = 0;
    close(mkstemp(path));
    void *onnx = read_all(MODEL, 0, &onnx_size);
    lathe_module *m[5] = {compile(NULL), lathe_compile_memory(onnx, onnx_size, NULL, &e)};
    free(onnx);
    if (!m[1] || lathe_save(m[0], path, &e) != 0)
        FAIL_MSG("%s", e.message);
    void *aligned = read_all(path, 0, &size), *odd = read_all(path, 4, &size);
    m[2] = lathe_load(path, &e);
    m[3] = lathe_load_memory(aligned, size, count_call, &freed, &e);
    m[4] = lathe_load_memory((char *)odd + 4, size, NULL, NULL, &e);
    free(odd);
    float want[10];
    for (int i = 0; i < 5; i++) {
        assert_non_null(m[i]);
        lathe_session *s = session(m[i], 1);
        lathe_tensor y, x = image(1, 9, 11);
        run_ok(s, &x, &y);
        if (i == 0)
            memcpy(want, y.data, sizeof want);
        assert_memory_equal(y.data, want, sizeof want);
        lathe_session_free(s);
    }
    assert_int_equal(lathe_save(m[3], path, &e), 0); /* what was loaded can be saved */
    lathe_module *again = lathe_load(path, &e);
    assert_non_null(again);
    lathe_module_free(again);
    assert_int_equal(freed, 0);
    for (int i = 0; i < 5; i++)
        lathe_module_free(m[i]);
    assert_int_equal(freed, 1);
    ((char *)aligned)[size / 2] ^= 1;
    assert_null(lathe_load_memory(aligned, size, count_call, &freed, &e));
    assert_int_equal(freed, 1); /* a failure leaves them to the caller */
    free(aligned);
    unlink(path);
}

/* A folder for compiled models: what is found there gives the same. */
static void compiled_models_are_kept(void **state)
{
    (void)state;
    char dir[] = "/tmp/lathe_api_XXXXXX", command[64];
    assert_non_null(mkdtemp(dir));
    const lathe_options o = {.threads = 1, .cache = dir};
    float want[10];
    int all = 0, some = 0;
    for (int i = 0; i < 2; i++) {
        const int before = __atomic_load_n(&allocations, __ATOMIC_RELAXED);
        lathe_module *m = compile(&o);
        *(i ? &some : &all) = __atomic_load_n(&allocations, __ATOMIC_RELAXED) - before;
        lathe_session *s = session(m, 1);
        lathe_tensor y, x = image(1, 9, 11);
        run_ok(s, &x, &y);
        if (i == 0)
            memcpy(want, y.data, sizeof want);
        assert_memory_equal(y.data, want, sizeof want);
        lathe_session_free(s);
        lathe_module_free(m);
    }
    assert_true(some < all / 4); /* it did not compile */
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

/* ---- sessions ---- */

static void bad_inputs_are_refused(void **state)
{
    (void)state;
    lathe_module *m = compile(NULL);
    lathe_session *s = session(m, 1);
    lathe_error e = {0};
    lathe_tensor y, x = image(1, 8, 8);
    assert_int_equal(lathe_run(s, &e), LATHE_INVALID); /* no input */
    assert_int_equal(lathe_get_output(s, 0, &y, &e), LATHE_INVALID);
    assert_int_equal(lathe_set_input(s, 1, &x, &e), LATHE_INVALID);
    assert_int_equal(lathe_set_input_named(s, "z", &x, &e), LATHE_INVALID);
    assert_non_null(strstr(e.message, "the model has 'x'"));
    assert_int_equal(lathe_set_input_named(s, "x", &x, &e), 0);
    const size_t all = sizeof pixels;
    const lathe_tensor bad[] = {
        {LATHE_F64, 4, {1, 3, 8, 8}, pixels, all},
        {8, 4, {1, 3, 8, 8}, pixels, all},
        {LATHE_F32, 3, {3, 8, 8}, pixels, all},
        {LATHE_F32, 9, {0}, pixels, all},
        {LATHE_F32, 4, {1, 3, 8, -8}, pixels, all},
        {LATHE_F32, 4, {0, INT64_MAX, 8, 8}, pixels, all},
        {LATHE_F32, 4, {1, 3, 8, 8}, NULL, all},
        {LATHE_F32, 4, {1, 3, 8, 8}, pixels, 767},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e.code = 0;
        assert_int_equal(lathe_set_input(s, 0, &bad[i], &e), LATHE_INVALID);
        assert_int_equal(e.code, LATHE_INVALID);
    }
    /* the input that was refused left the one before in place */
    assert_int_equal(lathe_run(s, NULL), 0);
    assert_int_equal(lathe_get_output(s, 1, &y, &e), LATHE_INVALID);
    assert_int_equal(lathe_get_output_named(s, "x", &y, &e), LATHE_INVALID);
    assert_int_equal(lathe_get_output_named(s, "scores", &y, &e), 0);
    assert_int_equal(y.bytes, 40);
    lathe_session_free(s);
    lathe_module_free(m);
    lathe_session_free(NULL);
    lathe_module_free(NULL);
}

static void given_inputs_come_back(void **state)
{
    (void)state;
    lathe_module *m = compile(NULL);
    lathe_session *s = session(m, 1);
    lathe_module_free(m); /* the session keeps it */
    lathe_error e;
    int freed[3] = {0};
    lathe_tensor x = image(1, 8, 8), y;
    const lathe_tensor bad = {LATHE_I32, 4, {1, 3, 8, 8}, pixels, sizeof pixels};
    assert_int_equal(lathe_give_input(s, 0, &x, count_call, &freed[0], &e), 0);
    assert_int_equal(lathe_run(s, &e), 0);
    assert_int_equal(lathe_give_input(s, 0, &bad, count_call, &freed[1], &e), LATHE_INVALID);
    assert_int_equal(lathe_run(s, &e), 0);
    assert_int_equal(freed[0], 0);
    assert_int_equal(lathe_give_input(s, 0, &x, count_call, &freed[2], &e), 0);
    assert_int_equal(freed[0], 1);
    run_ok(s, &x, &y);
    assert_int_equal(freed[2], 1);
    assert_int_equal(lathe_give_input(s, 0, &x, count_call, &freed[2], &e), 0);
    lathe_session_free(s);
    assert_int_equal(freed[0], 1);
    assert_int_equal(freed[1], 0);
    assert_int_equal(freed[2], 2);
}

/* ---- memory ---- */

/* Shapes change, sides included: the second time round nothing is allocated, and results are the
 * same. */
static void second_pass_allocates_nothing(void **state)
{
    (void)state;
    enum { SHAPES = 7 }; /* more than a session keeps plans for */
    static const int shape[SHAPES][3] = {{1, 8, 8},  {3, 16, 16}, {2, 5, 16}, {4, 9, 3},
                                         {1, 16, 7}, {4, 16, 16}, {2, 1, 1}};
    float want[SHAPES][10 * MAX_BATCH];
    lathe_module *m = compile(NULL);
    lathe_session *s = session(m, 0);
    int warm = 0;
    for (int k = 0; k < 3 * SHAPES; k++) {
        const int *d = shape[k % SHAPES];
        lathe_tensor y, x = image(d[0], d[1], d[2]);
        if (k % 2) { /* not aligned: it is copied, into memory that is kept */
            memmove(pixels + 1, pixels, x.bytes);
            x.data = pixels + 1;
        }
        run_ok(s, &x, &y);
        if (k < SHAPES)
            memcpy(want[k], y.data, y.bytes);
        assert_memory_equal(y.data, want[k % SHAPES], y.bytes);
        for (int i = 0; i < 10 * d[0]; i++) /* equal pictures, equal scores */
            assert_float_equal(((float *)y.data)[i], ((float *)y.data)[i % 10], 1e-6);
        if (k == 2 * SHAPES - 1) /* both ways of giving each shape: an odd number of shapes */
            warm = __atomic_load_n(&allocations, __ATOMIC_RELAXED);
    }
    assert_int_equal(__atomic_load_n(&allocations, __ATOMIC_RELAXED), warm);
    lathe_session_free(s);
    lathe_module_free(m);
}

/* Fails from the n-th allocation on: a clean refusal that says so, and nothing is lost. */
static bool attempt(int n, const void *file, size_t size)
{
    const lathe_options o = {.threads = 1};
    lathe_error e = {0};
    const int before = live;
    lathe_tensor x = image(1, 8, 8), y;
    allocations = 0;
    fail_at = n;
    lathe_module *m =
        file ? lathe_load_memory(file, size, NULL, NULL, &e) : lathe_compile(MODEL, &o, &e);
    lathe_session *s = m ? lathe_session_new(m, 1, &e) : NULL;
    const bool ok = s && lathe_set_input(s, 0, &x, &e) == 0 && lathe_run(s, &e) == 0 &&
                    lathe_get_output(s, 0, &y, &e) == 0;
    fail_at = 0;
    if (!ok) {
        assert_int_equal(e.code, LATHE_MEMORY);
        assert_non_null(strstr(e.message, "memory"));
    }
    lathe_session_free(s);
    lathe_module_free(m);
    if (live != before)
        FAIL_MSG("allocation %d fails (%s): %d are lost", n, e.message, live - before);
    return ok;
}

static void failing_memory_is_an_error(void **state)
{
    (void)state;
    char path[] = "/tmp/lathe_api_XXXXXX";
    size_t size;
    close(mkstemp(path));
    lathe_module *m = compile(NULL);
    assert_int_equal(lathe_save(m, path, NULL), 0);
    lathe_module_free(m);
    void *file = read_all(path, 0, &size);
    int n = 1;
    while (!attempt(n, file, size))
        n++;
    assert_true(n > 4);
    for (n = 1; !attempt(n, NULL, 0);)
        n += 1 + n / 8;
    assert_true(n > 50);
    free(file);
    unlink(path);
}

/* ---- threads ---- */

typedef struct Caller {
    lathe_module *module;
    float *x;
    const float *want;
    int first, wrong;
} Caller;

static void *call(void *arg)
{
    Caller *c = arg;
    lathe_error e;
    lathe_session *s = lathe_session_new(c->module, 2, &e);
    c->wrong = s == NULL;
    for (int k = 0; k < 12 && !c->wrong; k++) {
        const int n = (c->first + k) % MAX_BATCH + 1;
        const lathe_tensor x = {LATHE_F32, 4, {n, 3, 8, 8}, c->x, (size_t)n * 3 * 64 * 4};
        lathe_tensor y;
        if (lathe_set_input(s, 0, &x, &e) != 0 || lathe_run(s, &e) != 0 ||
            lathe_get_output(s, 0, &y, &e) != 0)
            c->wrong = 1;
        else
            c->wrong = memcmp(y.data, c->want, 40) != 0;
        const lathe_tensor bad = {LATHE_F32, 4, {n, 3 + c->first, 8, 8}, c->x, sizeof pixels};
        char want[32];
        snprintf(want, sizeof want, "dim 1 is %d", 3 + c->first);
        if (c->first &&
            (lathe_set_input(s, 0, &bad, &e) != 0 || lathe_run(s, &e) != LATHE_INVALID ||
             !strstr(e.message, want))) /* its own message */
            c->wrong = 1;
    }
    lathe_session_free(s);
    return NULL;
}

static void threads_share_a_module(void **state)
{
    (void)state;
    lathe_module *m = compile(NULL);
    lathe_session *s = session(m, 1);
    lathe_tensor y, x = image(MAX_BATCH, 8, 8);
    run_ok(s, &x, &y);
    Caller caller[3];
    pthread_t thread[3];
    for (int i = 0; i < 3; i++) {
        caller[i] = (Caller){m, pixels, y.data, i, 0};
        assert_int_equal(pthread_create(&thread[i], NULL, call, &caller[i]), 0);
    }
    lathe_module_free(m);
    for (int i = 0; i < 3; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(caller[i].wrong, 0);
    }
    lathe_session_free(s);
}

static void nothing_is_left(void **state)
{
    (void)state;
    assert_true(allocations > 0);
    assert_int_equal(live, 0);
}

/* After everything that the tests made is gone: from here on the C library's again. */
static void allocator_is_taken_back(void **state)
{
    (void)state;
    const lathe_allocator own = {count_alloc, count_free, NULL};
    const lathe_allocator *const none[] = {NULL, &(lathe_allocator){.alloc = count_alloc},
                                           &(lathe_allocator){.free = count_free}};
    for (int i = 0; i < 3; i++) {
        lathe_set_allocator(&own);
        int before = allocations;
        lathe_module_free(compile(NULL));
        assert_true(allocations > before);
        lathe_set_allocator(none[i]);
        before = allocations;
        lathe_module_free(compile(NULL));
        assert_int_equal(allocations, before);
        assert_int_equal(live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes_itself),
        cmocka_unit_test(an_unknown_limit_is_refused),
        cmocka_unit_test(options_fix_sizes),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(null_is_refused),
        cmocka_unit_test(memory_and_files),
        cmocka_unit_test(compiled_models_are_kept),
        cmocka_unit_test(bad_inputs_are_refused),
        cmocka_unit_test(given_inputs_come_back),
        cmocka_unit_test(second_pass_allocates_nothing),
        cmocka_unit_test(threads_share_a_module),
        cmocka_unit_test(failing_memory_is_an_error),
        cmocka_unit_test(nothing_is_left),
        cmocka_unit_test(allocator_is_taken_back),
    };
    lathe_set_allocator(&(lathe_allocator){count_alloc, count_free, NULL});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
