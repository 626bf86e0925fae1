/* Ordering of elements of any type by one integer key, and a stable sort of indices.
 *
 * order_key maps values to u64 such that a < b exactly if key(a) < key(b). -0 and +0 have one key;
 * all NaNs have one key, above infinity (the order NumPy sorts in). */
#ifndef LATHE_KERNEL_ORDER_H
#define LATHE_KERNEL_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/dtype.h"

/* key[i] of the element at start + i * stride, i in [0, n). */
void order_keys(DType t, const void *data, int64_t start, int64_t stride, int64_t n, uint64_t *key);

/* Stable merge sort of index[0..n); tmp has room for n. */
typedef bool (*OrderLess)(const void *arg, int64_t a, int64_t b);
void order_sort(int64_t n, int64_t *index, int64_t *tmp, OrderLess less, const void *arg);

#endif
