/* Kernels: from the stages of a unit to code. Equal units share one job. Jobs are lowered in
 * parallel; then code is generated for batches of them, in parallel too. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/parallel.h"
#include "codegen/codegen.h"
#include "compile/work.h"
#include "loop/in_place.h"
#include "record/choose.h"

/* ---- estimates ---- */

/* Where a symbol's value matters for an estimate only. */
static int64_t typical(const Exprs *x, Expr e)
{
    int64_t v;
    if (expr_is_int(x, e, &v))
        return v;
    const int64_t low = expr_low(x, e), high = expr_high(x, e);
    return low > 64 ? low : high < 64 ? high : 64;
}

static void count_op(const Exprs *x, Expr e, void *arg)
{
    const ExprNode *n = expr_node(x, e);
    double *ops = arg;
    if (!dtype_is_float((DType)n->dtype) && n->dtype != DT_I32)
        return; /* index arithmetic */
    if (n->op == EX_FMA)
        *ops += 2;
    else if (n->op >= EX_SQRT && n->op <= EX_POW)
        *ops += 10; /* a polynomial */
    else if ((n->op >= EX_ADD && n->op <= EX_ABS) || n->op == EX_SELECT)
        *ops += 1;
}

typedef struct Cost {
    double ops, points; /* arithmetic; results and loads */
    bool exact;
} Cost;

static Cost stages_cost(const Stages *s)
{
    Cost c = {.exact = true};
    for (int i = 0; i < s->stage.len; i++) {
        const Stage *st = &s->stage.at[i];
        double points = 1, ops = 0;
        for (int k = 0; k < st->naxes + st->nreduce; k++) {
            int64_t n;
            c.exact &= expr_is_int(s->x, st->axis[k].extent, &n);
            points *= (double)typical(s->x, st->axis[k].extent);
        }
        for (int k = 0; k < st->nresults; k++)
            expr_walk(s->x, st->update[k], count_op, &ops);
        c.ops += points * ops;
        c.points += points;
    }
    return c;
}

/* ---- one job ---- */

static void find_args(Job *j, Context *ctx, const Stages *s, const Unit *u, const Lowered *low,
                      const int *in_tensor, const int *out_tensor)
{
    const Loops *l = low->loops;
    j->arg = arena_array_of(ctx->arena, l->nargs + 1, JobArg);
    j->nread = 0;
    for (int b = 0; b < l->buffer.len; b++)
        if (l->buffer.at[b].scope == SCOPE_ARG && l->buffer.at[b].arg >= 0)
            j->arg[l->buffer.at[b].arg] = (JobArg){ARG_TEMP, -1, b};
    for (int i = 0; i < u->nin + u->nout; i++) {
        const bool in = i < u->nin;
        const int t = in ? in_tensor[i] : out_tensor[i - u->nin];
        if (t < 0)
            continue;
        const int b = t < low->ntensors ? low->tensor_buffer[t] : -1;
        if (b < 0)
            fail(ctx, ERR_INTERNAL, "%s: tensor '%s' got no buffer", j->name, s->tensor.at[t].name);
        j->arg[l->buffer.at[b].arg] = (JobArg){in ? ARG_IN : ARG_OUT, in ? i : i - u->nin, b};
        j->nread += in;
    }
    for (int a = 0; a < l->nargs; a++)
        if ((a < j->nread) != (j->arg[a].kind == ARG_IN))
            fail(ctx, ERR_INTERNAL, "%s: arguments are out of order", j->name);
}

/* Tensor ids may change under structural steps: they are found again by name. */
static int *find_tensors(Context *ctx, const Stages *s, const char **name, int n)
{
    int *out = arena_array_of(ctx->arena, n + 1, int);
    for (int i = 0; i < n; i++)
        out[i] = name[i] ? stages_find_tensor(s, name[i]) : -1;
    return out;
}

static const char **tensor_names(Context *ctx, const Stages *s, const int *tensor, int n)
{
    const char **name = arena_array_of(ctx->arena, n + 1, const char *);
    for (int i = 0; i < n; i++)
        name[i] = tensor[i] < 0 ? NULL : arena_strdup(ctx->arena, s->tensor.at[tensor[i]].name);
    return name;
}

static const char *print_loops(Context *ctx, const Loops *l)
{
    Str s = str_new(ctx->arena);
    loops_print(l, &s);
    return str_text(&s);
}

/* Tiles where there are any: what they leave over is little. */
static PeakProduct product_of(const Loops *expanded)
{
    PeakProduct found = PEAK_F32;
    for (int i = 0; i < expanded->stmt.len; i++) {
        const LoopStmt *st = &expanded->stmt.at[i];
        if (st->op != L_SET || expr_node(expanded->x, st->value)->op != EX_DOT)
            continue;
        const Intrinsic *row = intrinsic_row(expr_node(expanded->x, st->value)->imm.i);
        if (found == PEAK_F32 || row->tile)
            found = row->product;
    }
    return found;
}

static void lower_job(Context *ctx, void *arg)
{
    Job *j = arg;
    const Unit *u = j->unit;
    Stages *s = u->s;
    s->ctx = ctx;
    s->x->ctx = ctx;
    const double start = time_now();
    const Cost cost = stages_cost(s);
    const char **in_name = tensor_names(ctx, s, u->in_tensor, u->nin);
    const char **out_name = tensor_names(ctx, s, u->out_tensor, u->nout);
    const Schedule *sc = schedule_choose(ctx, s, &j->target, &j->report.source);
    Str why = str_new(ctx->arena), line = str_new(ctx->arena);
    if (!schedule_apply_steps(sc, s, &why))
        fail(ctx, ERR_INTERNAL, "%s: the schedule does not apply: %s", j->name, str_text(&why));
    schedule_print(sc, s, &line);
    j->report.schedule = str_text(&line);
    const Lowered low = lower(ctx, s, sc, &j->target);
    j->loops = low.loops;
    find_args(j, ctx, s, u, &low, find_tensors(ctx, s, in_name, u->nin),
              find_tensors(ctx, s, out_name, u->nout));
    j->over = arena_array_of(ctx->arena, low.loops->nargs + 1, int);
    loops_in_place(low.loops, j->over);
    Loops *expanded = j->expanded = expand(ctx, low.loops, &j->target);
    expanded->name = j->name;
    low.loops->scratch_bytes = expanded->scratch_bytes; /* what registers could not hold is in it */
    if (j->opt->want_text || j->opt->want_code) {
        j->report.stages = u->key;
        j->report.loops = print_loops(ctx, low.loops);
        j->report.expanded = print_loops(ctx, expanded);
    }
    j->report.flops = cost.exact ? cost.ops : 0;
    j->report.product = product_of(expanded);
    double units = 0;
    for (int i = 0; i < low.loops->phase.len; i++) {
        const LoopPhase *p = &low.loops->phase.at[i];
        const double steps = p->step ? (double)typical(low.loops->x, p->steps) : 1;
        const double n = steps * (double)typical(low.loops->x, p->extent);
        units = n > units ? n : units;
    }
    /* About 32 operations or 2 elements a nanosecond: enough to tell small from large. */
    j->unit_ns = units > 0 ? (float)((cost.ops / 32 + cost.points / 4) / units) : 0;
    j->report.seconds = time_now() - start;
}

/* ---- batches ---- */

/* Jobs whose code is generated at once. Which ones does not depend on the number of threads, nor
 * does their code. */
typedef struct Batch {
    Arena *arena;
    VEC(Job *) job;
    size_t size;
    Image image;
    Error error;
    int code;
} Batch;

typedef struct Batches {
    VEC(Batch) batch;
    const CompileOptions *opt;
    pthread_t caller;
    atomic_int done;
    int total;
} Batches;

/* Of a batch that holds more jobs than one: as much as LLVM takes some 10 ms for. */
#define BATCH_SIZE 160

/* Statements, and what a kernel costs without any. */
static size_t job_size(const Job *j)
{
    return 20 + (size_t)j->expanded->stmt.len;
}

static int by_size(const void *a, const void *b)
{
    const Job *const x = *(Job *const *)a, *const y = *(Job *const *)b;
    const size_t m = job_size(x), n = job_size(y);
    return m != n ? (m < n) - (m > n) : (x > y) - (x < y);
}

/* Large ones first and alone, so that threads end together. Texts are wanted by kernel: no batches
 * then. */
static void make_batches(Work *w, int first, Batches *all)
{
    Arena *a = w->ctx->arena;
    const int n = w->job.len - first;
    const bool alone = w->opt->want_code;
    Job **job = arena_array_of(a, n + 1, Job *);
    for (int i = 0; i < n; i++)
        job[i] = &w->job.at[first + i];
    qsort(job, (size_t)n, sizeof *job, by_size);
    for (int i = 0; i < n; i++) {
        Batch *b = all->batch.len > 0 ? &all->batch.at[all->batch.len - 1] : NULL;
        if (!b || alone || b->size + job_size(job[i]) > BATCH_SIZE ||
            b->job.at[0]->unit->is_run_here != job[i]->unit->is_run_here) {
            const Batch fresh = {.arena = arena_child(a)};
            arena_set_limit(fresh.arena, (size_t)compile_memory_limit(w->opt));
            vec_push(a, &all->batch, fresh);
            b = &all->batch.at[all->batch.len - 1];
        }
        vec_push(a, &b->job, job[i]);
        b->size += job_size(job[i]);
    }
}

static void generate(Context *ctx, void *arg)
{
    Batch *b = arg;
    const double start = time_now();
    const Job *const one = b->job.at[0];
    const Loops **loops = arena_array_of(ctx->arena, b->job.len, const Loops *);
    for (int i = 0; i < b->job.len; i++)
        loops[i] = b->job.at[i]->expanded;
    const CodegenOptions co = {.want_assembly = one->opt->want_code, .want_ir = one->opt->want_code,
                               /* constants are where their file has them */
                               .any_address = one->unit->is_run_here};
    const CodegenResult code = codegen_compile_all(ctx, b->job.len, loops, &one->target, &co);
    const double seconds = time_now() - start;
    b->image = code.image;
    for (int i = 0, entry = 0; i < b->job.len; i++) {
        Job *j = b->job.at[i];
        j->image = &b->image;
        j->entry = entry;
        entry += j->loops->phase.len;
        j->report.seconds += seconds * (double)job_size(j) / (double)b->size;
        j->report.ir = code.ir;
        j->report.assembly = code.assembly;
    }
}

static void run_batch(int i, void *arg)
{
    Batches *all = arg;
    Batch *b = &all->batch.at[i];
    b->code = job_run(b->arena, generate, b, &b->error, NULL);
    const int done = atomic_fetch_add(&all->done, b->job.len) + b->job.len;
    if (all->opt->progress && pthread_equal(pthread_self(), all->caller))
        all->opt->progress(all->opt->progress_arg, "compiling", done, all->total);
}

static void run_lower(int i, void *arg)
{
    Job *j = *(Job **)arg + i;
    j->code = job_run(j->arena, lower_job, j, &j->error, NULL);
}

static const char *unit_name(Work *w, const Unit *u)
{
    Str s = str_new(w->ctx->arena);
    for (int i = 0; i < u->nnode && s.len < 48; i++)
        str_addf(&s, "%s%s", i ? "_" : "", op_rows[w->g->node.at[u->node[i]].op].name);
    return u->nnode > 0 ? str_text(&s) : "relayout";
}

int job_add(Work *w, Unit *u)
{
    int id = strmap_get(&w->jobs, u->key, -1);
    if (id < 0) {
        id = w->job.len;
        const char *name = unit_name(w, u);
        Job j = {.arena = u->arena,
                 .unit = u,
                 .opt = w->opt,
                 .target = u->is_run_here ? target_here(&w->opt->target) : w->opt->target,
                 .name = name,
                 .kernel = -1};
        j.report.name = name;
        vec_push(w->ctx->arena, &w->job, j);
        strmap_put(&w->jobs, u->key, id);
    }
    u->job = id;
    w->job.at[id].report.uses++;
    return id;
}

void jobs_make(Work *w)
{
    for (int i = 0; i < w->unit.len; i++)
        if (w->unit.at[i].class == 'S' && w->unit.at[i].live)
            job_add(w, &w->unit.at[i]);
}

static _Noreturn void job_failed(const Work *w, const Job *j, int code, const Error *e)
{
    const char *node =
        j->unit->nnode > 0 ? graph_describe_node(w->g, j->unit->node[0]) : "a constant's layout";
    fail(w->ctx, code, "%s: %s", node, e->message);
}

void jobs_compile(Work *w, int first)
{
    const double start = time_now();
    Job *at = w->job.at + first;
    const int n = w->job.len - first;
    parallel_for(n, w->opt->threads, run_lower, &at);
    for (int i = 0; i < n; i++)
        if (at[i].code != 0)
            job_failed(w, &at[i], at[i].code, &at[i].error);
    Batches all = {.opt = w->opt, .caller = pthread_self(), .total = n};
    make_batches(w, first, &all);
    parallel_for(all.batch.len, w->opt->threads, run_batch, &all);
    for (int i = 0; i < all.batch.len; i++)
        if (all.batch.at[i].code != 0)
            job_failed(w, all.batch.at[i].job.at[0], all.batch.at[i].code, &all.batch.at[i].error);
    if (w->opt->progress && n > 0)
        w->opt->progress(w->opt->progress_arg, "compiling", n, n);
    w->report->codegen_seconds += time_now() - start;
}
