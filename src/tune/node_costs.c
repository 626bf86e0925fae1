/* See node_costs.h. */
#include "tune/node_costs.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "op/winograd.h"
#include "pass/image_layouts.h"
#include "runtime/run.h"

#define NAME "node" /* of the node that is timed */
#define SWEEP_CACHES 4 /* second-level caches that are read between runs */

/* ---- a candidate as a graph ---- */

typedef struct Trial {
    const Graph *g;
    const CostCandidate *what;
    const CompileOptions *opt;
    Compiled compiled;
    Module *module;
    Run *run;
    double *seconds; /* by step */
    double best;
} Trial;

static int64_t known_dim(const Graph *g, ValueId v, int k)
{
    int64_t n = 0;
    expr_is_int(g->x, g->value.at[v].dim[k], &n);
    return n;
}

static ValueId add_value(const Trial *t, Graph *to, ValueId v, const int64_t *grow)
{
    const Value *value = &t->g->value.at[v];
    Expr dim[MAX_RANK];
    for (int k = 0; k < value->rank; k++) {
        dim[k] = expr_int(to->x, known_dim(t->g, v, k) + (grow ? grow[k] : 0));
    }
    return graph_value(to, value->name, value->dtype, value->rank, dim);
}

static void lay_out(const Trial *t, Graph *to, ValueId v, ImageLayout kind)
{
    if (image_fits(to, v, kind, &t->opt->target)) {
        to->value.at[v].layout = image_layout(to, v, kind, &t->opt->target);
    }
}

/* What the model computes before the node: images in the form's layout, made by a kernel of their
 * own. */
static ValueId add_input(const Trial *t, Graph *to, ValueId v, const int64_t *grow)
{
    const ValueId x = add_value(t, to, v, grow);
    vec_push(to->ctx->arena, &to->block.at[0].input, x);
    if (t->g->value.at[v].rank != 4) {
        return x;
    }
    const ValueId made = add_value(t, to, v, grow);
    graph_node(to, 0, OP_IDENTITY, "made", 1, &x, 1, &made);
    lay_out(t, to, made, t->what->form.in);
    return made;
}

static Tensor *random_constant(Context *ctx, int rank, const int64_t *dim)
{
    Error e = {0};
    Tensor *r = tensor_new(DT_F32, rank, dim, &e);
    if (!r) {
        fail(ctx, e.code, "%s", e.message);
    }
    tensor_fill_random(r, 1);
    return r;
}

static ValueId transformed_weight(const Trial *t, Graph *to, ValueId w, int m)
{
    const int n = m + WINOGRAD_KERNEL - 1;
    const int64_t dim[4] = {known_dim(t->g, w, 0), known_dim(t->g, w, 1), n, n};
    return graph_constant(to, "u", random_constant(to->ctx, 4, dim));
}

/* By how much the border that a convolution wants makes its input larger; false: there is none. */
static bool border_of(const Node *n, const NodeForm *form, int64_t grow[MAX_RANK])
{
    const int64_t *pads;
    const int count = n->op == OP_CONV && form->variant == 0 ? node_ints(n, "pads", &pads) : 0;
    memset(grow, 0, sizeof(int64_t) * MAX_RANK);
    for (int k = 0; k < count / 2; k++) {
        grow[2 + k] = pads[k] + pads[count / 2 + k];
    }
    return count > 0;
}

static ValueId add_term(const Trial *t, Graph *to, ValueId v, const int64_t *grow)
{
    Tensor *constant = v < 0 ? NULL : t->g->value.at[v].constant;
    return v < 0      ? -1
           : constant ? graph_constant(to, "c", tensor_ref(constant))
                      : add_input(t, to, v, grow);
}

static NodeId add_node(const Trial *t, Graph *to)
{
    const NodeForm *form = &t->what->form;
    const Node *n = &t->g->node.at[t->what->node];
    ValueId *in = arena_array_of(to->ctx->arena, n->nin + WINOGRAD_INPUT + 1, ValueId);
    ValueId *out = arena_array_of(to->ctx->arena, n->nout + 1, ValueId);
    int64_t grow[MAX_RANK];
    const bool border = border_of(n, form, grow);
    int nin = n->op == OP_CONV && n->nin > WINOGRAD_INPUT ? WINOGRAD_INPUT : n->nin;
    for (int k = 0; k < nin; k++) {
        int same = 0;
        while (n->in[same] != n->in[k]) {
            same++;
        }
        in[k] = same < k ? in[same] : add_term(t, to, n->in[k], border && k == 0 ? grow : NULL);
    }
    if (form->variant > 0) {
        while (nin < WINOGRAD_INPUT) {
            in[nin++] = -1;
        }
        in[nin++] = transformed_weight(t, to, n->in[1], form->variant);
    }
    for (int k = 0; k < n->nout; k++) {
        out[k] = n->out[k] < 0 ? -1 : add_value(t, to, n->out[k], NULL);
    }
    const NodeId id = graph_node(to, 0, n->op, NAME, nin, in, n->nout, out);
    for (int k = 0; k < n->nattr; k++) {
        if (strcmp(n->attr[k].name, "winograd") != 0) {
            node_set_attr(to, id, n->attr[k]);
        }
    }
    if (form->variant > 0) {
        node_set_int(to, id, "winograd", form->variant);
    }
    if (border) {
        static const int64_t none[2 * MAX_RANK] = {0};
        const int64_t *pads;
        node_set_ints(to, id, "pads", node_ints(n, "pads", &pads), none);
    }
    return id;
}

static NodeId add_copy(const Trial *t, Graph *to)
{
    const ValueId from = add_input(t, to, t->what->value, NULL),
                  out = add_value(t, to, t->what->value, NULL);
    return graph_node(to, 0, OP_IDENTITY, NAME, 1, &from, 1, &out);
}

static void compile_trial(Context *ctx, void *arg)
{
    Trial *t = arg;
    Graph *to = graph_new(ctx);
    const NodeId id = t->what->node < 0 ? add_copy(t, to) : add_node(t, to);
    const Node *n = &to->node.at[id];
    for (int k = 0; k < n->nout; k++) {
        if (n->out[k] >= 0) {
            lay_out(t, to, n->out[k], t->what->form.out);
            vec_push(ctx->arena, &to->block.at[0].output, n->out[k]);
        }
    }
    t->compiled = compile_as_is(ctx, to, t->opt);
}

/* ---- running ---- */

static int set_inputs(Trial *t, Error *e)
{
    const Program *p = module_program(t->module);
    int code = 0;
    for (int i = 0; i < p->ninput && code == 0; i++) {
        const ProgramBuffer *b = &p->buffer[p->input[i].buffer];
        int64_t dim[MAX_RANK];
        for (int k = 0; k < b->rank; k++) {
            dim[k] = p->value[b->dim[k]].imm.i;
        }
        Tensor *x = tensor_new((DType)b->dtype, b->rank, dim, e);
        if (!x) {
            return e->code;
        }
        tensor_fill_random(x, (uint64_t)i);
        code = run_set_input(t->run, i, x, e);
        tensor_unref(x);
    }
    return code;
}

static void prepare(Trial *t, Pool *pool)
{
    Error e = {0};
    Arena *arena = arena_new();
    int code = job_run(arena, compile_trial, t, &e, NULL);
    if (code != 0) {
        arena_free(arena);
        return;
    }
    code = module_new(arena, t->compiled.program, &t->compiled.image, &t->module, &e);
    if (code == 0) {
        code = run_new(t->module, pool, 1, &t->run, &e);
    }
    if (code == 0) {
        code = set_inputs(t, &e);
    }
    if (code != 0) {
        run_free(t->run);
        t->run = NULL;
    }
}

static void run_once(Trial *t)
{
    const Program *p = module_program(t->module);
    Error e;
    memset(t->seconds, 0, sizeof(double) * (size_t)p->nstep);
    run_profile(t->run, t->seconds);
    if (run_execute(t->run, &e) != 0) {
        t->best = INFINITY;
        run_free(t->run);
        t->run = NULL;
        return;
    }
    double sum = 0;
    for (int i = 0; i < p->nstep; i++) {
        const ProgramStep *s = &p->step[i];
        if (s->code == PSTEP_KERNEL && s->origin >= 0 && strcmp(p->text[s->origin], NAME) == 0) {
            sum += t->seconds[i];
        }
    }
    t->best = fmin(t->best, sum);
}

/* ---- all of them ---- */

typedef struct Measure {
    const Graph *g;
    const NodeCostOptions *opt;
    CostTable *table;
    const char *target;
    Pool *pool;
    int64_t *sweep; /* other memory */
    int nsweep;
    NodeCostResult *out;
} Measure;

static int64_t sweep(const Measure *m)
{
    int64_t sum = 0;
    for (int i = 0; i < m->nsweep; i++) {
        sum += m->sweep[i];
    }
    return sum;
}

/* The forms of one node, in turns. */
static void measure_together(Measure *m, Context *ctx, const CostCandidate *what, int n)
{
    Trial *trial = arena_array_of(ctx->arena, n, Trial);
    volatile int64_t keep;
    for (int k = 0; k < n; k++) {
        Trial *t = &trial[k];
        *t = (Trial){.g = m->g, .what = &what[k], .opt = &m->opt->compile, .best = INFINITY};
        if (cost_table_find(m->table, m->target, what[k].key) > 0) {
            m->out->known++;
            continue;
        }
        prepare(t, m->pool);
        m->out->failed += !t->run;
        t->seconds = t->run
                         ? arena_array_of(ctx->arena, module_program(t->module)->nstep + 1, double)
                         : NULL;
    }
    for (int round = 0; round < m->opt->rounds; round++) {
        for (int k = 0; k < n; k++) {
            if (trial[k].run) {
                keep = sweep(m);
                run_once(&trial[k]);
            }
        }
    }
    (void)keep;
    for (int k = 0; k < n; k++) {
        if (trial[k].run && isfinite(trial[k].best) && trial[k].best > 0) {
            cost_table_add(m->table, m->target, what[k].key, round(trial[k].best * 1e10) / 10);
            m->out->measured++;
        }
        run_free(trial[k].run);
        module_unref(trial[k].module);
    }
}

static void measure_job(Context *ctx, void *arg)
{
    Measure *m = arg;
    Graph *const g = graph_copy(ctx, m->g);
    m->g = g;
    const CompileOptions *c = &m->opt->compile;
    PassOptions opt = {.target = c->target, .precision = c->precision};
    m->target = target_describe(ctx->arena, &c->target);
    m->nsweep = (int)(SWEEP_CACHES * (c->target.l2 > 0 ? c->target.l2 : 1 << 20) /
                      (int64_t)sizeof(int64_t));
    m->sweep = arena_array_of(ctx->arena, m->nsweep, int64_t);
    CostCandidate *what;
    const int n = image_forms_candidates(g, &opt, &what);
    for (int i = 0, end; i < n; i = end) {
        for (end = i;
             end < n && what[end].node == what[i].node && what[end].value == what[i].value;) {
            end++;
        }
        if (m->opt->progress) {
            m->opt->progress(m->opt->progress_arg, "measure", i, n);
        }
        measure_together(m, ctx, what + i, end - i);
    }
    const ImageForms estimated = image_forms_choose(g, &opt, true);
    opt.costs = m->table;
    m->out->chosen_ns = image_forms_choose(g, &opt, true).ns;
    m->out->estimated_ns = image_forms_cost(g, &opt, estimated.form);
}

int node_costs_measure(const Graph *g, const NodeCostOptions *opt, CostTable *table,
                       NodeCostResult *out, Error *e)
{
    *out = (NodeCostResult){0};
    Measure m = {.g = g, .opt = opt, .table = table, .out = out};
    int code = pool_new(1, &m.pool, e);
    Arena *arena = arena_new();
    if (code == 0) {
        code = job_run(arena, measure_job, &m, e, NULL);
    }
    pool_free(m.pool);
    arena_free(arena);
    return code;
}
