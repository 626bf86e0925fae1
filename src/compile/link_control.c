/* If, Loop and Scan as jumps in the flat list of steps.
 *
 *     If                       Loop, Scan
 *       READ c                   state = initial; i = 0
 *       BRANCH c, else       top:
 *       ..then..                 BRANCH i < trips, end; BRANCH cond, end
 *       out = then's             body's inputs from i, cond, state, slices
 *       JUMP end                 ..body..
 *     else:                      state = body's; append what is collected; i = i + 1
 *       ..else..                 JUMP top
 *       out = else's         end:
 *     end:                       out = state
 *
 * Assigning a value copies its data and sets the symbols of its shape, so shapes may change from
 * one iteration to the next. */
#include "compile/link_program.h"
#include "op/control.h"

static int new_var(Link *l, const char *name)
{
    const int var = build_var(l->b, name, -1, 0);
    if (var >= l->var_cap) {
        const int cap = var * 2 + 16;
        bool *set = arena_array_of(l->ctx->arena, cap, bool);
        for (int i = 0; i < l->var_cap; i++)
            set[i] = l->var_set[i];
        l->var_set = set;
        l->var_cap = cap;
    }
    l->var_set[var] = true;
    return var;
}

/* to = from: shape, data, and the symbols that its elements stand for. */
static void assign(Link *l, ValueId to, ValueId from)
{
    link_bind_dims(l, to, from);
    link_copy(l, link_buffer(l, to), link_buffer(l, from));
    link_bind_elements(l, to);
}

static int label(const Link *l)
{
    return l->b->step.len;
}

/* A branch whose target is patched later. */
static int branch(Link *l, int value)
{
    return build_step(l->b, PSTEP_BRANCH, 2, (const int32_t[]){value, 0});
}

/* ---- If ---- */

static void link_if(Link *l, const Node *n)
{
    const int cond = new_var(l, "condition");
    build_step(l->b, PSTEP_READ, 3,
               (const int32_t[]){cond, link_buffer(l, n->in[0]), build_int(l->b, 0)});
    const int to_else = branch(l, build_var_value(l->b, cond));
    int to_end = -1;
    for (int side = 0; side < 2; side++) {
        const Block *b = &l->g->block.at[n->block[side]];
        link_block(l, n->block[side]);
        for (int k = 0; k < n->nout; k++)
            if (n->out[k] >= 0)
                assign(l, n->out[k], b->output.at[k]);
        if (side == 0) {
            to_end = build_step(l->b, PSTEP_JUMP, 1, (const int32_t[]){0});
            build_patch(l->b, to_else, 1, label(l));
        }
    }
    build_patch(l->b, to_end, 0, label(l));
}

/* ---- Loop and Scan ---- */

typedef struct LoopLink {
    const Node *n;
    LoopParts p;
    const Block *body;
    /* variables: iteration, value of the count (-1 none), condition (-1 none) */
    int i, limit, go;
} LoopLink;

static int var_value(Link *l, int var)
{
    return build_var_value(l->b, var);
}

static void read_var(Link *l, int var, ValueId from)
{
    build_step(l->b, PSTEP_READ, 3,
               (const int32_t[]){var, link_buffer(l, from), build_int(l->b, 0)});
    build_step(l->b, PSTEP_EVAL, 1, (const int32_t[]){var});
}

static int loop_limit(Link *l, const LoopLink *k)
{
    const Node *n = k->n;
    if (!k->p.is_loop) {
        const Value *v = &l->g->value.at[n->in[k->p.carried]];
        return link_expr(l, v->dim[control_scan_axis(n, "scan_input_axes", 0, v->rank)]);
    }
    if (n->in[0] < 0)
        return -1;
    const int m = new_var(l, "count");
    read_var(l, m, n->in[0]);
    return var_value(l, m);
}

/* i -> the body's iteration number, as data and as symbol. */
static void loop_inputs(Link *l, const LoopLink *k)
{
    const ValueId number = k->body->input.at[0], cond = k->body->input.at[1];
    build_step(l->b, PSTEP_WRITE, 3,
               (const int32_t[]){link_buffer(l, number), build_int(l->b, 0), var_value(l, k->i)});
    link_bind_elements(l, number);
    build_step(l->b, PSTEP_WRITE, 3,
               (const int32_t[]){link_buffer(l, cond), build_int(l->b, 0), build_int(l->b, 1)});
}

/* Position along a scanned or collected axis: i, or limit - 1 - i. */
static int position(Link *l, const LoopLink *k, bool reversed)
{
    const int i = var_value(l, k->i);
    if (!reversed)
        return i;
    const int minus = build_op(l->b, EX_MUL, DT_I64, 2, (const int32_t[]){i, build_int(l->b, -1)});
    return build_add(l->b, build_add(l->b, k->limit, build_int(l->b, -1)), minus);
}

/* Slices and slots lie `inner` bytes apart at `axis`: one copy for axis 0, else one for each outer
 * index. */
static void copy_slice(Link *l, int whole, int part, int axis, int at, bool into_whole)
{
    const ProgramBuffer w = l->b->buffer.at[whole];
    int inner = build_int(l->b, dtype_size((DType)w.dtype)), outer = build_int(l->b, 1);
    for (int d = 0; d < w.rank; d++) {
        if (d > axis)
            inner = build_mul(l->b, inner, w.dim[d]);
        if (d < axis)
            outer = build_mul(l->b, outer, w.dim[d]);
    }
    const int first = build_mul(l->b, at, inner);
    if (axis == 0) {
        if (into_whole)
            build_step(l->b, PSTEP_COPY, 5, (const int32_t[]){whole, first, part, -1, -1});
        else
            build_step(l->b, PSTEP_COPY, 5, (const int32_t[]){part, -1, whole, first, inner});
        return;
    }
    /* for o in outer: part[o] <-> whole[o, at] */
    const int o = new_var(l, "outer"), value = var_value(l, o);
    link_set(l, o, build_int(l->b, 0));
    const int top = label(l);
    const int32_t bound[] = {value, outer};
    const int less = build_op(l->b, EX_CAST, DT_I64, 1,
                              (const int32_t[]){build_op(l->b, EX_LT, DT_BOOL, 2, bound)});
    const int leave = branch(l, less);
    const int row = build_mul(l->b, w.dim[axis], inner);
    const int in_whole = build_add(l->b, build_mul(l->b, value, row), first);
    const int in_part = build_mul(l->b, value, inner);
    if (into_whole)
        build_step(l->b, PSTEP_COPY, 5, (const int32_t[]){whole, in_whole, part, in_part, inner});
    else
        build_step(l->b, PSTEP_COPY, 5, (const int32_t[]){part, in_part, whole, in_whole, inner});
    link_set(l, o, build_add(l->b, value, build_int(l->b, 1)));
    build_step(l->b, PSTEP_JUMP, 1, &top);
    build_patch(l->b, leave, 1, label(l));
}

static void scan_inputs(Link *l, const LoopLink *k)
{
    for (int s = 0; s < k->p.scanned; s++) {
        const ValueId whole = k->n->in[k->p.first_in + k->p.carried + s];
        const ValueId part = k->body->input.at[k->p.body_in + k->p.carried + s];
        const int axis = control_scan_axis(k->n, "scan_input_axes", s, l->g->value.at[whole].rank);
        const int at = position(l, k, control_scan_reversed(k->n, "scan_input_directions", s));
        const int to = link_buffer(l, part);
        link_alloc(l, to);
        copy_slice(l, link_buffer(l, whole), to, axis, at, false);
        link_bind_elements(l, part);
    }
}

/* Before the loop: empty, of the final size where that is known. */
static void collect_begin(Link *l, const LoopLink *k)
{
    for (int c = 0; c < k->p.collected; c++) {
        const int slot = k->p.carried + c;
        if (slot >= k->n->nout || k->n->out[slot] < 0)
            continue;
        const ValueId out = k->n->out[slot];
        const Value *v = &l->g->value.at[out];
        for (int d = 0; d < v->rank; d++) {
            const int var = link_unset_symbol(l, v->dim[d]);
            if (var >= 0)
                link_set(l, var, build_int(l->b, 0));
        }
        link_alloc(l, link_buffer(l, out));
    }
}

static void collect_one(Link *l, const LoopLink *k, int c)
{
    const int slot = k->p.carried + c;
    if (slot >= k->n->nout || k->n->out[slot] < 0)
        return;
    const ValueId out = k->n->out[slot],
                  part = k->body->output.at[k->p.body_out + k->p.carried + c];
    const Value *v = &l->g->value.at[out], *f = &l->g->value.at[part];
    const int axis = k->p.is_loop ? 0 : control_scan_axis(k->n, "scan_output_axes", c, v->rank);
    bool grows = false;
    for (int d = 0; d < v->rank; d++) {
        const ExprNode *e = expr_node(l->g->x, v->dim[d]);
        if (e->op != EX_VAR)
            continue;
        const int var = l->var[e->imm.i];
        if (var < 0 || l->b->var.at[var].input >= 0)
            continue;
        if (d == axis && !k->p.is_loop)
            continue;
        if (d != axis && v->dim[d] == f->dim[d < axis ? d : d - 1])
            continue; /* known outside */
        const int value = d == axis ? build_add(l->b, var_value(l, k->i), build_int(l->b, 1))
                                    : link_expr(l, f->dim[d < axis ? d : d - 1]);
        if (d == axis && k->limit >= 0 && link_expr(l, v->dim[d]) == k->limit)
            continue;
        link_set(l, var, value);
        grows = true;
    }
    const int buffer = link_buffer(l, out);
    const int kind = l->b->buffer.at[buffer].kind;
    if (grows && (kind == BUF_SLOT || kind == BUF_OUTPUT))
        build_step(l->b, PSTEP_GROW, 1, &buffer);
    const int at = position(l, k, control_scan_reversed(k->n, "scan_output_directions", c));
    copy_slice(l, buffer, link_buffer(l, part), axis, at, true);
}

/* The sizes of all carried values at once: first into variables of their own, as new ones may be
 * given in terms of old ones. */
static void carry_sizes(Link *l, const LoopLink *k)
{
    VEC(int) to = {0}, saved = {0};
    for (int c = 0; c < k->p.carried; c++) {
        const Value *in = &l->g->value.at[k->body->input.at[k->p.body_in + c]];
        const Value *out = &l->g->value.at[k->body->output.at[k->p.body_out + c]];
        for (int d = 0; d < in->rank; d++) {
            const ExprNode *e = expr_node(l->g->x, in->dim[d]);
            if (in->dim[d] == out->dim[d] || e->op != EX_VAR)
                continue;
            const int var = l->var[e->imm.i];
            if (var < 0 || l->b->var.at[var].input >= 0)
                continue;
            vec_push(l->ctx->arena, &to, var);
            vec_push(l->ctx->arena, &saved, new_var(l, "carried"));
            link_set(l, vec_last(&saved), link_expr(l, out->dim[d]));
        }
    }
    for (int i = 0; i < to.len; i++)
        link_set(l, to.at[i], var_value(l, saved.at[i]));
}

/* All carried values at once: one that is an input of the body itself is saved before it is
 * overwritten. */
static void carry(Link *l, const LoopLink *k)
{
    const int n = k->p.carried;
    int *from = arena_array_of(l->ctx->arena, n + 1, int);
    for (int c = 0; c < n; c++) {
        const ValueId out = k->body->output.at[k->p.body_out + c];
        from[c] = link_buffer(l, out);
        bool is_input = false;
        for (int o = 0; o < n; o++)
            is_input |= o != c && k->body->input.at[k->p.body_in + o] == out;
        if (!is_input)
            continue;
        ProgramBuffer copy = l->b->buffer.at[from[c]];
        copy.kind = build_temp_kind(l->b, copy.rank, copy.dim);
        from[c] = build_buffer(l->b, copy);
        link_copy(l, from[c], link_buffer(l, out));
    }
    carry_sizes(l, k);
    for (int c = 0; c < n; c++) {
        const ValueId in = k->body->input.at[k->p.body_in + c];
        if (in != k->body->output.at[k->p.body_out + c])
            link_copy(l, link_buffer(l, in), from[c]);
    }
    for (int c = 0; c < n; c++)
        link_bind_elements(l, k->body->input.at[k->p.body_in + c]);
}

static void link_loop(Link *l, const Unit *u)
{
    LoopLink k = {.n = &l->g->node.at[u->node[0]],
                  .p = control_loop_parts(l->g, u->node[0]),
                  .limit = -1,
                  .go = -1};
    k.body = &l->g->block.at[k.p.body];
    k.limit = loop_limit(l, &k);
    k.i = new_var(l, "iteration");
    link_set(l, k.i, build_int(l->b, 0));
    if (k.p.is_loop && k.n->in[1] >= 0) {
        k.go = new_var(l, "condition");
        read_var(l, k.go, k.n->in[1]);
    }
    for (int c = 0; c < k.p.carried; c++)
        assign(l, k.body->input.at[k.p.body_in + c], k.n->in[k.p.first_in + c]);
    collect_begin(l, &k);

    const int top = label(l);
    int leave[2] = {-1, -1};
    if (k.limit >= 0) {
        const int32_t less[] = {var_value(l, k.i), k.limit};
        leave[0] = branch(l, build_op(l->b, EX_LT, DT_BOOL, 2, less));
    }
    if (k.go >= 0)
        leave[1] = branch(l, var_value(l, k.go));
    if (k.p.is_loop)
        loop_inputs(l, &k);
    scan_inputs(l, &k);
    link_block(l, k.p.body);
    for (int c = 0; c < k.p.collected; c++)
        collect_one(l, &k, c);
    if (k.go >= 0)
        read_var(l, k.go, k.body->output.at[0]);
    carry(l, &k);
    link_set(l, k.i, build_add(l->b, var_value(l, k.i), build_int(l->b, 1)));
    build_step(l->b, PSTEP_JUMP, 1, &top);
    for (int b = 0; b < 2; b++)
        if (leave[b] >= 0)
            build_patch(l->b, leave[b], 1, label(l));
    for (int c = 0; c < k.p.carried && c < k.n->nout; c++)
        if (k.n->out[c] >= 0)
            assign(l, k.n->out[c], k.body->input.at[k.p.body_in + c]);
}

void link_control(Link *l, const Unit *u)
{
    const Node *n = &l->g->node.at[u->node[0]];
    if (n->op == OP_IF)
        link_if(l, n);
    else
        link_loop(l, u);
}
