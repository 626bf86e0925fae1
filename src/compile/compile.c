/* The pipeline. */
#include "compile/compile.h"

#include "base/file.h"
#include "compile/work.h"
#include "op/op.h"
#include "pass/pass.h"

static Work *work_new(Context *ctx, Graph *g, const CompileOptions *opt)
{
    Work *w = arena_new_of(ctx->arena, Work);
    *w = (Work){.ctx = ctx, .g = g, .opt = opt, .report = arena_new_of(ctx->arena, CompileReport)};
    w->jobs = strmap_new(ctx->arena);
    return w;
}

/* Values that inference found in an earlier round, from shapes that are better known now. */
static void forget_elements(Graph *g)
{
    for (int i = 0; i < g->value.len; i++) {
        Value *v = &g->value.at[i];
        if (v->producer < 0)
            continue;
        v->elems = NULL;
        v->nelems = 0;
    }
}

/* Nodes whose results have all become constants go; passes want one definition a value. */
static void drop_known_nodes(Graph *g)
{
    for (int b = 0; b < g->block.len; b++) {
        Block *block = &g->block.at[b];
        int kept = 0;
        for (int i = 0; i < block->node.len; i++) {
            Node *n = &g->node.at[block->node.at[i]];
            bool known = n->nout > 0;
            for (int k = 0; k < n->nout; k++) {
                if (n->out[k] >= 0 && g->value.at[n->out[k]].constant)
                    n->out[k] = -1;
                known &= n->out[k] < 0;
            }
            if (!known)
                block->node.at[kept++] = block->node.at[i];
        }
        block->node.len = kept;
    }
}

/* Appends what live units of block 0 hand on to the graph's outputs. After liveness and pruning:
 * the kernels are the same as without. */
static void keep_values(Work *w)
{
    Graph *g = w->g;
    Block *b = &g->block.at[0];
    bool *kept = arena_array_of(w->ctx->arena, g->value.len + 1, bool);
    for (int i = 0; i < b->output.len; i++)
        kept[b->output.at[i]] = true;
    for (int i = 0; i < b->node.len; i++) {
        const Unit *u = &w->unit.at[w->unit_of[b->node.at[i]]];
        for (int k = 0; k < u->nout && u->live; k++) {
            const ValueId home = graph_home(g, u->out[k]);
            if (!u->out_used[k] || kept[home] || g->value.at[home].producer < 0)
                continue;
            kept[home] = true;
            vec_push(w->ctx->arena, &b->output, home);
        }
    }
}

Work *work_define(Context *ctx, Graph *g, const CompileOptions *opt)
{
    Work *w = work_new(ctx, g, opt);
    fold_elements(w);
    units_make(w);
    limits_check(w);
    units_define(w);
    limits_check_work(w);
    if (opt->keep_values)
        keep_values(w);
    return w;
}

Compiled work_compile(Work *w)
{
    jobs_make(w);
    jobs_compile(w, 0);
    return link_program(w);
}

static void infer_again(Graph *g)
{
    forget_elements(g);
    g->assume.len = 0;
    op_infer_graph(g);
}

static PassOptions pass_options(const CompileOptions *opt)
{
    return (PassOptions){.target = opt->target, .precision = opt->precision, .costs = opt->costs};
}

Graph *compile_early(Context *ctx, Graph *g, const CompileOptions *opt, int *folded)
{
    const PassOptions passes = pass_options(opt);
    op_infer_graph(g);
    check_declared(g);
    while (unify_sizes(g) > 0)
        infer_again(g);
    g = passes_run(ctx, g, PASS_EARLY, &passes, NULL);
    *folded = 0;
    FoldBudget budget = fold_budget(g);
    /* Sizes of what was folded are known afterwards, which may tell more. */
    for (bool again = true; again;) {
        Work *w = work_new(ctx, g, opt);
        fold_elements(w);
        *folded += fold_constants(ctx, g, opt, &budget, &again);
        if (again)
            infer_again(g);
    }
    drop_known_nodes(g);
    return g;
}

Compiled compile_as_is(Context *ctx, Graph *g, const CompileOptions *opt)
{
    op_infer_graph(g);
    return work_compile(work_define(ctx, g, opt));
}

Compiled compile_graph(Context *ctx, Graph *g, const CompileOptions *opt)
{
    const double start = time_now();
    const PassOptions passes = pass_options(opt);
    const char *const *const dim_name = unify_names(g);
    int folded;
    g = compile_early(ctx, g, opt, &folded);
    if (!opt->unfused)
        g = passes_run(ctx, g, PASS_LATE, &passes, NULL);
    const double inferred = time_now();
    Work *const w = work_define(ctx, g, opt);
    w->dim_name = dim_name;
    const Compiled c = work_compile(w);
    for (int b = 0; b < g->block.len; b++)
        c.report->nodes += g->block.at[b].node.len;
    c.report->folded = folded;
    c.report->infer_seconds = inferred - start;
    c.report->seconds = time_now() - start;
    return c;
}
