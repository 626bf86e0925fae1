/* A graph's nodes in order, the scopes of names, sub-graphs. See importer.h. */
#include <string.h>

#include "import/importer.h"

/* ---- scopes ---- */

Scope scope_new(Importer *im, const Scope *parent, int block)
{
    Arena *const a = im->ctx->arena;
    return (Scope){
        .parent = parent,
        .value = strmap_new(a),
        .type = strmap_new(a),
        .rename = strmap_new(a),
        .prefix = parent ? parent->prefix : "",
        .block = block,
        .depth = parent ? parent->depth + 1 : 0,
    };
}

ValueId scope_find(const Scope *s, const char *name)
{
    ValueId v = NO_VALUE;
    for (; s && v == NO_VALUE; s = s->parent)
        v = strmap_get(&s->value, name, NO_VALUE);
    return v;
}

void scope_define(Importer *im, Scope *s, const char *name, ValueId v, const Onnx__NodeProto *by)
{
    if (strmap_put(&s->value, name, v))
        return;
    if (by)
        import_fail(im, by, ERR_INVALID, "defines '%.200s', which is defined already", name);
    fail(im->ctx, ERR_INVALID, "'%.200s' is defined twice among the inputs and initializers", name);
}

const char *scope_value_name(const Importer *im, const Scope *s, const char *name)
{
    const int k = strmap_get(&s->rename, name, -1);
    if (k >= 0)
        return s->renamed[k];
    return s->prefix[0] == '\0' ? name : arena_printf(im->ctx->arena, "%s%s", s->prefix, name);
}

ValueId scope_new_value(Importer *im, const Scope *s, const char *name)
{
    const ValueId v = graph_value(im->g, scope_value_name(im, s, name), DT_NONE, -1, NULL);
    const int k = s->info ? strmap_get(&s->type, name, -1) : -1;
    if (k >= 0) {
        const Onnx__TypeProto__Tensor *const t = s->info->value_info[k]->type->tensor_type;
        intmap_put(&im->type_hint, (uint64_t)v, (int)onnx_dtype(t->elem_type));
        if (t->shape && t->shape->n_dim <= MAX_RANK)
            intmap_put(&im->rank_hint, (uint64_t)v, (int)t->shape->n_dim);
    }
    return v;
}

void import_initializers(Importer *im, Scope *s, const Onnx__GraphProto *p)
{
    if (p->n_sparse_initializer > 0)
        fail(im->ctx, ERR_UNSUPPORTED,
             "sparse initializers are not supported: save them as dense tensors");
    for (size_t i = 0; i < p->n_initializer; i++) {
        const Onnx__TensorProto *const t = p->initializer[i];
        if (!t->name || t->name[0] == '\0')
            fail(im->ctx, ERR_INVALID, "initializer %zu has no name", i);
        const char *const name = scope_value_name(im, s, t->name);
        Tensor *const data =
            p == im->model->graph ? import_initializer(im, (int)i) : import_tensor(im, t);
        scope_define(im, s, t->name, graph_constant(im->g, name, data), NULL);
    }
    s->info = p;
    for (size_t i = 0; i < p->n_value_info; i++) {
        const Onnx__ValueInfoProto *const v = p->value_info[i];
        if (v->name && v->type && v->type->tensor_type)
            strmap_put(&s->type, v->name, (int)i);
    }
}

/* ---- order ----
 *
 * Files should list producers first; where one does not, nodes are sorted, otherwise left as they
 * are. */

typedef struct Order {
    Importer *im;
    Onnx__NodeProto *const *node;
    StrMap producer; /* name -> node */
    StrMap local;    /* name -> how many of the sub-graphs around the place looked at define it */
    VEC(int) dep;    /* nodes that a node reads from, one after the other */
    int *start;      /* of node k's part of dep; n + 1 */
} Order;

static void add_dep(Order *o, const char *name)
{
    const int k = strmap_get(&o->producer, name, -1);
    if (k >= 0 && strmap_get(&o->local, name, 0) == 0)
        vec_push(o->im->ctx->arena, &o->dep, k);
}

static void count_local(Order *o, const char *name, int by)
{
    if (name && strmap_get(&o->producer, name, -1) >= 0)
        strmap_put(&o->local, name, strmap_get(&o->local, name, 0) + by);
}

/* What a sub-graph defines itself hides what has the same name outside: `by` is 1 on the way in, -1
 * on the way out. */
static void count_locals(Order *o, const Onnx__GraphProto *g, int by)
{
    for (size_t i = 0; i < g->n_input; i++)
        count_local(o, g->input[i]->name, by);
    for (size_t i = 0; i < g->n_initializer; i++)
        count_local(o, g->initializer[i]->name, by);
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            count_local(o, g->node[i]->output[k], by);
}

static void add_graph_deps(Order *o, const Onnx__GraphProto *g);

static void add_node_deps(Order *o, const Onnx__NodeProto *p)
{
    for (size_t i = 0; i < p->n_input; i++)
        add_dep(o, p->input[i]);
    for (size_t i = 0; i < p->n_attribute; i++)
        if (p->attribute[i]->g)
            add_graph_deps(o, p->attribute[i]->g);
}

/* Whatever a sub-graph reads and does not define may come from here. */
static void add_graph_deps(Order *o, const Onnx__GraphProto *g)
{
    count_locals(o, g, 1);
    for (size_t i = 0; i < g->n_node; i++)
        add_node_deps(o, g->node[i]);
    for (size_t i = 0; i < g->n_output; i++)
        if (g->output[i]->name)
            add_dep(o, g->output[i]->name);
    count_locals(o, g, -1);
}

/* Depth first, producers before users, otherwise in the given order. */
static int *sort_nodes(Order *o, int n)
{
    enum { NEW, OPEN, DONE };
    Arena *const a = o->im->ctx->arena;
    int *const order = arena_array_of(a, n, int);
    int *const stack = arena_array_of(a, n, int);
    int *const next = arena_array_of(a, n, int); /* the dep to look at */
    char *const state = arena_array_of(a, n, char);
    int len = 0;
    for (int root = 0; root < n; root++) {
        int depth = 0;
        if (state[root] == NEW) {
            state[root] = OPEN;
            stack[depth++] = root;
        }
        while (depth > 0) {
            const int k = stack[depth - 1];
            if (o->start[k] + next[k] == o->start[k + 1]) {
                state[k] = DONE;
                order[len++] = k;
                depth--;
                continue;
            }
            const int d = o->dep.at[o->start[k] + next[k]++];
            if (state[d] == OPEN)
                import_fail(o->im, o->node[d], ERR_INVALID,
                            "reads, through other nodes, its own result");
            if (state[d] == NEW) {
                state[d] = OPEN;
                stack[depth++] = d;
            }
        }
    }
    return order;
}

/* NULL: the nodes are in order. */
static int *find_order(Importer *im, Onnx__NodeProto *const *node, int n)
{
    Arena *const a = im->ctx->arena;
    Order o = {.im = im, .node = node, .producer = strmap_new(a), .local = strmap_new(a)};
    for (int k = 0; k < n; k++)
        for (size_t i = 0; i < node[k]->n_output; i++)
            if (node[k]->output[i][0] != '\0')
                strmap_put(&o.producer, node[k]->output[i], k);
    o.start = arena_array_of(a, n + 1, int);
    bool sorted = true;
    for (int k = 0; k < n; k++) {
        add_node_deps(&o, node[k]);
        o.start[k + 1] = o.dep.len;
        for (int i = o.start[k]; i < o.dep.len; i++)
            sorted = sorted && o.dep.at[i] < k;
    }
    return sorted ? NULL : sort_nodes(&o, n);
}

void import_nodes(Importer *im, Scope *s, const Frame *f, Onnx__NodeProto *const *node, size_t n)
{
    if (n > IMPORT_MAX_NODES)
        fail(im->ctx, ERR_MEMORY, "more than %d nodes", IMPORT_MAX_NODES);
    const int *const order = find_order(im, node, (int)n);
    for (int k = 0; k < (int)n; k++)
        import_node(im, s, f, node[order ? order[k] : k]);
}

/* ---- sub-graphs ---- */

int import_subgraph(Importer *im, const Scope *parent, const Frame *f, const Onnx__GraphProto *p,
                    const Onnx__NodeProto *owner)
{
    Arena *const a = im->ctx->arena;
    const int block = graph_block(im->g);
    Scope s = scope_new(im, parent, block);
    if (s.depth > IMPORT_MAX_DEPTH)
        import_fail(im, owner, ERR_INVALID, "sub-graphs nest more than %d deep", IMPORT_MAX_DEPTH);
    for (size_t i = 0; i < p->n_input; i++) {
        const char *const name = p->input[i]->name ? p->input[i]->name : "";
        const ValueId v = graph_value(im->g, scope_value_name(im, &s, name), DT_NONE, -1, NULL);
        scope_define(im, &s, name, v, owner);
        vec_push(a, &im->g->block.at[block].input, v);
    }
    import_initializers(im, &s, p);
    import_nodes(im, &s, f, p->node, p->n_node);
    for (size_t i = 0; i < p->n_output; i++) {
        const char *const name = p->output[i]->name ? p->output[i]->name : "";
        const ValueId v = import_read(im, &s, owner, name);
        vec_push(a, &im->g->block.at[block].output, v);
    }
    return block;
}
