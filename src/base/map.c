/* Hash maps: linear probing, at most half full. */
#include "base/map.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    const unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* Eight bytes a step, folded by a 64x64 -> 128 bit multiply (the wyhash idea). */
uint64_t hash_bytes(const void *data, size_t n, uint64_t seed)
{
    const uint64_t k0 = 0x9e3779b97f4a7c15u, k1 = 0xd6e8feb86659fd93u;
    const uint8_t *p = data;
    uint64_t h = seed ^ mix(n ^ k0, k1);
    size_t left = n;
    for (; left >= 8; left -= 8, p += 8)
        h = mix(h ^ load64(p) ^ k0, k1 + (h >> 32));
    uint64_t tail = 0;
    for (size_t i = 0; i < left; i++)
        tail |= (uint64_t)p[i] << (8 * i);
    h = mix(h ^ tail ^ k1, k0 ^ (h >> 32));
    return mix(h ^ k0, k1);
}

static uint64_t hash_key(const char *key)
{
    return hash_bytes(key, strlen(key), 0);
}

StrMap strmap_new(Arena *a)
{
    return (StrMap){.arena = a};
}

static struct StrMapSlot *str_slot(const StrMap *m, const char *key)
{
    const int mask = m->cap - 1;
    int i = (int)(hash_key(key) & (uint64_t)mask);
    while (m->slot[i].key != NULL && strcmp(m->slot[i].key, key) != 0)
        i = (i + 1) & mask;
    return &m->slot[i];
}

int strmap_get(const StrMap *m, const char *key, int missing)
{
    if (m->cap == 0)
        return missing;
    const struct StrMapSlot *s = str_slot(m, key);
    return s->key != NULL ? s->value : missing;
}

bool strmap_put(StrMap *m, const char *key, int value)
{
    if (2 * (m->len + 1) > m->cap) {
        const StrMap old = *m;
        assert(old.cap <= INT_MAX / 4);
        m->cap = old.cap == 0 ? 16 : old.cap * 2;
        m->slot = arena_array_of(m->arena, m->cap, struct StrMapSlot);
        for (int i = 0; i < old.cap; i++)
            if (old.slot[i].key != NULL)
                *str_slot(m, old.slot[i].key) = old.slot[i];
    }
    struct StrMapSlot *s = str_slot(m, key);
    const bool added = s->key == NULL;
    if (added) {
        s->key = arena_strdup(m->arena, key);
        m->len++;
    }
    s->value = value;
    return added;
}

IntMap intmap_new(Arena *a)
{
    return (IntMap){.arena = a};
}

static struct IntMapSlot *int_slot(const IntMap *m, uint64_t key)
{
    const int mask = m->cap - 1;
    int i = (int)(mix(key ^ 0x9e3779b97f4a7c15u, 0xd6e8feb86659fd93u) & (uint64_t)mask);
    while (m->slot[i].used && m->slot[i].key != key)
        i = (i + 1) & mask;
    return &m->slot[i];
}

int intmap_get(const IntMap *m, uint64_t key, int missing)
{
    if (m->cap == 0)
        return missing;
    const struct IntMapSlot *s = int_slot(m, key);
    return s->used ? s->value : missing;
}

bool intmap_put(IntMap *m, uint64_t key, int value)
{
    if (2 * (m->len + 1) > m->cap) {
        const IntMap old = *m;
        assert(old.cap <= INT_MAX / 4);
        m->cap = old.cap == 0 ? 16 : old.cap * 2;
        m->slot = arena_array_of(m->arena, m->cap, struct IntMapSlot);
        for (int i = 0; i < old.cap; i++)
            if (old.slot[i].used)
                *int_slot(m, old.slot[i].key) = old.slot[i];
    }
    struct IntMapSlot *s = int_slot(m, key);
    const bool added = !s->used;
    if (added)
        m->len++;
    *s = (struct IntMapSlot){.key = key, .value = value, .used = true};
    return added;
}
