/* What is known at compile time becomes constants: values whose elements inference found, and whatever depends on
 * constants alone, which is compiled and run here. */
#include <string.h>

#include "compile/work.h"

static void unref_tensor(void *t)
{
    tensor_unref(t);
}

static void make_constant(Context *ctx, Graph *g, ValueId id, Tensor *t)
{
    Value *v = &g->value.at[id];
    arena_defer(ctx->arena, unref_tensor, t);
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

typedef struct FoldJob {
    const Graph *g;
    const CompileOptions *opt;
    const bool *node;    /* of block 0: to be computed here */
    const bool *wanted;  /* values */
    Compiled out;
} FoldJob;

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
    opt.progress = NULL;
    opt.want_text = opt.want_code = opt.keep_all = false;
    j->out = compile_inferred(ctx, g, &opt);
}

static void run_folded(Context *ctx, const FoldJob *j, Arena *arena, Tensor **out)
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
    if (code == 0)
        code = run_execute(r, &e);
    for (int i = 0; code == 0 && i < j->out.program->noutput; i++)
        out[i] = tensor_ref(run_output(r, i));
    run_free(r);
    pool_free(pool);
    module_unref(m);
    if (code != 0)
        fail(ctx, code, "computing what depends on constants alone: %s", e.message);
}

/* Marks nodes that depend on constants alone, and those of their values that others read. */
static int find_folded(const Graph *g, bool *fold, bool *wanted)
{
    const Block *b = &g->block.at[0];
    int count = 0;
    for (int i = 0; i < b->node.len; i++) {
        const Node *n = &g->node.at[b->node.at[i]];
        bool constant = op_rows[n->op].class != 'C', known = true;
        for (int k = 0; k < n->nin; k++) {
            const Value *v = n->in[k] < 0 ? NULL : &g->value.at[n->in[k]];
            constant &= !v || v->constant || (v->producer >= 0 && fold[v->producer]);
        }
        for (int k = 0; k < n->nout; k++)
            known &= n->out[k] < 0 || g->value.at[n->out[k]].constant;
        fold[b->node.at[i]] = constant && !known;
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

int fold_constants(Context *ctx, Graph *g, const CompileOptions *opt, bool *shapes_changed)
{
    bool *fold = arena_array_of(ctx->arena, g->node.len + 1, bool);
    bool *wanted = arena_array_of(ctx->arena, g->value.len + 1, bool);
    const int count = find_folded(g, fold, wanted);
    int nwanted = 0;
    *shapes_changed = false;
    for (int v = 0; v < g->value.len; v++)
        nwanted += wanted[v];
    if (nwanted == 0)
        return 0;
    Arena *arena = arena_new();
    FoldJob j = {.g = g, .opt = opt, .node = fold, .wanted = wanted};
    Error e = {0};
    const int code = job_run(arena, compile_folded, &j, &e, &ctx->detail);
    if (code != 0) {
        arena_free(arena);
        fail(ctx, code, "%s", e.message);
    }
    Tensor **out = arena_array_of(ctx->arena, nwanted + 1, Tensor *);
    run_folded(ctx, &j, arena, out);
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
