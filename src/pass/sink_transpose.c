/* sink_transpose: what is picked out of a transposed array is picked first.
 *
 *     t = transpose(qkv (B,T,3,H,d), [2,0,3,1,4]); q = gather(t, 0); k = gather(t, 1); v = gather(t, 2)
 *     ->  q = transpose(squeeze(slice(qkv, 2, 0..1), 2), [0,2,1,3]), ..
 *
 * The transposition of everything is a copy, and each pick was another one. Now a slice is a view
 * (pass/views), and each part is copied once, or not at all. A Squeeze of a transposed array
 * changes places with it, too.
 *
 * Only where all that reads the array picks along one axis, and no more than there is: else more
 * would be moved.
 *
 * Requires inference; leaves shapes as they were. Behind raise_attention, which knows chains as
 * exporters write them, and before simplify, which joins what now stands side by side. */
#include "pass/edit.h"
#include "pass/known.h"

#include "op/op.h"

/* A node that takes [from, from + length) of an axis; single: one element, and the axis goes. */
typedef struct Pick {
    int axis;
    int64_t from, length;
    bool single;
} Pick;

typedef struct Sink {
    Graph *g;
    const int *uses; /* by value */
} Sink;

static const Node *transpose_of(const Graph *g, const Node *n)
{
    const NodeId p = n->in[0] >= 0 ? g->value.at[n->in[0]].producer : -1;
    return p >= 0 && g->node.at[p].op == OP_TRANSPOSE && g->node.at[p].home == n->home
               ? &g->node.at[p]
               : NULL;
}

static int permutation(const Graph *g, const Node *n, int64_t *perm)
{
    const int rank = g->value.at[n->in[0]].rank;
    const int64_t *given;
    const bool there = node_ints(n, "perm", &given) == rank;
    for (int k = 0; k < rank; k++)
        perm[k] = there ? given[k] : rank - 1 - k;
    return rank;
}

static bool read_slice(const Graph *g, const Node *n, Pick *to)
{
    int64_t start, axis = 0, step = 1;
    const bool axes = n->nin > 3 && n->in[3] >= 0, steps = n->nin > 4 && n->in[4] >= 0;
    if (known_ints(g, n->in[1], &start, 1) != 1 ||
        (axes && known_ints(g, n->in[3], &axis, 1) != 1) ||
        (steps && known_ints(g, n->in[4], &step, 1) != 1))
        return false;
    const Value *x = &g->value.at[n->in[0]], *y = &g->value.at[n->out[0]];
    to->axis = (int)(axis < 0 ? axis + x->rank : axis);
    int64_t size;
    if (step != 1 || !expr_is_int(g->x, x->dim[to->axis], &size) ||
        !expr_is_int(g->x, y->dim[to->axis], &to->length))
        return false;
    start = start < 0 ? start + size : start;
    to->from = start < 0 ? 0 : start > size ? size : start;
    return true;
}

static bool read_gather(const Graph *g, const Node *n, Pick *to)
{
    int64_t at, size;
    const Value *x = &g->value.at[n->in[0]];
    const int64_t axis = node_int(n, "axis", 0);
    to->axis = (int)(axis < 0 ? axis + x->rank : axis);
    if (g->value.at[n->in[1]].rank != 0 || known_ints(g, n->in[1], &at, 1) != 1 ||
        !expr_is_int(g->x, x->dim[to->axis], &size))
        return false;
    at = at < 0 ? at + size : at;
    *to = (Pick){.axis = to->axis, .from = at, .length = 1, .single = true};
    return at >= 0 && at < size;
}

static bool read_pick(const Graph *g, const Node *n, Pick *to)
{
    *to = (Pick){0};
    return n->op == OP_SLICE ? read_slice(g, n, to) : n->op == OP_GATHER && read_gather(g, n, to);
}

/* Do all readers of what t makes pick along the axis, together no more than there is? */
static bool all_pick(const Sink *s, const Node *t, int axis)
{
    const Graph *g = s->g;
    const Block *b = &g->block.at[t->home];
    const ValueId v = t->out[0];
    int readers = 0;
    int64_t all = 0, size;
    for (int k = 0; k < b->node.len; k++) {
        const Node *n = &g->node.at[b->node.at[k]];
        for (int j = 0; j < n->nin; j++) {
            Pick p;
            if (n->in[j] != v)
                continue;
            if (j > 0 || !read_pick(g, n, &p) || p.axis != axis)
                return false;
            all += p.length;
            readers++;
        }
    }
    return readers == s->uses[v] && expr_is_int(g->x, g->value.at[v].dim[axis], &size) &&
           all <= size;
}

static ValueId append(Graph *g, NodeId before, OpCode op, const char *what, int n,
                      const ValueId *in)
{
    const NodeId id = insert_node(g, before, op, what, n, in);
    op_infer_node(g, id);
    return g->node.at[id].out[0];
}

static ValueId squeeze(Graph *g, NodeId before, ValueId x, int n, const int64_t *axes)
{
    return append(g, before, OP_SQUEEZE, "squeeze", 2,
                  (const ValueId[]){x, graph_const_ints(g, "axes", n, axes)});
}

/* n becomes the transposition of x, which lacks the dims `gone` of what was transposed by perm. */
static void become_transpose(Graph *g, NodeId n, ValueId x, int rank, const int64_t *perm,
                             uint32_t gone)
{
    int64_t left[MAX_RANK];
    int count = 0;
    for (int k = 0; k < rank; k++) {
        if (gone >> perm[k] & 1)
            continue;
        left[count] = perm[k];
        for (int d = 0; d < perm[k]; d++)
            left[count] -= gone >> d & 1;
        count++;
    }
    change_node(g, n, OP_TRANSPOSE, 1, &x);
    node_set_ints(g, n, "perm", count, left);
}

static bool sink_pick(const Sink *s, NodeId n)
{
    Graph *g = s->g;
    const Node *t = transpose_of(g, &g->node.at[n]);
    Pick p;
    if (!t || !read_pick(g, &g->node.at[n], &p) || !all_pick(s, t, p.axis))
        return false;
    int64_t perm[MAX_RANK];
    const int rank = permutation(g, t, perm);
    const int64_t axis = perm[p.axis], end = p.from + p.length;
    const ValueId in[4] = {t->in[0], graph_const_ints(g, "starts", 1, &p.from),
                           graph_const_ints(g, "ends", 1, &end),
                           graph_const_ints(g, "axes", 1, &axis)};
    ValueId x = append(g, n, OP_SLICE, "slice", 4, in);
    if (p.single)
        x = squeeze(g, n, x, 1, &axis);
    become_transpose(g, n, x, rank, perm, p.single ? (uint32_t)1 << axis : 0);
    return true;
}

static bool sink_squeeze(const Sink *s, NodeId n)
{
    Graph *g = s->g;
    const Node *t = g->node.at[n].op == OP_SQUEEZE ? transpose_of(g, &g->node.at[n]) : NULL;
    int64_t axes[MAX_RANK], perm[MAX_RANK];
    const int count =
        t && g->node.at[n].nin > 1 ? known_ints(g, g->node.at[n].in[1], axes, MAX_RANK) : 0;
    if (count < 1 || s->uses[t->out[0]] != 1)
        return false;
    const int rank = permutation(g, t, perm);
    uint32_t gone = 0;
    for (int k = 0; k < count; k++) {
        axes[k] = perm[axes[k] < 0 ? axes[k] + rank : axes[k]];
        gone |= (uint32_t)1 << axes[k];
    }
    become_transpose(g, n, squeeze(g, n, t->in[0], count, axes), rank, perm, gone);
    return true;
}

Graph *pass_sink_transpose(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    (void)opt;
    Graph *g = graph_copy(ctx, old);
    Sink s = {.g = g, .uses = graph_count_uses(g)};
    for (int b = 0; b < g->block.len; b++) {
        for (int i = 0; i < g->block.at[b].node.len; i++) {
            const NodeId n = g->block.at[b].node.at[i];
            if (g->node.at[n].nout != 1 || (!sink_squeeze(&s, n) && !sink_pick(&s, n)))
                continue;
            s.uses = graph_count_uses(g);
            ++*count;
        }
    }
    return g;
}
