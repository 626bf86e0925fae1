/* The disk cache: found again, and only what is the same; damage, other processes, size. */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "compile/cache.h"

static const ModelOptions any; /* what the model leaves open stays open */

/* A folder with a copy of a model, and a cache. */
typedef struct Fixture {
    Arena *a;
    const char *dir, *cache, *model;
    int64_t limit;
    bool compiled; /* by the last run */
} Fixture;

static void copy(Fixture *f, const char *name)
{
    File file;
    Error e;
    assert_int_equal(file_read(f->a, path_join(f->a, TEST_DIR "/data", name), &file, &e), 0);
    assert_int_equal(file_write(path_join(f->a, f->dir, name), file.at, file.size, &e), 0);
}

static Fixture start(const char *model)
{
    Fixture f = {.a = arena_new(), .limit = CACHE_LIMIT};
    char *dir = arena_strdup(f.a, "/tmp/lathe_cache_XXXXXX");
    assert_non_null(mkdtemp(dir));
    f.dir = dir;
    f.cache = path_join(f.a, dir, "one/two");
    f.model = path_join(f.a, dir, model);
    copy(&f, model);
    return f;
}

static void end(Fixture *f)
{
    assert_int_equal(system(arena_printf(f->a, "rm -rf '%s'", f->dir)), 0);
    arena_free(f->a);
}

/* Compiles for these inputs and runs: whether it came from the cache; the first output (up to 16
 * numbers). */
static bool run(Fixture *f, ModelOptions opt, int ninput, Tensor **input, float *out)
{
    Error e;
    Model m;
    Pool *pool;
    Run *r;
    opt.ninput = ninput;
    opt.input = input;
    opt.compile.threads = 1;
    if (!opt.compile.target.name)
        opt.compile.target = target_native();
    if (cache_compile(f->model, &opt, f->cache, f->limit, &m, &e) != 0)
        FAIL_MSG("%s", e.message);
    assert_int_equal(pool_new(1, &pool, &e), 0);
    assert_int_equal(run_new(m.module, pool, 0, &r, &e), 0);
    for (int i = 0; i < ninput; i++)
        assert_int_equal(run_set_input(r, i, input[i], &e), 0);
    if (run_execute(r, &e) != 0)
        FAIL_MSG("%s", e.message);
    const Tensor *y = run_output(r, 0);
    memcpy(out, y->data, sizeof *out * (size_t)(tensor_elements(y) < 16 ? tensor_elements(y) : 16));
    assert_true(m.report->nkernels > 0);
    assert_non_null(m.report->kernel[0].source);
    run_free(r);
    pool_free(pool);
    module_unref(m.module);
    f->compiled = m.compiled;
    return m.cached;
}

static Tensor *image(int n)
{
    Error e;
    Tensor *t = tensor_new(DT_F32, 4, (const int64_t[]){n, 3, 8, 8}, &e);
    tensor_fill_random(t, 1);
    return t;
}

/* Path of the only file in the cache with this ending: one that is being written has another. */
static const char *entry(const Fixture *f, const char *ending)
{
    const char *found = NULL;
    DIR *dir = opendir(f->cache);
    for (struct dirent *d; dir && (d = readdir(dir));) {
        const size_t n = strlen(d->d_name), m = strlen(ending);
        if (n < m || strcmp(d->d_name + n - m, ending) != 0)
            continue;
        const char *path = path_join(f->a, f->cache, d->d_name);
        /* renamed meanwhile, a name may be read twice */
        assert_true(!found || strcmp(found, path) == 0);
        found = path;
    }
    if (dir)
        closedir(dir);
    return found;
}

static int entries(const Fixture *f)
{
    int n = 0;
    DIR *dir = opendir(f->cache);
    for (struct dirent *d; dir && (d = readdir(dir));)
        n += d->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

static void change_byte(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    const int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
}

static void same_again_is_found(void **state)
{
    (void)state;
    Fixture f = start("classify.onnx");
    Tensor *x = image(1), *two = image(2);
    float a[16] = {0}, b[16] = {0};
    const OnnxBindDim bind = {"N", 1};
    ModelOptions bound = {.onnx = {.nbind = 1, .bind = &bind}}, shaped = {.static_shapes = true};
    ModelOptions other = {.ninput = 0};
    Error e;
    assert_int_equal(target_find("avx2", &other.compile.target, &e), 0);
    other.compile.target.l2 /= 2;
    assert_false(run(&f, any, 1, &x, a));
    assert_true(run(&f, any, 1, &x, b));
    assert_memory_equal(a, b, sizeof a);
    assert_true(run(&f, any, 1, &two, b)); /* open sizes: any shape */
    assert_false(run(&f, bound, 1, &x, b));
    assert_false(run(&f, shaped, 1, &x, b));
    assert_false(run(&f, shaped, 1, &two, b));
    assert_false(run(&f, other, 1, &x, b));
    assert_true(run(&f, bound, 1, &x, b));
    assert_true(run(&f, shaped, 1, &two, b));
    assert_true(run(&f, shaped, 1, &x, b));
    assert_true(run(&f, other, 1, &x, b));
    assert_int_equal(entries(&f), 5);
    struct stat st;
    assert_int_equal(stat(f.cache, &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
    tensor_unref(x);
    tensor_unref(two);
    end(&f);
}

/* Who wants the module alone has that of the cache at once, and nothing of the compile. */
static void module_only_is_the_stored_one(void **state)
{
    (void)state;
    Fixture f = start("classify.onnx");
    float y[2][16] = {{0}};
    Tensor *x = image(1);
    const ModelOptions opt = {.static_shapes = true, .module_only = true};
    assert_true(run(&f, opt, 1, &x, y[0])); /* compiled, stored, and taken from there */
    assert_true(f.compiled);
    assert_int_equal(entries(&f), 1);
    assert_true(run(&f, opt, 1, &x, y[1]));
    assert_false(f.compiled);
    assert_memory_equal(y[0], y[1], sizeof y[0]);
    f.cache = path_join(f.a, f.model, "no folder");
    assert_false(run(&f, opt, 1, &x, y[1])); /* what cannot be stored stays as it was made */
    assert_memory_equal(y[0], y[1], sizeof y[0]);
    tensor_unref(x);
    end(&f);
}

static void weights_are_in_the_key(void **state)
{
    (void)state;
    Fixture f = start("classify.onnx");
    Tensor *x = image(1);
    float a[16] = {0}, b[16] = {0};
    File file;
    assert_int_equal(file_read(f.a, f.model, &file, NULL), 0);
    assert_false(run(&f, any, 1, &x, a));
    long at = (long)file.size / 2; /* in the first weight; the second byte of a number tells */
    for (; memcmp(a, b, sizeof a) == 0 || b[0] == 0; at++) {
        assert_true(at < (long)file.size / 2 + 8);
        change_byte(f.model, at);
        assert_false(run(&f, any, 1, &x, b));
    }
    /* a new file, the old bytes */
    assert_int_equal(file_write(f.model, file.at, file.size, NULL), 0);
    assert_true(run(&f, any, 1, &x, b));
    assert_memory_equal(a, b, sizeof a);
    tensor_unref(x);
    end(&f);
}

static void files_of_weights_are_in_the_key(void **state)
{
    (void)state;
    Fixture f = start("external.onnx");
    copy(&f, "external.bin");
    Error e;
    Tensor *x = tensor_new(DT_F32, 1, (const int64_t[]){4}, &e);
    float a[16] = {0}, b[16] = {0};
    assert_false(run(&f, any, 1, &x, a));
    assert_true(run(&f, any, 1, &x, b));
    const char *weights = path_join(f.a, f.dir, "external.bin");
    change_byte(weights, 18);
    assert_false(run(&f, any, 1, &x, b));
    assert_memory_not_equal(a, b, sizeof a);
    change_byte(weights, 18);
    assert_true(run(&f, any, 1, &x, b));
    assert_memory_equal(a, b, sizeof a);
    tensor_unref(x);
    end(&f);
}

static void bound_values_are_in_the_key(void **state)
{
    (void)state;
    Fixture f = start("bound.onnx");
    Error e;
    Tensor *in[2] = {tensor_new(DT_F32, 2, (const int64_t[]){2, 3}, &e),
                     tensor_new(DT_I64, 1, (const int64_t[]){1}, &e)};
    float a[16], out[16];
    for (int i = 0; i < 6; i++)
        ((float *)in[0]->data)[i] = (float)i;
    assert_false(run(&f, any, 2, in, a)); /* axis 0 */
    assert_true(run(&f, any, 2, in, out));
    assert_float_equal(out[2], 7, 0);
    *(int64_t *)in[1]->data = 1;
    assert_false(run(&f, any, 2, in, out));
    assert_float_equal(out[1], 12, 0);
    assert_true(run(&f, any, 2, in, out));
    assert_float_equal(out[1], 12, 0);
    tensor_unref(in[0]);
    tensor_unref(in[1]);
    end(&f);
}

static void damage_is_compiled_again(void **state)
{
    (void)state;
    Fixture f = start("classify.onnx");
    Tensor *x = image(1);
    float a[16] = {0}, b[16] = {0};
    assert_false(run(&f, any, 1, &x, a));
    const char *path = entry(&f, ".lathe");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    const long place[] = {9, 40, st.st_size / 2, st.st_size - 20};
    for (int i = 0; i < 6; i++) {
        if (i < 4)
            change_byte(path, place[i]);
        else
            assert_int_equal(truncate(path, i == 4 ? 0 : st.st_size - 1), 0);
        assert_false(run(&f, any, 1, &x, b));
        assert_memory_equal(a, b, sizeof a);
        assert_true(run(&f, any, 1, &x, b));
    }
    assert_int_equal(chmod(path, 0666), 0); /* others could have written it */
    assert_false(run(&f, any, 1, &x, b));
    tensor_unref(x);
    end(&f);
}

static void without_a_folder_it_compiles(void **state)
{
    (void)state;
    Fixture f = start("classify.onnx");
    Tensor *x = image(1);
    float a[16] = {0};
    f.cache = path_join(f.a, f.model, "below_a_file");
    assert_false(run(&f, any, 1, &x, a));
    f.cache = path_join(f.a, f.dir, "open_to_all");
    assert_int_equal(mkdir(f.cache, 0700), 0);
    assert_int_equal(chmod(f.cache, 0777), 0);
    assert_false(run(&f, any, 1, &x, a));
    assert_false(run(&f, any, 1, &x, a));
    assert_int_equal(entries(&f), 0);
    f.cache = NULL;
    assert_false(run(&f, any, 1, &x, a));
    tensor_unref(x);
    end(&f);
}

static void oldest_go(void **state)
{
    (void)state;
    Fixture f = start("classify.onnx");
    float a[16 * 3];
    const OnnxBindDim bind[3] = {{"N", 1}, {"N", 2}, {"N", 3}};
    ModelOptions opt[3];
    Tensor *x[3];
    for (int i = 0; i < 3; i++) {
        opt[i] = (ModelOptions){.onnx = {.nbind = 1, .bind = &bind[i]}};
        x[i] = image(i + 1);
    }
    assert_false(run(&f, opt[0], 1, &x[0], a));
    const char *first = entry(&f, ".lathe");
    struct stat st;
    assert_int_equal(stat(first, &st), 0);
    f.limit = st.st_size * 5 / 2; /* two of them */
    const char *left = arena_printf(f.a, "%s.abcdef", first),
               *foreign = path_join(f.a, f.cache, "notes.txt");
    const struct timespec old[2] = {{1000, 0}, {1000, 0}};
    assert_int_equal(file_write(left, "x", 1, NULL), 0);
    assert_int_equal(file_write(foreign, "x", 1, NULL), 0);
    assert_int_equal(utimensat(AT_FDCWD, first, old, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, left, old, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, foreign, old, 0), 0);
    assert_false(run(&f, opt[1], 1, &x[1], a));
    usleep(20000); /* the grain of file times */
    assert_true(run(&f, opt[0], 1, &x[0], a)); /* used: it is the younger one now */
    assert_false(run(&f, opt[2], 1, &x[2], a));
    assert_true(run(&f, opt[0], 1, &x[0], a));
    assert_true(run(&f, opt[2], 1, &x[2], a));
    assert_false(run(&f, opt[1], 1, &x[1], a));
    assert_false(file_exists(left));
    assert_true(file_exists(foreign));
    for (int i = 0; i < 3; i++)
        tensor_unref(x[i]);
    end(&f);
}

/* Processes that compile the same at once: each gets it right, and what stays is whole. */
static void processes_share(void **state)
{
    (void)state;
    enum { PROCESSES = 4 };
    Fixture f = start("classify.onnx");
    Tensor *x = image(1);
    float a[16] = {0}, b[16] = {0};
    const char *cache = f.cache;
    f.cache = NULL;
    assert_false(run(&f, any, 1, &x, a));
    f.cache = cache;
    pid_t child[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        child[i] = fork();
        if (child[i] != 0)
            continue;
        for (int k = 0; k < 3; k++) {
            run(&f, any, 1, &x, b);
            if (memcmp(a, b, sizeof a) != 0)
                _exit(1);
            if (i == 0) /* one keeps taking it away */
                unlink(entry(&f, ".lathe"));
        }
        _exit(0);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        assert_int_equal(status, 0);
    }
    run(&f, any, 1, &x, b);
    assert_true(run(&f, any, 1, &x, b));
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(entries(&f), 1);
    tensor_unref(x);
    end(&f);
}

static void folder_is_named(void **state)
{
    (void)state;
    Arena *a = arena_new();
    setenv("LATHE_CACHE", "/a/b", 1);
    assert_string_equal(cache_directory(a), "/a/b");
    setenv("LATHE_CACHE", "", 1);
    assert_null(cache_directory(a));
    unsetenv("LATHE_CACHE");
    setenv("XDG_CACHE_HOME", "/x", 1);
    setenv("HOME", "/h", 1);
    assert_string_equal(cache_directory(a), "/x/lathe");
    setenv("XDG_CACHE_HOME", "relative", 1);
    assert_string_equal(cache_directory(a), "/h/.cache/lathe");
    unsetenv("HOME");
    assert_null(cache_directory(a));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(processes_share), /* first: before this process has threads */
        cmocka_unit_test(same_again_is_found),
        cmocka_unit_test(module_only_is_the_stored_one),
        cmocka_unit_test(weights_are_in_the_key),
        cmocka_unit_test(files_of_weights_are_in_the_key),
        cmocka_unit_test(bound_values_are_in_the_key),
        cmocka_unit_test(damage_is_compiled_again),
        cmocka_unit_test(without_a_folder_it_compiles),
        cmocka_unit_test(oldest_go),
        cmocka_unit_test(folder_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
