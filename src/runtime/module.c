/* Modules: a verified program with its code made executable. */
#include "runtime/module.h"

#include <string.h>

#include "base/heap.h"

static int finish(Module *m, int nphases, Error *e)
{
    Str why = str_new(m->arena);
    if (!program_verify(m->p, nphases, &why))
        return error_set(e, ERR_INVALID, "the module is damaged: %s", str_text(&why));
    const Program *p = m->p;
    m->life = plan_lifetimes(m->arena, p);
    for (int i = 0; i < p->nkernel; i++)
        if (p->kernel[i].scratch_bytes > m->scratch)
            m->scratch = (p->kernel[i].scratch_bytes + 63) & ~(int64_t)63;
    m->host = arena_array_of(m->arena, p->ntext + 1, const HostRow *);
    for (int i = 0; i < p->ntext; i++)
        m->host[i] = host_find(p->text[i]);
    for (int i = 0; i < p->nstep; i++)
        if (p->step[i].narg > m->max_operands)
            m->max_operands = p->step[i].narg;
    for (int i = 0; i < p->ninput; i++)
        m->ndims += p->buffer[p->input[i].buffer].rank;
    return 0;
}

static Module *module_start(Arena *arena, const Program *p)
{
    Module *m = arena_new_of(arena, Module);
    m->arena = arena;
    m->p = p;
    atomic_init(&m->refs, 1);
    return m;
}

int module_new_native(Arena *arena, const Program *p, const KernelPhase *phase, int nphases,
                      Module **out, Error *e)
{
    Module *m = module_start(arena, p);
    *out = NULL;
    m->phase = arena_dup(arena, phase, sizeof *phase * (size_t)nphases);
    const int code = finish(m, nphases, e);
    if (code != 0)
        module_unref(m);
    else
        *out = m;
    return code;
}

int module_new(Arena *arena, const Program *p, const Image *image, Module **out, Error *e)
{
    Module *m = module_start(arena, p);
    *out = NULL;
    int code = 0;
    if (image->nentries > 0) {
        code = image_load(image, &m->image, e);
        if (code != 0)
            goto out;
    }
    m->phase = arena_array_of(arena, image->nentries + 1, KernelPhase);
    for (int i = 0; i < image->nentries; i++)
        m->phase[i] = image_entry(m->image, image->entry[i].offset);
    code = finish(m, image->nentries, e);
out:
    if (code != 0)
        module_unref(m);
    else
        *out = m;
    return code;
}

Module *module_ref(Module *m)
{
    atomic_fetch_add(&m->refs, 1);
    return m;
}

void module_unref(Module *m)
{
    if (!m || atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    if (m->image)
        image_unload(m->image);
    arena_free(m->arena);
}

const Program *module_program(const Module *m)
{
    return m->p;
}

static int find_port(const ProgramPort *port, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(port[i].name, name) == 0)
            return i;
    return -1;
}

int module_find_input(const Module *m, const char *name)
{
    return find_port(m->p->input, m->p->ninput, name);
}

int module_find_output(const Module *m, const char *name)
{
    return find_port(m->p->output, m->p->noutput, name);
}

const char *module_describe_buffer(Arena *a, const Module *m, int buffer)
{
    const Program *p = m->p;
    const ProgramBuffer *b = &p->buffer[buffer];
    Str s = str_new(a);
    str_addf(&s, "%s[", dtype_name((DType)b->dtype));
    for (int i = 0; i < b->rank; i++) {
        const ProgramValue *v = &p->value[b->dim[i]];
        str_add(&s, i ? "," : "");
        if (v->op == EX_INT)
            str_addf(&s, "%lld", (long long)v->imm.i);
        else if (v->op == EX_VAR)
            str_add(&s, p->var[v->imm.i].name);
        else
            str_add(&s, "?");
    }
    str_add(&s, "]");
    return str_text(&s);
}
