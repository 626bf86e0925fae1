/* Constants in the layout that a schedule asks for: packed once, here, by a compiled copy. */
#include <stdatomic.h>
#include <string.h>

#include "base/heap.h"
#include "base/parallel.h"
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

/* ---- running ---- */

#define PART_BYTES ((size_t)1 << 20) /* of a constant, for one thread at a time */

typedef struct Copy {
    const Relayout *what;
    LoadedImage *image, *owned; /* the latter: by the first copy that needs it */
    void **buf;
    int first, nparts; /* parts of the whole work */
    int64_t extent;    /* of the only phase, which parts divide */
    atomic_int left;   /* parts to be done */
} Copy;

typedef struct Copies {
    int n;
    Copy *at;
    atomic_int code;
} Copies;

static void *temporary(Arena *a, const Loops *l, const LoopBuffer *b)
{
    int64_t dim[MAX_RANK];
    for (int k = 0; k < b->rank; k++)
        dim[k] = expr_eval_int(l->x, b->dim[k], NULL);
    return arena_alloc_aligned(a,
                               (size_t)(layout_elements(&b->layout, b->rank, dim) *
                                        dtype_size(b->dtype)),
                               64);
}

static void prepare(Context *ctx, const Relayout *r, int first, Copy *c)
{
    const Loops *l = r->job->loops;
    *c = (Copy){.what = r,
                .buf = arena_array_of(ctx->arena, l->nargs + 1, void *),
                .first = first,
                .nparts = 1};
    for (int a = 0; a < l->nargs; a++) {
        const JobArg *arg = &r->job->arg[a];
        c->buf[a] = arg->kind == ARG_IN    ? r->from->data
                    : arg->kind == ARG_OUT ? r->to
                                           : temporary(ctx->arena, l, &l->buffer.at[arg->buffer]);
    }
    if (l->phase.len == 1) {
        const int64_t parts = (int64_t)(r->from->bytes / PART_BYTES) + 1;
        c->extent = expr_eval_int(l->x, l->phase.at[0].extent, NULL);
        c->nparts = (int)(parts < c->extent ? parts : c->extent > 0 ? c->extent : 1);
    }
    atomic_init(&c->left, c->nparts);
}

/* Phases of a copy: one, but for what a schedule may do some day. Only the extent of one is
 * divided. */
static int run_part(const Copy *c, int part, void *scratch)
{
    const Job *j = c->what->job;
    const Loops *l = j->loops;
    const KernelEnv env = {.abi_version = KERNEL_ABI_VERSION};
    int code = 0;
    for (int p = 0; p < l->phase.len && code == 0; p++) {
        const int64_t extent =
            l->phase.len == 1 ? c->extent : expr_eval_int(l->x, l->phase.at[p].extent, NULL);
        code = image_entry(c->image,
                           j->image->entry[j->entry + p].offset)(&env, c->buf, NULL, scratch,
                                                                 extent * part / c->nparts,
                                                                 extent * (part + 1) / c->nparts);
    }
    return code;
}

static void part_job(int i, void *arg)
{
    Copies *all = arg;
    Copy *c = all->at; /* the last that begins at or before i */
    for (int n = all->n; n > 1;) {
        const int half = n / 2;
        const bool after = c[half].first <= i;
        c += after ? half : 0;
        n = after ? n - half : half;
    }
    void *scratch = heap_alloc((size_t)c->what->job->loops->scratch_bytes + 64, 64);
    const int code = scratch ? run_part(c, i - c->first, scratch) : ERR_MEMORY;
    heap_free(scratch);
    if (code != 0)
        atomic_store(&all->code, code);
    if (atomic_fetch_sub(&c->left, 1) == 1 && c->what->spend)
        tensor_spend(c->what->spend);
}

/* For copy[n]: its batch's image, perhaps loaded for one before. */
static int load_code(Copy *copy, int n, Error *e)
{
    for (int i = 0; i < n && !copy[n].image; i++)
        if (copy[i].what->job->image == copy[n].what->job->image)
            copy[n].image = copy[i].image;
    const int code = copy[n].image ? 0 : image_load(copy[n].what->job->image, &copy[n].owned, e);
    if (copy[n].owned)
        copy[n].image = copy[n].owned;
    return code;
}

void relayouts_run(Context *ctx, int n, const Relayout *r, int threads)
{
    Error e = {0};
    Context child = *ctx;
    child.arena = arena_child(ctx->arena);
    Copies all = {.at = arena_array_of(child.arena, n + 1, Copy)};
    int parts = 0, code = 0;
    for (; all.n < n && code == 0; all.n += code == 0) {
        prepare(&child, &r[all.n], parts, &all.at[all.n]);
        parts += all.at[all.n].nparts;
        code = load_code(all.at, all.n, &e);
    }
    atomic_init(&all.code, code);
    if (code == 0)
        parallel_for(parts, threads, part_job, &all);
    for (int i = 0; i < all.n; i++)
        image_unload(all.at[i].owned);
    arena_free(child.arena);
    code = atomic_load(&all.code);
    if (code != 0)
        fail(ctx, code == ERR_MEMORY ? code : ERR_INTERNAL, "laying out a constant failed: %s",
             e.message);
}
