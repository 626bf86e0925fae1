/* Single allocations. calloc where its alignment does, because it need not touch fresh pages. */
#include "base/heap.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CALLOC_ALIGN = 16 };

void *heap_alloc(size_t size, size_t align)
{
    assert(align > 0 && (align & (align - 1)) == 0 && align <= (size_t)2 << 20);
    if (size == 0)
        size = 1;
    if (align <= CALLOC_ALIGN)
        return calloc(1, size);
    if (size > SIZE_MAX - align)
        return NULL;
    void *p = aligned_alloc(align, (size + align - 1) & ~(align - 1));
    if (p != NULL)
        memset(p, 0, size);
    return p;
}

void heap_free(void *p)
{
    free(p);
}
