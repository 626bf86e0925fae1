/* Loops: how a group is computed. One representation, two forms, each with a verifier; both are run
 * by the loop interpreter (loop/interp.h).
 *
 * Structured form (made by lower, shown in golden text): loads are EX_LOAD(buffer, logical
 * index...), stores have logical indices; FOR loops carry marks; expressions are scalar.
 *
 * Expanded form (made by expand, all that back ends see): no vector, unroll or parallel mark is
 * left. Memory is reached by element offsets: EX_VLOAD (lanes contiguous elements from a scalar i64
 * offset; lanes 1 is a plain scalar load), EX_MLOAD (first `count` lanes, the others are not
 * touched and read 0; with two numbers more: lanes [a, count), n elements apart), EX_GATHER (i64
 * offsets, one a lane). EX_DOT is a dot instruction (loop/intrinsic.h) on operands that are loads,
 * or broadcasts of loads: the back end takes them as they lie, unconverted. On tiles its operands
 * are EX_TILEs, and its sum is a register with rows: such registers hold values only inside a block
 * marked MARK_TILES, are set to an EX_TILE or an EX_DOT and stored by L_STORE. Buffers of scope REG
 * are gone: registers (EX_REG, L_SET) hold scalars or vectors. A load's type is the compute type of
 * its buffer, a store takes the compute type: the back end converts storage types (f16, bf16, fp8,
 * fp4: round to nearest even, overflow as dtype_write without saturation; i4 u4 i2 u2: truncate to
 * the low bits).
 *
 * Every offset is in bounds whatever the data: lowering clamps what it cannot prove. (That of an
 * L_FETCH need not be: it is a hint that memory there is read soon, and means nothing.)
 *
 * A kernel is a list of phases. A phase is one parallel loop: its variable `par` runs over [0,
 * extent); a caller runs any partition of that range on any threads, then the next phase. Phases in
 * a row with one `step` variable advance together: all of them, in turn, for step 0, then for step
 * 1, .. (the time steps of a recurrent cell: each is a parallel loop, and the next begins when it
 * is done). Scratch is private to the caller's thread; nothing survives in it from one value of
 * `par` to the next.
 */
#ifndef LATHE_LOOP_LOOPS_H
#define LATHE_LOOP_LOOPS_H

#include "loop/part.h"

enum { MAX_MLOAD_LANES = 64, MAX_MLOAD_STRIDE = 4 }; /* of an EX_MLOAD with four arguments */

typedef enum BufferScope {
    SCOPE_ARG, /* a pointer from bufs[]: inputs, constants, outputs, temporaries shared by phases */
    SCOPE_SCRATCH, /* at a constant byte offset from `scratch`, 64-byte aligned */
    SCOPE_REG,     /* structured form only: constant extents, indices constant after unrolling */
} BufferScope;

typedef struct LoopBuffer {
    const char *name;
    DType dtype;
    int rank;
    Expr dim[MAX_RANK];
    Layout layout;
    Part part;       /* SCOPE_ARG: the pointer is the whole's */
    BufferScope scope;
    int arg;         /* SCOPE_ARG: index in bufs[]; below 0: not used (any more) */
    int64_t offset;  /* SCOPE_SCRATCH: bytes */
    int64_t size;    /* bytes, of scratch that was meant to be registers; 0: not known */
    bool written;    /* stored to by some phase */
    bool alias;      /* may overlap others that say so too (in place): no noalias among these */
} LoopBuffer;

/* MARK_TILES: of an L_BLOCK of the expanded form (above).
 * MARK_DOT: may be run inside one instruction (loop/intrinsic.h); the meaning is that of
 * MARK_SERIAL. */
typedef enum LoopMark {
    MARK_SERIAL,
    MARK_PARALLEL,
    MARK_VECTOR,
    MARK_UNROLL,
    MARK_DOT,
    MARK_TILES
} LoopMark;

typedef enum LoopOp {
    L_BLOCK, /* children in order */
    L_FOR,   /* var from 0 to extent-1: children */
    L_IF,    /* if value (bool scalar): children */
    L_LET, /* var (i64 scalar or any scalar type) = value, visible to the statements after it in the
              block */
    L_STORE, /* buffer[index...] = value; expanded: index[0] is the offset (i64; with lanes: a
                scatter), index[1], if any, is the count of lanes stored (from lane 0); of a tile:
                the stride of its rows */
    L_SET,   /* expanded: register `buffer` = value */
    L_FETCH, /* bring near, for reading: what lies `value` elements behind buffer[index...];
                expanded: at offset index[0] */
} LoopOp;

typedef struct LoopStmt {
    LoopOp op;
    LoopMark mark;
    Expr var;    /* FOR, LET: VAR node */
    Expr extent; /* FOR: i64 */
    Expr value;
    int buffer;  /* STORE: buffer id; SET: register id */
    int nindex;
    Expr index[MAX_RANK];
    VEC(int) child; /* statement ids */
} LoopStmt;

typedef struct LoopPhase {
    Expr par;    /* VAR node of the parallel loop */
    Expr extent; /* i64 over symbols */
    int body;    /* statement id (a BLOCK) */
    Expr step;   /* VAR node, in [0, steps); 0: the phase runs once */
    Expr steps;  /* i64 over symbols */
} LoopPhase;

typedef struct LoopReg {
    DType dtype;
    int lanes;
    int rows; /* of a tile: that many rows of lanes / rows elements; 0: a scalar or vector */
} LoopReg;

typedef struct Loops {
    Context *ctx;
    Exprs *x;
    const char *name;
    bool expanded;
    VEC(LoopBuffer) buffer;
    VEC(LoopStmt) stmt;
    VEC(LoopPhase) phase;
    VEC(LoopReg) reg;       /* expanded */
    VEC(Expr) sym;          /* VAR nodes of the symbols in the order of syms[] */
    int64_t scratch_bytes;  /* a thread needs this much */
    int nargs;              /* length of bufs[] */
} Loops;

Loops *loops_new(Context *ctx, Exprs *x, const char *name);
int loops_stmt(Loops *l, LoopOp op); /* a new statement, its id */
void loops_append(Loops *l, int parent, int child);

/* False, and why: forms, types, scopes, constant extents of vector loops, registers in range. */
bool loops_verify(const Loops *l, Str *why);
/* The phase after the last that advances in steps together with `phase`. */
int loops_group_end(const Loops *l, int phase);
void loops_print(const Loops *l, Str *out);

#endif
