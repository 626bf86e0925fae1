/* Memo: Expr -> u32, for one walk over an expression. Tables are reused, so a walk allocates only
 * while the tables still grow; walks nest (a rewrite function may rewrite). */
#ifndef LATHE_EXPR_MEMO_H
#define LATHE_EXPR_MEMO_H

#include "expr/expr.h"

typedef struct Memo {
    struct MemoEntry {
        Expr key;
        uint32_t value;
    } *entry;      /* in order of insertion */
    int len, cap;  /* of entry */
    uint32_t *slot; /* hash table of entry index + 1 */
    int slots;
    struct Memo *next; /* in the list of free tables */
} Memo;

Memo *memo_take(const Exprs *x);
void memo_give(const Exprs *x, Memo *m);
/* False if key is absent. */
bool memo_get(const Memo *m, Expr key, uint32_t *value);
void memo_put(const Exprs *x, Memo *m, Expr key, uint32_t value); /* key must be absent */

typedef struct ExprScratch {
    Memo *free;
} ExprScratch;

#endif
