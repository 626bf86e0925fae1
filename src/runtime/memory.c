/* The limit on what a Run holds. A plan is checked as a whole before anything is allocated, so that
 * the message can say what the model needs; buffers whose size depends on data are checked one by
 * one. */
#include <string.h>

#include "base/heap.h"
#include "base/str.h"
#include "runtime/run_state.h"

void run_set_limit(Run *r, int64_t bytes)
{
    r->limit = bytes > 0 ? bytes : heap_physical();
}

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static bool step_writes(const Program *p, const ProgramStep *s, int buffer)
{
    if (s->code == PSTEP_KERNEL) {
        const KernelStep k = program_kernel_step(p, s);
        for (int i = 0; i < k.nwrite; i++)
            if (k.buffer[k.nread + i] == buffer)
                return true;
    } else if (s->code == PSTEP_EXTERN) {
        const ExternStep x = program_extern_step(p, s);
        for (int i = 0; i < x.nout; i++)
            if (x.out[i] == buffer)
                return true;
    } else if (s->code == PSTEP_COPY || s->code == PSTEP_WRITE) {
        return p->arg[s->arg] == buffer;
    }
    return false;
}

/* "input 'x'", or the model's node that writes it. */
static const char *buffer_owner(Arena *a, const Program *p, int buffer)
{
    if (p->buffer[buffer].kind == BUF_INPUT)
        return arena_printf(a, "input '%s'", p->input[p->buffer[buffer].index].name);
    for (int i = 0; i < p->nstep; i++)
        if (p->step[i].origin >= 0 && step_writes(p, &p->step[i], buffer))
            return arena_printf(a, "node '%s'", p->text[p->step[i].origin]);
    if (p->buffer[buffer].kind == BUF_OUTPUT)
        return arena_printf(a, "output '%s'", p->output[p->buffer[buffer].index].name);
    return "a copy";
}

int memory_check_plan(const Run *r, const ShapePlan *s, Error *e)
{
    const Program *p = r->m->p;
    int largest = -1;
    if (s->total <= r->limit)
        return 0;
    for (int b = 0; b < p->nbuffer; b++) {
        const int kind = p->buffer[b].kind;
        if ((kind == BUF_TEMP || kind == BUF_INPUT || kind == BUF_OUTPUT) &&
            (largest < 0 || s->bytes[b] > s->bytes[largest]))
            largest = b;
    }
    if (largest < 0)
        return error_set(e, ERR_MEMORY,
                         "the model needs %lld bytes, more than the limit of %lld (--memory-limit)",
                         (long long)s->total, (long long)r->limit);
    Arena *a = arena_try_new();
    if (!a)
        return error_set(e, ERR_MEMORY, "out of memory");
    Str dims = str_new(a);
    for (int k = 0; k < p->buffer[largest].rank; k++)
        str_addf(&dims, "%s%lld", k ? "," : "", (long long)s->at[p->buffer[largest].dim[k]].i);
    error_set(e, ERR_MEMORY,
              "with these inputs the model needs %lld bytes, more than the limit of %lld; the "
              "largest tensor, of %s, is "
              "%s[%s], %lld bytes: use smaller inputs or set --memory-limit",
              (long long)s->total, (long long)r->limit, buffer_owner(a, p, largest),
              dtype_name((DType)p->buffer[largest].dtype), str_text(&dims),
              (long long)s->bytes[largest]);
    arena_free(a);
    return ERR_MEMORY;
}

int memory_check(const Run *r, int64_t bytes, Error *e)
{
    int64_t held = r->slab_bytes + r->host_scratch.capacity;
    for (int i = 0; i < r->m->p->ninput; i++)
        held = add(held, r->input[i] ? (int64_t)r->input[i]->bytes : 0);
    for (int i = 0; i < r->m->p->noutput; i++)
        held = add(held, r->output[i] ? (int64_t)r->output[i]->bytes : 0);
    for (int i = 0; i < r->m->p->nbuffer; i++)
        held = add(held, r->slot[i].capacity);
    if (add(held, bytes) <= r->limit)
        return 0;
    return error_set(
        e, ERR_MEMORY,
        "a tensor of %lld bytes is needed beside the %lld in use, more than the limit of %lld "
        "(--memory-limit)",
        (long long)bytes, (long long)held, (long long)r->limit);
}
