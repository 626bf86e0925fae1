/* lower_precision: inputs of products become bf16, sums stay in f32 (--precision bf16).
 *
 *     y f32 = matmul(x f32, w f32)   ->   y f32 = matmul(cast(x), cast(w)) widen=1
 *
 * Attribute widen (op/op.h): the node reads bf16 as f32. Casts of weights are folded, so a module
 * has half their bytes; casts of activations become the end of their producer's kernel. The policy:
 *
 * Weights are rounded where a product reads them seldom: their bytes are MIN_SHARE or more of its
 * time (or all of a recurrence's, where each step reads them). Activations, and all weights they
 * meet, only where the target multiplies bf16 faster than f32 (elsewhere they would be widened
 * again for nothing), and only those of which each element is in MIN_USES products or more. Tiles
 * do where enough columns and a long enough sum fill them, vectors not on each CPU
 * (Target.bf16_rate). PRECISION_BF16_ALL asks for no gain.
 *
 * An activation that a product reads is stored once, as bf16: whatever else is compiled from stages
 * reads it so, too (a residual stream that a normalisation ends, as in BERT, is rounded; one that
 * only sums and normalisations read, as in GPT, stays f32). What routines, control flow and callers
 * read stays f32. A cast goes up through nodes that only move elements: rounding first or later is
 * the same.
 *
 * Where the target rounds to bf16 by an instruction, images that its second cache does not hold are
 * stored as bf16 as well, whoever reads them.
 *
 * Left in f32: all that is no product of two inputs (biases, sums, norms, softmax, depthwise
 * convolutions, the states of recurrences, but for what products of tiles read of them, and what
 * an attention op has inside), what constants alone determine, convolutions by Winograd
 * (transformed tiles round several times as coarsely), other types, and bodies of control flow,
 * whose constants are not folded. */
#include "loop/access.h"
#include "loop/intrinsic.h"
#include "op/op.h"
#include "pass/cost.h"
#include "pass/edit.h"
#include "pass/node_facts.h"

#define MIN_USES 8
#define MIN_SHARE 0.25 /* widening them costs a seventh of a product of 128 rows */
#define MAX_OPERANDS 16
#define PAIR 2           /* neighbours along the sum, of an instruction for bf16 */
#define MIN_TILE_PAIRS 8 /* record/tiles.c leaves shorter sums to vectors */

typedef struct Operand { /* of a product: an input of the node, read as it is or moved */
    int input;
    double uses;     /* products that each element is in; open sizes count 1 */
    double elements; /* for one point of what both operands count along, as directions */
} Operand;

typedef struct Facts {
    bool moves;    /* results are elements of inputs */
    bool recurs;   /* has an ordered axis */
    /* inputs, bit by bit, whose elements the stages load: scales of a Resize say only where */
    uint32_t reads;
    int nproducts;
    Operand side[MAX_OPERANDS][2]; /* input -1: something that is computed inside */
    int64_t sum[MAX_OPERANDS];     /* see pairs_along; columns: of the result */
    int64_t columns[MAX_OPERANDS];
} Facts;

/* Does the value only choose among elements? *tensor: the last float tensor read. */
static bool is_move(const Stages *s, Expr e, int *tensor)
{
    const Exprs *x = s->x;
    const ExprNode *n = expr_node(x, e);
    switch (n->op) {
    case EX_LOAD:
        *tensor = (int)n->imm.i;
        return dtype_is_float((DType)n->dtype);
    case EX_SELECT:
        return is_move(s, expr_arg(x, e, 1), tensor) && is_move(s, expr_arg(x, e, 2), tensor);
    case EX_FLOAT:
        return n->imm.f == 0;
    default:
        return false;
    }
}

/* The input whose elements the tensor holds; -1: none. */
static int input_of(const Stages *s, int tensor, const int *in, int nin)
{
    for (;;) {
        for (int k = 0; k < nin; k++) {
            if (in[k] == tensor) {
                return k;
            }
        }
        const StageTensor *t = &s->tensor.at[tensor];
        if (t->stage < 0 || s->stage.at[t->stage].form != STAGE_MAP ||
            !is_move(s, s->stage.at[t->stage].update[0], &tensor)) {
            return -1;
        }
    }
}

static double known_extent(const Exprs *x, Expr e)
{
    int64_t n;
    return expr_is_int(x, e, &n) && n > 0 ? (double)n : 1;
}

/* own, other: axes, bit by bit, that it and the other operand count along. */
static Operand operand_of(const NodeStages *n, const Stage *st, int tensor, uint32_t own,
                          uint32_t other)
{
    const Stages *s = n->s;
    Operand o = {.input = input_of(s, tensor, n->in, n->node->nin), .uses = 1, .elements = 1};
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        const double extent = known_extent(s->x, st->axis[a].extent);
        o.uses *= extent;
        o.elements *= own >> a & 1 && (a >= st->naxes || !(other >> a & 1)) ? extent : 1;
    }
    const StageTensor *t = &s->tensor.at[tensor];
    for (int d = 0; d < t->rank; d++) {
        o.uses /= known_extent(s->x, t->dim[d]);
    }
    return o;
}

/* How long is the sum along which A's elements can be taken in pairs? Its neighbours lie side by
 * side, or it is an image, whose channels a layout may put there. 0: there is no such sum. */
static int64_t pairs_along(const Stages *s, const Stage *st, const Contraction *c)
{
    int64_t most = 0;
    const bool image = s->tensor.at[c->a_tensor].rank == 4;
    for (int r = st->naxes; r < st->naxes + st->nreduce; r++) {
        int64_t extent, stride;
        const bool runs =
            load_stride(s, c->a, st->axis[r].var, &stride) && (stride == 1 || image);
        if (!expr_is_int(s->x, st->axis[r].extent, &extent)) {
            return INT64_MAX; /* may be any */
        }
        if (c->in_a >> r & 1 && runs && extent % PAIR == 0 && extent > most) {
            most = extent;
        }
    }
    return most;
}

static int64_t columns_of(const Stages *s, const Stage *st, const Contraction *c)
{
    int64_t columns;
    return expr_is_int(s->x, st->axis[c->vector_axis].extent, &columns) ? columns : INT64_MAX;
}

static uint32_t inputs_read(const NodeStages *n)
{
    uint32_t reads = 0;
    for (int k = 0; k < n->node->nin && k < 32; k++) {
        for (int i = 0; i < n->s->stage.len && n->in[k] >= 0; i++) {
            reads |= (uint32_t)stage_loads(n->s, &n->s->stage.at[i], n->in[k]) << k;
        }
    }
    return reads;
}

static void find_facts(Context *ctx, const NodeStages *n, void *arg)
{
    (void)ctx;
    int tensor;
    const Stages *s = n->s;
    Facts *f = arg;
    f->moves = s->stage.len > 0;
    f->reads = inputs_read(n);
    for (int i = 0; i < s->stage.len; i++) {
        const Stage *st = &s->stage.at[i];
        Contraction c;
        f->moves &= st->form == STAGE_MAP && is_move(s, st->update[0], &tensor);
        f->recurs |= st->form == STAGE_SCAN;
        if (f->nproducts < MAX_OPERANDS && contraction_of(s, i, &c) && c.vector_axis >= 0 &&
            s->tensor.at[st->result[0]].dtype == DT_F32) {
            f->sum[f->nproducts] = pairs_along(s, st, &c);
            f->columns[f->nproducts] = columns_of(s, st, &c);
            f->side[f->nproducts][0] = operand_of(n, st, c.a_tensor, c.in_a, c.in_b);
            f->side[f->nproducts++][1] = operand_of(n, st, c.b_tensor, c.in_b, c.in_a);
        }
    }
}

static Facts facts_of(const Graph *g, NodeId n)
{
    Facts f = {0};
    return node_with_stages(g, n, find_facts, &f) ? f : (Facts){0};
}

typedef struct Lower {
    Graph *g;
    const PassOptions *opt;
    bool *widens;     /* by node: it may read bf16 for f32 */
    bool *moves;      /* by node: it may hand on bf16 for f32 */
    bool *fixed;      /* by value: somebody needs the type that it has */
    bool *part;       /* by value: it is moved */
    /* by value: bf16 is for memory's sake; its cast belongs to its maker, not to who reads it */
    bool *stored;
    bool *wanted;     /* by value: an activation that is stored as bf16 */
    bool *retyped;    /* by node: it moves what is bf16 now */
    uint32_t *weight; /* by node: inputs, bit by bit, that are weights to be rounded */
    uint32_t *reads;  /* by node: inputs whose elements it loads */
    ValueId *cast;    /* by value: its bf16; -1 */
} Lower;

static bool is_f32(const Graph *g, ValueId v)
{
    return v >= 0 && g->value.at[v].dtype == DT_F32;
}

/* May the node read bf16 for its f32 inputs? */
static bool can_widen(const Graph *g, NodeId id)
{
    const Node *n = &g->node.at[id];
    bool can = node_has_stages(g, id);
    for (int k = 0; k < n->nin; k++) {
        const DType t = n->in[k] < 0 ? DT_F32 : g->value.at[n->in[k]].dtype;
        can &= !dtype_is_float(t) || dtype_compute(t) == t;
    }
    return can;
}

/* Does the target do product k of the node faster in bf16 than in f32? */
static bool multiplies_bf16(const Lower *l, const Facts *f, int k)
{
    const Target *t = &l->opt->target;
    const bool on_tiles =
        t->amx && f->sum[k] >= PAIR * MIN_TILE_PAIRS && f->columns[k] >= TILE_ROWS;
    return on_tiles || (t->bf16_rate > 1 && f->sum[k] > 0) ||
           l->opt->precision == PRECISION_BF16_ALL;
}

/* Rounding an input to bf16 that is no constant: is it worth the instructions? */
static bool gains_activation(const Lower *l, const Operand *o)
{
    return l->opt->precision == PRECISION_BF16_ALL || o->uses >= MIN_USES;
}

/* Bytes of a weight from memory, against its products at the full rate. */
static bool gains_weight(const Lower *l, const Operand *o)
{
    const Target *t = &l->opt->target;
    const double rate = (double)target_lanes(t, 4) * (t->fma_per_cycle > 0 ? t->fma_per_cycle : 1);
    return 4 / MEMORY_BYTES_PER_CYCLE >= MIN_SHARE * o->uses / rate;
}

/* What a recurrence's weights meet is rounded where tiles multiply both: a step is over when its
 * weights have come from L2, and tiles read them faster than vectors widen them. From beyond L2
 * vectors read as fast. */
static bool narrows_state(const Lower *l, const Operand *weights, const Operand *state)
{
    const Target *t = &l->opt->target;
    const bool near = weights->elements * dtype_size(DT_BF16) <= (double)t->l2;
    return state->input < 0 && (l->opt->precision == PRECISION_BF16_ALL || (t->amx && near));
}

static bool lower_product(Lower *l, NodeId id, const Facts *f, int product)
{
    const Node *n = &l->g->node.at[id];
    const Operand *side = f->side[product];
    bool constant[2], both = multiplies_bf16(l, f, product), any = false;
    for (int i = 0; i < 2; i++) {
        const int k = side[i].input;
        const bool given = k >= 0 && k < 32 && is_f32(l->g, n->in[k]);
        constant[i] = given && is_constant_term(l->g, n->in[k]);
        both &= given && (constant[i] || gains_activation(l, &side[i]));
    }
    for (int i = 0; i < 2; i++) {
        const bool again = side[1 - i].input < 0; /* meets a state: read again each step */
        if (constant[i] && (both || again || gains_weight(l, &side[i]))) {
            l->weight[id] |= (uint32_t)1 << side[i].input;
            if (f->recurs && narrows_state(l, &side[i], &side[1 - i])) {
                node_set_int(l->g, id, "narrow_state", 1);
            }
            any = true;
        } else if (!constant[i] && both) {
            l->wanted[n->in[side[i].input]] = true;
            any = true;
        }
    }
    return any;
}

/* Computed at compile time: nothing is gained, and what is made of a weight is not what is read. */
static bool is_folded(const Graph *g, NodeId id)
{
    const Node *n = &g->node.at[id];
    bool folded = n->nout > 0;
    for (int k = 0; k < n->nout; k++) {
        folded &= n->out[k] < 0 || is_constant_term(g, n->out[k]);
    }
    return folded;
}

/* Fills widens and fixed. */
static void find_readers(Lower *l)
{
    const Graph *g = l->g;
    for (int b = 0; b < g->block.len; b++) {
        const Block *block = &g->block.at[b];
        for (int i = 0; i < block->node.len; i++) {
            const NodeId id = block->node.at[i];
            l->widens[id] = b == 0 && can_widen(g, id) && !is_folded(g, id);
            for (int k = 0; k < g->node.at[id].nin; k++) {
                if (g->node.at[id].in[k] >= 0) {
                    l->fixed[g->node.at[id].in[k]] |= !l->widens[id];
                }
            }
        }
        for (int i = 0; i < block->output.len; i++) {
            l->fixed[block->output.at[i]] = true;
        }
    }
}

/* Which inputs are to be rounded; how many nodes gain. */
static int find_products(Lower *l)
{
    const Block *b = &l->g->block.at[0];
    int count = 0;
    for (int i = 0; i < b->node.len; i++) {
        const NodeId id = b->node.at[i];
        const Node *n = &l->g->node.at[id];
        if (!l->widens[id]) {
            continue;
        }
        const Facts f = facts_of(l->g, id);
        l->reads[id] = f.reads;
        if (node_attr(n, "winograd")) {
            continue;
        }
        l->moves[id] = f.moves;
        for (int k = 0; k < n->nin && f.moves; k++) {
            if (n->in[k] >= 0) {
                l->part[n->in[k]] = true;
            }
        }
        bool any = false;
        for (int k = 0; k < f.nproducts; k++) {
            any |= lower_product(l, id, &f, k);
        }
        count += any;
    }
    return count;
}

static bool reads_input(const Lower *l, NodeId id, int k)
{
    return k >= 32 || l->reads[id] >> k & 1;
}

/* ---- what is stored ---- */

static double bytes_of(const Graph *g, ValueId v)
{
    double bytes = dtype_size(g->value.at[v].dtype);
    for (int k = 0; k < g->value.at[v].rank; k++) {
        bytes *= known_extent(g->x, g->value.at[v].dim[k]);
    }
    return bytes;
}

/* Is input k of a pointwise node in memory? Its kernel goes with the input that is made last. */
static bool is_side_input(const Graph *g, const int *place, const Node *n, int k)
{
    for (int i = 0; i < n->nin; i++) {
        const ValueId v = n->in[i];
        if (i != k && is_f32(g, v) && is_same_type(g, v, n->in[k]) &&
            g->value.at[v].producer >= 0 &&
            place[g->value.at[v].producer] > place[g->value.at[n->in[k]].producer]) {
            return true;
        }
    }
    return false;
}

/* Is v made by one kernel for others, rather than put together or taken apart? Parts of one array
 * are to be of one type. */
static bool is_made_whole(const Lower *l, ValueId v)
{
    const Graph *g = l->g;
    const NodeId made = g->value.at[v].producer;
    return made >= 0 && l->widens[made] && !l->moves[made] && !l->part[v] &&
           !is_constant_term(g, v);
}

/* Images that no product wants narrow, but that L2 does not hold: writing and reading them is
 * memory's time, and half of that is worth more than the conversions. Those that a kernel hands to
 * the next, not what is computed in passing. */
static void find_stored(Lower *l)
{
    if (!l->opt->target.bf16 || l->opt->target.l2 == 0) { /* 0: not known */
        return;
    }
    const Graph *g = l->g;
    const Block *b = &g->block.at[0];
    int *place = arena_array_of(g->ctx->arena, g->node.len + 1, int), *uses = graph_count_uses(g);
    for (int i = 0; i < b->node.len; i++) {
        const NodeId id = b->node.at[i];
        const Node *n = &g->node.at[id];
        place[id] = i;
        for (int k = 0; k < n->nin && l->widens[id]; k++) {
            const ValueId v = n->in[k];
            if (is_f32(g, v) && !l->fixed[v] && g->value.at[v].rank == 4 &&
                bytes_of(g, v) >= (double)l->opt->target.l2 && is_made_whole(l, v)) {
                l->stored[v] |= uses[v] > 1 || is_side_input(g, place, n, k) ||
                                node_facts(g, id).kind != NODE_POINTWISE;
                l->wanted[v] |= l->stored[v];
            }
        }
    }
}

/* What is wanted as bf16 and was only moved is wanted before. */
static void move_up(Lower *l)
{
    const Block *b = &l->g->block.at[0];
    for (int i = b->node.len - 1; i >= 0; i--) {
        const NodeId id = b->node.at[i];
        const Node *n = &l->g->node.at[id];
        bool up = false, can = l->moves[id];
        for (int k = 0; k < n->nout; k++) {
            const bool is = n->out[k] >= 0;
            up |= is && l->wanted[n->out[k]];
            can &= !is || (is_f32(l->g, n->out[k]) && !l->fixed[n->out[k]]);
        }
        l->retyped[id] = up && can;
        for (int k = 0; k < n->nin && up && can; k++) {
            if (is_f32(l->g, n->in[k]) && reads_input(l, id, k)) {
                l->wanted[n->in[k]] = true;
            }
        }
    }
}

/* The value as bf16: made here, in front of its first reader, or already. */
static ValueId as_bf16(Lower *l, NodeId before, ValueId v)
{
    if (l->cast[v] < 0) {
        const NodeId id = insert_node(l->g, before, OP_CAST, "bf16", 1, &v);
        node_set_int(l->g, id, "to", DT_BF16);
        op_infer_node(l->g, id);
        l->cast[v] = l->g->node.at[id].out[0];
    }
    return l->cast[v];
}

/* One node, those before it being done. */
static void rewrite(Lower *l, NodeId id)
{
    Graph *g = l->g;
    bool widen = false;
    for (int k = 0; k < g->node.at[id].nin && l->widens[id]; k++) {
        const ValueId v = g->node.at[id].in[k];
        const bool weight = k < 32 && l->weight[id] >> k & 1;
        if (v < 0 || !(weight || (l->wanted[v] && reads_input(l, id, k)))) {
            continue;
        }
        if (is_f32(g, v)) { /* else a move has made it bf16 */
            const ValueId rounded = as_bf16(l, id, v);
            g->node.at[id].in[k] = rounded;
        }
        widen = true;
    }
    if (l->retyped[id]) {
        const Node *n = &g->node.at[id];
        op_infer_node(g, id);
        for (int k = 0; k < n->nout; k++) { /* also those that nobody asked for */
            if (n->out[k] >= 0) {
                l->wanted[n->out[k]] = true;
            }
        }
    } else if (widen) {
        node_set_int(g, id, "widen", 1);
    }
}

/* Results of the node, the i-th of its block, as bf16 right behind it; how many. */
static int round_stored(Lower *l, NodeId id, int i)
{
    const Block *b = &l->g->block.at[0];
    const int len = b->node.len;
    for (int k = 0; k < l->g->node.at[id].nout; k++) {
        const ValueId v = l->g->node.at[id].out[k];
        if (v >= 0 && l->stored[v] && is_f32(l->g, v)) {
            as_bf16(l, b->node.at[i + b->node.len - len + 1], v); /* it has a reader */
        }
    }
    return b->node.len - len;
}

Graph *pass_lower_precision(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    Graph *g = graph_copy(ctx, old);
    if (precision_is_f32(opt->precision)) {
        return g;
    }
    const int nvalues = g->value.len;
    Lower l = {.g = g, .opt = opt};
    l.moves = arena_array_of(ctx->arena, g->node.len + 1, bool);
    l.widens = arena_array_of(ctx->arena, g->node.len + 1, bool);
    l.fixed = arena_array_of(ctx->arena, nvalues + 1, bool);
    l.retyped = arena_array_of(ctx->arena, g->node.len + 1, bool);
    l.weight = arena_array_of(ctx->arena, g->node.len + 1, uint32_t);
    l.reads = arena_array_of(ctx->arena, g->node.len + 1, uint32_t);
    l.part = arena_array_of(ctx->arena, nvalues + 1, bool);
    l.stored = arena_array_of(ctx->arena, nvalues + 1, bool);
    l.wanted = arena_array_of(ctx->arena, nvalues + 1, bool);
    l.cast = arena_array_of(ctx->arena, nvalues + 1, ValueId);
    for (int v = 0; v < nvalues; v++) {
        l.cast[v] = -1;
    }
    find_readers(&l);
    *count = find_products(&l);
    find_stored(&l);
    move_up(&l);
    const Block *b = &g->block.at[0];
    for (int i = 0; i < b->node.len; i++) {
        const NodeId id = b->node.at[i];
        rewrite(&l, id);
        while (b->node.at[i] != id) {
            i++; /* over the casts in front of it */
        }
        i += round_stored(&l, id, i);
    }
    return g;
}
