/* Building, copying and verifying of stages. See stage.h. */
#include "loop/stage.h"

#include <assert.h>
#include <string.h>

Stages *stages_new(Context *ctx, Exprs *x)
{
    Stages *s = arena_new_of(ctx->arena, Stages);
    s->ctx = ctx;
    s->x = x;
    return s;
}

int stages_find_tensor(const Stages *s, const char *name)
{
    for (int i = 0; i < s->tensor.len; i++) {
        if (strcmp(s->tensor.at[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

/* Names are identifiers of the text form: letters, digits, '_' and '.'. */
static const char *clean_name(Stages *s, const char *name)
{
    char *clean = arena_strdup(s->ctx->arena, name && name[0] ? name : "t");
    for (char *p = clean; *p; p++) {
        const bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';
        const bool later = (*p >= '0' && *p <= '9') || *p == '.';
        if (!letter && !(later && p > clean)) {
            *p = '_';
        }
    }
    const char *unique = clean;
    for (int k = 2; stages_find_tensor(s, unique) >= 0; k++) {
        unique = arena_printf(s->ctx->arena, "%s_%d", clean, k);
    }
    return unique;
}

int stages_tensor(Stages *s, const char *name, TensorRole role, DType t, int rank, const Expr *dims)
{
    assert(rank >= 0 && rank <= MAX_RANK);
    StageTensor tensor = {.name = clean_name(s, name), .dtype = t, .rank = rank, .role = role,
                          .stage = -1};
    for (int k = 0; k < rank; k++) {
        tensor.dim[k] = dims[k];
    }
    vec_push(s->ctx->arena, &s->tensor, tensor);
    return s->tensor.len - 1;
}

Expr stages_load(Stages *s, int tensor, const Expr *index)
{
    const StageTensor *t = &s->tensor.at[tensor];
    return expr_load(s->x, dtype_compute(t->dtype), tensor, t->rank, index);
}

static Axis new_axis(Stages *s, const char *name, Expr extent)
{
    return (Axis){.name = name, .extent = extent, .var = expr_loop_var(s->x, name, extent)};
}

StageBuild stage_begin(Stages *s, int rank, const Expr *dims)
{
    StageBuild b = {.naxes = rank};
    assert(rank <= MAX_AXES);
    for (int k = 0; k < rank; k++) {
        b.axis[k] = new_axis(s, arena_printf(s->ctx->arena, "i%d", k), dims[k]);
        b.i[k] = b.axis[k].var;
    }
    return b;
}

void stage_reduce_axes(Stages *s, StageBuild *b, int n, const Expr *dims)
{
    assert(b->naxes + b->nreduce + n <= MAX_AXES);
    for (int k = 0; k < n; k++) {
        const int at = b->naxes + b->nreduce;
        b->axis[at] = new_axis(s, arena_printf(s->ctx->arena, "r%d", b->nreduce), dims[k]);
        b->r[b->nreduce++] = b->axis[at].var;
    }
}

static Stage from_build(const StageBuild *b, StageForm form)
{
    Stage st = {.form = form, .naxes = b->naxes, .nreduce = b->nreduce};
    memcpy(st.axis, b->axis, sizeof st.axis);
    return st;
}

static int add_stage(Stages *s, Stage st)
{
    vec_push(s->ctx->arena, &s->stage, st);
    const int id = s->stage.len - 1;
    for (int k = 0; k < st.nresults; k++) {
        s->tensor.at[st.result[k]].stage = id;
        s->tensor.at[st.result[k]].result = k;
    }
    return id;
}

static int result_tensor(Stages *s, const Axis *axis, int naxes, const char *name, DType t)
{
    Expr dims[MAX_RANK];
    assert(naxes <= MAX_RANK);
    for (int k = 0; k < naxes; k++) {
        dims[k] = axis[k].extent;
    }
    return stages_tensor(s, name, TENSOR_TEMP, t, naxes, dims);
}

int stage_map(Stages *s, const StageBuild *b, const char *name, DType t, Expr value)
{
    Stage st = from_build(b, STAGE_MAP);
    st.nresults = 1;
    st.result[0] = result_tensor(s, b->axis, b->naxes, name, t);
    st.update[0] = value;
    add_stage(s, st);
    return st.result[0];
}

void stage_reduce_n(Stages *s, const StageBuild *b, int n, const char *const *names, const DType *t,
                    const Expr *init, const Expr *update, const Expr *combine, int *out)
{
    Stage st = from_build(b, STAGE_REDUCE);
    assert(n >= 1 && n <= MAX_RESULTS);
    st.nresults = n;
    for (int k = 0; k < n; k++) {
        st.result[k] = out[k] = result_tensor(s, b->axis, b->naxes, names[k], t[k]);
        st.init[k] = init[k];
        st.update[k] = update[k];
        st.combine[k] = combine ? combine[k] : 0;
    }
    add_stage(s, st);
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
    Stage *st = &s->stage.at[s->tensor.at[tensor].stage];
    st->where = st->where ? expr_and(s->x, st->where, where) : where;
}

int stage_scan_declare(Stages *s, const char *name, DType t, int rank, const Expr *dims)
{
    return stages_tensor(s, name, TENSOR_TEMP, t, rank, dims);
}

void stage_scan_define(Stages *s, const StageBuild *b, int tensor, int scan_axis, Expr value)
{
    Stage st = from_build(b, STAGE_SCAN);
    st.scan_axis = scan_axis;
    st.nresults = 1;
    st.result[0] = tensor;
    st.update[0] = value;
    add_stage(s, st);
}

int stage_scatter(Stages *s, const StageBuild *b, const StageBuild *base, const char *name, DType t,
                  Expr init, const Expr *target, Expr update, Expr where)
{
    Stage st = from_build(b, STAGE_SCATTER);
    assert(b->naxes + base->naxes <= MAX_AXES && b->nreduce == 0);
    st.nreduce = base->naxes;
    memcpy(st.axis + b->naxes, base->axis, sizeof(Axis) * (size_t)base->naxes);
    st.nresults = 1;
    st.result[0] = result_tensor(s, base->axis, base->naxes, name, t);
    st.init[0] = init;
    st.update[0] = update;
    st.where = where;
    for (int k = 0; k < base->naxes; k++) {
        st.target[k] = target[k];
    }
    add_stage(s, st);
    return st.result[0];
}

/* ---- copying ---- */

static void import_expr(Exprs *x, const Exprs *from, Expr *e, Expr *map)
{
    *e = *e ? expr_import(x, from, *e, map) : 0;
}

Stages *stages_copy(Context *ctx, const Stages *from)
{
    Exprs *x = exprs_new(ctx);
    Stages *s = stages_new(ctx, x);
    Expr *map = arena_array_of(ctx->arena, from->x->var.len + 1, Expr);
    for (int i = 0; i < from->tensor.len; i++) {
        StageTensor t = from->tensor.at[i];
        t.name = arena_strdup(ctx->arena, t.name);
        for (int k = 0; k < t.rank; k++) {
            import_expr(x, from->x, &t.dim[k], map);
        }
        vec_push(ctx->arena, &s->tensor, t);
    }
    for (int i = 0; i < from->stage.len; i++) {
        Stage st = from->stage.at[i];
        for (int a = 0; a < st.naxes + st.nreduce; a++) {
            st.axis[a].name = arena_strdup(ctx->arena, st.axis[a].name);
            import_expr(x, from->x, &st.axis[a].extent, map);
            import_expr(x, from->x, &st.axis[a].var, map);
        }
        for (int k = 0; k < st.nresults; k++) {
            import_expr(x, from->x, &st.init[k], map);
            import_expr(x, from->x, &st.update[k], map);
            import_expr(x, from->x, &st.combine[k], map);
        }
        import_expr(x, from->x, &st.where, map);
        for (int k = 0; k < MAX_RANK; k++) {
            import_expr(x, from->x, &st.target[k], map);
        }
        vec_push(ctx->arena, &s->stage, st);
    }
    return s;
}

/* ---- verifying ---- */

typedef struct Check {
    const Stages *s;
    int stage;
    Str *why;
    bool ok;
} Check;

static void refuse(Check *c, const char *text)
{
    if (c->ok) {
        const Stage *st = &c->s->stage.at[c->stage];
        str_addf(c->why, "stage '%s': %s", c->s->tensor.at[st->result[0]].name, text);
    }
    c->ok = false;
}

static void check_node(const Exprs *x, Expr e, void *arg)
{
    Check *c = arg;
    const ExprNode *n = expr_node(x, e);
    if (n->lanes != 1) {
        refuse(c, "a vector term");
    }
    if (n->op == EX_LOAD) {
        if (n->imm.i < 0 || n->imm.i >= c->s->tensor.len) {
            refuse(c, "a load of no tensor");
            return;
        }
        const StageTensor *t = &c->s->tensor.at[n->imm.i];
        if (n->nargs != t->rank || n->dtype != dtype_compute(t->dtype)) {
            refuse(c, "a load of the wrong rank or type");
        }
        const bool scan = c->s->stage.at[c->stage].form == STAGE_SCAN;
        const bool later = t->stage > c->stage && c->s->stage.at[t->stage].form != STAGE_SCAN;
        if ((t->stage == c->stage && !scan) || later) {
            refuse(c, "a load of what is computed later");
        }
    }
}

static void check_expr(Check *c, Expr e, DType want)
{
    if (!e) {
        refuse(c, "a missing term");
        return;
    }
    expr_walk(c->s->x, e, check_node, c);
    if (expr_type(c->s->x, e) != want) {
        refuse(c, "a term of the wrong type");
    }
}

static void check_stage(Check *c)
{
    const Stage *st = &c->s->stage.at[c->stage];
    for (int k = 0; k < st->nresults; k++) {
        const StageTensor *t = &c->s->tensor.at[st->result[k]];
        const DType type = dtype_compute(t->dtype);
        const int rank = st->form == STAGE_SCATTER ? st->nreduce : st->naxes;
        if (t->rank != rank || t->stage != c->stage || t->result != k) {
            refuse(c, "a result that does not match the domain");
        }
        check_expr(c, st->update[k], type);
        if (st->form == STAGE_REDUCE || st->form == STAGE_SCATTER) {
            check_expr(c, st->init[k], type);
        }
        if (st->combine[k]) {
            check_expr(c, st->combine[k], type);
        }
    }
    if (st->where) {
        check_expr(c, st->where, DT_BOOL);
    }
    for (int k = 0; st->form == STAGE_SCATTER && k < st->nreduce; k++) {
        check_expr(c, st->target[k], DT_I64);
    }
}

bool stages_verify(const Stages *s, Str *why)
{
    Check c = {.s = s, .why = why, .ok = true};
    for (c.stage = 0; c.stage < s->stage.len; c.stage++) {
        check_stage(&c);
    }
    return c.ok;
}
