/* Single allocations. calloc where its alignment does, because it need not touch fresh pages. */
#include "base/heap.h"

#include <assert.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CALLOC_ALIGN = 16, HUGE_PAGE = 2 << 20, LARGE = 8 << 20 };

/* The one setting of the process: see heap_set_hooks. */
static HeapHooks hooks;

void heap_set_hooks(HeapHooks h)
{
    hooks = h;
}

void *heap_alloc(size_t size, size_t align)
{
    assert(align > 0 && (align & (align - 1)) == 0 && align <= (size_t)2 << 20);
    if (size == 0)
        size = 1;
    if (hooks.alloc) {
        void *at = hooks.alloc(hooks.arg, size, align < CALLOC_ALIGN ? CALLOC_ALIGN : align);
        return at ? memset(at, 0, size) : NULL;
    }
    if (align <= CALLOC_ALIGN)
        return calloc(1, size);
    if (size >= LARGE) /* small pages cost more to fault in than to fill */
        align = HUGE_PAGE;
    if (size > SIZE_MAX - align)
        return NULL;
    void *p = aligned_alloc(align, (size + align - 1) & ~(align - 1));
    if (p == NULL)
        return NULL;
    if (align == HUGE_PAGE)
        heap_advise_huge(p, size);
    return memset(p, 0, size);
}

void heap_advise_huge(void *p, size_t size)
{
#ifdef MADV_HUGEPAGE
    if (size >= HUGE_PAGE)
        (void)madvise(p, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#else
    (void)p, (void)size;
#endif
}

void heap_release(void *at, size_t size)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = ((uintptr_t)at + page - 1) & ~(page - 1),
                    end = ((uintptr_t)at + size) & ~(page - 1);
    if (end > first)
        (void)madvise((void *)first, end - first, MADV_DONTNEED);
}

void heap_free(void *p)
{
    if (p && hooks.free)
        hooks.free(hooks.arg, p);
    else
        free(p);
}

/* Set, the C library moves the first no more. Decoders' planes of 360p are 230 kB; what is asked
 * for often is smaller. */
void heap_for_long(void)
{
#ifdef M_ARENA_MAX
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    mallopt(M_ARENA_MAX, 4);
#endif
}

void heap_trim(void)
{
#ifdef M_ARENA_MAX
    if (!hooks.alloc)
        malloc_trim(0);
#endif
}

int64_t heap_physical(void)
{
    const int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    int64_t bytes = pages > 0 && page > 0 ? pages * page : INT64_MAX, group;
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "r"); /* "max" or a number */
    if (f) {
        if (fscanf(f, "%" SCNd64, &group) == 1 && group > 0 && group < bytes)
            bytes = group;
        fclose(f);
    }
    return bytes;
}
