/* The template for windows (depthwise convolutions, means): how many neighbours, or blocks of
 * channels, run side by side and how a row ends; where there are many channels, the image with its
 * border is no phase of its own. */
#include "record/chosen_record.h"

/* 3x3 with a border, C channels in blocks of 8, H x H (LAST = H - 1, ABOVE = H + 1, PADDED = H +
 * 2), then V. */
#define DEPTHWISE(C, H, LAST, ABOVE, PADDED, V)                                                    \
    "input x f32 [1, " C ", " H ", " H "] layout 0 1 2 3 1:8\nconst w f32 [" C ", 1, 3, 3]\n"      \
    "temp pad f32 [1, " C ", " PADDED ", " PADDED "]\ntemp acc f32 [1, " C ", " H ", " H "]\n"     \
    "output y f32 [1, " C ", " H ", " H "] layout 0 1 2 3 1:8\n"                                   \
    "map pad (i: 1, j: " C ", k: " PADDED ", m: " PADDED ") = select(k < " ABOVE                   \
    " & 0 < k & m < " ABOVE " & 0 < m, "                                                           \
    "x[i, j, max(min(k - 1, " LAST "), 0), max(min(m - 1, " LAST "), 0)], 0)\n"                    \
    "reduce acc (n: 1, k: " C ", p: " H ", q: " H "; r: 3, s: 3) init 0 "                          \
    "update fma(pad[n, k, p + r, q + s], w[k, 0, r, s], state0) combine state0 + state2_0\n"       \
    "map y (i: 1, j: " C ", k: " H ", m: " H ") = " V "\n"
/* 3x3 of stride 2 with a border, C channels, plain, H x W to P x Q. */
#define STRIDED(C, H, W, LAST, ABOVE, PADDED, LAST_W, ABOVE_W, PADDED_W, P, Q)                     \
    "input x f32 [1, " C ", " H ", " W "]\nconst w f32 [" C ", 1, 3, 3]\n"                         \
    "temp pad f32 [1, " C ", " PADDED ", " PADDED_W "]\ntemp acc f32 [1, " C ", " P ", " Q "]\n"   \
    "output y f32 [1, " C ", " P ", " Q "]\n"                                                      \
    "map pad (i: 1, j: " C ", k: " PADDED ", m: " PADDED_W ") = select(k < " ABOVE                 \
    " & 0 < k & m < " ABOVE_W " & 0 < m, x[i, j, max(min(k - 1, " LAST                             \
    "), 0), max(min(m - 1, " LAST_W "), 0)], 0)\n"                                                 \
    "reduce acc (n: 1, k: " C ", p: " P ", q: " Q "; r: 3, s: 3) init 0 "                          \
    "update fma(pad[n, k, p*2 + r, q*2 + s], w[k, 0, r, s], state0) combine state0 + state2_0\n"   \
    "map y (i: 1, j: " C ", k: " P ", m: " Q ") = max(0, acc[i, j, k, m])\n"
/* 3x3 with a border, 4 channels, plain, 7 x 7. */
#define SMALL                                                                                      \
    "input x f32 [1, 4, 7, 7]\nconst w f32 [4, 1, 3, 3]\ntemp pad f32 [1, 4, 9, 9]\ntemp acc f32 " \
    "[1, 4, 7, 7]\n"                                                                               \
    "output y f32 [1, 4, 7, 7]\n"                                                                  \
    "map pad (i: 1, j: 4, k: 9, m: 9) = select(k < 8 & 0 < k & m < 8 & 0 < m, "                    \
    "x[i, j, max(min(k - 1, 6), 0), max(min(m - 1, 6), 0)], 0)\n"                                  \
    "reduce acc (n: 1, k: 4, p: 7, q: 7; r: 3, s: 3) init 0 "                                      \
    "update fma(pad[n, k, p + r, q + s], w[k, 0, r, s], state0) combine state0 + state2_0\n"       \
    "map y (i: 1, j: 4, k: 7, m: 7) = max(0, acc[i, j, k, m])\n"
/* Sums over images of C channels. */
#define SUMS(C)                                                                                    \
    "input x f32 [1, " C ", 3, 11] layout 0 1 2 3 1:8\noutput y f32 [1, " C                        \
    ", 1, 1] layout 0 1 2 3 1:8\n"                                                                 \
    "reduce y (i: 1, j: " C                                                                        \
    ", k: 1, m: 1; r: 3, s: 11) init 0 update x[i, j, r, s] + state0 combine state0 + state2_0\n"
#define RELU "max(0, acc[i, j, k, m])"
#define SIGMOID "sigmoid(acc[i, j, k, m])"

typedef struct Case {
    const char *target, *stages;
    int phases, axis, neighbours;
    TailMode tail;
} Case;

static const Case cases[] = {
    {"avx2", DEPTHWISE("64", "7", "6", "8", "9", RELU), 1, 3, 7, TAIL_SHIFT},
    {"avx2", DEPTHWISE("64", "9", "8", "10", "11", RELU), 1, 3, 5,
     TAIL_SHIFT}, /* one column twice */
    {"avx2", DEPTHWISE("64", "21", "20", "22", "23", RELU), 1, 3, 7, TAIL_SHIFT},
    {"avx2", DEPTHWISE("16", "7", "6", "8", "9", RELU), 2, 3, 7,
     TAIL_SHIFT}, /* too few channels to share out */
    {"avx2", DEPTHWISE("64", "7", "6", "8", "9", SIGMOID), 1, 3, 7,
     TAIL_SHIFT}, /* its sums are kept in L1 */
    {"avx2", DEPTHWISE("16", "9", "8", "10", "11", SIGMOID), 2, 3, 5, TAIL_SHIFT},
    {"avx512", DEPTHWISE("64", "9", "8", "10", "11", SIGMOID), 1, 3, 5, TAIL_SHIFT},
    {"avx2", STRIDED("32", "14", "14", "13", "15", "16", "13", "15", "16", "7", "7"), 1, 2, 7,
     TAIL_SHIFT},
    {"avx2", STRIDED("9", "12", "38", "11", "13", "14", "37", "39", "40", "6", "19"), 1, 2, 6,
     TAIL_SHIFT},
    {"avx2", STRIDED("9", "13", "37", "12", "14", "15", "36", "38", "39", "7", "19"), 1, 2, 7,
     TAIL_SHIFT}, /* odd rows */
    {"avx512", STRIDED("8", "12", "38", "11", "13", "14", "37", "39", "40", "6", "19"), 1, 2, 6,
     TAIL_SHIFT},
    {"avx2", SMALL, 2, 2, 7, TAIL_SHIFT},
    {"avx512", SMALL, 1, 2, 7, TAIL_SHIFT}, /* read as it lies, under masks */
    {"avx2", SUMS("64"), 1, 1, 4, TAIL_PEEL},
    {"avx2", SUMS("56"), 1, 1, 4, TAIL_PEEL}, /* a tile of three blocks is left */
    {"avx2", SUMS("16"), 1, 1, 2, TAIL_PEEL},
    {"avx2", SUMS("8"), 1, 1, 8, TAIL_PEEL}, /* a block alone: its lanes */
};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct Job {
    const Case *c;
    Target target;
} Job;

static void run_job(Context *ctx, void *arg)
{
    const Job *j = arg;
    const char *source;
    assert_int_equal(check_chosen(ctx, j->c->stages, &j->target, &source), j->c->phases);
    assert_string_equal(source, "window");
    const Stages *s = stages_parse(ctx, "test", j->c->stages, strlen(j->c->stages));
    const AxisTile row =
        schedule_find(schedule_choose(ctx, s, &j->target, &source), "y")->tile[j->c->axis];
    assert_int_equal(row.factor[0], j->c->neighbours);
    assert_int_equal(row.tail, j->c->tail);
}

static void check_case(void **state)
{
    const Case *c = *state;
    Job j = {.c = c, .target = chosen_target(c->target)};
    run_chosen_job(run_job, &j, c->target);
}

int main(void)
{
    return run_chosen_cases(cases, CASES, sizeof *cases, check_case);
}
