/* Modules: a verified program with its code made executable. */
#include "runtime/module.h"

#include <stdio.h>
#include <string.h>

#include "target/target.h"

static void finish(Context *ctx, Module *m, int nphases)
{
    Str why = str_new(m->arena);
    if (!program_verify(m->p, nphases, &why))
        fail(ctx, ERR_INVALID, "the module is damaged: %s", str_text(&why));
    const Program *p = m->p;
    m->life = plan_lifetimes(m->arena, p);
    for (int i = 0; i < p->nkernel; i++) {
        const int64_t scratch = (p->kernel[i].scratch_bytes + 63) & ~(int64_t)63;
        m->scratch = scratch > m->scratch ? scratch : m->scratch;
    }
    m->host = arena_array_of(m->arena, p->ntext + 1, const HostRow *);
    for (int i = 0; i < p->ntext; i++)
        m->host[i] = host_find(p->text[i]);
    for (int i = 0; i < p->nstep; i++)
        if (p->step[i].narg > m->max_operands)
            m->max_operands = p->step[i].narg;
    for (int i = 0; i < p->ninput; i++)
        m->ndims += p->buffer[p->input[i].buffer].rank;
}

typedef struct NewModule {
    const Program *p;
    const Image *image; /* or.. */
    const KernelPhase *phase;
    int nphases;
    Module *m;
} NewModule;

static void unload(void *image)
{
    image_unload(image);
}

static void make_module(Context *ctx, void *arg)
{
    NewModule *n = arg;
    Arena *a = ctx->arena;
    Module *m = n->m = arena_new_of(a, Module);
    m->arena = a;
    m->p = n->p;
    atomic_init(&m->refs, 1);
    if (n->image && n->image->nentries > 0) {
        Error e;
        const int code = image_load(n->image, &m->image, &e);
        if (code != 0)
            fail(ctx, code, "%s", e.message);
        arena_defer(a, unload, m->image);
        m->code = *n->image;
    }
    m->phase = arena_array_of(a, n->nphases + 1, KernelPhase);
    for (int i = 0; i < n->nphases; i++)
        m->phase[i] = n->image ? image_entry(m->image, n->image->entry[i].offset) : n->phase[i];
    finish(ctx, m, n->nphases);
}

static int module_make(Arena *arena, NewModule *n, Module **out, Error *e)
{
    const int code = job_run(arena, make_module, n, e, NULL);
    if (code != 0)
        arena_free(arena);
    *out = code == 0 ? n->m : NULL;
    return code;
}

int module_new_native(Arena *arena, const Program *p, const KernelPhase *phase, int nphases,
                      Module **out, Error *e)
{
    return module_make(arena, &(NewModule){.p = p, .phase = phase, .nphases = nphases}, out, e);
}

int module_new(Arena *arena, const Program *p, const Image *image, Module **out, Error *e)
{
    return module_make(arena, &(NewModule){.p = p, .image = image, .nphases = image->nentries}, out,
                       e);
}

void module_set_target(Module *m, const char *target)
{
    snprintf(m->target, sizeof m->target, "%s", target);
}

int module_runs_here(const Module *m, Error *e)
{
    Target t;
    const char *missing = NULL;
    const int code = m->target[0] ? target_find(m->target, &t, e) : 0;
    if (code != 0 || !m->target[0] || target_runs(&t, &missing))
        return code;
    return error_set(e, ERR_UNSUPPORTED,
                     "the code is for '%s': this CPU lacks %s; compile the model for this machine",
                     m->target, missing);
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
