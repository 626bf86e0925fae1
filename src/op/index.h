/* Index arithmetic that several definitions use. i64 throughout. */
#ifndef LATHE_OP_INDEX_H
#define LATHE_OP_INDEX_H

#include "expr/expr.h"

/* i kept in [0, dim): for loads whose value a select throws away when i is outside. */
static inline Expr index_clamp(Exprs *x, Expr i, Expr dim)
{
    return expr_max(x, expr_int(x, 0), expr_min(x, i, expr_addi(x, dim, -1)));
}

/* 0 <= i < dim */
static inline Expr index_inside(Exprs *x, Expr i, Expr dim)
{
    return expr_and(x, expr_le(x, expr_int(x, 0), i), expr_lt(x, i, dim));
}

/* Negative positions count from the end. */
static inline Expr index_wrap(Exprs *x, Expr i, Expr dim)
{
    return expr_select(x, expr_lt(x, i, expr_int(x, 0)), expr_add(x, i, dim), i);
}

/* An index that came as data: from the end if negative, and never out of the tensor. */
static inline Expr index_of_data(Exprs *x, Expr i, Expr dim)
{
    return index_clamp(x, index_wrap(x, expr_cast(x, DT_I64, i), dim), dim);
}

#endif
