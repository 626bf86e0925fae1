/* Open-addressing hash maps in an arena: string -> int and u64 -> int. No removal. */
#ifndef LATHE_BASE_MAP_H
#define LATHE_BASE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed); /* 64-bit, stable across versions */
static inline uint64_t hash_mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

typedef struct StrMap {
    Arena *arena;
    struct StrMapSlot { const char *key; int value; } *slot;
    int len, cap;
} StrMap;

StrMap strmap_new(Arena *a);
/* The value of key, or `missing`. */
int strmap_get(const StrMap *m, const char *key, int missing);
/* Sets key (copied); returns false if it was there already (its value is replaced). */
bool strmap_put(StrMap *m, const char *key, int value);

typedef struct IntMap {
    Arena *arena;
    struct IntMapSlot { uint64_t key; int value; bool used; } *slot;
    int len, cap;
} IntMap;

IntMap intmap_new(Arena *a);
int intmap_get(const IntMap *m, uint64_t key, int missing);
bool intmap_put(IntMap *m, uint64_t key, int value);

#endif
