/* If, Loop and Scan in the reference executor. */
#include <string.h>

#include "op/control.h"
#include "op/reference.h"

static void set_output(Reference *r, const Node *n, int k, Tensor *t)
{
    if (k < n->nout && n->out[k] >= 0)
        reference_set(r, n->out[k], t);
}

static bool is_true(const Tensor *t)
{
    return *(const uint8_t *)t->data != 0;
}

static void run_if(Reference *r, const Node *n)
{
    const int block = n->block[is_true(reference_get(r, n->in[0])) ? 0 : 1];
    reference_block(r, block);
    for (int k = 0; k < n->nout; k++)
        set_output(r, n, k, reference_get(r, r->g->block.at[block].output.at[k]));
}

/* ---- pieces along an axis ---- */

static int64_t product(const int64_t *dims, int from, int to)
{
    int64_t n = 1;
    for (int k = from; k < to; k++)
        n *= dims[k];
    return n;
}

/* Copies between a whole tensor and its piece at `index` of `axis` (a piece has no such axis). */
static void copy_piece(Tensor *to, const Tensor *from, const Tensor *whole, int axis, int64_t index)
{
    const size_t size = (size_t)dtype_size(whole->dtype);
    const int64_t outer = product(whole->dim, 0, axis), n = whole->dim[axis];
    const size_t run = (size_t)product(whole->dim, axis + 1, whole->rank) * size;
    for (int64_t o = 0; o < outer; o++) {
        const size_t in_whole = (size_t)(o * n + index) * run, in_piece = (size_t)o * run;
        memcpy((char *)to->data + (to == whole ? in_whole : in_piece),
               (const char *)from->data + (from == whole ? in_whole : in_piece), run);
    }
}

static Tensor *take_piece(Reference *r, const Tensor *whole, int axis, int64_t index)
{
    int64_t dims[MAX_RANK];
    for (int k = 0, n = 0; k < whole->rank; k++)
        if (k != axis)
            dims[n++] = whole->dim[k];
    Tensor *piece = reference_tensor(r, whole->dtype, whole->rank - 1, dims);
    copy_piece(piece, whole, whole, axis, index);
    return piece;
}

typedef VEC(Tensor *) Pieces;

/* All pieces along a new axis. Without any, the other dims are what inference says; 0 if it says
 * nothing. */
static Tensor *join_pieces(Reference *r, ValueId out, const Pieces *p, int axis, bool reversed)
{
    const Value *v = &r->g->value.at[out];
    int64_t dims[MAX_RANK];
    for (int k = 0, n = 0; k < v->rank; k++) {
        if (k == axis)
            dims[k] = p->len;
        else if (p->len > 0)
            dims[k] = p->at[0]->dim[n++];
        else if (!reference_eval(r, v->dim[k], &dims[k]))
            dims[k] = 0;
    }
    Tensor *whole = reference_tensor(r, v->dtype, v->rank, dims);
    for (int i = 0; i < p->len; i++) {
        const Tensor *a = p->at[0], *b = p->at[i];
        if (a->rank != b->rank || memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) != 0)
            graph_fail(r->g, v->producer, ERR_INVALID, "the shape of collected values changes");
        copy_piece(whole, b, whole, axis, reversed ? p->len - 1 - i : i);
    }
    return whole;
}

/* ---- Loop and Scan ---- */

typedef struct LoopRun {
    Reference *r;
    const Node *n;
    LoopParts p;
    Tensor **carried;
    Pieces *collected;
} LoopRun;

static LoopRun loop_start(Reference *r, NodeId id)
{
    LoopRun l = {.r = r, .n = &r->g->node.at[id], .p = control_loop_parts(r->g, id)};
    l.carried = arena_array_of(r->ctx->arena, l.p.carried + 1, Tensor *);
    l.collected = arena_array_of(r->ctx->arena, l.p.collected + 1, Pieces);
    for (int k = 0; k < l.p.carried; k++)
        l.carried[k] = reference_get(r, l.n->in[l.p.first_in + k]);
    return l;
}

/* One iteration; the inputs before and after the carried ones are set already. */
static void loop_body(LoopRun *l)
{
    const Block *b = &l->r->g->block.at[l->p.body];
    for (int k = 0; k < l->p.carried; k++)
        reference_set(l->r, b->input.at[l->p.body_in + k], l->carried[k]);
    reference_block(l->r, l->p.body);
    const ValueId *out = b->output.at + l->p.body_out;
    for (int k = 0; k < l->p.carried; k++)
        l->carried[k] = reference_get(l->r, out[k]);
    for (int k = 0; k < l->p.collected; k++)
        vec_push(l->r->ctx->arena, &l->collected[k], reference_get(l->r, out[l->p.carried + k]));
}

static void loop_finish(LoopRun *l)
{
    for (int k = 0; k < l->p.carried; k++)
        set_output(l->r, l->n, k, l->carried[k]);
    for (int k = 0; k < l->p.collected; k++) {
        const int at = l->p.carried + k;
        if (at >= l->n->nout || l->n->out[at] < 0)
            continue;
        const int rank = l->r->g->value.at[l->n->out[at]].rank;
        const int axis = l->p.is_loop ? 0 : control_scan_axis(l->n, "scan_output_axes", k, rank);
        const bool reversed =
            !l->p.is_loop && control_scan_reversed(l->n, "scan_output_directions", k);
        set_output(l->r, l->n, at,
                   join_pieces(l->r, l->n->out[at], &l->collected[k], axis, reversed));
    }
}

static Tensor *scalar(Reference *r, DType t, int64_t v)
{
    Tensor *s = reference_tensor(r, t, 0, NULL);
    dtype_write_int(t, s->data, v);
    return s;
}

static void run_loop(Reference *r, NodeId id)
{
    LoopRun l = loop_start(r, id);
    const Block *b = &r->g->block.at[l.p.body];
    const bool counted = l.n->in[0] >= 0, conditional = l.n->in[1] >= 0;
    if (!counted && !conditional)
        graph_fail(r->g, id, ERR_INVALID, "neither a trip count nor a condition ends it");
    int64_t most = INT64_MAX;
    if (counted) {
        const Tensor *t = reference_get(r, l.n->in[0]);
        most = dtype_read_int(t->dtype, t->data);
    }
    bool go = !conditional || is_true(reference_get(r, l.n->in[1]));
    for (int64_t i = 0; i < most && go; i++) {
        reference_set(r, b->input.at[0], scalar(r, DT_I64, i));
        reference_set(r, b->input.at[1], scalar(r, DT_BOOL, 1));
        loop_body(&l);
        go = !conditional || is_true(reference_get(r, b->output.at[0]));
    }
    loop_finish(&l);
}

static void run_scan(Reference *r, NodeId id)
{
    LoopRun l = loop_start(r, id);
    const Block *b = &r->g->block.at[l.p.body];
    int64_t trips = 0;
    for (int k = 0; k < l.p.scanned; k++) {
        const Tensor *t = reference_get(r, l.n->in[l.p.carried + k]);
        const int axis = control_scan_axis(l.n, "scan_input_axes", k, t->rank);
        if (k > 0 && t->dim[axis] != trips)
            graph_fail(r->g, id, ERR_INVALID, "scanned inputs have different lengths");
        trips = t->dim[axis];
    }
    for (int64_t i = 0; i < trips; i++) {
        for (int k = 0; k < l.p.scanned; k++) {
            const Tensor *t = reference_get(r, l.n->in[l.p.carried + k]);
            const int axis = control_scan_axis(l.n, "scan_input_axes", k, t->rank);
            const bool reversed = control_scan_reversed(l.n, "scan_input_directions", k);
            reference_set(r, b->input.at[l.p.carried + k],
                          take_piece(r, t, axis, reversed ? trips - 1 - i : i));
        }
        loop_body(&l);
    }
    loop_finish(&l);
}

void reference_control(Reference *r, NodeId n)
{
    switch (r->g->node.at[n].op) {
    case OP_IF:
        run_if(r, &r->g->node.at[n]);
        break;
    case OP_LOOP:
        run_loop(r, n);
        break;
    case OP_SCAN:
        run_scan(r, n);
        break;
    default:
        graph_fail(r->g, n, ERR_INTERNAL, "is no control flow");
    }
}
