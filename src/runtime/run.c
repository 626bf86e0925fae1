/* Running: inputs, shapes, memory. The steps themselves are in step.c. */
#include "runtime/run.h"

#include <assert.h>
#include <string.h>

#include "base/heap.h"
#include "runtime/run_state.h"

int slot_reserve(Run *r, Slot *s, int64_t bytes, int64_t keep, Error *e)
{
    if (bytes <= s->capacity)
        return 0;
    const int code = memory_check(r, bytes - s->capacity, e);
    if (code != 0)
        return code;
    /* Half as much again: a size that creeps up from run to run settles soon. */
    const bool more =
        s->capacity > 0 && memory_check(r, bytes + bytes / 2 - s->capacity, NULL) == 0;
    const int64_t want = more ? bytes + bytes / 2 : bytes;
    void *data = heap_alloc((size_t)want, want >= 2 << 20 ? 2 << 20 : 64);
    if (!data)
        return error_set(e, ERR_MEMORY, "out of memory: %lld bytes", (long long)want);
    r->allocations++;
    if (keep > 0)
        memcpy(data, s->data, (size_t)keep);
    heap_free(s->data);
    *s = (Slot){data, want};
    return 0;
}

static int new_output(Run *r, int buffer, Error *e)
{
    const ProgramBuffer *b = &r->m->p->buffer[buffer];
    int64_t dim[MAX_RANK];
    bool same = true;
    Tensor *old = r->output[b->index];
    for (int i = 0; i < b->rank; i++) {
        dim[i] = r->at[b->dim[i]].i;
        same = same && old && old->dim[i] == dim[i];
    }
    const bool kept = old && atomic_load(&old->refs) > 1; /* the caller holds it */
    if (old && !kept && (same || (int64_t)old->bytes >= r->bytes[buffer])) {
        memcpy(old->dim, dim, sizeof dim[0] * b->rank);
        return 0;
    }
    const int code = memory_check(r, r->bytes[buffer], e);
    if (code != 0)
        return code;
    Tensor *t = tensor_new((DType)b->dtype, b->rank, dim, e);
    if (!t)
        return ERR_MEMORY;
    r->allocations++;
    tensor_unref(old);
    r->output[b->index] = t;
    return 0;
}

/* Sets the buffer's pointer. One of no elements gets room for what its dims would hold if those of
 * 0 were 1: kernels clamp an index to [0, n - 1] and then to 0, and may load what is there before
 * they know that they need none of it. */
static int set_pointer(Run *r, int buffer, void *data, Error *e)
{
    r->ptr[buffer] = data;
    if (r->bytes[buffer] > 0)
        return 0;
    bool empty;
    const int64_t room = program_buffer_room(r->m->p, buffer, r->at, &empty);
    const int code = slot_reserve(r, &r->slot[buffer], room > 64 ? room : 64, 0, e);
    r->ptr[buffer] = r->slot[buffer].data;
    return code;
}

/* The memory of `buffer` has moved: views of it must be bound again before they are used. */
static void drop_views(Run *r, int buffer)
{
    const Program *p = r->m->p;
    for (int b = buffer + 1; b < p->nbuffer; b++) {
        int root = b;
        while (p->buffer[root].kind == BUF_VIEW)
            root = p->buffer[root].parent;
        if (root == buffer) {
            r->ptr[b] = NULL;
            r->bytes[b] = 0;
        }
    }
}

static int alloc_buffer(Run *r, int buffer, bool keep, Error *e)
{
    const Program *p = r->m->p;
    const int64_t bytes = program_buffer_bytes(p, buffer, r->at), before = r->bytes[buffer];
    int code = 0;
    if (bytes < 0)
        return error_set(e, ERR_INVALID, "a tensor's size is negative or too large");
    if (p->buffer[buffer].kind == BUF_OUTPUT) {
        Tensor *old = r->output[p->buffer[buffer].index];
        void *data = old ? old->data : NULL;
        if (keep && old)
            tensor_ref(old);
        r->bytes[buffer] = bytes;
        code = new_output(r, buffer, e);
        Tensor *t = r->output[p->buffer[buffer].index];
        if (code == 0 && keep && old && data != t->data)
            memcpy(t->data, data, (size_t)(before < bytes ? before : bytes));
        if (keep && old)
            tensor_unref(old);
        return code == 0 ? set_pointer(r, buffer, t->data, e) : code;
    }
    code =
        slot_reserve(r, &r->slot[buffer], bytes, keep ? (before < bytes ? before : bytes) : 0, e);
    if (code == 0) {
        r->bytes[buffer] = bytes;
        code = set_pointer(r, buffer, r->slot[buffer].data, e);
    }
    return code;
}

int run_alloc_buffer(Run *r, int buffer, bool keep, Error *e)
{
    const void *before = r->ptr[buffer];
    const int code = alloc_buffer(r, buffer, keep, e);
    if (before && before != r->ptr[buffer])
        drop_views(r, buffer);
    return code;
}

int run_bind_view(Run *r, int buffer, Error *e)
{
    const ProgramBuffer *b = &r->m->p->buffer[buffer];
    const int64_t offset = b->offset < 0 ? 0 : r->at[b->offset].i;
    const int64_t bytes = program_buffer_bytes(r->m->p, buffer, r->at), room = r->bytes[b->parent];
    if (bytes < 0 || offset < 0 || offset > room || bytes > room - offset)
        return error_set(e, ERR_INVALID,
                         "a view of %lld bytes at %lld lies outside its tensor of %lld bytes",
                         (long long)bytes, (long long)offset, (long long)room);
    r->bytes[buffer] = bytes;
    if (r->ptr[b->parent])
        return set_pointer(r, buffer, (char *)r->ptr[b->parent] + offset, e);
    r->ptr[buffer] = NULL;
    return 0;
}

/* ---- shapes ---- */

static const char *port_name(const Run *r, int input)
{
    return r->m->p->input[input].name;
}

/* Collects the dims of all inputs. */
static int gather_dims(Run *r, Error *e)
{
    const Program *p = r->m->p;
    int n = 0;
    for (int i = 0; i < p->ninput; i++) {
        const Tensor *t = r->input[i];
        if (!t)
            return error_set(e, ERR_INVALID, "input '%s' was not given", port_name(r, i));
        for (int k = 0; k < t->rank; k++)
            r->dims[n++] = t->dim[k];
    }
    return 0;
}

static int input_dim(const Program *p, int input, int axis)
{
    return p->buffer[p->input[input].buffer].dim[axis];
}

/* Another name of this dim's size, which became one with it or a number: compile/unify.c. NULL:
 * none. */
static const char *other_name(const Program *p, int input, int axis)
{
    const int size = input_dim(p, input, axis);
    for (int i = 0; i < p->nvar; i++) {
        const ProgramVar *v = &p->var[i];
        if (v->input < 0 || v->value == size || input_dim(p, v->input, v->axis) != size)
            continue;
        if (p->value[size].op == EX_VAR ||
            (v->input == input && v->axis == axis)) /* a number may be anything's size */
            return v->name;
    }
    return NULL;
}

static int check_dims(Run *r, const ShapePlan *s, Error *e)
{
    const Program *p = r->m->p;
    for (int i = 0, n = 0; i < p->ninput; i++) {
        const ProgramBuffer *b = &p->buffer[p->input[i].buffer];
        for (int k = 0; k < b->rank; k++, n++) {
            const int64_t want = s->at[b->dim[k]].i;
            if (want == s->dim[n])
                continue;
            const ProgramValue *v = &p->value[b->dim[k]];
            const char *name = v->op == EX_VAR ? p->var[v->imm.i].name : NULL;
            const char *const other = other_name(p, i, k);
            const bool one = other && (want == 1 || s->dim[n] == 1);
            return error_set(e, ERR_INVALID,
                             "input '%s': dim %d is %lld, the model wants %.100s%s%.100s%s%lld%s",
                             port_name(r, i), k, (long long)s->dim[n], other ? other : "",
                             other ? " = " : "", name ? name : "", name ? " = " : "",
                             (long long)want, one ? " (" BROADCAST_HINT ")" : "");
        }
    }
    return 0;
}

/* Sets variables from input dims, then every value. */
static void eval_shape(Run *r, ShapePlan *s)
{
    const Program *p = r->m->p;
    for (int i = 0; i < p->nvar; i++) {
        const ProgramVar *v = &p->var[i];
        int64_t value = 0;
        if (v->input >= 0) {
            int first = 0;
            for (int k = 0; k < v->input; k++)
                first += p->buffer[p->input[k].buffer].rank;
            value = s->dim[first + v->axis];
        }
        s->at[v->value] = (Scalar){.dtype = DT_I64, .i = value};
    }
    for (int i = 0; i < p->nvalue; i++)
        program_eval(p, i, s->at);
}

static bool buffer_is_late(const Program *p, const ProgramBuffer *b)
{
    for (int k = 0; k < b->rank; k++)
        if (p->value[b->dim[k]].late)
            return true;
    return b->kind == BUF_VIEW && b->offset >= 0 && p->value[b->offset].late;
}

static int make_plan(Run *r, ShapePlan *s, Error *e)
{
    const Program *p = r->m->p;
    memcpy(s->dim, r->dims, sizeof *s->dim * (size_t)r->m->ndims);
    eval_shape(r, s);
    int code = check_dims(r, s, e);
    if (code != 0)
        return code;
    int64_t sum = 0;
    for (int b = 0; b < p->nbuffer; b++) {
        s->bytes[b] = 0;
        if (p->buffer[b].kind == BUF_SLOT || buffer_is_late(p, &p->buffer[b]))
            continue;
        s->bytes[b] = program_buffer_bytes(p, b, s->at);
        sum += s->bytes[b];
        if (s->bytes[b] < 0 || sum > INT64_MAX / 4)
            return error_set(e, ERR_INVALID,
                             "with these inputs, a tensor inside the model gets a size that is "
                             "negative or too large");
    }
    s->size = plan_place(p, r->m->life, s->bytes, r->order, s->offset);
    s->total = s->size.slab;
    for (int b = 0; b < p->nbuffer; b++)
        if (p->buffer[b].kind == BUF_INPUT || p->buffer[b].kind == BUF_OUTPUT)
            s->total += s->bytes[b];
    code = memory_check_plan(r, s, e);
    s->valid = code == 0;
    return code;
}

/* Finds or makes the plan for the dims in r->dims. */
static int find_plan(Run *r, Error *e)
{
    ShapePlan *oldest = &r->plan[0];
    for (int i = 0; i < PLANS_KEPT; i++) {
        ShapePlan *s = &r->plan[i];
        if (s->valid && memcmp(s->dim, r->dims, sizeof *s->dim * (size_t)r->m->ndims) == 0) {
            s->used = ++r->clock;
            r->shape = s;
            return 0;
        }
        if (s->used < oldest->used)
            oldest = s;
    }
    oldest->valid = false;
    r->shape = NULL;
    const int code = make_plan(r, oldest, e);
    if (code != 0)
        return code;
    oldest->used = ++r->clock;
    r->shape = oldest;
    return 0;
}

static int reserve_slab(Run *r, Error *e)
{
    if (r->shape->size.slab <= r->slab_bytes)
        return 0;
    heap_free(r->slab);
    r->slab_bytes = 0;
    /* On huge pages where the system has them: fewer TLB misses. */
    r->slab =
        heap_alloc((size_t)r->shape->size.slab, r->shape->size.slab >= 2 << 20 ? 2 << 20 : 64);
    if (!r->slab)
        return error_set(e, ERR_MEMORY, "out of memory: %lld bytes for temporaries",
                         (long long)r->shape->size.slab);
    r->allocations++;
    r->slab_bytes = r->shape->size.slab;
    return 0;
}

/* Inputs are used in place; only an unaligned one is copied. */
static int bind_input(Run *r, int buffer, Error *e)
{
    Tensor *t = r->input[r->m->p->buffer[buffer].index];
    if (r->bytes[buffer] == 0 || ((uintptr_t)t->data & 63) == 0)
        return set_pointer(r, buffer, t->data, e);
    const int code = slot_reserve(r, &r->slot[buffer], r->bytes[buffer], 0, e);
    if (code == 0) {
        memcpy(r->slot[buffer].data, t->data, (size_t)r->bytes[buffer]);
        r->ptr[buffer] = r->slot[buffer].data;
    }
    return code;
}

static int bind_buffers(Run *r, Error *e)
{
    const Program *p = r->m->p;
    const ShapePlan *s = r->shape;
    memcpy(r->at, s->at, sizeof *r->at * (size_t)p->nvalue);
    memcpy(r->bytes, s->bytes, sizeof *r->bytes * (size_t)p->nbuffer);
    int code = 0;
    for (int b = 0; b < p->nbuffer && code == 0; b++) {
        const ProgramBuffer *buffer = &p->buffer[b];
        r->ptr[b] = NULL;
        switch ((BufferKind)buffer->kind) {
        case BUF_INPUT:
            code = bind_input(r, b, e);
            break;
        case BUF_CONST:
            code = set_pointer(r, b, (void *)p->constant[buffer->index].data, e);
            break;
        case BUF_TEMP:
            if (s->offset[b] >= 0)
                code = set_pointer(r, b, (char *)r->slab + s->offset[b], e);
            break;
        case BUF_OUTPUT:
            if (!buffer_is_late(p, buffer))
                code = run_alloc_buffer(r, b, false, e);
            break;
        case BUF_VIEW:
            if (!buffer_is_late(p, buffer) && r->ptr[buffer->parent])
                code = run_bind_view(r, b, e);
            break;
        default:
            break;
        }
    }
    return code;
}

static int execute(Run *r, Error *e)
{
    int code = gather_dims(r, e);
    if (code == 0)
        code = find_plan(r, e);
    if (code == 0)
        code = reserve_slab(r, e);
    if (code == 0)
        code = bind_buffers(r, e);
    if (code == 0)
        code = run_steps(r, e);
    for (int i = 0; i < r->m->p->noutput && code == 0; i++)
        if (!r->ptr[r->m->p->output[i].buffer])
            code =
                error_set(e, ERR_INVALID, "output '%s' was not computed", r->m->p->output[i].name);
    return code;
}

int run_execute(Run *r, Error *e)
{
    pool_enter(r->pool);
    const int code = execute(r, e);
    pool_leave(r->pool);
    return code;
}

/* ---- making, inputs, outputs ---- */

static void make_run(Context *ctx, void *arg)
{
    Run *r = arg;
    Arena *a = ctx->arena;
    const Program *p = r->m->p;
    r->input = arena_array_of(a, p->ninput + 1, Tensor *);
    r->output = arena_array_of(a, p->noutput + 1, Tensor *);
    for (int i = 0; i < PLANS_KEPT; i++) {
        ShapePlan *s = &r->plan[i];
        s->dim = arena_array_of(a, r->m->ndims + 1, int64_t);
        s->at = arena_array_of(a, p->nvalue + 1, Scalar);
        s->bytes = arena_array_of(a, p->nbuffer + 1, int64_t);
        s->offset = arena_array_of(a, p->nbuffer + 1, int64_t);
    }
    r->at = arena_array_of(a, p->nvalue + 1, Scalar);
    r->ptr = arena_array_of(a, p->nbuffer + 1, void *);
    r->bytes = arena_array_of(a, p->nbuffer + 1, int64_t);
    r->slot = arena_array_of(a, p->nbuffer + 1, Slot);
    r->dims = arena_array_of(a, r->m->ndims + 1, int64_t);
    r->order = arena_array_of(a, 3 * (size_t)p->nbuffer + 1, int32_t);
    r->kernel_buffer = arena_array_of(a, r->m->max_operands + 1, void *);
    r->kernel_sym = arena_array_of(a, r->m->max_operands + 1, int64_t);
    if (r->m->scratch == 0)
        return;
    r->scratch = heap_alloc((size_t)r->m->scratch * (size_t)r->threads, 64);
    if (!r->scratch)
        fail(ctx, ERR_MEMORY, "out of memory: %lld bytes of scratch for each of %d threads",
             (long long)r->m->scratch, r->threads);
}

int run_new(Module *m, Pool *pool, int threads, Run **out, Error *e)
{
    *out = NULL;
    Arena *a = arena_try_new();
    if (!a)
        return error_set(e, ERR_MEMORY, "out of memory");
    Run *r = arena_new_of(a, Run); /* fits a fresh arena */
    r->arena = a;
    r->m = module_ref(m);
    r->pool = pool;
    run_set_limit(r, 0);
    r->threads = threads > 0 && threads < pool_threads(pool) ? threads : pool_threads(pool);
    const int code = job_run(a, make_run, r, e, NULL);
    if (code != 0) {
        module_unref(m);
        arena_free(a);
        return code;
    }
    *out = r;
    return 0;
}

void run_free(Run *r)
{
    if (!r)
        return;
    const Program *p = r->m->p;
    for (int i = 0; i < p->ninput; i++)
        tensor_unref(r->input[i]);
    for (int i = 0; i < p->noutput; i++)
        tensor_unref(r->output[i]);
    for (int i = 0; i < p->nbuffer; i++)
        heap_free(r->slot[i].data);
    heap_free(r->host_scratch.data);
    heap_free(r->guard);
    heap_free(r->slab);
    heap_free(r->scratch);
    module_unref(r->m);
    arena_free(r->arena);
}

int run_set_input(Run *r, int input, Tensor *t, Error *e)
{
    const Program *p = r->m->p;
    if (input < 0 || input >= p->ninput)
        return error_set(e, ERR_INVALID, "there is no input %d: the model has %d", input,
                         p->ninput);
    const ProgramBuffer *b = &p->buffer[p->input[input].buffer];
    if (t->dtype != (DType)b->dtype)
        return error_set(e, ERR_INVALID, "input '%s' is %s, the model wants %s",
                         port_name(r, input), dtype_name(t->dtype), dtype_name((DType)b->dtype));
    if (t->rank != b->rank)
        return error_set(e, ERR_INVALID, "input '%s' has rank %d, the model wants %d",
                         port_name(r, input), t->rank, b->rank);
    if (!layout_is_plain(&t->layout))
        return error_set(e, ERR_INVALID, "input '%s' is not row-major", port_name(r, input));
    if ((int64_t)t->bytes < tensor_elements(t) * dtype_size(t->dtype))
        return error_set(e, ERR_INVALID, "input '%s' has less data than its shape says",
                         port_name(r, input));
    tensor_ref(t);
    tensor_unref(r->input[input]);
    r->input[input] = t;
    return 0;
}

Tensor *run_output(Run *r, int output)
{
    assert(output >= 0 && output < r->m->p->noutput);
    return r->output[output];
}

RunMemory run_memory(const Run *r)
{
    RunMemory m = {.allocations = r->allocations};
    if (r->shape) {
        m.planned = r->shape->size.slab;
        m.naive = r->shape->size.naive;
        m.bound = r->shape->size.bound;
    }
    for (int i = 0; i < r->m->p->nbuffer; i++)
        m.slots += r->slot[i].capacity;
    return m;
}

void run_profile(Run *r, double *step_seconds)
{
    r->profile = step_seconds;
}
