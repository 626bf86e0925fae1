/* What each host routine relies on. Inference sees to it for models; a module file may say
 * anything. */
#include "kernel/host.h"

enum { MAX_SAMPLES = 1 << 16 }; /* of one side of a bin */

static bool present(const HostTensor *t)
{
    return t->dtype != DT_NONE;
}

static bool absent_or(const HostCall *call, int k, DType type)
{
    return k >= call->nout || !present(&call->out[k]) || call->out[k].dtype == type;
}

static bool vector_at_least(const HostTensor *t, int64_t n)
{
    return present(t) && host_elements(t) >= n;
}

static bool axis_ok(const HostTensor *x, int64_t axis)
{
    return axis >= 0 && axis < x->rank;
}

bool host_top_k_ok(const HostCall *c)
{
    return c->nin == 2 && c->nout <= 2 && present(&c->in[0]) && axis_ok(&c->in[0], c->ints[0]) &&
           vector_at_least(&c->in[1], 1) && absent_or(c, 0, c->in[0].dtype) &&
           absent_or(c, 1, DT_I64);
}

bool host_non_zero_ok(const HostCall *c)
{
    return c->nin == 1 && c->nout == 1 && present(&c->in[0]) && c->out[0].dtype == DT_I64;
}

bool host_non_max_suppression_ok(const HostCall *c)
{
    const HostTensor *const boxes = &c->in[0], *const scores = &c->in[1];
    return c->nin >= 2 && c->nin <= 5 && c->nout == 1 && boxes->dtype == DT_F32 &&
           scores->dtype == DT_F32 && boxes->rank == 3 && scores->rank == 3 &&
           boxes->dim[0] == scores->dim[0] && boxes->dim[1] == scores->dim[2] &&
           boxes->dim[2] == 4 && c->out[0].dtype == DT_I64;
}

bool host_unique_ok(const HostCall *c)
{
    return c->nin == 1 && c->nout >= 1 && c->nout <= 4 && present(&c->in[0]) &&
           (!c->ints[0] || axis_ok(&c->in[0], c->ints[1])) && c->out[0].dtype == c->in[0].dtype &&
           absent_or(c, 1, DT_I64) && absent_or(c, 2, DT_I64) && absent_or(c, 3, DT_I64);
}

bool host_compress_ok(const HostCall *c)
{
    return c->nin == 2 && c->nout == 1 && present(&c->in[0]) && c->in[1].dtype == DT_BOOL &&
           (!c->ints[0] || axis_ok(&c->in[0], c->ints[1])) && c->out[0].dtype == c->in[0].dtype;
}

static bool regions_ok(const HostCall *c, int coordinates, int64_t rows, int64_t cols)
{
    const HostTensor *const x = &c->in[0], *const rois = &c->in[1];
    return c->nout == 1 && present(x) && present(rois) && x->rank == 4 && rois->rank == 2 &&
           rois->dim[1] == coordinates && rows >= 1 && cols >= 1 && c->out[0].dtype == x->dtype;
}

bool host_roi_align_ok(const HostCall *c)
{
    return c->nin == 3 && regions_ok(c, 4, c->ints[2], c->ints[3]) &&
           vector_at_least(&c->in[2], c->in[1].dim[0]) && c->ints[4] >= 0 &&
           c->ints[4] <= MAX_SAMPLES;
}

bool host_max_roi_pool_ok(const HostCall *c)
{
    return c->nin == 2 && regions_ok(c, 5, c->ints[0], c->ints[1]);
}
