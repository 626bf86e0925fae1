/* Every op on every compute type, scalar and vector, over all pairs of edge values: generated code
 * against the interpreter, which applies expr/'s scalar semantics. Compiling for every level also
 * shows that no op needs a library call: the linker refuses undefined symbols. */
#include "kernels.h"

static const DType types[] = {DT_BOOL, DT_I8,  DT_U8,  DT_I16, DT_U16, DT_I32,
                              DT_U32,  DT_I64, DT_U64, DT_F32, DT_F64};
enum { TYPES = 11, VALUES = 32, PAIRS = VALUES * VALUES };

static const double float_values[VALUES] = {
    0.0,           -0.0,         1.0,
    -1.0,          0.5,          -0.5,
    1.5,           2.5,          -2.5,
    3.0,           -3.75,        127.5,
    128.5,         -129.0,       255.6,
    32768.5,       65536.0,      2147483648.0,
    -2147483904.0, 4294967296.0, 9.2233720368547758e18,
    1.9e19,        -1e30,        INFINITY,
    -INFINITY,     NAN,          1e-40,
    -1e-45,        0x1p-126,     0x1.fffffep127,
    8388609.0,     1.0 / 3,
};

static void fill_values(DType t, void *out)
{
    for (int k = 0; k < VALUES; k++) {
        uint8_t *p = (uint8_t *)out + k * dtype_size(t);
        if (dtype_is_float(t)) {
            dtype_write(t, p, float_values[k], false);
            continue;
        }
        /* Around 0, around the ends, powers of two, and some more. */
        static const int64_t base[VALUES] = {
            0,    1,    -1,   2,     3,     7,     8,          -2, -3,  -8,  31,
            32,   33,   63,   64,    65,    15,    16,         5,  100, 127, 128,
            -128, -129, 1000, 32767, 32768, 65535, 2147483647, 0,  0,   0,
        };
        int64_t v = base[k];
        const int bits = dtype_bits(t);
        if (k == 29)
            v = (int64_t)((uint64_t)1 << (bits - 1)); /* the least signed value */
        if (k == 30)
            v = (int64_t)(((uint64_t)1 << (bits - 1)) - 1);
        if (k == 31)
            v = (int64_t)0x123456789abcdef1;
        dtype_write_int(t, p, t == DT_BOOL ? k & 1 : v);
    }
}

typedef struct OpTest {
    Kernel k;
    DType t;
    int lanes;
    Expr a, b, c, at;
} OpTest;

static void out(OpTest *o, DType t, Expr v)
{
    const int y = kernel_buffer(&o->k, "y", t, PAIRS, true, NULL);
    kernel_store(&o->k, o->k.body, y, o->at, 0, v);
}

static void put_op(OpTest *o, ExprOp op)
{
    const bool compares = op >= EX_LT && op <= EX_NE;
    out(o, compares ? DT_BOOL : o->t,
        kernel_op2(&o->k, op, compares ? DT_BOOL : o->t, o->lanes, o->a, o->b));
}

static void put_unary(OpTest *o, ExprOp op)
{
    out(o, o->t, kernel_op1(&o->k, op, o->t, o->lanes, 0, o->a));
}

static void put_ops(OpTest *o)
{
    const bool is_float = dtype_is_float(o->t), is_bool = o->t == DT_BOOL;
    Kernel *k = &o->k;
    static const ExprOp binary[] = {EX_ADD, EX_SUB, EX_MUL, EX_MIN, EX_MAX,
                                    EX_LT,  EX_LE,  EX_EQ,  EX_NE};
    static const ExprOp integer[] = {EX_DIV, EX_MOD, EX_TDIV, EX_TMOD, EX_SHL, EX_SHR};
    static const ExprOp bits[] = {EX_AND, EX_OR, EX_XOR};
    static const ExprOp rounding[] = {EX_FLOOR, EX_CEIL, EX_TRUNC, EX_ROUND};
    for (int i = 0; i < 9; i++)
        put_op(o, binary[i]);
    for (int i = 0; i < 6 && !is_float && !is_bool; i++)
        put_op(o, integer[i]);
    for (int i = 0; i < 3 && !is_float; i++)
        put_op(o, bits[i]);
    for (int i = 0; i < 4 && !is_bool; i++)
        put_unary(o, rounding[i]);
    if (is_float) {
        put_op(o, EX_DIV);
        put_unary(o, EX_SQRT);
    } else {
        put_unary(o, EX_NOT);
    }
    if (!is_bool) {
        put_unary(o, EX_NEG);
        put_unary(o, EX_ABS);
        out(o, o->t, kernel_op(k, EX_FMA, o->t, o->lanes, 0, 3, (Expr[]){o->a, o->b, o->c}));
    }
    const Expr less = kernel_op2(k, EX_LT, DT_BOOL, o->lanes, o->a, o->b);
    out(o, o->t, kernel_op(k, EX_SELECT, o->t, o->lanes, 0, 3, (Expr[]){less, o->b, o->c}));
    for (int i = 0; i < TYPES; i++)
        out(o, types[i], kernel_op1(k, EX_CAST, types[i], o->lanes, 0, o->a));
    for (int i = 0; i < TYPES; i++)
        if (dtype_bits(types[i]) == dtype_bits(o->t))
            out(o, types[i], kernel_op1(k, EX_BITCAST, types[i], o->lanes, 0, o->a));
}

/* Divisions whose divisor is a constant: no two of these are the same instructions. */
static void put_constant_divisions(OpTest *o)
{
    static const ExprOp ops[] = {EX_DIV, EX_MOD, EX_TDIV, EX_TMOD};
    static const int64_t by[] = {1, 2, 7, 8, 100, -1, -3, 0};
    for (int d = 0; d < 8; d++)
        for (int i = 0; i < 4; i++) {
            const Expr c = expr_int_of(o->k.x, o->t, by[d]);
            const Expr v = kernel_op1(&o->k, EX_BROADCAST, o->t, o->lanes, 0, c);
            out(o, o->t, kernel_op2(&o->k, ops[i], o->t, o->lanes, o->a, v));
        }
}

/* Floats that are limited before they become bytes, as quantizing does: to the type's range, by
 * less and by more, and with the limits first, where a NaN comes through. */
static void put_limited_casts(OpTest *o)
{
    static const DType to[] = {DT_I8, DT_U8, DT_I16, DT_U16};
    static const double more[][2] = {{0, 0}, {3, -3}, {-1, 0}, {0, 1}};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 8; j++) {
            Expr v = o->a, end[2];
            for (int k = 0; k < 2; k++) {
                const double limit = k == 0 ? dtype_lowest(to[i]) : dtype_highest(to[i]);
                end[k] = kernel_op1(&o->k, EX_BROADCAST, o->t, o->lanes, 0,
                                    expr_float(o->k.x, o->t, limit + more[j / 2][k]));
                const bool first = j & 1;
                v = kernel_op2(&o->k, k == 0 ? EX_MAX : EX_MIN, o->t, o->lanes, first ? end[k] : v,
                               first ? v : end[k]);
            }
            out(o, to[i], kernel_op1(&o->k, EX_CAST, to[i], o->lanes, 0, v));
        }
}

static OpTest op_test(Context *ctx, DType t, int lanes, const char *name)
{
    OpTest o = {.t = t, .lanes = lanes};
    o.k = kernel_new(ctx, name, "i", PAIRS / lanes);
    uint64_t values[VALUES];
    fill_values(t, values);
    const int a = kernel_buffer(&o.k, "a", t, PAIRS, false, NULL);
    const int b = kernel_buffer(&o.k, "b", t, PAIRS, false, NULL);
    const int c = kernel_buffer(&o.k, "c", t, PAIRS, false, NULL);
    const int size = dtype_size(t);
    const uint8_t *v = (const uint8_t *)values;
    for (int i = 0; i < PAIRS; i++) {
        memcpy((uint8_t *)o.k.data[a] + i * size, v + (i / VALUES) * size, (size_t)size);
        memcpy((uint8_t *)o.k.data[b] + i * size, v + (i % VALUES) * size, (size_t)size);
        memcpy((uint8_t *)o.k.data[c] + i * size, v + (i * 7 % VALUES) * size, (size_t)size);
    }
    o.at = expr_muli(o.k.x, kernel_par(&o.k), lanes);
    o.a = kernel_load(&o.k, a, lanes, o.at);
    o.b = kernel_load(&o.k, b, lanes, o.at);
    o.c = kernel_load(&o.k, c, lanes, o.at);
    return o;
}

static const int lane_counts[] = {1, 16};

static void all_ops(Context *ctx, void *arg)
{
    for (int t = 0; t < TYPES; t++)
        for (int n = 0; n < 2; n++) {
            OpTest o = op_test(ctx, types[t], lane_counts[n], "all_ops");
            put_ops(&o);
            kernel_check(&o.k, arg, NULL);
        }
}

static void constant_divisions(Context *ctx, void *arg)
{
    for (int t = 0; t < TYPES; t++)
        for (int n = 0; n < 2 && dtype_is_int(types[t]); n++) {
            OpTest o = op_test(ctx, types[t], lane_counts[n], "constant_divisions");
            put_constant_divisions(&o);
            kernel_check(&o.k, arg, NULL);
        }
}

static void limited_casts(Context *ctx, void *arg)
{
    for (int n = 0; n < 2; n++)
        for (int t = 0; t < 2; t++) {
            OpTest o = op_test(ctx, t == 0 ? DT_F32 : DT_F64, lane_counts[n], "limited_casts");
            put_limited_casts(&o);
            kernel_check(&o.k, arg, NULL);
        }
}

/* Index arithmetic: bounds are known, so other instructions are chosen. */
static void index_divisions(Context *ctx, void *arg)
{
    static const ExprOp ops[] = {EX_DIV, EX_MOD};
    static const int64_t by[] = {1, 2, 3, 7, 8, 12, 48};
    enum { N = 96 };
    Kernel k = kernel_new(ctx, "index_divisions", "i", N);
    const Expr i = kernel_par(&k);
    for (int shift = 0; shift < 2; shift++) /* from 0; from below 0 */
        for (int d = 0; d < 7; d++)
            for (int o = 0; o < 2; o++)
                for (int lanes = 1; lanes <= 4; lanes += 3) {
                    const int y = kernel_buffer(&k, "y", DT_I64, N * 4, true, NULL);
                    const Expr from = expr_addi(k.x, i, shift ? -50 : 0);
                    const Expr a = lanes == 1 ? from : kernel_op1(&k, EX_RAMP, DT_I64, 4, 5, from);
                    const Expr c = expr_int(k.x, by[d]);
                    const Expr b = lanes == 1 ? c : kernel_op1(&k, EX_BROADCAST, DT_I64, 4, 0, c);
                    kernel_store(&k, k.body, y, expr_muli(k.x, i, 4), 0,
                                 kernel_op2(&k, ops[o], DT_I64, lanes, a, b));
                }
    kernel_check(&k, arg, NULL);
}

#define AT_LEVELS(name)                                                                            \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        static const char *const levels[] = {"native", "avx2"};                                    \
        (void)state;                                                                               \
        Target t;                                                                                  \
        assert_int_equal(target_find(levels[0], &t, NULL), ERR_OK);                                \
        in_job(name, &t);                                                                          \
        if (t.vector_bytes > 32) {                                                                 \
            assert_int_equal(target_find(levels[1], &t, NULL), ERR_OK);                            \
            in_job(name, &t);                                                                      \
        }                                                                                          \
    }                                                                                              \
    static void test_##name##_512(void **state)                                                    \
    {                                                                                              \
        (void)state;                                                                               \
        Target t;                                                                                  \
        assert_int_equal(target_find("avx512", &t, NULL), ERR_OK);                                 \
        if (!target_runs(&t, NULL)) /* else native has been it */                                  \
            in_job(name, &t);                                                                      \
    }
AT_LEVELS(all_ops)
AT_LEVELS(constant_divisions)
AT_LEVELS(limited_casts)
AT_LEVELS(index_divisions)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_ops),
        cmocka_unit_test(test_all_ops_512),
        cmocka_unit_test(test_constant_divisions),
        cmocka_unit_test(test_constant_divisions_512),
        cmocka_unit_test(test_limited_casts),
        cmocka_unit_test(test_limited_casts_512),
        cmocka_unit_test(test_index_divisions),
        cmocka_unit_test(test_index_divisions_512),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
