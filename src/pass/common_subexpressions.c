/* common_subexpressions: what is computed twice is computed once.
 *
 *     a = exp(x); b = exp(x); c = add(a, b)   ->   a = exp(x); c = add(a, a)
 *
 * Two nodes are equal if op, attributes, inputs and the types of their results are. Constants are
 * equal if type, dims and bytes are. Whatever has no body is a function of its inputs (op.def has
 * no random ops, and Dropout keeps everything), so class tells which nodes may go: all but 'C'.
 *
 * A node replaces those that it dominates: later ones of its block, and those in the bodies of
 * later nodes. The table of nodes seen is scoped by block: entries of a body go when it ends.
 *
 * Graph and block outputs keep their names: if the node that goes made one, the node that stays
 * makes it instead; if both make one, both stay. Results whose size depends on data have symbols
 * of their own, which others may use: types differ then, and both stay. */
#include <string.h>

#include "pass/edit.h"

typedef struct Seen {
    NodeId node;
    int bucket, next; /* index of an older entry of the bucket; -1 */
} Seen;

typedef struct Search {
    Graph *g;
    ValueId *same;   /* by value: the one that replaces it; itself */
    ValueId *named;  /* by value that stays: the output that it becomes; -1 */
    bool *is_output; /* of any block, before anything changed */
    int *bucket;     /* by hash: index of the newest entry; -1 */
    unsigned nbuckets;
    VEC(Seen) seen;
    int count;
} Search;

/* ---- constants ---- */

/* Enough bytes to tell weights apart; those that agree are compared in full. */
static uint64_t hash_tensor(const Tensor *t)
{
    enum { SAMPLE = 256 };
    const size_t n = t->bytes < SAMPLE ? t->bytes : SAMPLE;
    const char *last = (const char *)t->data + (t->bytes - n);
    uint64_t h = hash_bytes(t->dim, (size_t)t->rank * sizeof *t->dim, (uint64_t)t->dtype);
    if (n > 0) {
        h = hash_bytes(t->data, n, h);
        h = hash_bytes(last, n, h);
    }
    return hash_mix(h, t->bytes);
}

/* A constant that is an output keeps its name: it may replace others, but not be replaced. */
static void merge_constants(Search *s)
{
    Graph *g = s->g;
    const int *uses = graph_count_uses(g);
    int *next = arena_array_of(g->ctx->arena, g->value.len + 1, int);
    for (unsigned k = 0; k < s->nbuckets; k++) {
        s->bucket[k] = -1;
    }
    for (ValueId v = 0; v < g->value.len; v++) {
        const Tensor *t = g->value.at[v].constant;
        if (!t || uses[v] == 0 || !layout_is_plain(&t->layout) || dtype_size(t->dtype) == 0) {
            continue;
        }
        int *bucket = &s->bucket[hash_tensor(t) & (s->nbuckets - 1)];
        int old = s->is_output[v] ? -1 : *bucket;
        while (old >= 0 && !same_tensor(g->value.at[old].constant, t)) {
            old = next[old];
        }
        if (old >= 0) {
            s->same[v] = old;
            s->count++;
        } else {
            next[v] = *bucket;
            *bucket = v;
        }
    }
}

/* ---- nodes ---- */

static uint64_t hash_node(const Node *n)
{
    uint64_t h = hash_mix(0, (uint64_t)n->op);
    for (int k = 0; k < n->nin; k++) {
        h = hash_mix(h, (uint64_t)n->in[k]);
    }
    return h;
}

static bool same_elements(const Value *a, const Value *b)
{
    return a->nelems == b->nelems &&
           (a->nelems == 0 ||
            memcmp(a->elems, b->elems, (size_t)a->nelems * sizeof *a->elems) == 0);
}

/* May `old` stand for `n`? Their inputs have been replaced already. */
static bool same_node(const Search *s, const Node *old, const Node *n)
{
    const Graph *g = s->g;
    if (old->op != n->op || old->nin != n->nin || old->nout < n->nout || !same_attrs(n, old) ||
        (n->nin > 0 && memcmp(old->in, n->in, (size_t)n->nin * sizeof *n->in) != 0)) {
        return false;
    }
    for (int k = 0; k < n->nout; k++) {
        const ValueId a = old->out[k], b = n->out[k];
        if (b < 0) {
            continue;
        }
        if (a < 0 || !is_same_type(g, a, b) ||
            !same_elements(&g->value.at[a], &g->value.at[b])) {
            return false;
        }
        if (s->is_output[b] && (s->is_output[a] || s->named[a] >= 0 || old->home != n->home)) {
            return false;
        }
    }
    return true;
}

static void replace(Search *s, const Node *old, NodeId id)
{
    const Node *n = &s->g->node.at[id];
    for (int k = 0; k < n->nout; k++) {
        if (n->out[k] < 0) {
            continue;
        }
        s->same[n->out[k]] = old->out[k];
        if (s->is_output[n->out[k]]) {
            s->named[old->out[k]] = n->out[k];
        }
    }
    block_remove(s->g, id);
    s->count++;
}

static void search_block(Search *s, int block)
{
    Graph *g = s->g;
    const int outer = s->seen.len;
    for (int i = 0; i < g->block.at[block].node.len; i++) {
        const NodeId id = g->block.at[block].node.at[i];
        Node *n = &g->node.at[id];
        for (int k = 0; k < n->nin; k++) {
            n->in[k] = n->in[k] < 0 ? -1 : s->same[n->in[k]];
        }
        for (int k = 0; k < n->nblock; k++) {
            search_block(s, n->block[k]);
        }
        if (op_rows[n->op].class == 'C') {
            continue;
        }
        const int bucket = (int)(hash_node(n) & (s->nbuckets - 1));
        int e = s->bucket[bucket];
        while (e >= 0 && !same_node(s, &g->node.at[s->seen.at[e].node], n)) {
            e = s->seen.at[e].next;
        }
        if (e >= 0) {
            replace(s, &g->node.at[s->seen.at[e].node], id);
            i--;
        } else {
            const Seen seen = {.node = id, .bucket = bucket, .next = s->bucket[bucket]};
            s->bucket[bucket] = s->seen.len;
            vec_push(g->ctx->arena, &s->seen, seen);
        }
    }
    while (s->seen.len > outer) {
        const Seen *last = &vec_last(&s->seen);
        s->bucket[last->bucket] = last->next;
        s->seen.len--;
    }
}

/* Values that stand for an output of their block are called so everywhere. */
static void name_outputs(Search *s)
{
    Graph *g = s->g;
    for (ValueId v = 0; v < g->value.len; v++) {
        const ValueId name = s->named[v];
        if (name < 0) {
            continue;
        }
        Value *made = &g->value.at[v], *named = &g->value.at[name];
        g->node.at[made->producer].out[made->output] = name;
        named->producer = made->producer;
        named->output = made->output;
        made->producer = -1;
        graph_replace_uses(g, v, name);
    }
}

Graph *pass_common_subexpressions(Context *ctx, const Graph *old, const PassOptions *opt,
                                  int *count)
{
    (void)opt;
    Search s = {.g = graph_copy(ctx, old), .nbuckets = 64};
    Graph *g = s.g;
    while (s.nbuckets < (unsigned)g->value.len) {
        s.nbuckets *= 2;
    }
    s.same = arena_array_of(ctx->arena, g->value.len + 1, ValueId);
    s.named = arena_array_of(ctx->arena, g->value.len + 1, ValueId);
    s.is_output = arena_array_of(ctx->arena, g->value.len + 1, bool);
    s.bucket = arena_array_of(ctx->arena, s.nbuckets, int);
    for (ValueId v = 0; v < g->value.len; v++) {
        s.same[v] = v;
        s.named[v] = -1;
    }
    for (int b = 0; b < g->block.len; b++) {
        for (int k = 0; k < g->block.at[b].output.len; k++) {
            s.is_output[g->block.at[b].output.at[k]] = true;
        }
    }
    merge_constants(&s);
    for (unsigned k = 0; k < s.nbuckets; k++) {
        s.bucket[k] = -1;
    }
    search_block(&s, 0);
    name_outputs(&s);
    *count += s.count;
    return g;
}
