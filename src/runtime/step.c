/* The steps of a program. */
#include <stdatomic.h>
#include <string.h>

#include "base/file.h"
#include "runtime/run_state.h"

/* Below this much work a phase runs on the caller alone: waking others costs more. */
#define SPLIT_NS 8000.0f
/* The same for one of many steps: all are awake already. */
#define SPLIT_STEP_NS 1500.0f

typedef struct Phase {
    KernelPhase fn;
    int64_t step;
    void *const *buffer;
    const int64_t *sym;
    char *scratch;
    int64_t scratch_stride;
} Phase;

static int call_phase(void *arg, int worker, int64_t begin, int64_t end)
{
    const Phase *p = arg;
    const KernelEnv env = {
        .abi_version = KERNEL_ABI_VERSION, .worker = (uint32_t)worker, .step = p->step};
    return p->fn(&env, p->buffer, p->sym, p->scratch + p->scratch_stride * worker, begin, end);
}

/* Phase i, for one step or its only one. */
static int run_phase(Run *r, const KernelStep *k, const ProgramKernel *kernel, int i, int64_t step,
                     float split_ns)
{
    const int64_t extent = r->at[k->extent[i]].i;
    Phase phase = {r->m->phase[kernel->entry + i],
                   step,
                   r->kernel_buffer,
                   r->kernel_sym,
                   r->scratch,
                   r->m->scratch};
    const bool small = kernel->unit_ns > 0 && (float)extent * kernel->unit_ns < split_ns;
    return pool_run(r->pool, small ? 1 : r->threads, call_phase, &phase, extent);
}

static int run_phases(Run *r, const KernelStep *k, const ProgramKernel *kernel, Error *e)
{
    int code = 0;
    for (int i = 0; i < k->nphase && code == 0;) {
        const bool once = k->steps[i] == KERNEL_ONCE;
        const int64_t steps = once ? 1 : r->at[k->steps[i]].i;
        int end = i + 1;
        while (!once && end < k->nphase && k->steps[end] == KERNEL_JOINS)
            end++;
        for (int64_t t = 0; t < steps; t++)
            for (int n = i; n < end && code == 0; n++)
                code = run_phase(r, k, kernel, n, t, once ? SPLIT_NS : SPLIT_STEP_NS);
        i = end;
    }
    return code == 0 ? 0 : error_set(e, ERR_INTERNAL, "kernel '%s' failed", kernel->name);
}

static int run_kernel(Run *r, const ProgramStep *s, Error *e)
{
    const Program *p = r->m->p;
    const KernelStep k = program_kernel_step(p, s);
    const ProgramKernel *kernel = &p->kernel[k.kernel];
    for (int i = 0; i < k.nread + k.nwrite; i++) {
        r->kernel_buffer[i] = r->ptr[k.buffer[i]];
        if (!r->kernel_buffer[i])
            return error_set(e, ERR_INTERNAL, "kernel '%s': buffer %d has no memory", kernel->name,
                             k.buffer[i]);
    }
    for (int i = 0; i < k.nsym; i++)
        r->kernel_sym[i] = r->at[k.sym[i]].i;
    if (!r->guard)
        return run_phases(r, &k, kernel, e);
    const int n = k.nread + k.nwrite;
    int code = guard_enter(r, n, k.buffer, r->kernel_buffer, e);
    if (code != 0)
        return code;
    code = run_phases(r, &k, kernel, e);
    const int damaged =
        guard_leave(r, k.nread, n, r->kernel_buffer, kernel->name, code == 0 ? e : NULL);
    return code != 0 ? code : damaged;
}

/* ---- host routines ---- */

static HostTensor host_tensor(const Run *r, int buffer)
{
    HostTensor t = {.dtype = DT_NONE};
    if (buffer < 0)
        return t;
    const ProgramBuffer *b = &r->m->p->buffer[buffer];
    t.dtype = (DType)b->dtype;
    t.rank = b->rank;
    for (int i = 0; i < b->rank; i++)
        t.dim[i] = r->at[b->dim[i]].i;
    t.data = r->ptr[buffer];
    return t;
}

/* After HOST_SIZE: variables from the dims of the dynamic outputs; known dims must agree. */
static int take_sizes(Run *r, const ExternStep *x, const HostRow *row, const HostCall *call,
                      Error *e)
{
    const Program *p = r->m->p;
    int n = 0;
    for (int k = 0; k < x->nout; k++) {
        if (x->out[k] < 0 || !(row->dynamic >> k & 1))
            continue;
        const ProgramBuffer *b = &p->buffer[x->out[k]];
        for (int d = 0; d < b->rank; d++, n++) {
            if (x->var[n] >= 0)
                r->at[p->var[x->var[n]].value].i = call->out[k].dim[d];
            else if (r->at[b->dim[d]].i != call->out[k].dim[d])
                return error_set(e, ERR_INVALID, "%s: dim %d of output %d is %lld, expected %lld",
                                 row->name, d, k, (long long)call->out[k].dim[d],
                                 (long long)r->at[b->dim[d]].i);
        }
    }
    return 0;
}

/* Memory for the dims as they are now. */
static bool has_memory(const Run *r, int buffer)
{
    const int64_t bytes = program_buffer_bytes(r->m->p, buffer, r->at);
    return r->ptr[buffer] && bytes >= 0 && bytes <= r->bytes[buffer];
}

/* After HOST_PLAN: outputs of ranks, and where they are known of dims, as the program says. */
static int check_planned(const Run *r, const ExternStep *x, const HostRow *row,
                         const HostCall *call, Error *e)
{
    for (int k = 0; k < x->nout; k++) {
        if (x->out[k] < 0)
            continue;
        const ProgramBuffer *b = &r->m->p->buffer[x->out[k]];
        bool same = call->out[k].rank == b->rank;
        for (int d = 0; same && d < b->rank && !(row->dynamic >> k & 1); d++)
            same = call->out[k].dim[d] == r->at[b->dim[d]].i;
        if (!same)
            return error_set(e, ERR_INVALID,
                             "%s: output %d does not have the shape that was expected", row->name,
                             k);
    }
    return 0;
}

static bool dims_late(const Program *p, const ProgramBuffer *b)
{
    for (int k = 0; k < b->rank; k++)
        if (p->value[b->dim[k]].late)
            return true;
    return false;
}

static int run_extern(Run *r, const ProgramStep *s, Error *e)
{
    const Program *p = r->m->p;
    const ExternStep x = program_extern_step(p, s);
    const HostRow *row = r->m->host[x.name];
    const HostArgs *args = p->blob[x.blob].data;
    HostCall call = {.phase = HOST_PLAN, .nin = x.nin, .nout = x.nout, .error = e};
    memcpy(call.ints, args->ints, sizeof call.ints);
    memcpy(call.floats, args->floats, sizeof call.floats);
    for (int k = 0; k < x.nin; k++) {
        call.in[k] = host_tensor(r, x.in[k]);
        if (x.in[k] >= 0 && !has_memory(r, x.in[k]))
            return error_set(e, ERR_INTERNAL, "%s: input %d has no memory", row->name, k);
    }
    for (int k = 0; k < x.nout; k++)
        call.out[k] = host_tensor(r, x.out[k]);
    if (!row->check(&call))
        return error_set(e, ERR_INVALID, "%s: its operands are not what it takes", row->name);
    int code = row->run(&call);
    if (code == 0)
        code = check_planned(r, &x, row, &call, e);
    if (code != 0)
        return code;
    code = slot_reserve(r, &r->host_scratch, (int64_t)call.scratch_bytes, 0, e);
    if (code != 0)
        return code;
    call.scratch = r->host_scratch.data;
    if (row->dynamic) {
        call.phase = HOST_SIZE;
        code = row->run(&call);
        if (code == 0)
            code = take_sizes(r, &x, row, &call, e);
    }
    call.phase = HOST_RUN;
    for (int k = 0; k < x.nout && code == 0; k++) {
        if (x.out[k] < 0)
            continue;
        const ProgramBuffer *b = &p->buffer[x.out[k]];
        if (b->kind == BUF_SLOT || (b->kind == BUF_OUTPUT && dims_late(p, b)))
            code = run_alloc_buffer(r, x.out[k], false, e);
        if (code == 0)
            call.out[k] = host_tensor(r, x.out[k]);
        if (code == 0 && !has_memory(r, x.out[k]))
            code = error_set(e, ERR_INTERNAL, "%s: output %d has no memory", row->name, k);
    }
    return code == 0 ? row->run(&call) : code;
}

/* ---- the small ones ---- */

static int run_read(Run *r, const int32_t *a, Error *e)
{
    const Program *p = r->m->p;
    const DType t = (DType)p->buffer[a[1]].dtype;
    const int64_t index = r->at[a[2]].i;
    if (!r->ptr[a[1]] || index < 0 || index >= r->bytes[a[1]] / dtype_size(t))
        return error_set(e, ERR_INVALID, "an element was read that is not there");
    r->at[p->var[a[0]].value].i =
        dtype_read_int(t, (const char *)r->ptr[a[1]] + index * dtype_size(t));
    return 0;
}

static int run_write(Run *r, const int32_t *a, Error *e)
{
    const DType t = (DType)r->m->p->buffer[a[0]].dtype;
    const int64_t index = r->at[a[1]].i;
    if (!r->ptr[a[0]] || index < 0 || index >= r->bytes[a[0]] / dtype_size(t))
        return error_set(e, ERR_INVALID, "an element was written that is not there");
    dtype_write_int(t, (char *)r->ptr[a[0]] + index * dtype_size(t), r->at[a[2]].i);
    return 0;
}

static int run_copy(Run *r, const int32_t *a, Error *e)
{
    const int64_t to = a[1] < 0 ? 0 : r->at[a[1]].i, from = a[3] < 0 ? 0 : r->at[a[3]].i;
    const int64_t bytes = a[4] >= 0 ? r->at[a[4]].i : from < 0 ? -1 : r->bytes[a[2]] - from;
    if (bytes < 0 || to < 0 || from < 0 || from > r->bytes[a[2]] - bytes ||
        to > r->bytes[a[0]] - bytes)
        return error_set(e, ERR_INVALID,
                         "a copy of %lld bytes from %lld of %lld to %lld of %lld is out of range",
                         (long long)bytes, (long long)from, (long long)r->bytes[a[2]],
                         (long long)to, (long long)r->bytes[a[0]]);
    if (bytes > 0 && (!r->ptr[a[0]] || !r->ptr[a[2]]))
        return error_set(e, ERR_INTERNAL, "a copy between buffers without memory");
    if (bytes > 0)
        memmove((char *)r->ptr[a[0]] + to, (const char *)r->ptr[a[2]] + from, (size_t)bytes);
    return 0;
}

/* Runs step i; *next is the step after it unless it jumps. */
static int run_step(Run *r, int i, int *next, Error *e)
{
    const Program *p = r->m->p;
    const ProgramStep *s = &p->step[i];
    const int32_t *a = p->arg + s->arg;
    switch ((StepCode)s->code) {
    case PSTEP_KERNEL:
        return run_kernel(r, s, e);
    case PSTEP_EXTERN:
        return run_extern(r, s, e);
    case PSTEP_EVAL:
        for (int k = 0; k < s->narg; k++)
            program_eval(p, a[k], r->at);
        return 0;
    case PSTEP_SET:
        r->at[p->var[a[0]].value].i = r->at[a[1]].i;
        return 0;
    case PSTEP_READ:
        return run_read(r, a, e);
    case PSTEP_WRITE:
        return run_write(r, a, e);
    case PSTEP_JUMP:
        *next = a[0];
        return 0;
    case PSTEP_BRANCH:
        if (r->at[a[0]].i == 0)
            *next = a[1];
        return 0;
    case PSTEP_ALLOC:
    case PSTEP_GROW:
        return run_alloc_buffer(r, a[0], s->code == PSTEP_GROW, e);
    case PSTEP_VIEW:
        return run_bind_view(r, a[0], e);
    case PSTEP_COPY:
        return run_copy(r, a, e);
    case PSTEP_CHECK: {
        const int64_t want = r->at[a[0]].i, got = r->at[a[1]].i;
        if (want != got)
            return error_set(e, ERR_INVALID, "%s: %lld is not %lld%s", p->text[a[2]],
                             (long long)want, (long long)got,
                             (want == 1 || got == 1) && want + got > 2 ? " (" BROADCAST_HINT ")"
                                                                       : "");
        return 0;
    }
    case PSTEP_COUNT:
        break;
    }
    return error_set(e, ERR_INTERNAL, "unknown step %d", s->code);
}

/* Whose step it was, where the message does not say: those of kernels and checks do. */
static void add_origin(const Program *p, const ProgramStep *s, int code, Error *e)
{
    if (!e || s->origin < 0 || s->code == PSTEP_KERNEL || s->code == PSTEP_CHECK)
        return;
    const Error said = *e;
    error_set(e, code, "'%s': %s", p->text[s->origin], said.message);
}

int run_steps(Run *r, Error *e)
{
    const Program *p = r->m->p;
    int code = 0;
    for (int i = 0; i < p->nstep && code == 0;) {
        int next = i + 1;
        const double start = r->profile ? time_now() : 0;
        code = run_step(r, i, &next, e);
        if (r->profile)
            r->profile[i] += time_now() - start;
        if (code != 0)
            add_origin(p, &p->step[i], code, e);
        i = next;
    }
    return code;
}
