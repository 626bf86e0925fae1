/* Tensors: life, comparison, random fill. */
#include "tensor/tensor.h"

#include <assert.h>
#include <math.h>

#include "base/heap.h"
#include "base/map.h"
#include "base/str.h"

static Tensor *new_header(DType t, int rank, const int64_t *dims, void *data, size_t bytes,
                          void (*free_data)(void *), void *free_arg)
{
    assert(rank >= 0 && rank <= MAX_RANK);
    Tensor *x = heap_alloc(sizeof *x, _Alignof(Tensor));
    if (x == NULL)
        return NULL;
    *x = (Tensor){
        .dtype = t,
        .rank = rank,
        .data = data,
        .bytes = bytes,
        .free_data = free_data,
        .free_arg = free_arg,
    };
    for (int i = 0; i < rank; i++)
        x->dim[i] = dims[i];
    atomic_init(&x->refs, 1);
    return x;
}

Tensor *tensor_new(DType t, int rank, const int64_t *dims, Error *e)
{
    if (rank < 0 || rank > MAX_RANK) {
        error_set(e, ERR_UNSUPPORTED, "a tensor of rank %d: at most %d", rank, MAX_RANK);
        return NULL;
    }
    if (dtype_size(t) == 0) {
        error_set(e, ERR_UNSUPPORTED, "tensors of type %s are not supported", dtype_name(t));
        return NULL;
    }
    int64_t n = 1;
    bool empty = false, fits = true;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0) {
            error_set(e, ERR_INVALID, "dim %d of a tensor is %lld", i, (long long)dims[i]);
            return NULL;
        }
        empty |= dims[i] == 0;
        fits &= !__builtin_mul_overflow(n, dims[i] == 0 ? 1 : dims[i], &n);
    }
    fits &= !__builtin_mul_overflow(n, dtype_size(t), &n) && n <= INT64_MAX / 4;
    const size_t bytes = empty ? 0 : (size_t)n;
    void *data = fits || empty ? heap_alloc(bytes, 64) : NULL;
    Tensor *x = data != NULL ? new_header(t, rank, dims, data, bytes, heap_free, data) : NULL;
    if (x == NULL) {
        heap_free(data);
        error_set(e, ERR_MEMORY, "no memory for a tensor of %s with %s%lld bytes", dtype_name(t),
                  fits ? "" : "over ", (long long)(fits ? n : INT64_MAX));
    }
    return x;
}

Tensor *tensor_wrap(DType t, int rank, const int64_t *dims, void *data, size_t bytes,
                    void (*free_data)(void *), void *free_arg)
{
    return new_header(t, rank, dims, data, bytes, free_data, free_arg);
}

Tensor *tensor_ref(Tensor *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tensor_unref(Tensor *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
        return;
    if (t->free_data != NULL)
        t->free_data(t->free_arg);
    heap_free(t);
}

void tensor_spend(Tensor *t)
{
    if (!t->spendable || !t->data)
        return;
    heap_release(t->data, t->bytes);
    t->data = NULL; /* who reads it all the same does not get zeros */
    t->bytes = 0;
}

static void unref(void *t)
{
    tensor_unref(t);
}

void tensor_defer(Arena *a, Tensor *t)
{
    arena_defer(a, unref, t);
}

int64_t tensor_elements(const Tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->dim[i];
    return n;
}

const char *tensor_describe(Arena *a, const Tensor *t)
{
    Str s = str_new(a);
    str_addf(&s, "%s[", dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++)
        str_addf(&s, i == 0 ? "%lld" : ",%lld", (long long)t->dim[i]);
    str_addc(&s, ']');
    if (!layout_is_plain(&t->layout)) {
        str_addc(&s, '{');
        layout_print(&t->layout, &s);
        str_addc(&s, '}');
    }
    return str_text(&s);
}

/* Address of element `flat` of the row-major order, wherever the layout puts it. */
static const void *element(const Tensor *t, int64_t flat)
{
    int64_t at = flat;
    if (!layout_is_plain(&t->layout)) {
        int64_t index[MAX_RANK];
        for (int i = t->rank - 1; i >= 0; i--) {
            index[i] = flat % t->dim[i];
            flat /= t->dim[i];
        }
        at = layout_offset(&t->layout, t->rank, t->dim, index);
    }
    return (const char *)t->data + at * dtype_size(t->dtype);
}

TensorDiff tensor_compare(const Tensor *got, const Tensor *want, double rtol, double atol)
{
    TensorDiff d = {
        .same_type = got->dtype == want->dtype,
        .same_shape = got->rank == want->rank,
        .first = -1,
    };
    for (int i = 0; d.same_shape && i < got->rank; i++)
        d.same_shape = got->dim[i] == want->dim[i];
    if (!d.same_type || !d.same_shape)
        return d;
    const int64_t n = tensor_elements(want);
    const bool wide = dtype_is_int(want->dtype) && dtype_bits(want->dtype) == 64;
    for (int64_t i = 0; i < n; i++) {
        const void *pa = element(got, i), *pb = element(want, i);
        const double a = dtype_read(got->dtype, pa), b = dtype_read(want->dtype, pb);
        /* 64-bit integers: as doubles, neighbours beyond 2^53 would look equal. */
        if (wide ? dtype_read_int(got->dtype, pa) == dtype_read_int(want->dtype, pb)
                 : a == b || (isnan(a) && isnan(b)))
            continue;
        double gap = fabs(a - b);
        if (wide && gap == 0)
            gap = 1;
        if (isnan(gap))
            gap = INFINITY;
        const double relative = b != 0 ? gap / fabs(b) : INFINITY;
        d.max_abs = fmax(d.max_abs, gap);
        d.max_rel = fmax(d.max_rel, isnan(relative) ? INFINITY : relative);
        if (isfinite(b) && gap <= atol + rtol * fabs(b))
            continue;
        if (d.mismatches++ == 0)
            d.first = i;
    }
    return d;
}

void tensor_fill_random(Tensor *t, uint64_t seed)
{
    assert(layout_is_plain(&t->layout));
    const int64_t n = tensor_elements(t);
    const int size = dtype_size(t->dtype);
    for (int64_t i = 0; i < n; i++) {
        char *p = (char *)t->data + i * size;
        const uint64_t r = hash_mix(hash_mix(seed, (uint64_t)i), 0x2545f4914f6cdd1d);
        const double unit = (double)(r >> 11) * 0x1p-53; /* [0,1) */
        if (t->dtype == DT_BOOL)
            dtype_write_int(t->dtype, p, (int64_t)(r >> 63));
        else if (dtype_is_float(t->dtype))
            dtype_write(t->dtype, p, t->dtype == DT_F8E8M0 ? 0.5 + unit : 2 * unit - 1, true);
        else /* fewer values if the type does not hold ten */
            dtype_write_int(t->dtype, p, (int64_t)(unit * fmin(10, dtype_highest(t->dtype) + 1)));
    }
}
