/* The public API: all of include/lathe.h but compiling. */
#include <lathe.h>

#include <string.h>

#include "base/heap.h"
#include "runtime/module_file.h"
#include "runtime/run.h"

_Static_assert(sizeof(lathe_error) == sizeof(Error), "the same struct");
_Static_assert(LATHE_MAX_RANK == MAX_RANK, "the same limit");

struct lathe_session {
    Pool *pool;
    Run *run;
    Module *module;
};

/* A lathe_module is a Module under its public name. */
static Module *inside(const lathe_module *m)
{
    return (Module *)m;
}

void lathe_set_allocator(const lathe_allocator *a)
{
    heap_set_hooks((HeapHooks){a->alloc, a->free, a->arg});
}

const char *lathe_version(void)
{
    return LATHE_VERSION;
}

lathe_module *lathe_load(const char *path, lathe_error *error)
{
    Module *m = NULL;
    module_load(path, &m, (Error *)error);
    return (lathe_module *)m;
}

void lathe_module_free(lathe_module *m)
{
    module_unref(inside(m));
}

/* ---- description ---- */

int lathe_input_count(const lathe_module *m)
{
    return module_program(inside(m))->ninput;
}

int lathe_output_count(const lathe_module *m)
{
    return module_program(inside(m))->noutput;
}

static int describe(const Program *p, const ProgramPort *port, int n, int index, lathe_port *out)
{
    if (index < 0 || index >= n)
        return LATHE_INVALID;
    const ProgramBuffer *b = &p->buffer[port[index].buffer];
    *out = (lathe_port){.name = port[index].name, .dtype = (lathe_dtype)b->dtype, .rank = b->rank};
    for (int k = 0; k < b->rank; k++) {
        const ProgramValue *v = &p->value[b->dim[k]];
        out->dim[k] = v->op == EX_INT ? v->imm.i : -1;
    }
    return LATHE_OK;
}

int lathe_input(const lathe_module *m, int index, lathe_port *out)
{
    const Program *p = module_program(inside(m));
    return describe(p, p->input, p->ninput, index, out);
}

int lathe_output(const lathe_module *m, int index, lathe_port *out)
{
    const Program *p = module_program(inside(m));
    return describe(p, p->output, p->noutput, index, out);
}

int lathe_find_input(const lathe_module *m, const char *name)
{
    return module_find_input(inside(m), name);
}

int lathe_find_output(const lathe_module *m, const char *name)
{
    return module_find_output(inside(m), name);
}

/* ---- sessions ---- */

lathe_session *lathe_session_new(lathe_module *m, int threads, lathe_error *error)
{
    Error *e = (Error *)error;
    lathe_session *s = heap_alloc(sizeof *s, 16);
    if (!s) {
        error_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    s->module = inside(m);
    if (pool_acquire(&s->pool, e) != 0 || run_new(s->module, s->pool, threads, &s->run, e) != 0) {
        lathe_session_free(s);
        return NULL;
    }
    return s;
}

void lathe_session_free(lathe_session *s)
{
    if (!s)
        return;
    run_free(s->run);
    pool_release(s->pool);
    heap_free(s);
}

int lathe_set_input(lathe_session *s, int index, lathe_dtype dtype, int rank, const int64_t *dims, const void *data,
                    lathe_error *error)
{
    Error *e = (Error *)error;
    size_t bytes = (size_t)dtype_size((DType)dtype);
    if ((int)dtype <= 0 || (int)dtype >= DT_COUNT || bytes == 0 || rank < 0 || rank > MAX_RANK)
        return error_set(e, ERR_INVALID, "input %d: type %d, rank %d", index, (int)dtype, rank);
    for (int k = 0; k < rank; k++)
        if (dims[k] < 0 || __builtin_mul_overflow(bytes, (size_t)dims[k], &bytes))
            return error_set(e, ERR_INVALID, "input %d: dim %d is %lld", index, k, (long long)dims[k]);
    Tensor *t = tensor_wrap((DType)dtype, rank, dims, (void *)data, bytes, NULL, NULL);
    if (!t)
        return error_set(e, ERR_MEMORY, "out of memory");
    const int code = run_set_input(s->run, index, t, e);
    tensor_unref(t);
    return code;
}

int lathe_run(lathe_session *s, lathe_error *error)
{
    return run_execute(s->run, (Error *)error);
}

int lathe_get_output(lathe_session *s, int index, lathe_tensor *out, lathe_error *error)
{
    const Program *p = module_program(s->module);
    Error *e = (Error *)error;
    const Tensor *t = index >= 0 && index < p->noutput ? run_output(s->run, index) : NULL;
    if (!t)
        return error_set(e, ERR_INVALID, "there is no output %d, or lathe_run has not run", index);
    *out = (lathe_tensor){.dtype = (lathe_dtype)t->dtype, .rank = t->rank, .data = t->data};
    memcpy(out->dim, t->dim, sizeof *t->dim * (size_t)t->rank);
    out->bytes = (size_t)tensor_elements(t) * (size_t)dtype_size(t->dtype);
    return LATHE_OK;
}
