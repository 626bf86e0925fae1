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

/* Elements that are left when the reduction's one axis is shared out, if that is known: the final stage takes them, and
 * no lane asks where it is. */
static int64_t rest_of(const Exprs *x, const Stage *st, Expr extent, int lanes)
{
    int64_t n;
    return st->nreduce == 1 && !st->where && expr_is_int(x, extent, &n) && n >= lanes ? n % lanes : 0;
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

int stages_rfactor(Stages *s, int stage, const char *axis, int lanes, bool apart)
{
    Exprs *x = s->x;
    const Stage old = s->stage.at[stage];
    int a = -1;
    for (int k = old.naxes; k < old.naxes + old.nreduce; k++) {
        a = strcmp(old.axis[k].name, axis) == 0 ? k : a;
    }
    if (old.form != STAGE_REDUCE || a < 0 || lanes < 2 || old.naxes + 1 > MAX_RANK ||
        !init_is_neutral(x, &old)) {
        return -1;
    }
    Arena *arena = s->ctx->arena;
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
    for (int k = 0; k < old.nresults; k++) {
        const StageTensor *t = &s->tensor.at[old.result[k]];
        Expr dims[MAX_RANK];
        memcpy(dims, t->dim, sizeof dims);
        dims[old.naxes] = width;
        const char *name = arena_printf(arena, "%s.rf", t->name);
        part.result[k] = stages_tensor(s, name, TENSOR_TEMP, dtype_compute(t->dtype),
                                       old.naxes + 1, dims);
        s->tensor.at[part.result[k]].stage = stage;
        s->tensor.at[part.result[k]].result = k;
        part.init[k] = old.init[k];
        part.update[k] = expr_subst(x, old.update[k], 1, &old.axis[a].var, &whole);
    }
    part.where = old.where ? expr_subst(x, old.where, 1, &old.axis[a].var, &whole) : 0;
    if (!left && !expr_is_int(x, inside, NULL)) {
        part.where = part.where ? expr_and(x, part.where, inside) : inside;
    }
    /* The final stage: starts from lane 0's partial, merges the others, then the elements that are left. */
    Stage final = old;
    final.nreduce = 1;
    const Expr count = expr_int(x, lanes - 1 + left), rest = expr_loop_var(x, lane_axis, count);
    const Expr merges = expr_lt(x, rest, expr_int(x, lanes - 1));
    const Expr element = expr_add(x, expr_muli(x, outer_extent, lanes), expr_addi(x, rest, 1 - lanes));
    final.axis[old.naxes] = (Axis){.name = lane_axis, .extent = count, .var = rest};
    final.where = 0;
    Expr first[MAX_RANK], next[MAX_RANK];
    for (int k = 0; k < old.naxes; k++) {
        first[k] = next[k] = old.axis[k].var;
    }
    first[old.naxes] = expr_int(x, 0);
    next[old.naxes] = expr_min(x, expr_addi(x, rest, 1), expr_int(x, lanes - 1));
    Combine c = {.s = s, .partial = part.result, .index = next};
    for (int k = 0; k < old.nresults; k++) {
        final.init[k] = stages_load(s, part.result[k], first);
        final.update[k] = expr_select(x, merges, expr_rewrite(x, old.combine[k], load_partial, &c),
                                      expr_subst(x, old.update[k], 1, &old.axis[a].var, &element));
    }
    /* The partial keeps the old axis variables, so the final one gets its own. */
    for (int k = 0; k < old.naxes; k++) {
        const Expr fresh = expr_loop_var(x, old.axis[k].name, old.axis[k].extent);
        for (int j = 0; j < old.nresults; j++) {
            final.init[j] = expr_subst(x, final.init[j], 1, &old.axis[k].var, &fresh);
            final.update[j] = expr_subst(x, final.update[j], 1, &old.axis[k].var, &fresh);
        }
        final.axis[k].var = fresh;
    }
    vec_push(arena, &s->stage, final);
    memmove(&s->stage.at[stage + 1], &s->stage.at[stage],
            sizeof(Stage) * (size_t)(s->stage.len - 1 - stage));
    s->stage.at[stage] = part;
    s->stage.at[stage + 1] = final;
    for (int t = 0; t < s->tensor.len; t++) {
        StageTensor *tensor = &s->tensor.at[t];
        bool is_part = false;
        for (int k = 0; k < part.nresults; k++) {
            is_part |= part.result[k] == t;
        }
        if (tensor->stage >= stage && !is_part) {
            tensor->stage++;
        }
    }
    return stage;
}
