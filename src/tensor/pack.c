/* Packing of types below 8 bits. */
#include "tensor/pack.h"

#include <assert.h>
#include <string.h>

size_t packed_bytes(DType t, int64_t elements)
{
    assert(dtype_is_packed(t) && elements >= 0);
    const size_t per_byte = (size_t)(8 / dtype_bits(t));
    return (size_t)elements / per_byte + ((size_t)elements % per_byte != 0);
}

void unpack_elements(DType t, const void *packed, int64_t n, void *unpacked)
{
    assert(dtype_is_packed(t));
    const int bits = dtype_bits(t), per_byte = 8 / bits;
    const bool sign = dtype_is_int(t) && dtype_is_signed(t);
    const uint8_t *in = packed;
    uint8_t *out = unpacked;
    for (int64_t i = 0; i < n; i++) {
        const int shift = (int)(i % per_byte) * bits;
        const unsigned top = (unsigned)in[i / per_byte] << (8 - bits - shift); /* to the top bits */
        out[i] = sign ? (uint8_t)((int8_t)(uint8_t)top >> (8 - bits))
                      : (uint8_t)((uint8_t)top >> (8 - bits));
    }
}

void pack_elements(DType t, const void *unpacked, int64_t n, void *packed)
{
    const int bits = dtype_bits(t), per_byte = 8 / bits;
    const uint8_t *in = unpacked;
    uint8_t *out = packed;
    memset(out, 0, packed_bytes(t, n));
    for (int64_t i = 0; i < n; i++)
        out[i / per_byte] |=
            (uint8_t)((in[i] & ((1u << bits) - 1)) << ((int)(i % per_byte) * bits));
}
