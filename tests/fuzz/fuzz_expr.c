/* Text of one expression. Its first character chooses the type that is wanted: 0 i64, 1 f32, 2
 * bool, 3 u8. Terms are unique in a pool, so printing and parsing must give the very same term. */
#include "fuzz.h"

#include <string.h>

#include "expr/expr.h"

typedef struct Names {
    Expr var[4];
} Names;

static const struct {
    const char *name;
    DType type;
    int rank;
} tensors[] = {
    {"a", DT_F32, 2}, {"b", DT_I64, 1}, {"c", DT_U8, 0}, {"d", DT_BOOL, 1}, {"h", DT_F16, 3}};
static const char *const vars[] = {"N", "M", "i", "j"};

static int find_tensor(void *arg, const char *name, DType *compute, int *rank)
{
    (void)arg;
    for (int k = 0; k < 5; k++) {
        if (strcmp(tensors[k].name, name) != 0)
            continue;
        *compute = dtype_compute(tensors[k].type);
        *rank = tensors[k].rank;
        return k;
    }
    return -1;
}

static Expr find_var(void *arg, const char *name)
{
    const Names *n = arg;
    for (int k = 0; k < 4; k++)
        if (strcmp(vars[k], name) == 0)
            return n->var[k];
    return 0;
}

static DType state_type(void *arg, int k)
{
    (void)arg;
    return k == 0 ? DT_F32 : k == 1 ? DT_I64 : DT_NONE;
}

static const char *tensor_name(void *arg, int tensor)
{
    (void)arg;
    return tensors[tensor].name;
}

static void job(Context *ctx, void *arg)
{
    const FuzzBytes *in = arg;
    if (in->size == 0)
        return;
    static const DType wanted[] = {DT_I64, DT_F32, DT_BOOL, DT_U8};
    const DType want = wanted[in->at[0] & 3];
    Exprs *x = exprs_new(ctx);
    Names names = {{expr_sym(x, "N", 0, 4096, 1), expr_sym(x, "M", 8, INT64_MAX, 8)}};
    names.var[2] = expr_loop_var(x, "i", expr_int(x, 64));
    names.var[3] = expr_loop_var(x, "j", names.var[0]);
    const ExprScope scope = {find_tensor, find_var, state_type, &names};
    const ExprNames print = {.tensor = tensor_name};
    Lexer lex = lex_new(ctx, "fuzz", (const char *)in->at + 1, in->size - 1, false);
    const Expr e = expr_parse(x, &lex, &scope, want);
    if (expr_type(x, e) !=
        want) /* its readers refuse that: bare constants would take the wrong type */
        return;
    Str text = str_new(ctx->arena);
    expr_print(x, e, &print, &text);
    Lexer again = lex_new(ctx, "printed", str_text(&text), text.len, false);
    fuzz_check(expr_parse(x, &again, &scope, want) == e, "an expression changed by printing");
    if (want == DT_I64) {
        expr_low(x, e);
        expr_high(x, e);
        expr_proves_lt(x, e, names.var[0]);
        expr_proves_le(x, names.var[2], e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_job(job, data, size);
}
