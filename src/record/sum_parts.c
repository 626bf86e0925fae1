/* Long sums in parts. A sum over so much that not even one panel of B stays in L2, or not all rows
 * of A do, is taken in parts, which are added up at the end: rows of results are written and read a
 * few times instead of all of B for every tile, or all of A for every panel. */
#include "loop/access.h"
#include "loop/rfactor.h"
#include "record/templates.h"

#define PART_VECTORS 3 /* of a panel, about */
#define PART_ROWS 256  /* of A: fewer are not worth adding up parts for */

/* In how many parts should the sum be taken, so that a panel of one part stays in L2 while all rows
 * meet it? 1: as one. */
static int parts_for_panels(const Choice *c, const Contraction *k)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[k->stage];
    const int64_t extent = st->nreduce > 0 ? axis_extent(s, st, st->naxes, 0) : 0;
    const int64_t columns = axis_extent(s, st, k->vector_axis, 0);
    double rows = 1, sum = 1;
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        rows *= k->row_axes >> a & 1 ? (double)axis_extent(s, st, a, 1) : 1;
        sum *= a >= st->naxes ? (double)axis_extent(s, st, a, 1) : 1;
    }
    const double panel = (double)dtype_size(s->tensor.at[k->b_tensor].dtype) * sum * PART_VECTORS *
                         target_lanes(c->target, 4);
    const double l2 = (double)c->target->l2;
    if (extent == 0 || columns == 0 || rows < PART_ROWS ||
        s->tensor.at[k->b_tensor].role != TENSOR_CONST ||
        !layout_is_plain(&s->tensor.at[k->a_tensor].layout) || panel <= 0.8 * l2) {
        return 1;
    }
    int parts = 2;
    while (parts < MAX_PHASES && (panel > parts * l2 / 2 || extent % parts != 0)) {
        parts++;
    }
    return extent % parts == 0 ? parts : 1;
}

/* of the products' time: so much of reading again from beyond L2 costs nothing */
#define HIDDEN 0.25
#define PARTS_SHARE 0.7 /* of L2, for what the products of a part read */
#define PARTS_COST 0.05  /* of the products' time: what adding up parts may take */
#define PART_CYCLES 1    /* to write and read a float of them */

/* .. so that all rows of A stay in L2 in the part, while all panels meet them? Each part is of
 * neighbours. */
static int parts_for_rows(const Choice *c, const Contraction *k)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[k->stage];
    const Target *t = c->target;
    const StageTensor *a = &s->tensor.at[k->a_tensor], *b = &s->tensor.at[k->b_tensor];
    const int row = 31 - __builtin_clz(k->row_axes | 1);
    const int64_t sum = st->nreduce == 1 ? axis_extent(s, st, st->naxes, 0) : 0,
                  width = PART_VECTORS * target_lanes(t, 4);
    const int64_t rows = axis_extent(s, st, row, 0),
                  columns = axis_extent(s, st, k->vector_axis, 0);
    int64_t stride;
    if (k->row_axes != (uint32_t)1 << row || sum == 0 || rows == 0 || columns == 0 ||
        b->role != TENSOR_CONST || b->rank != 2 || a->dtype != DT_F32 || b->dtype != DT_F32 ||
        !layout_is_plain(&a->layout) || !load_stride(s, k->a, st->axis[st->naxes].var, &stride) ||
        stride != 1) {
        return 1;
    }
    const double bytes_a = contraction_a_bytes(s, k),
                 bytes_b = (double)contraction_b_bytes(s, k, (int)width);
    const double panels = (double)((columns + width - 1) / width), panel = bytes_b / panels,
                 l2 = (double)t->l2;
    const double cycles =
        (double)rows * (double)columns * (double)sum / (target_lanes(t, 4) * t->fma_per_cycle);
    /* the next panel comes meanwhile */
    const double again = bytes_a + 2 * panel <= 0.9 * l2 ? 0 : (panels - 1) * bytes_a;
    if (t->l3_rate == 0 || again / t->l3_rate <= HIDDEN * cycles) {
        return 1;
    }
    int64_t parts = 2;
    while (parts < sum &&
           ((bytes_a + 2 * panel) / (double)parts > PARTS_SHARE * l2 || sum % (4 * parts) != 0)) {
        parts++;
    }
    const double cost = PART_CYCLES * (double)(parts * rows * columns);
    return cost < PARTS_COST * cycles ? (int)parts : 1;
}

void choose_sum_parts(Choice *c, int stage)
{
    Stages *s = c->s;
    Contraction k;
    if (!contraction_of(s, stage, &k) || k.vector_axis < 0) {
        return;
    }
    const int of_rows = parts_for_rows(c, &k),
              parts = of_rows > 1 ? of_rows : parts_for_panels(c, &k);
    const int rank = s->stage.at[stage].naxes + 1;
    const ScheduleStep step = {.kind = of_rows > 1 ? SCHED_PARTS : SCHED_RFACTOR,
                               .a = choice_name(c, stage),
                               .b = s->stage.at[stage].axis[rank - 1].name,
                               .n = parts};
    if (parts == 1 || rank > MAX_RANK ||
        stages_rfactor(s, stage, step.b, parts, 0, of_rows > 1) < 0) {
        return;
    }
    vec_push(c->ctx->arena, &c->sc->step, step);
    Layout l = {.n = 1, .dim = {{.axis = (int8_t)(rank - 1)}}};
    for (int d = 0; d < rank - 1; d++) {
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)d};
    }
    StageSchedule *ss = choice_entry(c, stage);
    ss->has_layout = true;
    ss->layout = s->tensor.at[s->stage.at[stage].result[0]].layout = l;
}
