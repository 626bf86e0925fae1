/* Routines that keep some elements: NonZero, Compress, Unique. */
#include "kernel/host.h"
#include "kernel/order.h"

#include <string.h>

/* ---- NonZero ---- */

static bool is_nonzero(DType t, const char *p)
{
    if (dtype_is_float(t))
        return dtype_read(t, p) != 0;
    return dtype_read_int(t, p) != 0;
}

/* Coordinates of the i-th non-zero element are column i of y (rank, count). */
static void write_nonzero(const HostTensor *x, int64_t count, int64_t *y)
{
    int64_t index[MAX_RANK] = {0};
    const char *p = x->data;
    const int size = dtype_size(x->dtype);
    const int64_t n = host_elements(x);
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++, p += size) {
        if (is_nonzero(x->dtype, p) && found < count) {
            for (int k = 0; k < x->rank; k++)
                y[k * count + found] = index[k];
            found++;
        }
        for (int k = x->rank - 1; k >= 0 && ++index[k] == x->dim[k]; k--)
            index[k] = 0;
    }
}

int host_non_zero(HostCall *call)
{
    const HostTensor *const x = &call->in[0];
    const int64_t n = host_elements(x);
    if (call->phase == HOST_PLAN) {
        host_shape(&call->out[0], 2, (int64_t[]){x->rank, n});
    } else if (call->phase == HOST_SIZE) {
        int64_t count = 0;
        for (int64_t i = 0; i < n; i++)
            count += is_nonzero(x->dtype, (const char *)x->data + i * dtype_size(x->dtype));
        host_shape(&call->out[0], 2, (int64_t[]){x->rank, count});
    } else {
        write_nonzero(x, call->out[0].dim[1], call->out[0].data);
    }
    return 0;
}

/* ---- Compress ---- */

int host_compress(HostCall *call)
{
    const HostTensor *const x = &call->in[0], *const condition = &call->in[1];
    HostTensor *const y = &call->out[0];
    const bool has_axis = call->ints[0] != 0;
    const int axis = (int)call->ints[1];
    const int64_t outer = has_axis ? host_product(x, 0, axis) : 1;
    const int64_t inner = has_axis ? host_product(x, axis + 1, x->rank) : 1;
    const int64_t n = has_axis ? x->dim[axis] : host_elements(x);
    const int64_t choices = host_elements(condition) < n ? host_elements(condition) : n;

    int64_t count = choices;
    if (call->phase != HOST_PLAN) {
        count = 0;
        for (int64_t i = 0; i < choices; i++)
            count += ((const uint8_t *)condition->data)[i] != 0;
    }
    if (call->phase != HOST_RUN) {
        if (has_axis)
            host_shape(y, x->rank, x->dim);
        else
            y->rank = 1;
        y->dim[has_axis ? axis : 0] = count;
        return 0;
    }
    const size_t slice = (size_t)inner * (size_t)dtype_size(x->dtype);
    char *to = y->data;
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t i = 0; i < choices; i++) {
            if (((const uint8_t *)condition->data)[i] == 0)
                continue;
            memcpy(to, (const char *)x->data + (size_t)(o * n + i) * slice, slice);
            to += slice;
        }
    }
    return 0;
}

/* ---- Unique ----
 *
 * The things compared are the n subtensors along the axis (the elements, if there is none), each a
 * row of m keys. Sorting their indices puts equal ones side by side, the first occurrence first. */

typedef struct UniqueWork { /* in scratch; what HOST_SIZE leaves for HOST_RUN */
    uint64_t *key;          /* (n, m) */
    int64_t *order, *tmp;   /* n */
    int64_t *first, *count; /* by group in sorted order */
    int64_t *inverse;       /* group of subtensor i, in output order */
    int64_t *output;        /* sorted group -> place in the output */
    int64_t n, m, outer, inner;
} UniqueWork;

static UniqueWork unique_work(const HostCall *call)
{
    const HostTensor *const x = &call->in[0];
    const bool has_axis = call->ints[0] != 0;
    const int axis = (int)call->ints[1];
    UniqueWork w = {
        .n = has_axis ? x->dim[axis] : host_elements(x),
        .outer = has_axis ? host_product(x, 0, axis) : 1,
        .inner = has_axis ? host_product(x, axis + 1, x->rank) : 1,
    };
    w.m = w.outer * w.inner;
    if (call->scratch) {
        w.order = call->scratch;
        w.tmp = w.order + w.n;
        w.first = w.tmp + w.n;
        w.count = w.first + w.n;
        w.inverse = w.count + w.n;
        w.output = w.inverse + w.n;
        w.key = (uint64_t *)(w.output + w.n);
    }
    return w;
}

static int compare_rows(const UniqueWork *w, int64_t a, int64_t b)
{
    for (int64_t k = 0; k < w->m; k++) {
        const uint64_t ka = w->key[a * w->m + k], kb = w->key[b * w->m + k];
        if (ka != kb)
            return ka < kb ? -1 : 1;
    }
    return 0;
}

static bool row_less(const void *arg, int64_t a, int64_t b)
{
    return compare_rows(arg, a, b) < 0;
}

static bool first_less(const void *arg, int64_t a, int64_t b)
{
    const UniqueWork *const w = arg;
    return w->first[a] < w->first[b];
}

/* Fills the work arrays; returns the number of groups. */
static int64_t unique_group(const HostCall *call, const UniqueWork *w)
{
    const HostTensor *const x = &call->in[0];
    for (int64_t i = 0; i < w->n; i++) {
        w->order[i] = i;
        for (int64_t o = 0; o < w->outer; o++)
            order_keys(x->dtype, x->data, (o * w->n + i) * w->inner, 1, w->inner,
                       w->key + i * w->m + o * w->inner);
    }
    order_sort(w->n, w->order, w->tmp, row_less, w);
    int64_t groups = 0;
    for (int64_t i = 0; i < w->n; i++) {
        if (i == 0 || compare_rows(w, w->order[i - 1], w->order[i]) != 0) {
            w->first[groups] = w->order[i];
            w->count[groups++] = 0;
        }
        w->count[groups - 1]++;
        w->inverse[w->order[i]] = groups - 1;
    }
    const bool sorted = call->ints[2] != 0;
    for (int64_t g = 0; g < groups; g++)
        w->order[g] = g;
    if (!sorted)
        order_sort(groups, w->order, w->tmp, first_less, w);
    for (int64_t g = 0; g < groups; g++)
        w->output[w->order[g]] = g;
    return groups;
}

static void unique_shapes(HostCall *call, int64_t groups, int64_t n)
{
    const HostTensor *const x = &call->in[0];
    if (call->ints[0]) {
        host_shape(&call->out[0], x->rank, x->dim);
        call->out[0].dim[call->ints[1]] = groups;
    } else {
        host_shape(&call->out[0], 1, &groups);
    }
    for (int k = 1; k < call->nout; k++)
        host_shape(&call->out[k], 1, k == 2 ? &n : &groups);
}

static int64_t *unique_out(const HostCall *call, int k)
{
    return k < call->nout && call->out[k].dtype != DT_NONE ? call->out[k].data : NULL;
}

static void unique_write(const HostCall *call, const UniqueWork *w, int64_t groups)
{
    int64_t *const first = unique_out(call, 1), *const inverse = unique_out(call, 2),
                   *const count = unique_out(call, 3);
    const size_t slice = (size_t)w->inner * (size_t)dtype_size(call->in[0].dtype);
    for (int64_t g = 0; g < groups; g++) {
        const int64_t to = w->output[g];
        for (int64_t o = 0; o < w->outer; o++)
            memcpy((char *)call->out[0].data + (size_t)(o * groups + to) * slice,
                   (const char *)call->in[0].data + (size_t)(o * w->n + w->first[g]) * slice,
                   slice);
        if (first)
            first[to] = w->first[g];
        if (count)
            count[to] = w->count[g];
    }
    for (int64_t i = 0; inverse && i < w->n; i++)
        inverse[i] = w->output[w->inverse[i]];
}

int host_unique(HostCall *call)
{
    const UniqueWork w = unique_work(call);
    if (call->phase == HOST_PLAN) {
        call->scratch_bytes = (size_t)w.n * (6 * sizeof(int64_t) + (size_t)w.m * sizeof(uint64_t));
        unique_shapes(call, w.n, w.n);
    } else if (call->phase == HOST_SIZE) {
        unique_shapes(call, unique_group(call, &w), w.n);
    } else {
        const HostTensor *const y = &call->out[0];
        unique_write(call, &w, y->dim[call->ints[0] ? call->ints[1] : 0]);
    }
    return 0;
}
