/* Products by a constant that does not fit L2, or comes from a slow L3. Of few rows: its columns
 * lie in panels of one vector, and a tile reads several of them side by side. Of more: while all
 * rows meet a panel, the next one is fetched. Where the rows do not fit L2 either, blocks of them
 * that do meet all panels one after another, also those of an input, which are then a phase of
 * their own. A tile has no more rows of one set of L1 than stay there. */
#include "record/chosen_record.h"

#define ROWS(M, K, N) PRODUCT("const", M, K, N)
#define PRODUCT(ROLE, M, K, N) TYPED("f32", ROLE, M, K, N)
#define PAIRS(M, K, N) TYPED("bf16", "const", M, K, N)
#define TYPED(TYPE, ROLE, M, K, N)                                                                 \
    "input x " TYPE " [" M ", " K "]\n" ROLE " w " TYPE " [" K ", " N "]\ntemp a f32 [" M ", " N   \
    "]\noutput y f32 [" M ", " N "]\n"                                                             \
    "reduce a (m: " M ", n: " N "; k: " K                                                          \
    ") init 0 update fma(x[m, k], w[k, n], state0) combine state0 + state2_0\n"                    \
    "map y (m: " M ", n: " N ") = max(a[m, n], 0)\n"

typedef struct Case {
    const char *target, *stages;
    int panel; /* columns */
    bool ahead;
    int block;  /* tiles; 0: none */
    bool input; /* the factor is one */
    int rows;   /* of a tile; 0: as may be */
    int l3_rate; /* bytes a cycle; 0: that of the test's CPU */
} Case;

static const Case cases[] = {
    {"avx2", ROWS("1", "61", "160"), 8, false, 0, false, 0, 0},
    {"avx2", ROWS("1", "64", "168"), 8, false, 0, false, 0, 0},  /* no whole tiles */
    {"avx2", ROWS("1", "64", "163"), 32, false, 0, false, 0, 0}, /* no whole vectors */
    {"avx2", ROWS("1", "9", "1027"), 8, false, 0, false, 0, 0},  /* .. but many */
    {"avx2", ROWS("1", "20", "160"), 32, false, 0, false, 0, 0}, /* fits L2 */
    {"avx2", ROWS("5", "61", "160"), 8, false, 0, false, 0, 0},
    {"avx2", ROWS("13", "61", "168"), 24, true, 0, false, 0, 0},
    {"avx2", ROWS("66", "64", "70"), 24, true, 0, false, 0, 0},
    {"avx2", ROWS("600", "64", "70"), 24, false, 0, false, 0,
     0}, /* the first of so many tiles may wait */
    {"avx2", ROWS("64", "48", "480"), 24, true, 8, false, 0, 0},
    {"avx2", PRODUCT("input", "64", "48", "480"), 24, true, 8, true, 0, 0},
    {"avx2", ROWS("66", "48", "480"), 16, true, 0, false, 0,
     0}, /* 11 tiles, of which 7 would fit */
    {"avx512", ROWS("6", "61", "176"), 16, false, 0, false, 0, 0},  /* one tile */
    {"avx512", ROWS("12", "61", "176"), 64, false, 0, false, 0, 0}, /* two of 6 by 64 */
    {"avx512", ROWS("14", "1000", "32"), 16, false, 0, false, 14, 0},
    {"avx512", ROWS("14", "1024", "32"), 32, false, 0, false, 5,
     0}, /* rows in one set of L1, of 8 ways */
    {"avx512", ROWS("1", "61", "176"), 16, false, 0, false, 0, 0},
    {"avx512", ROWS("1", "61", "190"), 64, false, 0, false, 0, 0},
    {"amx", PAIRS("64", "64", "160"), 16, true, 0, false, 0,
     0}, /* as long as A is counted in its own bytes */
    {"amx", PAIRS("100", "32", "330"), 16, true, 0, false, 0,
     0}, /* blocks that are left over fetch nothing */
    {"amx", PAIRS("32", "64", "160"), 16, false, 0, false, 0, 0}, /* one block */
    {"avx2", ROWS("18", "30", "48"), 16, false, 0, false, 0, 0},  /* half of L2: rows first */
    {"avx2", ROWS("18", "30", "48"), 16, true, 0, false, 0,
     8}, /* .. which would wait for all of them */
    {"avx512", ROWS("16", "61", "176"), 16, false, 0, false, 16,
     8}, /* so few that a panel takes as long to come: one tile */
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
    const char *panels = j->c->input ? "w.panels" : "w";
    assert_int_equal(check_chosen(ctx, j->c->stages, &j->target, &source), 1 + j->c->input);
    assert_string_equal(source, j->target.amx ? "tiles" : "contraction");
    const Stages *s = stages_parse(ctx, "test", j->c->stages, strlen(j->c->stages));
    const Schedule *chosen = schedule_choose(ctx, s, &j->target, &source);
    const StageSchedule *w = schedule_find(chosen, panels);
    assert_non_null(w);
    assert_int_equal(layout_block(&w->layout, 1), j->c->panel);
    const char *const names[] = {"a", "a.acc", "y"};
    bool ahead = false;
    int block = 0, rows = 0;
    for (int k = 0; k < 3; k++) {
        const StageSchedule *ss = schedule_find(chosen, names[k]);
        ahead |= ss && ss->ahead && strcmp(ss->ahead, panels) == 0;
        block += ss && ss->tile[0].n == 2 ? ss->tile[0].factor[0] : 0;
        rows += ss && ss->tile[0].n > 0 ? ss->tile[0].factor[ss->tile[0].n - 1] : 0;
    }
    assert_int_equal(ahead, j->c->ahead);
    assert_int_equal(block, j->c->block);
    assert_int_equal(j->c->rows ? rows : 0, j->c->rows);
}

static void check_case(void **state)
{
    const Case *c = *state;
    Job j = {.c = c, .target = chosen_target(c->target)};
    j.target.l2 = L2;
    j.target.l3_rate = c->l3_rate ? c->l3_rate : j.target.l3_rate;
    run_chosen_job(run_job, &j, c->target);
}

int main(void)
{
    return run_chosen_cases(cases, CASES, sizeof *cases, check_case);
}
