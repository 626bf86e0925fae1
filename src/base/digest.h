/* Digests: 128-bit fingerprints of much data at about the speed of memory. For keys of caches and
 * for finding damage: two different things have the same one by accident only, but whoever wants to
 * can make such a pair.
 *
 * The same on every machine and in every version. Each call adds one item: cutting data otherwise
 * gives another digest. */
#ifndef LATHE_BASE_DIGEST_H
#define LATHE_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

typedef struct Digest {
    uint64_t h[2];
} Digest;

static inline Digest digest_new(void) { return (Digest){{0, 0}}; }
void digest_add(Digest *d, const void *at, size_t size);
void digest_add_text(Digest *d, const char *text);
void digest_add_int(Digest *d, int64_t v);

#define DIGEST_TEXT 33
/* 32 hexadecimal digits and a NUL. */
void digest_print(const Digest *d, char text[DIGEST_TEXT]);

#endif
