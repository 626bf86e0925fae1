/* Transposed convolutions whose kernel is their stride: each pixel makes a few, its phases. Where
 * the image does not fit L2 all phases of a tile are computed before the next one's turn, and in
 * one tile, if their sums fit the registers. */
#include "codegen/codegen.h"
#include "record/chosen_record.h"

/* 2x2, C to K channels, from H x H to T x T; pixels lie side by side with their channels. */
#define TRANSPOSED(C, K, H, T, LAYOUT)                                                             \
    "input x f32 [1, " C ", " H ", " H "] layout 0 2 3 1\nconst w f32 [" C ", " K ", 2, 2]\n"      \
    "temp acc f32 [1, " K ", " H ", 2, " H ", 2]\n"                                                \
    "output y f32 [1, " K ", " T ", " T "]" LAYOUT "\n"                                            \
    "reduce acc (n: 1, k: " K ", p: " H ", u: 2, q: " H ", v: 2; c: " C ") init 0 "                \
    "update fma(x[n, c, p, q], w[c, k, u, v], state0) combine state0 + state2_0\n"                 \
    "map y (i: 1, j: " K ", k: " T ", m: " T ") = "                                                \
    "sigmoid(acc[i, j, k/2, k%2, m/2, m%2])\n"

#define PIXELS " layout 0 2 3 1"

typedef struct Case {
    const char *target, *stages;
    const char *part; /* of the record */
    bool few;         /* columns: less than half a vector */
} Case;

static const Case cases[] = {
    {"avx512", TRANSPOSED("4", "24", "32", "64", PIXELS), "parallel i0 k0 m0 j0 ki0 mi0;", false},
    {"avx512", TRANSPOSED("4", "24", "16", "32", PIXELS), "parallel ki0 mi0 i0 k0 m0 j0;", false},
    {"avx2", TRANSPOSED("4", "24", "32", "64", PIXELS), "parallel i0 k0 m0 j0 ki0 mi0;", false},
    /* one channel: two columns are all there are */
    {"avx512", TRANSPOSED("8", "1", "64", "128", ""), "parallel n0 p0 q0 v0; unroll k0 u0 q1;",
     true},
    {"avx2", TRANSPOSED("8", "1", "64", "128", ""), "parallel n0 p0 q0 v0; unroll k0 u0 q1;",
     true},
    {"avx512", TRANSPOSED("8", "1", "16", "32", ""), "parallel k0 u0 n0 p0 q0 v0;", true},
};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct Job {
    const Case *c;
    Target target;
} Job;

/* What has only short vectors uses no long registers, not even to store several at once. */
static void check_registers(Context *ctx, const Loops *l, const Target *t)
{
    const CodegenOptions options = {.want_assembly = true};
    const CodegenResult r = codegen_compile(ctx, l, t, &options);
    const char *first = strstr(r.assembly, "_p0:"), *second = strstr(r.assembly, "_p1:"),
               *wide = strstr(r.assembly, "zmm");
    assert_non_null(first);
    assert_non_null(second);
    assert_true(first < second);
    assert_true(t->vector_bytes < 64 ? wide == NULL : wide > second);
}

static void run_job(Context *ctx, void *arg)
{
    const Job *j = arg;
    const char *source;
    check_chosen(ctx, j->c->stages, &j->target, &source);
    const Chosen chosen = choose_record(ctx, j->c->stages, &j->target);
    expect_part(&chosen, j->c->part);
    if (j->c->few) {
        const Lowered low = lower(ctx, chosen.applied, chosen.schedule, &j->target);
        check_registers(ctx, expand(ctx, low.loops, &j->target), &j->target);
    }
}

static void check_case(void **state)
{
    const Case *c = *state;
    Job j = {.c = c, .target = chosen_target(c->target)};
    j.target.l2 = 128 << 10;
    run_chosen_job(run_job, &j, c->target);
}

int main(void)
{
    return run_chosen_cases(cases, CASES, sizeof *cases, check_case);
}
