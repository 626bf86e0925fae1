/* What a well-formed Stages is. */
#include <stdlib.h>
#include <string.h>

#include "loop/stage.h"

typedef struct Verify {
    const Stages *s;
    Str *why;
    bool good;
    int stage; /* -1: tensors */
    /* What the expression at hand may use. */
    const char *what;
    const Axis *axis;
    int naxes;
    int nstates;
    bool second; /* state2 as well */
} Verify;

static void __attribute__((format(printf, 2, 3))) wrong(Verify *v, const char *format, ...)
{
    if (!v->good)
        return; /* the first one is told */
    v->good = false;
    if (v->stage >= 0) {
        const Stage *const st = &v->s->stage.at[v->stage];
        str_addf(v->why, "stage %d (%s): ", v->stage,
                 st->nresults > 0 ? v->s->tensor.at[st->result[0]].name : "no result");
    }
    va_list args;
    va_start(args, format);
    str_add(v->why, arena_vprintf(v->s->ctx->arena, format, args));
    va_end(args);
}

static void check_var(Verify *v, Expr e)
{
    const ExprVar *const var = &v->s->x->var.at[expr_node(v->s->x, e)->imm.i];
    if (var->kind == VAR_SYM)
        return;
    for (int i = 0; i < v->naxes; i++)
        if (v->axis[i].var == e)
            return;
    wrong(v, "%s uses '%s', which is no axis there", v->what, var->name);
}

/* Is tensor t, read by stage `reader`, part of a cycle that a SCAN orders? */
static bool read_by_scan(const Verify *v, const StageTensor *t)
{
    for (int i = v->stage; i <= t->stage; i++)
        if (v->s->stage.at[i].form == STAGE_SCAN)
            return true;
    return false;
}

static void check_load(Verify *v, Expr e)
{
    const Exprs *const x = v->s->x;
    const ExprNode *const n = expr_node(x, e);
    if (n->imm.i < 0 || n->imm.i >= v->s->tensor.len) {
        wrong(v, "%s loads an unknown tensor", v->what);
        return;
    }
    const StageTensor *const t = &v->s->tensor.at[n->imm.i];
    if (n->nargs != t->rank)
        wrong(v, "%s loads '%s' of rank %d by %d indices", v->what, t->name, t->rank, n->nargs);
    if (n->dtype != dtype_compute(t->dtype))
        wrong(v, "%s loads '%s' as %s", v->what, t->name, dtype_name((DType)n->dtype));
    for (int i = 0; i < n->nargs; i++)
        if (expr_type(x, expr_arg(x, e, i)) != DT_I64)
            wrong(v, "an index of '%s' is not i64", t->name);
    const bool produced = t->role == TENSOR_TEMP || t->role == TENSOR_OUTPUT;
    if (produced && t->stage < 0)
        wrong(v, "%s loads '%s', which nothing computes", v->what, t->name);
    if (t->stage >= v->stage && !read_by_scan(v, t))
        wrong(v, "%s loads '%s' before it is computed", v->what, t->name);
}

static void check_node(const Exprs *x, Expr e, void *arg)
{
    Verify *const v = arg;
    const ExprNode *const n = expr_node(x, e);
    if (n->lanes != 1)
        wrong(v, "%s has a vector", v->what);
    switch (n->op) {
    case EX_VAR:
        check_var(v, e);
        break;
    case EX_LOAD:
        check_load(v, e);
        break;
    case EX_STATE:
    case EX_STATE2:
        if (n->imm.i < 0 || n->imm.i >= v->nstates || (n->op == EX_STATE2 && !v->second))
            wrong(v, "%s uses a state that is not there", v->what);
        break;
    case EX_RAMP:
    case EX_BROADCAST:
    case EX_VLOAD:
    case EX_MLOAD:
    case EX_GATHER:
    case EX_TILE:
    case EX_REG:
    case EX_RARE:
    case EX_DOT:
    case EX_REDUCE_ADD:
    case EX_REDUCE_MUL:
    case EX_REDUCE_MIN:
    case EX_REDUCE_MAX:
        wrong(v, "%s has an op of expanded loops", v->what);
        break;
    default:
        break;
    }
}

typedef struct Allowed { /* axes and states */
    int first, n, states;
    bool second;
} Allowed;

static void check_expr(Verify *v, const char *what, Expr e, DType t, Allowed allowed)
{
    const Stage *const st = &v->s->stage.at[v->stage];
    v->what = what;
    v->axis = st->axis + allowed.first;
    v->naxes = allowed.n;
    v->nstates = allowed.states;
    v->second = allowed.second;
    if (e == 0) {
        wrong(v, "it has no %s", what);
        return;
    }
    if (expr_type(v->s->x, e) != t)
        wrong(v, "%s is %s, not %s", what, dtype_name(expr_type(v->s->x, e)), dtype_name(t));
    expr_walk(v->s->x, e, check_node, v);
}

static void check_axes(Verify *v, const Stage *st)
{
    if (st->naxes < 0 || st->nreduce < 0 || st->naxes + st->nreduce > MAX_AXES) {
        wrong(v, "too many axes");
        return;
    }
    for (int i = 0; i < st->naxes + st->nreduce; i++) {
        const Axis *const a = &st->axis[i];
        check_expr(v, "an extent", a->extent, DT_I64, (Allowed){0});
        if (a->var == 0 || expr_node(v->s->x, a->var)->op != EX_VAR)
            wrong(v, "axis '%s' has no variable", a->name);
        for (int k = 0; k < i; k++)
            if (strcmp(st->axis[k].name, a->name) == 0 || st->axis[k].var == a->var)
                wrong(v, "axis '%s' stands there twice", a->name);
    }
    if (st->nreduce > 0 && (st->form == STAGE_MAP || st->form == STAGE_SCAN))
        wrong(v, "it has reduction axes");
    if (st->form == STAGE_SCAN && (st->scan_axis < 0 || st->scan_axis >= st->naxes))
        wrong(v, "it has no scan axis");
}

static void check_result(Verify *v, const Stage *st, int k)
{
    const int id = st->result[k];
    if (id < 0 || id >= v->s->tensor.len) {
        wrong(v, "a result is no tensor");
        return;
    }
    const StageTensor *const t = &v->s->tensor.at[id];
    const int first = st->form == STAGE_SCATTER ? st->naxes : 0;
    const int rank = st->form == STAGE_SCATTER ? st->nreduce : st->naxes;
    if (t->stage != v->stage || t->result != k)
        wrong(v, "'%s' has another producer", t->name);
    if (t->role != TENSOR_TEMP && t->role != TENSOR_OUTPUT)
        wrong(v, "'%s' is computed, but is an input or a constant", t->name);
    if (t->rank != rank) {
        wrong(v, "'%s' has rank %d, its axes are %d", t->name, t->rank, rank);
        return;
    }
    for (int i = 0; i < rank; i++)
        if (t->dim[i] != st->axis[first + i].extent)
            wrong(v, "dim %d of '%s' is not the extent of axis '%s'", i, t->name,
                  st->axis[first + i].name);
}

static void check_stage(Verify *v, const Stage *st)
{
    const int all = st->naxes + st->nreduce;
    const bool reduce = st->form == STAGE_REDUCE;
    const bool scatter = st->form == STAGE_SCATTER;
    check_axes(v, st);
    if (st->nresults < 1 || st->nresults > (reduce ? MAX_RESULTS : 1))
        wrong(v, "it has %d results", st->nresults);
    for (int k = 0; k < st->nresults && v->good; k++)
        check_result(v, st, k);
    const Allowed domain = {.n = reduce ? all : st->naxes};
    for (int k = 0; k < st->nresults && v->good; k++) {
        const DType t = dtype_compute(v->s->tensor.at[st->result[k]].dtype);
        Allowed inside = domain;
        inside.states = reduce ? st->nresults : scatter;
        check_expr(v, "the update", st->update[k], t, inside);
        if (reduce)
            check_expr(v, "init", st->init[k], t, (Allowed){.n = st->naxes});
        if (scatter)
            check_expr(v, "init", st->init[k], t, (Allowed){.first = st->naxes, .n = st->nreduce});
        if (st->combine[k])
            check_expr(v, "combine", st->combine[k], t,
                       (Allowed){.n = st->naxes, .states = st->nresults, .second = true});
    }
    if (st->where && v->good)
        check_expr(v, "where", st->where, DT_BOOL, domain);
    for (int i = 0; scatter && i < st->nreduce && v->good; i++)
        check_expr(v, "the target", st->target[i], DT_I64, domain);
}

static bool is_size(const Exprs *x, Expr e)
{
    return e != 0 && expr_type(x, e) == DT_I64 && !expr_node(x, e)->varies;
}

static void check_part(Verify *v, const StageTensor *t)
{
    Exprs *x = v->s->x;
    if (t->role != TENSOR_INPUT && t->role != TENSOR_OUTPUT)
        wrong(v, "'%s' is part of an array, but neither an input nor an output", t->name);
    for (int i = 0; i < t->rank && v->good; i++) {
        if (!is_size(x, t->part.whole[i]) || !is_size(x, t->part.at[i]))
            wrong(v, "'%s' lies nowhere along dim %d", t->name, i);
        else if (!expr_proves_le(x, expr_int(x, 0), t->part.at[i]) ||
                 !expr_proves_le(x, expr_add(x, t->part.at[i], t->dim[i]), t->part.whole[i]))
            wrong(v, "'%s' is not inside its array along dim %d", t->name, i);
        const int64_t block = layout_block(&t->layout, i);
        if (v->good && block > 1 &&
            (expr_modi(x, t->dim[i], block) != expr_int(x, 0) ||
             expr_modi(x, t->part.at[i], block) != expr_int(x, 0)))
            wrong(v, "'%s' cuts a block along dim %d", t->name, i);
    }
}

static void check_tensor(Verify *v, const StageTensor *t, int id)
{
    const DType c = dtype_compute(t->dtype);
    if (t->rank < 0 || t->rank > MAX_RANK)
        wrong(v, "'%s' has rank %d", t->name, t->rank);
    else if (dtype_size(t->dtype) == 0)
        wrong(v, "'%s' is %s", t->name, dtype_name(t->dtype));
    else if (c == DT_NONE)
        wrong(v, "'%s' has no compute type", t->name);
    if (!v->good)
        return;
    for (int i = 0; i < t->rank; i++)
        if (!is_size(v->s->x, t->dim[i]))
            wrong(v, "dim %d of '%s' is no size", i, t->name);
    if (!layout_is_plain(&t->layout) && !layout_valid(&t->layout, t->rank))
        wrong(v, "the layout of '%s' does not fit its rank", t->name);
    if (t->part.is_part)
        check_part(v, t);
    if (t->role == TENSOR_OUTPUT && t->stage < 0)
        wrong(v, "nothing computes the output '%s'", t->name);
    if (t->stage >= v->s->stage.len)
        wrong(v, "'%s' has no such producer", t->name);
    if (stages_find_tensor(v->s, t->name) != id)
        wrong(v, "two tensors are called '%s'", t->name);
}

bool stages_verify(const Stages *s, Str *why)
{
    Verify v = {.s = s, .why = why, .good = true, .stage = -1};
    for (int i = 0; i < s->tensor.len && v.good; i++)
        check_tensor(&v, &s->tensor.at[i], i);
    for (int i = 0; i < s->stage.len && v.good; i++) {
        v.stage = i;
        check_stage(&v, &s->stage.at[i]);
    }
    return v.good;
}
