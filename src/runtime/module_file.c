/* Module files: records without pointers, names as offsets into one section of text. Constants are
 * hashed one by one and written from where they lie: a file of gigabytes is made without a copy of
 * them. */
#include "runtime/module_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/map.h"
#include "base/vec.h"
#include "runtime/module_format.h"
#include "target/cpu.h"
#include "target/peak.h"
#include "target/target.h"

static const char magic[8] = {'L', 'A', 'T', 'H', 'E', 'M', 'O', 'D'};

uint64_t module_data_hash(const void *at, size_t size)
{
    Digest d = digest_new();
    digest_add(&d, at, size);
    return d.h[0];
}

static uint64_t align64(uint64_t n)
{
    return (n + 63) & ~(uint64_t)63;
}

/* ---- writing ---- */

typedef struct Writer {
    Arena *a;
    Str section[SECTION_COUNT]; /* but DATA, which is: */
    VEC(FilePart) data;
    uint64_t data_size;
} Writer;

static void put(Writer *w, Section s, const void *at, size_t size)
{
    if (size > 0)
        str_addn(&w->section[s], at, size);
}

static uint32_t put_name(Writer *w, const char *name)
{
    const uint32_t at = (uint32_t)w->section[SECTION_NAMES].len;
    put(w, SECTION_NAMES, name, strlen(name) + 1);
    return at;
}

static const char zeros[64];

static void put_data_part(Writer *w, const void *at, size_t size)
{
    const FilePart part = {at, size};
    vec_push(w->a, &w->data, part);
    w->data_size += size;
}

static FileSpan put_data(Writer *w, const void *data, size_t size)
{
    put_data_part(w, zeros, (size_t)(align64(w->data_size) - w->data_size));
    const FileSpan span = {w->data_size, size, module_data_hash(data, size)};
    put_data_part(w, data, size);
    return span;
}

static void write_sections(Writer *w, const Program *p, const Image *image)
{
    put(w, SECTION_VALUES, p->value, sizeof *p->value * (size_t)p->nvalue);
    put(w, SECTION_BUFFERS, p->buffer, sizeof *p->buffer * (size_t)p->nbuffer);
    put(w, SECTION_STEPS, p->step, sizeof *p->step * (size_t)p->nstep);
    put(w, SECTION_ARGS, p->arg, sizeof *p->arg * (size_t)p->narg);
    for (int i = 0; i < p->nvar; i++) {
        const ProgramVar *v = &p->var[i];
        const FileVar f = {put_name(w, v->name), v->value, v->input, v->axis};
        put(w, SECTION_VARS, &f, sizeof f);
    }
    for (int i = 0; i < p->nconst; i++) {
        const FileSpan f = put_data(w, p->constant[i].data, p->constant[i].bytes);
        put(w, SECTION_CONSTS, &f, sizeof f);
    }
    for (int i = 0; i < p->nblob; i++) {
        const FileSpan f = put_data(w, p->blob[i].data, p->blob[i].bytes);
        put(w, SECTION_BLOBS, &f, sizeof f);
    }
    for (int i = 0; i < p->ninput + p->noutput; i++) {
        const bool in = i < p->ninput;
        const ProgramPort *port = in ? &p->input[i] : &p->output[i - p->ninput];
        const FilePort f = {put_name(w, port->name), port->buffer};
        put(w, in ? SECTION_INPUTS : SECTION_OUTPUTS, &f, sizeof f);
    }
    for (int i = 0; i < p->nkernel; i++) {
        const ProgramKernel *k = &p->kernel[i];
        const FileKernel f = {put_name(w, k->name),
                              k->entry,
                              k->nphase,
                              k->unit_ns,
                              k->scratch_bytes,
                              k->flops,
                              put_name(w, k->source ? k->source : ""),
                              k->product};
        put(w, SECTION_KERNELS, &f, sizeof f);
    }
    for (int i = 0; i < p->ntext; i++) {
        const uint32_t at = put_name(w, p->text[i]);
        put(w, SECTION_TEXTS, &at, sizeof at);
    }
    for (int i = 0; i < image->nentries; i++) {
        const FileEntry f = {put_name(w, image->entry[i].name), image->entry[i].offset,
                             image->entry[i].size};
        put(w, SECTION_ENTRIES, &f, sizeof f);
    }
    put(w, SECTION_CODE, image->code, image->size);
}

typedef struct SaveJob {
    const char *path, *target;
    const Program *p;
    const Image *image;
    bool sync, spend;
} SaveJob;

static int by_place(const void *a, const void *b)
{
    const uintptr_t x = (uintptr_t)((const FilePart *)a)->at,
                    y = (uintptr_t)((const FilePart *)b)->at;
    return (x > y) - (x < y);
}

/* Is each byte in one part only? */
static bool lie_apart(Arena *a, const FilePart *part, int n)
{
    FilePart *sorted = arena_array_of(a, n + 1, FilePart);
    int m = 0;
    for (int i = 0; i < n; i++)
        if (part[i].at != zeros && part[i].size > 0)
            sorted[m++] = part[i];
    qsort(sorted, (size_t)m, sizeof *sorted, by_place);
    for (int i = 1; i < m; i++)
        if ((const char *)sorted[i - 1].at + sorted[i - 1].size > (const char *)sorted[i].at)
            return false;
    return true;
}

static void save_job(Context *ctx, void *arg)
{
    const SaveJob *j = arg;
    Writer w = {.a = ctx->arena};
    for (int s = 0; s < SECTION_COUNT; s++)
        w.section[s] = str_new(w.a);
    write_sections(&w, j->p, j->image);
    FileHeader h = {.format = PROGRAM_FORMAT, .abi = KERNEL_ABI_VERSION};
    memcpy(h.magic, magic, sizeof magic);
    strncpy(h.target, j->target, sizeof h.target - 1);
    strncpy(h.precision, j->p->precision, sizeof h.precision - 1);
    FilePart *part = arena_array_of(w.a, 2 * SECTION_COUNT + 2 + w.data.len, FilePart);
    int n = 0;
    part[n++] = (FilePart){&h, sizeof h};
    uint64_t at = sizeof h;
    for (int s = 0; s < SECTION_COUNT; s++) {
        const size_t size = s == SECTION_DATA ? (size_t)w.data_size : w.section[s].len;
        part[n++] = (FilePart){zeros, (size_t)(align64(at) - at)};
        h.section[s] = (FileSection){align64(at), size,
                                     hash_bytes(str_text(&w.section[s]), w.section[s].len, 0)};
        if (s != SECTION_DATA)
            part[n++] = (FilePart){str_text(&w.section[s]), size};
        at = align64(at) + size;
    }
    for (int i = 0; i < w.data.len; i++)
        part[n++] = w.data.at[i];
    h.file_size = at;
    h.hash = hash_bytes(&h, offsetof(FileHeader, hash), 0);
    Error e;
    const int code = j->spend && lie_apart(w.a, part, n)
                         ? file_write_spent(j->path, n, part, &e)
                         : file_write_parts(j->path, n, part, j->sync, &e);
    if (code != 0)
        fail(ctx, code, "%s", e.message);
}

static int save(SaveJob *j, Error *e)
{
    Arena *a = arena_try_new();
    if (!a)
        return error_set(e, ERR_MEMORY, "out of memory");
    const int code = job_run(a, save_job, j, e, NULL);
    arena_free(a);
    return code;
}

int module_save(const char *path, const Program *p, const Image *image, const char *target,
                bool sync, Error *e)
{
    return save(&(SaveJob){path, target, p, image, sync, false}, e);
}

int module_save_spent(const char *path, const Program *p, const Image *image, const char *target,
                      Error *e)
{
    return save(&(SaveJob){path, target, p, image, true, true}, e);
}

/* ---- reading ---- */

typedef struct Reader {
    Arena *a;
    const char *path, *name; /* NULL: the bytes are in memory; for messages */
    File file;
    const FileHeader *h;
    bool bad; /* an offset, a size or a hash that is not right */
    const Program *program;
    Image image;
} Reader;

static const void *section(const Reader *r, Section s)
{
    return r->file.at + r->h->section[s].offset;
}

/* Number of records; a size that is no multiple is damage. */
static int records(Reader *r, Section s, size_t size)
{
    const uint64_t n = r->h->section[s].size / size;
    r->bad |= n * size != r->h->section[s].size || n > INT32_MAX;
    return r->bad ? 0 : (int)n;
}

static const char *name_at(Reader *r, uint32_t at)
{
    if (at < r->h->section[SECTION_NAMES].size)
        return (const char *)section(r, SECTION_NAMES) + at;
    r->bad = true;
    return "";
}

static const void *span_at(Reader *r, FileSpan s)
{
    const uint64_t size = r->h->section[SECTION_DATA].size;
    const char *data = section(r, SECTION_DATA);
    if (s.offset <= size && s.size <= size - s.offset && s.offset % 64 == 0 &&
        module_data_hash(data + s.offset, s.size) == s.hash)
        return data + s.offset;
    r->bad = true;
    return "";
}

static ProgramPort *read_ports(Reader *r, Section s, int *n)
{
    *n = records(r, s, sizeof(FilePort));
    ProgramPort *port = arena_array_of(r->a, *n + 1, ProgramPort);
    for (int i = 0; i < *n; i++) {
        const FilePort *f = (const FilePort *)section(r, s) + i;
        port[i] = (ProgramPort){name_at(r, f->name), f->buffer};
    }
    return port;
}

static void read_data(Reader *r, Program *p)
{
    p->nconst = records(r, SECTION_CONSTS, sizeof(FileSpan));
    p->nblob = records(r, SECTION_BLOBS, sizeof(FileSpan));
    ProgramConst *constant = arena_array_of(r->a, p->nconst + 1, ProgramConst);
    ProgramBlob *blob = arena_array_of(r->a, p->nblob + 1, ProgramBlob);
    for (int i = 0; i < p->nconst; i++) {
        const FileSpan s = ((const FileSpan *)section(r, SECTION_CONSTS))[i];
        constant[i] = (ProgramConst){span_at(r, s), s.size};
    }
    for (int i = 0; i < p->nblob; i++) {
        const FileSpan s = ((const FileSpan *)section(r, SECTION_BLOBS))[i];
        blob[i] = (ProgramBlob){span_at(r, s), s.size};
    }
    p->constant = constant;
    p->blob = blob;
}

static void read_named(Reader *r, Program *p)
{
    p->nvar = records(r, SECTION_VARS, sizeof(FileVar));
    p->nkernel = records(r, SECTION_KERNELS, sizeof(FileKernel));
    p->ntext = records(r, SECTION_TEXTS, sizeof(uint32_t));
    ProgramVar *var = arena_array_of(r->a, p->nvar + 1, ProgramVar);
    ProgramKernel *kernel = arena_array_of(r->a, p->nkernel + 1, ProgramKernel);
    const char **text = arena_array_of(r->a, p->ntext + 1, const char *);
    for (int i = 0; i < p->nvar; i++) {
        const FileVar *f = (const FileVar *)section(r, SECTION_VARS) + i;
        var[i] = (ProgramVar){name_at(r, f->name), f->value, f->input, f->axis};
    }
    for (int i = 0; i < p->nkernel; i++) {
        const FileKernel *f = (const FileKernel *)section(r, SECTION_KERNELS) + i;
        kernel[i] = (ProgramKernel){name_at(r, f->name),
                                    f->entry,
                                    f->nphase,
                                    f->scratch_bytes,
                                    f->unit_ns,
                                    f->flops,
                                    name_at(r, f->source),
                                    f->product < PEAK_PRODUCTS ? f->product : PEAK_F32};
    }
    for (int i = 0; i < p->ntext; i++)
        text[i] = name_at(r, ((const uint32_t *)section(r, SECTION_TEXTS))[i]);
    p->var = var;
    p->kernel = kernel;
    p->text = text;
}

static Program *read_program(Reader *r)
{
    Program *p = arena_new_of(r->a, Program);
    const uint64_t names = r->h->section[SECTION_NAMES].size;
    r->bad |= names > 0 && ((const char *)section(r, SECTION_NAMES))[names - 1] != 0;
    p->nvalue = records(r, SECTION_VALUES, sizeof *p->value);
    p->value = section(r, SECTION_VALUES);
    p->nbuffer = records(r, SECTION_BUFFERS, sizeof *p->buffer);
    p->buffer = section(r, SECTION_BUFFERS);
    p->nstep = records(r, SECTION_STEPS, sizeof *p->step);
    p->step = section(r, SECTION_STEPS);
    p->narg = records(r, SECTION_ARGS, sizeof *p->arg);
    p->arg = section(r, SECTION_ARGS);
    p->input = read_ports(r, SECTION_INPUTS, &p->ninput);
    p->output = read_ports(r, SECTION_OUTPUTS, &p->noutput);
    read_named(r, p);
    read_data(r, p);
    p->precision = r->h->precision;
    return p;
}

static Image read_image(Reader *r)
{
    const uint64_t size = r->h->section[SECTION_CODE].size;
    const int n = records(r, SECTION_ENTRIES, sizeof(FileEntry));
    ImageEntry *entry = arena_array_of(r->a, n + 1, ImageEntry);
    for (int i = 0; i < n; i++) {
        const FileEntry *f = (const FileEntry *)section(r, SECTION_ENTRIES) + i;
        entry[i] = (ImageEntry){name_at(r, f->name), f->offset, f->size};
        r->bad |= f->offset >= size || f->size > size - f->offset;
    }
    return (Image){.code = section(r, SECTION_CODE), .size = size, .nentries = n, .entry = entry};
}

static void check_sections(Context *ctx, const Reader *r)
{
    for (int s = 0; s < SECTION_COUNT; s++) {
        const FileSection *f = &r->h->section[s];
        if (f->offset % 64 != 0 || f->offset > r->file.size || f->size > r->file.size - f->offset ||
            (s != SECTION_DATA && hash_bytes(r->file.at + f->offset, f->size, 0) != f->hash))
            fail(ctx, ERR_INVALID, "'%s' is damaged (section %d)", r->name, s);
    }
}

static void check_target(Context *ctx, const Reader *r)
{
    Target t;
    Error e;
    const char *missing = NULL, *target = r->h->target;
    if (memchr(target, 0, sizeof r->h->target) == NULL ||
        memchr(r->h->precision, 0, sizeof r->h->precision) == NULL)
        fail(ctx, ERR_INVALID, "'%s' is damaged", r->name);
    int code = cpu_check_limit(&e);
    code = code ? code : target_find(target, &t, &e);
    if (code != 0)
        fail(ctx, code, "'%s': %s", r->name, e.message);
    if (!target_runs(&t, &missing))
        fail(ctx, ERR_UNSUPPORTED, "'%s' was compiled for '%s': this CPU lacks %s", r->name, target,
             missing);
}

static void check_header(Context *ctx, Reader *r)
{
    const FileHeader *h = r->h = (const FileHeader *)r->file.at;
    if (r->file.size < sizeof *h || memcmp(h->magic, magic, sizeof magic) != 0)
        fail(ctx, ERR_INVALID, "'%s' is no module file", r->name);
    if (h->format != PROGRAM_FORMAT || h->abi != KERNEL_ABI_VERSION)
        fail(ctx, ERR_UNSUPPORTED,
             "'%s' has format %u.%u, this version reads %u.%u: compile the model again", r->name,
             h->format, h->abi, (unsigned)PROGRAM_FORMAT, (unsigned)KERNEL_ABI_VERSION);
    if (hash_bytes(h, offsetof(FileHeader, hash), 0) != h->hash || h->file_size != r->file.size)
        fail(ctx, ERR_INVALID, "'%s' is damaged or cut short", r->name);
}

/* r->file is mapped already, or will be: r->path. */
static void load_job(Context *ctx, void *arg)
{
    Reader *r = arg;
    Error e;
    const int code = r->path ? file_map(ctx->arena, r->path, &r->file, &e) : 0;
    if (code != 0)
        fail(ctx, code, "%s", e.message);
    check_header(ctx, r);
    check_sections(ctx, r);
    check_target(ctx, r);
    r->program = read_program(r);
    r->image = read_image(r);
    if (r->bad)
        fail(ctx, ERR_INVALID, "'%s' is damaged", r->name);
}

static int load(Reader *r, Module **out, Error *e)
{
    *out = NULL;
    int code = job_run(r->a, load_job, r, e, NULL);
    if (code != 0) {
        arena_free(r->a);
        return code;
    }
    code = module_new(r->a, r->program, &r->image, out, e);
    if (code == 0)
        module_set_target(*out, r->h->target);
    return code;
}

int module_load(const char *path, Module **out, Error *e)
{
    Reader r = {.a = arena_try_new(), .path = path, .name = path};
    return r.a ? load(&r, out, e) : error_set(e, ERR_MEMORY, "out of memory");
}

typedef struct Given { /* memory that goes back to whoever gave it, once it is ours */
    void (*done)(void *arg);
    void *arg;
    bool ours;
} Given;

static void give_back(void *arg)
{
    const Given *g = arg;
    if (g->ours)
        g->done(g->arg);
}

int module_load_bytes(const char *name, const void *at, size_t size, void (*done)(void *arg),
                      void *arg, Module **out, Error *e)
{
    Reader r = {.a = arena_try_new(), .name = name, .file = {at, size}};
    if (!r.a)
        return error_set(e, ERR_MEMORY, "out of memory");
    Given *g = arena_new_of(r.a, Given); /* with its deferral, fits a fresh arena */
    arena_defer(r.a, give_back, g);
    const int code = load(&r, out, e);
    if (code == 0 && done)
        *g = (Given){done, arg, true};
    return code;
}
