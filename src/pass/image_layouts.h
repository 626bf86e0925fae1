/* Which form each node is to have: layouts of the images that it reads and makes, and the variant.
 *
 * The choice is apart from the rewriting: choose_variants and block_channels only do what was
 * chosen. */
#ifndef LATHE_PASS_IMAGE_LAYOUTS_H
#define LATHE_PASS_IMAGE_LAYOUTS_H

#include "pass/cost.h"
#include "pass/pass.h"

typedef struct ImageForms {
    /* by node; all 0 for nodes that are not asked: those of bodies, and without images */
    const NodeForm *form;
    double ns;            /* the sum of costs */
    bool exact;           /* proven to be the least */
} ImageForms;

/* `variants`: they are open; else each node keeps the one that it has. */
ImageForms image_forms_choose(Graph *g, const PassOptions *opt, bool variants);
/* The same sum, of forms that are given. */
double image_forms_cost(Graph *g, const PassOptions *opt, const NodeForm *form);

/* What the node costs with plain images, directly or in its best variant. */
double image_node_cost(Graph *g, const PassOptions *opt, NodeId n, bool variants);

/* One of the costs that choices on that graph are made by. */
typedef struct CostCandidate {
    const char *key;
    NodeId node;   /* -1: a copy of `value`, from layout form.in to form.out */
    ValueId value;
    NodeForm form;
} CostCandidate;
/* All of them, each key once, those of a node one after another. Not those that are known to be 0,
 * make no difference, or have open sizes. */
int image_forms_candidates(Graph *g, const PassOptions *opt, CostCandidate **out);

#endif
