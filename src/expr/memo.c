/* Memo tables, kept in a list for reuse. Clearing touches only the slots that were used. */
#include "expr/memo.h"

#include <assert.h>
#include <string.h>

static uint32_t memo_hash(Expr key)
{
    return (key * 0x9e3779b1u) >> 7;
}

Memo *memo_take(const Exprs *x)
{
    ExprScratch *const s = x->scratch;
    Memo *m = s->free;
    if (m) {
        s->free = m->next;
        return m;
    }
    m = arena_new_of(x->ctx->arena, Memo);
    m->cap = 32;
    m->entry = arena_array_of(x->ctx->arena, m->cap, struct MemoEntry);
    m->slots = 64;
    m->slot = arena_array_of(x->ctx->arena, m->slots, uint32_t);
    return m;
}

void memo_give(const Exprs *x, Memo *m)
{
    const uint32_t mask = (uint32_t)m->slots - 1;
    if (m->len * 8 > m->slots) {
        memset(m->slot, 0, (size_t)m->slots * sizeof *m->slot);
    } else {
        /* Each entry lies in the run of used slots that starts at its hash. */
        for (int i = 0; i < m->len; i++)
            for (uint32_t h = memo_hash(m->entry[i].key) & mask; m->slot[h]; h = (h + 1) & mask)
                m->slot[h] = 0;
    }
    m->len = 0;
    m->next = x->scratch->free;
    x->scratch->free = m;
}

bool memo_get(const Memo *m, Expr key, uint32_t *value)
{
    const uint32_t mask = (uint32_t)m->slots - 1;
    for (uint32_t h = memo_hash(key) & mask; m->slot[h]; h = (h + 1) & mask) {
        const struct MemoEntry *const e = &m->entry[m->slot[h] - 1];
        if (e->key == key) {
            *value = e->value;
            return true;
        }
    }
    return false;
}

static void memo_insert(Memo *m, int entry)
{
    const uint32_t mask = (uint32_t)m->slots - 1;
    uint32_t h = memo_hash(m->entry[entry].key) & mask;
    while (m->slot[h])
        h = (h + 1) & mask;
    m->slot[h] = (uint32_t)entry + 1;
}

void memo_put(const Exprs *x, Memo *m, Expr key, uint32_t value)
{
    if (m->len == m->cap) {
        struct MemoEntry *const old = m->entry;
        m->cap *= 2;
        m->slots *= 2;
        m->entry = arena_array_of(x->ctx->arena, m->cap, struct MemoEntry);
        memcpy(m->entry, old, (size_t)m->len * sizeof *old);
        m->slot = arena_array_of(x->ctx->arena, m->slots, uint32_t);
        for (int i = 0; i < m->len; i++)
            memo_insert(m, i);
    }
    m->entry[m->len] = (struct MemoEntry){key, value};
    memo_insert(m, m->len++);
}
