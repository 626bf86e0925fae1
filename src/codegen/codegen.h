/* Expanded loops -> machine code. The only folder that includes LLVM's headers.
 *
 * One call compiles one kernel, or some: each phase becomes a function NAME_pK of the kernel ABI
 * (runtime/abi.h) with the loop over [begin, end) in it. Explicit vectors come from the expanded
 * form; LLVM runs `function(sroa,early-cse)` and code generation only. Thread safe: each call has
 * its own LLVM context and target machine. */
#ifndef LATHE_CODEGEN_CODEGEN_H
#define LATHE_CODEGEN_CODEGEN_H

#include "loop/loops.h"
#include "runtime/image.h"
#include "target/target.h"

typedef struct CodegenResult {
    /* entry k is phase k, kernel after kernel; memory of the context's arena */
    Image image;
    const char *assembly; /* only if asked for */
    const char *ir;       /* only if asked for */
} CodegenResult;

typedef struct CodegenOptions {
    bool want_assembly, want_ir;
    bool any_address; /* what is passed may lie at any address, not at a multiple of 64 */
} CodegenOptions;

/* LLVM's: 190107 is 19.1.7. For keys of what is kept. */
int codegen_version(void);

CodegenResult codegen_compile(Context *ctx, const Loops *expanded, const Target *target,
                              const CodegenOptions *options);
/* Several in one image: what LLVM does before its first instruction takes as long as a small
 * kernel. */
CodegenResult codegen_compile_all(Context *ctx, int n, const Loops *const *expanded,
                                  const Target *target, const CodegenOptions *options);

#endif
