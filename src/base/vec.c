/* Growth of VEC arrays: doubling, old copy left in the arena. */
#include "base/vec.h"

#include <limits.h>
#include <string.h>

void *vec_grow(Arena *a, void *at, int len, int *cap, int want, size_t size)
{
    int to = *cap > INT_MAX / 2 ? INT_MAX : *cap * 2;
    if (to < 8)
        to = 8;
    if (want < 0) /* the sum overflowed */
        want = INT_MAX;
    if (to < want)
        to = want;
    void *grown = arena_array(a, (size_t)to, size);
    if (len > 0)
        memcpy(grown, at, (size_t)len * size);
    *cap = to;
    return grown;
}
