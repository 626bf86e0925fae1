/* Weights that stay in the model's file: a graph imported from a file is that from the same bytes
 * in memory, wherever the weights lie in it, and however they are written. */
#include "check.h"

#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "import/onnx.h"
#include "import/wire_thin.h"

/* ---- a model's bytes ---- */

static void put_varint(Str *s, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        str_addc(s, (char)(v | 0x80));
    str_addc(s, (char)v);
}

static void put_number(Str *s, int field, uint64_t v)
{
    put_varint(s, (uint64_t)field << 3);
    put_varint(s, v);
}

static void put_bytes(Str *s, int field, const void *at, size_t size)
{
    put_varint(s, (uint64_t)field << 3 | 2);
    put_varint(s, size);
    str_addn(s, at, size);
}

static void put_text(Str *s, int field, const char *text)
{
    put_bytes(s, field, text, strlen(text));
}

static void put_message(Str *s, int field, const Str *m)
{
    put_bytes(s, field, m->at, m->len);
}

/* f32[n], `times` raw_data of which the last counts; the name stands before or behind them. */
static void put_weight(Arena *a, Str *graph, const char *name, int n, int times, bool name_last)
{
    Str t = str_new(a);
    float *data = arena_array_of(a, n, float);
    if (!name_last)
        put_text(&t, 8, name);
    put_number(&t, 1, (uint64_t)n);
    put_number(&t, 2, 1);
    for (int k = 0; k < times; k++) {
        for (int i = 0; i < n; i++)
            data[i] = (float)(i + k) + (float)strlen(name);
        put_bytes(&t, 9, data, sizeof *data * (size_t)n);
    }
    if (name_last)
        put_text(&t, 8, name);
    put_message(graph, 5, &t);
}

static void put_bools(Arena *a, Str *graph, const char *name, int n)
{
    Str t = str_new(a);
    uint8_t *data = arena_array_of(a, n, uint8_t);
    for (int i = 0; i < n; i++)
        data[i] = (uint8_t)(i % 3); /* 2 is true, too */
    put_number(&t, 1, (uint64_t)n);
    put_number(&t, 2, 9);
    put_bytes(&t, 9, data, (size_t)n);
    put_text(&t, 8, name);
    put_message(graph, 5, &t);
}

/* Identities of all initializers. */
static Str model_bytes(Arena *a, const char *first_name)
{
    const char *const name[] = {first_name, "short", "twice", "flags", "last"};
    Str model = str_new(a), graph = str_new(a), opset = str_new(a);
    put_weight(a, &graph, name[0], 3000, 1, false);
    for (int i = 0; i < 5; i++) {
        Str node = str_new(a), output = str_new(a);
        put_text(&node, 1, name[i]);
        put_text(&node, 2, arena_printf(a, "y%d", i));
        put_text(&node, 4, "Identity");
        put_message(&graph, 1, &node);
        put_text(&output, 1, arena_printf(a, "y%d", i));
        put_message(&graph, 12, &output);
    }
    put_weight(a, &graph, name[1], 5, 1, false);
    put_weight(a, &graph, name[2], 2000, 2, true);
    put_bools(a, &graph, name[3], 6000);
    put_weight(a, &graph, name[4], 1024, 1, true);
    put_text(&graph, 2, "g");
    put_number(&opset, 2, 17);
    put_number(&model, 1, 8);
    put_message(&model, 7, &graph);
    put_message(&model, 8, &opset);
    return model;
}

/* ---- imports ---- */

typedef struct Import {
    const char *path;
    const Str *bytes; /* instead of the path */
    const char *text;
} Import;

static void import_job(Context *ctx, void *arg)
{
    Import *i = arg;
    const Graph *g =
        i->bytes ? onnx_import_bytes(ctx, "m", (const uint8_t *)i->bytes->at, i->bytes->len, NULL)
                 : onnx_import(ctx, i->path, NULL);
    Str text = str_new(ctx->arena);
    graph_print(g, &text); /* with a hash of each constant */
    i->text = str_text(&text);
}

static void file_is_as_bytes(void **state)
{
    (void)state;
    /* weights at every address modulo 4 */
    const char *const names[] = {"a", "ab", "abc", "abcd", "abcde"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        Arena *a = arena_new();
        Error e = {0};
        const Str model = model_bytes(a, names[k]);
        char path[] = "/tmp/lathe_thin_XXXXXX";
        const int fd = mkstemp(path);
        assert_true(fd >= 0 && write(fd, model.at, model.len) == (ssize_t)model.len);
        close(fd);
        Import whole = {.bytes = &model}, thin = {.path = path};
        if (job_run(a, import_job, &whole, &e, NULL) != 0 ||
            job_run(a, import_job, &thin, &e, NULL) != 0)
            FAIL_MSG("%s", e.message);
        unlink(path);
        assert_non_null(strstr(whole.text, "f32[3000]"));
        /* behind the origin */
        const char *const text = strchr(thin.text, '\n'), *const want = strchr(whole.text, '\n');
        assert_string_equal(text, want);
        arena_free(a);
    }
}

static void what_is_left_out(void **state)
{
    (void)state;
    Arena *a = arena_new();
    const Str model = model_bytes(a, "w");
    const WireThin t = wire_thin(a, (const uint8_t *)model.at, model.len);
    assert_int_equal(t.n, 5);
    assert_true(t.range[0].size == 12000 && t.range[1].size == 0 && t.range[2].size == 8000);
    assert_true(t.range[3].size == 6000 && t.range[4].size == WIRE_LONG);
    float second;
    memcpy(&second, t.range[2].at + 4, sizeof second);
    assert_true(second == 1 + 1 + 5); /* of the last raw_data of "twice" */
    assert_true(t.size < 500);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(file_is_as_bytes),
                                       cmocka_unit_test(what_is_left_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
