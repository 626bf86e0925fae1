/* The template for products of products, a block of rows at a time: attention.
 *
 *     scores[q, t] += Q[q, d] K[d, t];   max, weight = exp(scores - max), sum by rows;   y[q, c] += weight[q, t] V[t, c]
 *
 * Each alone would write scores and weights, length x length for every head, to memory and read
 * them again. Here y's tiles are grouped into blocks of rows, and all that lies between the two
 * products is computed for one block, into scratch:
 *
 *     y: parallel (head, block)   scores, max, weight, sum at the block;   panels of V, row tiles: y in registers
 *
 * What a block needs of the first product is known from the index maps: everything from there on
 * must read what it reads at its own row. Where lengths are open, or scores and weights stay in
 * L3 anyway, stages are phases of their own. */
#include <string.h>

#include "record/templates.h"

typedef struct Blocks {
    const Choice *c;
    int out;      /* the second product's tiles */
    int second;   /* that product */
    int first;    /* the tiles of the first one */
    int row;      /* axis of out that is blocked, .. */
    int vector;   /* .. and the one in lanes */
    bool *member; /* by stage: computed for a block */
    /* by stage and axis of out: which of its axes that is; -1: none (yet) */
    int8_t (*axis)[MAX_AXES];
} Blocks;

static bool is_long(const Stages *s, const Stage *st, int a)
{
    return axis_extent(s, st, a, 2) > 1;
}

/* ---- which stages, and along which axes ---- */

typedef struct RowWalk {
    Blocks *b;
    int reader;
    bool same; /* so far: reads members at its own row, of its own head */
} RowWalk;

static void match_axes(const Exprs *x, Expr e, void *arg)
{
    RowWalk *w = arg;
    const Stages *s = w->b->c->s;
    const ExprNode *n = expr_node(x, e);
    const int producer = n->op == EX_LOAD ? s->tensor.at[n->imm.i].stage : -1;
    if (producer < 0 || producer == w->reader || !w->b->member[producer]) {
        return;
    }
    const Stage *out = &s->stage.at[w->b->out], *reader = &s->stage.at[w->reader];
    for (int a = 0; a < out->naxes; a++) {
        const int own = w->b->axis[w->reader][a];
        if (a == w->b->vector || !is_long(s, out, a)) {
            continue;
        }
        int at = -1;
        for (int k = 0; k < n->nargs && own >= 0; k++) {
            at = expr_arg(x, e, k) == reader->axis[own].var ? k : at;
        }
        int8_t *known = &w->b->axis[producer][a];
        w->same &= at >= 0 && (*known < 0 || *known == at);
        *known = (int8_t)at;
    }
}

/* Members: what is read by `out` and comes from the first product, `first`. All of it for this
 * purpose alone. */
static bool collect_members(Blocks *b)
{
    const Stages *s = b->c->s;
    for (int i = b->first; i < b->out; i++) {
        bool from = i == b->first;
        for (int j = b->first; j < i && !from; j++) {
            from = b->member[j] && stage_loads(s, &s->stage.at[i], s->stage.at[j].result[0]);
        }
        b->member[i] = from;
    }
    for (int a = 0; a < s->stage.at[b->out].naxes; a++) {
        b->axis[b->out][a] = (int8_t)a;
    }
    for (int i = b->out; i >= b->first; i--) {
        const Stage *st = &s->stage.at[i];
        if (i != b->out && !b->member[i]) {
            continue;
        }
        if (st->nresults > 1 || (st->form != STAGE_MAP && st->form != STAGE_REDUCE) ||
            (i != b->out && s->tensor.at[st->result[0]].role != TENSOR_TEMP)) {
            return false;
        }
        for (int r = b->out + 1; r < s->stage.len && i != b->out; r++) {
            if (stage_loads(s, &s->stage.at[r], st->result[0])) {
                return false;
            }
        }
        RowWalk w = {.b = b, .reader = i, .same = true};
        stage_walk(s, st, match_axes, &w);
        if (!w.same) {
            return false;
        }
    }
    return true;
}

/* The nest around a product that lies in registers there, of either kind; -1. */
static int nest_of(const Choice *c, int product)
{
    const StageSchedule *ss = schedule_find(c->sc, choice_name(c, product));
    Contraction k;
    if (!ss || !ss->at_stage || (ss->scope != SCOPE_REG && ss->ndot == 0) ||
        !contraction_of(c->s, product, &k)) {
        return -1;
    }
    return c->s->tensor.at[stages_find_tensor(c->s, ss->at_stage)].stage;
}

static bool blocks_of(Choice *c, int product, Blocks *b)
{
    const Stages *s = c->s;
    Contraction k;
    *b = (Blocks){.c = c, .second = product, .out = nest_of(c, product), .first = -1, .row = -1};
    if (b->out < 0 || !contraction_of(s, product, &k)) {
        return false;
    }
    const StageSchedule *os = schedule_find(c->sc, choice_name(c, b->out));
    b->vector = os->vector >= 0 ? os->order[os->vector].axis : -1;
    for (int a = 0; a < s->stage.at[b->out].naxes; a++) {
        if (k.row_axes >> a & 1 && is_long(s, &s->stage.at[b->out], a)) {
            if (b->row >= 0 || a == b->vector) {
                return false;
            }
            b->row = a;
        }
    }
    for (int p = 0; p < product && b->row >= 0; p++) {
        const int nest = nest_of(c, p);
        if (nest < 0 || nest >= product || schedule_find(c->sc, choice_name(c, nest))->at_stage) {
            continue;
        }
        b->first = nest;
        b->member = arena_array_of(c->ctx->arena, s->stage.len, bool);
        b->axis = arena_array(c->ctx->arena, (size_t)s->stage.len, sizeof *b->axis);
        memset(b->axis, -1, sizeof *b->axis * (size_t)s->stage.len);
        if (collect_members(b) && b->member[product]) {
            return true;
        }
    }
    return false;
}

/* ---- the record ---- */

#define BLOCK_SHARE 0.75 /* of L2, for what lies between the products */
#define UNKNOWN_L3 16    /* times L2 */
#define MOST_AGAIN 1.1   /* of the rows: what a slow L3 costs */

/* How much may lie between the products, all of it: a fast L3 gives enough for blocks to gain
 * nothing. */
static double room_between(const Target *t)
{
    const bool slow = l3_is_slow(t);
    return (slow ? (double)t->l2 : t->l3 > 0 ? (double)t->l3 : UNKNOWN_L3 * (double)t->l2) / 2;
}

/* Row tiles of a block; 0: none. As long as all that lies between the products stays near blocks
 * gain nothing. Else that of a block shall stay in L2; each block reads keys and values again,
 * which costs as much as two rows; and the last one computes rows that the one before it has
 * computed. */
static int choose_block(const Blocks *b, const StageSchedule *os)
{
    const Stages *s = b->c->s;
    const Target *t = b->c->target;
    const Stage *out = &s->stage.at[b->out], *second = &s->stage.at[b->second];
    const int64_t rows = axis_extent(s, out, b->row, 0),
                  length = axis_extent(s, second, second->naxes, 0);
    if (rows == 0 || length == 0 || os->tile[b->row].n != 1) {
        return 0;
    }
    double bytes = 2 * sizeof(float) * (double)length; /* of a row of scores and weights */
    const double fit = BLOCK_SHARE * (double)t->l2 / bytes;
    for (int a = 0; a < out->naxes; a++) {
        bytes *= a == b->vector ? 1 : (double)axis_extent(s, out, a, 1);
    }
    if (bytes <= room_between(t)) {
        return 0;
    }
    const int tile = os->tile[b->row].factor[0];
    const int64_t tiles = (rows + tile - 1) / tile;
    int best = 0;
    double least = 0;
    for (int n = 1; (int64_t)n * tile <= rows && (n == 1 || n * tile <= fit); n++) {
        const double cost = (double)((tiles + n - 1) / n * n) * (1 + 2.0 / (n * tile));
        if (best == 0 || cost < least) {
            best = n;
            least = cost;
        }
    }
    const bool in_l3 = t->l3 > 0 && bytes <= (double)t->l3 / 2;
    return in_l3 && least > MOST_AGAIN * (double)rows / tile ? 0 : best;
}

/* The loops of `out` with the row axis in blocks of `tiles` tiles: heads, blocks, | panels, tiles,
 * rows, lanes. */
static void order_in_blocks(const Blocks *b, const Stage *out, int tiles, StageSchedule *os)
{
    const StageSchedule old = *os;
    os->tile[b->row] =
        (AxisTile){.n = 2, .factor = {tiles, old.tile[b->row].factor[0]}, .tail = TAIL_SHIFT};
    os->norder = 0;
    os->unroll = 0;
    for (int a = 0; a < out->naxes; a++) {
        if (a != b->row && a != b->vector) {
            order_add(os, a, 0);
        }
    }
    order_add(os, b->row, 0);
    os->nparallel = os->norder;
    order_add(os, b->vector, 0);
    order_add(os, b->row, 1);
    for (int k = 0; k < old.norder; k++) {
        if (old.order[k].level > 0) {
            const int at = order_add(os, old.order[k].axis,
                                     old.order[k].level + (old.order[k].axis == b->row));
            os->unroll |= (old.unroll >> k & 1) << at;
            os->vector = k == old.vector ? at : os->vector;
        }
    }
}

static void place(StageSchedule *ss, const char *stage, LoopRef loop)
{
    ss->nparallel = 0;
    ss->at_stage = stage;
    ss->at_loop = loop;
    ss->scope = SCOPE_SCRATCH;
}

static bool apply_blocks(Choice *c, const Blocks *b)
{
    const Stages *s = c->s;
    const Stage *out = &s->stage.at[b->out];
    const char *name = choice_name(c, b->out);
    const int tiles = choose_block(b, schedule_find(c->sc, name));
    if (tiles == 0) {
        return false;
    }
    Schedule tried = {.variant = c->sc->variant, .step = c->sc->step};
    for (int k = 0; k < c->sc->stage.len; k++) {
        vec_push(c->ctx->arena, &tried.stage, c->sc->stage.at[k]);
    }
    StageSchedule *os = schedule_stage(&tried, c->ctx, name);
    order_in_blocks(b, out, tiles, os);
    schedule_stage(&tried, c->ctx, choice_name(c, b->second))->at_loop =
        (LoopRef){.axis = (int8_t)b->row, .level = 1};
    for (int i = b->first; i < b->out; i++) {
        StageSchedule *ss = b->member[i] ? schedule_stage(&tried, c->ctx, choice_name(c, i)) : NULL;
        if (ss && !ss->at_stage) {
            place(ss, name, (LoopRef){.axis = (int8_t)b->row});
        }
    }
    Str why = {.arena = c->ctx->arena};
    if (schedule_check(&tried, s, c->target, &why) != SCHEDULE_OK) {
        return false; /* a length that is not known, say */
    }
    c->sc->stage = tried.stage;
    return true;
}

void choose_row_blocks(Choice *c)
{
    for (int i = c->s->stage.len - 1; i > 0; i--) {
        Blocks b;
        if (blocks_of(c, i, &b) && apply_blocks(c, &b)) {
            c->source = "blocks";
        }
    }
}
