/* In place: an output may lie in an input's memory if whoever computes one of its elements reads
 * only the same element of that input, and each element is computed once.
 *
 *     y[i, j] = relu(acc[..] + bias[j] + x[i, j])     y over x: yes; over bias: no, its elements are read again
 *
 * The same element: x and y have equal dims, layout and type, and every load of x in the kernel
 * is in the value of a store to y, at the store's own indices. Once: all elements of an output
 * are stored at least once, so if no store is conditional and there are as many stores as
 * elements, there is one for each. (A last tile that overlaps the one before would read what was
 * written.) */
#include "loop/in_place.h"

typedef struct Walk {
    Loops *l;
    int in, out;      /* buffers */
    const LoopStmt *store; /* whose value is being looked at; NULL: something else */
    Expr stored;      /* elements, by all stores so far */
    bool ok;
} Walk;

static void check_load(const Exprs *x, Expr e, void *arg)
{
    Walk *w = arg;
    const ExprNode *n = expr_node(x, e);
    if (n->op != EX_LOAD || n->imm.i != w->in)
        return;
    w->ok &= w->store != NULL;
    for (int k = 0; w->store && k < n->nargs; k++)
        w->ok &= expr_arg(x, e, k) == w->store->index[k];
}

static void walk(Walk *w, Expr e, const LoopStmt *store)
{
    w->store = store;
    if (e)
        expr_walk(w->l->x, e, check_load, w);
}

static void walk_stmt(Walk *w, int id, Expr times, bool sure)
{
    const LoopStmt *s = &w->l->stmt.at[id];
    const bool to_out = s->op == L_STORE && s->buffer == w->out;
    walk(w, s->value, to_out ? s : NULL);
    walk(w, s->extent, NULL);
    for (int k = 0; k < s->nindex; k++)
        walk(w, s->index[k], NULL);
    if (to_out) {
        w->ok &= sure;
        w->stored = expr_add(w->l->x, w->stored, times);
    }
    if (s->op == L_FOR)
        times = expr_mul(w->l->x, times, s->extent);
    for (int k = 0; k < s->child.len; k++)
        walk_stmt(w, w->l->stmt.at[id].child.at[k], times, sure && s->op != L_IF);
}

static bool same_elements(const Loops *l, const LoopBuffer *a, const LoopBuffer *b)
{
    bool same = a->dtype == b->dtype && a->rank == b->rank &&
                layout_equal(&a->layout, &b->layout) && !a->part.is_part && !b->part.is_part;
    for (int k = 0; same && k < a->rank; k++) {
        int64_t n;
        same = a->dim[k] == b->dim[k];
        /* Elements that only fill up a block are stored by whoever likes, or not at all. */
        const int64_t block = layout_block(&a->layout, k);
        same &= block == 1 || (expr_is_int(l->x, a->dim[k], &n) && n % block == 0);
    }
    return same;
}

static bool may_replace(Loops *l, int in, int out)
{
    const LoopBuffer *const o = &l->buffer.at[out];
    if (!same_elements(l, &l->buffer.at[in], o))
        return false;
    Walk w = {.l = l, .in = in, .out = out, .stored = expr_int(l->x, 0), .ok = true};
    for (int p = 0; p < l->phase.len && w.ok; p++) {
        const LoopPhase phase = l->phase.at[p];
        w.ok = !phase.step; /* steps run the loops again */
        walk_stmt(&w, phase.body, phase.extent, true);
    }
    Expr elements = expr_int(l->x, 1);
    for (int k = 0; k < o->rank; k++)
        elements = expr_mul(l->x, elements, o->dim[k]);
    return w.ok && w.stored == elements;
}

static bool is_argument(const LoopBuffer *b, bool written)
{
    return b->scope == SCOPE_ARG && b->arg >= 0 && b->written == written;
}

void loops_in_place(Loops *l, int *over)
{
    for (int a = 0; a < l->nargs; a++)
        over[a] = -1;
    for (int out = 0; out < l->buffer.len; out++)
        for (int in = 0; in < l->buffer.len && is_argument(&l->buffer.at[out], true); in++) {
            LoopBuffer *o = &l->buffer.at[out], *i = &l->buffer.at[in];
            if (over[o->arg] >= 0 || !is_argument(i, false) || i->alias || !may_replace(l, in, out))
                continue;
            over[o->arg] = i->arg;
            o->alias = i->alias = true;
        }
}
