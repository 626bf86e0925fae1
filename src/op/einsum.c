/* Einsum: one REDUCE over the labels that the result lacks, of the product of all operands.
 *
 *     "bij,bjk->bik"   domain (b, i, k), reduction j
 *     "...ij->...ji"   an ellipsis stands for the dims that no letter names, aligned at the right
 *     "ii->i"          a label twice in a term reads the diagonal
 *
 * Without "->" the result has the ellipsis and then the letters that occur once, sorted. */
#include "op/einsum.h"
#include "op/table.h"
#include "op/window.h"

#include <ctype.h>
#include <string.h>

/* A label is a letter, or ELLIPSIS + n for the n-th dim from the right of an ellipsis. */
enum { ELLIPSIS = 256, MAX_LABELS = 256 + MAX_RANK };

typedef struct Parser {
    const Graph *g;
    NodeId id;
    const char *at;
    int dots; /* dims of the widest ellipsis */
} Parser;

static _Noreturn void bad(const Parser *p, const char *what)
{
    graph_fail(p->g, p->id, ERR_INVALID, "equation '%s': %s",
               node_string(&p->g->node.at[p->id], "equation", ""), what);
}

static void add_label(const Parser *p, EinsumTerm *t, int label)
{
    if (t->n == MAX_RANK)
        bad(p, "too many dims in a term");
    t->label[t->n++] = label;
}

static int letters_ahead(const char *s)
{
    int n = 0;
    for (; *s && *s != ',' && *s != '-'; s++)
        n += isalpha((unsigned char)*s) != 0;
    return n;
}

/* One term; `dots` dims for its ellipsis. */
static EinsumTerm parse_term(Parser *p, int dots)
{
    EinsumTerm t = {0};
    bool seen = false;
    for (; *p->at && *p->at != ',' && *p->at != '-'; p->at++) {
        if (*p->at == ' ')
            continue;
        if (isalpha((unsigned char)*p->at)) {
            add_label(p, &t, *p->at);
            continue;
        }
        if (strncmp(p->at, "...", 3) != 0 || seen)
            bad(p, "unexpected character");
        seen = true;
        p->at += 2;
        for (int k = dots; k > 0; k--)
            add_label(p, &t, ELLIPSIS + k - 1);
    }
    return t;
}

static int count_label(const EinsumEquation *e, int label)
{
    int n = 0;
    for (int k = 0; k < e->nin; k++)
        for (int i = 0; i < e->in[k].n; i++)
            n += e->in[k].label[i] == label;
    return n;
}

EinsumEquation einsum_equation(const Graph *g, NodeId id, int nin, const int *rank)
{
    Parser p = {.g = g, .id = id, .at = node_string(&g->node.at[id], "equation", "")};
    EinsumEquation e = {.nin = nin, .in = arena_array_of(g->ctx->arena, nin + 1, EinsumTerm)};
    for (int k = 0; k < nin; k++) {
        const int dots = rank[k] - letters_ahead(p.at);
        if (dots < 0)
            bad(&p, "a term names more dims than its operand has");
        e.in[k] = parse_term(&p, dots);
        if (e.in[k].n != rank[k])
            bad(&p, "a term names fewer dims than its operand has");
        p.dots = dots > p.dots ? dots : p.dots;
        if (*p.at != (k + 1 < nin ? ',' : *p.at == '-' ? '-' : '\0'))
            bad(&p, "the number of terms is not that of the inputs");
        p.at += *p.at == ',';
    }
    if (*p.at == '-') {
        if (*++p.at != '>')
            bad(&p, "unexpected character");
        p.at++;
        e.out = parse_term(&p, p.dots);
        if (*p.at)
            bad(&p, "unexpected character");
        return e;
    }
    for (int k = p.dots; k > 0; k--)
        add_label(&p, &e.out, ELLIPSIS + k - 1);
    for (int c = 'A'; c <= 'z'; c++)
        if (isalpha(c) && count_label(&e, c) == 1)
            add_label(&p, &e.out, c);
    return e;
}

/* ---- inference ---- */

/* Extent by label; 0 where there is no such label. Dims of 1 broadcast. */
static void label_extents(const Infer *f, const EinsumEquation *e, Expr *extent)
{
    for (int k = 0; k < e->nin; k++)
        for (int i = 0; i < e->in[k].n; i++) {
            const int label = e->in[k].label[i];
            const Expr dim = infer_in(f, k)->dim[i];
            if (extent[label])
                infer_broadcast(f, 1, &extent[label], 1, &dim, &extent[label]);
            else
                extent[label] = dim;
        }
}

void infer_einsum(const Infer *f)
{
    const int nin = f->node->nin;
    int *rank = arena_array_of(f->ctx->arena, nin + 1, int);
    for (int k = 0; k < nin; k++) {
        rank[k] = infer_in(f, k)->rank;
        if (infer_in(f, k)->dtype != infer_in(f, 0)->dtype)
            infer_fail(f, "inputs of different types");
    }
    const EinsumEquation e = einsum_equation(f->g, f->id, nin, rank);
    Expr extent[MAX_LABELS] = {0}, dims[MAX_RANK];
    label_extents(f, &e, extent);
    int axes = 0;
    for (int k = 0; k < MAX_LABELS; k++)
        axes += extent[k] != 0;
    if (axes > MAX_AXES)
        infer_unsupported(f, "%d labels", axes);
    for (int k = 0; k < e.out.n; k++) {
        dims[k] = extent[e.out.label[k]];
        if (!dims[k])
            infer_fail(f, "the result has a label that no operand has");
        for (int i = 0; i < k; i++)
            if (e.out.label[i] == e.out.label[k])
                infer_fail(f, "the result has a label twice");
    }
    infer_out(f, 0, infer_in(f, 0)->dtype, e.out.n, dims);
}

/* ---- definition ---- */

/* Gives the labels that only operands have reduction axes. */
static void reduce_labels(const Define *d, const EinsumEquation *e, StageBuild *b, Expr *var)
{
    Expr extent[MAX_AXES];
    int labels[MAX_AXES], n = 0;
    for (int k = 0; k < e->nin; k++)
        for (int i = 0; i < e->in[k].n; i++) {
            const int label = e->in[k].label[i];
            const Expr dim = define_dim(d, k, i);
            if (var[label])
                continue;
            int j = 0;
            while (j < n && labels[j] != label)
                j++;
            labels[j] = label;
            extent[j] = j == n || dim_is(d->x, extent[j], 1) ? dim : extent[j];
            n += j == n;
        }
    stage_reduce_axes(d->s, b, n, extent);
    for (int k = 0; k < n; k++)
        var[labels[k]] = b->r[k];
}

void define_einsum(Define *d)
{
    Exprs *x = d->x;
    const int nin = d->node->nin;
    int *rank = arena_array_of(d->ctx->arena, nin + 1, int);
    for (int k = 0; k < nin; k++)
        rank[k] = define_rank(d, k);
    const EinsumEquation e = einsum_equation(d->g, d->id, nin, rank);
    StageBuild b = define_begin(d, 0);
    Expr var[MAX_LABELS] = {0}, term[2] = {0};
    for (int k = 0; k < e.out.n; k++)
        var[e.out.label[k]] = b.i[k];
    reduce_labels(d, &e, &b, var);
    for (int k = 0; k < nin; k++) {
        Expr index[MAX_RANK];
        for (int i = 0; i < e.in[k].n; i++) {
            const bool one = dim_is(x, define_dim(d, k, i), 1);
            index[i] = one ? expr_int(x, 0) : var[e.in[k].label[i]];
        }
        const Expr v = define_load(d, k, index);
        if (k < 2)
            term[k] = v;
        else
            term[0] = expr_mul(x, term[0], v);
    }
    if (b.nreduce == 0) {
        define_map(d, 0, &b, term[1] ? expr_mul(x, term[0], term[1]) : term[0]);
        return;
    }
    const DType t = expr_type(x, term[0]);
    const Expr state = expr_state(x, t, 0);
    Expr update = expr_add(x, state, term[0]);
    if (term[1])
        update = dtype_is_float(t) ? expr_fma(x, term[0], term[1], state)
                                   : expr_add(x, state, expr_mul(x, term[0], term[1]));
    define_out(d, 0,
               stage_reduce(d->s, &b, "einsum", t, expr_const(x, t, 0), update,
                            expr_add(x, state, expr_state2(x, t, 0))));
}
