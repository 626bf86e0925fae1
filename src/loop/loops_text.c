/* Loops as text, for people and golden files: indented, one statement a line.
 *
 *     loops gemm expanded
 *       arg 0 a f32 [64, 768]
 *       arg 2 y f32 [64, 64] layout 0 1 1:16 written
 *       scratch 0 t f32 [16]
 *       reg r0 f32 x 8
 *       phase i < 64             (and `for each t < 32`, of phases that advance in steps)
 *         for k < 768
 *           r0 = fma(bcast(vload a[i*768 + k]), vload b[k*16], r0)
 *         y[i*16] = r0
 *
 * Marks stand after a loop's extent; a partial store is `y[offset, count n] = value`; `fetch
 * b[..] + n` brings elements near. */
#include "loop/intrinsic.h"
#include "loop/loops.h"

static const char *buffer_name(void *arg, int id)
{
    const Loops *l = arg;
    return id >= 0 && id < l->buffer.len ? l->buffer.at[id].name : NULL;
}

typedef struct Printer {
    const Loops *l;
    ExprNames names;
    Str *out;
} Printer;

static void put(Printer *p, Expr e)
{
    expr_print(p->l->x, e, &p->names, p->out);
}

static void put_indent(Printer *p, int depth)
{
    for (int k = 0; k < depth; k++)
        str_add(p->out, "  ");
}

static void put_sizes(Printer *p, const char *word, const Expr *e, int n)
{
    str_addf(p->out, " %s[", word);
    for (int d = 0; d < n; d++) {
        str_add(p->out, d ? ", " : "");
        put(p, e[d]);
    }
    str_add(p->out, "]");
}

static void print_buffer(Printer *p, const LoopBuffer *b)
{
    Str *out = p->out;
    if (b->scope == SCOPE_ARG)
        str_addf(out, "  arg %d ", b->arg);
    else if (b->scope == SCOPE_SCRATCH)
        str_addf(out, "  scratch %lld ", (long long)b->offset);
    else
        str_add(out, "  local ");
    str_addf(out, "%s %s", b->name, dtype_name(b->dtype));
    put_sizes(p, "", b->dim, b->rank);
    if (!layout_is_plain(&b->layout)) {
        str_add(out, " layout ");
        layout_print(&b->layout, out);
    }
    if (b->part.is_part) {
        put_sizes(p, "in ", b->part.whole, b->rank);
        put_sizes(p, "at ", b->part.at, b->rank);
    }
    str_add(out, b->written ? " written" : "");
    str_add(out, b->alias ? " alias\n" : "\n");
}

static bool is_tile_store(const Loops *l, const LoopStmt *s)
{
    const ExprNode *n = expr_node(l->x, s->value);
    return n->op == EX_REG && l->reg.at[n->imm.i].rows > 0;
}

static void print_stmt(Printer *p, int id, int depth)
{
    static const char *const marks[] = {
        [MARK_SERIAL] = "",
        [MARK_PARALLEL] = " parallel",
        [MARK_VECTOR] = " vector",
        [MARK_UNROLL] = " unroll",
        [MARK_DOT] = " dot",
        [MARK_TILES] = " tiles",
    };
    const LoopStmt *s = &p->l->stmt.at[id];
    Str *out = p->out;
    const bool line = s->op != L_BLOCK || s->mark == MARK_TILES;
    if (line)
        put_indent(p, depth);
    switch (s->op) {
    case L_BLOCK:
        str_add(out, line ? "tiles" : "");
        break; /* a block is its children, where it stands */
    case L_FOR:
        str_add(out, "for ");
        put(p, s->var);
        str_add(out, " < ");
        put(p, s->extent);
        str_add(out, marks[s->mark]);
        break;
    case L_IF:
        str_add(out, "if ");
        put(p, s->value);
        break;
    case L_LET:
        str_add(out, "let ");
        put(p, s->var);
        str_add(out, " = ");
        put(p, s->value);
        break;
    case L_STORE:
        str_addf(out, "%s[", p->l->buffer.at[s->buffer].name);
        for (int k = 0; k < s->nindex; k++) {
            str_add(out, k == 0                   ? ""
                         : !p->l->expanded        ? ", "
                         : is_tile_store(p->l, s) ? ", stride "
                                                  : ", count ");
            put(p, s->index[k]);
        }
        str_add(out, "] = ");
        put(p, s->value);
        break;
    case L_SET:
        str_addf(out, "r%d = ", s->buffer);
        put(p, s->value);
        break;
    case L_FETCH:
        str_addf(out, "fetch %s[", p->l->buffer.at[s->buffer].name);
        for (int k = 0; k < s->nindex; k++) {
            str_add(out, k ? ", " : "");
            put(p, s->index[k]);
        }
        str_add(out, s->value ? "] + " : "]");
        if (s->value)
            put(p, s->value);
        break;
    }
    if (line)
        str_addc(out, '\n');
    for (int k = 0; k < s->child.len; k++)
        print_stmt(p, s->child.at[k], line ? depth + 1 : depth);
}

void loops_print(const Loops *l, Str *out)
{
    Printer p = {.l = l, .names = {buffer_name, (void *)l, intrinsic_name}, .out = out};
    str_addf(out, "loops %s %s\n", l->name, l->expanded ? "expanded" : "structured");
    for (int k = 0; k < l->buffer.len; k++)
        print_buffer(&p, &l->buffer.at[k]);
    for (int k = 0; k < l->reg.len; k++)
        str_addf(out,
                 l->reg.at[k].rows ? "  tile r%d %s x %d in rows of %d\n" : "  reg r%d %s x %d\n",
                 k, dtype_name(l->reg.at[k].dtype), l->reg.at[k].lanes,
                 l->reg.at[k].rows ? l->reg.at[k].lanes / l->reg.at[k].rows : 0);
    for (int k = 0; k < l->phase.len; k++) {
        str_add(out, "  phase ");
        put(&p, l->phase.at[k].par);
        str_add(out, " < ");
        put(&p, l->phase.at[k].extent);
        if (l->phase.at[k].step) {
            str_add(out, " for each ");
            put(&p, l->phase.at[k].step);
            str_add(out, " < ");
            put(&p, l->phase.at[k].steps);
        }
        str_addc(out, '\n');
        print_stmt(&p, l->phase.at[k].body, 2);
    }
}
