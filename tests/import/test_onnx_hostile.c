/* Hostile model bytes: deep nesting, lies about lengths, files cut off and mutated. Every import
 * ends with a graph that verifies or with one clear error; never a crash, a hang or more memory
 * than allowed. */
#include "check.h"

#include <dirent.h>

#include "base/file.h"
#include "base/str.h"
#include "import/onnx.h"
#include "import/wire.h"
#include "import/wire_thin.h"

enum { MEMORY_LIMIT = 64 << 20 };

typedef struct Bytes {
    const uint8_t *at;
    size_t size;
} Bytes;

static void import_job(Context *ctx, void *arg)
{
    const Bytes *const b = arg;
    const OnnxOptions opt = {.memory_limit = MEMORY_LIMIT};
    const Graph *const g = onnx_import_bytes(ctx, "bytes", b->at, b->size, &opt);
    Str why = str_new(ctx->arena);
    if (!graph_verify(g, false, &why))
        fail(ctx, ERR_INTERNAL, "%s", str_text(&why));
}

/* The error code; the message must be there with it. The bytes are copied so that ASan sees reads
 * past their end. */
static int try_import(const uint8_t *at, size_t size, Error *e)
{
    uint8_t *const copy = malloc(size > 0 ? size : 1);
    memcpy(copy, at, size);
    Arena *const a = arena_new();
    arena_set_limit(a, MEMORY_LIMIT);
    Bytes b = {copy, size};
    *e = (Error){0};
    const int code = job_run(a, import_job, &b, e, NULL);
    if (wire_check(WIRE_MODEL, copy, size, 1 << 20, NULL) == 0) /* as files are read */
        assert_true(wire_thin(a, copy, size).size <= size + 32);
    arena_free(a);
    free(copy);
    if (code != 0)
        assert_true(e->message[0] != '\0');
    if (code == ERR_INTERNAL || code == ERR_IO)
        assert_string_equal(e->message, "");
    return code;
}

/* Messages nested `depth` deep: a model, its graph, a node, an attribute, a graph... Built from the
 * inside. */
static Bytes nested(Arena *a, int depth)
{
    static const uint8_t keys[] = {
        0x0a, 0x2a, 0x32}; /* node of a graph, attribute of a node, graph of an attribute */
    const size_t most = (size_t)depth * 6;
    uint8_t *const at = arena_alloc(a, most);
    size_t start = most;
    for (int k = depth - 1; k >= 0; k--) {
        uint8_t head[6] = {k == 0 ? 0x3a : keys[(k - 1) % 3]};
        size_t n = 1;
        for (size_t length = most - start;; length >>= 7) {
            head[n++] = (uint8_t)((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
            if (length <= 0x7f)
                break;
        }
        start -= n;
        memcpy(at + start, head, n);
    }
    return (Bytes){at + start, most - start};
}

static void deep_nesting(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Error e;
    const Bytes deep = nested(a, 20000);
    assert_int_equal(try_import(deep.at, deep.size, &e), ERR_INVALID);
    assert_non_null(strstr(e.message, "nested more than 200 deep"));
    const Bytes most = nested(a, WIRE_MAX_DEPTH - 1);
    assert_int_equal(wire_check(WIRE_MODEL, most.at, most.size, 1000, &e), 0);
    assert_int_equal(try_import(most.at, most.size, &e), ERR_INVALID); /* no IR version */
    const Bytes over = nested(a, WIRE_MAX_DEPTH);
    assert_int_equal(wire_check(WIRE_MODEL, over.at, over.size, 1000, &e), ERR_INVALID);
    arena_free(a);
}

static void check_wire(const char *bytes, size_t size, int code, const char *message)
{
    Error e = {0};
    assert_int_equal(wire_check(WIRE_MODEL, (const uint8_t *)bytes, size, 8, &e), code);
    if (message && !strstr(e.message, message))
        assert_string_equal(e.message, message);
}

static void wire(void **state)
{
    (void)state;
#define CHECK(bytes, code, message) check_wire(bytes, sizeof bytes - 1, code, message)
    CHECK("", 0, NULL);
    CHECK("\x08\x0a\x3a\x00", 0, NULL);
    CHECK("\x3a\x05\x0a", ERR_INVALID, "longer than what holds it");
    CHECK("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ERR_INVALID, "longer than what holds it");
    CHECK("\x3a\x02\x0a\x01", ERR_INVALID,
          "longer than what holds it"); /* inside the parent, not the file */
    CHECK("\x3a\x00\x3a\x00", ERR_INVALID, "may stand once stands twice");
    CHECK("\x08", ERR_INVALID, "a number does not end");
    CHECK("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ERR_INVALID, "a number does not end");
    CHECK("\x0d\x01\x02", ERR_INVALID, "ends inside a number");
    CHECK("\x09\x01\x02\x03\x04", ERR_INVALID, "ends inside a number");
    CHECK("\x0b", ERR_INVALID, "an unknown kind of field");
    CHECK("\x00\x01", ERR_INVALID, "no field number");
    CHECK("\x08\x01\x08\x01\x08\x01\x08\x01\x08\x01\x08\x01\x08\x01\x08\x01", 0, NULL);
    CHECK("\x08\x01\x08\x01\x08\x01\x08\x01\x08\x01\x08\x01\x08\x01\x08\x01\x08\x01", ERR_MEMORY,
          "more than 8 fields");
#undef CHECK
}

/* ---- files cut off and mutated ---- */

typedef VEC(Bytes) Models;

static void load_models(Arena *a, Models *models)
{
    DIR *const dir = opendir(TEST_DIR "/data");
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        if (!str_ends(d->d_name, ".onnx"))
            continue;
        File f;
        Error e;
        assert_int_equal(file_read(a, path_join(a, TEST_DIR "/data", d->d_name), &f, &e), 0);
        const Bytes b = {f.at, f.size};
        vec_push(a, models, b);
    }
    closedir(dir);
    assert_true(models->len > 20);
}

static void cut_off(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Models models = {0};
    load_models(a, &models);
    Error e;
    int refused = 0;
    for (int m = 0; m < models.len; m++)
        for (size_t n = m % 5; n < models.at[m].size; n += models.at[m].size > 400 ? 5 : 1)
            refused += try_import(models.at[m].at, n, &e) != 0;
    assert_true(refused > 1000);
    arena_free(a);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* A byte or a bit changed, most often; else one to four changes, also of runs: removed, copied.
 * Returns the new size. */
static size_t mutate(uint8_t *at, size_t size, size_t room, uint64_t *seed)
{
    const bool light =
        next_random(seed) % 4 != 0; /* lengths mostly stay true: more than the first check is met */
    for (uint64_t k = light ? 1 : next_random(seed) % 4 + 1; k > 0 && size > 0; k--) {
        const size_t pos = next_random(seed) % size;
        const size_t run = next_random(seed) % (size - pos) % 64 + 1;
        switch (next_random(seed) % (light ? 2 : 5)) {
        case 0:
            at[pos] = (uint8_t)next_random(seed);
            break;
        case 1:
            at[pos] ^= (uint8_t)(1u << next_random(seed) % 8);
            break;
        case 2:
            memmove(at + pos, at + pos + run, size - pos - run);
            size -= run;
            break;
        case 3: /* insert a copy */
            if (size + run <= room) {
                memmove(at + pos + run, at + pos, size - pos);
                size += run;
            }
            break;
        default: /* overwrite with another place */
            memmove(at + next_random(seed) % (size - run + 1), at + pos, run);
        }
    }
    return size;
}

static void mutated(void **state)
{
    (void)state;
    enum { MUTATIONS = 10000 };
    Arena *const a = arena_new();
    Models models = {0};
    load_models(a, &models);
    uint64_t seed = 20260101;
    int imported = 0, refused = 0, framing = 0;
    for (int k = 0; k < MUTATIONS; k++) {
        const Bytes b = models.at[k % models.len];
        const size_t room = b.size + 1024;
        uint8_t *const copy = malloc(room);
        memcpy(copy, b.at, b.size);
        Error e;
        const int code = try_import(copy, mutate(copy, b.size, room, &seed), &e);
        imported += code == 0;
        refused += code != 0;
        framing += strstr(e.message, "not a valid ONNX file") != NULL;
        free(copy);
    }
    /* The mutations reach past the look at the bytes. */
    assert_in_range(imported, MUTATIONS / 20, MUTATIONS);
    assert_in_range(refused - framing, MUTATIONS / 4, MUTATIONS);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deep_nesting),
        cmocka_unit_test(wire),
        cmocka_unit_test(cut_off),
        cmocka_unit_test(mutated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
