/* Products by a constant that does not fit L2. Of few rows: its columns lie in panels of one vector, and a tile reads several
 * of them side by side. Of more: while all rows meet a panel, the next one is fetched. */
#include "record/chosen_record.h"

#define ROWS(M, K, N)                                                                                                  \
    "input x f32 [" M ", " K "]\nconst w f32 [" K ", " N "]\ntemp a f32 [" M ", " N "]\noutput y f32 [" M ", " N "]\n"   \
    "reduce a (m: " M ", n: " N "; k: " K ") init 0 update fma(x[m, k], w[k, n], state0) combine state0 + state2_0\n"   \
    "map y (m: " M ", n: " N ") = max(a[m, n], 0)\n"

typedef struct Case {
    const char *target, *stages;
    int panel; /* columns */
    bool ahead;
} Case;

static const Case cases[] = {
    {"avx2", ROWS("1", "61", "160"), 8, false},
    {"avx2", ROWS("1", "64", "168"), 8, false},  /* no whole tiles */
    {"avx2", ROWS("1", "64", "163"), 32, false}, /* no whole vectors */
    {"avx2", ROWS("1", "9", "1027"), 8, false},  /* .. but many */
    {"avx2", ROWS("1", "20", "160"), 32, false}, /* fits L2 */
    {"avx2", ROWS("5", "61", "160"), 8, false},
    {"avx2", ROWS("13", "61", "168"), 24, true},
    {"avx2", ROWS("66", "64", "70"), 24, true},
    {"avx2", ROWS("600", "64", "70"), 24, false}, /* the first of so many tiles may wait */
    {"avx512", ROWS("12", "61", "176"), 16, false}, /* one tile */
    {"avx512", ROWS("1", "61", "176"), 16, false},
    {"avx512", ROWS("1", "61", "190"), 64, false},
};
enum { CASES = sizeof cases / sizeof *cases, L2 = 16384 };

typedef struct Job {
    const Case *c;
    Target target;
} Job;

static void run_job(Context *ctx, void *arg)
{
    const Job *j = arg;
    const char *source;
    assert_int_equal(check_chosen(ctx, j->c->stages, &j->target, &source), 1);
    assert_string_equal(source, "contraction");
    const Stages *s = stages_parse(ctx, "test", j->c->stages, strlen(j->c->stages));
    const Schedule *chosen = schedule_choose(ctx, s, &j->target, &source);
    const StageSchedule *w = schedule_find(chosen, "w");
    assert_non_null(w);
    assert_int_equal(layout_block(&w->layout, 1), j->c->panel);
    const char *const names[] = {"a", "a.acc", "y"};
    bool ahead = false;
    for (int k = 0; k < 3; k++) {
        const StageSchedule *ss = schedule_find(chosen, names[k]);
        ahead |= ss && ss->ahead && strcmp(ss->ahead, "w") == 0;
    }
    assert_int_equal(ahead, j->c->ahead);
}

static void check_case(void **state)
{
    const Case *c = *state;
    Job j = {.c = c, .target = chosen_target(c->target)};
    j.target.l2 = L2;
    run_chosen_job(run_job, &j, c->target);
}

int main(void)
{
    return run_chosen_cases(cases, CASES, sizeof *cases, check_case);
}
