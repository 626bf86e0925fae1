/* ONNX import: options, memory and its owners. (What the graphs look like:
 * tests/golden/import_*.txt.) */
#include "check.h"

#include "base/file.h"
#include <unistd.h>

#include "base/file.h"
#include "import/onnx.h"

#define DATA TEST_DIR "/data/"

typedef struct Import {
    const char *path;
    const File *bytes; /* instead of the path */
    OnnxOptions opt;
    Graph *g;
} Import;

static void import_job(Context *ctx, void *arg)
{
    Import *const i = arg;
    i->g = i->bytes ? onnx_import_bytes(ctx, "bytes", i->bytes->at, i->bytes->size, &i->opt)
                    : onnx_import(ctx, i->path, &i->opt);
}

static int import_in(Arena *a, Import *i, Error *e)
{
    *e = (Error){0};
    return job_run(a, import_job, i, e, NULL);
}

static void refused(Import i, int want, const char *message)
{
    Error e;
    Arena *const a = arena_new();
    assert_int_equal(import_in(a, &i, &e), want);
    if (!strstr(e.message, message))
        assert_string_equal(e.message, message); /* shows both */
    arena_free(a);
}

static ValueId find_value(const Graph *g, const char *name)
{
    for (int v = 0; v < g->value.len; v++)
        if (strcmp(g->value.at[v].name, name) == 0)
            return v;
    return -1;
}

static void tensors_outlive_the_import(void **state)
{
    (void)state;
    Error e;
    Arena *const a = arena_new();
    Import i = {.path = DATA "ir3.onnx"};
    assert_int_equal(import_in(a, &i, &e), 0);
    Tensor *const w = tensor_ref(i.g->value.at[find_value(i.g, "w")].constant);
    arena_free(a);
    for (int k = 0; k < 4; k++)
        assert_true(((const float *)w->data)[k] == (float)(k + 1));
    tensor_unref(w);
}

static void external_data_is_mapped_once(void **state)
{
    (void)state;
    Error e;
    Arena *const a = arena_new();
    Import i = {.path = DATA "external.onnx"};
    assert_int_equal(import_in(a, &i, &e), 0);
    const Tensor *const w = i.g->value.at[find_value(i.g, "w")].constant;
    const Tensor *const odd = i.g->value.at[find_value(i.g, "odd")].constant;
    assert_ptr_equal(w->data, (const char *)odd->data + 16); /* offsets 16 and 0 of one mapping */
    arena_free(a);
    refused((Import){.path = DATA "bad_external_absent.onnx"}, ERR_IO, "absent.bin");
}

static void from_bytes(void **state)
{
    (void)state;
    Error e;
    File f;
    Arena *const files = arena_new();
    assert_int_equal(file_read(files, DATA "external.onnx", &f, &e), 0);
    refused((Import){.bytes = &f}, ERR_INVALID, "no directory was given");
    Arena *const a = arena_new();
    Import i = {.bytes = &f, .opt.directory = DATA};
    assert_int_equal(import_in(a, &i, &e), 0);
    arena_free(files); /* the bytes are not needed any more */
    assert_true(((const float *)i.g->value.at[find_value(i.g, "w")].constant->data)[3] == 7);
    arena_free(a);
}

static void values_are_bound(void **state)
{
    (void)state;
    Error e;
    Tensor *const n = tensor_new(DT_I64, 0, NULL, &e);
    *(int64_t *)n->data = 5;
    const OnnxBindValue value = {"n", n};
    Arena *const a = arena_new();
    Import i = {.path = DATA "control.onnx", .opt = {.nvalue = 1, .value = &value}};
    assert_int_equal(import_in(a, &i, &e), 0);
    assert_int_equal(i.g->block.at[0].input.len, 3); /* still there for the caller */
    const Block *const b = &i.g->block.at[0];
    const Node *const loop = &i.g->node.at[b->node.at[b->node.len - 1]];
    assert_int_equal(loop->op, OP_LOOP);
    assert_ptr_equal(i.g->value.at[loop->in[0]].constant, n);
    arena_free(a);
    assert_int_equal(n->refs, 1);

    const OnnxBindValue unknown = {"m", n};
    const OnnxBindValue wrong = {"x", n};
    refused((Import){.path = i.path, .opt = {.nvalue = 1, .value = &unknown}}, ERR_INVALID,
            "no input 'm'; it has 'c', 'x', 'n'");
    refused((Import){.path = i.path, .opt = {.nvalue = 1, .value = &wrong}}, ERR_INVALID,
            "input 'x': the model wants rank 1");
    const OnnxBindValue wrong_type = {"c", n};
    refused((Import){.path = i.path, .opt = {.nvalue = 1, .value = &wrong_type}}, ERR_INVALID,
            "input 'c' is bool, given is i64");
    tensor_unref(n);
}

static void files_that_are_no_models(void **state)
{
    (void)state;
    refused((Import){.path = DATA "nowhere.onnx"}, ERR_IO, "nowhere.onnx");
    refused((Import){.path = DATA}, ERR_IO, "not a regular file");
    refused((Import){.path = DATA "make_models.py"}, ERR_INVALID, "not a valid ONNX file");
    refused((Import){.path = DATA "external.bin"}, ERR_INVALID, "not a");
    refused((Import){.path = DATA "types.onnx", .opt.memory_limit = 2048}, ERR_MEMORY,
            "over the limit");
}

typedef struct MetadataOf {
    const char *path, *list, *absent;
} MetadataOf;

static void read_metadata(Context *ctx, void *arg)
{
    MetadataOf *const m = arg;
    m->list = onnx_metadata(ctx, m->path, "list");
    m->absent = onnx_metadata(ctx, m->path, "lis");
}

static void metadata_of_a_model(void **state)
{
    (void)state;
    /* metadata_props (field 14) twice: {"a": "x"}, {"list": "1\n2"} */
    static const char model[] = "\x72\x06\x0a\x01" "a\x12\x01" "x"
                                "\x72\x0b\x0a\x04" "list\x12\x03" "1\n2";
    char path[] = "/tmp/lathe_metadata_XXXXXX";
    close(mkstemp(path));
    Error e = {0};
    assert_int_equal(file_write(path, model, sizeof model - 1, &e), 0);
    Arena *const a = arena_new();
    MetadataOf m = {.path = path};
    assert_int_equal(job_run(a, read_metadata, &m, &e, NULL), 0);
    assert_string_equal(m.list, "1\n2");
    assert_null(m.absent);
    unlink(path);
    assert_int_equal(job_run(a, read_metadata, &m, &e, NULL), ERR_IO);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_outlive_the_import),
        cmocka_unit_test(external_data_is_mapped_once),
        cmocka_unit_test(from_bytes),
        cmocka_unit_test(values_are_bound),
        cmocka_unit_test(files_that_are_no_models),
        cmocka_unit_test(metadata_of_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
