/* Making programs. */
#include "runtime/program_build.h"

#include <assert.h>
#include <string.h>

ProgramBuilder *build_new(Arena *a)
{
    ProgramBuilder *b = arena_new_of(a, ProgramBuilder);
    b->arena = a;
    b->values = intmap_new(a);
    b->texts = strmap_new(a);
    b->origin = -1;
    return b;
}

static bool same_value(const ProgramValue *a, const ProgramValue *b)
{
    return a->op == b->op && a->dtype == b->dtype && a->narg == b->narg && a->imm.i == b->imm.i &&
           memcmp(a->arg, b->arg, sizeof a->arg) == 0;
}

int build_value(ProgramBuilder *b, ProgramValue v)
{
    uint64_t h = hash_mix(hash_mix(v.op, v.dtype), (uint64_t)v.imm.i);
    v.late = v.op == EX_VAR && b->var.at[v.imm.i].input < 0;
    for (int k = 0; k < v.narg; k++) {
        h = hash_mix(h, (uint64_t)v.arg[k]);
        v.late |= b->value.at[v.arg[k]].late;
    }
    const int newest = intmap_get(&b->values, h, -1);
    for (int i = newest; i >= 0; i = b->same.at[i])
        if (same_value(&b->value.at[i], &v))
            return i;
    vec_push(b->arena, &b->value, v);
    vec_push(b->arena, &b->same, newest);
    intmap_put(&b->values, h, b->value.len - 1);
    return b->value.len - 1;
}

int build_int(ProgramBuilder *b, int64_t v)
{
    return build_value(b, (ProgramValue){.op = EX_INT, .dtype = DT_I64, .imm.i = v});
}

int build_op(ProgramBuilder *b, ExprOp op, DType t, int narg, const int32_t *arg)
{
    ProgramValue v = {.op = (uint8_t)op, .dtype = (uint8_t)t, .narg = (uint8_t)narg};
    assert(narg <= 3);
    memcpy(v.arg, arg, sizeof *arg * (size_t)narg);
    return build_value(b, v);
}

static bool is_int(const ProgramBuilder *b, int v, int64_t *n)
{
    *n = b->value.at[v].imm.i;
    return b->value.at[v].op == EX_INT;
}

int build_add(ProgramBuilder *b, int x, int y)
{
    int64_t m, n;
    if (is_int(b, x, &m) && is_int(b, y, &n))
        return build_int(b, m + n);
    return build_op(b, EX_ADD, DT_I64, 2, (const int32_t[]){x, y});
}

int build_mul(ProgramBuilder *b, int x, int y)
{
    int64_t m, n;
    if (is_int(b, x, &m) && is_int(b, y, &n))
        return build_int(b, m * n);
    return build_op(b, EX_MUL, DT_I64, 2, (const int32_t[]){x, y});
}

int build_var(ProgramBuilder *b, const char *name, int input, int axis)
{
    const int id = b->var.len;
    const ProgramVar v = {.name = arena_strdup(b->arena, name), .input = input, .axis = axis};
    vec_push(b->arena, &b->var, v);
    b->var.at[id].value =
        build_value(b, (ProgramValue){.op = EX_VAR, .dtype = DT_I64, .imm.i = id});
    return id;
}

int build_var_value(const ProgramBuilder *b, int var)
{
    return b->var.at[var].value;
}

int build_buffer(ProgramBuilder *b, ProgramBuffer buffer)
{
    vec_push(b->arena, &b->buffer, buffer);
    return b->buffer.len - 1;
}

int build_port(ProgramBuilder *b, const char *name, ProgramBuffer buffer)
{
    const ProgramPort port = {arena_strdup(b->arena, name), b->buffer.len};
    if (buffer.kind == BUF_INPUT) {
        buffer.index = b->input.len;
        vec_push(b->arena, &b->input, port);
    } else {
        assert(buffer.kind == BUF_OUTPUT);
        buffer.index = b->output.len;
        vec_push(b->arena, &b->output, port);
    }
    return build_buffer(b, buffer);
}

int build_const(ProgramBuilder *b, DType t, int rank, const int64_t *dims, const Layout *layout,
                const void *data, size_t bytes)
{
    ProgramBuffer buffer = {
        .kind = BUF_CONST, .dtype = (uint8_t)t, .rank = (uint8_t)rank, .index = b->constant.len};
    if (layout)
        buffer.layout = *layout;
    for (int i = 0; i < rank; i++)
        buffer.dim[i] = build_int(b, dims[i]);
    const ProgramConst c = {data, bytes};
    vec_push(b->arena, &b->constant, c);
    return build_buffer(b, buffer);
}

int build_kernel(ProgramBuilder *b, ProgramKernel k)
{
    k.name = arena_strdup(b->arena, k.name);
    k.source = arena_strdup(b->arena, k.source ? k.source : "");
    vec_push(b->arena, &b->kernel, k);
    return b->kernel.len - 1;
}

int build_text(ProgramBuilder *b, const char *text)
{
    const int old = strmap_get(&b->texts, text, -1);
    if (old >= 0)
        return old;
    strmap_put(&b->texts, text, b->text.len);
    vec_push(b->arena, &b->text, arena_strdup(b->arena, text));
    return b->text.len - 1;
}

int build_blob(ProgramBuilder *b, const void *data, size_t bytes)
{
    const ProgramBlob blob = {arena_dup(b->arena, data, bytes), bytes};
    vec_push(b->arena, &b->blob, blob);
    return b->blob.len - 1;
}

int build_step(ProgramBuilder *b, StepCode code, int narg, const int32_t *arg)
{
    const ProgramStep s = {
        .code = (uint8_t)code, .origin = b->origin, .arg = b->arg.len, .narg = narg};
    for (int i = 0; i < narg; i++)
        vec_push(b->arena, &b->arg, arg[i]);
    vec_push(b->arena, &b->step, s);
    return b->step.len - 1;
}

void build_patch(ProgramBuilder *b, int step, int operand, int32_t value)
{
    b->arg.at[b->step.at[step].arg + operand] = value;
}

bool build_is_late(const ProgramBuilder *b, int value)
{
    return b->value.at[value].late;
}

BufferKind build_temp_kind(const ProgramBuilder *b, int rank, const int32_t *dim)
{
    for (int i = 0; i < rank; i++)
        if (build_is_late(b, dim[i]))
            return BUF_SLOT;
    return BUF_TEMP;
}

/* The operands of an EVAL: from variables to the values that depend on them, in order. */
static void finish_eval(ProgramBuilder *b, ProgramStep *s, bool *depends)
{
    memset(depends, 0, sizeof *depends * (size_t)b->value.len);
    for (int i = 0; i < s->narg; i++)
        depends[b->var.at[b->arg.at[s->arg + i]].value] = true;
    s->arg = b->arg.len;
    s->narg = 0;
    for (int v = 0; v < b->value.len; v++) {
        const ProgramValue *n = &b->value.at[v];
        for (int k = 0; k < n->narg; k++)
            depends[v] |= depends[n->arg[k]];
        if (!depends[v] || n->op == EX_VAR)
            continue;
        vec_push(b->arena, &b->arg, v);
        s->narg++;
    }
}

const Program *build_finish(ProgramBuilder *b)
{
    bool *depends = arena_array_of(b->arena, b->value.len + 1, bool);
    for (int i = 0; i < b->step.len; i++)
        if (b->step.at[i].code == PSTEP_EVAL)
            finish_eval(b, &b->step.at[i], depends);
    Program *p = arena_new_of(b->arena, Program);
    *p = (Program){
        .nvalue = b->value.len,
        .nvar = b->var.len,
        .nbuffer = b->buffer.len,
        .nconst = b->constant.len,
        .ninput = b->input.len,
        .noutput = b->output.len,
        .nkernel = b->kernel.len,
        .nstep = b->step.len,
        .narg = b->arg.len,
        .ntext = b->text.len,
        .nblob = b->blob.len,
        .value = b->value.at,
        .var = b->var.at,
        .buffer = b->buffer.at,
        .constant = b->constant.at,
        .input = b->input.at,
        .output = b->output.at,
        .kernel = b->kernel.at,
        .step = b->step.at,
        .arg = b->arg.at,
        .text = b->text.at,
        .blob = b->blob.at,
        .precision = b->precision ? b->precision : "",
    };
    return p;
}
