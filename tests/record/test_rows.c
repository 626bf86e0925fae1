/* The templates for rows, and for products of products in blocks of rows: each is what is taken
 * where rows are many and of known length, all stages are one phase, its record is legal and says
 * all, and the loops that it makes compute, by the interpreter, what the oracle computes. */
#include "record/chosen_record.h"

#define SOFTMAX(M, N)                                                                              \
    "input x f32 [" M ", " N "]\ntemp max f32 [" M "]\ntemp weight f32 [" M ", " N                 \
    "]\ntemp sum f32 [" M "]\n"                                                                    \
    "output y f32 [" M ", " N "]\n"                                                                \
    "reduce max (i: " M "; r: " N                                                                  \
    ") init -inf update max(x[i, r], state0) combine max(state0, state2_0)\n"                      \
    "map weight (i: " M ", j: " N ") = exp(x[i, j] - max[i])\n"                                    \
    "reduce sum (i: " M "; r: " N                                                                  \
    ") init 0 update state0 + weight[i, r] combine state0 + state2_0\n"                            \
    "map y (i: " M ", j: " N ") = weight[i, j] / sum[i]\n"

/* A sum of so much is taken in parts by all threads, which are added up. */
#define TOTAL(M, N)                                                                                \
    "input x f32 [" M ", " N "]\ntemp sum f32 [1]\noutput y f32 [1]\n"                             \
    "reduce sum (i: 1; r: " M ", s: " N                                                            \
    ") init 0 update fma(x[r, s], x[r, s], state0) combine state0 + state2_0\n"                    \
    "map y (i: 1) = sqrt(sum[i])\n"

/* Of H heads, S queries, T keys of size 6, values of size 11. */
#define ATTENTION(H, S, T) HEADS("f32", "6", H, S, T)
/* .. of size D. */
#define HEADS(TYPE, D, H, S, T)                                                                    \
    "input q " TYPE " [" H ", " S ", " D "]\ninput k " TYPE " [" H ", " T ", " D                   \
    "]\ninput v f32 [" H ", " T ", 11]\n"                                                          \
    "temp keys " TYPE " [" H ", " D ", " T "]\ntemp scores f32 [" H ", " S ", " T                  \
    "]\ntemp max f32 [" H ", " S "]\n"                                                             \
    "temp weight f32 [" H ", " S ", " T "]\ntemp sum f32 [" H ", " S "]\ntemp sums f32 [" H ", " S \
    ", 11]\n"                                                                                      \
    "output y f32 [" H ", " S ", 11]\n"                                                            \
    "map keys (h: " H ", d: " D ", t: " T ") = k[h, t, d]\n"                                       \
    "reduce scores (h: " H ", i: " S ", t: " T "; d: " D                                           \
    ") init 0 update fma(q[h, i, d], keys[h, d, t], state0) "                                      \
    "combine state0 + state2_0\n"                                                                  \
    "reduce max (h: " H ", i: " S "; r: " T ") init -inf update max(scores[h, i, r], state0) "     \
    "combine max(state0, state2_0)\n"                                                              \
    "map weight (h: " H ", i: " S ", t: " T ") = exp(scores[h, i, t] - max[h, i])\n"               \
    "reduce sum (h: " H ", i: " S "; r: " T                                                        \
    ") init 0 update state0 + weight[h, i, r] combine state0 + state2_0\n"                         \
    "reduce sums (h: " H ", i: " S ", j: 11; r: " T                                                \
    ") init 0 update fma(weight[h, i, r], v[h, r, j], state0) "                                    \
    "combine state0 + state2_0\n"                                                                  \
    "map y (h: " H ", i: " S ", j: 11) = sums[h, i, j] / sum[h, i]\n"

typedef struct Case {
    const char *target, *stages, *source;
    int phases;
    int64_t cache; /* bytes of each level beyond the first; 0: the target's */
} Case;

static const Case cases[] = {
    {"avx2", SOFTMAX("9", "64"), "rows", 1, 0},
    {"avx2", SOFTMAX("8", "197"), "rows", 1, 0},
    {"avx2", SOFTMAX("9", "91"), "rows", 1,
     0}, /* vectors that are no whole chains, and elements, are left */
    {"avx2", SOFTMAX("11", "3"), "rows", 1, 0},
    {"avx2", SOFTMAX("12", "17"), "rows", 1, 0},
    {"avx512", SOFTMAX("9", "256"), "rows", 1, 0},
    {"avx512", SOFTMAX("8", "131"), "rows", 1, 0},
    {"avx512", SOFTMAX("9", "49"), "rows", 1, 0},  /* short: one vector at a time */
    {"avx2", SOFTMAX("2", "64"), "default", 4, 0}, /* too few rows */
    {"avx2", TOTAL("256", "256"), "window", 2, 0},
    {"avx2", TOTAL("251", "263"), "window", 2, 0},
    {"avx512", TOTAL("70", "1000"), "window", 2, 0},
    {"avx2", TOTAL("255", "256"), "default", 2, 0},          /* not so much: one part */
    {"avx2", ATTENTION("2", "24", "32"), "blocks", 2, 2048}, /* the keys, then all else */
    {"avx2", ATTENTION("3", "29", "19"), "blocks", 2, 2048},
    {"avx512", ATTENTION("2", "37", "50"), "blocks", 2, 4096},
    {"amx", HEADS("bf16", "32", "2", "48", "40"), "blocks", 2,
     4096}, /* scores on tiles: the keys in groups */
    {"amx", HEADS("bf16", "16", "3", "37", "50"), "blocks", 2, 4096},
    {"amx", HEADS("bf16", "32", "2", "15", "40"), "contraction", 6, 0}, /* too few rows for that */
    {"avx2", ATTENTION("2", "24", "32"), "contraction", 6, 0}, /* all of it stays in caches */
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
    const int phases = check_chosen(ctx, j->c->stages, &j->target, &source);
    assert_string_equal(source, j->c->source);
    assert_int_equal(phases, j->c->phases);
}

static void check_case(void **state)
{
    const Case *c = *state;
    Job j = {.c = c, .target = chosen_target(c->target)};
    if (j.c->cache)
        j.target.l2 = j.target.l3 = j.c->cache;
    run_chosen_job(run_job, &j, c->target);
}

int main(void)
{
    return run_chosen_cases(cases, CASES, sizeof *cases, check_case);
}
