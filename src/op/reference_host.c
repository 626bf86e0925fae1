/* Class K in the reference executor: the three phases of a host routine. */
#include "op/host_call.h"
#include "op/reference.h"

static void call_phase(Reference *r, NodeId n, const HostRow *row, HostCall *call, HostPhase phase)
{
    call->phase = phase;
    const int code = row->run(call);
    if (code)
        graph_fail(r->g, n, code, "%s", call->error->message);
}

void reference_host(Reference *r, NodeId n)
{
    const Node *node = &r->g->node.at[n];
    HostCall call;
    const HostRow *row = op_host_call(r->g, n, &call);
    Error error = {0};
    call.error = &error;
    for (int k = 0; k < node->nin; k++) {
        if (node->in[k] < 0)
            continue;
        const Tensor *t = reference_get(r, node->in[k]);
        host_shape(&call.in[k], t->rank, t->dim);
        call.in[k].data = t->data;
    }
    call_phase(r, n, row, &call, HOST_PLAN);
    call.scratch = arena_alloc_aligned(r->ctx->arena, call.scratch_bytes, 64);
    call_phase(r, n, row, &call, HOST_SIZE);
    Tensor *made[HOST_MAX_IO] = {0};
    for (int k = 0; k < node->nout; k++) {
        if (node->out[k] < 0)
            continue;
        made[k] = reference_tensor(r, call.out[k].dtype, call.out[k].rank, call.out[k].dim);
        call.out[k].data = made[k]->data;
    }
    call_phase(r, n, row, &call, HOST_RUN);
    for (int k = 0; k < node->nout; k++)
        if (made[k])
            reference_set(r, node->out[k], made[k]);
}
