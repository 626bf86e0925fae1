/* Layouts and variants by dynamic programming over the graph.
 *
 *     x plain -> conv -> relu -> conv -> add -> flatten        each node: (plain, plain), (plain, blocked), (blocked, ..
 *                          `-------------^
 *
 * The main block's nodes that touch images are variables of pbqp.h; their choices are forms (cost.h) with the cost of
 * the cheapest variant. An edge costs nothing where the reader takes the layout that the maker gives, else what a copy
 * costs: no copy is made, as every op understands every layout, but a reader of several images then goes across one.
 *
 * Blocked can be rank-4 f32 values whose channels are a multiple of the block. Graph and block inputs and outputs stay
 * plain, and so does what routines of kernel/ and control flow read. */
#include "pass/image_layouts.h"

#include "op/winograd.h"
#include "pass/edit.h"
#include "pass/node_facts.h"
#include "pass/pbqp.h"

typedef struct Choosing {
    Graph *g;
    Costs costs;
    bool direct;     /* no variant but the direct one */
    bool *image;     /* by value: a tensor of rank 4 that each run computes */
    bool *can_block; /* by value */
    int *variable;   /* by node; -1 */
    Pbqp problem;
    VEC(NodeId) node; /* by variable */
    VEC(NodeForm) form; /* PBQP_CHOICES for each variable */
} Choosing;

static bool can_block(const Graph *g, ValueId v, int block)
{
    const Value *value = &g->value.at[v];
    int64_t channels;
    return value->rank == 4 && value->dtype == DT_F32 && !is_block_output(g, v) &&
           expr_is_int(g->x, value->dim[1], &channels) && channels % block == 0;
}

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
        c->can_block[v] = c->image[v] && !routines[v] && g->value.at[v].producer >= 0 &&
                          can_block(g, v, image_block(&c->costs.target));
    }
}

/* Boxes of whole blocks of channels, in one array or from several. */
static bool moves_blocks(Graph *g, NodeId id, int block)
{
    const NodeViews views = node_views(g, id);
    if (views.kind != VIEW_SLICES && views.kind != VIEW_CONCAT) {
        return false;
    }
    const Node *n = &g->node.at[id];
    const bool slices = views.kind == VIEW_SLICES;
    for (int k = 0; k < (slices ? n->nout : n->nin); k++) {
        int64_t at, channels;
        const Value *part = &g->value.at[slices ? n->out[k] : n->in[k]];
        if (!expr_is_int(g->x, views.at[k][1], &at) || at % block != 0 ||
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

/* Each pair of layouts with the variant that is best in it. */
static void add_node(Choosing *c, NodeId id)
{
    Graph *g = c->g;
    const Node *n = &g->node.at[id];
    const NodeFacts f = node_facts(g, id);
    const bool compiled = op_rows[n->op].class == 'S';
    const bool in_blocked = compiled && any_in_blocked(c, n);
    const bool out_blocked = compiled && all_out_blocked(c, n) &&
                             (f.makes_channels || (in_blocked && (f.keeps_channels || moves_blocks(g, id, image_block(&c->costs.target)))));
    NodeForm form[MAX_FORMS];
    double ns[MAX_FORMS];
    int m[2], nforms = 0;
    const int ntiles = c->direct ? 0 : winograd_tiles(g, id, m);
    const int given = n->op == OP_CONV ? winograd_of(n) : 0;
    for (int in = 0; in <= in_blocked; in++) {
        for (int out = 0; out <= out_blocked; out++) {
            for (int v = -1; v < ntiles; v++) {
                form[nforms++] = (NodeForm){(ImageLayout)in, (ImageLayout)out, v < 0 ? given : m[v]};
            }
        }
    }
    cost_forms(&c->costs, g, id, &f, nforms, form, ns);
    double cost[PBQP_CHOICES];
    int choices = 0;
    for (int k = 0; k < nforms; k += 1 + ntiles, choices++) {
        int best = k;
        for (int v = 1; v <= ntiles; v++) {
            best = ns[k + v] < ns[best] ? k + v : best;
        }
        cost[choices] = ns[best];
        for (int i = 0; i < n->nin; i++) { /* what no node makes is plain */
            const ValueId x = n->in[i];
            if (x >= 0 && c->image[x] && g->value.at[x].producer < 0 && form[best].in != IMAGE_PLAIN) {
                cost[choices] += cost_copy(&c->costs, g, x, IMAGE_PLAIN, form[best].in);
            }
        }
        vec_push(g->ctx->arena, &c->form, form[best]);
    }
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
            copy[from][to] = from == to ? 0 : cost_copy(&c->costs, c->g, v, (ImageLayout)from, (ImageLayout)to);
        }
    }
    PbqpEdge *e = pbqp_edge(&c->problem, maker, reader);
    for (int i = 0; i < c->problem.variable.at[maker].n; i++) {
        for (int j = 0; j < c->problem.variable.at[reader].n; j++) {
            const double cost = copy[c->form.at[maker * PBQP_CHOICES + i].out][c->form.at[reader * PBQP_CHOICES + j].in];
            *(e->a == maker ? &e->cost[i][j] : &e->cost[j][i]) += cost;
        }
    }
}

/* Products of bf16 go as often faster; 16: AMX. */
static double products_rate(const PassOptions *opt)
{
    return opt->precision == PRECISION_F32 ? 1 : opt->target.amx ? 16 : opt->target.bf16 ? 2 : 1;
}

ImageForms image_forms_choose(Graph *g, const PassOptions *opt)
{
    Arena *const a = g->ctx->arena;
    Choosing c = {.g = g, .problem = pbqp_new(a)};
    c.costs = (Costs){.target = opt->target, .name = target_describe(a, &opt->target), .table = opt->costs,
                       .products = products_rate(opt)};
    c.direct = opt->precision == PRECISION_BF16_ALL; /* Winograd's tiles are not rounded */
    c.image = arena_array_of(a, g->value.len + 1, bool);
    c.can_block = arena_array_of(a, g->value.len + 1, bool);
    c.variable = arena_array_of(a, g->node.len + 1, int);
    find_images(&c);
    const Block *b = &g->block.at[0];
    for (int i = 0; i < g->node.len; i++) {
        c.variable[i] = -1;
    }
    for (int i = 0; i < b->node.len; i++) {
        const Node *n = &g->node.at[b->node.at[i]];
        if (!touches_images(&c, n)) {
            continue;
        }
        add_node(&c, b->node.at[i]);
        for (int k = 0; k < n->nin; k++) {
            if (n->in[k] >= 0 && c.image[n->in[k]]) {
                connect(&c, n->in[k], c.variable[b->node.at[i]]);
            }
        }
    }
    NodeForm *form = arena_array_of(a, g->node.len + 1, NodeForm);
    const PbqpResult r = pbqp_solve(&c.problem);
    for (int v = 0; v < c.node.len; v++) {
        form[c.node.at[v]] = c.form.at[v * PBQP_CHOICES + r.choice[v]];
    }
    return (ImageForms){.form = form, .ns = r.cost, .exact = r.exact};
}
