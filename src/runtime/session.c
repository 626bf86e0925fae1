/* The public API: all of include/lathe.h but compiling. */
#include <lathe.h>

#include <stdio.h>
#include <string.h>

#include "base/heap.h"
#include "runtime/module_file.h"
#include "runtime/session.h"

_Static_assert(sizeof(lathe_error) == sizeof(Error), "the same struct");
_Static_assert(LATHE_MAX_RANK == MAX_RANK, "the same limit");
_Static_assert(LATHE_MAX_THREADS == POOL_MAX_WORKERS, "the same limit");

/* A lathe_module is a Module under its public name. */
static Module *inside(const lathe_module *m)
{
    return (Module *)m;
}

/* Of the first argument that is NULL. */
static int not_given(const char *what, lathe_error *e)
{
    return error_set((Error *)e, ERR_INVALID, "no %s was given", what);
}

void lathe_set_allocator(const lathe_allocator *a)
{
    /* memory of the one must not come to another's free */
    const bool whole = a && a->alloc && a->free;
    heap_set_hooks(whole ? (HeapHooks){a->alloc, a->free, a->arg} : (HeapHooks){0});
}

const char *lathe_version(void)
{
    return LATHE_VERSION;
}

int lathe_dtype_size(int dtype)
{
    return dtype > 0 && dtype < DT_COUNT ? dtype_size((DType)dtype) : 0;
}

const char *lathe_dtype_name(int dtype)
{
    return lathe_dtype_size(dtype) > 0 ? dtype_name((DType)dtype) : NULL;
}

/* ---- modules ---- */

lathe_module *lathe_load(const char *path, lathe_error *error)
{
    Module *m = NULL;
    if (!path)
        not_given("path", error);
    else
        module_load(path, &m, (Error *)error);
    return (lathe_module *)m;
}

lathe_module *lathe_load_memory(const void *data, size_t size, void (*free)(void *arg), void *arg,
                                lathe_error *error)
{
    Error *e = (Error *)error;
    Module *m = NULL;
    if (!data) {
        not_given("data", error);
        return NULL;
    }
    if (free && ((uintptr_t)data & 63) == 0) {
        module_load_bytes("module", data, size, free, arg, &m, e);
        return (lathe_module *)m;
    }
    void *copy = heap_alloc(size, 64);
    if (!copy) {
        error_set(e, ERR_MEMORY, "out of memory: %zu bytes for the module", size);
        return NULL;
    }
    if (size > 0)
        memcpy(copy, data, size);
    if (module_load_bytes("module", copy, size, heap_free, copy, &m, e) != 0)
        heap_free(copy);
    else if (free)
        free(arg);
    return (lathe_module *)m;
}

int lathe_save(const lathe_module *module, const char *path, lathe_error *error)
{
    const Module *m = inside(module);
    if (!m || !path)
        return not_given(m ? "path" : "module", error);
    return module_save(path, m->p, &m->code, m->target, true, (Error *)error);
}

void lathe_module_free(lathe_module *m)
{
    module_unref(inside(m));
}

int lathe_input_count(const lathe_module *m)
{
    return m ? module_program(inside(m))->ninput : 0;
}

int lathe_output_count(const lathe_module *m)
{
    return m ? module_program(inside(m))->noutput : 0;
}

static int describe(const Program *p, const ProgramPort *port, int n, int index, lathe_port *out)
{
    if (!out || index < 0 || index >= n)
        return LATHE_INVALID;
    const ProgramBuffer *b = &p->buffer[port[index].buffer];
    *out = (lathe_port){.name = port[index].name, .dtype = b->dtype, .rank = b->rank};
    for (int k = 0; k < b->rank; k++) {
        const ProgramValue *v = &p->value[b->dim[k]];
        out->dim[k] = v->op == EX_INT ? v->imm.i : -1;
        out->dim_name[k] = v->op == EX_VAR && !v->late ? p->var[v->imm.i].name : NULL;
    }
    return LATHE_OK;
}

int lathe_input(const lathe_module *m, int index, lathe_port *out)
{
    const Program *p = m ? module_program(inside(m)) : NULL;
    return p ? describe(p, p->input, p->ninput, index, out) : LATHE_INVALID;
}

int lathe_output(const lathe_module *m, int index, lathe_port *out)
{
    const Program *p = m ? module_program(inside(m)) : NULL;
    return p ? describe(p, p->output, p->noutput, index, out) : LATHE_INVALID;
}

typedef struct Text { /* as snprintf does: counts on where it has stopped writing */
    char *at;
    size_t size, length;
} Text;

static void add_text(Text *t, const char *s)
{
    for (; *s; s++, t->length++)
        if (t->length + 1 < t->size)
            t->at[t->length] = *s;
}

int lathe_port_text(const lathe_port *port, char *text, size_t size)
{
    if (!port)
        return LATHE_INVALID;
    const char *type = lathe_dtype_name(port->dtype);
    Text t = {text, size, 0};
    add_text(&t, type ? type : "?");
    add_text(&t, "[");
    for (int k = 0; k < port->rank; k++) {
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)port->dim[k]);
        add_text(&t, k > 0 ? "," : "");
        add_text(&t, port->dim[k] >= 0 ? number : port->dim_name[k] ? port->dim_name[k] : "?");
    }
    add_text(&t, "]");
    if (size > 0)
        text[t.length < size ? t.length : size - 1] = 0;
    return (int)t.length;
}

int lathe_find_input(const lathe_module *m, const char *name)
{
    return m && name ? module_find_input(inside(m), name) : -1;
}

int lathe_find_output(const lathe_module *m, const char *name)
{
    return m && name ? module_find_output(inside(m), name) : -1;
}

/* ---- sessions ---- */

lathe_session *lathe_session_new(lathe_module *module, int threads, lathe_error *error)
{
    Error *e = (Error *)error;
    Module *m = inside(module);
    if (!m) {
        not_given("module", error);
        return NULL;
    }
    if (threads < 0 || threads > POOL_MAX_WORKERS) {
        error_set(e, ERR_INVALID, "%d threads: 0 for all CPUs, at most %d", threads,
                  POOL_MAX_WORKERS);
        return NULL;
    }
    if (module_runs_here(m, e) != 0)
        return NULL;
    lathe_session *s = heap_alloc(sizeof *s + sizeof *s->input * (size_t)m->p->ninput, 16);
    if (!s) {
        error_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    s->module = m;
    s->ninput = m->p->ninput;
    for (int i = 0; i < m->p->ninput; i++)
        for (int k = 0; k < 2; k++)
            atomic_init(&s->input[i].header[k].refs, 1);
    if (pool_acquire(&s->pool, e) != 0 || run_new(m, s->pool, threads, &s->run, e) != 0) {
        lathe_session_free(s);
        return NULL;
    }
    return s;
}

static void release_input(SessionInput *in)
{
    if (in->free)
        in->free(in->arg);
    in->free = NULL;
}

void lathe_session_free(lathe_session *s)
{
    if (!s)
        return;
    run_free(s->run);
    for (int i = 0; i < s->ninput; i++)
        release_input(&s->input[i]);
    pool_release(s->pool);
    heap_free(s);
}

/* ---- inputs ---- */

static int check_tensor(const lathe_tensor *x, const char *name, Error *e)
{
    const int size = lathe_dtype_size(x->dtype);
    if (size == 0)
        return error_set(e, ERR_INVALID, "input '%s': %d is no element type", name, x->dtype);
    if (x->rank < 0 || x->rank > MAX_RANK)
        return error_set(e, ERR_INVALID, "input '%s' has rank %d: 0 to %d", name, x->rank,
                         MAX_RANK);
    /* bytes if dims of 0 were 1: no product of some dims may overflow either */
    size_t room = (size_t)size;
    bool empty = false;
    for (int k = 0; k < x->rank; k++) {
        const int64_t d = x->dim[k];
        empty |= d == 0;
        if (d < 0 || __builtin_mul_overflow(room, d > 0 ? (size_t)d : 1, &room) ||
            room > INT64_MAX / 4)
            return error_set(e, ERR_INVALID, "input '%s': dim %d, %lld, is negative or too large",
                             name, k, (long long)d);
    }
    if (!empty && !x->data)
        return error_set(e, ERR_INVALID, "input '%s' has no data", name);
    return !empty && x->bytes < room
               ? error_set(e, ERR_INVALID, "input '%s' has %zu bytes, its shape says %zu", name,
                           x->bytes, room)
               : 0;
}

int lathe_give_input(lathe_session *s, int index, const lathe_tensor *x, void (*free)(void *arg),
                     void *arg, lathe_error *error)
{
    Error *e = (Error *)error;
    if (!s || !x)
        return not_given(s ? "tensor" : "session", error);
    if (index < 0 || index >= s->ninput)
        return error_set(e, ERR_INVALID, "there is no input %d: the model has %d", index,
                         s->ninput);
    SessionInput *in = &s->input[index];
    Tensor *t = &in->header[in->turn];
    int code = check_tensor(x, s->module->p->input[index].name, e);
    if (code != 0)
        return code;
    t->dtype = (DType)x->dtype;
    t->rank = x->rank;
    memcpy(t->dim, x->dim, sizeof t->dim);
    t->data = x->data;
    t->bytes = x->bytes;
    code = run_set_input(s->run, index, t, e);
    if (code != 0)
        return code;
    release_input(in);
    in->free = free;
    in->arg = arg;
    in->turn = !in->turn;
    return 0;
}

int lathe_set_input(lathe_session *s, int index, const lathe_tensor *x, lathe_error *error)
{
    return lathe_give_input(s, index, x, NULL, NULL, error);
}

/* "there is no input 'z'; the model has 'x', 'y'" */
static int no_name(const char *what, const char *name, int n, const ProgramPort *port, Error *e)
{
    char known[512] = "";
    for (int i = 0, at = 0; i < n && at < (int)sizeof known - 64; i++)
        at += snprintf(known + at, sizeof known - (size_t)at, "%s'%.50s'", i > 0 ? ", " : "",
                       port[i].name);
    return error_set(e, ERR_INVALID, "there is no %s '%.200s'; the model has %s", what, name,
                     known);
}

int lathe_set_input_named(lathe_session *s, const char *name, const lathe_tensor *x,
                          lathe_error *error)
{
    if (!s || !name)
        return not_given(s ? "name" : "session", error);
    const int i = module_find_input(s->module, name);
    return i < 0 ? no_name("input", name, s->ninput, s->module->p->input, (Error *)error)
                 : lathe_set_input(s, i, x, error);
}

/* ---- outputs ---- */

int lathe_run(lathe_session *s, lathe_error *error)
{
    if (!s)
        return not_given("session", error);
    const int code = run_execute(s->run, (Error *)error);
    s->ran = code == 0;
    return code;
}

Tensor *session_output(const lathe_session *s, int index, Error *e)
{
    if (!s) {
        error_set(e, ERR_INVALID, "no session was given");
        return NULL;
    }
    const int n = s->module->p->noutput;
    if (index < 0 || index >= n)
        error_set(e, ERR_INVALID, "there is no output %d: the model has %d", index, n);
    else if (!s->ran)
        error_set(e, ERR_INVALID, "there are no outputs: lathe_run has not succeeded");
    return index >= 0 && index < n && s->ran ? run_output(s->run, index) : NULL;
}

int lathe_get_output(const lathe_session *s, int index, lathe_tensor *out, lathe_error *error)
{
    Error *e = (Error *)error;
    if (s && !out)
        return not_given("tensor", error);
    const Tensor *t = session_output(s, index, e);
    if (!t)
        return ERR_INVALID;
    *out = (lathe_tensor){.dtype = (int)t->dtype, .rank = t->rank, .data = t->data};
    memcpy(out->dim, t->dim, sizeof *t->dim * (size_t)t->rank);
    out->bytes = (size_t)tensor_elements(t) * (size_t)dtype_size(t->dtype);
    return LATHE_OK;
}

int lathe_get_output_named(const lathe_session *s, const char *name, lathe_tensor *out,
                           lathe_error *error)
{
    if (!s || !name)
        return not_given(s ? "name" : "session", error);
    const Program *p = s->module->p;
    const int i = module_find_output(s->module, name);
    return i < 0 ? no_name("output", name, p->noutput, p->output, (Error *)error)
                 : lathe_get_output(s, i, out, error);
}
