/* Constants of a program: as they are, or in the layout that a kernel wants. */
#include "compile/link_program.h"

#include <string.h>

int link_constant(Link *l, const Tensor *t)
{
    const void *data = t->data;
    if (t->borrowed || ((uintptr_t)data & 63) != 0) {
        void *copy = arena_alloc_aligned(l->ctx->arena, t->bytes, 64);
        memcpy(copy, data, t->bytes);
        data = copy;
    }
    return build_const(l->b, t->dtype, t->rank, t->dim, &t->layout, data, t->bytes);
}

static const struct Relaid *find_relaid(const Link *l, ValueId v, const Layout *layout)
{
    for (int i = 0; i < l->nrelaid; i++)
        if (l->relaid[i].value == v && layout_equal(&l->relaid[i].layout, layout))
            return &l->relaid[i];
    return NULL;
}

int link_relaid(Link *l, ValueId v, const Layout *layout)
{
    const struct Relaid *r = find_relaid(l, v, layout);
    if (!r)
        fail(l->ctx, ERR_INTERNAL, "constant '%s' was not laid out", l->g->value.at[v].name);
    return r->buffer;
}

bool link_wants_relayout(const Link *l, ValueId v, const Layout *layout)
{
    const Tensor *constant = l->g->value.at[v].constant;
    return constant && !layout_equal(layout, &constant->layout);
}

/* Jobs for what the kernel of a unit wants laid out. */
static void add_relayouts(Link *l, const Unit *u)
{
    Work *w = l->w;
    for (int a = 0; a < w->job.at[u->job].nread; a++) {
        const Job *j = &w->job.at[u->job]; /* job_add moves them */
        const ValueId v = u->in[j->arg[a].index];
        const Layout layout = j->loops->buffer.at[j->arg[a].buffer].layout;
        if (!link_wants_relayout(l, v, &layout) || find_relaid(l, v, &layout))
            continue;
        Unit *relay = relayout_unit(w, &l->g->value.at[v], &layout);
        l->relaid[l->nrelaid++] =
            (struct Relaid){.value = v, .layout = layout, .buffer = -1, .job = job_add(w, relay)};
    }
}

enum { HUGE_PAGE = 2 << 20 };

/* With the gap to the next, as kernels want their arguments aligned. */
static size_t relaid_bytes(const Link *l, const struct Relaid *r)
{
    const Tensor *t = l->g->value.at[r->value].constant;
    return ((size_t)(layout_elements(&r->layout, t->rank, t->dim) * dtype_size(t->dtype)) + 63) &
           ~(size_t)63;
}

void link_plan_relayouts(Link *l)
{
    Work *w = l->w;
    int room = 0;
    for (int i = 0; i < w->unit.len; i++)
        room += w->unit.at[i].nin;
    l->relaid = arena_array_of(l->ctx->arena, room + 1, struct Relaid);
    const int first = w->job.len;
    for (int i = 0; i < w->unit.len; i++)
        if (w->unit.at[i].live && w->unit.at[i].class == 'S')
            add_relayouts(l, &w->unit.at[i]);
    jobs_compile(w, first);
    size_t size = 0;
    for (int k = 0; k < l->nrelaid; k++)
        size += relaid_bytes(l, &l->relaid[k]);
    /* All together, in large pages: a page of 4 KiB costs more to fault in than to fill. */
    char *data = arena_alloc_aligned(l->ctx->arena, size, size >= HUGE_PAGE ? HUGE_PAGE : 64);
    for (int k = 0; k < l->nrelaid; k++) {
        struct Relaid *r = &l->relaid[k];
        const Tensor *t = l->g->value.at[r->value].constant;
        const size_t bytes = relaid_bytes(l, r);
        r->data = data;
        r->buffer = build_const(l->b, t->dtype, t->rank, t->dim, &r->layout, data, bytes);
        data += bytes;
    }
    w->report->relaid = l->nrelaid;
}

/* By tensor: how many read it, copies and the program itself. */
static IntMap count_readers(const Link *l)
{
    IntMap readers = intmap_new(l->ctx->arena);
    for (int k = 0; k < l->nrelaid; k++) {
        const uint64_t t = (uintptr_t)l->g->value.at[l->relaid[k].value].constant;
        intmap_put(&readers, t, intmap_get(&readers, t, 0) + 1);
    }
    for (int v = 0; v < l->g->value.len; v++) {
        const Tensor *t = l->g->value.at[v].constant;
        if (t && l->buffer[v] >= 0 && !t->borrowed) /* else it has a copy */
            intmap_put(&readers, (uintptr_t)t, intmap_get(&readers, (uintptr_t)t, 0) + 1);
    }
    return readers;
}

void link_run_relayouts(Link *l)
{
    const bool spend = l->w->opt->spend_constants;
    const IntMap readers = count_readers(l);
    Relayout *copy = arena_array_of(l->ctx->arena, l->nrelaid + 1, Relayout);
    for (int k = 0; k < l->nrelaid; k++) {
        const struct Relaid *r = &l->relaid[k];
        Tensor *t = l->g->value.at[r->value].constant;
        copy[k] = (Relayout){.job = &l->w->job.at[r->job], .from = t, .to = r->data};
        if (spend && intmap_get(&readers, (uintptr_t)t, 0) == 1)
            copy[k].spend = t;
    }
    relayouts_run(l->ctx, l->nrelaid, copy, l->w->opt->threads);
}
