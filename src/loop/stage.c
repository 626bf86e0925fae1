/* Stages: making, visiting, copying. */
#include "loop/stage.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

Stages *stages_new(Context *ctx, Exprs *x)
{
    Stages *const s = arena_new_of(ctx->arena, Stages);
    s->ctx = ctx;
    s->x = x;
    return s;
}

/* ---- tensors ---- */
int stages_find_tensor(const Stages *s, const char *name)
{
    for (int i = 0; i < s->tensor.len; i++)
        if (strcmp(s->tensor.at[i].name, name) == 0)
            return i;
    return -1;
}

/* Words that the text form of expressions takes for something else. */
static bool is_reserved(const char *name)
{
    static const char *const words[] = {"true", "false", "inf", "nan", "none"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(name, words[i]) == 0)
            return true;
    return strncmp(name, "state", 5) == 0 && (isdigit((unsigned char)name[5]) || name[5] == '2');
}

/* The name as an identifier, with _1, _2... after it if another tensor has it. */
static const char *unique_name(const Stages *s, const char *name)
{
    Arena *const a = s->ctx->arena;
    const bool starts = isalpha((unsigned char)name[0]) || name[0] == '_';
    char *const id = arena_printf(a, "%s%s", starts && !is_reserved(name) ? "" : "_", name);
    for (char *c = id; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '.')
            *c = '_';
    const char *result = id;
    for (int k = 1; stages_find_tensor(s, result) >= 0; k++)
        result = arena_printf(a, "%s_%d", id, k);
    return result;
}

int stages_tensor(Stages *s, const char *name, TensorRole role, DType t, int rank, const Expr *dims)
{
    assert(rank >= 0 && rank <= MAX_RANK);
    StageTensor made = {
        .name = unique_name(s, name), .dtype = t, .rank = rank, .role = role, .stage = -1};
    for (int i = 0; i < rank; i++)
        made.dim[i] = dims[i];
    vec_push(s->ctx->arena, &s->tensor, made);
    return s->tensor.len - 1;
}

Expr stages_load(Stages *s, int tensor, const Expr *index)
{
    const StageTensor *const t = &s->tensor.at[tensor];
    return expr_load(s->x, dtype_compute(t->dtype), tensor, t->rank, index);
}

/* ---- builders ---- */
static Axis new_axis(Stages *s, const char *name, Expr extent)
{
    return (Axis){.name = name, .extent = extent, .var = expr_loop_var(s->x, name, extent)};
}

/* Axes are letters, so that their loops can be numbered (a schedule's i0, i1). */
StageBuild stage_begin(Stages *s, int rank, const Expr *dims)
{
    static const char *const names[MAX_RANK] = {"i", "j", "k", "m", "n", "o", "p", "q"};
    StageBuild b = {.naxes = rank};
    assert(rank <= MAX_RANK);
    for (int i = 0; i < rank; i++) {
        b.axis[i] = new_axis(s, names[i], dims[i]);
        b.i[i] = b.axis[i].var;
    }
    return b;
}

void stage_reduce_axes(Stages *s, StageBuild *b, int n, const Expr *dims)
{
    static const char *const names[MAX_AXES] = {"r", "s", "t", "u", "v", "w", "x", "y",
                                                "z", "a", "b", "c", "d", "e", "f", "g"};
    assert(b->naxes + b->nreduce + n <= MAX_AXES);
    for (int i = 0; i < n; i++, b->nreduce++) {
        b->axis[b->naxes + b->nreduce] = new_axis(s, names[b->nreduce], dims[i]);
        b->r[b->nreduce] = b->axis[b->naxes + b->nreduce].var;
    }
}

static bool axis_name_taken(const Stage *st, int axis, const char *name)
{
    for (int k = 0; k < axis; k++)
        if (strcmp(st->axis[k].name, name) == 0)
            return true;
    return false;
}

/* Two builds of one stage (a SCATTER's) name their axes alike: the later ones get a number. */
static void name_axes(Stages *s, Stage *st)
{
    for (int k = 1; k < st->naxes + st->nreduce; k++) {
        Axis *const a = &st->axis[k];
        const char *const name = a->name;
        for (int n = 1; axis_name_taken(st, k, a->name); n++)
            a->name = arena_printf(s->ctx->arena, "%s%d", name, n);
        if (a->name != name)
            s->x->var.at[expr_node(s->x, a->var)->imm.i].name = a->name;
    }
}

static int push_stage(Stages *s, Stage *st)
{
    name_axes(s, st);
    for (int k = 0; k < st->nresults; k++) {
        s->tensor.at[st->result[k]].stage = s->stage.len;
        s->tensor.at[st->result[k]].result = k;
    }
    vec_push(s->ctx->arena, &s->stage, *st);
    return s->stage.len - 1;
}

static Stage stage_of(const StageBuild *b, StageForm form)
{
    Stage st = {.form = form, .naxes = b->naxes, .nreduce = b->nreduce};
    memcpy(st.axis, b->axis, sizeof st.axis);
    return st;
}

/* The temporary that a stage over these axes makes. */
static int result_tensor(Stages *s, const Axis *axis, int n, const char *name, DType t)
{
    Expr dims[MAX_RANK];
    assert(n <= MAX_RANK);
    for (int i = 0; i < n; i++)
        dims[i] = axis[i].extent;
    return stages_tensor(s, name, TENSOR_TEMP, t, n, dims);
}

int stage_map(Stages *s, const StageBuild *b, const char *name, DType t, Expr value)
{
    assert(b->nreduce == 0);
    Stage st = stage_of(b, STAGE_MAP);
    st.nresults = 1;
    st.result[0] = result_tensor(s, b->axis, b->naxes, name, t);
    st.update[0] = value;
    push_stage(s, &st);
    return st.result[0];
}

void stage_reduce_n(Stages *s, const StageBuild *b, int n, const char *const *names, const DType *t,
                    const Expr *init, const Expr *update, const Expr *combine, int *out)
{
    assert(n >= 1 && n <= MAX_RESULTS);
    Stage st = stage_of(b, STAGE_REDUCE);
    st.nresults = n;
    for (int k = 0; k < n; k++) {
        st.result[k] = result_tensor(s, b->axis, b->naxes, names[k], t[k]);
        st.init[k] = init[k];
        st.update[k] = update[k];
        st.combine[k] = combine ? combine[k] : 0;
        out[k] = st.result[k];
    }
    push_stage(s, &st);
}

int stage_reduce(Stages *s, const StageBuild *b, const char *name, DType t, Expr init, Expr update,
                 Expr combine)
{
    int out;
    stage_reduce_n(s, b, 1, &name, &t, &init, &update, &combine, &out);
    return out;
}

void stage_where(Stages *s, int tensor, Expr where)
{
    const int stage = s->tensor.at[tensor].stage;
    assert(stage >= 0);
    Stage *const st = &s->stage.at[stage];
    st->where = st->where ? expr_and(s->x, st->where, where) : where;
}

int stage_scan_declare(Stages *s, const char *name, DType t, int rank, const Expr *dims)
{
    return stages_tensor(s, name, TENSOR_TEMP, t, rank, dims);
}

void stage_scan_define(Stages *s, const StageBuild *b, int tensor, int scan_axis, Expr value)
{
    assert(s->tensor.at[tensor].stage < 0 && scan_axis >= 0 && scan_axis < b->naxes);
    Stage st = stage_of(b, STAGE_SCAN);
    st.scan_axis = scan_axis;
    st.nresults = 1;
    st.result[0] = tensor;
    st.update[0] = value;
    push_stage(s, &st);
}

int stage_scatter(Stages *s, const StageBuild *b, const StageBuild *base, const char *name, DType t,
                  Expr init, const Expr *target, Expr update, Expr where)
{
    assert(b->nreduce == 0 && base->nreduce == 0 && b->naxes + base->naxes <= MAX_AXES);
    /* letters that stage_begin does not use: both builds come from there */
    static const char *const names[MAX_RANK] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    Stage st = stage_of(b, STAGE_SCATTER);
    st.nreduce = base->naxes;
    for (int i = 0; i < base->naxes; i++) {
        st.axis[b->naxes + i] = base->axis[i];
        st.axis[b->naxes + i].name = names[i];
        s->x->var.at[expr_node(s->x, base->axis[i].var)->imm.i].name = names[i];
    }
    st.nresults = 1;
    st.result[0] = result_tensor(s, base->axis, base->naxes, name, t);
    st.init[0] = init;
    st.update[0] = update;
    st.where = where;
    for (int i = 0; i < base->naxes; i++)
        st.target[i] = target[i];
    push_stage(s, &st);
    return st.result[0];
}

/* ---- visiting ---- */
static void walk(const Stages *s, Expr e, ExprVisitFn fn, void *arg)
{
    if (e)
        expr_walk(s->x, e, fn, arg);
}

void stage_walk(const Stages *s, const Stage *st, ExprVisitFn fn, void *arg)
{
    for (int k = 0; k < st->nresults; k++) {
        walk(s, st->init[k], fn, arg);
        walk(s, st->update[k], fn, arg);
        walk(s, st->combine[k], fn, arg);
    }
    walk(s, st->where, fn, arg);
    for (int i = 0; i < MAX_RANK; i++)
        walk(s, st->target[i], fn, arg);
}

static Expr rewritten(Exprs *x, Expr e, ExprRewriteFn fn, void *arg)
{
    return e ? expr_rewrite(x, e, fn, arg) : 0;
}

void stage_rewrite(Exprs *x, Stage *st, ExprRewriteFn fn, void *arg)
{
    for (int k = 0; k < st->nresults; k++) {
        st->init[k] = rewritten(x, st->init[k], fn, arg);
        st->update[k] = rewritten(x, st->update[k], fn, arg);
        st->combine[k] = rewritten(x, st->combine[k], fn, arg);
    }
    st->where = rewritten(x, st->where, fn, arg);
    for (int i = 0; i < MAX_RANK; i++)
        st->target[i] = rewritten(x, st->target[i], fn, arg);
}

/* ---- copying ---- */
typedef struct Copy {
    Stages *to;
    const Stages *from;
    Expr *var_map;
} Copy;

static Expr copy_expr(const Copy *c, Expr e)
{
    return expr_import(c->to->x, c->from->x, e, c->var_map);
}

static void copy_stage(const Copy *c, const Stage *from)
{
    Stage st = *from;
    for (int i = 0; i < st.naxes + st.nreduce; i++)
        st.axis[i] = (Axis){.name = arena_strdup(c->to->ctx->arena, from->axis[i].name),
                            .extent = copy_expr(c, from->axis[i].extent),
                            .var = copy_expr(c, from->axis[i].var),
                            .low = copy_expr(c, from->axis[i].low),
                            .high = copy_expr(c, from->axis[i].high)};
    for (int k = 0; k < st.nresults; k++) {
        st.init[k] = copy_expr(c, from->init[k]);
        st.update[k] = copy_expr(c, from->update[k]);
        st.combine[k] = copy_expr(c, from->combine[k]);
    }
    st.where = copy_expr(c, from->where);
    for (int i = 0; i < MAX_RANK; i++)
        st.target[i] = copy_expr(c, from->target[i]);
    vec_push(c->to->ctx->arena, &c->to->stage, st);
}

Stages *stages_copy(Context *ctx, const Stages *s)
{
    Stages *const to = stages_new(ctx, exprs_new(ctx));
    const Copy c = {
        .to = to, .from = s, .var_map = arena_array_of(ctx->arena, s->x->var.len + 1, Expr)};
    for (int i = 0; i < s->tensor.len; i++) {
        StageTensor t = s->tensor.at[i];
        t.name = arena_strdup(ctx->arena, t.name);
        for (int k = 0; k < t.rank; k++)
            t.dim[k] = copy_expr(&c, s->tensor.at[i].dim[k]);
        for (int k = 0; k < t.rank && t.part.is_part; k++) {
            t.part.whole[k] = copy_expr(&c, s->tensor.at[i].part.whole[k]);
            t.part.at[k] = copy_expr(&c, s->tensor.at[i].part.at[k]);
        }
        vec_push(ctx->arena, &to->tensor, t);
    }
    for (int i = 0; i < s->stage.len; i++)
        copy_stage(&c, &s->stage.at[i]);
    return to;
}
