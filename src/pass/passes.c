/* The table of passes and their runner. See pass.h. */
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "pass/edit.h"

#define PASS(name, phase) Graph *pass_##name(Context *, const Graph *, const PassOptions *, int *);
#include "pass/pass.def"
#undef PASS

const PassRow pass_rows[] = {
#define PASS(name, phase) {#name, phase, pass_##name},
#include "pass/pass.def"
#undef PASS
};
const int pass_count = (int)(sizeof pass_rows / sizeof *pass_rows);

int pass_find(const char *name)
{
    for (int k = 0; k < pass_count; k++) {
        if (strcmp(pass_rows[k].name, name) == 0) {
            return k;
        }
    }
    return -1;
}

Graph *passes_run(Context *ctx, const Graph *g, PassPhase phase, const PassOptions *opt,
                  int *counts)
{
    Graph *out = NULL;
    for (int k = 0; k < pass_count; k++) {
        if (pass_rows[k].phase != phase) {
            continue;
        }
        int count = 0;
        out = pass_rows[k].run(ctx, out ? out : g, opt, &count);
        log_line(2, "pass %s: %d", pass_rows[k].name, count);
        if (counts) {
            counts[k] += count;
        }
        Str why = str_new(ctx->arena);
        if (!graph_verify(out, true, &why)) {
            fail(ctx, ERR_INTERNAL, "after pass %s: %s", pass_rows[k].name, str_text(&why));
        }
    }
    return out;
}

/* ---- editing helpers ---- */

void block_insert_before(Graph *g, NodeId node, NodeId before)
{
    const int home = g->node.at[before].home;
    Block *b = &g->block.at[home];
    /* graph_node appended it: it is the last */
    int at = b->node.len - 1;
    for (; at > 0 && b->node.at[at - 1] != before; at--) {
        b->node.at[at] = b->node.at[at - 1];
    }
    b->node.at[at] = b->node.at[at - 1];
    b->node.at[at - 1] = node;
}

void block_remove(Graph *g, NodeId node)
{
    Block *b = &g->block.at[g->node.at[node].home];
    int n = 0;
    for (int k = 0; k < b->node.len; k++) {
        if (b->node.at[k] != node) {
            b->node.at[n++] = b->node.at[k];
        }
    }
    b->node.len = n;
    g->node.at[node].home = -1;
}

bool is_block_output(const Graph *g, ValueId v)
{
    for (int b = 0; b < g->block.len; b++) {
        for (int k = 0; k < g->block.at[b].output.len; k++) {
            if (g->block.at[b].output.at[k] == v) {
                return true;
            }
        }
    }
    return false;
}

/* Looks at each value once, however many ways lead to it, and without recursion: graphs may be deep. */
bool is_constant_term(const Graph *g, ValueId v)
{
    if (g->value.at[v].constant) {
        return true;
    }
    Arena *scratch = arena_child(g->ctx->arena);
    IntMap seen = intmap_new(scratch);
    VEC(ValueId) open = {0};
    vec_push(scratch, &open, v);
    bool constant = true;
    while (constant && open.len > 0) {
        const Value *value = &g->value.at[open.at[--open.len]];
        if (value->constant) {
            continue;
        }
        const Node *n = value->producer < 0 ? NULL : &g->node.at[value->producer];
        constant = n && op_rows[n->op].class == 'S';
        for (int k = 0; constant && k < n->nin; k++) {
            if (n->in[k] >= 0 && intmap_put(&seen, (uint64_t)n->in[k], 1)) {
                vec_push(scratch, &open, n->in[k]);
            }
        }
    }
    arena_free(scratch);
    return constant;
}

bool is_same_type(const Graph *g, ValueId a, ValueId b)
{
    const Value *va = &g->value.at[a], *vb = &g->value.at[b];
    bool same = va->rank == vb->rank && va->dtype == vb->dtype;
    for (int k = 0; same && k < va->rank; k++) {
        same = va->dim[k] == vb->dim[k];
    }
    return same;
}

bool forward_value(Graph *g, ValueId from, ValueId to)
{
    if (!is_block_output(g, from)) {
        graph_replace_uses(g, from, to);
        return true;
    }
    Value *named = &g->value.at[from], *made = &g->value.at[to];
    const NodeId maker = made->producer;
    if (maker < 0 || is_block_output(g, to) ||
        g->node.at[maker].home != g->node.at[named->producer].home) {
        return false;
    }
    g->node.at[maker].out[made->output] = from;
    named->producer = maker;
    named->output = made->output;
    made->producer = -1;
    if (!named->elems) {
        named->elems = made->elems;
        named->nelems = made->nelems;
    }
    graph_replace_uses(g, to, from);
    return true;
}

/* ---- known elements ---- */

bool known_elements(const Graph *g, ValueId id, Known *k)
{
    if (id < 0) {
        return false;
    }
    const Value *v = &g->value.at[id];
    *k = (Known){.dtype = v->dtype, .x = g->x};
    if (v->constant && layout_is_plain(&v->constant->layout) && dtype_size(v->dtype) > 0) {
        k->tensor = v->constant;
        k->count = tensor_elements(v->constant);
        return true;
    }
    for (int i = 0; i < v->nelems; i++) {
        if (!expr_is_const(g->x, v->elems[i], NULL)) {
            return false;
        }
    }
    k->elems = v->elems;
    k->count = v->nelems;
    return v->elems != NULL;
}

double known_float(const Known *k, int64_t i)
{
    double v = 0;
    if (k->tensor) {
        const char *p = k->tensor->data;
        return dtype_read(k->dtype, p + i * dtype_size(k->dtype));
    }
    expr_is_const(k->x, k->elems[i], &v);
    return v;
}

int64_t known_int(const Known *k, int64_t i)
{
    int64_t v = 0;
    if (k->tensor) {
        const char *p = k->tensor->data;
        return dtype_read_int(k->dtype, p + i * dtype_size(k->dtype));
    }
    expr_is_int(k->x, k->elems[i], &v);
    return v;
}

bool known_uniform(const Graph *g, ValueId v, double *number)
{
    Known k;
    if (!known_elements(g, v, &k) || k.count == 0) {
        return false;
    }
    *number = known_float(&k, 0);
    for (int64_t i = 1; i < k.count; i++) {
        const double other = known_float(&k, i);
        if (other != *number || signbit(other) != signbit(*number)) {
            return false;
        }
    }
    return true;
}
