/* Copies whose pieces lie in another order: the loops run through memory as it is read, and
 * compute, by the interpreter, what the oracle computes. */
#include "codegen/codegen.h"
#include "record/chosen_record.h"

typedef struct Case {
    const char *target, *stages, *order; /* the axes of y, outermost first */
} Case;

static const Case cases[] = {
    /* heads: rows are read whole */
    {"avx2",
     "input x f32 [9, 3, 16]\noutput y f32 [3, 9, 16]\nmap y (h: 3, i: 9, j: 16) = x[i, h, j]\n",
     "ihjj"},
    {"avx512",
     "input x f32 [5, 3, 2, 17]\noutput y f32 [2, 3, 5, 17]\nmap y (g: 2, h: 3, i: 5, j: 17) = "
     "x[i, h, g, j]\n",
     "ihgjj"},
    /* as it lies already: one axis; a repetition, which reads nothing new, is innermost */
    {"avx2",
     "input x f32 [4, 3, 16]\noutput y f32 [4, 3, 16]\nmap y (h: 4, i: 3, j: 16) = x[h, i, j]\n",
     "hh"},
    {"avx2", "input x f32 [3, 16]\noutput y f32 [4, 3, 16]\nmap y (n: 4, i: 3, j: 16) = x[i, j]\n",
     "ini"},
    /* rows put together, whose pieces end between two vectors: no lane is loaded on its own */
    {"avx2",
     "input a f32 [3, 192]\ninput b f32 [3, 96]\ninput c f32 [3, 20]\noutput y f32 [3, 308]\nmap y "
     "(i: 3, j: 308) = "
     "select(j < 192, a[i, min(j, 191)], select(j < 288, b[i, max(min(j - 192, 95), 0)], c[i, "
     "max(j - 288, 0)]))\n",
     "ijj"},
    {"avx512",
     "input a f32 [3, 192]\ninput b f32 [3, 96]\ninput c f32 [3, 20]\noutput y f32 [3, 308]\nmap y "
     "(i: 3, j: 308) = "
     "select(j < 192, a[i, min(j, 191)], select(j < 288, b[i, max(min(j - 192, 95), 0)], c[i, "
     "max(j - 288, 0)]))\n",
     "ijj"},
    /* no copy */
    {"avx2",
     "input x f32 [9, 3, 16]\noutput y f32 [3, 9, 16]\nmap y (h: 3, i: 9, j: 16) = x[i, h, j] + "
     "1\n",
     "hijj"},
};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct Job {
    const Case *c;
    Target target;
} Job;

static void run_job(Context *ctx, void *arg)
{
    const Job *j = arg;
    const Case *c = j->c;
    const char *source;
    check_chosen(ctx, c->stages, &j->target, &source);
    const Chosen chosen = choose_record(ctx, c->stages, &j->target);
    const Stages *s = chosen.stages;
    const Schedule *sc = chosen.schedule;
    const StageSchedule *ss = schedule_find(sc, "y");
    const Stage *st = &s->stage.at[s->stage.len - 1];
    char order[MAX_LOOPS + 1] = "";
    for (int k = 0; k < ss->norder; k++)
        order[k] = st->axis[ss->order[k].axis].name[0];
    assert_string_equal(order, c->order);
    Str text = str_new(ctx->arena);
    const Loops *l = expand(ctx, lower(ctx, chosen.applied, sc, &j->target).loops, &j->target);
    loops_print(l, &text);
    assert_null(strstr(str_text(&text), "gather("));
    /* whole vectors are what a branch expects, their ends are not */
    assert_int_equal(strstr(str_text(&text), "usual(") != NULL, strstr(c->stages, "min(") != NULL);
    const CodegenOptions options = {.want_ir = true};
    const CodegenResult r = codegen_compile(ctx, l, &j->target, &options);
    assert_non_null(r.ir);
    assert_null(strstr(r.ir, "branch_weights"));
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
