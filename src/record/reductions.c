/* Templates for reductions of rows, vectors of partial results side by side that meet at the end.
 * See choose.c for the order of things.
 *
 *     sum (i; r: 200)  ->  sum.rf.rf (i, l: 16, ll: 4; r: 3)  four vectors side by side: a sum waits for the one before
 *                          sum.rf (i, l: 16; ll: 4)           they are added up
 *                          sum.met (i, l: 4; r: 4)            so are the parts of the last one
 *                          sum (i; l: 4 + 8)                  lanes meet, and what no whole vector has left */
#include "loop/rfactor.h"
#include "record/templates.h"

/* What is next to a reduction: its partial results, computed at its innermost domain loop, in
 * registers. */
static StageSchedule *place_partial(Choice *c, int partial, int final)
{
    const Stage *st = &c->s->stage.at[final];
    StageSchedule *ps = choice_entry(c, partial);
    if (st->naxes > 0) {
        ps->at_stage = choice_name(c, final);
        ps->at_loop = (LoopRef){.axis = (int8_t)(st->naxes - 1), .level = 0};
        ps->scope = SCOPE_REG;
    }
    return ps;
}

#define CHAINS 4 /* vectors of partial results: a sum waits for the one before it */

#define MEET 4   /* lanes that meet one by one; first they do as vectors of so many */

/* The partial results `part` of a row of whole vectors are shared out among several: added up as
 * vectors, before lanes meet in `final`. Their stage comes in front of it. */
static bool split_chains(Choice *c, int part, int final, const char *axis)
{
    const Stage *st = &c->s->stage.at[part];
    const char *name = choice_name(c, part);
    const int r = st->naxes + st->nreduce - 1;
    if (axis_extent(c->s, st, r, 0) < 2 * CHAINS || st->where ||
        stages_rfactor(c->s, part, axis, CHAINS, 0, false) < 0) {
        return false;
    }
    const ScheduleStep step = {.kind = SCHED_RFACTOR, .a = name, .b = axis, .n = CHAINS};
    vec_push(c->ctx->arena, &c->sc->step, step);
    st = &c->s->stage.at[part];
    StageSchedule *ss = place_partial(c, part, final + 1);
    for (int a = 0; a < st->naxes - 2; a++) {
        order_add(ss, a, 0);
    }
    for (int k = st->naxes; k < st->naxes + st->nreduce; k++) {
        order_add(ss, k, 0);
    }
    ss->unroll |= (uint64_t)1 << order_add(ss, st->naxes - 1, 0);
    ss->vector = order_add(ss, st->naxes - 2, 0);
    return true;
}

/* Where they meet as vectors. */
static void place_met(Choice *c, int met, int final)
{
    const Stage *st = &c->s->stage.at[met];
    StageSchedule *ss = place_partial(c, met, final);
    for (int a = 0; a < st->naxes - 1; a++) {
        order_add(ss, a, 0);
    }
    ss->unroll |= (uint64_t)1 << order_add(ss, st->naxes, 0);
    ss->vector = order_add(ss, st->naxes - 1, 0);
}

#define LEAST_RESULTS 8        /* fewer are not shared out evenly */
#define REDUCE_PARTS 16        /* of a sum that has too few results to be shared out */
#define LEAST_REDUCTION (1 << 16) /* elements: fewer are done before others have begun */

/* A reduction to less than so many results, of so much, is taken in parts by all threads: as many
 * for any number of them. */
static void split_parts(Choice *c, int stage)
{
    const Stage *st = &c->s->stage.at[stage];
    int64_t results = 1, elements = 1;
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        *(a < st->naxes ? &results : &elements) *= axis_extent(c->s, st, a, 0);
    }
    if (results < 1 || results >= LEAST_RESULTS || elements * results < LEAST_REDUCTION ||
        st->naxes + 3 > MAX_RANK || st->where) {
        return;
    }
    const ScheduleStep step = {.kind = SCHED_PARTS,
                               .a = choice_name(c, stage),
                               .b = st->axis[st->naxes].name,
                               .n = REDUCE_PARTS};
    if (axis_extent(c->s, st, st->naxes, 0) >= REDUCE_PARTS &&
        stages_rfactor(c->s, stage, step.b, step.n, 0, true) >= 0) {
        vec_push(c->ctx->arena, &c->sc->step, step);
    }
}

/* A reduction whose last reduction axis is contiguous in its inputs but whose domain's last axis is
 * not: partial results in lanes. */
void choose_reductions(Choice *c)
{
    const int lanes = target_lanes(c->target, 4);
    for (int i = 0; i < c->s->stage.len; i++) {
        const Stage *st = &c->s->stage.at[i];
        if (choice_has(c, i) || st->form != STAGE_REDUCE || st->nreduce == 0) {
            continue;
        }
        split_parts(c, i);
        st = &c->s->stage.at[i];
        const int last = st->naxes + st->nreduce - 1;
        const int64_t extent = axis_extent(c->s, st, last, 1 << 20);
        if (extent < 2 * lanes || st->naxes + 1 > MAX_RANK) {
            continue;
        }
        const char *axis = st->axis[last].name;
        const char *name = choice_name(c, i);
        const bool chains = st->naxes > 0 && st->naxes + 2 <= MAX_RANK &&
                            (extent % lanes == 0 || st->nreduce == 1) &&
                            axis_extent(c->s, st, last, 0) >= 2 * CHAINS * lanes;
        /* of a short row more would be left for one by one than a sum has to wait */
        const bool is_short = st->naxes > 0 && st->nreduce == 1 &&
                              axis_extent(c->s, st, last, 0) > 0 && extent < 2 * CHAINS * lanes;
        const int width = chains || is_short ? lanes : 2 * lanes, meet = st->naxes > 0 ? MEET : 0;
        if (!reduction_is_contiguous(c->s, i) ||
            stages_rfactor(c->s, i, axis, width, meet, false) < 0) {
            continue;
        }
        const ScheduleStep step = {
            .kind = SCHED_RFACTOR, .a = name, .b = axis, .n = width, .meet = meet};
        vec_push(c->ctx->arena, &c->sc->step, step);
        const int behind = meet != 0 ? 2 : 1; /* the final stage, seen from the partial one */
        if (chains && split_chains(c, i, i + behind, axis)) {
            i++;
        }
        /* now stage i is the partial one */
        const Stage *part = &c->s->stage.at[i];
        const Stage *final = &c->s->stage.at[i + behind];
        StageSchedule *fs = choice_entry(c, i + behind);
        for (int a = 0; a < final->naxes; a++) {
            order_add(fs, a, 0);
        }
        fs->nparallel = final->naxes;
        for (int r = final->naxes; r < final->naxes + final->nreduce; r++) {
            fs->unroll |= (uint64_t)1 << order_add(fs, r, 0);
        }
        if (meet != 0) {
            place_met(c, i + 1, i + behind);
        }
        StageSchedule *ps = place_partial(c, i, i + behind);
        /* vectors of partial results */
        const bool merges = i > 0 && chains && choice_has(c, i - 1);
        for (int a = 0; a < part->naxes - 1; a++) {
            order_add(ps, a, 0);
        }
        for (int r = part->naxes; r < part->naxes + part->nreduce; r++) {
            const int pos = order_add(ps, r, 0);
            ps->unroll |= (uint64_t)(merges && axis_extent(c->s, part, r, 0) < 2 * CHAINS - 1)
                          << pos;
        }
        ps->vector = order_add(ps, part->naxes - 1, 0);
        i += behind;
    }
}
