/* The template for products of halves (op/strassen.h):
 *
 *     s[q, p, c]         MAP: sums of the left matrix's parts
 *     acc[q, p, j]      += s[q, p, c] * u[q, c, j]
 *     c[r, h, p, j]      MAP: sums of products; the output reads an element of it
 *
 * s is a phase of its own: every block of columns needs all of it. Then parallel (block of
 * columns, matrix of the batch, block of rows): the seven products of the block, one after the
 * other, stay in the second-level cache until their sums go to both halves of the columns, and
 * to the block's pairs of rows. */
#include "loop/access.h"
#include "record/templates.h"

typedef struct Halved {
    int s, acc, c, out;     /* stages */
    int m, n;               /* axes of out: rows; columns, those of a half once they are split */
    int64_t pairs, columns; /* of rows, all; of a half */
} Halved;

#define MOST_PAIRS 64 /* of a block of rows: the weights of a block meet so many */

/* out's axes by which it reads c[m % 2, n / columns, ..m / 2, n % columns]. */
static bool find_axes(const Stages *s, Halved *h)
{
    Exprs *x = s->x;
    const Stage *out = &s->stage.at[h->out];
    const Expr load = load_of(s, out, s->stage.at[h->c].result[0]);
    h->m = h->n = -1;
    for (int a = 0; load && a < out->naxes; a++) {
        const Expr var = out->axis[a].var;
        h->m = expr_arg(x, load, 0) == expr_modi(x, var, 2) ? a : h->m;
        h->n = expr_arg(x, load, 1) == expr_divi(x, var, h->columns) &&
                       expr_arg(x, load, 3) == expr_modi(x, var, h->columns)
                   ? a
                   : h->n;
    }
    return h->m >= 0 && h->n > h->m && axis_extent(s, out, h->m, 0) > 1;
}

/* acc's product is batched over one axis, its A is a MAP's result, and what reads it are sums by
 * two axes. */
static bool halved_of(const Stages *s, int acc, Halved *h, Contraction *k)
{
    if (!contraction_of(s, acc, k) || k->vector_axis != 2 || s->stage.at[acc].naxes != 3 ||
        (k->in_a & k->in_b) != 0x9) {
        return false; /* batched over q; c is the reduction's axis */
    }
    *h = (Halved){.s = s->tensor.at[k->a_tensor].stage, .acc = acc, .c = only_map_reader(s, acc),
                  .pairs = stage_dim(s, acc, 1), .columns = stage_dim(s, acc, 2)};
    h->out = h->c < 0 ? -1 : only_map_reader(s, h->c);
    return is_map_of_rank(s, h->s, 3) && is_map_of_rank(s, h->c, 4) && h->out >= 0 &&
           stage_dim(s, h->c, 0) == 2 && stage_dim(s, h->c, 1) == 2 && h->pairs > 0 &&
           h->columns > 0 && find_axes(s, h);
}

/* Columns of a block: whole tiles that divide a half. 0: none do. */
static int block_width(const Halved *h, int tile)
{
    int width = 0;
    for (int w = tile; w <= 2 * tile; w += tile) {
        width = h->columns % w == 0 ? w : width;
    }
    return width;
}

static int block_pairs(int64_t rows)
{
    const int64_t pairs = (rows + 1) / 2, blocks = (pairs + MOST_PAIRS - 1) / MOST_PAIRS;
    return (int)((pairs + blocks - 1) / blocks);
}

/* Halves become an axis of their own, before that of the columns. */
static bool split_halves(Choice *c, Halved *h)
{
    const ScheduleStep step = {.kind = SCHED_SPLIT, .a = choice_name(c, h->out),
                               .b = c->s->stage.at[h->out].axis[h->n].name, .n = (int)h->columns};
    if (!stages_split(c->s, h->out, h->n, h->columns)) {
        return false;
    }
    vec_push(c->ctx->arena, &c->sc->step, step);
    h->n++;
    return true;
}

/* Returns the loop over blocks at which the products are made. */
static LoopRef schedule_output(Choice *c, const Halved *h, int width)
{
    const int lanes = target_lanes(c->target, 4), halves = h->n - 1;
    const Stage *st = &c->s->stage.at[h->out];
    StageSchedule *os = choice_entry(c, h->out);
    os->tile[h->m] = (AxisTile){
        .n = 2, .factor = {block_pairs(axis_extent(c->s, st, h->m, 0)), 2}, .tail = TAIL_PEEL};
    os->tile[h->n] = (AxisTile){.n = 2, .factor = {width / lanes, lanes}, .tail = TAIL_PEEL};
    order_add(os, h->n, 0);
    LoopRef block = os->order[0];
    for (int a = 0; a < st->naxes; a++) {
        if (a != h->n && a != halves) {
            block = os->order[order_add(os, a, 0)];
        }
    }
    os->nparallel = os->norder;
    order_add(os, h->m, 1);
    const LoopRef vector = os->order[order_add(os, h->n, 1)];
    order_unrolled(os, h->m, 2);
    order_unrolled(os, halves, 0);
    os->vector = order_add(os, h->n, 2);
    StageSchedule *cs = choice_entry(c, h->c);
    place_at(cs, choice_name(c, h->out), vector, SCOPE_REG);
    order_unrolled(cs, 0, 0);
    order_unrolled(cs, 1, 0);
    order_add(cs, 2, 0);
    cs->vector = order_add(cs, 3, 0);
    return block;
}

static void schedule_sums(Choice *c, const Halved *h)
{
    const int lanes = target_lanes(c->target, 4);
    StageSchedule *ss = choice_entry(c, h->s);
    ss->tile[2] = (AxisTile){.n = 1, .factor = {lanes}, .tail = TAIL_PEEL};
    order_add(ss, 1, 0);
    ss->nparallel = ss->norder;
    order_add(ss, 2, 0);
    order_unrolled(ss, 0, 0);
    ss->vector = order_add(ss, 2, 1);
}

void choose_strassen(Choice *c)
{
    for (int i = 0; i < c->s->stage.len; i++) {
        Halved h;
        Contraction k;
        if (choice_has(c, i) || !halved_of(c->s, i, &h, &k)) {
            continue;
        }
        const ProductTile tile =
            product_tile(c->target,
                         (ProductSize){.outer = 1,
                                       .inner = h.pairs < MOST_PAIRS ? h.pairs : MOST_PAIRS,
                                       .width = h.columns,
                                       .whole = true});
        const int width = block_width(&h, tile.vectors * target_lanes(c->target, 4));
        if (width == 0 || !split_halves(c, &h)) {
            continue;
        }
        const int products = choose_product_inside(c, &k, tile);
        h.c++;
        h.out++;
        const LoopRef block = schedule_output(c, &h, width);
        place_at(choice_entry(c, products), choice_name(c, h.out), block, SCOPE_SCRATCH);
        schedule_sums(c, &h);
        c->source = "strassen";
    }
}
