/* Guards: a check of generated code, which no sanitizer sees. Every operand of a step is copied to
 * a place of its own between two strips of a known pattern; what a kernel writes beyond its results
 * is then found, and what it reads beyond its operands is NaN or a large number, which shows in the
 * results. */
#include <string.h>

#include "base/heap.h"
#include "runtime/run_state.h"

enum { STRIP = 256, PATTERN = 0xff }; /* as a float of any type: NaN */

struct Guarded {
    char *base;    /* STRIP, the operand, STRIP; NULL: nothing to guard */
    void *home;
    int64_t bytes;
};

int run_set_guard(Run *r, Error *e)
{
    if (!r->guard)
        r->guard = heap_alloc(sizeof *r->guard * ((size_t)r->m->max_operands + 1), 16);
    return r->guard ? 0 : error_set(e, ERR_MEMORY, "out of memory for guards");
}

int guard_enter(Run *r, int n, const int32_t *buffer, void **ptr, Error *e)
{
    memset(r->guard, 0, sizeof *r->guard * (size_t)n);
    for (int i = 0; i < n; i++) {
        const int64_t bytes = buffer[i] < 0 || !ptr[i] ? 0 : r->bytes[buffer[i]];
        if (bytes == 0)
            continue;
        char *base = heap_alloc((size_t)bytes + 2 * STRIP, 64);
        if (!base) {
            guard_leave(r, n, n, ptr, "", NULL);
            return error_set(e, ERR_MEMORY, "out of memory for guards");
        }
        memset(base, PATTERN, STRIP);
        memcpy(base + STRIP, ptr[i], (size_t)bytes);
        memset(base + STRIP + bytes, PATTERN, STRIP);
        r->guard[i] = (struct Guarded){base, ptr[i], bytes};
        ptr[i] = base + STRIP;
    }
    return 0;
}

/* Distance from the operand of the byte that was changed; 0: none. */
static int64_t damage(const struct Guarded *g)
{
    for (int k = 0; k < STRIP; k++) {
        if ((unsigned char)g->base[STRIP + g->bytes + k] != PATTERN)
            return k + 1;
        if ((unsigned char)g->base[STRIP - 1 - k] != PATTERN)
            return -k - 1;
    }
    return 0;
}

int guard_leave(Run *r, int nread, int n, void **ptr, const char *name, Error *e)
{
    int code = 0;
    for (int i = 0; i < n; i++) {
        const struct Guarded *g = &r->guard[i];
        if (!g->base)
            continue;
        const int64_t far = damage(g);
        if (far != 0 && code == 0)
            code = error_set(e, ERR_INTERNAL, "'%s' wrote %lld bytes %s operand %d (%lld bytes)",
                             name, (long long)(far < 0 ? -far : far), far < 0 ? "before" : "after",
                             i, (long long)g->bytes);
        if (i >= nread)
            memcpy(g->home, g->base + STRIP, (size_t)g->bytes);
        ptr[i] = g->home;
        heap_free(g->base);
    }
    return code;
}
