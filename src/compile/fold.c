/* What is known at compile time becomes constants: values whose elements inference found, and
 * whatever depends on constants alone, which is compiled and run here.
 *
 * Within a budget, as a few bytes of a model can ask for any amount of memory and time (an Expand
 * to [2^40]): values up to FOLD_BYTES, or FOLD_GROWTH times the model's constants together if that
 * is more; and seconds of work. What is beyond that is computed by each run. */
#include <math.h>
#include <string.h>

#include "compile/work.h"

static void make_constant(Context *ctx, Graph *g, ValueId id, Tensor *t)
{
    Value *v = &g->value.at[id];
    tensor_defer(ctx->arena, t);
    t->spendable = true;
    v->constant = t;
    v->producer = -1;
    v->layout = (Layout){0};
    for (int k = 0; k < t->rank; k++)
        v->dim[k] = expr_int(g->x, t->dim[k]);
}

/* ---- known elements ---- */

static bool known_dims(const Graph *g, const Value *v, int64_t *dim)
{
    for (int k = 0; k < v->rank; k++)
        if (!expr_is_int(g->x, v->dim[k], &dim[k]))
            return false;
    return true;
}

static bool write_elements(const Graph *g, const Value *v, Tensor *t)
{
    char *p = t->data;
    for (int k = 0; k < v->nelems; k++, p += dtype_size(v->dtype)) {
        const ExprNode *n = expr_node(g->x, v->elems[k]);
        if (n->op == EX_INT)
            dtype_write_int(v->dtype, p, n->imm.i);
        else if (n->op == EX_FLOAT)
            dtype_write(v->dtype, p, n->imm.f, false);
        else
            return false;
    }
    return true;
}

int fold_elements(Work *w)
{
    Graph *g = w->g;
    int count = 0;
    for (int i = 0; i < g->value.len; i++) {
        const Value *v = &g->value.at[i];
        int64_t dim[MAX_RANK];
        if (v->constant || !v->elems || v->producer < 0 || !known_dims(g, v, dim) ||
            op_rows[g->node.at[v->producer].op].class != 'S')
            continue;
        Error e = {0};
        Tensor *t = tensor_new(v->dtype, v->rank, dim, &e);
        if (!t)
            fail(w->ctx, e.code, "%s", e.message);
        if (tensor_elements(t) != v->nelems || !write_elements(g, v, t)) {
            tensor_unref(t);
            continue;
        }
        make_constant(w->ctx, g, i, t);
        count++;
    }
    return count;
}

/* ---- nodes of constants ---- */

#define FOLD_BYTES ((int64_t)16 << 20)
/* Winograd's weights are up to 64 / 9 times as large as those they are made of */
#define FOLD_GROWTH 8
#define FOLD_WORK 0x1p32      /* points, and .. */
/* .. for the constants' size: weights are transposed, scaled, added up */
#define FOLD_WORK_A_BYTE 16.0

FoldBudget fold_budget(const Graph *g)
{
    int64_t bytes = 0;
    for (int v = 0; v < g->value.len; v++)
        if (g->value.at[v].constant)
            bytes += (int64_t)g->value.at[v].constant->bytes;
    const int64_t value = FOLD_GROWTH * bytes > FOLD_BYTES ? FOLD_GROWTH * bytes : FOLD_BYTES;
    return (FoldBudget){.value_bytes = value, .bytes = 2 * (value + FOLD_BYTES),
                        .work = FOLD_WORK + FOLD_WORK_A_BYTE * (double)bytes};
}

typedef struct FoldJob {
    const Graph *g;
    const CompileOptions *opt;
    const bool *node;    /* of block 0: to be computed here */
    const bool *wanted;  /* values */
    bool *refused;       /* nodes: too much work */
    double work;         /* in: what is allowed; out: what is left */
    Compiled out;        /* no program: look at `refused` */
} FoldJob;

/* In order, so that what is refused does not depend on the threads. */
static bool within_work(const Work *w, FoldJob *j)
{
    bool all = true;
    for (int i = 0; i < w->unit.len; i++) {
        const Unit *u = &w->unit.at[i];
        if (u->class != 'S' || !u->live)
            continue;
        const double work = limits_work(u->s);
        if (work <= j->work) {
            j->work -= work;
            continue;
        }
        j->refused[u->node[0]] = true; /* fusing comes later: one node a unit */
        all = false;
    }
    return all;
}

static void compile_folded(Context *ctx, void *arg)
{
    FoldJob *j = arg;
    Graph *g = graph_copy(ctx, j->g);
    Block *b = &g->block.at[0];
    int n = 0;
    for (int i = 0; i < b->node.len; i++)
        if (j->node[b->node.at[i]])
            b->node.at[n++] = b->node.at[i];
    b->node.len = n;
    b->input.len = b->output.len = 0;
    for (int v = 0; v < g->value.len; v++)
        if (j->wanted[v])
            vec_push(ctx->arena, &b->output, v);
    for (int i = 1; i < g->block.len; i++)
        g->block.at[i].node.len = g->block.at[i].output.len = 0;
    CompileOptions opt = *j->opt;
    opt.target = target_here(&j->opt->target);
    opt.progress = NULL;
    opt.work_limit = INFINITY; /* within_work looks */
    opt.want_text = opt.want_code = opt.keep_values = opt.spend_constants = false;
    Work *w = work_define(ctx, g, &opt);
    if (within_work(w, j))
        j->out = work_compile(w);
}

/* False: it took too much memory. */
static bool run_folded(Context *ctx, const FoldJob *j, Arena *arena, int64_t limit, Tensor **out)
{
    Error e = {0};
    Module *m = NULL;
    Pool *pool = NULL;
    Run *r = NULL;
    int code = module_new(arena, j->out.program, &j->out.image, &m, &e);
    if (code == 0)
        code = pool_new(j->opt->threads, &pool, &e);
    if (code == 0)
        code = run_new(m, pool, 0, &r, &e);
    if (code == 0) {
        run_set_limit(r, limit);
        code = run_execute(r, &e);
    }
    for (int i = 0; code == 0 && i < j->out.program->noutput; i++)
        out[i] = tensor_ref(run_output(r, i));
    run_free(r);
    pool_free(pool);
    module_unref(m);
    if (code != 0 && code != ERR_MEMORY)
        fail(ctx, code, "computing what depends on constants alone: %s", e.message);
    return code == 0;
}

/* Takes the node's results out of the budget; false if they are too large. */
static bool take_bytes(const Graph *g, const Node *n, FoldBudget *budget)
{
    int64_t bytes = 0;
    for (int k = 0; k < n->nout; k++) {
        const int64_t one = n->out[k] < 0 ? 0 : limits_value_bytes(g, &g->value.at[n->out[k]]);
        if (one > budget->value_bytes)
            return false;
        bytes += one > 0 ? one : 0; /* open sizes: the run has a limit too */
    }
    if (bytes > budget->bytes)
        return false;
    budget->bytes -= bytes;
    return true;
}

/* Marks nodes that depend on constants alone, and those of their values that others read. */
static int find_folded(const Graph *g, const bool *refused, FoldBudget *budget, bool *fold,
                       bool *wanted)
{
    const Block *b = &g->block.at[0];
    int count = 0;
    memset(fold, 0, (size_t)g->node.len);
    memset(wanted, 0, (size_t)g->value.len);
    for (int i = 0; i < b->node.len; i++) {
        const Node *n = &g->node.at[b->node.at[i]];
        bool constant = op_rows[n->op].class != 'C' && !refused[b->node.at[i]], known = true;
        for (int k = 0; k < n->nin; k++) {
            const Value *v = n->in[k] < 0 ? NULL : &g->value.at[n->in[k]];
            constant &= !v || v->constant || (v->producer >= 0 && fold[v->producer]);
        }
        for (int k = 0; k < n->nout; k++)
            known &= n->out[k] < 0 || g->value.at[n->out[k]].constant;
        fold[b->node.at[i]] = constant && !known && take_bytes(g, n, budget);
        count += fold[b->node.at[i]];
    }
    for (int bl = 0; bl < g->block.len; bl++) {
        for (int i = 0; i < g->block.at[bl].node.len; i++) {
            const NodeId id = g->block.at[bl].node.at[i];
            const Node *n = &g->node.at[id];
            for (int k = 0; k < n->nin && !fold[id]; k++)
                if (n->in[k] >= 0 && g->value.at[n->in[k]].producer >= 0)
                    wanted[n->in[k]] |= fold[g->value.at[n->in[k]].producer];
        }
        for (int i = 0; i < g->block.at[bl].output.len; i++) {
            const ValueId v = g->block.at[bl].output.at[i];
            if (g->value.at[v].producer >= 0)
                wanted[v] |= fold[g->value.at[v].producer];
        }
    }
    return count;
}

int fold_constants(Context *ctx, Graph *g, const CompileOptions *opt, FoldBudget *budget,
                   bool *shapes_changed)
{
    bool *fold = arena_array_of(ctx->arena, g->node.len + 1, bool);
    bool *wanted = arena_array_of(ctx->arena, g->value.len + 1, bool);
    FoldJob j = {.g = g, .opt = opt, .node = fold, .wanted = wanted};
    j.refused = arena_array_of(ctx->arena, g->node.len + 1, bool);
    FoldBudget left;
    Arena *arena;
    int count, nwanted;
    *shapes_changed = false;
    do {
        left = *budget;
        j.work = budget->work;
        count = find_folded(g, j.refused, &left, fold, wanted);
        nwanted = 0;
        for (int v = 0; v < g->value.len; v++)
            nwanted += wanted[v];
        if (nwanted == 0)
            return 0;
        arena = arena_child(ctx->arena);
        Error e = {0};
        const int code = job_run(arena, compile_folded, &j, &e, &ctx->detail);
        if (code != 0 || !j.out.program)
            arena_free(arena);
        if (code != 0)
            fail(ctx, code, "%s", e.message);
    } while (!j.out.program);
    Tensor **out = arena_array_of(ctx->arena, nwanted + 1, Tensor *);
    const int64_t most = compile_memory_limit(opt), room = 2 * budget->bytes + FOLD_BYTES;
    if (!run_folded(ctx, &j, arena, room < most ? room : most, out))
        return 0;
    *budget = left;
    budget->work = j.work;
    for (int v = 0, k = 0; v < g->value.len; v++) {
        int64_t dim[MAX_RANK];
        if (!wanted[v])
            continue;
        *shapes_changed |= !known_dims(g, &g->value.at[v], dim);
        make_constant(ctx, g, v, out[k++]);
    }
    Block *b = &g->block.at[0];
    int n = 0;
    for (int i = 0; i < b->node.len; i++)
        if (!fold[b->node.at[i]])
            b->node.at[n++] = b->node.at[i];
    b->node.len = n;
    return count;
}
