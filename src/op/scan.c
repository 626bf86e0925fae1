/* CumSum and CumProd: a SCAN along the axis, f32 at least inside. `reverse` scans the mirrored
 * input and mirrors the result; `exclusive` starts with 0 (or 1) and leaves out the element itself:
 *
 *     z[t] = t == 0 ? x[0] : z[t - 1] + x[t]          exclusive: t == 0 ? 0 : z[t - 1] + x[t - 1]
 */
#include "op/index.h"
#include "op/table.h"

#include <string.h>

void infer_cumulative(const Infer *f)
{
    int64_t axis;
    if (infer_ints(f, 1, &axis, 1) != 1)
        infer_fail(f, "the axis must be one number");
    infer_axis(f, axis, infer_in(f, 0)->rank);
    infer_same(f, 0, 0);
}

static void define_cumulative(Define *d, ExprOp op, double start)
{
    Exprs *x = d->x;
    const StageTensor in = *define_in(d, 0);
    const DType acc = dtype_compute(in.dtype);
    const bool exclusive = define_int(d, "exclusive", 0), reverse = define_int(d, "reverse", 0);
    int64_t value;
    define_ints(d, 1, &value, 1);
    const int axis = define_axis(value, in.rank);
    const StageBuild b = stage_begin(d->s, in.rank, in.dim);
    const int z = stage_scan_declare(d->s, "running", acc, in.rank, in.dim);

    const Expr t = b.i[axis], zero = expr_int(x, 0);
    const Expr last = expr_addi(x, in.dim[axis], -1),
               before = expr_max(x, expr_addi(x, t, -1), zero);
    const Expr from = exclusive ? before : t;
    Expr index[MAX_RANK];
    memcpy(index, b.i, sizeof index);
    index[axis] = reverse ? expr_sub(x, last, from) : from;
    const Expr v = define_load(d, 0, index);
    index[axis] = before;
    const Expr sum = expr_bin(x, op, stages_load(d->s, z, index), v);
    const Expr first = exclusive ? expr_const(x, acc, start) : v;
    stage_scan_define(d->s, &b, z, axis, expr_select(x, expr_eq(x, t, zero), first, sum));
    if (!reverse) {
        define_out(d, 0, z);
        return;
    }
    const StageBuild m = define_begin(d, 0);
    memcpy(index, m.i, sizeof index);
    index[axis] = expr_sub(x, last, m.i[axis]);
    define_map(d, 0, &m, stages_load(d->s, z, index));
}

void define_cum_sum(Define *d)
{
    define_cumulative(d, EX_ADD, 0);
}

void define_cum_prod(Define *d)
{
    define_cumulative(d, EX_MUL, 1);
}
