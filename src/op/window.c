/* Windows: output sizes, padding and positions of convolutions and pools (op/window.h).
 *
 * ONNX's rules. explicit pads: out = floor((in + pads - ((k-1)*d + 1)) / stride) + 1, or ceil of
 * it, less the windows that would start behind the input and its first pad. SAME: out = ceil(in /
 * stride), and the pads are what that needs, the odd one at the end (UPPER) or at the start
 * (LOWER). */
#include "op/window.h"

#include <string.h>

bool dim_is(const Exprs *x, Expr dim, int64_t value)
{
    int64_t v;
    return expr_is_int(x, dim, &v) && v == value;
}

Expr expr_true(Exprs *x)
{
    return expr_int_of(x, DT_BOOL, 1);
}

static void check_list(const Infer *f, const char *name, int n, int64_t low)
{
    const int64_t *v;
    const int count = node_ints(f->node, name, &v);
    if (count == 0)
        return;
    if (count != n)
        infer_fail(f, "%s has %d entries, not %d", name, count, n);
    for (int k = 0; k < n; k++)
        if (v[k] < low || v[k] > INT32_MAX)
            infer_fail(f, "%s[%d] is %lld", name, k, (long long)v[k]);
}

void window_check(const Infer *f, int n)
{
    if (n < 1 || n > MAX_SPATIAL)
        infer_fail(f, "%d spatial dims", n);
    check_list(f, "strides", n, 1);
    check_list(f, "dilations", n, 1);
    check_list(f, "kernel_shape", n, 1);
    check_list(f, "pads", 2 * n, 0);
    static const char *const modes[] = {"", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"};
    const char *mode = node_string(f->node, "auto_pad", "");
    for (int k = 0; k < 5; k++)
        if (strcmp(mode, modes[k]) == 0)
            return;
    infer_fail(f, "auto_pad is '%s'", mode);
}

void window_list(const Node *node, const char *name, int n, int64_t missing, int64_t *out)
{
    const int64_t *v;
    const int count = node_ints(node, name, &v);
    for (int k = 0; k < n; k++)
        out[k] = k < count ? v[k] : missing;
}

/* Extent of the kernel of dim k with its dilation. */
static Expr reach(Exprs *x, const Window *w, int k)
{
    return expr_addi(x, expr_muli(x, expr_addi(x, w->kernel[k], -1), w->dilation[k]), 1);
}

static void same_dim(Exprs *x, Window *w, int k, bool upper)
{
    w->out[k] = expr_ceil_div(x, w->in[k], expr_int(x, w->stride[k]));
    const Expr last = expr_muli(x, expr_addi(x, w->out[k], -1), w->stride[k]);
    const Expr need = expr_sub(x, expr_add(x, last, reach(x, w, k)), w->in[k]);
    const Expr total = expr_max(x, need, expr_int(x, 0));
    const Expr half = expr_divi(x, total, 2), rest = expr_sub(x, total, half);
    w->pad[k] = upper ? half : rest;
    w->pad_end[k] = upper ? rest : half;
}

static void explicit_dim(Exprs *x, Window *w, int k)
{
    const Expr stride = expr_int(x, w->stride[k]);
    const Expr start = expr_add(x, w->in[k], w->pad[k]);
    const Expr room = expr_sub(x, expr_add(x, start, w->pad_end[k]), reach(x, w, k));
    if (w->ceil_mode) {
        const Expr all = expr_addi(x, expr_ceil_div(x, room, stride), 1);
        w->out[k] = expr_min(x, all, expr_ceil_div(x, start, stride));
    } else {
        w->out[k] = expr_addi(x, expr_div(x, room, stride), 1);
    }
}

Window window_of(Exprs *x, const Node *node, int n, const Expr *in, const Expr *kernel)
{
    Window w = {.n = n, .ceil_mode = node_int(node, "ceil_mode", 0) != 0};
    const char *mode = node_string(node, "auto_pad", "NOTSET");
    int64_t pads[2 * MAX_SPATIAL];
    window_list(node, "strides", n, 1, w.stride);
    window_list(node, "dilations", n, 1, w.dilation);
    window_list(node, "pads", 2 * n, 0, pads);
    for (int k = 0; k < n; k++) {
        w.in[k] = in[k];
        w.kernel[k] = kernel[k];
        w.pad[k] = expr_int(x, strcmp(mode, "VALID") == 0 ? 0 : pads[k]);
        w.pad_end[k] = expr_int(x, strcmp(mode, "VALID") == 0 ? 0 : pads[n + k]);
        if (strncmp(mode, "SAME", 4) == 0)
            same_dim(x, &w, k, strcmp(mode, "SAME_UPPER") == 0);
        else
            explicit_dim(x, &w, k);
    }
    return w;
}

bool window_kernel(Exprs *x, const Node *node, int n, Expr *kernel)
{
    const int64_t *v;
    if (node_ints(node, "kernel_shape", &v) != n)
        return false;
    for (int k = 0; k < n; k++)
        kernel[k] = expr_int(x, v[k]);
    return true;
}

Window window_of_pool(Exprs *x, const Node *node, int n, const Expr *in)
{
    Expr kernel[MAX_SPATIAL] = {0};
    window_kernel(x, node, n, kernel);
    return window_of(x, node, n, in, kernel);
}

Expr window_at(Exprs *x, const Window *w, int dim, Expr o, Expr k)
{
    const Expr start = expr_muli(x, o, w->stride[dim]);
    const Expr at = expr_add(x, start, expr_muli(x, k, w->dilation[dim]));
    return expr_sub(x, at, w->pad[dim]);
}

static Expr clamp_low(Exprs *x, Expr i, Expr clamped, Expr *inside)
{
    const Expr zero = expr_int(x, 0);
    if (expr_proves_le(x, zero, i))
        return clamped;
    *inside = expr_and(x, *inside, expr_le(x, zero, i));
    return expr_max(x, clamped, zero);
}

static Expr clamp_high(Exprs *x, Expr i, Expr extent, Expr *inside)
{
    if (expr_proves_lt(x, i, extent))
        return i;
    *inside = expr_and(x, *inside, expr_lt(x, i, extent));
    return expr_min(x, i, expr_addi(x, extent, -1));
}

Expr window_clamp(Exprs *x, Expr i, Expr extent, Expr *inside)
{
    return clamp_low(x, i, clamp_high(x, i, extent, inside), inside);
}

/* Without an end pad the last window ends inside by the rule for `out`, which no prover has to see.
 */
Expr window_index(Exprs *x, const Window *w, int dim, Expr o, Expr k, Expr *inside)
{
    const Expr i = window_at(x, w, dim, o, k);
    const bool may_pass = w->ceil_mode || !dim_is(x, w->pad_end[dim], 0);
    return clamp_low(x, i, may_pass ? clamp_high(x, i, w->in[dim], inside) : i, inside);
}

void window_taps(Stages *s, StageBuild *b, int n, const Expr *dims, const char *const *names,
                 Expr *tap)
{
    Expr extent[MAX_RANK] = {0};
    int axis[MAX_RANK], count = 0;
    for (int k = 0; k < n; k++) {
        tap[k] = expr_int(s->x, 0);
        if (dim_is(s->x, dims[k], 1))
            continue;
        axis[count] = k;
        extent[count++] = dims[k];
    }
    stage_reduce_axes(s, b, count, extent);
    for (int k = 0; k < count; k++) {
        tap[axis[k]] = b->r[k];
        stage_name_axes(s, b, b->naxes + k, 1, &names[axis[k]]);
    }
}

int block_pad(Stages *s, int tensor, const char *name, int first, int n, const Expr *before,
              const Expr *after, Expr fill)
{
    const StageTensor t = s->tensor.at[tensor];
    Exprs *x = s->x;
    Expr dims[MAX_RANK], index[MAX_RANK];
    bool any = false;
    memcpy(dims, t.dim, sizeof dims);
    for (int k = 0; k < n; k++) {
        any |= !dim_is(x, before[k], 0) || !dim_is(x, after[k], 0);
        dims[first + k] = expr_add(x, expr_add(x, t.dim[first + k], before[k]), after[k]);
    }
    if (!any)
        return tensor;
    const StageBuild b = stage_begin(s, t.rank, dims);
    Expr inside = expr_true(x);
    memcpy(index, b.i, sizeof index);
    for (int k = first; k < first + n; k++)
        index[k] = window_clamp(x, expr_sub(x, b.i[k], before[k - first]), t.dim[k], &inside);
    const Expr v = expr_select(x, inside, stages_load(s, tensor, index), fill);
    return stage_map(s, &b, name, t.dtype, v);
}

/* ---- names of axes ---- */

static void name_axis(Stages *s, Axis *axis, const char *name)
{
    axis->name = name;
    s->x->var.at[expr_node(s->x, axis->var)->imm.i].name = name;
}

void stage_name_axes(Stages *s, StageBuild *b, int first, int n, const char *const *names)
{
    for (int k = 0; k < n; k++)
        name_axis(s, &b->axis[first + k], names[k]);
}

/* The last n of a list of MAX_SPATIAL. */
const char *const *spatial_names(int n)
{
    static const char *const names[MAX_SPATIAL] = {"l", "i", "j", "o", "p", "q"};
    return names + MAX_SPATIAL - n;
}

const char *const *kernel_names(int n)
{
    static const char *const names[MAX_SPATIAL] = {"d", "e", "f", "t", "r", "s"};
    return names + MAX_SPATIAL - n;
}
