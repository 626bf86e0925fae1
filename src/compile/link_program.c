/* Linking: a program from compiled units. Values become buffers, symbols variables, units steps. */
#include "compile/link_program.h"

#include <string.h>

#include "base/file.h"
#include "op/host_call.h"
#include "pass/pass.h"

/* ---- expressions ---- */

static void grow_vars(Link *l)
{
    if (l->b->var.len < l->var_cap)
        return;
    const int cap = l->var_cap * 2 + 16;
    bool *set = arena_array_of(l->ctx->arena, cap, bool);
    if (l->var_cap > 0)
        memcpy(set, l->var_set, (size_t)l->var_cap);
    l->var_set = set;
    l->var_cap = cap;
}

static int symbol_var(Link *l, int sym)
{
    if (l->var[sym] < 0) {
        grow_vars(l);
        l->var[sym] = build_var(l->b, l->g->x->var.at[sym].name, -1, 0);
    }
    return l->var[sym];
}

/* `sym`: for expressions of a unit's pool, its symbols; NULL for the graph's pool. */
static int convert(Link *l, const Exprs *x, Expr e, const Unit *u)
{
    const ExprNode *n = expr_node(x, e);
    if (n->op == EX_VAR) {
        if (!u)
            return build_var_value(l->b, symbol_var(l, (int)n->imm.i));
        const char *name = x->var.at[n->imm.i].name;
        for (int i = 0; i < u->sym.len; i++)
            if (strcmp(u->sym.at[i].name, name) == 0)
                return build_var_value(l->b, symbol_var(l, u->sym.at[i].var));
        fail(l->ctx, ERR_INTERNAL, "%s: symbol '%s' is not the graph's",
             graph_describe_node(l->g, u->node[0]), name);
    }
    ProgramValue v = {.op = n->op, .dtype = n->dtype};
    if (n->op == EX_INT)
        v.imm.i = n->imm.i;
    else if (n->op == EX_FLOAT)
        v.imm.f = n->imm.f;
    else if (n->op == EX_LOAD)
        fail(l->ctx, ERR_INTERNAL, "a size is computed by '%s'", expr_op_text((ExprOp)n->op));
    /* Sums and products have any number of terms in the pool, two in a program. */
    const bool chain = (n->op == EX_ADD || n->op == EX_MUL) && n->nargs > 2;
    v.narg = chain ? 2 : (uint8_t)n->nargs;
    for (int k = 0; k < v.narg; k++)
        v.arg[k] = convert(l, x, expr_arg(x, e, k), u);
    int value = build_value(l->b, v);
    for (int k = 2; chain && k < n->nargs; k++) {
        v.arg[0] = value;
        v.arg[1] = convert(l, x, expr_arg(x, e, k), u);
        value = build_value(l->b, v);
    }
    return value;
}

int link_expr(Link *l, Expr e)
{
    return convert(l, l->g->x, e, NULL);
}

/* ---- symbols that steps set ---- */

int link_unset_symbol(Link *l, Expr e)
{
    const ExprNode *n = expr_node(l->g->x, e);
    if (n->op != EX_VAR)
        return -1;
    const int var = symbol_var(l, (int)n->imm.i);
    return l->b->var.at[var].input >= 0 || l->var_set[var] ? -1 : var;
}

static void eval_after(Link *l, int n, const int32_t *vars)
{
    build_step(l->b, PSTEP_EVAL, n, vars);
}

void link_set(Link *l, int var, int value)
{
    l->var_set[var] = true;
    build_step(l->b, PSTEP_SET, 2, (const int32_t[]){var, value});
    eval_after(l, 1, (const int32_t[]){var});
}

void link_bind_dims(Link *l, ValueId to, ValueId from)
{
    const Value *t = &l->g->value.at[to], *f = &l->g->value.at[from];
    for (int k = 0; k < t->rank; k++) {
        const ExprNode *n = expr_node(l->g->x, t->dim[k]);
        if (t->dim[k] == f->dim[k])
            continue;
        const int value = link_expr(l, f->dim[k]);
        if (n->op == EX_VAR) {
            const int var = symbol_var(l, (int)n->imm.i);
            if (l->b->var.at[var].input < 0) {
                link_set(l, var, value);
                continue;
            }
        }
        const int text = build_text(l->b, arena_printf(l->ctx->arena, "'%s': dim %d", t->name, k));
        build_step(l->b, PSTEP_CHECK, 3, (const int32_t[]){link_expr(l, t->dim[k]), value, text});
    }
}

void link_bind_elements(Link *l, ValueId v)
{
    const Value *value = &l->g->value.at[v];
    for (int k = 0; value->elems && k < value->nelems; k++) {
        const ExprNode *n = expr_node(l->g->x, value->elems[k]);
        if (n->op != EX_VAR)
            continue;
        const int var = symbol_var(l, (int)n->imm.i);
        if (l->b->var.at[var].input >= 0)
            continue;
        l->var_set[var] = true;
        build_step(l->b, PSTEP_READ, 3,
                   (const int32_t[]){var, link_buffer(l, v), build_int(l->b, k)});
        eval_after(l, 1, (const int32_t[]){var});
    }
}

/* ---- buffers ---- */

static ProgramBuffer value_buffer(Link *l, const Value *v)
{
    ProgramBuffer b = {.dtype = (uint8_t)v->dtype,
                       .rank = (uint8_t)v->rank,
                       .layout = v->layout,
                       .parent = -1,
                       .offset = -1};
    for (int k = 0; k < v->rank; k++)
        b.dim[k] = link_expr(l, v->dim[k]);
    b.kind = build_temp_kind(l->b, b.rank, b.dim);
    return b;
}

int link_buffer(Link *l, ValueId v)
{
    const ValueId id = graph_home(l->g, v);
    if (l->buffer[id] < 0) {
        const Value *home = &l->g->value.at[id];
        l->buffer[id] = home->constant ? link_constant(l, home->constant)
                                       : build_buffer(l->b, value_buffer(l, home));
    }
    return l->buffer[id];
}

void link_alloc(Link *l, int buffer)
{
    const ProgramBuffer *b = &l->b->buffer.at[buffer];
    bool late = b->kind == BUF_SLOT;
    for (int k = 0; k < b->rank; k++)
        late |= build_is_late(l->b, b->dim[k]);
    if (late && (b->kind == BUF_SLOT || b->kind == BUF_OUTPUT))
        build_step(l->b, PSTEP_ALLOC, 1, &buffer);
}

void link_copy(Link *l, int to, int from)
{
    link_alloc(l, to);
    build_step(l->b, PSTEP_COPY, 5, (const int32_t[]){to, -1, from, -1, -1});
}

/* ---- steps ---- */

/* The kernel of this step may write `out`, a temporary that no step before has, over `in`. Whether
 * it does is up to the plan, which knows who else reads `in`. */
static void link_in_place(Link *l, int out, int in)
{
    ProgramBuffer *b = &l->b->buffer.at[out];
    if (b->kind == BUF_TEMP && in < out && b->replaces == 0 &&
        program_same_size(b, &l->b->buffer.at[in]))
        b->replaces = in;
}

static int kernel_id(Link *l, Job *j)
{
    if (j->kernel < 0) {
        const ProgramKernel k = {.name = j->name, .nphase = j->loops->phase.len,
                                 .scratch_bytes = j->loops->scratch_bytes, .unit_ns = j->unit_ns,
                                 .flops = j->report.flops, .source = j->report.source,
                                 .product = (uint32_t)j->report.product};
        j->kernel = build_kernel(l->b, k);
    }
    return j->kernel;
}

static int temp_buffer(Link *l, const Unit *u, const Loops *loops, const LoopBuffer *lb)
{
    ProgramBuffer b = {.dtype = (uint8_t)lb->dtype,
                       .rank = (uint8_t)lb->rank,
                       .layout = lb->layout,
                       .parent = -1,
                       .offset = -1};
    for (int k = 0; k < lb->rank; k++)
        b.dim[k] = convert(l, loops->x, lb->dim[k], u);
    b.kind = build_temp_kind(l->b, b.rank, b.dim);
    return build_buffer(l->b, b);
}

static void link_kernel(Link *l, const Unit *u)
{
    Job *j = &l->w->job.at[u->job];
    const Loops *loops = j->loops;
    VEC(int32_t) a = {0};
    Arena *arena = l->ctx->arena;
    vec_push(arena, &a, kernel_id(l, j));
    vec_push(arena, &a, j->nread);
    vec_push(arena, &a, loops->nargs - j->nread);
    vec_push(arena, &a, loops->sym.len);
    vec_push(arena, &a, loops->phase.len);
    for (int i = 0; i < loops->nargs; i++) {
        const JobArg *arg = &j->arg[i];
        const LoopBuffer *lb = &loops->buffer.at[arg->buffer];
        int buffer;
        if (arg->kind == ARG_TEMP) {
            buffer = temp_buffer(l, u, loops, lb);
        } else {
            const ValueId v = arg->kind == ARG_IN ? u->in[arg->index] : u->out[arg->index];
            buffer = link_wants_relayout(l, v, &lb->layout) ? link_relaid(l, v, &lb->layout)
                                                            : link_buffer(l, v);
        }
        if (i >= j->nread)
            link_alloc(l, buffer);
        vec_push(arena, &a, buffer);
        if (i >= j->nread && j->over[i] >= 0)
            link_in_place(l, buffer, a.at[5 + j->over[i]]);
    }
    for (int i = 0; i < loops->sym.len; i++)
        vec_push(arena, &a, convert(l, loops->x, loops->sym.at[i], u));
    for (int i = 0; i < loops->phase.len; i++)
        vec_push(arena, &a, convert(l, loops->x, loops->phase.at[i].extent, u));
    for (int i = 0; i < loops->phase.len; i++) {
        const LoopPhase *p = &loops->phase.at[i];
        const bool joins = i > 0 && p->step && loops->phase.at[i - 1].step == p->step;
        const int steps = !p->step ? KERNEL_ONCE
                          : joins  ? KERNEL_JOINS
                                   : convert(l, loops->x, p->steps, u);
        vec_push(arena, &a, steps);
    }
    build_step(l->b, PSTEP_KERNEL, a.len, a.at);
}

static void link_extern(Link *l, const Unit *u)
{
    const NodeId id = u->node[0];
    const Node *n = &l->g->node.at[id];
    HostCall call = {0};
    const HostRow *row = op_host_call(l->g, id, &call);
    HostArgs args = {0};
    memcpy(args.ints, call.ints, sizeof args.ints);
    memcpy(args.floats, call.floats, sizeof args.floats);
    VEC(int32_t) a = {0}, vars = {0}, set = {0};
    Arena *arena = l->ctx->arena;
    vec_push(arena, &a, build_text(l->b, row->name));
    vec_push(arena, &a, build_blob(l->b, &args, sizeof args));
    vec_push(arena, &a, call.nin);
    vec_push(arena, &a, call.nout);
    vec_push(arena, &a, 0);
    for (int k = 0; k < call.nin; k++)
        vec_push(arena, &a, call.in[k].dtype == DT_NONE ? -1 : link_buffer(l, n->in[k]));
    for (int k = 0; k < call.nout; k++) {
        const ValueId v = call.out[k].dtype == DT_NONE ? -1 : n->out[k];
        vec_push(arena, &a, v < 0 ? -1 : link_buffer(l, v));
        for (int d = 0; v >= 0 && (row->dynamic >> k & 1) && d < l->g->value.at[v].rank; d++) {
            const ExprNode *e = expr_node(l->g->x, l->g->value.at[v].dim[d]);
            int var = e->op == EX_VAR ? symbol_var(l, (int)e->imm.i) : -1;
            if (var >= 0 && l->b->var.at[var].input >= 0)
                var = -1;
            if (var >= 0) {
                l->var_set[var] = true;
                vec_push(arena, &set, var);
            }
            vec_push(arena, &vars, var);
        }
    }
    a.at[4] = vars.len;
    for (int i = 0; i < vars.len; i++)
        vec_push(arena, &a, vars.at[i]);
    for (int k = 0; k < call.nout; k++)
        if (call.out[k].dtype != DT_NONE && !(row->dynamic >> k & 1))
            link_alloc(l, link_buffer(l, n->out[k]));
    build_step(l->b, PSTEP_EXTERN, a.len, a.at);
    if (set.len > 0)
        eval_after(l, set.len, set.at);
    for (int k = 0; k < n->nout; k++)
        if (n->out[k] >= 0)
            link_bind_elements(l, n->out[k]);
}

/* infer_require_some's, or that two sizes are equal. */
static const char *broken_text(const Link *l, const Assumption *s)
{
    if (expr_node(l->g->x, s->a)->op == EX_MIN && expr_high(l->g->x, s->b) == 1)
        return "reads from an axis of size 0";
    return "two sizes that must be equal here are not";
}

/* What inference took for granted at a node of this unit. */
static void link_checks(Link *l, const Unit *u)
{
    for (int i = 0; i < l->g->assume.len; i++) {
        const Assumption *s = &l->g->assume.at[i];
        bool here = false;
        for (int k = 0; k < u->nnode; k++)
            here |= u->node[k] == s->node;
        if (!here || l->checked[i])
            continue;
        l->checked[i] = true;
        const char *text = arena_printf(l->ctx->arena, "%s: %s", graph_describe_node(l->g, s->node),
                                        broken_text(l, s));
        build_step(l->b, PSTEP_CHECK, 3,
                   (const int32_t[]){link_expr(l, s->a), link_expr(l, s->b),
                                     build_text(l->b, text)});
    }
}

void link_block(Link *l, int block)
{
    const Block *b = &l->g->block.at[block];
    const int outer = l->b->origin;
    for (int i = 0; i < b->node.len; i++) {
        const Unit *u = &l->w->unit.at[l->w->unit_of[b->node.at[i]]];
        if (u->node[u->nnode - 1] != b->node.at[i] || !u->live)
            continue;
        l->b->origin = build_text(l->b, l->g->node.at[u->node[0]].name);
        link_checks(l, u);
        if (u->class == 'S')
            link_kernel(l, u);
        else if (u->class == 'K')
            link_extern(l, u);
        else if (u->class != 'V')
            link_control(l, u);
    }
    l->b->origin = outer; /* what follows a body belongs to its node again */
}

/* ---- the whole ---- */

/* Names of sizes that became one with another, or a number, are variables too: a run finds that dim
 * right by its buffer's, and whoever binds sizes finds the name. */
static void link_other_names(Link *l)
{
    StrMap seen = strmap_new(l->ctx->arena);
    for (int i = 0; i < l->b->var.len; i++)
        strmap_put(&seen, l->b->var.at[i].name, 1);
    const Block *main = &l->g->block.at[0];
    for (int i = 0; i < main->input.len && l->w->dim_name; i++) {
        for (int k = 0; k < l->g->value.at[main->input.at[i]].rank; k++) {
            const char *name = l->w->dim_name[i * MAX_RANK + k];
            if (!name || !strmap_put(&seen, name, 1))
                continue;
            grow_vars(l);
            build_var(l->b, name, i, k);
        }
    }
}

/* What the kernels were made for: runs with sizes beyond it are refused before any kernel starts.
 * (The sizes' own expressions would simplify to true.) */
static void link_bounds(Link *l)
{
    for (int i = 0; i < l->g->x->var.len; i++) {
        const ExprVar *v = &l->g->x->var.at[i];
        if (v->kind != VAR_SYM || l->var[i] < 0 || v->high >= OPEN_SIZE_MAX)
            continue;
        const int size = build_var_value(l->b, l->var[i]);
        const int32_t both[2] = {size, build_int(l->b, v->high)};
        const int text =
            build_text(l->b, arena_printf(l->ctx->arena, "'%s' is at most %lld in this model",
                                          v->name, (long long)v->high));
        build_step(l->b, PSTEP_CHECK, 3,
                   (const int32_t[]){build_op(l->b, EX_MIN, DT_I64, 2, both), size, text});
    }
}

static void link_inputs(Link *l)
{
    const Block *main = &l->g->block.at[0];
    for (int i = 0; i < main->input.len; i++) {
        const Value *v = &l->g->value.at[main->input.at[i]];
        for (int k = 0; k < v->rank; k++) {
            const ExprNode *n = expr_node(l->g->x, v->dim[k]);
            if (n->op == EX_VAR && l->var[n->imm.i] < 0) {
                grow_vars(l);
                l->var[n->imm.i] = build_var(l->b, l->g->x->var.at[n->imm.i].name, i, k);
            }
        }
    }
    link_other_names(l);
    link_bounds(l);
    for (int i = 0; i < main->input.len; i++) {
        const ValueId id = main->input.at[i];
        ProgramBuffer b = value_buffer(l, &l->g->value.at[id]);
        b.kind = BUF_INPUT;
        l->buffer[id] = build_port(l->b, l->g->value.at[id].name, b);
    }
}

/* Outputs that a step writes directly are made first; the others are copied at the end. */
static void link_outputs(Link *l, bool *direct)
{
    const Block *main = &l->g->block.at[0];
    for (int i = 0; i < main->output.len; i++) {
        const ValueId id = main->output.at[i];
        const Value *v = &l->g->value.at[id];
        direct[i] = l->buffer[id] < 0 && !v->constant && layout_is_plain(&v->layout);
        ProgramBuffer b = value_buffer(l, v);
        b.kind = BUF_OUTPUT;
        b.layout = (Layout){0};
        const int buffer = build_port(l->b, v->name, b);
        if (direct[i])
            l->buffer[id] = buffer;
    }
}

/* One image from those of all batches, and the kernels' entries in it. */
static Image link_image(Link *l)
{
    Work *w = l->w;
    size_t size = 0;
    int n = 0;
    size_t *base = arena_array_of(l->ctx->arena, w->job.len + 1, size_t); /* of the job's image */
    for (int i = 0; i < w->job.len; i++) {
        const Job *j = &w->job.at[i];
        if (j->kernel < 0)
            continue;
        n += j->loops->phase.len;
        int same = 0;
        while (w->job.at[same].kernel < 0 || w->job.at[same].image != j->image)
            same++;
        base[i] = same < i ? base[same] : size;
        size += same < i ? 0 : (j->image->size + 63) & ~(size_t)63;
    }
    uint8_t *code = arena_alloc_aligned(l->ctx->arena, size + 64, 64);
    ImageEntry *entry = arena_array_of(l->ctx->arena, n + 1, ImageEntry);
    int next = 0;
    size_t filled = 0;
    for (int i = 0; i < w->job.len; i++) {
        const Job *j = &w->job.at[i];
        if (j->kernel < 0)
            continue;
        if (base[i] >= filled) { /* the first of its batch */
            memcpy(code + base[i], j->image->code, j->image->size);
            filled = base[i] + 1;
        }
        l->b->kernel.at[j->kernel].entry = next;
        for (int k = 0; k < j->loops->phase.len; k++) {
            entry[next] = j->image->entry[j->entry + k];
            entry[next].name = arena_strdup(l->ctx->arena, entry[next].name);
            entry[next++].offset += (uint32_t)base[i];
        }
    }
    return (Image){.code = code, .size = size, .nentries = n, .entry = entry};
}

static void copy_report(Link *l)
{
    CompileReport *r = l->w->report;
    Arena *a = l->ctx->arena;
    r->nkernels = l->b->kernel.len;
    r->kernel = arena_array_of(a, r->nkernels + 1, KernelReport);
    for (int i = 0; i < l->w->job.len; i++)
        if (l->w->job.at[i].kernel >= 0)
            r->kernel[l->w->job.at[i].kernel] = l->w->job.at[i].report;
    for (int i = 0; i < l->b->step.len; i++)
        r->units += l->b->step.at[i].code == PSTEP_KERNEL || l->b->step.at[i].code == PSTEP_EXTERN;
}

/* Symbols that are used but that nothing sets would be 0 without a word. */
static void check_symbols(Link *l)
{
    for (int i = 0; i < l->b->var.len; i++)
        if (l->b->var.at[i].input < 0 && !l->var_set[i])
            fail(l->ctx, ERR_UNSUPPORTED,
                 "the size '%s' follows from no input: give it with --bind", l->b->var.at[i].name);
}

Compiled link_program(Work *w)
{
    const double start = time_now();
    Link link = {.w = w, .ctx = w->ctx, .g = w->g, .b = build_new(w->ctx->arena)};
    Link *l = &link;
    l->b->precision = precision_name(w->opt->precision);
    Graph *g = w->g;
    l->buffer = arena_array_of(w->ctx->arena, g->value.len + 1, int);
    for (int i = 0; i < g->value.len; i++)
        l->buffer[i] = -1;
    l->var = arena_array_of(w->ctx->arena, g->x->var.len + 1, int);
    for (int i = 0; i < g->x->var.len; i++)
        l->var[i] = -1;
    l->checked = arena_array_of(w->ctx->arena, g->assume.len + 1, bool);
    link_plan_relayouts(l);
    link_inputs(l);
    const Block *main = &g->block.at[0];
    bool *direct = arena_array_of(w->ctx->arena, main->output.len + 1, bool);
    link_outputs(l, direct);
    link_block(l, 0);
    for (int i = 0; i < main->output.len; i++)
        if (!direct[i])
            link_copy(l, l->b->output.at[i].buffer, link_buffer(l, main->output.at[i]));
    check_symbols(l);
    link_run_relayouts(l);
    const Image image = link_image(l);
    copy_report(l);
    const Program *p = build_finish(l->b);
    w->report->link_seconds = time_now() - start;
    return (Compiled){.program = p, .image = image, .report = w->report, .graph = g};
}
