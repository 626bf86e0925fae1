/* Inside the oracle: expressions of one nest of axes as straight-line code.
 *
 * Instructions are sorted by *level*: the innermost axis on which they depend (0: none, k + 1: axis
 * k, naxes + 1: the state). When axis k moves, only levels from k + 1 on run again. Both sides of a
 * select are evaluated, but for their loads: a load that stands only in sides that are not taken
 * gives 0 without looking, since the element may be one that is being computed (a SCAN's first
 * step reads no step before it). */
#ifndef LATHE_LOOP_ORACLE_PROGRAM_H
#define LATHE_LOOP_ORACLE_PROGRAM_H

#include "loop/oracle.h"

#define PROGRAM_ARGS 72 /* arguments of an instruction: sums are the longest */

typedef union Word {
    int64_t i;
    double f;
} Word;

typedef struct Value { /* a value with its magnitude (0 in ORACLE_EXACT) */
    Word w;
    double magnitude;
} Value;

typedef struct Guard { /* the side `taken` of a select in the side `parent` of another */
    int condition;     /* slot */
    bool taken;
    int parent; /* 0: none */
} Guard;

typedef struct Instr {
    uint8_t op;   /* ExprOp */
    uint8_t type; /* of the result; f64 for all floats in ORACLE_DOUBLE */
    uint8_t from; /* of the last argument */
    uint16_t nargs;
    int32_t args;  /* index in Program.arg */
    int32_t guard; /* LOAD: where it stands; 0: it is always needed */
    int64_t imm;
} Instr;

typedef struct Program {
    int naxes;
    VEC(Instr) code;         /* instruction k writes slot k */
    VEC(int) arg;            /* slots */
    VEC(Guard) guard;        /* parents first; 0 is none */
    int level[MAX_AXES + 3]; /* first instruction of level l; the last one is the end */
    int axis[MAX_AXES];      /* slot of an axis, -1: not used */
    int root[MAX_RANK + MAX_RESULTS + 2]; /* slots of the expressions */
    Value *spare[8];                      /* frames for reuse */
    int nspare;
} Program;

typedef struct Oracle Oracle;
struct Oracle {
    Context *ctx;
    const Stages *s;
    const int64_t *sym;
    OracleMode mode;
    /* The element at this index (by axis), which is checked. */
    Value (*load)(Oracle *o, int tensor, const int64_t *index);
};

Program *program_new(Oracle *o, int naxes, const Axis *axis, int nroots, const Expr *roots);
Value *program_frame(Oracle *o, Program *p); /* slots of one run: runs may nest */
void program_done(Program *p, Value *frame);
/* Runs levels from `level` on; axes are set in the frame before (program_set). */
void program_run(Oracle *o, const Program *p, Value *frame, int level, const Value *state);
static inline void program_set(const Program *p, Value *frame, int axis, int64_t at)
{
    if (p->axis[axis] >= 0)
        frame[p->axis[axis]] = (Value){.w.i = at};
}

/* oracle_error.c: the magnitude of an instruction's result. */
double magnitude_of(const Instr *in, Word result, const Value *const *arg);
double magnitude_stored(DType t, double value, double magnitude);

#endif
