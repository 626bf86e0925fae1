/* Making programs: what linking, and tests of the runtime, write them with. Equal values get one
 * id.
 *
 *     ProgramBuilder *b = build_new(arena);
 *     int n = build_var(b, "N", 0, 0);                        // dim 0 of input 0
 *     int x = build_buffer(b, (ProgramBuffer){.kind = BUF_INPUT, .dtype = DT_F32, .rank = 1, .dim = {build_var_value(b, n)}});
 *     ...
 *     build_step(b, PSTEP_KERNEL, nargs, args);
 *     const Program *p = build_finish(b);
 *
 * build_step for EVAL takes variables; build_finish replaces them by the values that depend on
 * them. */
#ifndef LATHE_RUNTIME_PROGRAM_BUILD_H
#define LATHE_RUNTIME_PROGRAM_BUILD_H

#include "runtime/program.h"

typedef struct ProgramBuilder {
    Arena *arena;
    VEC(ProgramValue) value;
    VEC(ProgramVar) var;
    VEC(ProgramBuffer) buffer;
    VEC(ProgramConst) constant;
    VEC(ProgramPort) input;
    VEC(ProgramPort) output;
    VEC(ProgramKernel) kernel;
    VEC(ProgramStep) step;
    VEC(int32_t) arg;
    VEC(const char *) text;
    VEC(ProgramBlob) blob;
    IntMap values;   /* hash of a value -> the newest with that hash */
    StrMap texts;
    VEC(int32_t) same; /* by value: an older one with the same hash; -1 */
    int32_t origin;  /* of the steps that follow */
    const char *precision; /* "" */
} ProgramBuilder;

ProgramBuilder *build_new(Arena *a);
int build_int(ProgramBuilder *b, int64_t v);
int build_value(ProgramBuilder *b, ProgramValue v); /* `late` is set here */
int build_op(ProgramBuilder *b, ExprOp op, DType t, int narg, const int32_t *arg);
int build_add(ProgramBuilder *b, int x, int y); /* of i64 */
int build_mul(ProgramBuilder *b, int x, int y);
/* input -1: set by a step */
int build_var(ProgramBuilder *b, const char *name, int input, int axis);
int build_var_value(const ProgramBuilder *b, int var);
int build_buffer(ProgramBuilder *b, ProgramBuffer buffer);
/* Inputs and outputs get their index here; the buffer's kind says which list. */
int build_port(ProgramBuilder *b, const char *name, ProgramBuffer buffer);
int build_const(ProgramBuilder *b, DType t, int rank, const int64_t *dims, const Layout *layout,
                const void *data, size_t bytes);
int build_kernel(ProgramBuilder *b, ProgramKernel k);
int build_text(ProgramBuilder *b, const char *text);
int build_blob(ProgramBuilder *b, const void *data, size_t bytes);
int build_step(ProgramBuilder *b, StepCode code, int narg, const int32_t *arg);
void build_patch(ProgramBuilder *b, int step, int operand, int32_t value);
bool build_is_late(const ProgramBuilder *b, int value);
/* A buffer of these dims: TEMP, or SLOT if a dim is late. */
BufferKind build_temp_kind(const ProgramBuilder *b, int rank, const int32_t *dim);
const Program *build_finish(ProgramBuilder *b);

#endif
