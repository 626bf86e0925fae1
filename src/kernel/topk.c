/* TopK: the k largest or smallest along an axis, ties to the lower index.
 *
 * One row at a time: the k best so far stand in a heap whose root is the worst of them, then the
 * heap is sorted in place: O(n log k) whatever the type, k entries of scratch. */
#include "kernel/host.h"
#include "kernel/order.h"

#include <string.h>

typedef struct Candidate {
    uint64_t key; /* smaller is better */
    int64_t index;
} Candidate;

static bool worse(Candidate a, Candidate b)
{
    return a.key > b.key || (a.key == b.key && a.index > b.index);
}

static void sift_down(Candidate *heap, int64_t n, int64_t at)
{
    const Candidate c = heap[at];
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && worse(heap[child + 1], heap[child]))
            child++;
        if (!worse(heap[child], c))
            break;
        heap[at] = heap[child];
    }
    heap[at] = c;
}

/* The k best of keys[0..n), best first, into heap[0..k). */
static void select_best(const uint64_t *key, int64_t n, int64_t k, Candidate *heap)
{
    for (int64_t i = 0; i < k; i++)
        heap[i] = (Candidate){key[i], i};
    for (int64_t i = k / 2 - 1; i >= 0; i--)
        sift_down(heap, k, i);
    for (int64_t i = k; i < n; i++) {
        const Candidate c = {key[i], i};
        if (worse(heap[0], c)) {
            heap[0] = c;
            sift_down(heap, k, 0);
        }
    }
    for (int64_t left = k - 1; left > 0; left--) {
        const Candidate worst = heap[0];
        heap[0] = heap[left];
        heap[left] = worst;
        sift_down(heap, left, 0);
    }
}

int host_top_k(HostCall *call)
{
    const HostTensor *const x = &call->in[0];
    HostTensor *const values = &call->out[0], *const indices = &call->out[1];
    const int axis = (int)call->ints[0];
    const bool largest = call->ints[1] != 0;
    const int64_t n = x->dim[axis];

    if (call->phase == HOST_PLAN) {
        call->scratch_bytes = (size_t)n * (sizeof(uint64_t) + sizeof(Candidate));
        host_shape(values, x->rank, x->dim);
        host_shape(indices, x->rank, x->dim);
        return 0;
    }
    const int64_t k = dtype_read_int(call->in[1].dtype, call->in[1].data);
    if (k < 0 || k > n)
        return host_fail(call, ERR_INVALID, "top_k: k is %lld but the axis has %lld elements",
                         (long long)k, (long long)n);
    if (call->phase == HOST_SIZE) {
        host_shape(values, x->rank, x->dim);
        host_shape(indices, x->rank, x->dim);
        values->dim[axis] = indices->dim[axis] = k;
        return 0;
    }
    if (k == 0)
        return 0;
    const int64_t outer = host_product(x, 0, axis), inner = host_product(x, axis + 1, x->rank);
    const size_t size = (size_t)dtype_size(x->dtype);
    Candidate *const heap = call->scratch;
    uint64_t *const key = (uint64_t *)(heap + n);
    for (int64_t row = 0; row < outer * inner; row++) {
        const int64_t start = row / inner * n * inner + row % inner;
        const int64_t out = row / inner * k * inner + row % inner;
        order_keys(x->dtype, x->data, start, inner, n, key);
        if (largest) {
            for (int64_t i = 0; i < n; i++)
                key[i] = ~key[i];
        }
        select_best(key, n, k, heap);
        for (int64_t j = 0; j < k; j++) {
            const int64_t at = out + j * inner;
            if (values->dtype != DT_NONE)
                memcpy((char *)values->data + (size_t)at * size,
                       (const char *)x->data + (size_t)(start + heap[j].index * inner) * size,
                       size);
            if (indices->dtype != DT_NONE)
                ((int64_t *)indices->data)[at] = heap[j].index;
        }
    }
    return 0;
}
