/* Which form each node is to have: layouts of the images that it reads and makes, and the variant. Private to pass/.
 *
 * The choice is apart from the rewriting: choose_variants and block_channels only do what was chosen. */
#ifndef LATHE_PASS_IMAGE_LAYOUTS_H
#define LATHE_PASS_IMAGE_LAYOUTS_H

#include "pass/cost.h"
#include "pass/pass.h"

typedef struct ImageForms {
    const NodeForm *form; /* by node; all 0 for nodes that are not asked: those of bodies, and without images */
    double ns;            /* the sum of costs */
    bool exact;           /* proven to be the least */
} ImageForms;

ImageForms image_forms_choose(Graph *g, const PassOptions *opt);

#endif
