/* Arena: memory of one lifetime (a compile, a model, a request), freed at once.
 *
 * Blocks come from malloc, the only place besides base/ that may call it. Memory is zeroed and
 * 16-byte aligned. A limit bounds what hostile input can make us take: reaching it, like malloc
 * failing, does not return: it goes to the arena's `fail` handler (see error.h: job_run sets it),
 * else to its parent's, and aborts if there is none.
 *
 * Not thread safe: an arena belongs to one thread at a time. */
#ifndef LATHE_BASE_ARENA_H
#define LATHE_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Arena Arena;

/* aborts if memory is out: for the commands and tests; a library uses the next two */
Arena *arena_new(void);
Arena *arena_try_new(void); /* NULL if memory is out */
/* An arena that ends no later than `parent`, whose handler is told if memory is out: for what a job
 * frees before it ends, unless it fails. Made and freed on the parent's thread; in between any one
 * thread may use it. */
Arena *arena_child(Arena *parent);
/* runs deferred functions, last first, then frees children; NULL is allowed */
void arena_free(Arena *a);

/* Zeroed, 16-byte aligned. size 0 gives a valid unique pointer. */
void *arena_alloc(Arena *a, size_t size);
/* n * size with overflow check. */
void *arena_array(Arena *a, size_t n, size_t size);
/* Zeroed, aligned to `align` (a power of two up to 2 MiB); for tensors and images. */
void *arena_alloc_aligned(Arena *a, size_t size, size_t align);
void *arena_dup(Arena *a, const void *p, size_t size);
char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(Arena *a, const char *format, va_list args);

/* Calls fn(arg) when the arena is freed: for what has a destructor (an LLVM module, a mapping). */
void arena_defer(Arena *a, void (*fn)(void *), void *arg);

void arena_set_limit(Arena *a, size_t bytes);       /* 0: none */
size_t arena_used(const Arena *a);                  /* bytes handed out */

typedef struct ArenaFail {
    void (*fn)(void *arg, size_t wanted); /* must not return; NULL: abort */
    void *arg;
} ArenaFail;
/* Installs a handler; returns the one before, for nested jobs to put back. */
ArenaFail arena_on_fail(Arena *a, ArenaFail f);

#define arena_new_of(a, T) ((T *)arena_alloc((a), sizeof(T)))
#define arena_array_of(a, n, T) ((T *)arena_array((a), (size_t)(n), sizeof(T)))

#endif
