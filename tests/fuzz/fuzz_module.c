/* Module files. Two kinds of input, by the first byte:
 *
 *     0      the rest is a module file as it is: damage
 *     other  the rest edits a good one (module 1, 2, ..: see `bases`), eight bytes an edit: section, how, offset (2), value
 *            (4). Then all checksums are made right again: malice
 *
 * What loads is verified; what was verified and holds no machine code is run, on small inputs:
 * every step must stay in its buffers. (Code itself is trusted: module_file.h.) */
#include "fuzz.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/map.h"
#include "compile/model.h"
#include "runtime/module.h"
#include "runtime/module_file.h"
#include "runtime/module_format.h"
#include "runtime/program_build.h"

enum { MAX_EDITS = 64, RUN_BYTES = 4 << 20, DIM = 3 };

/* ---- the good ones ---- */

static ProgramBuffer vector(BufferKind kind, int dim)
{
    return (ProgramBuffer){.kind = (uint8_t)kind,
                           .dtype = DT_I64,
                           .rank = 1,
                           .dim = {dim},
                           .parent = -1,
                           .offset = -1};
}

/* Every small step: x [N] i64; its elements up to the first zero are added up and appended to a
 * slot. */
static const Program *steps_program(Arena *a)
{
    ProgramBuilder *b = build_new(a);
    const int n = build_var_value(b, build_var(b, "N", 0, 0));
    const int x = build_port(b, "x", vector(BUF_INPUT, n));
    const int len = build_var(b, "len", -1, 0), lv = build_var_value(b, len);
    const int at = build_var(b, "at", -1, 0), av = build_var_value(b, at);
    const int out = build_port(b, "y", vector(BUF_OUTPUT, lv));
    const int slot = build_buffer(b, vector(BUF_SLOT, lv)),
              temp = build_buffer(b, vector(BUF_TEMP, n));
    ProgramBuffer view = vector(BUF_VIEW, build_int(b, 1));
    view.parent = slot;
    view.offset = build_mul(b, build_add(b, lv, build_int(b, -1)), build_int(b, 8));
    const int last = build_buffer(b, view);
    static const _Alignas(64) int64_t data[] = {7, 8};
    const int64_t two = 2;
    const int constant = build_const(b, DT_I64, 1, &two, NULL, data, sizeof data);
    const int zero = build_int(b, 0), one = build_int(b, 1), eight = build_int(b, 8);
    b->origin = build_text(b, "node");
    build_step(b, PSTEP_COPY, 5, (const int32_t[]){temp, -1, x, -1, -1});
    build_step(b, PSTEP_SET, 2, (const int32_t[]){len, one});
    build_step(b, PSTEP_EVAL, 2, (const int32_t[]){lv, view.offset});
    build_step(b, PSTEP_ALLOC, 1, &slot);
    build_step(b, PSTEP_VIEW, 1, &last);
    build_step(b, PSTEP_READ, 3, (const int32_t[]){at, temp, zero});
    build_step(b, PSTEP_EVAL, 1, &av);
    build_step(b, PSTEP_WRITE, 3, (const int32_t[]){last, zero, av});
    const int skip = build_step(b, PSTEP_BRANCH, 2, (const int32_t[]){av, 0});
    build_step(b, PSTEP_SET, 2, (const int32_t[]){len, build_add(b, lv, one)});
    build_step(b, PSTEP_EVAL, 2, (const int32_t[]){lv, view.offset});
    build_step(b, PSTEP_GROW, 1, &slot);
    build_step(b, PSTEP_VIEW, 1, &last);
    build_step(b, PSTEP_COPY, 5, (const int32_t[]){slot, view.offset, constant, eight, eight});
    const int to = build_step(b, PSTEP_JUMP, 1, &zero);
    build_patch(b, skip, 1, b->step.len);
    build_patch(b, to, 0, b->step.len);
    build_step(b, PSTEP_CHECK, 3, (const int32_t[]){n, n, build_text(b, "sizes")});
    build_step(b, PSTEP_ALLOC, 1, &out);
    build_step(b, PSTEP_COPY, 5, (const int32_t[]){out, -1, slot, -1, -1});
    return build_finish(b);
}

/* Calls a host routine on the first inputs; its outputs go straight out. */
typedef struct HostCase {
    const char *name;
    int nin, nout, ndynamic;
    ProgramBuffer in[3], out[4]; /* dims: -1 open, -2 from data */
    HostArgs args;
} HostCase;

#define PORT(t, r, ...) {.dtype = t, .rank = r, .dim = {__VA_ARGS__}}
static const HostCase host_cases[] = {
    {"top_k",
     2,
     2,
     2,
     {PORT(DT_F32, 2, -1, -1), PORT(DT_I64, 1, 1)},
     {PORT(DT_F32, 2, -1, -2), PORT(DT_I64, 2, -1, -2)},
     {{1, 1, 1}, {0}}},
    {"non_zero", 1, 1, 1, {PORT(DT_I64, 2, -1, -1)}, {PORT(DT_I64, 2, 2, -2)}, {{0}, {0}}},
    {"non_max_suppression",
     3,
     1,
     1,
     {PORT(DT_F32, 3, 1, 3, 4), PORT(DT_F32, 3, 1, 1, 3), PORT(DT_I64, 1, 1)},
     {PORT(DT_I64, 2, -2, 3)},
     {{0}, {0}}},
    {"unique",
     1,
     4,
     3,
     {PORT(DT_I64, 1, -1)},
     {PORT(DT_I64, 1, -2), PORT(DT_I64, 1, -2), PORT(DT_I64, 1, -1), PORT(DT_I64, 1, -2)},
     {{0, 0, 1}, {0}}},
    {"compress",
     2,
     1,
     1,
     {PORT(DT_F32, 2, -1, -1), PORT(DT_BOOL, 1, -1)},
     {PORT(DT_F32, 2, -2, -1)},
     {{1, 0}, {0}}},
    {"roi_align",
     3,
     1,
     0,
     {PORT(DT_F32, 4, 3, 2, -1, -1), PORT(DT_F32, 2, 1, 4), PORT(DT_I64, 1, 1)},
     {PORT(DT_F32, 4, 1, 2, 2, 2)},
     {{0, 0, 2, 2, 2}, {1}}},
    {"max_roi_pool",
     2,
     1,
     0,
     {PORT(DT_F32, 4, 6, 2, -1, -1), PORT(DT_F32, 2, 1, 5)},
     {PORT(DT_F32, 4, 1, 2, 2, 2)},
     {{2, 2}, {1}}},
};
enum { HOST_CASES = sizeof host_cases / sizeof *host_cases };
#undef PORT

/* All open dims are one symbol; each dim from data is a variable of its own, as a routine sets
 * them. */
static const Program *host_program(Arena *a, const HostCase *c)
{
    ProgramBuilder *b = build_new(a);
    int32_t call[5 + 3 + 4 + 16], nvar = 0, var[16], value[16], nvalue = 0;
    int open = -1, nin = 0, nout = 0;
    for (int i = 0; i < c->nin + c->nout; i++) {
        ProgramBuffer p = i < c->nin ? c->in[i] : c->out[i - c->nin];
        const bool in = i < c->nin;
        bool late = false;
        for (int k = 0; k < p.rank; k++)
            late |= p.dim[k] == -2;
        for (int k = 0; k < p.rank; k++) {
            int v = -1;
            if (p.dim[k] == -1 && open < 0)
                open = build_var(b, "N", i, k);
            if (p.dim[k] == -2) {
                v = build_var(b, "found", -1, 0);
                value[nvalue++] = build_var_value(b, v);
            }
            p.dim[k] = v >= 0           ? build_var_value(b, v)
                       : p.dim[k] == -1 ? build_var_value(b, open)
                                        : build_int(b, p.dim[k]);
            if (!in && late)
                var[nvar++] = v;
        }
        p.kind = in ? BUF_INPUT : BUF_OUTPUT;
        p.parent = p.offset = -1;
        const int id = build_port(b, in ? "in" : "out", p);
        call[5 + (in ? nin : c->nin + nout)] = id;
        *(in ? &nin : &nout) += 1;
    }
    memcpy(call + 5 + nin + nout, var, sizeof *var * (size_t)nvar);
    call[0] = build_text(b, c->name);
    call[1] = build_blob(b, &c->args, sizeof c->args);
    call[2] = nin;
    call[3] = nout;
    call[4] = nvar;
    build_step(b, PSTEP_EXTERN, 5 + nin + nout + nvar, call);
    if (nvalue > 0)
        build_step(b, PSTEP_EVAL, nvalue, value);
    return build_finish(b);
}

typedef struct Base {
    uint8_t *at;
    size_t size;
} Base;

enum { BASES = 2 + HOST_CASES };

static Base read_back(const char *path)
{
    Arena *a = arena_new();
    File f;
    fuzz_check(file_read(a, path, &f, NULL) == 0, "a module was written");
    const Base b = {malloc(f.size), f.size};
    memcpy(b.at, f.at, f.size);
    arena_free(a);
    remove(path);
    return b;
}

/* A compiled one too, whose tables are the real thing; its code is never run. */
static Base make_base(int which)
{
    Arena *a = arena_new();
    char path[] = "/tmp/lathe_fuzz_XXXXXX";
    const Image none = {0};
    Error e = {0};
    close(mkstemp(path));
    if (which == BASES - 1) {
        ModelOptions opt = {.compile = {.threads = 1}};
        Model m;
        target_find("avx2", &opt.compile.target, &e);
        fuzz_check(model_compile(TEST_DIR "/data/control.onnx", &opt, &m, &e) == 0, e.message);
        fuzz_check(module_save(path, module_program(m.module), &m.image, "avx2", false, &e) == 0,
                   e.message);
        module_unref(m.module);
    } else {
        const Program *p = which == 0 ? steps_program(a) : host_program(a, &host_cases[which - 1]);
        fuzz_check(module_save(path, p, &none, "avx2", false, &e) == 0, e.message);
    }
    arena_free(a);
    return read_back(path);
}

static Base *bases(void)
{
    static Base all[BASES];
    for (int i = 0; i < BASES && !all[i].at; i++)
        all[i] = make_base(i);
    return all;
}

/* ---- edits ---- */

static void seal(uint8_t *at, size_t size)
{
    FileHeader *h = (FileHeader *)at;
    h->file_size = size;
    for (int s = 0; s < SECTION_COUNT; s++) {
        FileSection *f = &h->section[s];
        if (f->offset > size || f->size > size - f->offset)
            continue;
        f->hash = hash_bytes(at + f->offset, f->size, 0);
    }
    const FileSection *data = &h->section[SECTION_DATA];
    for (int k = 0; k < 2; k++) {
        FileSection *f = &h->section[k ? SECTION_CONSTS : SECTION_BLOBS];
        if (f->offset % 64 || f->offset > size || f->size > size - f->offset ||
            data->offset > size || data->size > size - data->offset)
            continue;
        FileSpan *span = (FileSpan *)(at + f->offset);
        for (size_t i = 0; i < f->size / sizeof *span; i++)
            if (span[i].offset <= data->size && span[i].size <= data->size - span[i].offset)
                span[i].hash = module_data_hash(at + data->offset + span[i].offset, span[i].size);
        f->hash = hash_bytes(at + f->offset, f->size, 0);
    }
    h->hash = hash_bytes(h, offsetof(FileHeader, hash), 0);
}

static void edit(uint8_t *at, size_t size, const uint8_t *e)
{
    const FileHeader *h = (const FileHeader *)at;
    const int s = e[0] % (SECTION_COUNT + 1);
    const uint64_t from = s == SECTION_COUNT ? 0 : h->section[s].offset;
    const uint64_t most = s == SECTION_COUNT ? sizeof *h : h->section[s].size;
    uint16_t offset;
    int32_t value;
    memcpy(&offset, e + 2, 2);
    memcpy(&value, e + 4, 4);
    const int width = e[1] % 4 == 0 ? 1 : e[1] % 4 == 3 ? 8 : 4;
    if (from > size || most > size - from || most < 8)
        return;
    uint8_t *to = at + from + offset % (most / (uint64_t)width) * (uint64_t)width;
    if (e[1] % 4 == 0)
        *to = (uint8_t)value;
    else if (e[1] % 4 == 1)
        memcpy(to, &value, 4);
    else if (e[1] % 4 == 2) /* another record's field */
        memmove(to, at + from + (uint32_t)value % (most / 4) * 4, 4);
    else
        memcpy(to, &(uint64_t){(uint64_t)(int64_t)value << (e[1] >> 2)}, 8);
}

/* ---- what happens to it ---- */

static bool may_run(const Program *p)
{
    for (int i = 0; i < p->nstep; i++) {
        const ProgramStep *s = &p->step[i];
        const int32_t *a = p->arg + s->arg;
        if (s->code == PSTEP_KERNEL || (s->code == PSTEP_JUMP && a[0] <= i) ||
            (s->code == PSTEP_BRANCH && a[1] <= i))
            return false; /* code; or it may never end, as models may */
    }
    return true;
}

static Tensor *small_input(const Program *p, int i)
{
    const ProgramBuffer *b = &p->buffer[p->input[i].buffer];
    int64_t dim[MAX_RANK], bytes = dtype_size((DType)b->dtype);
    for (int k = 0; k < b->rank; k++) {
        const ProgramValue *v = &p->value[b->dim[k]];
        dim[k] = v->op == EX_INT ? v->imm.i : DIM;
        if (dim[k] < 0 || __builtin_mul_overflow(bytes, dim[k], &bytes) || bytes > RUN_BYTES)
            return NULL;
    }
    Tensor *t = tensor_new((DType)b->dtype, b->rank, dim, NULL);
    for (size_t k = 0; t && k < t->bytes; k += (size_t)dtype_size(t->dtype))
        dtype_write_int(t->dtype, (char *)t->data + k, (int64_t)(k % 5));
    return t;
}

/* 0: it ran, or must not. */
static int run(Module *m)
{
    const Program *p = module_program(m);
    Pool *pool;
    Run *r = NULL;
    if (!may_run(p) || pool_new(1, &pool, NULL) != 0)
        return 0;
    int code = run_new(m, pool, 1, &r, NULL);
    if (code == 0)
        run_set_limit(r, RUN_BYTES);
    for (int i = 0; i < p->ninput && code == 0; i++) {
        Tensor *t = small_input(p, i);
        code = t ? run_set_input(r, i, t, NULL) : -1;
        tensor_unref(t);
    }
    for (int k = 0; k < 2 && code == 0; k++)
        code = run_execute(r, NULL);
    for (int i = 0; i < p->noutput && code == 0; i++) /* to be read by the sanitizer */
        hash_bytes(run_output(r, i)->data,
                   (size_t)(tensor_elements(run_output(r, i)) *
                            dtype_size(run_output(r, i)->dtype)),
                   0);
    run_free(r);
    pool_free(pool);
    return code;
}

static int load(const uint8_t *data, size_t size, bool execute)
{
    uint8_t *at = aligned_alloc(64, (size + 63) / 64 * 64 + 64);
    Module *m;
    memcpy(at, data, size);
    int code = module_load_bytes("fuzz", at, size, NULL, NULL, &m, NULL);
    if (code == 0) {
        code = execute ? run(m) : 0;
        module_unref(m);
    }
    free(at);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const Base *all = bases();
    if (size == 0)
        return 0;
    if (data[0] == 0) {
        load(data + 1, size - 1, false);
        return 0;
    }
    const Base *b = &all[data[0] % BASES];
    uint8_t *at = malloc(b->size);
    memcpy(at, b->at, b->size);
    const size_t edits = (size - 1) / 8 < MAX_EDITS ? (size - 1) / 8 : MAX_EDITS;
    for (size_t i = 0; i < edits; i++)
        edit(at, b->size, data + 1 + 8 * i);
    seal(at, b->size);
    const int code = load(at, b->size, true);
    fuzz_check(code == 0 || edits > 0, "a good module is refused, or does not run");
    free(at);
    return 0;
}
