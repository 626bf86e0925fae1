/* Events beside the truth: pairing, counting, messages. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "watch/score.h"

static char path[64];

static int read_text(ScoreList *l, const char *text, Error *e)
{
    snprintf(path, sizeof path, "/tmp/lathe_score_%d", (int)getpid());
    assert_int_equal(file_write(path, text, strlen(text), e), 0);
    const int code = score_read(l, path, e);
    unlink(path);
    return code;
}

static Score score(Arena *a, const char *truth, const char *found, double tolerance)
{
    Error e = {0};
    ScoreList t = score_list(a), f = score_list(a);
    if (read_text(&t, truth, &e) != 0 || read_text(&f, found, &e) != 0)
        FAIL_MSG("%s", e.message);
    return score_events(a, &t, &f, tolerance);
}

static void all_found(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    const char *const list = "{\"event\":\"kill\",\"t_start\":1.5}\n{\"event\":\"area\",\"key\":"
                             "\"dam\",\"t_start\":2,\"t_end\":5,\"value\":3}\n";
    const Score s = score(a, list, list, 0);
    assert_int_equal(s.nrow, 2);
    assert_int_equal(s.all.matched, 2);
    assert_true(score_precision(&s.all) == 1 && score_recall(&s.all) == 1);
    assert_int_equal(s.nmissed + s.nextra, 0);
    assert_true(s.row[1].nend == 1 && s.row[1].end_error == 0);
    arena_free(a);
}

/* The one at 1.4 is nearer to 1.5 than to 1.0, which then has none; name, key and value must be the
 * same. */
static void pairs(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Score s =
        score(a, "{\"event\":\"kill\",\"t_start\":1.0}\n{\"event\":\"kill\",\"t_start\":1.5}\n",
              "{\"event\":\"kill\",\"t_start\":1.4}\n", 0.5);
    assert_int_equal(s.all.matched, 1);
    assert_int_equal(s.nmissed, 1);
    assert_true(s.missed[0]->start == 1.0);
    assert_true(fabs(s.all.start_error - 0.1) < 1e-12);
    s = score(a, "{\"event\":\"n\",\"t_start\":1,\"value\":89}\n",
              "{\"event\":\"n\",\"t_start\":1,\"value\":88}\n", 0.5);
    assert_int_equal(s.all.matched, 0);
    assert_int_equal(s.nmissed, 1);
    assert_int_equal(s.nextra, 1);
    s = score(a, "{\"event\":\"n\",\"t_start\":1,\"key\":\"a\"}\n",
              "{\"event\":\"n\",\"t_start\":1}\n", 0.5);
    assert_int_equal(s.all.matched, 0);
    s = score(a, "{\"event\":\"n\",\"t_start\":1}\n", "{\"event\":\"n\",\"t_start\":1.51}\n", 0.5);
    assert_int_equal(s.all.matched, 0);
    /* twice the same is once too much; of names that the truth never says nothing is said */
    s = score(a, "{\"event\":\"n\",\"t_start\":1}\n",
              "{\"event\":\"n\",\"t_start\":1.1}\n{\"event\":\"n\",\"t_start\":1.2}\n{\"event\":"
              "\"m\",\"t_start\":1}\n",
              0.5);
    assert_int_equal(s.all.found, 2);
    assert_int_equal(s.nextra, 1);
    assert_true(s.extra[0]->start == 1.2);
    assert_true(score_precision(&s.all) == 0.5);
    arena_free(a);
}

/* What the truth never speaks of is not judged, but told; a truth that is empty says that nothing
 * happens. */
static void what_is_judged(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    const char *const found = "{\"event\":\"n\",\"t_start\":1,\"value\":80}\n"
                              "{\"event\":\"m\",\"t_start\":2}\n{\"event\":\"m\",\"t_start\":3}\n";
    Score s = score(a, "{\"event\":\"n\",\"t_start\":1}\n", found, 0.5);
    assert_int_equal(s.nextra, 0);
    assert_int_equal(s.nother, 1);
    assert_string_equal(s.other[0].event, "m");
    assert_int_equal(s.other[0].found, 2);
    s = score(a, "", found, 0.5);
    assert_int_equal(s.nother, 0);
    assert_int_equal(s.nrow, 2);
    assert_int_equal(s.nextra, 3);
    assert_string_equal(s.extra[0]->value, "80");
    assert_true(score_precision(&s.all) == 0);
    arena_free(a);
}

static void nothing(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    const Score s = score(a, "", "", 0.5);
    assert_true(score_precision(&s.all) == 1 && score_recall(&s.all) == 1);
    arena_free(a);
}

static void bad_files(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"event\":\"x\"}\n", "\n\n[1]\n", "{\"event\":\n",
                                      "\xff\xfe\n", "{\"t_start\":1}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Arena *const a = arena_new();
        ScoreList l = score_list(a);
        Error e = {0};
        assert_int_equal(read_text(&l, bad[i], &e), ERR_INVALID);
        assert_non_null(strstr(e.message, i == 1 ? ":3" : ":1"));
        arena_free(a);
    }
    Arena *const a = arena_new();
    ScoreList l = score_list(a);
    Error e = {0};
    assert_int_equal(score_read(&l, "/nowhere/truth.jsonl", &e), ERR_IO);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_found),
        cmocka_unit_test(pairs),
        cmocka_unit_test(what_is_judged),
        cmocka_unit_test(nothing),
        cmocka_unit_test(bad_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
