/* What the files of codegen/ share while one kernel is emitted: LLVM's objects and the memo.
 *
 * Values. Every node of an expression is emitted once where that is safe: a value stays valid while
 * it dominates (its loop or branch is open) and, if it reads memory or registers, until the next
 * store or set. early-cse finds what this leaves. Types: bool is i1, the others are themselves;
 * lanes > 1 make vectors.
 *
 * Memory. A buffer is a base pointer and a storage type; each argument buffer that does not overlap
 * others has an alias scope, so that LLVM keeps loads across stores to other buffers. */
#ifndef LATHE_CODEGEN_GEN_H
#define LATHE_CODEGEN_GEN_H

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "codegen/codegen.h"

typedef struct Memoised {
    LLVMValueRef value; /* NULL: none */
    uint32_t reads;     /* READS_* */
    uint32_t mem, reg;  /* the epochs it was read in */
    int depth;          /* of the innermost loop it depends on */
} Memoised;

enum { READS_MEMORY = 1, READS_REGISTERS = 2 };

typedef struct MemoUndo { /* what to put back when a loop or branch closes */
    Expr e;
    LLVMValueRef old;
} MemoUndo;

typedef struct GenBuffer {
    const LoopBuffer *of;
    LLVMTypeRef element;    /* in memory */
    LLVMValueRef base;
    unsigned align;         /* of elements */
    LLVMValueRef scope;     /* alias.scope and noalias metadata; NULL: none */
    LLVMValueRef noalias;
} GenBuffer;

typedef struct GenTiles GenTiles; /* emit_tile.c */

typedef struct Gen {
    Context *ctx;
    const Loops *l;
    const Exprs *x;
    const Target *target;
    bool any_address;      /* CodegenOptions */
    LLVMContextRef c;
    LLVMModuleRef m;
    LLVMBuilderRef b;
    LLVMValueRef fn;       /* the phase being emitted */
    LLVMTypeRef i1, i8, i16, i32, i64, f16, f32, f64, ptr;
    GenBuffer *buffer;     /* by buffer id */
    LLVMValueRef *reg;     /* by register id: allocas */
    Memoised *memo;        /* by expression id */
    VEC(MemoUndo) undo;
    uint32_t mem_epoch, reg_epoch;
    int depth;             /* loops and branches open */
    GenTiles *tiles;       /* of the block of tiles being emitted; NULL: none */
    bool has_tiles, tile_config_once; /* the phase */
    bool wide;             /* the phase has vectors of more than 32 bytes */
    unsigned scope_kind, noalias_kind;
} Gen;

/* ---- llvm.c: types, constants, small instructions ---- */
void gen_init_types(Gen *g);
LLVMTypeRef gen_scalar(const Gen *g, DType compute);
LLVMTypeRef gen_vector(LLVMTypeRef scalar, int lanes); /* the scalar itself if lanes is 1 */
LLVMTypeRef gen_type(const Gen *g, DType compute, int lanes);
LLVMValueRef gen_int(LLVMTypeRef scalar, int lanes, int64_t v);
LLVMValueRef gen_real(LLVMTypeRef scalar, int lanes, double v);
LLVMValueRef gen_splat(const Gen *g, LLVMValueRef scalar, int lanes);
/* the value if lanes is 1 */
LLVMValueRef gen_lane(const Gen *g, LLVMValueRef v, int lanes, int lane);
/* lanes [from, from + n) of a vector */
LLVMValueRef gen_part(const Gen *g, LLVMValueRef v, int from, int n);
/* Calls llvm.NAME overloaded on `types`. */
LLVMValueRef gen_intrinsic(const Gen *g, const char *name, int ntypes, LLVMTypeRef *types, int n,
                           LLVMValueRef *args);
/* Tells LLVM that a conditional branch hardly ever goes to its first block. */
void gen_mark_unlikely(const Gen *g, LLVMValueRef branch);
static inline LLVMValueRef gen_select(const Gen *g, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(g->b, c, a, b, "");
}
static inline LLVMValueRef gen_icmp(const Gen *g, LLVMIntPredicate p, LLVMValueRef a,
                                    LLVMValueRef b)
{
    return LLVMBuildICmp(g->b, p, a, b, "");
}

/* ---- emit_expr.c ---- */
LLVMValueRef gen_expr(Gen *g, Expr e);
/* a sum or product of the first nargs arguments */
LLVMValueRef gen_chain(Gen *g, Expr e, int nargs);
void gen_bind(Gen *g, Expr var, LLVMValueRef v); /* a variable's value from here on */
int gen_open(Gen *g);             /* enters a loop or branch */
void gen_close(Gen *g, int mark); /* leaves it: what was emitted inside no longer dominates */

/* ---- emit_op.c: one op on emitted operands ---- */
LLVMValueRef gen_op(Gen *g, Expr e, const LLVMValueRef *args);

/* ---- emit_dot.c: dot instructions ---- */
LLVMValueRef gen_dot(Gen *g, Expr e);

/* ---- emit_tile.c: dot instructions on tiles ---- */
void gen_tiles_enter(Gen *g, int body); /* of a phase, before its loop */
void gen_tiles_leave(Gen *g);           /* after it */
void gen_tiles_open(Gen *g, const LoopStmt *block);
void gen_tiles_close(Gen *g);
/* variables change: operands that were loaded are no longer these */
void gen_tiles_forget(Gen *g);
bool gen_is_tile(const Gen *g, Expr e); /* an accumulator? */
void gen_tile_set(Gen *g, const LoopStmt *s);
void gen_tile_store(Gen *g, const LoopStmt *s);

/* ---- emit_divide.c: integer division ---- */
LLVMValueRef gen_divide(Gen *g, Expr e, LLVMValueRef a, LLVMValueRef b);

/* ---- emit_memory.c ---- */
LLVMValueRef gen_load(Gen *g, Expr e);
/* The elements of an EX_VLOAD as they lie in memory, as one value of type `type`, which is as
 * long. */
LLVMValueRef gen_load_raw(Gen *g, Expr e, LLVMTypeRef type);
void gen_store(Gen *g, const LoopStmt *s);
void gen_fetch(Gen *g, const LoopStmt *s);
LLVMValueRef gen_address(Gen *g, int buffer, Expr offset);

/* ---- storage.c: storage type in memory <-> compute type in registers ---- */
LLVMTypeRef storage_type(const Gen *g, DType t);
LLVMValueRef storage_decode(Gen *g, DType t, LLVMValueRef raw, int lanes);
LLVMValueRef storage_encode(Gen *g, DType t, LLVMValueRef v, int lanes);

/* ---- emit_stmt.c ---- */
void gen_phase(Gen *g, int phase, const char *name);

#endif
