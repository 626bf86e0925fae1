/* Compiling expressions to straight-line code and running it. See oracle_program.h. */
#include "loop/oracle_program.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- compiling ---- */
typedef struct Collect {
    VEC(Expr) node; /* arguments first */
    Arena *arena;
    IntMap place; /* node -> position in `node`, later its slot */
    int *guard;   /* by position; -1: no user seen */
} Collect;

static void collect(const Exprs *x, Expr e, void *arg)
{
    (void)x;
    Collect *const c = arg;
    if (intmap_get(&c->place, e, -1) >= 0)
        return;
    intmap_put(&c->place, e, c->node.len);
    vec_push(c->arena, &c->node, e);
}

/* ---- guards: the sides of selects that all uses of a node stand in ---- */
static int common_guard(const Program *p, int a, int b)
{
    while (a != b) { /* parents have smaller numbers */
        if (a > b)
            a = p->guard.at[a].parent;
        else
            b = p->guard.at[b].parent;
    }
    return a;
}

static void use_under(const Program *p, const Collect *c, Expr e, int guard)
{
    int *const g = &c->guard[intmap_get(&c->place, e, -1)];
    *g = *g < 0 ? guard : common_guard(p, *g, guard);
}

/* Users before what they use. Conditions are positions here, slots once those are known. */
static void find_guards(const Oracle *o, Program *p, Collect *c, int nroots, const Expr *roots)
{
    const Exprs *const x = o->s->x;
    c->guard = arena_array_of(c->arena, c->node.len + 1, int);
    memset(c->guard, -1, sizeof(int) * (size_t)c->node.len);
    vec_push(c->arena, &p->guard, ((Guard){0}));
    for (int i = 0; i < nroots; i++)
        if (roots[i])
            use_under(p, c, roots[i], 0);
    for (int i = c->node.len - 1; i >= 0; i--) {
        const ExprNode *const n = expr_node(x, c->node.at[i]);
        for (int k = 0; k < n->nargs; k++) {
            int guard = c->guard[i];
            if (n->op == EX_SELECT && k > 0) {
                const Guard g = {.condition =
                                     intmap_get(&c->place, expr_arg(x, c->node.at[i], 0), -1),
                                 .taken = k == 1,
                                 .parent = guard};
                vec_push(c->arena, &p->guard, g);
                guard = p->guard.len - 1;
            }
            use_under(p, c, expr_arg(x, c->node.at[i], k), guard);
        }
    }
}

static int axis_of(const Axis *axis, int naxes, Expr var)
{
    for (int i = 0; i < naxes; i++)
        if (axis[i].var == var)
            return i;
    return -1;
}

static DType run_type(const Oracle *o, DType t)
{
    return o->mode == ORACLE_DOUBLE && dtype_is_float(t) ? DT_F64 : t;
}

static void emit(Oracle *o, Program *p, Expr e, const Collect *c)
{
    const Exprs *const x = o->s->x;
    const ExprNode *const n = expr_node(x, e);
    Instr in = {.op = n->op,
                .type = (uint8_t)run_type(o, (DType)n->dtype),
                .nargs = n->nargs,
                .args = p->arg.len,
                .imm = n->imm.i};
    for (int i = 0; i < n->nargs; i++) {
        const Expr a = expr_arg(x, e, i);
        in.from = (uint8_t)run_type(o, expr_type(x, a));
        vec_push(o->ctx->arena, &p->arg, intmap_get(&c->place, a, -1));
    }
    if (n->op == EX_BITCAST) /* the bits are those of the type itself */
        in.from = (uint8_t)expr_type(x, expr_arg(x, e, 0));
    vec_push(o->ctx->arena, &p->code, in);
}

static int level_of(const Oracle *o, const Program *p, int at, int axis, int naxes,
                    const Collect *c, const int *known)
{
    const Expr e = c->node.at[at];
    const ExprNode *const n = expr_node(o->s->x, e);
    int level = n->op == EX_STATE ? naxes + 1 : axis >= 0 ? axis + 1 : 0;
    for (int i = 0; i < n->nargs; i++) {
        const int l = known[intmap_get(&c->place, expr_arg(o->s->x, e, i), -1)];
        level = l > level ? l : level;
    }
    for (int g = n->op == EX_LOAD ? c->guard[at] : 0; g > 0; g = p->guard.at[g].parent) {
        const int l = known[p->guard.at[g].condition]; /* not before the conditions are there */
        level = l > level ? l : level;
    }
    return level;
}

Program *program_new(Oracle *o, int naxes, const Axis *axis, int nroots, const Expr *roots)
{
    Arena *const a = o->ctx->arena;
    Program *const p = arena_new_of(a, Program);
    Collect c = {.arena = a, .place = intmap_new(a)};
    for (int i = 0; i < nroots; i++)
        expr_walk(o->s->x, roots[i], collect, &c);
    find_guards(o, p, &c, nroots, roots);
    int *const level = arena_array_of(a, c.node.len + 1, int);
    for (int i = 0; i < c.node.len; i++)
        level[i] = level_of(o, p, i, axis_of(axis, naxes, c.node.at[i]), naxes, &c, level);
    p->naxes = naxes;
    memset(p->axis, -1, sizeof p->axis);
    /* Slots in the order of levels; inside a level as collected. */
    int slot = 0;
    for (int l = 0; l <= naxes + 1; l++)
        for (int i = 0; i < c.node.len; i++)
            if (level[i] == l)
                intmap_put(&c.place, c.node.at[i], slot++);
    for (int g = 1; g < p->guard.len; g++)
        p->guard.at[g].condition = intmap_get(&c.place, c.node.at[p->guard.at[g].condition], -1);
    for (int l = 0; l <= naxes + 1; l++) {
        p->level[l] = p->code.len;
        for (int i = 0; i < c.node.len; i++) {
            if (level[i] != l)
                continue;
            const int k = axis_of(axis, naxes, c.node.at[i]);
            emit(o, p, c.node.at[i], &c);
            vec_last(&p->code).guard = c.guard[i];
            if (k >= 0) { /* set from outside: program_set */
                p->axis[k] = p->code.len - 1;
                p->code.at[p->axis[k]].op = EX_NONE;
            }
        }
    }
    p->level[naxes + 2] = p->code.len;
    for (int i = 0; i < nroots; i++)
        p->root[i] = intmap_get(&c.place, roots[i], -1);
    return p;
}

/* ---- running ---- */
Value *program_frame(Oracle *o, Program *p)
{
    return p->nspare > 0 ? p->spare[--p->nspare]
                         : arena_array_of(o->ctx->arena, p->code.len + 1, Value);
}

void program_done(Program *p, Value *frame)
{
    if (p->nspare < (int)(sizeof p->spare / sizeof *p->spare))
        p->spare[p->nspare++] = frame;
}

static Scalar scalar_of(DType t, Word w)
{
    Scalar s = {.dtype = t};
    if (dtype_is_float(t))
        s.f = w.f;
    else
        s.i = w.i;
    return s;
}

static Word word_of(Scalar s)
{
    return dtype_is_float(s.dtype) ? (Word){.f = s.f} : (Word){.i = s.i};
}

/* Any op, by way of the reference semantics. */
static Word apply(const Instr *in, const Value *const *arg)
{
    Scalar s[3];
    for (int i = 0; i < in->nargs; i++) {
        const bool condition = in->op == EX_SELECT && i == 0;
        s[i] = scalar_of(condition ? DT_BOOL : (DType)in->from, arg[i]->w);
    }
    DType t = (DType)in->type;
    if (in->op == EX_BITCAST && in->from == DT_F32)
        s[0].f = (float)s[0].f;
    if (in->op == EX_BITCAST && t == DT_F64 && dtype_bits((DType)in->from) == 32)
        t = DT_F32;
    return word_of(scalar_apply((ExprOp)in->op, t, in->nargs, s));
}

static Word sum_or_product(const Instr *in, const int *slot, const Value *frame)
{
    uint64_t r = (uint64_t)frame[slot[0]].w.i;
    for (int i = 1; i < in->nargs; i++) {
        const uint64_t v = (uint64_t)frame[slot[i]].w.i;
        r = in->op == EX_ADD ? r + v : r * v;
    }
    return (Word){.i = (int64_t)r};
}

static Word compute(const Instr *in, const int *slot, const Value *frame)
{
    const bool sum = in->op == EX_ADD || in->op == EX_MUL;
    if (sum && in->type == DT_I64)
        return sum_or_product(in, slot, frame);
    const Value *arg[3] = {0};
    for (int i = 0; i < in->nargs; i++)
        arg[i] = &frame[slot[i]];
    if (in->type == DT_F32) { /* what most of the time goes into */
        const double a = arg[0]->w.f;
        if (in->op == EX_FMA)
            return (Word){.f = fmaf((float)a, (float)arg[1]->w.f, (float)arg[2]->w.f)};
        if (sum)
            return (Word){.f = (float)(in->op == EX_ADD ? a + arg[1]->w.f : a * arg[1]->w.f)};
    }
    return apply(in, arg);
}

/* A condition that may go either way takes both sides. */
static bool is_needed(const Program *p, int guard, const Value *frame)
{
    for (; guard > 0; guard = p->guard.at[guard].parent) {
        const Value *const v = &frame[p->guard.at[guard].condition];
        if (v->magnitude == 0 && (v->w.i != 0) != p->guard.at[guard].taken)
            return false;
    }
    return true;
}

static Value load(Oracle *o, const Instr *in, const int *slot, const Value *frame)
{
    int64_t index[MAX_RANK];
    bool certain = true;
    assert(in->nargs <= MAX_RANK);
    for (int i = 0; i < in->nargs; i++) {
        index[i] = frame[slot[i]].w.i;
        certain &= frame[slot[i]].magnitude == 0;
    }
    Value v = o->load(o, (int)in->imm, index);
    if (!certain)
        v.magnitude += (1 + fabs(v.magnitude)) / ORACLE_EPS;
    return v;
}

static Value leaf(const Oracle *o, const Instr *in, const Value *state)
{
    const bool real = dtype_is_float((DType)in->type);
    Value v = {.w.i = in->imm};
    if (in->op == EX_STATE)
        return state[in->imm];
    if (in->op == EX_VAR)
        v.w.i = o->sym ? o->sym[in->imm] : 0;
    else
        v.magnitude = real && o->mode == ORACLE_DOUBLE ? fabs(v.w.f) : 0;
    return v;
}

void program_run(Oracle *o, const Program *p, Value *frame, int level, const Value *state)
{
    const int end = p->level[p->naxes + 2];
    for (int k = p->level[level]; k < end; k++) {
        const Instr *const in = &p->code.at[k];
        const int *const slot = p->arg.at + in->args;
        if (in->op == EX_NONE)
            continue;
        if (in->op == EX_LOAD) {
            frame[k] = is_needed(p, in->guard, frame) ? load(o, in, slot, frame) : (Value){0};
            continue;
        }
        if (in->nargs == 0) {
            frame[k] = leaf(o, in, state);
            continue;
        }
        frame[k].w = compute(in, slot, frame);
        if (o->mode != ORACLE_DOUBLE)
            continue;
        const Value *arg[PROGRAM_ARGS];
        const int n = in->nargs < PROGRAM_ARGS ? in->nargs : PROGRAM_ARGS;
        for (int i = 0; i < n; i++)
            arg[i] = &frame[slot[i]];
        frame[k].magnitude = magnitude_of(in, frame[k].w, arg);
    }
}
