/* Layouts. */
#include "tensor/layout.h"

#include <assert.h>

bool layout_equal(const Layout *a, const Layout *b)
{
    if (a->n != b->n)
        return false;
    for (int i = 0; i < a->n; i++)
        if (a->dim[i].axis != b->dim[i].axis || a->dim[i].block != b->dim[i].block)
            return false;
    return true;
}

int64_t layout_block(const Layout *l, int axis)
{
    int64_t block = 1;
    for (int i = 0; i < l->n; i++)
        if (l->dim[i].axis == axis && l->dim[i].block > 0)
            block *= l->dim[i].block;
    return block;
}

bool layout_valid(const Layout *l, int rank)
{
    if (rank < 0 || rank > MAX_RANK || l->n < 0 || l->n > MAX_LAYOUT_DIMS)
        return false;
    if (l->n == 0)
        return true;
    bool seen[MAX_RANK] = {0};
    int64_t block[MAX_RANK];
    for (int a = 0; a < rank; a++)
        block[a] = 1;
    for (int i = 0; i < l->n; i++) {
        const LayoutDim d = l->dim[i];
        if (d.axis < 0 || d.axis >= rank || d.block < 0 || d.block == 1)
            return false;
        if (seen[d.axis] && d.block == 0) /* a second outer part */
            return false;
        seen[d.axis] |= d.block == 0;
        if (d.block > 0 && (block[d.axis] *= d.block) > INT32_MAX)
            return false;
    }
    for (int a = 0; a < rank; a++)
        if (!seen[a])
            return false;
    return true;
}

static int64_t multiply(int64_t a, int64_t b)
{
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

int64_t layout_elements(const Layout *l, int rank, const int64_t *dims)
{
    assert(layout_valid(l, rank));
    int64_t n = 1;
    for (int a = 0; a < rank; a++)
        if (dims[a] == 0) /* before anything can overflow */
            return 0;
    for (int a = 0; a < rank; a++) {
        const int64_t block = layout_block(l, a);
        const int64_t outer = dims[a] / block + (dims[a] % block != 0);
        n = multiply(n, multiply(outer, block));
    }
    return n;
}

int64_t layout_offset(const Layout *l, int rank, const int64_t *dims, const int64_t *index)
{
    int64_t offset = 0;
    if (l->n == 0) {
        for (int a = 0; a < rank; a++)
            offset = offset * dims[a] + index[a];
        return offset;
    }
    assert(layout_valid(l, rank));
    int64_t below[MAX_RANK]; /* elements of the axis under the blocks met so far */
    for (int a = 0; a < rank; a++)
        below[a] = layout_block(l, a);
    for (int i = 0; i < l->n; i++) {
        const int a = l->dim[i].axis;
        const int64_t block = l->dim[i].block;
        if (block == 0) {
            const int64_t all = layout_block(l, a);
            const int64_t extent = dims[a] / all + (dims[a] % all != 0);
            offset = offset * extent + index[a] / all;
        } else {
            below[a] /= block;
            offset = offset * block + index[a] / below[a] % block;
        }
    }
    return offset;
}

void layout_print(const Layout *l, Str *out)
{
    if (l->n == 0)
        str_add(out, "plain");
    for (int i = 0; i < l->n; i++) {
        str_addf(out, i == 0 ? "%d" : " %d", l->dim[i].axis);
        if (l->dim[i].block > 0)
            str_addf(out, ":%d", l->dim[i].block);
    }
}

Layout layout_parse(Lexer *lex)
{
    Layout l = {0};
    int rank = 0;
    if (lex_accept(lex, "plain"))
        return l;
    while (lex->tok.kind == TOK_INT) {
        if (l.n == MAX_LAYOUT_DIMS)
            lex_fail(lex, "a layout has at most %d dims", MAX_LAYOUT_DIMS);
        const int64_t axis = lex->tok.i;
        if (axis < 0 || axis >= MAX_RANK)
            lex_fail(lex, "an axis of a layout is 0 to %d", MAX_RANK - 1);
        if (axis >= rank)
            rank = (int)axis + 1;
        lex_next(lex);
        LayoutDim d = {.axis = (int8_t)axis};
        if (lex_accept(lex, ":")) {
            if (lex->tok.kind != TOK_INT || lex->tok.i < 2 || lex->tok.i > INT32_MAX)
                lex_fail(lex, "a block of a layout is a number above 1");
            d.block = (int32_t)lex->tok.i;
            lex_next(lex);
        }
        l.dim[l.n++] = d;
    }
    if (l.n == 0)
        lex_fail(lex, "expected a layout: 'plain' or axes such as '0 1 2 1:8'");
    if (!layout_valid(&l, rank))
        lex_fail(lex, "a layout names each axis once, beside its blocks");
    return l;
}
