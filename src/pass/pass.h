/* Passes: graph -> graph. pass.def lists them in order, with the reasons for the order.
 *
 * A pass is `Graph *pass_X(Context *, const Graph *, const PassOptions *, int *count)`: const in, a
 * new graph out, nothing else observable; *count says how often it did something (tests assert it).
 * The graph is inferred before and after. No pass measures: costs come from the target's
 * description, or from a table (cost.h). */
#ifndef LATHE_PASS_PASS_H
#define LATHE_PASS_PASS_H

#include "graph/graph.h"
#include "pass/cost_table.h"
#include "target/target.h"

typedef enum PassPhase {
    PASS_EARLY, /* before constants are folded: may add nodes that compute constants */
    PASS_LATE,  /* after: decides layouts and groups */
} PassPhase;

/* What products are computed in; sums always are in f32 (pass/lower_precision.c). */
typedef enum Precision {
    PRECISION_F32,  /* "f32": as the model says */
    PRECISION_BF16, /* "bf16": inputs of products are rounded to bf16 where that gains something on
                       the target */
    PRECISION_BF16_ALL, /* "bf16-all": wherever it can be done: what a CPU with such products gives,
                           on any CPU */
    PRECISION_F32_FAST, /* "f32-fast": large products in fewer multiplications, which round more
                           coarsely (op/strassen.h) */
} Precision;
static inline bool precision_is_f32(Precision p)
{
    return p == PRECISION_F32 || p == PRECISION_F32_FAST;
}
int precision_find(const char *name, Precision *out, Error *e);
const char *precision_name(Precision p);

typedef struct PassOptions {
    Target target;
    Precision precision;
    const CostTable *costs; /* may be NULL */
} PassOptions;

typedef Graph *(*PassFn)(Context *ctx, const Graph *g, const PassOptions *opt, int *count);

typedef struct PassRow {
    const char *name;
    PassPhase phase;
    PassFn run;
} PassRow;

extern const PassRow pass_rows[];
extern const int pass_count;
int pass_find(const char *name); /* -1 */

/* Runs all passes of a phase. `counts` (by row; may be NULL) is added to. The graph is verified
 * after each pass. */
Graph *passes_run(Context *ctx, const Graph *g, PassPhase phase, const PassOptions *opt,
                  int *counts);

#endif
