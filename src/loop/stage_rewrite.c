/* Structural rewrites of stages: the first steps of a schedule. */
#include <assert.h>
#include <string.h>

#include "loop/access.h"

/* The stages moved: tensors follow. */
static void renumber(Stages *s)
{
    for (int i = 0; i < s->stage.len; i++)
        for (int k = 0; k < s->stage.at[i].nresults; k++)
            s->tensor.at[s->stage.at[i].result[k]].stage = i;
}

static void insert_stage(Stages *s, int at, const Stage *st)
{
    const Stage copy = *st;
    vec_push(s->ctx->arena, &s->stage, copy);
    memmove(&s->stage.at[at + 1], &s->stage.at[at],
            sizeof(Stage) * (size_t)(s->stage.len - 1 - at));
    s->stage.at[at] = copy;
    renumber(s);
}

/* ---- inline ---- */
typedef struct Inline {
    int tensor, rank;
    Expr var[MAX_RANK];
    Expr value;
} Inline;

static Expr inline_load(Exprs *x, Expr e, void *arg)
{
    const Inline *const in = arg;
    const ExprNode *const n = expr_node(x, e);
    if (n->op != EX_LOAD || n->imm.i != in->tensor)
        return 0;
    Expr index[MAX_RANK]; /* may load the same tensor: y[y[i]] */
    for (int i = 0; i < in->rank; i++)
        index[i] = expr_rewrite(x, expr_arg(x, e, i), inline_load, arg);
    return expr_subst(x, in->value, in->rank, in->var, index);
}

/* Is the value 0 or an element of a tensor of that type, as it is? */
static bool is_element_of(const Stages *s, Expr e, DType t)
{
    const ExprNode *const n = expr_node(s->x, e);
    if (n->op == EX_LOAD)
        return s->tensor.at[n->imm.i].dtype == t;
    if (n->op == EX_SELECT)
        return is_element_of(s, expr_arg(s->x, e, 1), t) &&
               is_element_of(s, expr_arg(s->x, e, 2), t);
    return n->op == EX_FLOAT && n->imm.f == 0;
}

static bool loads_tensor(const Exprs *x, Expr e, int tensor)
{
    const ExprNode *const n = expr_node(x, e);
    bool loads = n->op == EX_LOAD && n->imm.i == tensor;
    for (int k = 0; k < n->nargs && !loads; k++)
        loads = loads_tensor(x, expr_arg(x, e, k), tensor);
    return loads;
}

/* Are the tensor's elements in the value only as they are? */
static bool only_moves(const Exprs *x, Expr e, int tensor)
{
    const ExprNode *const n = expr_node(x, e);
    if (n->op == EX_LOAD && n->imm.i == tensor)
        return true;
    if (n->op == EX_SELECT)
        return !loads_tensor(x, expr_arg(x, e, 0), tensor) &&
               only_moves(x, expr_arg(x, e, 1), tensor) && only_moves(x, expr_arg(x, e, 2), tensor);
    return !loads_tensor(x, e, tensor);
}

/* A result of a storage type is rounded as it is stored. Does nobody see that: because the values
 * have been rounded to that type already, or because each reader does, and nothing before? */
static bool rounds_unseen(const Stages *s, int stage)
{
    const Stage *const st = &s->stage.at[stage];
    const int result = st->result[0];
    const DType t = s->tensor.at[result].dtype;
    bool unseen = true;
    for (int i = 0; i < s->stage.len && unseen; i++) {
        const Stage *const r = &s->stage.at[i];
        if (stage_loads(s, r, result))
            unseen = r->form == STAGE_MAP && r->nresults == 1 && !r->where &&
                     s->tensor.at[r->result[0]].dtype == t &&
                     only_moves(s->x, r->update[0], result);
    }
    return unseen || dtype_compute(t) == t || is_element_of(s, st->update[0], t);
}

static bool can_inline(const Stages *s, int stage)
{
    const Stage *const st = &s->stage.at[stage];
    if (st->form != STAGE_MAP || st->nresults != 1)
        return false;
    const StageTensor *const t = &s->tensor.at[st->result[0]];
    if (t->role != TENSOR_TEMP || !rounds_unseen(s, stage) || last_producer(s, st) >= stage)
        return false;
    for (int i = 0; i < stage; i++)
        if (stage_loads(s, &s->stage.at[i], st->result[0]))
            return false;
    return true;
}

bool stages_inline(Stages *s, int stage)
{
    if (!can_inline(s, stage))
        return false;
    const Stage map = s->stage.at[stage];
    Exprs *const x = s->x;
    Inline in = {.tensor = map.result[0], .rank = map.naxes, .value = map.update[0]};
    if (map.where)
        in.value = expr_select(x, map.where, in.value, expr_const(x, expr_type(x, in.value), 0));
    for (int i = 0; i < map.naxes; i++)
        in.var[i] = map.axis[i].var;
    memmove(&s->stage.at[stage], &s->stage.at[stage + 1],
            sizeof(Stage) * (size_t)(s->stage.len - 1 - stage));
    s->stage.len--;
    s->tensor.at[map.result[0]].stage = -1;
    renumber(s);
    for (int i = stage; i < s->stage.len; i++)
        stage_rewrite(x, &s->stage.at[i], inline_load, &in);
    return true;
}

/* ---- caches ---- */
/* A MAP over fresh axes, named as those of `like`, that copies `from` into `to`. */
static Stage copy_stage(Stages *s, int from, int to, const Axis *like)
{
    const int rank = s->tensor.at[from].rank;
    Stage st = {.form = STAGE_MAP, .naxes = rank, .nresults = 1, .result = {to}};
    Expr index[MAX_RANK];
    for (int i = 0; i < rank; i++) {
        const Expr extent = s->tensor.at[from].dim[i];
        st.axis[i] = (Axis){.name = like[i].name,
                            .extent = extent,
                            .var = expr_loop_var(s->x, like[i].name, extent)};
        index[i] = st.axis[i].var;
    }
    st.update[0] = stages_load(s, from, index);
    return st;
}

int stages_cache_write(Stages *s, int stage)
{
    const Stage old = s->stage.at[stage];
    if (old.form == STAGE_SCAN)
        return -1;
    const Axis *const like = old.form == STAGE_SCATTER ? old.axis + old.naxes : old.axis;
    for (int k = 0; k < old.nresults; k++) {
        const StageTensor result = s->tensor.at[old.result[k]];
        const char *const name = arena_printf(s->ctx->arena, "%s.acc", result.name);
        /* A SCATTER's elements are read back as they are stored. */
        const DType t = old.form == STAGE_SCATTER ? result.dtype : dtype_compute(result.dtype);
        const int acc = stages_tensor(s, name, TENSOR_TEMP, t, result.rank, result.dim);
        s->stage.at[stage].result[k] = acc;
        s->tensor.at[acc].result = k;
        s->tensor.at[old.result[k]].result = 0;
        const Stage copy = copy_stage(s, acc, old.result[k], like);
        insert_stage(s, stage + 1 + k, &copy);
    }
    return stage;
}

typedef struct Redirect {
    int from, to;
} Redirect;

static Expr redirect_load(Exprs *x, Expr e, void *arg)
{
    const Redirect *const r = arg;
    const ExprNode n = *expr_node(x, e);
    if (n.op != EX_LOAD || n.imm.i != r->from)
        return 0;
    Expr index[MAX_RANK];
    assert(n.nargs <= MAX_RANK);
    for (int i = 0; i < n.nargs; i++)
        index[i] = expr_rewrite(x, expr_arg(x, e, i), redirect_load, arg);
    return expr_load(x, (DType)n.dtype, r->to, n.nargs, index);
}

int stages_cache_read(Stages *s, int tensor, int reader, const char *name)
{
    const StageTensor t = s->tensor.at[tensor];
    if (t.stage >= reader || (t.role == TENSOR_TEMP && t.stage < 0)) /* not yet; not any more */
        return -1;
    const StageBuild b = stage_begin(s, t.rank, t.dim); /* for the names of the axes */
    Redirect r = {.from = tensor};
    r.to = stages_tensor(s, name, TENSOR_TEMP, t.dtype, t.rank, t.dim);
    const Axis *like = b.axis;
    if (t.stage >= 0) {
        const Stage *const producer = &s->stage.at[t.stage];
        like = producer->form == STAGE_SCATTER ? producer->axis + producer->naxes : producer->axis;
    }
    const Stage copy = copy_stage(s, tensor, r.to, like);
    stage_rewrite(s->x, &s->stage.at[reader], redirect_load, &r);
    insert_stage(s, reader, &copy);
    return reader;
}
