/* Thin wrappers over LLVM's C API: types, constants, vectors, intrinsics. */
#include "codegen/gen.h"

#include <assert.h>
#include <string.h>

void gen_init_types(Gen *g)
{
    g->i1 = LLVMInt1TypeInContext(g->c);
    g->i8 = LLVMInt8TypeInContext(g->c);
    g->i16 = LLVMInt16TypeInContext(g->c);
    g->i32 = LLVMInt32TypeInContext(g->c);
    g->i64 = LLVMInt64TypeInContext(g->c);
    g->f16 = LLVMHalfTypeInContext(g->c);
    g->f32 = LLVMFloatTypeInContext(g->c);
    g->f64 = LLVMDoubleTypeInContext(g->c);
    g->ptr = LLVMPointerTypeInContext(g->c, 0);
}

LLVMTypeRef gen_scalar(const Gen *g, DType compute)
{
    switch (compute) {
    case DT_BOOL: return g->i1;
    case DT_F32: return g->f32;
    case DT_F64: return g->f64;
    default: break;
    }
    assert(dtype_is_int(compute) && dtype_bits(compute) >= 8);
    return LLVMIntTypeInContext(g->c, (unsigned)dtype_bits(compute));
}

LLVMTypeRef gen_vector(LLVMTypeRef scalar, int lanes)
{
    return lanes == 1 ? scalar : LLVMVectorType(scalar, (unsigned)lanes);
}

LLVMTypeRef gen_type(const Gen *g, DType compute, int lanes)
{
    return gen_vector(gen_scalar(g, compute), lanes);
}

enum { MAX_LANES = 4096 };

static LLVMValueRef const_splat(LLVMValueRef scalar, int lanes)
{
    assert(lanes >= 1 && lanes <= MAX_LANES);
    if (lanes == 1)
        return scalar;
    LLVMValueRef all[MAX_LANES];
    for (int k = 0; k < lanes; k++)
        all[k] = scalar;
    return LLVMConstVector(all, (unsigned)lanes);
}

LLVMValueRef gen_int(LLVMTypeRef scalar, int lanes, int64_t v)
{
    return const_splat(LLVMConstInt(scalar, (unsigned long long)v, true), lanes);
}

LLVMValueRef gen_real(LLVMTypeRef scalar, int lanes, double v)
{
    return const_splat(LLVMConstReal(scalar, v), lanes);
}

LLVMValueRef gen_splat(const Gen *g, LLVMValueRef scalar, int lanes)
{
    if (lanes == 1)
        return scalar;
    if (LLVMIsConstant(scalar))
        return const_splat(scalar, lanes);
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)lanes);
    LLVMValueRef one = LLVMBuildInsertElement(g->b, LLVMGetPoison(type), scalar,
                                              LLVMConstInt(g->i64, 0, false), "");
    LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(g->i32, (unsigned)lanes));
    return LLVMBuildShuffleVector(g->b, one, LLVMGetPoison(type), zeros, "");
}

LLVMValueRef gen_lane(const Gen *g, LLVMValueRef v, int lanes, int lane)
{
    if (lanes == 1)
        return v;
    return LLVMBuildExtractElement(g->b, v, LLVMConstInt(g->i64, (unsigned)lane, false), "");
}

LLVMValueRef gen_part(const Gen *g, LLVMValueRef v, int from, int n)
{
    if (n == 1)
        return gen_lane(g, v, 2, from);
    LLVMValueRef mask[MAX_LANES];
    for (int k = 0; k < n; k++)
        mask[k] = LLVMConstInt(g->i32, (unsigned)(from + k), false);
    return LLVMBuildShuffleVector(g->b, v, LLVMGetPoison(LLVMTypeOf(v)),
                                  LLVMConstVector(mask, (unsigned)n), "");
}

LLVMValueRef gen_intrinsic(const Gen *g, const char *name, int ntypes, LLVMTypeRef *types, int n,
                           LLVMValueRef *args)
{
    const unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    assert(id != 0);
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(g->m, id, types, (size_t)ntypes);
    LLVMTypeRef type = LLVMIntrinsicGetType(g->c, id, types, (size_t)ntypes);
    return LLVMBuildCall2(g->b, type, fn, args, (unsigned)n, "");
}

void gen_mark_unlikely(const Gen *g, LLVMValueRef branch)
{
    const LLVMMetadataRef weights[3] = {
        LLVMMDStringInContext2(g->c, "branch_weights", 14),
        LLVMValueAsMetadata(LLVMConstInt(g->i32, 1, false)),
        LLVMValueAsMetadata(LLVMConstInt(g->i32, 2000, false)),
    };
    LLVMMetadataRef node = LLVMMDNodeInContext2(g->c, (LLVMMetadataRef *)weights, 3);
    LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(g->c, "prof", 4),
                    LLVMMetadataAsValue(g->c, node));
}
