/* Layers against the reference. See check_layers.h.
 *
 * Each layer is a job of its own: they run in parallel, and one that the reference cannot do does
 * not end the rest. */
#include "tools/check_layers.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/str.h"
#include "loop/oracle.h"
#include "op/reference.h"

/* ---- one element ---- */

static double element(const Tensor *t, int64_t k)
{
    const char *p = (const char *)t->data + k * dtype_size(t->dtype);
    return dtype_is_float(t->dtype) ? dtype_read(t->dtype, p) : (double)dtype_read_int(t->dtype, p);
}

static void compare(Layer *l, int64_t at, double got, double want, double allowed)
{
    double error = fabs(got - want);
    if (got == want || (isnan(got) && isnan(want)))
        error = 0; /* infinities too */
    else if (isnan(error))
        error = INFINITY;
    const double share = error == 0 ? 0 : allowed > 0 ? error / allowed : INFINITY;
    l->checked++;
    l->wrong += !(share <= 1);
    l->max_abs = error > l->max_abs ? error : l->max_abs;
    const double relative = error == 0 ? 0 : error / fabs(want);
    l->max_rel = relative > l->max_rel ? relative : l->max_rel;
    if (l->at >= 0 && share <= l->worst)
        return;
    l->worst = share;
    l->at = at;
    l->got = got;
    l->want = want;
}

/* How far the reference may be from what is stored as a t, if the value before may be off by
 * `error`. (An f32 may also be off by steps of the denormal range.) */
static double allowed_error(DType t, double want, double error, double tolerance)
{
    if (!dtype_is_float(t) || !isfinite(want))
        return error;
    error += tolerance * 0x1p-149;
    if (dtype_compute(t) == t)
        return error;
    double most = error;
    for (int sign = -1; sign <= 1; sign += 2) {
        uint8_t room[8];
        dtype_write(t, room, want + sign * error, false);
        const double off = fabs(dtype_read(t, room) - want);
        most = off > most ? off : most;
    }
    return most;
}

/* Root mean square of what is finite: the scale of a tensor's values. */
static double scale_of(const Tensor *t)
{
    double sum = 0;
    int64_t count = 0;
    for (int64_t k = 0; k < tensor_elements(t); k++) {
        const double v = element(t, k);
        if (!isfinite(v))
            continue;
        sum += v * v;
        count++;
    }
    return count > 0 ? sqrt(sum / (double)count) : 0;
}

static void compare_all(Layer *l, const Tensor *got, const Tensor *want, double tolerance)
{
    if (got->dtype != want->dtype || got->rank != want->rank ||
        memcmp(got->dim, want->dim, sizeof *got->dim * (size_t)got->rank) != 0) {
        l->wrong = tensor_elements(want);
        l->worst = INFINITY;
        return;
    }
    const double scale = scale_of(want);
    for (int64_t k = 0; k < tensor_elements(want); k++) {
        const double w = element(want, k);
        compare(l, k, element(got, k), w, tolerance * (fabs(w) + scale));
    }
}

/* ---- which elements ---- */

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return hash_mix(hash_mix(0, *state), *state >> 32) >> 8;
}

/* Tiles, vectors and blocks of a layout begin at multiples of 8: indices beside one are likelier to
 * be wrong. */
static int64_t draw_index(int64_t dim, uint64_t *state)
{
    const int64_t any = (int64_t)(next_random(state) % (uint64_t)dim);
    switch (next_random(state) % 6) {
    case 0:
        return 0;
    case 1:
        return dim - 1;
    case 2:
        return any & ~(int64_t)7;
    case 3:
        return (any | 7) < dim ? any | 7 : dim - 1;
    default:
        return any;
    }
}

/* Both ends of the tensor first; all elements if there are no more than `wanted` (or that is 0). */
static int64_t choose_elements(Arena *a, const Tensor *t, int64_t wanted, uint64_t seed,
                               int64_t **out)
{
    const int64_t total = tensor_elements(t);
    const bool all = wanted <= 0 || wanted >= total;
    const int64_t n = all ? total : wanted;
    *out = arena_array_of(a, n + 1, int64_t);
    for (int64_t k = 0; k < n; k++) {
        int64_t at = 0;
        for (int d = 0; d < t->rank && !all && k > 1; d++)
            at = at * t->dim[d] + draw_index(t->dim[d], &seed);
        (*out)[k] = all ? k : k == 1 ? total - 1 : at;
    }
    return n;
}

/* ---- one layer ---- */

typedef struct Check {
    const Graph *g;
    Tensor *const *got, *const *want; /* want NULL: the reference */
    const Reference *reference;
    const CheckOptions *opt;
    Layer *layer;
    Arena **arena; /* by layer: holds its failure; NULL */
    int first; /* of the layers that are worked on now */
} Check;

/* The nodes of the value's group up to the one that makes it, in order. */
static int group_nodes(const Graph *g, ValueId v, NodeId *node)
{
    const NodeId last = g->value.at[v].producer;
    const Block *b = &g->block.at[0];
    int n = 0;
    for (int i = 0; i < b->node.len; i++) {
        const NodeId id = b->node.at[i];
        if (id == last ||
            (g->node.at[id].group >= 0 && g->node.at[id].group == g->node.at[last].group))
            node[n++] = id;
        if (id == last)
            break;
    }
    return n;
}

static void check_stages(Context *ctx, const Check *c, Layer *l)
{
    const Tensor *got = c->got[l->value];
    NodeId *node = arena_array_of(ctx->arena, c->g->node.len + 1, NodeId);
    const int nnode = group_nodes(c->g, l->value, node);
    int64_t *index;
    const int64_t n = choose_elements(ctx->arena, got, c->opt->samples, (uint64_t)l->value, &index);
    Scalar *want = arena_array_of(ctx->arena, n + 1, Scalar);
    double *magnitude = arena_array_of(ctx->arena, n + 1, double);
    reference_elements(ctx, c->reference, nnode, node, l->value, n, index, want, magnitude);
    const double tolerance = c->opt->tolerance;
    for (int64_t k = 0; k < n; k++) {
        const double w = dtype_is_float(want[k].dtype) ? want[k].f : (double)want[k].i;
        const double allowed =
            allowed_error(got->dtype, w, tolerance * ORACLE_EPS * magnitude[k], tolerance);
        compare(l, index[k], element(got, index[k]), w, allowed);
    }
}

static void check_node(Context *ctx, const Check *c, Layer *l)
{
    Reference *r = reference_fork(ctx, c->reference);
    reference_node(r, c->g->value.at[l->value].producer);
    compare_all(l, c->got[l->value], reference_get(r, l->value), CHECK_RELATIVE);
}

typedef struct LayerJob {
    const Check *c;
    Layer *l;
} LayerJob;

static void layer_job(Context *ctx, void *arg)
{
    LayerJob *j = arg;
    const Check *c = j->c;
    const Node *n = &c->g->node.at[c->g->value.at[j->l->value].producer];
    if (c->want)
        compare_all(j->l, c->got[j->l->value], c->want[j->l->value], c->opt->tolerance);
    else if (op_rows[n->op].class == 'S')
        check_stages(ctx, c, j->l);
    else
        check_node(ctx, c, j->l);
}

static void check_layer(int i, void *arg)
{
    const Check *c = arg;
    Layer *l = &c->layer[c->first + i];
    Arena *arena = arena_new();
    LayerJob j = {c, l};
    Error e = {0};
    if (job_run(arena, layer_job, &j, &e, NULL) != 0) {
        c->arena[c->first + i] = arena_new();
        l->failed = arena_strdup(c->arena[c->first + i], e.message);
    }
    arena_free(arena);
}

/* ---- all ---- */

static const char *group_op(Arena *a, const Graph *g, const NodeId *node, int n)
{
    Str s = str_new(a);
    for (int i = 0; i < n; i++)
        str_addf(&s, "%s%s", i > 0 ? "+" : "", op_rows[g->node.at[node[i]].op].name);
    return str_text(&s);
}

static void add_layer(Arena *a, const Check *c, CheckReport *out, ValueId v, NodeId *node)
{
    const int n = group_nodes(c->g, v, node);
    out->layer[out->n++] = (Layer){.value = v,
                                   .node = c->g->node.at[node[0]].name,
                                   .op = group_op(a, c->g, node, n),
                                   .shape = tensor_describe(a, c->got[v]),
                                   .at = -1};
}

static void find_layers(Arena *a, const Check *c, CheckReport *out)
{
    const Block *b = &c->g->block.at[0];
    NodeId *node = arena_array_of(a, c->g->node.len + 1, NodeId);
    out->layer = arena_array_of(a, c->g->value.len + 1, Layer);
    for (int i = 0; i < b->node.len; i++) {
        const Node *n = &c->g->node.at[b->node.at[i]];
        for (int k = 0; k < n->nout && (c->want || !node_is_view(c->g, b->node.at[i])); k++) {
            const ValueId v = n->out[k];
            if (v >= 0 && c->got[v] && (!c->want || c->want[v]))
                add_layer(a, c, out, v, node);
        }
    }
}

static void count_bad(CheckReport *out)
{
    out->first_bad = -1;
    for (int i = 0; i < out->n; i++) {
        out->nfailed += out->layer[i].failed != NULL;
        out->nbad += out->layer[i].wrong > 0;
        if (out->layer[i].wrong > 0 && out->first_bad < 0)
            out->first_bad = i;
    }
}

static void free_arena(void *a)
{
    arena_free(a);
}

static void check_all(Arena *a, Check *c, CheckReport *out)
{
    find_layers(a, c, out);
    c->layer = out->layer;
    c->arena = arena_array_of(a, out->n + 1, Arena *);
    const int batch = 4 * c->opt->threads; /* between them progress is shown */
    for (c->first = 0; c->first < out->n; c->first += batch) {
        const int left = out->n - c->first;
        if (c->opt->progress)
            c->opt->progress(c->opt->progress_arg, "check", c->first, out->n);
        parallel_for(left < batch ? left : batch, c->opt->threads, check_layer, c);
    }
    if (c->opt->progress)
        c->opt->progress(c->opt->progress_arg, "check", out->n, out->n);
    for (int i = 0; i < out->n; i++)
        if (c->arena[i])
            arena_defer(a, free_arena, c->arena[i]);
    count_bad(out);
}

/* ---- values ---- */

static Tensor *copy_tensor(Context *ctx, DType t, int rank, const int64_t *dim)
{
    Tensor *out = tensor_new(t, rank, dim, ctx->error);
    if (!out)
        fail(ctx, ctx->error->code, "%s", ctx->error->message);
    return out;
}

/* Element `index` of out is element index + at of t, which lies in `layout`. */
static void copy_part(Tensor *out, const Tensor *t, const Layout *layout, const int64_t *at)
{
    const size_t size = (size_t)dtype_size(t->dtype);
    int64_t index[MAX_RANK] = {0};
    for (int64_t k = 0; k < tensor_elements(out); k++) {
        int64_t from[MAX_RANK];
        for (int d = 0; d < out->rank; d++)
            from[d] = index[d] + at[d];
        const int64_t place = layout_offset(layout, t->rank, t->dim, from);
        memcpy((char *)out->data + (size_t)k * size, (const char *)t->data + (size_t)place * size,
               size);
        for (int d = out->rank - 1; d >= 0 && ++index[d] == out->dim[d]; d--)
            index[d] = 0;
    }
}

static Tensor *plain_output(Context *ctx, const Graph *g, ValueId v, Tensor *t)
{
    const int64_t zero[MAX_RANK] = {0};
    const Layout *layout = &g->value.at[v].layout;
    if (layout_is_plain(layout))
        return tensor_ref(t);
    if (layout_elements(layout, t->rank, t->dim) != tensor_elements(t))
        fail(ctx, ERR_INTERNAL, "the layout of '%s' has pad", g->value.at[v].name);
    Tensor *out = copy_tensor(ctx, t->dtype, t->rank, t->dim);
    copy_part(out, t, layout, zero);
    return out;
}

typedef struct TakeJob {
    const Graph *g;
    Tensor *const *input, *const *output;
    Tensor **got;
} TakeJob;

static int64_t eval(const Reference *r, ValueId v, Expr e)
{
    int64_t value;
    if (!reference_eval(r, e, &value))
        fail(r->ctx, ERR_INTERNAL, "the size of '%s' is not known", r->g->value.at[v].name);
    return value;
}

/* A view, from what it lies in; NULL: that is not known. */
static Tensor *take_view(const Reference *r, Tensor **got, ValueId id)
{
    const Value *v = &r->g->value.at[id];
    if (got[id] || v->within < 0)
        return got[id];
    const Tensor *whole = r->g->value.at[v->within].constant;
    if (!whole)
        whole = take_view(r, got, v->within);
    if (!whole)
        return NULL;
    int64_t dim[MAX_RANK], at[MAX_RANK];
    for (int k = 0; k < v->rank; k++) {
        dim[k] = eval(r, id, v->dim[k]);
        at[k] = v->at ? eval(r, id, v->at[k]) : 0;
    }
    got[id] = copy_tensor(r->ctx, v->dtype, v->rank, dim);
    if (v->at)
        copy_part(got[id], whole, &whole->layout, at);
    else
        memcpy(got[id]->data, whole->data, got[id]->bytes);
    return got[id];
}

/* Knows the values that are not NULL, and with them the symbols. */
static Reference *known_values(Context *ctx, const Graph *g, Tensor *const *got)
{
    Reference *r = reference_new(ctx, g);
    const Block *b = &g->block.at[0];
    for (int i = 0; i < b->input.len; i++)
        if (got[b->input.at[i]])
            reference_set(r, b->input.at[i], got[b->input.at[i]]);
    for (int i = 0; i < b->node.len; i++) {
        const Node *n = &g->node.at[b->node.at[i]];
        for (int k = 0; k < n->nout; k++)
            if (n->out[k] >= 0 && got[n->out[k]])
                reference_set(r, n->out[k], got[n->out[k]]);
    }
    return r;
}

static void take_job(Context *ctx, void *arg)
{
    const TakeJob *j = arg;
    /* the job that made the graph is over, and with it its context */
    const Graph *g = graph_copy(ctx, j->g);
    const Block *b = &g->block.at[0];
    for (int i = 0; i < b->input.len; i++)
        j->got[b->input.at[i]] = tensor_ref(j->input[i]);
    for (int i = 0; i < b->output.len; i++) {
        const ValueId v = b->output.at[i];
        if (!j->got[v])
            j->got[v] = plain_output(ctx, g, v, j->output[i]);
    }
    const Reference *r = known_values(ctx, g, j->got);
    for (int v = 0; v < g->value.len; v++)
        take_view(r, j->got, v);
}

int check_take(const Graph *g, Tensor *const *input, Tensor *const *output, Tensor **got, Error *e)
{
    Arena *a = arena_new();
    TakeJob j = {g, input, output, got};
    const int code = job_run(a, take_job, &j, e, NULL);
    arena_free(a);
    return code;
}

/* ---- entries ---- */

typedef struct CheckJob {
    Check c;
    CheckReport *out;
} CheckJob;

static void check_job(Context *ctx, void *arg)
{
    CheckJob *j = arg;
    Check *c = &j->c;
    c->g = graph_copy(ctx, c->g);
    if (!c->want)
        c->reference = known_values(ctx, c->g, c->got);
    check_all(ctx->arena, c, j->out);
}

int check_values(Arena *arena, const Graph *g, Tensor *const *got, Tensor *const *want,
                 const CheckOptions *opt, CheckReport *out, Error *e)
{
    *out = (CheckReport){0};
    CheckJob j = {.c = {.g = g, .got = got, .want = want, .opt = opt}, .out = out};
    return job_run(arena, check_job, &j, e, NULL);
}

int check_layers(Arena *arena, const Graph *g, Tensor *const *got, const CheckOptions *opt,
                 CheckReport *out, Error *e)
{
    return check_values(arena, g, got, NULL, opt, out, e);
}

const char *check_index(Arena *a, const Tensor *t, int64_t at)
{
    int64_t index[MAX_RANK];
    for (int d = t->rank - 1; d >= 0; d--) {
        index[d] = at % t->dim[d];
        at /= t->dim[d];
    }
    Str s = str_new(a);
    str_addc(&s, '[');
    for (int d = 0; d < t->rank; d++)
        str_addf(&s, "%s%lld", d > 0 ? "," : "", (long long)index[d]);
    str_addc(&s, ']');
    return str_text(&s);
}
