/* Layouts and variants by dynamic programming over the graph.
 *
 *     x plain -> conv -> relu -> conv -> add -> flatten        each node: (plain, plain), (plain, blocked), (blocked, ..
 *                          `-------------^
 *
 * The main block's nodes that touch images are variables of pbqp.h; their choices are forms
 * (cost.h) with the cost of the cheapest variant. An edge costs nothing where the reader takes the
 * layout that the maker gives, else what a copy costs: none is made, as every op understands every
 * layout, but a reader of several images then goes across one (and for convolutions of narrow types
 * block_channels does make one).
 *
 * Blocked can be rank-4 values whose channels are a multiple of the block. Graph and block
 * inputs and outputs stay plain, and so does what routines of kernel/ and control flow read. */
#include "pass/image_layouts.h"

#include <assert.h>

#include "op/winograd.h"
#include "pass/edit.h"
#include "pass/node_facts.h"
#include "pass/pbqp.h"

typedef struct Choosing {
    Graph *g;
    Costs costs;
    bool variants;   /* are open */
    const NodeForm *given; /* by node: the only one to count; NULL */
    bool *image;     /* by value: a tensor of rank 4 that each run computes */
    bool *can_block; /* by value */
    int *variable;   /* by node; -1 */
    Pbqp problem;
    VEC(NodeId) node; /* by variable */
    VEC(NodeForm) form; /* PBQP_CHOICES for each variable */
} Choosing;

static void find_images(Choosing *c)
{
    const Graph *g = c->g;
    const Block *b = &g->block.at[0];
    bool *constant = arena_array_of(g->ctx->arena, g->value.len + 1, bool);
    const bool *routines = read_by_routines(g);
    for (int v = 0; v < g->value.len; v++) {
        constant[v] = g->value.at[v].constant != NULL;
    }
    for (int i = 0; i < b->node.len; i++) {
        const Node *n = &g->node.at[b->node.at[i]];
        bool all = op_rows[n->op].class == 'S';
        for (int k = 0; k < n->nin && all; k++) {
            all = n->in[k] < 0 || constant[n->in[k]];
        }
        for (int k = 0; k < n->nout; k++) {
            if (n->out[k] >= 0) {
                constant[n->out[k]] |= all;
            }
        }
    }
    for (int v = 0; v < g->value.len; v++) {
        c->image[v] = g->value.at[v].rank == 4 && !constant[v];
        /* of others no copy is made */
        const bool may = g->value.at[v].producer >= 0 || is_narrow_image(g, v);
        c->can_block[v] = c->image[v] && may && !routines[v] && !is_block_output(g, v) &&
                          image_fits(g, v, IMAGE_BLOCKED, &c->costs.target);
    }
}

/* Boxes of whole blocks of channels, in one array or from several. */
static bool moves_blocks(Graph *g, NodeId id, const Target *t)
{
    const NodeViews views = node_views(g, id);
    if (views.kind != VIEW_SLICES && views.kind != VIEW_CONCAT) {
        return false;
    }
    const Node *n = &g->node.at[id];
    const bool slices = views.kind == VIEW_SLICES;
    /* parts of fewer channels may have smaller ones */
    const int block = image_block(g, slices ? n->in[0] : n->out[0], t);
    for (int k = 0; k < (slices ? n->nout : n->nin); k++) {
        int64_t at, channels;
        const Value *part = &g->value.at[slices ? n->out[k] : n->in[k]];
        if (block == 0 || !expr_is_int(g->x, views.at[k][1], &at) || at % block != 0 ||
            !expr_is_int(g->x, part->dim[1], &channels) || channels % block != 0) {
            return false;
        }
    }
    return true;
}

/* ---- one node ---- */

static bool any_in_blocked(const Choosing *c, const Node *n)
{
    for (int k = 0; k < n->nin; k++) {
        if (n->in[k] >= 0 && c->can_block[n->in[k]]) {
            return true;
        }
    }
    return false;
}

static bool all_out_blocked(const Choosing *c, const Node *n)
{
    for (int k = 0; k < n->nout; k++) {
        if (n->out[k] >= 0 && !c->can_block[n->out[k]]) {
            return false;
        }
    }
    return n->nout > 0;
}

static bool touches_images(const Choosing *c, const Node *n)
{
    bool any = false;
    for (int k = 0; k < n->nin; k++) {
        any |= n->in[k] >= 0 && c->image[n->in[k]];
    }
    for (int k = 0; k < n->nout; k++) {
        any |= n->out[k] >= 0 && c->image[n->out[k]];
    }
    return any;
}

/* All that the node could be; returns how many, the variants of a pair of layouts side by side. */
static int node_forms(const Choosing *c, NodeId id, const NodeFacts *f, NodeForm form[MAX_FORMS],
                      int *nvariants)
{
    Graph *g = c->g;
    const Node *n = &g->node.at[id];
    const bool compiled = op_rows[n->op].class == 'S';
    const bool in_blocked = compiled && any_in_blocked(c, n);
    /* what casts what the caller gives is a copy anyway */
    const bool lays_out = in_blocked || f->kind == NODE_POINTWISE;
    const bool out_blocked = compiled && all_out_blocked(c, n) &&
                             (f->makes_channels || (lays_out && f->keeps_channels) ||
                              (in_blocked && moves_blocks(g, id, &c->costs.target)));
    int variant[1 + COST_TILES] = {n->op == OP_CONV && !c->variants ? winograd_of(n) : 0},
                    count = 0;
    *nvariants = 1 + (c->variants ? winograd_tiles(g, id, variant + 1) : 0);
    for (int in = 0; in <= in_blocked; in++) {
        for (int out = 0; out <= out_blocked; out++) {
            for (int v = 0; v < *nvariants; v++) {
                form[count++] = (NodeForm){(ImageLayout)in, (ImageLayout)out, variant[v]};
            }
        }
    }
    return count;
}

/* What no node makes is plain: the copies of those of the node's inputs. */
static double copies_of_inputs(Choosing *c, const Node *n, ImageLayout to)
{
    double cost = 0;
    for (int i = 0; i < n->nin; i++) {
        const ValueId x = n->in[i];
        if (x >= 0 && c->image[x] && c->g->value.at[x].producer < 0 && to != IMAGE_PLAIN) {
            cost += cost_copy(&c->costs, c->g, x, IMAGE_PLAIN, to);
        }
    }
    return cost;
}

static bool same_form(NodeForm a, NodeForm b)
{
    return a.in == b.in && a.out == b.out && a.variant == b.variant;
}

/* Each pair of layouts with the variant that is best in it, or only the form that is given. */
static void add_node(Choosing *c, NodeId id)
{
    Graph *g = c->g;
    const NodeFacts f = node_facts(g, id);
    NodeForm form[MAX_FORMS];
    double ns[MAX_FORMS], cost[PBQP_CHOICES];
    int nvariants, choices = 0;
    const int nforms = node_forms(c, id, &f, form, &nvariants);
    cost_forms(&c->costs, g, id, &f, nforms, form, ns);
    for (int k = 0; k < nforms; k += nvariants) {
        int best = c->given ? -1 : k;
        for (int v = k; v < k + nvariants; v++) {
            const bool better = c->given ? same_form(form[v], c->given[id]) : ns[v] < ns[best];
            best = better ? v : best;
        }
        if (best >= 0) {
            cost[choices++] = ns[best] + copies_of_inputs(c, &g->node.at[id], form[best].in);
            vec_push(g->ctx->arena, &c->form, form[best]);
        }
    }
    assert(choices > 0);
    for (int k = choices; k < PBQP_CHOICES; k++) {
        vec_push(g->ctx->arena, &c->form, (NodeForm){0});
    }
    c->variable[id] = pbqp_variable(&c->problem, choices, cost);
    vec_push(g->ctx->arena, &c->node, id);
}

/* ---- between nodes ---- */

static void connect(Choosing *c, ValueId v, int reader)
{
    const NodeId p = c->g->value.at[v].producer;
    const int maker = p < 0 ? -1 : c->variable[p];
    if (maker < 0 || maker == reader) {
        return;
    }
    double copy[IMAGE_LAYOUTS][IMAGE_LAYOUTS] = {0};
    for (int from = 0; from < IMAGE_LAYOUTS; from++) {
        for (int to = 0; to < IMAGE_LAYOUTS; to++) {
            copy[from][to] =
                from == to ? 0 : cost_copy(&c->costs, c->g, v, (ImageLayout)from, (ImageLayout)to);
        }
    }
    PbqpEdge *e = pbqp_edge(&c->problem, maker, reader);
    for (int i = 0; i < c->problem.variable.at[maker].n; i++) {
        for (int j = 0; j < c->problem.variable.at[reader].n; j++) {
            const double cost = copy[c->form.at[maker * PBQP_CHOICES + i].out]
                                    [c->form.at[reader * PBQP_CHOICES + j].in];
            *(e->a == maker ? &e->cost[i][j] : &e->cost[j][i]) += cost;
        }
    }
}

/* Products of bf16 go as often faster; 16: AMX. */
static double products_rate(const PassOptions *opt)
{
    return precision_is_f32(opt->precision) ? 1 : opt->target.amx ? 16 : opt->target.bf16 ? 2 : 1;
}

static Choosing choosing_new(Graph *g, const PassOptions *opt)
{
    Arena *const a = g->ctx->arena;
    Choosing c = {.g = g, .problem = pbqp_new(a)};
    c.costs = (Costs){.target = opt->target,
                      .name = target_describe(a, &opt->target),
                      .table = opt->costs,
                      .products = products_rate(opt)};
    c.image = arena_array_of(a, g->value.len + 1, bool);
    c.can_block = arena_array_of(a, g->value.len + 1, bool);
    c.variable = arena_array_of(a, g->node.len + 1, int);
    for (int i = 0; i < g->node.len; i++) {
        c.variable[i] = -1;
    }
    find_images(&c);
    return c;
}

static PbqpResult solve(Choosing *c)
{
    const Block *b = &c->g->block.at[0];
    for (int i = 0; i < b->node.len; i++) {
        const Node *n = &c->g->node.at[b->node.at[i]];
        if (!touches_images(c, n)) {
            continue;
        }
        add_node(c, b->node.at[i]);
        for (int k = 0; k < n->nin; k++) {
            if (n->in[k] >= 0 && c->image[n->in[k]]) {
                connect(c, n->in[k], c->variable[b->node.at[i]]);
            }
        }
    }
    return pbqp_solve(&c->problem);
}

/* Winograd's tiles are not rounded. */
static bool allows_variants(const PassOptions *opt)
{
    return opt->precision != PRECISION_BF16_ALL;
}

ImageForms image_forms_choose(Graph *g, const PassOptions *opt, bool variants)
{
    Choosing c = choosing_new(g, opt);
    c.variants = variants && allows_variants(opt);
    NodeForm *form = arena_array_of(g->ctx->arena, g->node.len + 1, NodeForm);
    const PbqpResult r = solve(&c);
    for (int v = 0; v < c.node.len; v++) {
        form[c.node.at[v]] = c.form.at[v * PBQP_CHOICES + r.choice[v]];
    }
    return (ImageForms){.form = form, .ns = r.cost, .exact = r.exact};
}

double image_forms_cost(Graph *g, const PassOptions *opt, const NodeForm *form)
{
    Choosing c = choosing_new(g, opt);
    c.variants = true;
    c.given = form;
    return solve(&c).cost;
}

double image_node_cost(Graph *g, const PassOptions *opt, NodeId n, bool variants)
{
    const Choosing c = choosing_new(g, opt);
    const NodeFacts f = node_facts(g, n);
    NodeForm form[1 + COST_TILES] = {{0}};
    int tile[COST_TILES];
    const int tiles = variants && allows_variants(opt) ? winograd_tiles(g, n, tile) : 0;
    double ns[1 + COST_TILES];
    for (int k = 0; k < tiles; k++) {
        form[1 + k].variant = tile[k];
    }
    cost_forms(&c.costs, g, n, &f, 1 + tiles, form, ns);
    double least = ns[0];
    for (int k = 1; k <= tiles; k++) {
        least = ns[k] < least ? ns[k] : least;
    }
    return least;
}

/* ---- for whoever measures ---- */

typedef struct Candidates {
    StrMap keys;
    VEC(CostCandidate) at;
} Candidates;

static void add_candidate(Arena *a, Candidates *all, CostCandidate one)
{
    if (one.key && strmap_put(&all->keys, one.key, 1)) {
        vec_push(a, &all->at, one);
    }
}

static void add_copies(const Choosing *c, ValueId v, Candidates *all)
{
    Arena *const a = c->g->ctx->arena;
    for (int from = 0; from < IMAGE_LAYOUTS; from++) {
        for (int to = 0; to < IMAGE_LAYOUTS; to++) {
            if (from != to) {
                const NodeForm form = {(ImageLayout)from, (ImageLayout)to, 0};
                const char *key = cost_copy_key(a, c->g, v, &c->costs.target, form.in, form.out);
                add_candidate(a, all, (CostCandidate){key, -1, v, form});
            }
        }
    }
}

int image_forms_candidates(Graph *g, const PassOptions *opt, CostCandidate **out)
{
    Arena *const a = g->ctx->arena;
    Choosing c = choosing_new(g, opt);
    c.variants = true;
    Candidates all = {.keys = strmap_new(a)};
    const Block *b = &g->block.at[0];
    for (int i = 0; i < b->node.len; i++) {
        const NodeId id = b->node.at[i];
        const Node *n = &g->node.at[id];
        if (!touches_images(&c, n)) {
            continue;
        }
        const NodeFacts f = node_facts(g, id);
        NodeForm form[MAX_FORMS];
        int nvariants;
        const int nforms = node_forms(&c, id, &f, form, &nvariants);
        const bool view = nforms > 1 && node_may_be_view(g, id, &f);
        for (int k = 0; nforms > 1 && k < nforms; k++) {
            if (!(view && form[k].in == form[k].out)) {
                add_candidate(a, &all,
                              (CostCandidate){cost_key(a, g, id, &c.costs.target, form[k]), id, -1,
                                              form[k]});
            }
        }
        for (int k = 0; k < n->nout; k++) {
            if (n->out[k] >= 0 && c.can_block[n->out[k]]) {
                add_copies(&c, n->out[k], &all);
            }
        }
    }
    *out = all.at.at;
    return all.at.len;
}
