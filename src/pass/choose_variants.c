/* choose_variants: which of its definitions an op is computed by, where there are several.
 *
 *     y = conv(x, w, b)  ->  y = conv(x, w, b, u) winograd=4,  u = einsum(w, GG)
 *
 * Convolutions of 3x3 kernels, stride 1, with constant weights: directly, or by Winograd's F(m x m,
 * 3 x 3) (op/winograd.h). u, n*n/9 times as large as w, is computed by constant folding; w then has
 * no reader left.
 *
 * The cheaper one is taken (image_layouts.c, cost.h), together with the layouts of images; these
 * are chosen once more when constants have been folded.
 *
 * m is 2 or 4: 6 was 5 to 15 % faster than 4 on about half of the shapes tried, up to twice as
 * slow on others, and rounds eight times as coarsely. */
#include "base/map.h"
#include "op/winograd.h"
#include "pass/edit.h"
#include "pass/image_layouts.h"

/* ---- rewriting ---- */

/* Both steps of G w G' as one: [r][s][i][j] = G[i][r] * G[j][s]. */
static ValueId weight_transform(Graph *g, const Winograd *w)
{
    const int64_t dims[4] = {WINOGRAD_KERNEL, WINOGRAD_KERNEL, w->n, w->n};
    Error e = {0};
    Tensor *t = tensor_new(DT_F32, 4, dims, &e);
    if (!t) {
        fail(g->ctx, e.code, "%s", e.message);
    }
    float *to = t->data;
    for (int tap = 0; tap < WINOGRAD_KERNEL * WINOGRAD_KERNEL; tap++) {
        for (int at = 0; at < w->n * w->n; at++) {
            *to++ = (float)(w->g[at / w->n][tap / WINOGRAD_KERNEL] *
                            w->g[at % w->n][tap % WINOGRAD_KERNEL]);
        }
    }
    return graph_constant(g, "winograd_g", t);
}

/* What is there for others to use: the matrices by m, and u by w and m. */
typedef struct Shared {
    ValueId g[WINOGRAD_MAX + 1]; /* 0: not made yet (0 is w) */
    IntMap u;
} Shared;

static ValueId transformed_weight(Graph *g, NodeId id, int m, Shared *shared)
{
    const ValueId w = g->node.at[id].in[1];
    const uint64_t key = (uint64_t)w * (WINOGRAD_MAX + 1) + (uint64_t)m;
    ValueId u = intmap_get(&shared->u, key, -1);
    if (u < 0) {
        const Winograd matrices = winograd_matrices(m);
        shared->g[m] = shared->g[m] ? shared->g[m] : weight_transform(g, &matrices);
        const ValueId terms[2] = {w, shared->g[m]};
        const NodeId product = insert_node(g, id, OP_EINSUM, "winograd", 2, terms);
        node_set_string(g, product, "equation", "kcrs,rsij->kcij");
        op_infer_node(g, product);
        u = g->node.at[product].out[0];
        intmap_put(&shared->u, key, u);
    }
    return u;
}

static void use_winograd(Graph *g, NodeId id, int m, Shared *shared)
{
    const ValueId u = transformed_weight(g, id, m, shared);
    Node *n = &g->node.at[id];
    ValueId *in = arena_array_of(g->ctx->arena, WINOGRAD_INPUT + 1, ValueId);
    for (int k = 0; k < WINOGRAD_INPUT; k++) {
        in[k] = k < n->nin ? n->in[k] : -1;
    }
    in[WINOGRAD_INPUT] = u;
    n->in = in;
    n->nin = WINOGRAD_INPUT + 1;
    node_set_int(g, id, "winograd", m);
}

Graph *pass_choose_variants(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    Graph *g = graph_copy(ctx, old);
    const ImageForms forms = image_forms_choose(g, opt, true);
    const int known = g->node.len;
    Shared shared = {.u = intmap_new(ctx->arena)};
    /* Not in bodies: only what the main block computes from constants is folded. */
    for (int i = 0; i < g->block.at[0].node.len; i++) {
        const NodeId id = g->block.at[0].node.at[i];
        const int tile = id < known ? forms.form[id].variant : 0;
        if (tile > 0 && g->node.at[id].nin <= WINOGRAD_INPUT) {
            use_winograd(g, id, tile, &shared);
            ++*count;
            while (g->block.at[0].node.at[i] != id) {
                i++; /* over what was put in front of it */
            }
        }
    }
    return g;
}
