/* Element types: every ONNX tensor type. The numbers are ONNX's TensorProto.DataType.
 *
 * Storage. One element takes `dtype_size` bytes. Types below 8 bits (int4, uint4, int2, uint2,
 * fp4) take one byte an element in memory, sign- or zero-extended (fp4: the 4-bit code); only files
 * hold them packed (tensor/pack.h). Arithmetic never happens in f16, bf16, fp8 or fp4: they are
 * storage, loads convert to f32 and stores round (nearest even; fp8 saturating or not as the Cast
 * says). bool is one byte, 0 or 1. Strings and complex numbers are known by name only, so that
 * errors can name them. */
#ifndef LATHE_TENSOR_DTYPE_H
#define LATHE_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stdint.h>

/* enum, ONNX number, name, bytes, bits, kind: i signed, u unsigned, b bool, f float, x other */
#define DTYPES(X)                                                                                  \
    X(NONE, 0, "none", 0, 0, 'x')                                                                  \
    X(F32, 1, "f32", 4, 32, 'f')                                                                   \
    X(U8, 2, "u8", 1, 8, 'u')                                                                      \
    X(I8, 3, "i8", 1, 8, 'i')                                                                      \
    X(U16, 4, "u16", 2, 16, 'u')                                                                   \
    X(I16, 5, "i16", 2, 16, 'i')                                                                   \
    X(I32, 6, "i32", 4, 32, 'i')                                                                   \
    X(I64, 7, "i64", 8, 64, 'i')                                                                   \
    X(STRING, 8, "string", 0, 0, 'x')                                                              \
    X(BOOL, 9, "bool", 1, 8, 'b')                                                                  \
    X(F16, 10, "f16", 2, 16, 'f')                                                                  \
    X(F64, 11, "f64", 8, 64, 'f')                                                                  \
    X(U32, 12, "u32", 4, 32, 'u')                                                                  \
    X(U64, 13, "u64", 8, 64, 'u')                                                                  \
    X(C64, 14, "c64", 0, 0, 'x')                                                                   \
    X(C128, 15, "c128", 0, 0, 'x')                                                                 \
    X(BF16, 16, "bf16", 2, 16, 'f')                                                                \
    X(F8E4M3FN, 17, "f8e4m3fn", 1, 8, 'f')                                                         \
    X(F8E4M3FNUZ, 18, "f8e4m3fnuz", 1, 8, 'f')                                                     \
    X(F8E5M2, 19, "f8e5m2", 1, 8, 'f')                                                             \
    X(F8E5M2FNUZ, 20, "f8e5m2fnuz", 1, 8, 'f')                                                     \
    X(U4, 21, "u4", 1, 4, 'u')                                                                     \
    X(I4, 22, "i4", 1, 4, 'i')                                                                     \
    X(F4E2M1, 23, "f4e2m1", 1, 4, 'f')                                                             \
    X(F8E8M0, 24, "f8e8m0", 1, 8, 'f')                                                             \
    X(U2, 25, "u2", 1, 2, 'u')                                                                     \
    X(I2, 26, "i2", 1, 2, 'i')

typedef enum DType {
#define X(name, number, text, size, bits, kind) DT_##name = number,
    DTYPES(X)
#undef X
    DT_COUNT = 27
} DType;

const char *dtype_name(DType t);
DType dtype_parse(const char *name); /* DT_NONE if unknown */
int dtype_size(DType t);             /* bytes an element in memory; 0 for string, complex, none */
int dtype_bits(DType t);
bool dtype_is_float(DType t);
bool dtype_is_int(DType t); /* signed or unsigned, not bool */
bool dtype_is_signed(DType t);
/* The type arithmetic is done in: f32 for f16, bf16, fp8, fp4; i32 for i4, i2; u32 for u4, u2; else
 * t. */
DType dtype_compute(DType t);
/* Smallest and largest finite value, for clipping and for min/max identities. */
double dtype_lowest(DType t);
double dtype_highest(DType t);

/* One element at `p` as double (exact but for 64-bit integers beyond 2^53), and the reverse:
 * rounds to nearest even; float types overflow to inf where the type has it (else to NaN);
 * integers saturate, NaN gives 0. `saturate` makes fp8/fp4 overflow to the largest finite value. */
double dtype_read(DType t, const void *p);
void dtype_write(DType t, void *p, double v, bool saturate);
int64_t dtype_read_int(DType t, const void *p);
void dtype_write_int(DType t, void *p, int64_t v); /* wraps to the type's width */

float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f);
float bf16_to_f32(uint16_t h);
uint16_t f32_to_bf16(float f);

#endif
