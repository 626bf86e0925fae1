/* Program: the linked form that the runtime runs. Flat arrays, 32-bit ids, no pointers into itself
 * but names, constants and layouts: easy to write to a file and to check.
 *
 * Values are 64-bit integers (and, for shape arithmetic, the other scalar types): constants,
 * variables and operations on earlier values with the semantics of expr/expr.h. Variables are set
 * by the dims of inputs before the first step, and by steps; the step EVAL recomputes the values
 * that depend on them. Values that depend on input dims alone are computed once per shape; the
 * others are `late`.
 *
 * Buffers. The memory of a TEMP whose size is not late is planned by lifetime (runtime/plan.h), in
 * place where `replaces` allows it. A SLOT, or an OUTPUT of late size, is allocated by the step
 * ALLOC and keeps its memory for the next run.
 *
 * Steps run in order from 0. All offsets are in bytes.
 *
 *     KERNEL kernel nread nwrite nsym nphase, read buffers.., written buffers.., sym values.., extent values.., steps..
 *            steps: for each phase a value, the steps that it advances in with those after it that join it
 *            (KERNEL_JOINS); KERNEL_ONCE: it runs once
 *     EXTERN name blob nin nout nvar, input buffers (-1 absent).., output buffers.., variables..
 *            calls the routine of kernel/host.h with this name (a text); the blob is a HostArgs. `variables`
 *            lists, for each output whose size may depend on data, all dims in order: the variable that gets
 *            its size, or -1 if the dim is known already. Allocates outputs that are SLOTs or of late size
 *     EVAL   values..                    recomputes them in this order
 *     SET    variable value
 *     READ   variable buffer index       one element of an integer or bool buffer; index is a value
 *     WRITE  buffer index value         the reverse
 *     JUMP   step
 *     BRANCH value step                  jumps if the value is 0
 *     ALLOC  buffer                      memory for its dims as they are now; contents undefined
 *     GROW   buffer                      the same, keeping its contents
 *     VIEW   buffer                      binds a view again, after its parent or offset changed
 *     COPY   to to_offset from from_offset bytes     values; -1: 0, and all of `from`
 *     CHECK  a b message                 the run fails with the message if the values differ */
#ifndef LATHE_RUNTIME_PROGRAM_H
#define LATHE_RUNTIME_PROGRAM_H

#include "base/str.h"
#include "expr/expr.h"
#include "kernel/host.h"
#include "runtime/image.h"
#include "tensor/layout.h"

#define PROGRAM_FORMAT 7

/* What to do about a run that is refused because two open sizes differ and one of them is 1. */
#define BROADCAST_HINT                                                                             \
    "an open size of 1 is not broadcast: compile for these sizes, with --bind or without "         \
    "--symbolic"

typedef struct ProgramValue {
    uint8_t op;    /* ExprOp: EX_INT, EX_FLOAT, EX_VAR, or an operation of scalar_apply */
    uint8_t dtype;
    uint8_t narg;
    uint8_t late;  /* depends on a variable that a step sets */
    int32_t arg[3]; /* earlier values */
    union {
        int64_t i; /* EX_INT; EX_VAR: index of the variable */
        double f;
    } imm;
} ProgramValue;

typedef struct ProgramVar {
    const char *name;
    int32_t value;       /* its EX_VAR value */
    /* set from this dim; input -1: set by a step. A dim may have several: names of one size */
    int32_t input, axis;
} ProgramVar;

typedef enum BufferKind {
    BUF_INPUT,
    BUF_OUTPUT,
    BUF_CONST,
    BUF_TEMP,
    BUF_SLOT,
    BUF_VIEW,
    BUF_KINDS
} BufferKind;

typedef struct ProgramBuffer {
    uint8_t kind, dtype, rank;
    uint8_t device;           /* 0: the host */
    int32_t dim[MAX_RANK];    /* values */
    Layout layout;
    int32_t index;            /* INPUT, OUTPUT, CONST: which */
    int32_t parent, offset;   /* VIEW: buffer (declared earlier), value (-1: 0) */
    int32_t
        replaces; /* TEMP: another of its size, declared earlier, over which the kernel that writes
                   * this first and reads that may write it, element by element; 0: none */
} ProgramBuffer;

typedef struct ProgramConst {
    const void *data; /* 64-byte aligned */
    size_t bytes;
} ProgramConst;

typedef struct ProgramPort { /* an input or output of the model */
    const char *name;
    int32_t buffer;
} ProgramPort;

typedef struct ProgramKernel {
    const char *name;
    int32_t entry;         /* index of its first phase in the image; the others follow */
    int32_t nphase;
    int64_t scratch_bytes; /* a worker needs this much */
    float unit_ns;         /* estimate of one unit of the parallel loop; 0: unknown */
    /* of one call; 0: unknown. This and what follows are for reports alone */
    double flops;
    const char *source;    /* where the schedule comes from */
    uint32_t product;      /* PeakProduct: what multiplies in it */
} ProgramKernel;

#define STEP_KINDS(X)                                                                              \
    X(KERNEL)                                                                                      \
    X(EXTERN) X(EVAL) X(SET) X(READ) X(WRITE) X(JUMP) X(BRANCH) X(ALLOC) X(GROW) X(VIEW) X(COPY)   \
        X(CHECK)

typedef enum StepCode {
#define X(name) PSTEP_##name,
    STEP_KINDS(X)
#undef X
    PSTEP_COUNT
} StepCode;

typedef struct ProgramStep {
    uint8_t code;   /* StepCode */
    uint8_t device;
    int32_t origin; /* text: the model's node, for profiles and messages; -1 none */
    int32_t arg, narg; /* operands in Program.arg */
} ProgramStep;

typedef struct HostArgs { /* attributes of a host routine, as kernel/host.h lists them */
    int64_t ints[HOST_MAX_ARGS];
    double floats[HOST_MAX_ARGS];
} HostArgs;

typedef struct ProgramBlob {
    const void *data;
    size_t bytes;
} ProgramBlob;

typedef struct Program {
    int nvalue, nvar, nbuffer, nconst, ninput, noutput, nkernel, nstep, narg, ntext, nblob;
    const ProgramValue *value;
    const ProgramVar *var;
    const ProgramBuffer *buffer;
    const ProgramConst *constant;
    const ProgramPort *input, *output;
    const ProgramKernel *kernel;
    const ProgramStep *step;
    const int32_t *arg;
    const char *const *text;
    const ProgramBlob *blob;
    const char *precision; /* --precision that it was compiled with, for people; "": not said */
} Program;

/* Everything in range, so that running is safe whatever the file said; `nentries`: phases in the
 * image. */
bool program_verify(const Program *p, int nentries, Str *why);
void program_print(const Program *p, Str *out);

enum { KERNEL_ONCE = -1, KERNEL_JOINS = -2 };

/* Where the operands of a KERNEL or EXTERN step lie. */
typedef struct KernelStep {
    int kernel, nread, nwrite, nsym, nphase;
    const int32_t *buffer; /* nread + nwrite */
    const int32_t *sym, *extent;
    const int32_t *steps; /* values, KERNEL_ONCE or KERNEL_JOINS */
} KernelStep;
typedef struct ExternStep {
    int name, blob, nin, nout, nvar;
    const int32_t *in, *out, *var;
} ExternStep;
KernelStep program_kernel_step(const Program *p, const ProgramStep *s);
ExternStep program_extern_step(const Program *p, const ProgramStep *s);

/* Of one kind, with the same place for each element, whatever the dims are. */
bool program_same_size(const ProgramBuffer *a, const ProgramBuffer *b);
/* Recomputes value `v` from earlier ones in `at`. */
void program_eval(const Program *p, int v, Scalar *at);
/* Bytes of a buffer whose dims have these values; ERR_MEMORY-like failure: -1 (negative dim or
 * overflow). */
int64_t program_buffer_bytes(const Program *p, int buffer, const Scalar *at);
/* The same with at least one element (of a blocked axis: one block) in each dim; *empty: some dim
 * is 0. */
int64_t program_buffer_room(const Program *p, int buffer, const Scalar *at, bool *empty);

#endif
