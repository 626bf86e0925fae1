/* Lowering: the statements of one element. Terms of a stage become terms of loops: axes their
 * values in the nest, loads those of the buffer where the tensor is now. See lower_parts.h. */
#include "loop/lower_parts.h"

int lower_for(Lowerer *w, int parent, Expr var, Expr extent, LoopMark mark)
{
    if ((mark == MARK_VECTOR || mark == MARK_UNROLL) && !expr_is_int(w->x, extent, NULL)) {
        fail(w->ctx, ERR_UNSUPPORTED, "loop '%s' has no constant extent",
             w->x->var.at[expr_node(w->x, var)->imm.i].name);
    }
    const int id = loops_stmt(w->l, L_FOR);
    LoopStmt *st = &w->l->stmt.at[id];
    st->var = var;
    st->extent = extent;
    st->mark = mark;
    loops_append(w->l, parent, id);
    return id;
}

int lower_if(Lowerer *w, int parent, Expr condition)
{
    int64_t known;
    if (expr_is_int(w->x, condition, &known) && known) {
        return parent;
    }
    const int id = loops_stmt(w->l, L_IF);
    w->l->stmt.at[id].value = condition;
    loops_append(w->l, parent, id);
    return id;
}

void lower_let(Lowerer *w, int parent, Expr var, Expr value)
{
    const int id = loops_stmt(w->l, L_LET);
    w->l->stmt.at[id].var = var;
    w->l->stmt.at[id].value = value;
    loops_append(w->l, parent, id);
}

/* ---- expressions: stage terms -> loop terms ---- */

typedef struct Binder {
    Lowerer *w;
    const Nest *n;
    const Expr *own; /* index of the element being computed */
} Binder;

static Expr bind_node(Exprs *x, Expr e, void *arg)
{
    const Binder *b = arg;
    const ExprNode n = *expr_node(x, e);
    if (n.op == EX_STATE) {
        const int tensor = b->n->st->result[n.imm.i];
        const Place *p = &b->w->place[tensor];
        const StageTensor *t = &b->w->s->tensor.at[tensor];
        return expr_load(x, (DType)n.dtype, p->buffer, t->rank, b->own);
    }
    if (n.op != EX_LOAD) {
        return 0;
    }
    const Place *p = &b->w->place[n.imm.i];
    Expr index[MAX_RANK];
    for (int k = 0; k < n.nargs; k++) {
        index[k] = expr_rewrite(x, expr_arg(x, e, k), bind_node, arg);
        if (p->boxed) {
            index[k] = expr_sub(x, index[k], p->low[k]);
        }
    }
    return expr_load(x, (DType)n.dtype, p->buffer, n.nargs, index);
}

/* e of nest n, with loads pointing at buffers. own: the (placed) index of the element. */
static Expr bind(Lowerer *w, const Nest *n, Expr e, const Expr *own)
{
    Binder b = {.w = w, .n = n, .own = own};
    return expr_rewrite(w->x, nest_bind(w->x, n, e), bind_node, &b);
}

static int emit_store(Lowerer *w, int parent, int tensor, const Expr *index, Expr value)
{
    const StageTensor *t = &w->s->tensor.at[tensor];
    const Place *p = &w->place[tensor];
    const int id = loops_stmt(w->l, L_STORE);
    LoopStmt *st = &w->l->stmt.at[id];
    st->buffer = p->buffer;
    st->nindex = t->rank;
    for (int k = 0; k < t->rank; k++) {
        st->index[k] = index[k];
    }
    st->value = value;
    w->l->buffer.at[p->buffer].written = true;
    loops_append(w->l, parent, id);
    return id;
}

/* The placed index of the element of result k that the nest computes. */
static void own_index(Lowerer *w, const Nest *n, int k, Expr *index)
{
    const Place *p = &w->place[n->st->result[k]];
    for (int a = 0; a < n->st->naxes; a++) {
        index[a] = n->plan[a].value;
        if (p->boxed) {
            index[a] = expr_sub(w->x, index[a], p->low[a]);
        }
    }
}

static void emit_values(Lowerer *w, const Nest *n, int parent, const Expr *source)
{
    Expr index[MAX_RANK];
    Expr value[MAX_RESULTS];
    for (int k = 0; k < n->st->nresults; k++) {
        own_index(w, n, k, index);
        value[k] = bind(w, n, source[k], index);
    }
    /* All states change at once: with several results the new values are named first. */
    for (int k = 0; k < n->st->nresults && n->st->nresults > 1; k++) {
        const char *name = arena_printf(w->ctx->arena, "new%d", k);
        const Expr var = expr_value_var(w->x, name, expr_type(w->x, value[k]));
        lower_let(w, parent, var, value[k]);
        value[k] = var;
    }
    for (int k = 0; k < n->st->nresults; k++) {
        own_index(w, n, k, index);
        emit_store(w, parent, n->st->result[k], index, value[k]);
    }
}

static void emit_scatter_update(Lowerer *w, const Nest *n, int parent)
{
    Exprs *x = w->x;
    const StageTensor *t = &w->s->tensor.at[n->st->result[0]];
    Expr index[MAX_RANK];
    Expr inside = expr_int_of(x, DT_BOOL, 1);
    for (int k = 0; k < t->rank; k++) {
        const Expr at = bind(w, n, n->st->target[k], NULL);
        inside = expr_and(x, inside, expr_le(x, expr_int(x, 0), at));
        inside = expr_and(x, inside, expr_lt(x, at, t->dim[k]));
        index[k] = expr_max(x, expr_min(x, at, expr_addi(x, t->dim[k], -1)), expr_int(x, 0));
    }
    if (n->st->where) {
        inside = expr_and(x, inside, bind(w, n, n->st->where, index));
    }
    const int guarded = lower_if(w, parent, inside);
    emit_store(w, guarded, n->st->result[0], index, bind(w, n, n->st->update[0], index));
}

void lower_body(Lowerer *w, const Nest *n, int parent, bool init)
{
    Exprs *x = w->x;
    const Stage *st = n->st;
    if (init) {
        emit_values(w, n, parent, st->init);
        return;
    }
    if (st->form == STAGE_SCATTER) {
        emit_scatter_update(w, n, parent);
        return;
    }
    const bool where = st->where && !n->no_where;
    if (st->form == STAGE_REDUCE) {
        const int inside = where ? lower_if(w, parent, bind(w, n, st->where, NULL)) : parent;
        emit_values(w, n, inside, st->update);
        return;
    }
    Expr value = st->update[0];
    if (where) {
        value = expr_select(x, st->where, value, expr_const(x, expr_type(x, value), 0));
    }
    emit_values(w, n, parent, &value);
}
