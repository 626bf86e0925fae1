/* See offset.h. */
#include "loop/offset.h"

/* Product of the blocks of `axis` from physical dim `from` on. */
static int64_t blocks_after(const Layout *l, int axis, int from)
{
    int64_t p = 1;
    for (int k = from; k < l->n; k++) {
        if (l->dim[k].axis == axis && l->dim[k].block) {
            p *= l->dim[k].block;
        }
    }
    return p;
}

static Expr physical_extent(Exprs *x, const Layout *l, int k, const Expr *dims)
{
    const LayoutDim d = l->dim[k];
    return d.block ? expr_int(x, d.block)
                   : expr_ceil_div(x, dims[d.axis], expr_int(x, layout_block(l, d.axis)));
}

/* Of an array that stands alone. */
static Expr whole_offset(Exprs *x, const Layout *l, int rank, const Expr *dim, const Expr *index)
{
    Expr at = expr_int(x, 0);
    if (layout_is_plain(l)) {
        for (int k = 0; k < rank; k++) {
            at = expr_add(x, expr_mul(x, at, dim[k]), index[k]);
        }
        return at;
    }
    for (int k = 0; k < l->n; k++) {
        const LayoutDim d = l->dim[k];
        Expr part = expr_divi(x, index[d.axis], blocks_after(l, d.axis, d.block ? k + 1 : 0));
        if (d.block) {
            part = expr_modi(x, part, d.block);
        }
        at = expr_add(x, expr_mul(x, at, physical_extent(x, l, k, dim)), part);
    }
    return at;
}

Expr buffer_offset(Exprs *x, const LoopBuffer *b, const Expr *index)
{
    if (!b->part.is_part) {
        return whole_offset(x, &b->layout, b->rank, b->dim, index);
    }
    Expr moved[MAX_RANK];
    for (int k = 0; k < b->rank; k++) {
        moved[k] = expr_add(x, index[k], b->part.at[k]);
    }
    return whole_offset(x, &b->layout, b->rank, b->part.whole, moved);
}

Expr layout_elements_expr(Exprs *x, const Layout *l, int rank, const Expr *dims)
{
    Expr n = expr_int(x, 1);
    for (int k = 0; k < (layout_is_plain(l) ? rank : l->n); k++) {
        n = expr_mul(x, n, layout_is_plain(l) ? dims[k] : physical_extent(x, l, k, dims));
    }
    return n;
}

Expr buffer_elements(Exprs *x, const LoopBuffer *b)
{
    return layout_elements_expr(x, &b->layout, b->rank, b->part.is_part ? b->part.whole : b->dim);
}
