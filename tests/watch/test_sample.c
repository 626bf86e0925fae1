/* Samples as JSON: there and back, and what is refused. */
#include "check.h"

#include <float.h>

#include "feed.h"

typedef struct Line {
    const char *text, *want;
    Error error;
} Line;

static void parse(Context *ctx, void *arg)
{
    Line *const l = arg;
    Watch *const w = watch_by_hand(ctx);
    Sample s;
    if (sample_parse(ctx->arena, w, l->text, strlen(l->text), &s, &l->error) != 0)
        return;
    Str out = str_new(ctx->arena);
    sample_json(&out, w, &s);
    if (l->want && strcmp(str_text(&out), l->want) != 0)
        FAIL_MSG("%s\n  gives  %s\n  wanted %s", l->text, str_text(&out), l->want);
}

static const char *refusal(const char *text)
{
    static Line l;
    l = (Line){.text = text};
    Arena *const a = arena_new();
    Error e;
    assert_int_equal(job_run(a, parse, &l, &e, NULL), 0);
    arena_free(a);
    return l.error.message;
}

static void prints(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"v\":1,\"t_us\":7,\"signals\":{}}",
         "{\"v\":1,\"stream\":null,\"epoch\":0,\"t_us\":7,\"frame\":-1,"
         "\"clock\":\"media\",\"signals\":{}}"},
        {"{\"v\":1,\"t_us\":7,\"frame\":0,\"epoch\":3,\"clock\":\"pdt\",\"wall_us\":5,\"stream\":"
         "\"a\\\"b\","
         "\"other\":[1],\"signals\":"
         "{\"nobody\":{\"score\":1},\"skull\":{\"score\":0.1,\"found\":[{\"score\":0.5,\"box\":[1,"
         "2,3,4.5]}]},"
         "\"alive\":{\"unknown\":null}}}",
         "{\"v\":1,\"stream\":\"a\\\"b\",\"epoch\":3,\"t_us\":7,\"frame\":0,\"wall_us\":5,"
         "\"clock\":\"pdt\","
         "\"signals\":"
         "{\"alive\":{\"unknown\":null},\"skull\":{\"score\":0.1,\"found\":[{\"box\":[1,2,3,4.5],"
         "\"score\":0.5}"
         "]}}}"},
        {"{\"v\":1,\"t_us\":7,\"signals\":{\"voice\":{\"score\":\"nan\",\"second\":\"-inf\",\"x\":"
         "1e300,\"y\":-"
         "0.0,\"reused\":true,\"text\":\"\"}}}",
         "{\"v\":1,\"stream\":null,\"epoch\":0,\"t_us\":7,\"frame\":-1,\"clock\":\"media\","
         "\"signals\":"
         "{\"voice\":{\"score\":\"nan\",\"second\":\"-inf\",\"x\":1e+300,\"y\":-0.0,\"text\":\"\","
         "\"reused\":"
         "true}}}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int again = 0; again < 2; again++) { /* what is printed prints the same */
            Line l = {.text = rows[i][again], .want = rows[i][1]};
            Arena *const a = arena_new();
            Error e;
            assert_int_equal(job_run(a, parse, &l, &e, NULL), 0);
            assert_string_equal(l.error.message, "");
            arena_free(a);
        }
    }
}

static void refuses(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "no sample: column 0: '[' or '{' expected near end of file"},
        {"{\"v\":1", "no sample: column 6: '}' expected near end of file"},
        {"[]", "no sample: not a map"},
        {"{}", "no sample of version 1 (\"v\":1)"},
        {"{\"v\":2,\"t_us\":7,\"signals\":{}}", "no sample of version 1 (\"v\":1)"},
        {"{\"v\":1,\"signals\":{}}", "no sample: 't_us' is missing"},
        {"{\"v\":1,\"t_us\":1.5,\"signals\":{}}",
         "no sample: 't_us' must be a whole number, and not so large"},
        {"{\"v\":1,\"t_us\":99999999999999999,\"signals\":{}}",
         "no sample: 't_us' must be a whole number, and "
         "not so large"},
        {"{\"v\":1,\"t_us\":1,\"epoch\":-1,\"signals\":{}}",
         "no sample: 'epoch' must be a whole number, and "
         "not so large"},
        {"{\"v\":1,\"t_us\":1}", "no sample: 'signals' must be a map"},
        {"{\"v\":1,\"t_us\":1,\"clock\":\"sun\",\"signals\":{}}",
         "no sample: 'clock' must be media, rtcp, pdt "
         "or arrival"},
        {"{\"v\":1,\"t_us\":1,\"stream\":5,\"signals\":{}}", "no sample: 'stream' must be a text"},
        {"{\"v\":1,\"t_us\":1,\"signals\":{\"alive\":5}}", "no sample: 'alive' must be a map"},
        {"{\"v\":1,\"t_us\":1,\"signals\":{\"alive\":{\"score\":\"x\"}}}",
         "no sample: 'score' must be a "
         "number"},
        {"{\"v\":1,\"t_us\":1,\"signals\":{\"alive\":{\"score\":1e200}}}",
         "no sample: 'score' is too large"},
        {"{\"v\":1,\"t_us\":1,\"signals\":{\"alive\":{\"text\":1}}}",
         "no sample: 'text' must be a text"},
        {"{\"v\":1,\"t_us\":1,\"signals\":{\"alive\":{\"found\":{}}}}",
         "no sample: 'found' must be a list"},
        {"{\"v\":1,\"t_us\":1,\"signals\":{\"alive\":{\"found\":[1]}}}",
         "no sample: 'found' must be a list of "
         "maps"},
        {"{\"v\":1,\"t_us\":1,\"signals\":{\"alive\":{\"found\":[{}]}}}",
         "no sample: 'box' must be [x, y, "
         "width, height]"},
        {"{\"v\":1,\"t_us\":1,\"signals\":{\"alive\":{\"found\":[{\"box\":[1,2,3]}]}}}",
         "no sample: 'box' "
         "must be [x, y, "
         "width, height]"},
        {"{\"v\":1,\"v\":1}", "no sample: column 10: duplicate object key near '\"v\"'"},
        {"{\"v\":1,\"t_us\":1,\"signals\":{\"alive\":{\"text\":\"\xff\"}}}", NULL},
        {"{\"v\":1,\"t_us\":1,\"signals\":{\"alive\":{\"text\":\"a\\u0000b\"}}}", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const got = refusal(rows[i][0]);
        if (rows[i][1] ? strcmp(got, rows[i][1]) != 0 : strncmp(got, "no sample: ", 11) != 0)
            FAIL_MSG("%s\n  gives  %s\n  wanted %s", rows[i][0], got, rows[i][1]);
    }
}

/* Any float and double comes back bit for bit. */
static void numbers(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    uint64_t seed = 3;
    Observation at[BY_HAND_SIGNALS] = {{0}};
    const Sample s = {.stream = "s1", .t = 1, .frame = 2, .at = at};
    static const float telling[] = {0.1f,  FLT_MIN, FLT_MAX, FLT_TRUE_MIN, -0.0f,    16777216,
                                    1e15f, 1e16f,   0.3f,    INFINITY,     -INFINITY};
    for (int i = 0; i < 4000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const uint32_t bits = (uint32_t)(seed >> 32);
        const uint64_t wide = seed ^ seed << 31;
        Observation *const o = &at[VOICE];
        *o = (Observation){.state = OBSERVE_SEEN};
        memcpy(&o->score, i < 11 ? (const void *)&telling[i] : &bits, 4);
        memcpy(&o->x, &wide, 8);
        Str line = str_new(ctx->arena);
        sample_json(&line, w, &s);
        Sample back;
        Error e;
        assert_int_equal(sample_parse(ctx->arena, w, str_text(&line), line.len, &back, &e), 0);
        const Observation *const b = &back.at[VOICE];
        assert_true(isnan(o->score) ? isnan(b->score) : memcmp(&o->score, &b->score, 4) == 0);
        assert_true(isnan(o->x) ? isnan(b->x) : memcmp(&o->x, &b->x, 8) == 0);
    }
}

static void times(Context *ctx)
{
    static const struct { int64_t us; const char *want;
    } row[] = {
        {0, "0"},           {1, "0.000001"},  {-1, "-0.000001"},
        {12500000, "12.5"}, {-3000000, "-3"}, {INT64_MIN, "-9223372036854.775808"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        Str out = str_new(ctx->arena);
        json_add_seconds(&out, row[i].us);
        assert_string_equal(str_text(&out), row[i].want);
    }
    static const struct { int64_t us; const char *want;
    } wall[] = {
        {1, "\"1970-01-01T00:00:00.000001Z\""},
        {-1, "\"1969-12-31T23:59:59.999999Z\""},
        {951782400000000, "\"2000-02-29T00:00:00.000000Z\""},
        {4107542400000000, "\"2100-03-01T00:00:00.000000Z\""},
        {1767225599500000, "\"2025-12-31T23:59:59.500000Z\""},
    };
    for (size_t i = 0; i < sizeof wall / sizeof *wall; i++) {
        Str out = str_new(ctx->arena);
        json_add_wall(&out, wall[i].us);
        assert_string_equal(str_text(&out), wall[i].want);
    }
}

static void job_numbers(Context *ctx, void *arg) { (void)arg; numbers(ctx); }
static void job_times(Context *ctx, void *arg) { (void)arg; times(ctx); }

static void in_job(JobFn fn)
{
    Arena *const a = arena_new();
    Error e;
    assert_int_equal(job_run(a, fn, NULL, &e, NULL), 0);
    arena_free(a);
}

static void test_numbers(void **state) { (void)state; in_job(job_numbers); }
static void test_times(void **state) { (void)state; in_job(job_times); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints),
        cmocka_unit_test(refuses),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
