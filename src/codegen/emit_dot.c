/* Dot instructions (loop/intrinsic.h): operands go from memory into the instruction unconverted, a
 * group for all lanes as one 32-bit broadcast. */
#include "codegen/gen.h"
#include "loop/intrinsic.h"

#include <assert.h>
#include <string.h>

/* LLVM's names by bytes of the vector. The types of the factors vary from one to the next: they are
 * asked for. */
static const struct {
    const char *row, *llvm[3]; /* of 16, 32, 64 bytes */
} names[] = {
    {"vdpbf16ps",
     {"llvm.x86.avx512bf16.dpbf16ps.128", "llvm.x86.avx512bf16.dpbf16ps.256",
      "llvm.x86.avx512bf16.dpbf16ps.512"}},
    {"vpdpbusd",
     {"llvm.x86.avx512.vpdpbusd.128", "llvm.x86.avx512.vpdpbusd.256",
      "llvm.x86.avx512.vpdpbusd.512"}},
    {"vpmaddwd",
     {"llvm.x86.sse2.pmadd.wd", "llvm.x86.avx2.pmadd.wd", "llvm.x86.avx512.pmaddw.d.512"}},
};

static const char *llvm_name(const char *row, int lanes)
{
    const int size = lanes == 4 ? 0 : lanes == 8 ? 1 : 2;
    assert(lanes == 4 || lanes == 8 || lanes == 16);
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
        if (strcmp(names[k].row, row) == 0)
            return names[k].llvm[size];
    return "";
}

/* As 32-bit lanes. */
static LLVMValueRef factor(Gen *g, Expr e, int lanes)
{
    if (expr_node(g->x, e)->op == EX_BROADCAST)
        return gen_splat(g, gen_load_raw(g, expr_arg(g->x, e, 0), g->i32), lanes);
    return gen_load_raw(g, e, gen_vector(g->i32, lanes));
}

LLVMValueRef gen_dot(Gen *g, Expr e)
{
    const ExprNode *n = expr_node(g->x, e);
    const char *name = llvm_name(intrinsic_name(n->imm.i), n->lanes);
    const unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMTypeRef type = LLVMIntrinsicGetType(g->c, id, NULL, 0), want[3];
    LLVMGetParamTypes(type, want);
    /* where the instruction adds, the sum is in front */
    const int first = (int)LLVMCountParamTypes(type) - 2;
    LLVMValueRef sum = gen_expr(g, expr_arg(g->x, e, 2)), args[3] = {sum};
    for (int k = 0; k < 2; k++)
        args[first + k] =
            LLVMBuildBitCast(g->b, factor(g, expr_arg(g->x, e, k), n->lanes), want[first + k], "");
    LLVMValueRef v = gen_intrinsic(g, name, 0, NULL, first + 2, args);
    return first ? v : LLVMBuildAdd(g->b, sum, v, "");
}
