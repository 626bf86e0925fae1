/* See rfactor.h. */
#include "loop/rfactor.h"

#include <string.h>

/* state2_k -> element of the partial result, in the new outer reduction. */
typedef struct Combine {
    Stages *s;
    const int *partial;
    const Expr *index;
} Combine;

static Expr load_partial(Exprs *x, Expr e, void *arg)
{
    const Combine *c = arg;
    const ExprNode *n = expr_node(x, e);
    return n->op == EX_STATE2 ? stages_load(c->s, c->partial[n->imm.i], c->index) : 0;
}

static Expr state_to_init(Exprs *x, Expr e, void *arg)
{
    const Stage *st = arg;
    const ExprNode *n = expr_node(x, e);
    return n->op == EX_STATE || n->op == EX_STATE2 ? st->init[n->imm.i] : 0;
}

/* Elements that are left when the reduction's one axis is shared out, if that is known: the final
 * stage takes them, and no lane asks where it is. */
static int64_t rest_of(const Exprs *x, const Stage *st, Expr extent, int lanes)
{
    int64_t n;
    return st->nreduce == 1 && !st->where && expr_is_int(x, extent, &n) && n >= lanes ? n % lanes
                                                                                      : 0;
}

/* Every lane starts from init, so init must be neutral: combine(init, init) == init. */
static bool init_is_neutral(Exprs *x, const Stage *st)
{
    for (int k = 0; k < st->nresults; k++) {
        if (!st->combine[k] || !expr_is_const(x, st->init[k], NULL) ||
            expr_rewrite(x, st->combine[k], state_to_init, (void *)st) != st->init[k]) {
            return false;
        }
    }
    return true;
}

/* "l", or with more of them where a stage was split before. */
static const char *lane_name(Arena *arena, const Stage *st)
{
    const char *name = "l";
    for (int k = 0; k < st->naxes + st->nreduce; k++) {
        if (strcmp(st->axis[k].name, name) == 0) {
            name = arena_printf(arena, "%sl", name);
            k = -1;
        }
    }
    return name;
}

/* A temporary for each result, with one dim of `width` more; its stage is `stage`. */
static void make_results(Stages *s, const Stage *old, const char *suffix, int width, int stage,
                         Stage *out)
{
    for (int k = 0; k < old->nresults; k++) {
        const StageTensor *t = &s->tensor.at[old->result[k]];
        Expr dims[MAX_RANK];
        memcpy(dims, t->dim, sizeof dims);
        dims[old->naxes] = expr_int(s->x, width);
        const char *name = arena_printf(s->ctx->arena, "%s.%s", t->name, suffix);
        const DType type = dtype_compute(t->dtype);
        out->result[k] = stages_tensor(s, name, TENSOR_TEMP, type, old->naxes + 1, dims);
        s->tensor.at[out->result[k]].stage = stage;
        s->tensor.at[out->result[k]].result = k;
    }
}

/* Variables of its own for the domain axes: the partial stage keeps the old ones. */
static void renew_axes(Exprs *x, const Stage *old, Stage *st)
{
    for (int k = 0; k < old->naxes; k++) {
        const Expr fresh = expr_loop_var(x, old->axis[k].name, old->axis[k].extent);
        for (int j = 0; j < old->nresults; j++) {
            st->init[j] = expr_subst(x, st->init[j], 1, &old->axis[k].var, &fresh);
            st->update[j] = expr_subst(x, st->update[j], 1, &old->axis[k].var, &fresh);
        }
        st->axis[k].var = fresh;
    }
}

/* s.met: `lanes` partial results meet as vectors of `meet`. */
static Stage meet_stage(Stages *s, const Stage *old, const Stage *part, const char *lane_axis,
                        int a, int lanes, int meet, int stage)
{
    Exprs *x = s->x;
    Stage st = *old;
    const Expr width = expr_int(x, meet), lane = expr_loop_var(x, lane_axis, width);
    const Expr count = expr_int(x, lanes / meet - 1),
               next = expr_loop_var(x, old->axis[a].name, count);
    st.naxes = old->naxes + 1;
    st.nreduce = 1;
    st.where = 0;
    st.axis[old->naxes] = (Axis){.name = lane_axis, .extent = width, .var = lane};
    st.axis[st.naxes] = (Axis){.name = old->axis[a].name, .extent = count, .var = next};
    make_results(s, old, "met", meet, stage, &st);
    Expr first[MAX_RANK], others[MAX_RANK];
    for (int k = 0; k < old->naxes; k++) {
        first[k] = others[k] = old->axis[k].var;
    }
    first[old->naxes] = lane;
    others[old->naxes] = expr_add(x, expr_muli(x, expr_addi(x, next, 1), meet), lane);
    Combine c = {.s = s, .partial = part->result, .index = others};
    for (int k = 0; k < old->nresults; k++) {
        st.init[k] = stages_load(s, part->result[k], first);
        st.update[k] = expr_rewrite(x, old->combine[k], load_partial, &c);
    }
    renew_axes(x, old, &st);
    return st;
}

/* The final stage: starts from the first of `merged` partial results, merges the others, then the
 * elements that are left. */
static Stage final_stage(Stages *s, const Stage *old, const Stage *source, const char *lane_axis,
                         int a, int merged, Expr whole, int64_t left)
{
    Exprs *x = s->x;
    Stage final = *old;
    final.nreduce = 1;
    const Expr count = expr_int(x, merged - 1 + left), rest = expr_loop_var(x, lane_axis, count);
    const Expr merges = expr_lt(x, rest, expr_int(x, merged - 1));
    const Expr element = expr_add(x, whole, expr_addi(x, rest, 1 - merged));
    final.axis[old->naxes] = (Axis){.name = lane_axis, .extent = count, .var = rest};
    final.where = 0;
    Expr first[MAX_RANK], next[MAX_RANK];
    for (int k = 0; k < old->naxes; k++) {
        first[k] = next[k] = old->axis[k].var;
    }
    first[old->naxes] = expr_int(x, 0);
    next[old->naxes] = expr_min(x, expr_addi(x, rest, 1), expr_int(x, merged - 1));
    Combine c = {.s = s, .partial = source->result, .index = next};
    for (int k = 0; k < old->nresults; k++) {
        final.init[k] = stages_load(s, source->result[k], first);
        final.update[k] =
            expr_select(x, merges, expr_rewrite(x, old->combine[k], load_partial, &c),
                        expr_subst(x, old->update[k], 1, &old->axis[a].var, &element));
    }
    renew_axes(x, old, &final);
    return final;
}

/* Puts n stages in front of `stage`, which make the tensors from first_tensor on. */
static void insert_stages(Stages *s, int stage, int n, const Stage *at, int first_tensor)
{
    for (int i = 0; i < n; i++) {
        vec_push(s->ctx->arena, &s->stage, at[i]);
    }
    memmove(&s->stage.at[stage + n], &s->stage.at[stage],
            sizeof(Stage) * (size_t)(s->stage.len - n - stage));
    memcpy(&s->stage.at[stage], at, sizeof(Stage) * (size_t)n);
    for (int t = 0; t < first_tensor; t++) {
        s->tensor.at[t].stage += s->tensor.at[t].stage >= stage ? n : 0;
    }
}

int stages_rfactor(Stages *s, int stage, const char *axis, int lanes, int meet, bool apart)
{
    Exprs *x = s->x;
    const Stage old = s->stage.at[stage];
    int a = -1;
    for (int k = old.naxes; k < old.naxes + old.nreduce; k++) {
        a = strcmp(old.axis[k].name, axis) == 0 ? k : a;
    }
    if (old.form != STAGE_REDUCE || a < 0 || lanes < 2 || old.naxes + 1 > MAX_RANK ||
        !init_is_neutral(x, &old) ||
        (meet != 0 && (meet < 2 || meet >= lanes || lanes % meet != 0))) {
        return -1;
    }
    Arena *arena = s->ctx->arena;
    const int first_tensor = s->tensor.len;
    /* The partial stage: domain axes, the lane, then the reduction axes with `axis` shortened. */
    Stage part = old;
    const Expr width = expr_int(x, lanes);
    const char *const lane_axis = lane_name(arena, &old);
    const Expr lane = expr_loop_var(x, lane_axis, width);
    const Expr extent = old.axis[a].extent;
    const int64_t left = rest_of(x, &old, extent, lanes);
    const Expr outer_extent = left ? expr_div(x, extent, width) : expr_ceil_div(x, extent, width);
    const Expr outer = expr_loop_var(x, axis, outer_extent);
    part.naxes = old.naxes + 1;
    memmove(&part.axis[part.naxes], &old.axis[old.naxes], sizeof(Axis) * (size_t)old.nreduce);
    part.axis[old.naxes] = (Axis){.name = lane_axis, .extent = width, .var = lane};
    part.axis[a + 1] = (Axis){.name = old.axis[a].name, .extent = outer_extent, .var = outer};
    const Expr whole = apart ? expr_add(x, expr_mul(x, lane, outer_extent), outer)
                             : expr_add(x, expr_muli(x, outer, lanes), lane);
    const Expr inside = expr_lt(x, whole, extent);
    make_results(s, &old, "rf", lanes, stage, &part);
    for (int k = 0; k < old.nresults; k++) {
        part.init[k] = old.init[k];
        part.update[k] = expr_subst(x, old.update[k], 1, &old.axis[a].var, &whole);
    }
    part.where = old.where ? expr_subst(x, old.where, 1, &old.axis[a].var, &whole) : 0;
    if (!left && !expr_is_int(x, inside, NULL)) {
        part.where = part.where ? expr_and(x, part.where, inside) : inside;
    }
    Stage before[2] = {part};
    if (meet != 0) {
        before[1] = meet_stage(s, &old, &part, lane_axis, a, lanes, meet, stage + 1);
    }
    const Stage *const source = &before[meet != 0];
    const int merged = meet != 0 ? meet : lanes;
    s->stage.at[stage] =
        final_stage(s, &old, source, lane_axis, a, merged, expr_muli(x, outer_extent, lanes), left);
    insert_stages(s, stage, meet != 0 ? 2 : 1, before, first_tensor);
    return stage;
}
