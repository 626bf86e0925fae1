/* Fetching ahead: while a product works with one panel of a constant, the next one comes from
 * memory.
 *
 *     w (K, N) in panels of 24 columns; y: order n0 m0 ..; acc: at y.m0, ahead w y.n0
 *
 *     for n0: for m0:                      every row tile meets panel n0
 *       for k0:                            a line of the next panel at each step:
 *         fetch w[0, (n0+1)*24] + (m0*K0 + k0) * step
 *         ..
 *
 * The first row tile that meets a panel would wait for it: memory gives 20 GB/s, a tile takes
 * 50. Hardware fetches ahead too, but not so far. What is fetched is a range of memory, from
 * where the next value of the loop begins to where the one after it does, in equal steps. Where
 * a line at each would not cover it (few tiles), it is fetched in as many parts side by side as
 * it takes: memory gives more to several streams. */
#include <string.h>

#include "loop/access.h"
#include "loop/lower_parts.h"
#include "loop/offset.h"

enum {
    LINE_BYTES = 64,
    MAX_LINES = 6,
    MAX_TILE_LINES = 16 /* beside 64 that a step on tiles reads */,
    LEAST_ROWS = 3
};

/* ---- the check ---- */

static int loop_position(const Stage *st, const StageSchedule *ss, LoopRef r)
{
    LoopRef order[MAX_LOOPS];
    int n = schedule_default_order(st, ss, order);
    if (ss && ss->norder) {
        n = ss->norder;
        memcpy(order, ss->order, sizeof order);
    }
    for (int i = 0; i < n; i++) {
        if (order[i].axis == r.axis && order[i].level == r.level) {
            return i;
        }
    }
    return -1;
}

bool schedule_check_ahead(const Stages *s, const Stage *st, const Schedule *sc,
                          const StageSchedule *ss, const char **what)
{
    const int t = stages_find_tensor(s, ss->ahead);
    const int reader = ss->at_stage ? stages_find_tensor(s, ss->at_stage) : -1;
    const int target = reader < 0 ? -1 : s->tensor.at[reader].stage;
    *what = "fetches nothing that lies whole before it, and that it sums over";
    const StageSchedule *made =
        t >= 0 && s->tensor.at[t].role == TENSOR_TEMP ? schedule_find(sc, ss->ahead) : NULL;
    const bool lies = t >= 0 && (s->tensor.at[t].role == TENSOR_CONST || (made && !made->at_stage));
    if (!lies || st->form != STAGE_REDUCE || !stage_loads(s, st, t)) {
        return false;
    }
    *what = "fetches ahead of a loop that is not around it";
    if (target < 0) {
        return false;
    }
    const Stage *ts = &s->stage.at[target];
    const StageSchedule *tss = schedule_find(sc, ss->at_stage);
    const int at = loop_position(ts, tss, ss->ahead_loop);
    return at >= 0 && at <= loop_position(ts, tss, ss->at_loop);
}

/* ---- the plan ---- */

typedef struct FindLoad {
    int tensor;
    Expr load;
} FindLoad;

static void find_load(const Exprs *x, Expr e, void *arg)
{
    FindLoad *f = arg;
    const ExprNode *n = expr_node(x, e);
    f->load = n->op == EX_LOAD && n->imm.i == f->tensor ? e : f->load;
}

/* The first element that the stage reads, as far as its own loops go: index of the load, with `var`
 * moved to `to`. */
static void first_index(Exprs *x, const Nest *child, Expr load, Expr var, Expr to, Expr *index)
{
    const Stage *st = child->st;
    Expr axis[MAX_AXES], low[MAX_AXES];
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        axis[a] = st->axis[a].var;
        low[a] = child->plan[a].low;
    }
    for (int k = 0; k < expr_node(x, load)->nargs; k++) {
        const Expr at = expr_subst(x, expr_arg(x, load, k), st->naxes + st->nreduce, axis, low);
        index[k] = expr_subst(x, at, 1, &var, &to);
    }
}

/* Is loop `pos` one tile of so few rows that nothing but reading the panel takes time? Fetching
 * would be in its way (DistilBERT, one thread: 1 row 7.1 ms, 8.0 fetching ahead; 2 7.5 and 8.1;
 * 4 8.1 and 7.5). */
static bool is_short(const Nest *n, int pos)
{
    const AxisPlan *p = &n->plan[n->order[pos].axis];
    return n->order[pos].level == 0 && p->one_of && p->alone && p->tile < LEAST_ROWS;
}

/* The serial loops of sums that the stage begins with: [first, end) of its order. */
static void find_sum_loops(const Nest *n, int *first, int *end)
{
    *first = 0;
    while (*first < n->norder && n->order[*first].axis < n->st->naxes) {
        ++*first;
    }
    for (*end = *first;
         *end < n->norder && n->order[*end].axis >= n->st->naxes && n->mark[*end] == MARK_SERIAL;) {
        ++*end;
    }
}

/* e, which is at most `most`, or the name that it is given, if it is not known. */
static Expr named(Lowerer *w, const char *name, Expr e, int64_t most, int parent)
{
    if (expr_is_int(w->x, e, NULL)) {
        return e;
    }
    const Expr var = expr_loop_var(w->x, name, expr_int(w->x, most + 1));
    lower_let(w, parent, var, e);
    return var;
}

/* Is loop `pos` of n but the rest of a peeled one? The whole tiles have fetched everything. */
static bool is_rest(const Exprs *x, const Nest *n, int pos)
{
    const AxisPlan *p = &n->plan[n->order[pos].axis];
    int64_t base;
    return n->order[pos].level == 0 && expr_node(x, p->var[0])->op != EX_VAR &&
           !(expr_is_int(x, p->base, &base) && base == 0);
}

const Fetch *lower_plan_fetch(Lowerer *w, const Nest *n, int pos, const Nest *child, int parent)
{
    Exprs *x = w->x;
    const StageSchedule *ss = child->ss;
    const int tensor = ss->ahead ? stages_find_tensor(w->s, ss->ahead) : -1;
    int outer = 0, first, end;
    if (tensor < 0) {
        return NULL;
    }
    while (n->order[outer].axis != ss->ahead_loop.axis ||
           n->order[outer].level != ss->ahead_loop.level) {
        outer++;
    }
    const Expr var = nest_var(n, outer), last = expr_addi(x, nest_extent(n, outer), -1);
    find_sum_loops(child, &first, &end);
    if (expr_node(x, var)->op != EX_VAR || end == first) {
        return NULL; /* one part, or no loop to fetch in */
    }
    const LoopBuffer *b = &w->l->buffer.at[w->place[tensor].buffer];
    FindLoad f = {.tensor = tensor};
    expr_walk(x, child->st->update[0], find_load, &f);
    Expr here[MAX_RANK], next[MAX_RANK];
    int64_t elements;
    first_index(x, child, f.load, var, var, here);
    first_index(x, child, f.load, var, expr_addi(x, var, 1), next);
    if (!expr_is_int(x, expr_sub(x, buffer_offset(x, b, next), buffer_offset(x, b, here)),
                     &elements) ||
        elements <= 0) {
        return NULL; /* does not lie part by part */
    }
    Fetch fetch = {.pos = end - 1,
                   .first = first,
                   .buffer = w->place[tensor].buffer,
                   .rank = b->rank,
                   .done = expr_int(x, 0)};
    const int64_t line = LINE_BYTES / dtype_size(b->dtype);
    first_index(x, child, f.load, var, expr_min(x, expr_addi(x, var, 1), last), fetch.index);
    Expr steps = expr_int(x, 1);
    for (int p = outer + 1; p <= pos; p++) {
        if (is_rest(x, n, p) || is_short(n, p)) {
            return NULL;
        }
        fetch.done = expr_add(x, expr_mul(x, fetch.done, nest_extent(n, p)), nest_var(n, p));
        steps = expr_mul(x, steps, nest_extent(n, p));
    }
    for (int p = first; p < end; p++) {
        steps = expr_mul(x, steps, nest_extent(child, p));
    }
    const Expr lines = expr_ceil_div(x, expr_int(x, elements), expr_muli(x, steps, line));
    const int most = ss->ndot == TILE_DOT_LOOPS ? MAX_TILE_LINES : MAX_LINES;
    fetch.lines = named(w, "lines", expr_min(x, lines, expr_int(x, most)), most, parent);
    fetch.part =
        named(w, "part", expr_ceil_div(x, expr_int(x, elements), fetch.lines), elements, parent);
    const Expr step = expr_min(x, expr_ceil_div(x, fetch.part, steps), expr_int(x, line));
    fetch.step = named(w, "ahead", step, line, parent);
    return arena_dup(w->ctx->arena, &fetch, sizeof fetch);
}

/* ---- the statement ---- */

void lower_fetch(Lowerer *w, const Nest *n, int parent)
{
    Exprs *x = w->x;
    const Fetch *f = n->fetch;
    if (expr_node(x, nest_var(n, f->pos))->op != EX_VAR) {
        return; /* the rest of a peeled loop */
    }
    Expr done = f->done;
    for (int p = f->first; p <= f->pos; p++) {
        done = expr_add(x, expr_mul(x, done, nest_extent(n, p)), nest_var(n, p));
    }
    int64_t known = 0;
    const LoopMark mark = expr_is_int(x, f->lines, &known) ? MARK_UNROLL : MARK_SERIAL;
    const Expr line = known == 1 ? expr_int(x, 0) : expr_loop_var(x, "line", f->lines);
    const int loop = known == 1 ? parent : lower_for(w, parent, line, f->lines, mark);
    const int id = loops_stmt(w->l, L_FETCH);
    LoopStmt *st = &w->l->stmt.at[id];
    st->buffer = f->buffer;
    st->nindex = f->rank;
    memcpy(st->index, f->index, sizeof st->index);
    st->value = expr_add(x, expr_mul(x, done, f->step), expr_mul(x, line, f->part));
    loops_append(w->l, loop, id);
}
