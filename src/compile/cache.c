/* Keys of the disk cache, and compiling by way of it. */
#include "compile/cache.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/vec.h"
#include "codegen/codegen.h"
#include "runtime/module.h"

const char *cache_directory(Arena *a)
{
    const char *own = getenv("LATHE_CACHE"), *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    if (own)
        return own[0] ? arena_strdup(a, own) : NULL;
    if (xdg && xdg[0] == '/') /* the standard says to ignore others */
        return path_join(a, xdg, "lathe");
    return home && home[0] == '/' ? path_join(a, home, ".cache/lathe") : NULL;
}

typedef struct CacheJob {
    const char *path, *directory;
    int64_t limit;
    const ModelOptions *opt;
    Digest base, key;
    VEC(const char *) file; /* of external data */
    bool unsure;            /* the key cannot be had */
    bool stored;
    Arena *arena;
    Module *found;
    int nbound;
    int *bound_input;
    Model *made; /* to be stored */
} CacheJob;

/* ---- the key ---- */

/* Which compiler this is: another build of it may make other code of the same version. */
static bool add_compiler(Digest *d)
{
    Dl_info info;
    struct link_map *in = NULL;
    struct stat st;
    digest_add_text(d, LATHE_VERSION);
    digest_add_int(d, codegen_version());
    if (dladdr1((const void *)(uintptr_t)cache_compile, &info, (void **)&in, RTLD_DL_LINKMAP) == 0)
        return false;
    /* A program's own name is as it was called, which may say nothing of where it lies. */
    if (stat(in->l_name[0] ? in->l_name : "/proc/self/exe", &st) != 0)
        return false;
    digest_add_int(d, st.st_size);
    digest_add_int(d, st.st_mtim.tv_sec);
    digest_add_int(d, st.st_mtim.tv_nsec);
    return true;
}

static void add_target(Digest *d, const Target *t)
{
    digest_add_text(d, t->name);
    digest_add_text(d, t->cpu);
    digest_add_text(d, t->features);
    const int64_t number[] = {t->vector_bytes, t->vector_regs, t->masks,         t->vnni,
                              t->bf16,         t->amx,         t->fma_per_cycle, t->l1,
                              t->l2,           t->l3,          t->l1_ways,       t->l3_rate};
    digest_add(d, number, sizeof number);
}

static void add_shape(Digest *d, int dtype, int rank, const int64_t *dim)
{
    digest_add_int(d, dtype);
    digest_add(d, dim, sizeof *dim * (size_t)rank);
}

static void add_tensor(Digest *d, const Tensor *t)
{
    add_shape(d, (int)t->dtype, t->rank, t->dim);
    digest_add(d, t->data, (size_t)tensor_elements(t) * (size_t)dtype_size(t->dtype));
}

static void add_options(Digest *d, const ModelOptions *o)
{
    digest_add_int(d, compile_memory_limit(&o->compile)); /* a smaller one folds less */
    digest_add(d, &o->compile.work_limit, sizeof o->compile.work_limit);
    digest_add_int(d, o->compile.precision);
    cost_table_digest(o->compile.costs, d);
    digest_add_text(d, o->onnx.output ? o->onnx.output : "");
    digest_add_int(d, o->onnx.nbind);
    for (int i = 0; i < o->onnx.nbind; i++) {
        digest_add_text(d, o->onnx.bind[i].name);
        digest_add_int(d, o->onnx.bind[i].value);
    }
    digest_add_int(d, o->onnx.nshape);
    for (int i = 0; i < o->onnx.nshape; i++) {
        digest_add_text(d, o->onnx.shape[i].input);
        add_shape(d, 0, o->onnx.shape[i].rank, o->onnx.shape[i].dim);
    }
    digest_add_int(d, o->onnx.nvalue);
    for (int i = 0; i < o->onnx.nvalue; i++) {
        digest_add_text(d, o->onnx.value[i].input);
        add_tensor(d, o->onnx.value[i].tensor);
    }
    digest_add_int(d, o->static_shapes ? o->ninput : -1);
    for (int i = 0; o->static_shapes && i < o->ninput; i++) {
        digest_add_int(d, o->input[i] != NULL);
        if (o->input[i])
            add_shape(d, (int)o->input[i]->dtype, o->input[i]->rank, o->input[i]->dim);
    }
}

static bool add_file(Context *ctx, Digest *d, const char *path)
{
    File f;
    Arena *a = arena_child(ctx->arena);
    const bool ok = file_map(a, path, &f, NULL) == 0;
    if (ok)
        digest_add(d, f.at, f.size);
    arena_free(a);
    return ok;
}

static bool base_key(Context *ctx, CacheJob *j)
{
    Digest *d = &j->base;
    *d = digest_new();
    digest_add_text(d, "lathe cache 1");
    digest_add_int(d, PROGRAM_FORMAT);
    digest_add_int(d, KERNEL_ABI_VERSION);
    if (!add_compiler(d))
        return false;
    add_target(d, &j->opt->compile.target);
    add_options(d, j->opt);
    if (!j->opt->bytes)
        return add_file(ctx, d, j->path);
    digest_add(d, j->opt->bytes, j->opt->size);
    return true;
}

/* What the lines of `needs` say, added to the base. */
static bool full_key(Context *ctx, CacheJob *j, const char *needs)
{
    const char *folder =
        j->opt->onnx.directory ? j->opt->onnx.directory : path_dir(ctx->arena, j->path);
    j->key = j->base;
    digest_add_text(&j->key, needs);
    j->bound_input = arena_array_of(ctx->arena, j->opt->ninput + 1, int);
    j->nbound = 0;
    while (*needs) {
        const char *end = strchr(needs, '\n');
        if (!end)
            return false;
        const char *line = arena_strndup(ctx->arena, needs, (size_t)(end - needs));
        needs = end + 1;
        if (str_starts(line, "file ")) {
            if (!add_file(ctx, &j->key, path_join(ctx->arena, folder, line + 5)))
                return false;
            continue;
        }
        const long input = str_starts(line, "input ") ? strtol(line + 6, NULL, 10) : -1;
        if (input < 0 || input >= j->opt->ninput || !j->opt->input[input] ||
            j->nbound == j->opt->ninput)
            return false;
        add_tensor(&j->key, j->opt->input[input]);
        j->bound_input[j->nbound++] = (int)input;
    }
    return true;
}

static void on_file(void *arg, const char *location)
{
    CacheJob *j = arg;
    for (int i = 0; i < j->file.len; i++)
        if (strcmp(j->file.at[i], location) == 0)
            return; /* an import before, with fewer values bound */
    j->unsure |= strchr(location, '\n') != NULL;
    vec_push(j->arena, &j->file, arena_strdup(j->arena, location));
}

/* ---- looking up and storing ---- */

static void look_up(Context *ctx, void *arg)
{
    CacheJob *j = arg;
    j->unsure = !cache_open(j->directory) || !base_key(ctx, j);
    if (j->unsure)
        return;
    const char *needs = cache_needs(ctx->arena, j->directory, &j->base);
    if (full_key(ctx, j, needs ? needs : ""))
        j->found = cache_load(ctx->arena, j->directory, &j->key);
}

static void store(Context *ctx, void *arg)
{
    CacheJob *j = arg;
    Str needs = str_new(ctx->arena);
    for (int i = 0; i < j->file.len; i++)
        str_addf(&needs, "file %s\n", j->file.at[i]);
    for (int i = 0; i < j->made->nbound; i++)
        str_addf(&needs, "input %d\n", j->made->bound_input[i]);
    if (j->unsure || !full_key(ctx, j, str_text(&needs)))
        return;
    if (needs.len > 0)
        cache_store_needs(ctx->arena, j->directory, &j->base, str_text(&needs));
    cache_store(ctx->arena, j->directory, &j->key, j->made, j->opt->compile.target.name);
    j->stored = true;
    cache_trim(ctx->arena, j->directory, j->limit);
}

static void found(Context *ctx, void *arg)
{
    CacheJob *j = arg;
    Module *m = j->found;
    Model *out = j->made;
    *out = (Model){.module = m, .image = m->code, .cached = true, .nbound = j->nbound};
    out->report = model_loaded_report(m);
    out->bound = arena_array_of(m->arena, j->nbound + 1, const char *);
    out->bound_input = arena_array_of(m->arena, j->nbound + 1, int);
    for (int i = 0; i < j->nbound; i++) {
        if (j->bound_input[i] >= m->p->ninput)
            fail(ctx, ERR_INTERNAL, "cache: input %d", j->bound_input[i]);
        out->bound_input[i] = j->bound_input[i];
        out->bound[i] = m->p->input[j->bound_input[i]].name;
    }
}

static int compile_and_store(CacheJob *j, Model *out, Error *e)
{
    ModelOptions opt = *j->opt;
    opt.onnx.on_file = on_file;
    opt.onnx.on_file_arg = j;
    const int code = model_compile(j->path, &opt, out, e);
    j->made = out;
    if (code == 0 && !j->unsure)
        job_run(j->arena, store, j, NULL, NULL);
    return code;
}

static void fetch(Context *ctx, void *arg)
{
    CacheJob *j = arg;
    j->found = cache_load(ctx->arena, j->directory, &j->key);
}

/* What was just stored takes the place of what was compiled. Where it cannot be had that stays. */
static void swap(CacheJob *j, Model *compiled)
{
    Model stored = {0};
    j->made = &stored;
    if (!j->stored || job_run(j->arena, fetch, j, NULL, NULL) != 0 || !j->found)
        return;
    if (job_run(j->found->arena, found, j, NULL, NULL) != 0) {
        module_unref(j->found);
        return;
    }
    module_unref(compiled->module);
    stored.compiled = true;
    *compiled = stored;
}

int cache_compile(const char *path, const ModelOptions *opt, const char *directory, int64_t limit,
                  Model *out, Error *e)
{
    const double start = time_now();
    const CompileOptions *c = &opt->compile;
    CacheJob j = {.path = path, .directory = directory, .limit = limit, .opt = opt, .made = out};
    *out = (Model){0};
    j.arena = directory && !c->want_text && !c->want_code && !c->keep_values && !c->unfused
                  ? arena_try_new()
                  : NULL;
    if (!j.arena)
        return model_compile(path, opt, out, e);
    int code = job_run(j.arena, look_up, &j, NULL, NULL);
    j.unsure |= code != 0;
    if (j.found)
        code = job_run(j.found->arena, found, &j, e, NULL);
    else
        code = compile_and_store(&j, out, e);
    if (code != 0 && j.found)
        module_unref(j.found);
    else if (code == 0 && !j.found && opt->module_only)
        swap(&j, out);
    if (code == 0 && out->cached)
        out->report->seconds = time_now() - start;
    arena_free(j.arena);
    return code;
}
