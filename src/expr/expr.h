/* Scalar expressions: the terms of which dims, index maps, stage bodies and loops are built.
 *
 * An expression is an id in a pool (`Exprs`), hash-consed: equal terms have equal ids, so comparing
 * is `==`. It is canonical when built: the builders below simplify (expr/build.c), nothing else
 * does. Id 0 is "none". A pool belongs to one thread; `expr_import` copies between pools.
 *
 * Types. A node has a dtype (bool, i8..i64, u8..u64, f32, f64: never a storage type, see dtype.h)
 * and lanes (1, or more in the expanded loop form only). Index arithmetic is i64, assumed not to
 * overflow. Other integers wrap. Comparisons give bool.
 *
 * Semantics (also of generated code; it never traps whatever the data):
 *   + *         i64 scalars only: any number of arguments. A sum is in linear form: its arguments are
 *               terms, terms times a constant (term * int, the constant last) and last the constant;
 *               a product has sorted factors, none of them constant. Otherwise two arguments.
 *               (An i64 comparison is always < or == or != of two such sums without common terms.)
 *   div mod     integers: floor division, mod has the divisor's sign; x/0 = 0, x mod 0 = 0.
 *               Floats: div is IEEE; mod is fmod, plus the divisor where the signs differ.
 *   tdiv tmod   C's truncating division and remainder (floats: fmod); by zero as above.
 *   min max     a < b ? a : b and a > b ? a : b, so if either is NaN, or both are equal, the result
 *               is b: max(v, acc) passes over NaNs, max(acc, v) would restart at one. They are not
 *               commutative; the builders keep the order of floats.
 *   cast        int -> int wraps; int -> float rounds to nearest even; float -> int truncates and
 *               saturates, NaN gives 0; x -> bool is x != 0 (NaN is true); bool -> x is 0 or 1.
 *   bitcast     same bit width.
 *   select      (c, a, b); both sides may be evaluated.
 *   fma         one rounding.
 *   round       to nearest, ties to even.
 *   shl shr     a shift by the width or more gives 0 (signed shr: the sign).
 *   exp_down    exp of what is not above 0 (or NaN), as the weights of a softmax: cheaper, as results below the least normal
 *               number may be 0.
 *   pow         floats: as C's pow. Integers: wrapping power; a negative exponent gives 0, 1 or -1.
 *   load        (indices...) imm = tensor id. Its dtype is dtype_compute(tensor's dtype).
 *   state       imm = k: the old value of result k, inside a REDUCE's update and combine.
 *   state2      imm = k: the other partial result, inside a combine. */
#ifndef LATHE_EXPR_EXPR_H
#define LATHE_EXPR_EXPR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/lex.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"
#include "tensor/dtype.h"

typedef uint32_t Expr;

/* op, text, form: L leaf, I infix, F function, S special */
#define EXPR_OPS(X)                                                                                \
    X(NONE, "none", 'L')                                                                           \
    X(INT, "int", 'L')     /* integer or bool constant, imm.i */                                   \
    X(FLOAT, "float", 'L') /* f32 or f64 constant, imm.f */                                        \
    X(VAR, "var", 'L')     /* imm.i = var id: an axis, a loop variable or a dim symbol */          \
    X(LOAD, "load", 'S')                                                                           \
    X(STATE, "state", 'L')                                                                         \
    X(STATE2, "state2", 'L')                                                                       \
    X(ADD, "+", 'I')                                                                               \
    X(SUB, "-", 'I') /* floats only: integer a - b is built as a + -1*b */                         \
    X(MUL, "*", 'I')                                                                               \
    X(DIV, "/", 'I')                                                                               \
    X(MOD, "%", 'I')                                                                               \
    X(TDIV, "tdiv", 'F')                                                                           \
    X(TMOD, "tmod", 'F')                                                                           \
    X(MIN, "min", 'F')                                                                             \
    X(MAX, "max", 'F')                                                                             \
    X(FMA, "fma", 'F') /* a*b + c */                                                               \
    X(NEG, "neg", 'F')                                                                             \
    X(ABS, "abs", 'F')                                                                             \
    X(AND, "&", 'I')                                                                               \
    X(OR, "|", 'I')                                                                                \
    X(XOR, "^", 'I') /* & | ^ also on bool */                                                      \
    X(NOT, "not", 'F')                                                                             \
    X(SHL, "<<", 'I')                                                                              \
    X(SHR, ">>", 'I')                                                                              \
    X(LT, "<", 'I')                                                                                \
    X(LE, "<=", 'I') /* a > b is built as b < a */                                                 \
    X(EQ, "==", 'I')                                                                               \
    X(NE, "!=", 'I')                                                                               \
    X(SELECT, "select", 'F')                                                                       \
    X(CAST, "cast", 'S') /* printed f32(x), i64(x)... */                                           \
    X(BITCAST, "bitcast", 'S')                                                                     \
    X(FLOOR, "floor", 'F')                                                                         \
    X(CEIL, "ceil", 'F')                                                                           \
    X(TRUNC, "trunc", 'F')                                                                         \
    X(ROUND, "round", 'F')                                                                         \
    X(SQRT, "sqrt", 'F')                                                                           \
    X(EXP, "exp", 'F')                                                                             \
    X(LOG, "log", 'F')                                                                             \
    X(SIN, "sin", 'F')                                                                             \
    X(COS, "cos", 'F')                                                                             \
    X(TAN, "tan", 'F')                                                                             \
    X(ASIN, "asin", 'F')                                                                           \
    X(ACOS, "acos", 'F')                                                                           \
    X(ATAN, "atan", 'F')                                                                           \
    X(SINH, "sinh", 'F')                                                                           \
    X(COSH, "cosh", 'F')                                                                           \
    X(TANH, "tanh", 'F')                                                                           \
    X(ASINH, "asinh", 'F')                                                                         \
    X(ACOSH, "acosh", 'F')                                                                         \
    X(ATANH, "atanh", 'F')                                                                         \
    X(ERF, "erf", 'F')                                                                             \
    X(EXP_DOWN, "exp_down", 'F')                                                                   \
    X(SIGMOID, "sigmoid", 'F')                                                                     \
    X(POW, "pow", 'F')                                                                             \
    /* Expanded loop form only */                                                                  \
    X(RAMP, "ramp", 'F')       /* (base), imm = step: base, base+step, ... `lanes` elements */     \
    X(BROADCAST, "bcast", 'F') /* the argument's lanes again and again */                          \
    X(VLOAD, "vload", 'S')     /* (offset): imm = buffer; `lanes` contiguous elements */           \
    X(MLOAD, "mload",                                                                              \
      'S') /* (offset, count[, first, stride]): VLOAD of lanes [first, count), others 0 */         \
    X(GATHER, "gather", 'S') /* (offsets): imm = buffer; one element a lane */                     \
    X(TILE, "tile",                                                                                \
      'S') /* (offset, stride, rows): imm = buffer; rows of lanes / rows contiguous elements */    \
    X(REG, "reg", 'L')   /* imm = register id */                                                   \
    /* (c, a, b): select of a scalar c; a is evaluated only where c holds, which imm = 1 expects */ \
    X(RARE, "rare", 'F')                                                                           \
    X(DOT, "dot", 'F')   /* (a, b, sum), imm = a row of loop/intrinsic.h: sum + a . b */           \
    X(REDUCE_ADD, "reduce_add", 'F') /* lanes -> 1; floats by pairwise halves */                   \
    X(REDUCE_MUL, "reduce_mul", 'F')                                                               \
    X(REDUCE_MIN, "reduce_min", 'F')                                                               \
    X(REDUCE_MAX, "reduce_max", 'F')

typedef enum ExprOp {
#define X(op, text, form) EX_##op,
    EXPR_OPS(X)
#undef X
    EX_COUNT
} ExprOp;

typedef struct ExprNode {
    uint8_t op;     /* ExprOp */
    uint8_t dtype;  /* DType */
    uint16_t lanes; /* 1 outside the expanded form */
    uint16_t nargs;
    bool varies;    /* reads memory, state or a register: no pure function of variables */
    uint32_t args;  /* index of the first argument in pool->arg */
    uint64_t vars;  /* bit (id % 64) of every variable used, load indices included */
    union {
        int64_t i;
        double f;
    } imm;
    int64_t low, high; /* integers: an interval that holds every value */
} ExprNode;

typedef enum VarKind {
    VAR_SYM,  /* a dim symbol: a run-time argument, the same for a whole run */
    VAR_LOOP, /* an axis of a stage, or a loop variable */
} VarKind;

typedef struct ExprVar {
    const char *name; /* unique among the symbols of a pool; loop variables may repeat */
    VarKind kind;
    Expr extent;       /* loop variables: value in [0, extent); 0: only low and high are known */
    int64_t low, high;
    int64_t multiple;  /* symbols: the value is a multiple of this */
    Expr self;         /* the VAR node */
} ExprVar;

typedef struct Exprs {
    Context *ctx;
    VEC(ExprNode) node;
    VEC(Expr) arg;
    VEC(ExprVar) var;
    uint32_t *table; /* hash table of ids */
    int table_cap, table_len;
    int proving; /* proofs under way: builders called by a proof try less hard */
    bool wrapped; /* inside expr/: a coefficient or constant left i64 (expr/linear.h) */
    struct ExprScratch *scratch; /* memory of walks and rewrites, reused (expr/memo.h) */
} Exprs;

Exprs *exprs_new(Context *ctx);
static inline const ExprNode *expr_node(const Exprs *x, Expr e)
{
    return &x->node.at[e];
}
static inline Expr expr_arg(const Exprs *x, Expr e, int k)
{
    return x->arg.at[x->node.at[e].args + (uint32_t)k];
}
static inline DType expr_type(const Exprs *x, Expr e)
{
    return (DType)x->node.at[e].dtype;
}

/* ---- leaves ---- */
Expr expr_int(Exprs *x, int64_t v);               /* i64 */
Expr expr_int_of(Exprs *x, DType t, int64_t v);   /* any integer type or bool; wraps */
Expr expr_float(Exprs *x, DType t, double v);     /* f32 (rounded) or f64 */
Expr expr_const(Exprs *x, DType t, double v);     /* of any compute type */
/* Finds the symbol of this name or makes it. */
Expr expr_sym(Exprs *x, const char *name, int64_t low, int64_t high, int64_t multiple);
/* A new symbol of the same name, of which more is known; the old one loses it, and is to be
 * replaced everywhere. */
Expr expr_sym_narrow(Exprs *x, Expr symbol, int64_t low, int64_t high);
Expr expr_loop_var(Exprs *x, const char *name, Expr extent); /* a new variable, in [0, extent) */
/* A new variable of any scalar type, about which nothing is known: the name that an L_LET gives. */
Expr expr_value_var(Exprs *x, const char *name, DType t);
Expr expr_load(Exprs *x, DType compute, int tensor, int n, const Expr *index);
Expr expr_state(Exprs *x, DType t, int k);
Expr expr_state2(Exprs *x, DType t, int k);

/* ---- builders: they simplify; operands have one dtype (and lanes) unless said otherwise ---- */
Expr expr_bin(Exprs *x, ExprOp op, Expr a, Expr b); /* ADD..MAX, AND..SHR, LT..NE, POW */
Expr expr_un(Exprs *x, ExprOp op, Expr a);          /* NEG ABS NOT, FLOOR..SIGMOID */
Expr expr_fma(Exprs *x, Expr a, Expr b, Expr c);
Expr expr_select(Exprs *x, Expr c, Expr a, Expr b);
Expr expr_cast(Exprs *x, DType to, Expr a);
Expr expr_bitcast(Exprs *x, DType to, Expr a);
Expr expr_sub(Exprs *x, Expr a, Expr b);
/* A node exactly as given, no simplification: for the expanded form. */
Expr expr_raw(Exprs *x, ExprOp op, DType t, int lanes, int64_t imm, int n, const Expr *args);
static inline Expr expr_add(Exprs *x, Expr a, Expr b) { return expr_bin(x, EX_ADD, a, b); }
static inline Expr expr_mul(Exprs *x, Expr a, Expr b) { return expr_bin(x, EX_MUL, a, b); }
static inline Expr expr_div(Exprs *x, Expr a, Expr b) { return expr_bin(x, EX_DIV, a, b); }
static inline Expr expr_mod(Exprs *x, Expr a, Expr b) { return expr_bin(x, EX_MOD, a, b); }
static inline Expr expr_min(Exprs *x, Expr a, Expr b) { return expr_bin(x, EX_MIN, a, b); }
static inline Expr expr_max(Exprs *x, Expr a, Expr b) { return expr_bin(x, EX_MAX, a, b); }
static inline Expr expr_lt(Exprs *x, Expr a, Expr b) { return expr_bin(x, EX_LT, a, b); }
static inline Expr expr_le(Exprs *x, Expr a, Expr b) { return expr_bin(x, EX_LE, a, b); }
static inline Expr expr_eq(Exprs *x, Expr a, Expr b) { return expr_bin(x, EX_EQ, a, b); }
static inline Expr expr_ne(Exprs *x, Expr a, Expr b) { return expr_bin(x, EX_NE, a, b); }
static inline Expr expr_and(Exprs *x, Expr a, Expr b) { return expr_bin(x, EX_AND, a, b); }
static inline Expr expr_or(Exprs *x, Expr a, Expr b) { return expr_bin(x, EX_OR, a, b); }
static inline Expr expr_not(Exprs *x, Expr a) { return expr_un(x, EX_NOT, a); }
/* i64 with constants, for index maps: a + n, a * n, floor(a / n), a mod n; ceil(a / b). */
Expr expr_addi(Exprs *x, Expr a, int64_t n);
Expr expr_muli(Exprs *x, Expr a, int64_t n);
Expr expr_divi(Exprs *x, Expr a, int64_t n);
Expr expr_modi(Exprs *x, Expr a, int64_t n);
Expr expr_ceil_div(Exprs *x, Expr a, Expr b);

/* ---- questions; `value` may be NULL ---- */
bool expr_is_int(const Exprs *x, Expr e, int64_t *value);  /* an integer or bool constant? */
bool expr_is_const(const Exprs *x, Expr e, double *value); /* a constant of any type? */
static inline int64_t expr_low(const Exprs *x, Expr e) { return x->node.at[e].low; }
static inline int64_t expr_high(const Exprs *x, Expr e) { return x->node.at[e].high; }
/* Proven for all values of the variables? False: not proven. i64 only. */
bool expr_proves_lt(Exprs *x, Expr a, Expr b);
bool expr_proves_le(Exprs *x, Expr a, Expr b);
bool expr_proves_multiple(Exprs *x, Expr e, int64_t of); /* of > 0 */
bool expr_uses_var(const Exprs *x, Expr e, int var); /* also inside load indices */
/* e = a*var + b with a and b free of var? (i64) */
bool expr_linear_in(Exprs *x, Expr e, int var, Expr *a, Expr *b);

/* ---- rewriting ---- */
/* Rebuilds e bottom-up, simplifying. fn sees each node before its arguments are visited and may
 * return a replacement (not visited again), or 0 to go on into the arguments. */
typedef Expr (*ExprRewriteFn)(Exprs *x, Expr e, void *arg);
Expr expr_rewrite(Exprs *x, Expr e, ExprRewriteFn fn, void *arg);
/* VAR nodes from[i] replaced by to[i]. */
Expr expr_subst(Exprs *x, Expr e, int n, const Expr *from, const Expr *to);
/* A node with new arguments, through the simplifying builders. */
Expr expr_rebuild(Exprs *x, Expr e, const Expr *new_args);
/* Copies e from another pool. var_map, by var id of `from`: where 0, symbols are found by name and
 * loop variables made anew; filled with what was chosen. */
Expr expr_import(Exprs *x, const Exprs *from, Expr e, Expr *var_map);
/* Calls fn on every node of e once, arguments first. */
typedef void (*ExprVisitFn)(const Exprs *x, Expr e, void *arg);
void expr_walk(const Exprs *x, Expr e, ExprVisitFn fn, void *arg);
/* The same with working memory of another pool: for reading a pool that other threads read too. */
void expr_walk_shared(const Exprs *scratch, const Exprs *x, Expr e, ExprVisitFn fn, void *arg);

/* ---- evaluation: scalar, exactly typed, the reference semantics ---- */
typedef struct Scalar {
    DType dtype;
    union {
        int64_t i; /* integers (in range of dtype; u64 as its bit pattern) and bool */
        double f;  /* f32 (exactly representable) and f64 */
    };
} Scalar;
typedef struct EvalEnv {
    Scalar (*load)(void *arg, int tensor, int n, const int64_t *index); /* in the compute type */
    void *arg;
    const int64_t *var;  /* value by var id */
    const Scalar *state; /* by k */
    const Scalar *state2;
} EvalEnv;
Scalar expr_eval(const Exprs *x, Expr e, const EvalEnv *env);
int64_t expr_eval_int(const Exprs *x, Expr e, const int64_t *var); /* a dim, over symbols */
/* One op applied to constants: the core of expr_eval and of constant folding. */
Scalar scalar_apply(ExprOp op, DType result, int n, const Scalar *args);
Scalar scalar_cast(DType to, Scalar a);

/* ---- text: infix, minimal parentheses; loads as NAME[...]; see expr/expr_text.c ---- */
typedef struct ExprNames {
    const char *(*tensor)(void *arg, int tensor); /* NULL: t0, t1... (buffers: b0, b1...) */
    void *arg;
    const char *(*dot)(int64_t row);              /* the instruction of an EX_DOT; NULL: dot */
} ExprNames;
void expr_print(const Exprs *x, Expr e, const ExprNames *names, Str *out);
/* Parses what expr_print writes (scalar form). Names are resolved by the scope: tensor id or -1;
 * a variable's node or 0. `want`: the type that bare constants take (DT_I64 for indices). */
typedef struct ExprScope {
    int (*tensor)(void *arg, const char *name, DType *compute, int *rank);
    Expr (*var)(void *arg, const char *name);
    DType (*state_type)(void *arg, int k);
    void *arg;
} ExprScope;
Expr expr_parse(Exprs *x, Lexer *lex, const ExprScope *scope, DType want);
const char *expr_op_text(ExprOp op);

#endif
