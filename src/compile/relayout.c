/* Constants in the layout that a schedule asks for: packed once, here, by a compiled copy. */
#include <string.h>

#include "compile/work.h"

Unit *relayout_unit(Work *w, const Value *v, const Layout *layout)
{
    Unit *u = arena_new_of(w->ctx->arena, Unit);
    *u = (Unit){.class = 'S', .nin = 1, .nout = 1, .live = true, .is_run_here = true, .job = -1};
    u->arena = arena_child(w->ctx->arena);
    /* The stages belong to this job's context until the job takes them over. */
    Context *ctx = arena_new_of(u->arena, Context);
    *ctx = *w->ctx;
    ctx->arena = u->arena;
    Exprs *x = exprs_new(ctx);
    Stages *s = stages_new(ctx, x);
    Expr dim[MAX_RANK];
    for (int k = 0; k < v->constant->rank; k++)
        dim[k] = expr_int(x, v->constant->dim[k]);
    u->in_tensor = arena_array_of(u->arena, 1, int);
    u->out_tensor = arena_array_of(u->arena, 1, int);
    u->in_tensor[0] = stages_tensor(s, "x0", TENSOR_INPUT, v->dtype, v->constant->rank, dim);
    const StageBuild b = stage_begin(s, v->constant->rank, dim);
    u->out_tensor[0] = stage_map(s, &b, "y0", v->dtype, stages_load(s, u->in_tensor[0], b.i));
    StageTensor *out = &s->tensor.at[u->out_tensor[0]];
    out->layout = *layout;
    out->role = TENSOR_OUTPUT;
    Str text = str_new(u->arena);
    str_addf(&text, "run here\n"); /* no kernel of the model has this key */
    stages_print(s, &text);
    u->s = s;
    u->key = str_text(&text);
    return u;
}

/* `to` is zeroed: a copy writes the logical elements, so the pad stays zero. */
void relayout_run(Context *ctx, const Job *job, const Tensor *t, void *to)
{
    Error e = {0};
    LoadedImage *image;
    int code = image_load(&job->image, &image, &e);
    if (code != 0)
        fail(ctx, code, "%s", e.message);
    const Loops *l = job->loops;
    void **buf = arena_array_of(ctx->arena, l->nargs + 1, void *);
    for (int a = 0; a < l->nargs; a++) {
        const LoopBuffer *b = &l->buffer.at[job->arg[a].buffer];
        int64_t dim[MAX_RANK];
        for (int k = 0; k < b->rank; k++)
            dim[k] = expr_eval_int(l->x, b->dim[k], NULL);
        buf[a] = job->arg[a].kind == ARG_IN    ? t->data
                 : job->arg[a].kind == ARG_OUT ? to
                                               : arena_alloc_aligned(ctx->arena, (size_t)(layout_elements(&b->layout, b->rank, dim) * dtype_size(b->dtype)), 64);
    }
    if (((uintptr_t)t->data & 63) != 0) {
        buf[0] = arena_alloc_aligned(ctx->arena, t->bytes, 64);
        memcpy(buf[0], t->data, t->bytes);
    }
    void *scratch = arena_alloc_aligned(ctx->arena, (size_t)l->scratch_bytes + 64, 64);
    const KernelEnv env = {.abi_version = KERNEL_ABI_VERSION};
    for (int p = 0; p < l->phase.len && code == 0; p++) {
        const int64_t extent = expr_eval_int(l->x, l->phase.at[p].extent, NULL);
        code = image_entry(image, job->image.entry[p].offset)(&env, buf, NULL, scratch, 0, extent);
    }
    image_unload(image);
    if (code != 0)
        fail(ctx, ERR_INTERNAL, "laying out a constant failed");
}
