/* Programs: operands, values, and the check that makes any file safe to run. */
#include "runtime/program.h"

#include <inttypes.h>

static const char *step_name(int code)
{
    static const char *const name[] = {
#define X(n) #n,
        STEP_KINDS(X)
#undef X
    };
    return code >= 0 && code < PSTEP_COUNT ? name[code] : "?";
}

KernelStep program_kernel_step(const Program *p, const ProgramStep *s)
{
    const int32_t *a = p->arg + s->arg;
    KernelStep k = {.kernel = a[0], .nread = a[1], .nwrite = a[2], .nsym = a[3], .nphase = a[4]};
    k.buffer = a + 5;
    k.sym = k.buffer + k.nread + k.nwrite;
    k.extent = k.sym + k.nsym;
    k.steps = k.extent + k.nphase;
    return k;
}

ExternStep program_extern_step(const Program *p, const ProgramStep *s)
{
    const int32_t *a = p->arg + s->arg;
    ExternStep e = {.name = a[0], .blob = a[1], .nin = a[2], .nout = a[3], .nvar = a[4]};
    e.in = a + 5;
    e.out = e.in + e.nin;
    e.var = e.out + e.nout;
    return e;
}

void program_eval(const Program *p, int v, Scalar *at)
{
    const ProgramValue *n = &p->value[v];
    const DType t = (DType)n->dtype;
    switch (n->op) {
    case EX_INT:
        at[v] = (Scalar){.dtype = t, .i = n->imm.i};
        return;
    case EX_FLOAT:
        at[v] = (Scalar){.dtype = t, .f = n->imm.f};
        return;
    case EX_VAR:
        return; /* set by whoever sets variables */
    case EX_CAST:
        at[v] = scalar_cast(t, at[n->arg[0]]);
        return;
    default: {
        Scalar arg[3];
        for (int i = 0; i < n->narg; i++)
            arg[i] = at[n->arg[i]];
        at[v] = scalar_apply((ExprOp)n->op, t, n->narg, arg);
    }
    }
}

int64_t program_buffer_room(const Program *p, int buffer, const Scalar *at, bool *empty)
{
    const ProgramBuffer *b = &p->buffer[buffer];
    int64_t bytes = dtype_size((DType)b->dtype);
    *empty = false;
    for (int i = 0; i < b->rank; i++) {
        int64_t dim = at[b->dim[i]].i;
        const int64_t block = layout_block(&b->layout, i);
        if (dim < 0 || dim > INT64_MAX - block)
            return -1;
        *empty |= dim == 0;
        dim = dim == 0 ? block : (dim + block - 1) / block * block;
        if (__builtin_mul_overflow(bytes, dim, &bytes) || bytes > (int64_t)1 << 46)
            return -1;
    }
    return bytes;
}

int64_t program_buffer_bytes(const Program *p, int buffer, const Scalar *at)
{
    bool empty;
    const int64_t room = program_buffer_room(p, buffer, at, &empty);
    return empty && room >= 0 ? 0 : room;
}

/* ---- verification ---- */

typedef struct Check {
    const Program *p;
    Str *why;
} Check;

#define REQUIRE(c, condition, ...)                                                                 \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            str_addf((c)->why, __VA_ARGS__);                                                       \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

static bool in_range(int64_t v, int64_t n)
{
    return v >= 0 && v < n;
}

static int op_arity(int op)
{
    switch (op) {
    case EX_INT:
    case EX_FLOAT:
    case EX_VAR:
        return 0;
    case EX_FMA:
    case EX_SELECT:
        return 3;
    case EX_NEG:
    case EX_ABS:
    case EX_NOT:
    case EX_CAST:
        return 1;
    default:
        if ((op >= EX_ADD && op <= EX_MAX) || (op >= EX_AND && op <= EX_XOR) || op == EX_SHL ||
            op == EX_SHR || (op >= EX_LT && op <= EX_NE) || op == EX_POW)
            return 2;
        if (op >= EX_FLOOR && op <= EX_SIGMOID)
            return 1;
        return -1;
    }
}

static bool compute_type(int t)
{
    return t == DT_BOOL || t == DT_I64 || t == DT_I32 || t == DT_I16 || t == DT_I8 || t == DT_U64 ||
           t == DT_U32 || t == DT_U16 || t == DT_U8 || t == DT_F32 || t == DT_F64;
}

/* As the builders of expressions would make it: scalar_apply relies on this. */
static bool operand_types_ok(const Program *p, const ProgramValue *v)
{
    const DType t = (DType)v->dtype;
    DType a[3] = {DT_NONE, DT_NONE, DT_NONE};
    for (int k = 0; k < v->narg; k++)
        a[k] = (DType)p->value[v->arg[k]].dtype;
    if (v->op == EX_INT)
        return !dtype_is_float(t);
    if (v->op == EX_FLOAT)
        return dtype_is_float(t);
    if (v->op == EX_VAR)
        return t == DT_I64;
    if (v->op == EX_CAST)
        return true;
    if (v->op == EX_SELECT)
        return a[0] == DT_BOOL && a[1] == t && a[2] == t;
    if (v->op >= EX_LT && v->op <= EX_NE)
        return t == DT_BOOL && a[0] == a[1];
    if (v->narg == 1 && v->op >= EX_FLOOR && !dtype_is_float(t))
        return false;
    if ((v->op == EX_SUB || v->op == EX_FMA) && !dtype_is_float(t))
        return false;
    if (((v->op >= EX_AND && v->op <= EX_XOR) || v->op == EX_NOT) && dtype_is_float(t))
        return false;
    if ((v->op == EX_SHL || v->op == EX_SHR) && !dtype_is_int(t))
        return false;
    if (t == DT_BOOL && !((v->op >= EX_AND && v->op <= EX_XOR) || v->op == EX_NOT))
        return false;
    for (int k = 0; k < v->narg; k++)
        if (a[k] != t)
            return false;
    return true;
}

static bool verify_values(Check *c)
{
    const Program *p = c->p;
    for (int i = 0; i < p->nvalue; i++) {
        const ProgramValue *v = &p->value[i];
        REQUIRE(c, compute_type(v->dtype), "value %d: type %d", i, v->dtype);
        REQUIRE(c, op_arity(v->op) >= 0 && op_arity(v->op) == v->narg, "value %d: operation %d", i,
                v->op);
        REQUIRE(c, v->op != EX_VAR || in_range(v->imm.i, p->nvar), "value %d: variable", i);
        for (int k = 0; k < v->narg; k++)
            REQUIRE(c, in_range(v->arg[k], i), "value %d: operand %d", i, v->arg[k]);
        REQUIRE(c, operand_types_ok(p, v), "value %d: types of operands", i);
    }
    for (int i = 0; i < p->nvar; i++) {
        const ProgramVar *v = &p->var[i];
        REQUIRE(c, in_range(v->value, p->nvalue), "variable %d: value %d", i, v->value);
        const ProgramValue *n = &p->value[v->value];
        REQUIRE(c, n->op == EX_VAR && n->imm.i == i, "variable %d: value %d is not its", i,
                v->value);
        if (v->input < 0)
            continue;
        REQUIRE(c, v->input < p->ninput && in_range(p->input[v->input].buffer, p->nbuffer),
                "variable %d: input %d", i, v->input);
        REQUIRE(c, in_range(v->axis, p->buffer[p->input[v->input].buffer].rank) && !n->late,
                "variable %d: axis %d", i, v->axis);
    }
    return true;
}

bool program_same_size(const ProgramBuffer *a, const ProgramBuffer *b)
{
    bool same = a->kind == b->kind && a->dtype == b->dtype && a->rank == b->rank &&
                layout_equal(&a->layout, &b->layout);
    for (int k = 0; same && k < a->rank; k++)
        same = a->dim[k] == b->dim[k];
    return same;
}

static bool verify_buffer(Check *c, int i)
{
    const Program *p = c->p;
    const ProgramBuffer *b = &p->buffer[i];
    REQUIRE(c, b->kind < BUF_KINDS, "buffer %d: kind %d", i, b->kind);
    REQUIRE(c, b->dtype < DT_COUNT && dtype_size((DType)b->dtype) > 0, "buffer %d: type %d", i,
            b->dtype);
    REQUIRE(c, b->rank <= MAX_RANK && b->device == 0, "buffer %d: rank %d device %d", i, b->rank,
            b->device);
    REQUIRE(c,
            b->layout.n >= 0 && b->layout.n <= MAX_LAYOUT_DIMS && layout_valid(&b->layout, b->rank),
            "buffer %d: layout", i);
    bool late = false;
    for (int k = 0; k < b->rank; k++) {
        REQUIRE(c, in_range(b->dim[k], p->nvalue), "buffer %d: dim %d", i, k);
        const ProgramValue *v = &p->value[b->dim[k]];
        REQUIRE(c, v->dtype == DT_I64, "buffer %d: dim %d is no i64", i, k);
        late |= v->late;
    }
    switch ((BufferKind)b->kind) {
    case BUF_INPUT:
        REQUIRE(c, in_range(b->index, p->ninput) && p->input[b->index].buffer == i && !late &&
                       layout_is_plain(&b->layout), "buffer %d: input %d", i, b->index);
        break;
    case BUF_OUTPUT:
        REQUIRE(c, in_range(b->index, p->noutput) && p->output[b->index].buffer == i &&
                       layout_is_plain(&b->layout), "buffer %d: output %d", i, b->index);
        break;
    case BUF_CONST: {
        REQUIRE(c, in_range(b->index, p->nconst), "buffer %d: constant %d", i, b->index);
        int64_t bytes = dtype_size((DType)b->dtype);
        for (int k = 0; k < b->rank; k++) {
            const ProgramValue *v = &p->value[b->dim[k]];
            const int64_t block = layout_block(&b->layout, k);
            REQUIRE(c, v->op == EX_INT && v->imm.i >= 0 && v->imm.i < (int64_t)1 << 46,
                    "buffer %d: dim %d of a constant", i, k);
            REQUIRE(c,
                    !__builtin_mul_overflow(bytes, (v->imm.i + block - 1) / block * block, &bytes),
                    "buffer %d: size", i);
        }
        REQUIRE(c, bytes >= 0 && (uint64_t)bytes <= p->constant[b->index].bytes,
                "buffer %d: constant %d is short", i, b->index);
        break;
    }
    case BUF_TEMP:
        REQUIRE(c, !late, "buffer %d: size of a planned buffer depends on data", i);
        REQUIRE(c,
                b->replaces == 0 ||
                    (in_range(b->replaces, i) && program_same_size(b, &p->buffer[b->replaces])),
                "buffer %d: in place of %d", i, b->replaces);
        break;
    case BUF_VIEW:
        REQUIRE(c, in_range(b->parent, i), "buffer %d: parent %d", i, b->parent);
        REQUIRE(c, b->offset == -1 || in_range(b->offset, p->nvalue), "buffer %d: offset", i);
        break;
    default:
        break;
    }
    return true;
}

static bool ids_ok(const int32_t *id, int n, int limit)
{
    for (int i = 0; i < n; i++)
        if (!in_range(id[i], limit))
            return false;
    return true;
}

/* May a step write this buffer? */
static bool writable(const Program *p, int buffer)
{
    while (p->buffer[buffer].kind == BUF_VIEW)
        buffer = p->buffer[buffer].parent;
    return p->buffer[buffer].kind != BUF_INPUT && p->buffer[buffer].kind != BUF_CONST;
}

static bool all_writable(const Program *p, const int32_t *id, int n)
{
    for (int i = 0; i < n; i++)
        if (!writable(p, id[i]))
            return false;
    return true;
}

static bool verify_kernel_step(Check *c, int i, int nentries)
{
    const Program *p = c->p;
    const ProgramStep *s = &p->step[i];
    REQUIRE(c, s->narg >= 5, "step %d: operands", i);
    const int32_t *a = p->arg + s->arg;
    for (int k = 1; k < 5; k++)
        REQUIRE(c, in_range(a[k], s->narg + 1), "step %d: operands", i);
    REQUIRE(c, in_range(a[0], p->nkernel), "step %d: kernel %d", i, a[0]);
    REQUIRE(c, (int64_t)5 + a[1] + a[2] + a[3] + (int64_t)2 * a[4] == s->narg, "step %d: operands",
            i);
    const KernelStep k = program_kernel_step(p, s);
    const ProgramKernel *kernel = &p->kernel[k.kernel];
    REQUIRE(c, k.nphase == kernel->nphase && (int64_t)kernel->entry + k.nphase <= nentries,
            "step %d: phases", i);
    REQUIRE(c, ids_ok(k.buffer, k.nread + k.nwrite, p->nbuffer), "step %d: buffers", i);
    REQUIRE(c, all_writable(p, k.buffer + k.nread, k.nwrite), "step %d: writes what is read-only",
            i);
    REQUIRE(c, ids_ok(k.sym, k.nsym + k.nphase, p->nvalue), "step %d: values", i);
    for (int n = 0; n < k.nphase; n++) {
        const bool joins = k.steps[n] == KERNEL_JOINS && n > 0 && k.steps[n - 1] != KERNEL_ONCE;
        REQUIRE(c, k.steps[n] == KERNEL_ONCE || joins || in_range(k.steps[n], p->nvalue),
                "step %d: steps", i);
    }
    return true;
}

/* The variables of an EXTERN match the dims of its dynamic outputs. */
static bool verify_extern_vars(Check *c, int i, const ExternStep *e, const HostRow *row)
{
    const Program *p = c->p;
    int n = 0;
    for (int k = 0; k < e->nout; k++) {
        if (e->out[k] < 0 || !(row->dynamic >> k & 1))
            continue;
        for (int d = 0; d < p->buffer[e->out[k]].rank; d++, n++) {
            REQUIRE(c, n < e->nvar, "step %d: variables", i);
            const int v = e->var[n];
            REQUIRE(c, v == -1 || (in_range(v, p->nvar) && p->var[v].input < 0),
                    "step %d: variable %d", i, v);
            REQUIRE(c, v == -1 || p->buffer[e->out[k]].dim[d] == p->var[v].value,
                    "step %d: variable %d", i, v);
        }
    }
    REQUIRE(c, n == e->nvar, "step %d: variables", i);
    return true;
}

static bool verify_extern_step(Check *c, int i)
{
    const Program *p = c->p;
    const ProgramStep *s = &p->step[i];
    REQUIRE(c, s->narg >= 5, "step %d: operands", i);
    const int32_t *a = p->arg + s->arg;
    REQUIRE(c,
            in_range(a[2], HOST_MAX_IO + 1) && in_range(a[3], HOST_MAX_IO + 1) &&
                in_range(a[4], s->narg + 1) && (int64_t)5 + a[2] + a[3] + a[4] == s->narg,
            "step %d: operands", i);
    const ExternStep e = program_extern_step(p, s);
    REQUIRE(c, in_range(e.name, p->ntext) && host_find(p->text[e.name]), "step %d: routine", i);
    REQUIRE(c, in_range(e.blob, p->nblob) && p->blob[e.blob].bytes == sizeof(HostArgs),
            "step %d: blob", i);
    for (int k = 0; k < e.nin + e.nout; k++) {
        const int b = e.in[k];
        REQUIRE(c, b == -1 || (in_range(b, p->nbuffer) && layout_is_plain(&p->buffer[b].layout)),
                "step %d: buffer %d", i, b);
        REQUIRE(c, b == -1 || k < e.nin || writable(p, b), "step %d: buffer %d is read-only", i, b);
    }
    return verify_extern_vars(c, i, &e, host_find(p->text[e.name]));
}

/* Operands of the small steps: v value, V value or -1, b buffer, w written buffer, r variable, s
 * step, t text. */
static const char *const step_form[PSTEP_COUNT] = {
    [PSTEP_SET] = "rv",     [PSTEP_READ] = "rbv",  [PSTEP_WRITE] = "wvv", [PSTEP_JUMP] = "s",
    [PSTEP_BRANCH] = "vs",  [PSTEP_ALLOC] = "w",   [PSTEP_GROW] = "w",    [PSTEP_VIEW] = "b",
    [PSTEP_COPY] = "wVbVV", [PSTEP_CHECK] = "vvt",
};

static bool verify_step(Check *c, int i, int nentries)
{
    const Program *p = c->p;
    const ProgramStep *s = &p->step[i];
    REQUIRE(c, s->code < PSTEP_COUNT && s->device == 0, "step %d: code %d", i, s->code);
    REQUIRE(c, s->arg >= 0 && s->narg >= 0 && (int64_t)s->arg + s->narg <= p->narg,
            "step %d: operands", i);
    REQUIRE(c, s->origin == -1 || in_range(s->origin, p->ntext), "step %d: origin", i);
    if (s->code == PSTEP_KERNEL)
        return verify_kernel_step(c, i, nentries);
    if (s->code == PSTEP_EXTERN)
        return verify_extern_step(c, i);
    const int32_t *a = p->arg + s->arg;
    if (s->code == PSTEP_EVAL) {
        REQUIRE(c, ids_ok(a, s->narg, p->nvalue), "step %d: values", i);
        return true;
    }
    const char *form = step_form[s->code];
    int n = 0;
    for (; form[n]; n++) {
        REQUIRE(c, n < s->narg, "step %d: operands", i);
        bool ok = false;
        switch (form[n]) {
        case 'V': ok = a[n] == -1 || in_range(a[n], p->nvalue); break;
        case 'v': ok = in_range(a[n], p->nvalue); break;
        case 'b': ok = in_range(a[n], p->nbuffer); break;
        case 'w': ok = in_range(a[n], p->nbuffer) && writable(p, a[n]); break;
        case 'r': ok = in_range(a[n], p->nvar) && p->var[a[n]].input < 0; break;
        case 's': ok = in_range(a[n], p->nstep + 1); break;
        case 't': ok = in_range(a[n], p->ntext); break;
        }
        REQUIRE(c, ok, "step %d: operand %d", i, n);
    }
    REQUIRE(c, n == s->narg, "step %d: operands", i);
    if (s->code == PSTEP_VIEW)
        REQUIRE(c, p->buffer[a[0]].kind == BUF_VIEW, "step %d: no view", i);
    if (s->code == PSTEP_ALLOC || s->code == PSTEP_GROW)
        REQUIRE(c, p->buffer[a[0]].kind == BUF_SLOT || p->buffer[a[0]].kind == BUF_OUTPUT,
                "step %d: no slot", i);
    return true;
}

/* Every value that depends on a late variable is late. */
static bool verify_late(Check *c)
{
    const Program *p = c->p;
    for (int i = 0; i < p->nvalue; i++) {
        const ProgramValue *v = &p->value[i];
        bool late = v->op == EX_VAR && p->var[v->imm.i].input < 0;
        for (int k = 0; k < v->narg; k++)
            late |= p->value[v->arg[k]].late;
        REQUIRE(c, v->late == late, "value %d: late", i);
    }
    return true;
}

bool program_verify(const Program *p, int nentries, Str *why)
{
    Check c = {p, why};
    if (!verify_values(&c) || !verify_late(&c))
        return false;
    for (int i = 0; i < p->ninput; i++)
        REQUIRE(&c, in_range(p->input[i].buffer, p->nbuffer) &&
                        p->buffer[p->input[i].buffer].kind == BUF_INPUT, "input %d", i);
    for (int i = 0; i < p->noutput; i++)
        REQUIRE(&c, in_range(p->output[i].buffer, p->nbuffer) &&
                        p->buffer[p->output[i].buffer].kind == BUF_OUTPUT, "output %d", i);
    for (int i = 0; i < p->nbuffer; i++)
        if (!verify_buffer(&c, i))
            return false;
    for (int i = 0; i < p->nkernel; i++) {
        const ProgramKernel *k = &p->kernel[i];
        REQUIRE(&c, k->nphase >= 0 && k->entry >= 0 && (int64_t)k->entry + k->nphase <= nentries &&
                        in_range(k->scratch_bytes, (int64_t)1 << 30), "kernel %d", i);
    }
    for (int i = 0; i < p->nstep; i++)
        if (!verify_step(&c, i, nentries))
            return false;
    return true;
}

/* ---- text, for reading: one line an item ---- */

static void print_value(const Program *p, int i, Str *out)
{
    const ProgramValue *v = &p->value[i];
    if (v->op == EX_INT)
        str_addf(out, "%" PRId64, v->imm.i);
    else if (v->op == EX_FLOAT)
        str_add_double(out, v->imm.f);
    else if (v->op == EX_VAR)
        str_add(out, p->var[v->imm.i].name);
    else
        str_addf(out, "v%d", i);
}

static void print_buffer(const Program *p, int i, Str *out)
{
    static const char *const kind[BUF_KINDS] = {"input", "output", "const", "temp", "slot", "view"};
    const ProgramBuffer *b = &p->buffer[i];
    str_addf(out, "  b%d %s %s[", i, kind[b->kind], dtype_name((DType)b->dtype));
    for (int k = 0; k < b->rank; k++) {
        str_add(out, k ? "," : "");
        print_value(p, b->dim[k], out);
    }
    str_add(out, "]");
    if (!layout_is_plain(&b->layout)) {
        str_add(out, " layout ");
        layout_print(&b->layout, out);
    }
    if (b->kind == BUF_VIEW)
        str_addf(out, " of b%d", b->parent);
    if (b->kind == BUF_TEMP && b->replaces > 0)
        str_addf(out, " over b%d", b->replaces);
    str_add(out, "\n");
}

void program_print(const Program *p, Str *out)
{
    if (p->precision[0])
        str_addf(out, "  precision %s\n", p->precision);
    for (int i = 0; i < p->nvalue; i++) {
        const ProgramValue *v = &p->value[i];
        if (v->narg == 0)
            continue;
        str_addf(out, "  v%d = %s %s(", i, dtype_name((DType)v->dtype),
                 v->op == EX_CAST ? "cast" : expr_op_text((ExprOp)v->op));
        for (int k = 0; k < v->narg; k++) {
            str_add(out, k ? ", " : "");
            print_value(p, v->arg[k], out);
        }
        str_addf(out, ")%s\n", v->late ? " late" : "");
    }
    for (int i = 0; i < p->nbuffer; i++)
        print_buffer(p, i, out);
    for (int i = 0; i < p->nstep; i++) {
        const ProgramStep *s = &p->step[i];
        str_addf(out, "  %d: %s", i, step_name(s->code));
        for (int k = 0; k < s->narg; k++)
            str_addf(out, " %d", p->arg[s->arg + k]);
        str_addf(out, "%s%s\n", s->origin >= 0 ? "  # " : "",
                 s->origin >= 0 ? p->text[s->origin] : "");
    }
}
