/* Guards: a check of generated code, which no sanitizer sees. Every operand of a step is copied to
 * a place of its own between two strips of a known pattern; what a kernel writes beyond its results
 * is then found, and what it reads beyond its operands is NaN or a large number, which shows in the
 * results.
 *
 * Operands that share memory share a copy: the four borders of a plane are four results of one
 * kernel and all the same buffer, of which four copies would bring back only the last border. */
#include <string.h>

#include "base/heap.h"
#include "runtime/run_state.h"

enum { STRIP = 256, PATTERN = 0xff }; /* as a float of any type: NaN */

struct Guarded {
    void *home; /* the operand; NULL: nothing to guard */
    int64_t bytes;
    char *base; /* STRIP, the copy, STRIP; NULL: it lies in the copy of a later operand */
    char *from; /* of what the copy is: the operand, and all that share memory with it */
    int64_t span;
};

int run_set_guard(Run *r, Error *e)
{
    if (!r->guard)
        r->guard = heap_alloc(sizeof *r->guard * ((size_t)r->m->max_operands + 1), 16);
    return r->guard ? 0 : error_set(e, ERR_MEMORY, "out of memory for guards");
}

/* Makes [from, span) of g cover every operand that shares memory with it. */
static void cover(const Run *r, int n, struct Guarded *g)
{
    for (bool grown = true; grown;) {
        grown = false;
        for (int i = 0; i < n; i++) {
            char *const begin = r->guard[i].home, *const end = begin + r->guard[i].bytes;
            char *const to = g->from + g->span;
            if (begin >= to || end <= g->from || (begin >= g->from && end <= to))
                continue;
            g->from = begin < g->from ? begin : g->from;
            g->span = (end > to ? end : to) - g->from;
            grown = true;
        }
    }
}

/* The copy that has operand i; those of later operands are there already. */
static struct Guarded *copy_of(const Run *r, int i, int n)
{
    const char *const home = r->guard[i].home;
    for (int k = i; k < n; k++) {
        struct Guarded *const g = &r->guard[k];
        if (g->base && home >= g->from && home < g->from + g->span)
            return g;
    }
    return NULL;
}

static bool make_copy(const Run *r, int n, struct Guarded *g)
{
    g->from = g->home;
    g->span = g->bytes;
    cover(r, n, g);
    g->base = heap_alloc((size_t)g->span + 2 * STRIP, 64);
    if (!g->base)
        return false;
    memset(g->base, PATTERN, STRIP);
    memcpy(g->base + STRIP, g->from, (size_t)g->span);
    memset(g->base + STRIP + g->span, PATTERN, STRIP);
    return true;
}

int guard_enter(Run *r, int n, const int32_t *buffer, void **ptr, Error *e)
{
    memset(r->guard, 0, sizeof *r->guard * (size_t)n);
    for (int i = 0; i < n; i++)
        if (buffer[i] >= 0 && ptr[i] && r->bytes[buffer[i]] > 0)
            r->guard[i] = (struct Guarded){.home = ptr[i], .bytes = r->bytes[buffer[i]]};
    for (int i = n - 1; i >= 0; i--) { /* results first: they are who is blamed */
        struct Guarded *const own = &r->guard[i];
        if (!own->home)
            continue;
        const struct Guarded *g = copy_of(r, i, n);
        if (!g && !make_copy(r, n, own)) {
            guard_leave(r, n, n, ptr, "", NULL);
            return error_set(e, ERR_MEMORY, "out of memory for guards");
        }
        g = g ? g : own;
        ptr[i] = g->base + STRIP + ((char *)own->home - g->from);
    }
    return 0;
}

/* Distance from the operand of the byte that was changed; 0: none. */
static int64_t damage(const struct Guarded *g)
{
    for (int k = 0; k < STRIP; k++) {
        if ((unsigned char)g->base[STRIP + g->span + k] != PATTERN)
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
        const int64_t far = g->base ? damage(g) : 0;
        if (far != 0 && code == 0)
            code = error_set(e, ERR_INTERNAL, "'%s' wrote %lld bytes %s operand %d (%lld bytes)",
                             name, (long long)(far < 0 ? -far : far), far < 0 ? "before" : "after",
                             i, (long long)g->span);
        if (!g->home)
            continue;
        if (i >= nread)
            memcpy(g->home, ptr[i], (size_t)g->bytes);
        ptr[i] = g->home;
    }
    for (int i = 0; i < n; i++)
        heap_free(r->guard[i].base);
    return code;
}
