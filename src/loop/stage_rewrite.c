/* Structural rewrites of stages: the steps of a schedule. Each leaves the meaning as it was. */
#include <string.h>

#include "loop/stage.h"

typedef struct Inline {
    const Stages *s;
    const Stage *st;
    Expr value;
    int loads; /* of the stage's own result inside its value: a SCAN-like cycle */
} Inline;

static Expr inline_load(Exprs *x, Expr e, void *arg)
{
    Inline *w = arg;
    const ExprNode n = *expr_node(x, e);
    if (n.op != EX_LOAD || n.imm.i != w->st->result[0]) {
        return 0;
    }
    Expr from[MAX_AXES], to[MAX_AXES];
    for (int k = 0; k < w->st->naxes; k++) {
        from[k] = w->st->axis[k].var;
        to[k] = expr_rewrite(x, expr_arg(x, e, k), inline_load, arg);
    }
    return expr_subst(x, w->value, w->st->naxes, from, to);
}

static void rewrite_stage(Stages *s, Stage *st, ExprRewriteFn fn, void *arg)
{
    for (int k = 0; k < st->nresults; k++) {
        st->init[k] = st->init[k] ? expr_rewrite(s->x, st->init[k], fn, arg) : 0;
        st->update[k] = st->update[k] ? expr_rewrite(s->x, st->update[k], fn, arg) : 0;
    }
    st->where = st->where ? expr_rewrite(s->x, st->where, fn, arg) : 0;
    for (int k = 0; k < MAX_RANK; k++) {
        st->target[k] = st->target[k] ? expr_rewrite(s->x, st->target[k], fn, arg) : 0;
    }
}

typedef struct Find {
    int tensor;
    bool found;
} Find;

static void find_load(const Exprs *x, Expr e, void *arg)
{
    Find *f = arg;
    f->found |= expr_node(x, e)->op == EX_LOAD && expr_node(x, e)->imm.i == f->tensor;
}

static bool read_before(const Stages *s, int stage, int tensor)
{
    for (int i = 0; i <= stage; i++) {
        Find f = {.tensor = tensor};
        for (int k = 0; k < s->stage.at[i].nresults; k++) {
            expr_walk(s->x, s->stage.at[i].update[k], find_load, &f);
        }
        if (f.found) {
            return true;
        }
    }
    return false;
}

static void remove_stage(Stages *s, int stage)
{
    memmove(&s->stage.at[stage], &s->stage.at[stage + 1],
            sizeof(Stage) * (size_t)(s->stage.len - 1 - stage));
    s->stage.len--;
    for (int t = 0; t < s->tensor.len; t++) {
        if (s->tensor.at[t].stage > stage) {
            s->tensor.at[t].stage--;
        }
    }
}

bool stages_inline(Stages *s, int stage)
{
    const Stage st = s->stage.at[stage];
    if (st.form != STAGE_MAP || s->tensor.at[st.result[0]].role != TENSOR_TEMP ||
        read_before(s, stage, st.result[0])) {
        return false;
    }
    Inline w = {.s = s, .st = &st, .value = st.update[0]};
    const Expr zero = expr_const(s->x, expr_type(s->x, w.value), 0);
    w.value = st.where ? expr_select(s->x, st.where, w.value, zero) : w.value;
    /* What a storage type would have rounded must be rounded still. */
    const DType t = s->tensor.at[st.result[0]].dtype;
    if (dtype_compute(t) != t) {
        return false;
    }
    for (int i = stage + 1; i < s->stage.len; i++) {
        rewrite_stage(s, &s->stage.at[i], inline_load, &w);
    }
    remove_stage(s, stage); /* the tensor stays, without a stage: ids are stable */
    s->tensor.at[st.result[0]].stage = -1;
    return true;
}

static void insert_stage(Stages *s, int at, Stage st)
{
    vec_push(s->ctx->arena, &s->stage, st);
    memmove(&s->stage.at[at + 1], &s->stage.at[at],
            sizeof(Stage) * (size_t)(s->stage.len - 1 - at));
    s->stage.at[at] = st;
    for (int t = 0; t < s->tensor.len; t++) {
        if (s->tensor.at[t].stage >= at) {
            s->tensor.at[t].stage++;
        }
    }
    for (int k = 0; k < st.nresults; k++) {
        s->tensor.at[st.result[k]].stage = at;
        s->tensor.at[st.result[k]].result = k;
    }
}

int stages_cache_write(Stages *s, int stage)
{
    const Stage old = s->stage.at[stage];
    if (old.nresults != 1 || old.form == STAGE_SCAN || old.form == STAGE_SCATTER) {
        return -1;
    }
    const int result = old.result[0];
    const StageTensor t = s->tensor.at[result];
    const char *name = arena_printf(s->ctx->arena, "%s.acc", t.name);
    const int acc = stages_tensor(s, name, TENSOR_TEMP, dtype_compute(t.dtype), t.rank, t.dim);
    StageBuild b = stage_begin(s, t.rank, t.dim);
    Stage copy = {.form = STAGE_MAP, .naxes = t.rank, .nresults = 1, .result = {result}};
    for (int k = 0; k < t.rank; k++) {
        b.axis[k].name = old.axis[k].name;
    }
    memcpy(copy.axis, b.axis, sizeof copy.axis);
    copy.update[0] = stages_load(s, acc, b.i);
    Stage moved = old;
    moved.result[0] = acc;
    insert_stage(s, stage, moved);
    s->stage.at[stage + 1] = copy;
    return stage;
}

typedef struct Redirect {
    int from, to;
} Redirect;

static Expr redirect_load(Exprs *x, Expr e, void *arg)
{
    const Redirect *r = arg;
    const ExprNode n = *expr_node(x, e);
    if (n.op != EX_LOAD) {
        return 0;
    }
    Expr index[MAX_RANK];
    for (int k = 0; k < n.nargs; k++) {
        index[k] = expr_rewrite(x, expr_arg(x, e, k), redirect_load, arg);
    }
    return expr_load(x, (DType)n.dtype, n.imm.i == r->from ? r->to : (int)n.imm.i, n.nargs, index);
}

int stages_cache_read(Stages *s, int tensor, int reader, const char *name)
{
    const StageTensor t = s->tensor.at[tensor];
    if (t.stage >= reader) {
        return -1;
    }
    const int copy = stages_tensor(s, name, TENSOR_TEMP, t.dtype, t.rank, t.dim);
    const StageBuild b = stage_begin(s, t.rank, t.dim);
    Stage st = {.form = STAGE_MAP, .naxes = t.rank, .nresults = 1, .result = {copy}};
    memcpy(st.axis, b.axis, sizeof st.axis);
    st.update[0] = stages_load(s, tensor, b.i);
    Redirect r = {.from = tensor, .to = copy};
    rewrite_stage(s, &s->stage.at[reader], redirect_load, &r);
    insert_stage(s, reader, st);
    return reader;
}
