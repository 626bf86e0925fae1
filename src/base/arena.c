/* Arena: a list of blocks, each filled from the front; big requests get a block of their own.
 *
 * Blocks double up to 1 MiB, so that a small arena is small and a large one makes few calls.
 * calloc zeroes: fresh pages of large blocks cost nothing until touched. */
#include "base/arena.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"

enum { FIRST_BLOCK = 4096, LARGEST_BLOCK = 1 << 20, ALIGN = 16 };

typedef struct Block {
    struct Block *next;
    size_t size, used; /* of bytes[] */
    _Alignas(ALIGN) char bytes[];
} Block;

typedef struct Deferred {
    struct Deferred *next;
    void (*fn)(void *);
    void *arg;
} Deferred;

struct Arena {
    Block *block; /* the one being filled comes first */
    Arena *parent, *child, *previous, *next; /* NULL: none; the last two: of the same parent */
    Deferred *deferred;
    size_t used, limit, next_size;
    ArenaFail fail;
    Block first; /* with FIRST_BLOCK bytes: the smallest things never fail */
};

static _Noreturn void out_of_memory(const Arena *a, size_t wanted)
{
    for (; a != NULL; a = a->parent)
        if (a->fail.fn != NULL)
            a->fail.fn(a->fail.arg, wanted);
    fprintf(stderr, "lathe: out of memory (%zu bytes wanted)\n", wanted);
    abort();
}

Arena *arena_try_new(void)
{
    Arena *a = heap_alloc(sizeof *a + FIRST_BLOCK, ALIGN);
    if (a == NULL)
        return NULL;
    a->first.size = FIRST_BLOCK;
    a->block = &a->first;
    a->next_size = 2 * FIRST_BLOCK;
    return a;
}

static Arena *new_or_fail(const Arena *parent)
{
    Arena *a = arena_try_new();
    if (a == NULL)
        out_of_memory(parent, sizeof *a + FIRST_BLOCK);
    return a;
}

Arena *arena_new(void)
{
    return new_or_fail(NULL);
}

Arena *arena_child(Arena *parent)
{
    Arena *a = new_or_fail(parent);
    a->parent = parent;
    a->next = parent->child;
    if (a->next != NULL)
        a->next->previous = a;
    parent->child = a;
    return a;
}

static void leave_parent(const Arena *a)
{
    if (a->next != NULL)
        a->next->previous = a->previous;
    if (a->previous != NULL)
        a->previous->next = a->next;
    else if (a->parent != NULL)
        a->parent->child = a->next;
}

void arena_free(Arena *a)
{
    if (a == NULL)
        return;
    leave_parent(a);
    /* A deferred function may still look at the arena's memory, so blocks go after them. */
    for (Deferred *d = a->deferred; d != NULL; d = d->next)
        d->fn(d->arg);
    while (a->child != NULL)
        arena_free(a->child);
    for (Block *b = a->block; b != NULL;) {
        Block *next = b->next;
        if (b != &a->first)
            heap_free(b);
        b = next;
    }
    heap_free(a);
}

static Block *new_block(Arena *a, size_t size)
{
    Block *b = size <= SIZE_MAX - sizeof *b ? heap_alloc(sizeof *b + size, 16) : NULL;
    if (b == NULL)
        out_of_memory(a, size);
    b->size = size;
    return b;
}

static void *take(Arena *a, size_t size)
{
    if (size > SIZE_MAX - 2 * ALIGN)
        out_of_memory(a, size);
    size = size == 0 ? ALIGN : (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (a->limit != 0 && (size > a->limit || a->used > a->limit - size))
        out_of_memory(a, size);

    Block *b = a->block;
    if (b->size - b->used < size) {
        if (size > a->next_size / 4) {
            /* Its own block, second in the list: the current one still has room for small
             * things. */
            Block *own = new_block(a, size);
            own->used = size;
            own->next = b->next;
            b->next = own;
            a->used += size;
            return own->bytes;
        }
        b = new_block(a, size > a->next_size ? size : a->next_size);
        b->next = a->block;
        a->block = b;
        if (a->next_size < LARGEST_BLOCK)
            a->next_size *= 2;
    }
    void *p = b->bytes + b->used;
    b->used += size;
    a->used += size;
    return p;
}

void *arena_alloc(Arena *a, size_t size)
{
    return take(a, size);
}

void *arena_array(Arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        out_of_memory(a, SIZE_MAX);
    return take(a, bytes);
}

void *arena_alloc_aligned(Arena *a, size_t size, size_t align)
{
    assert(align > 0 && (align & (align - 1)) == 0 && align <= (size_t)2 << 20);
    if (align <= ALIGN)
        return take(a, size);
    if (size > SIZE_MAX - align)
        out_of_memory(a, size);
    const uintptr_t p = (uintptr_t)take(a, size + align - ALIGN);
    void *at = (void *)((p + align - 1) & ~(uintptr_t)(align - 1));
    if (align == (size_t)2 << 20)
        heap_advise_huge(at, size);
    return at;
}

void *arena_dup(Arena *a, const void *p, size_t size)
{
    void *copy = take(a, size);
    if (size > 0)
        memcpy(copy, p, size);
    return copy;
}

char *arena_strdup(Arena *a, const char *s)
{
    return arena_dup(a, s, strlen(s) + 1);
}

char *arena_strndup(Arena *a, const char *s, size_t n)
{
    const size_t len = strnlen(s, n);
    char *copy = arena_array(a, len + 1, 1);
    memcpy(copy, s, len);
    return copy;
}

char *arena_vprintf(Arena *a, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    assert(n >= 0);
    char *text = arena_alloc(a, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}

char *arena_printf(Arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = arena_vprintf(a, format, args);
    va_end(args);
    return text;
}

void arena_defer(Arena *a, void (*fn)(void *), void *arg)
{
    Deferred *d = arena_new_of(a, Deferred);
    *d = (Deferred){.next = a->deferred, .fn = fn, .arg = arg};
    a->deferred = d;
}

void arena_set_limit(Arena *a, size_t bytes)
{
    a->limit = bytes;
}

size_t arena_used(const Arena *a)
{
    return a->used;
}

ArenaFail arena_on_fail(Arena *a, ArenaFail f)
{
    const ArenaFail before = a->fail;
    a->fail = f;
    return before;
}
