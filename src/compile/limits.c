/* Limits that keep a hostile or mistaken model from taking the machine: how large a stored tensor
 * may be and how much a kernel may do. Sizes that are open until a run are checked there
 * (runtime/memory.c); what may be computed at compile time, in fold.c. */
#include "base/heap.h"
#include "compile/work.h"

int64_t compile_memory_limit(const CompileOptions *opt)
{
    return opt->memory_limit > 0 ? opt->memory_limit : heap_physical();
}

int64_t limits_value_bytes(const Graph *g, const Value *v)
{
    int64_t bytes = dtype_size(v->dtype);
    bool over = false;
    for (int k = 0; k < v->rank; k++) {
        int64_t dim;
        if (!expr_is_int(g->x, v->dim[k], &dim))
            return -1;
        if (dim == 0)
            return 0;
        over |= __builtin_mul_overflow(bytes, dim, &bytes);
    }
    return over ? INT64_MAX : bytes;
}

static void check_value(const Work *w, ValueId id, int64_t limit)
{
    const Graph *g = w->g;
    const Value *v = &g->value.at[id];
    const int64_t bytes = limits_value_bytes(g, v);
    if (bytes <= limit || v->constant)
        return;
    const char *owner = v->producer < 0 ? "input" : graph_describe_node(g, v->producer);
    fail(w->ctx, ERR_MEMORY,
         "%s: %s needs %s%lld bytes, more than the limit of %lld: use smaller inputs or set "
         "--memory-limit",
         owner, graph_describe_value(g, id), bytes == INT64_MAX ? "over " : "", (long long)bytes,
         (long long)limit);
}

void limits_check(const Work *w)
{
    const int64_t limit = compile_memory_limit(w->opt);
    const Block *main = &w->g->block.at[0];
    for (int i = 0; i < main->input.len; i++)
        check_value(w, main->input.at[i], limit);
    for (int i = 0; i < w->unit.len; i++)
        for (int k = 0; k < w->unit.at[i].nout; k++)
            check_value(w, w->unit.at[i].out[k], limit);
}

double limits_work(const Stages *s)
{
    double work = 0;
    for (int i = 0; i < s->stage.len; i++) {
        double points = 1;
        for (int k = 0; k < s->stage.at[i].naxes + s->stage.at[i].nreduce; k++) {
            int64_t n;
            const Expr extent = s->stage.at[i].axis[k].extent;
            points *= (double)(expr_is_int(s->x, extent, &n) ? n : expr_low(s->x, extent));
        }
        work += points;
    }
    return work;
}

void limits_check_work(const Work *w)
{
    const double limit = w->opt->work_limit > 0 ? w->opt->work_limit : WORK_LIMIT;
    for (int i = 0; i < w->unit.len; i++) {
        const Unit *u = &w->unit.at[i];
        const double work = u->class == 'S' && u->live ? limits_work(u->s) : 0;
        if (work > limit)
            fail(w->ctx, ERR_MEMORY,
                 "%s: needs %.3g steps, more than the limit of %.3g: use smaller inputs or set "
                 "--work-limit",
                 graph_describe_node(w->g, u->node[0]), work, limit);
    }
}
