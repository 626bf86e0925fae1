/* Measured costs: a text file of what nodes took, by target and by the node's description (cost.h).
 *
 *     lathe costs 1
 *     target "avx2 znver3 l1 32768 l2 524288"
 *     81203.5 "conv(f32[1,64,56,56], const f32[64,64,3,3]) -> f32[1,64,56,56] pads=[1,1,1,1] | plain, 0 1 2 3 1:8, winograd 4"
 *
 * Nanoseconds of one thread. A target holds for the lines after it; a line that repeats another
 * is an error, as are times that are no positive numbers. The first line's number is the version
 * of form and meaning. */
#ifndef LATHE_PASS_COST_TABLE_H
#define LATHE_PASS_COST_TABLE_H

#include "base/digest.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"
#include "base/error.h"

#define COST_FORMAT 1

typedef struct CostRow {
    double ns;
    const char *target, *key;
} CostRow;

typedef struct CostTarget {
    const char *name;
    StrMap rows; /* by key */
} CostTarget;

typedef struct CostTable {
    Arena *arena;
    VEC(CostRow) row;
    VEC(CostTarget) target;
} CostTable;

CostTable *cost_table_new(Arena *a);
/* Fails with file, line and column. */
CostTable *cost_table_parse(Context *ctx, const char *name, const char *text, size_t size);
/* From a file. */
int cost_table_read(Arena *a, const char *path, CostTable **out, Error *e);
void cost_table_print(const CostTable *t, Str *out);
/* 0: it was not measured. NULL: an empty table. */
double cost_table_find(const CostTable *t, const char *target, const char *key);
/* False: it was there; that stays. */
bool cost_table_add(CostTable *t, const char *target, const char *key, double ns);
/* Of all that it says. */
void cost_table_digest(const CostTable *t, Digest *d);

#endif
