/* A graph's text, compiled for this machine and run. */
#ifndef LATHE_TESTS_COMPILE_RUN_TEXT_H
#define LATHE_TESTS_COMPILE_RUN_TEXT_H

#include "check.h"

#include "compile/compile.h"

typedef struct Built {
    const char *text;
    CompileOptions opt;
    Compiled c;
    Error error;
} Built;

static void build_job(Context *ctx, void *arg)
{
    Built *b = arg;
    Graph *g = graph_parse(ctx, "nan", b->text, strlen(b->text));
    b->c = compile_graph(ctx, g, &b->opt);
}

typedef struct Fixture {
    Module *m;
    Pool *pool;
    Run *r;
} Fixture;

/* opt->threads run it, too. */
static inline Fixture fixture_with(const char *text, const CompileOptions *opt)
{
    Arena *a = arena_new(); /* the module's from module_new on */
    Fixture f;
    Built b = {.text = text, .opt = *opt};
    Error e = {0};
    if (job_run(a, build_job, &b, &b.error, NULL) != 0)
        FAIL_MSG("%s\n%s", b.error.message, text);
    assert_int_equal(module_new(a, b.c.program, &b.c.image, &f.m, &e), 0);
    assert_int_equal(pool_new(opt->threads, &f.pool, &e), 0);
    assert_int_equal(run_new(f.m, f.pool, 0, &f.r, &e), 0);
    return f;
}

static inline Fixture fixture(const char *text)
{
    return fixture_with(text, &(CompileOptions){.target = target_native(), .threads = 3});
}

static inline void finish(Fixture *f)
{
    run_free(f->r);
    pool_free(f->pool);
    module_unref(f->m);
}

static inline void run_on(Fixture *f, Tensor *x)
{
    Error e = {0};
    if (run_set_input(f->r, 0, x, &e) != 0 || run_execute(f->r, &e) != 0)
        FAIL_MSG("%s", e.message);
}

#endif
