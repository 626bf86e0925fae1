/* What it costs to run a node one way or another: the notion of cost that layouts and variants are
 * chosen by.
 *
 * In nanoseconds of one core, but only ratios of one node's forms, and of copies to them, count. A
 * table of measured costs (cost_table.h) is asked first; without, or where it lacks some of a
 * node's forms, costs are estimated from the target alone. No pass measures. */
#ifndef LATHE_PASS_COST_H
#define LATHE_PASS_COST_H

#include "graph/graph.h"
#include "pass/node_facts.h"
#include "pass/cost_table.h"
#include "target/target.h"

#define MEMORY_BYTES_PER_CYCLE 6.0 /* weights, which do not stay in a cache from run to run */

/* Layouts of images, values of rank 4: f32 and what is narrower, and sums of integers. All other
 * values are plain. */
typedef enum ImageLayout {
    IMAGE_PLAIN,   /* N, C, H, W */
    IMAGE_BLOCKED, /* N, C/8, H, W, 8c: as many channels as a vector has lanes of 32 bits, or as a
                    * row of a tile holds; N, H, W, C where some would be left over */
    IMAGE_LAYOUTS,
} ImageLayout;
int image_block(const Graph *g, ValueId v,
                const Target
                    *t); /* channels that may be cut apart: of a block, or as many
                          * as go together where all lie side by side (N, H, W, C); 0: neither */
Layout image_layout(const Graph *g, ValueId v, ImageLayout kind, const Target *t);
bool image_fits(const Graph *g, ValueId v, ImageLayout kind, const Target *t);

/* Of a type whose products take groups of channels that lie side by side: a convolution runs
 * blocked only from blocks. */
static inline bool is_narrow_image(const Graph *g, ValueId v)
{
    return g->value.at[v].rank == 4 && dtype_size(g->value.at[v].dtype) < 4;
}

/* One way to run a node. */
typedef struct NodeForm {
    ImageLayout in, out; /* of all images that it reads, and makes */
    int variant;         /* of a convolution: Winograd's m; 0: directly */
} NodeForm;
#define MAX_FORMS (IMAGE_LAYOUTS * IMAGE_LAYOUTS * 3) /* three variants */

typedef struct Costs {
    Target target;
    const char *name;       /* of the target, in tables */
    const CostTable *table; /* may be NULL */
    /* how much faster than the target's rate for f32 products of convolutions go */
    double products;
} Costs;

/* The forms' costs, ns[k] for form[k]. */
void cost_forms(const Costs *c, Graph *g, NodeId n, const NodeFacts *f, int nforms,
                const NodeForm *form, double *ns);
/* Of copying v from one layout to the other. */
double cost_copy(const Costs *c, Graph *g, ValueId v, ImageLayout from, ImageLayout to);
/* The tiles (m) that n could use, if it is a convolution: how many. */
#define COST_TILES 2
int winograd_tiles(const Graph *g, NodeId n, int m[COST_TILES]);
/* Does the node only put elements elsewhere? Then a form that keeps the layout costs nothing: it is
 * a view (views.c). */
bool node_may_be_view(Graph *g, NodeId n, const NodeFacts *f);

/* The node's text in tables: what it computes, of which types and sizes, in that form. NULL: sizes
 * are open. */
const char *cost_key(Arena *a, const Graph *g, NodeId n, const Target *t, NodeForm form);
const char *cost_copy_key(Arena *a, const Graph *g, ValueId v, const Target *t, ImageLayout from,
                          ImageLayout to);

#endif
