/* Elements that are numbers already. See known.h. */
#include "pass/known.h"

#include <math.h>

bool known_elements(const Graph *g, ValueId id, Known *k)
{
    if (id < 0) {
        return false;
    }
    const Value *v = &g->value.at[id];
    *k = (Known){.dtype = v->dtype, .x = g->x};
    if (v->constant && layout_is_plain(&v->constant->layout) && dtype_size(v->dtype) > 0) {
        k->tensor = v->constant;
        k->count = tensor_elements(v->constant);
        return true;
    }
    for (int i = 0; i < v->nelems; i++) {
        if (!expr_is_const(g->x, v->elems[i], NULL)) {
            return false;
        }
    }
    k->elems = v->elems;
    k->count = v->nelems;
    return v->elems != NULL;
}

double known_float(const Known *k, int64_t i)
{
    double v = 0;
    if (k->tensor) {
        const char *p = k->tensor->data;
        return dtype_read(k->dtype, p + i * dtype_size(k->dtype));
    }
    expr_is_const(k->x, k->elems[i], &v);
    return v;
}

int64_t known_int(const Known *k, int64_t i)
{
    int64_t v = 0;
    if (k->tensor) {
        const char *p = k->tensor->data;
        return dtype_read_int(k->dtype, p + i * dtype_size(k->dtype));
    }
    expr_is_int(k->x, k->elems[i], &v);
    return v;
}

int known_ints(const Graph *g, ValueId v, int64_t *to, int max)
{
    Known k;
    if (!known_elements(g, v, &k) || !dtype_is_int(k.dtype) || k.count > max) {
        return -1;
    }
    for (int64_t i = 0; i < k.count; i++) {
        to[i] = known_int(&k, i);
    }
    return (int)k.count;
}

bool known_uniform(const Graph *g, ValueId v, double *number)
{
    Known k;
    if (!known_elements(g, v, &k) || k.count == 0) {
        return false;
    }
    *number = known_float(&k, 0);
    for (int64_t i = 1; i < k.count; i++) {
        const double other = known_float(&k, i);
        if (other != *number || signbit(other) != signbit(*number)) {
            return false;
        }
    }
    return true;
}
