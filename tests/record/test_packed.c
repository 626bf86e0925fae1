/* Products whose input A lies in rows side by side (plain images): where one line of the cache for
 * each point of the sum would fill L1 and many panels meet them, A is copied into blocks first, as
 * a phase of its own. And products whose B is an input: a panel that meets all rows at once is
 * copied where it is used, in no phase of its own. And products whose B is weights that are scaled
 * first: they are written in panels, from weights that lie so. And which side goes in lanes: after
 * a short sum pixels that fill them well, as storing columns one by one takes longer. */
#include "record/chosen_record.h"

#define CONV1X1(C, K)                                                                              \
    "input x f32 [1, " C ", 13]\nconst w f32 [" K ", " C "]\noutput y f32 [1, " K ", 13]\n"        \
    "reduce y (n: 1, k: " K ", q: 13; c: " C ") init 0 update fma(x[n, c, q], w[k, c], state0) "   \
    "combine state0 + state2_0\n"

/* An image of one row, a short sum and Q pixels. */
#define ROW(C, K, Q)                                                                               \
    "input x f32 [1, " C ", " Q "]\nconst w f32 [" K ", " C "]\ntemp a f32 [1, " K ", " Q "]\n"    \
    "output y f32 [1, " K ", " Q "]\n"                                                             \
    "reduce a (n: 1, k: " K ", q: " Q "; c: " C                                                    \
    ") init 0 update fma(x[n, c, q], w[k, c], state0) "                                            \
    "combine state0 + state2_0\n"                                                                  \
    "map y (n: 1, k: " K ", q: " Q ") = max(a[n, k, q], 0)\n"

#define MATMUL(M, K, N)                                                                            \
    "input a f32 [" M ", " K "]\ninput b f32 [" K ", " N "]\noutput y f32 [" M ", " N "]\n"        \
    "reduce y (m: " M ", n: " N "; k: " K                                                          \
    ") init 0 update fma(a[m, k], b[k, n], state0) combine state0 + state2_0\n"

/* .. by constants */
#define WIDE(M, K, N)                                                                              \
    "input a f32 [" M ", " K "]\nconst b f32 [" K ", " N "]\noutput y f32 [" M ", " N "]\n"        \
    "reduce y (m: " M ", n: " N "; k: " K                                                          \
    ") init 0 update fma(a[m, k], b[k, n], state0) combine state0 + state2_0\n"

#define SCALED(C, K, LAY)                                                                          \
    "input x f32 [1, " C ", 5, 7]" LAY "\ninput s f32 [1, " C ", 1, 1]" LAY "\nconst w f32 [" K    \
    ", " C ", 1, 1]\n"                                                                             \
    "temp v f32 [" K ", " C ", 1, 1]\noutput y f32 [1, " K ", 5, 7]" LAY "\n"                      \
    "map v (i: " K ", j: " C ", k: 1, m: 1) = w[i, j, 0, 0]*s[0, j, 0, 0]\n"                       \
    "reduce y (n: 1, k: " K ", p: 5, q: 7; c: " C                                                  \
    ") init 0 update fma(x[n, c, p, q], v[k, c, 0, 0], state0) "                                   \
    "combine state0 + state2_0\n"
#define BLOCKS(B) " layout 0 1 2 3 1:" B

typedef struct Case {
    const char *target, *stages;
    int phases;
    int l2; /* bytes; 0: what the target has */
    const char *placed; /* a part of the record; NULL: any */
    int l3_rate;
} Case;

static const Case cases[] = {
    {"avx2", CONV1X1("176", "64"), 2, 0, NULL, 0},
    {"avx2", CONV1X1("179", "130"), 2, 0, NULL, 0}, /* no whole blocks, no whole panels */
    {"avx2", CONV1X1("160", "64"), 1, 0, NULL, 0},  /* fits L1 */
    {"avx2", CONV1X1("176", "32"), 1, 0, NULL, 0},  /* too few panels */
    {"avx512", CONV1X1("176", "128"), 2, 0, NULL, 0},
    {"avx2", MATMUL("67", "19", "403"), 1, 16384, "scope scratch",
     0}, /* no whole panels, rows left over */
    {"avx512", MATMUL("257", "5", "1100"), 1, 32768, "scope scratch", 0},
    {"avx2", MATMUL("67", "19", "100"), 2, 16384, NULL, 0}, /* too few panels to share out */
    {"avx2", MATMUL("67", "19", "403"), 1, 98304, "scope scratch",
     0}, /* it stays in L2, but is no phase of its own */
    {"avx2", MATMUL("67", "19", "403"), 1, 1 << 20, NULL, 0}, /* B stays in L2: no copy */
    {"avx2", SCALED("24", "40", BLOCKS("8")), 2, 0, "w: layout 0 1 2 3 1:8 0:", 0},
    {"avx2", SCALED("8", "16", BLOCKS("8")), 2, 0, "w: layout 0 1 2 3 1:8 0:16", 0},
    {"avx512", SCALED("32", "112", BLOCKS("16")), 2, 0, "w: layout 0 1 2 3 1:16 0:", 0},
    {"avx2", SCALED("13", "29", ""), 2, 0,
     "w: layout 0 1 2 3 0:", 0}, /* no whole blocks, no whole panels */
    {"avx512", SCALED("5", "7", ""), 2, 0, NULL, 0},
    {"avx2", ROW("5", "19", "16"), 1, 0, "vector q1", 0},
    {"avx2", ROW("5", "19", "14"), 1, 0, "vector k1", 0},
    {"avx512", ROW("5", "19", "28"), 1, 0, "vector q1", 0}, /* a mask costs nothing */
    {"avx512", ROW("5", "19", "13"), 1, 0, "vector q1", 0},
    {"avx512", ROW("5", "19", "20"), 1, 0, "vector k1", 0}, /* .. but lanes that idle do */
    {"avx512", ROW("130", "19", "28"), 1, 0, "vector k1", 0},
    {"avx512", WIDE("40", "29", "16"), 1, 4096, "tile m 20", 0}, /* the rows do not stay in L2 */
    {"avx512", WIDE("40", "29", "16"), 1, 4096, "tile m 8", 8}, /* .. and L3 is slow: few at once */
    {"avx512", WIDE("40", "29", "16"), 1, 1 << 20, "tile m 20", 8},
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
    assert_string_equal(source, "contraction");
    if (j->c->placed) {
        const Chosen chosen = choose_record(ctx, j->c->stages, &j->target);
        expect_part(&chosen, j->c->placed);
    }
}

static void check_case(void **state)
{
    const Case *c = *state;
    Job j = {.c = c, .target = chosen_target(c->target)};
    j.target.l1 = 32768;
    j.target.l2 = j.c->l2 ? j.c->l2 : j.target.l2;
    j.target.l3_rate = c->l3_rate;
    run_chosen_job(run_job, &j, c->target);
}

int main(void)
{
    return run_chosen_cases(cases, CASES, sizeof *cases, check_case);
}
