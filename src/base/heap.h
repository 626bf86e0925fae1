/* Memory that is freed singly: tensors, handles of the public API, buffers of the runtime.
 * (Everything with a common lifetime goes into an arena.) */
#ifndef LATHE_BASE_HEAP_H
#define LATHE_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed, aligned to `align` (a power of two up to 2 MiB); NULL if memory is out. An alignment of 2
 * MiB asks for huge pages: weights and activations are streamed, and small pages cost a third of
 * the bandwidth. */
void *heap_alloc(size_t size, size_t align);
void heap_free(void *p); /* NULL is allowed */
/* Asks for huge pages behind fresh memory at a multiple of 2 MiB; a hint, nothing else changes. */
void heap_advise_huge(void *p, size_t size);
/* The whole pages within these bytes, of the heap or of a mapped file, are not needed any more:
 * their memory goes back now. What they held is lost. */
void heap_release(void *at, size_t size);

/* For a process that runs for months: large blocks are pages of their own and go back to the system
 * when they are freed, whatever stands beside them, and threads share few heaps. Without it what
 * comes and goes (decoders, pictures) leaves holes behind that grow for hours. Of the whole
 * process; called before its threads. */
void heap_for_long(void);

/* Pages of what was freed go back to the system; takes milliseconds, so after what made much and
 * keeps little. Of the whole process: not for what others may have linked. */
void heap_trim(void);

/* Where memory comes from instead of the C library; arenas too. Set once, before anything is
 * allocated. */
typedef struct HeapHooks {
    void *(*alloc)(void *arg, size_t size, size_t align); /* NULL: the C library */
    void (*free)(void *arg, void *p);
    void *arg;
} HeapHooks;
void heap_set_hooks(HeapHooks h);

/* Bytes of memory of this machine, or of the control group we are in if that is less: the default
 * of every limit that a user may set. */
int64_t heap_physical(void);

#endif
