/* Host routines: ops that no loop nest expresses well, as plain C over raw data and shapes.
 *
 * All have one signature. A call goes through three phases, so that the caller owns all memory:
 *
 *   HOST_PLAN  shapes of the inputs are set, data is not read. Sets scratch_bytes, and the largest
 *              dims that each output can get.
 *   HOST_SIZE  data and scratch are set. Sets the exact dims of the outputs. May leave results in
 *              scratch. Needed only where an output's size depends on data, else it may be skipped.
 *   HOST_RUN   writes the outputs, whose dims and data are set. Scratch is as HOST_SIZE left it
 *              (if the row has dynamic outputs, HOST_SIZE comes first with the same scratch).
 *
 * Dims of a dynamic output are those HOST_SIZE gave. Absent inputs and outputs have dtype DT_NONE.
 * Tensors are row-major. A routine keeps no state and takes no locks: any threads may call it. */
#ifndef LATHE_KERNEL_HOST_H
#define LATHE_KERNEL_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tensor/dtype.h"
#include "tensor/layout.h"

#define HOST_MAX_IO 8
#define HOST_MAX_ARGS 8

typedef struct HostTensor {
    DType dtype;
    int rank;
    int64_t dim[MAX_RANK];
    void *data; /* inputs are not written */
} HostTensor;

typedef enum HostPhase { HOST_PLAN, HOST_SIZE, HOST_RUN } HostPhase;

typedef struct HostCall {
    HostPhase phase;
    int nin, nout;
    HostTensor in[HOST_MAX_IO], out[HOST_MAX_IO];
    int64_t ints[HOST_MAX_ARGS]; /* attributes: see each routine */
    double floats[HOST_MAX_ARGS];
    size_t scratch_bytes; /* set by HOST_PLAN */
    void *scratch;        /* 64-byte aligned, at least scratch_bytes */
    Error *error;
} HostCall;

/* Returns 0 or a negative ErrorCode with call->error filled. */
typedef int (*HostFn)(HostCall *call);
/* Are operands, their types, ranks and dims, and the attributes what the routine relies on?
 * (host_check.c) */
typedef bool (*HostCheckFn)(const HostCall *call);

typedef struct HostRow {
    const char *name; /* the op's snake_case name: what a program file stores */
    HostFn run;
    HostCheckFn check;
    uint32_t dynamic; /* bit k: the size of output k may depend on data */
} HostRow;

extern const HostRow host_rows[];
extern const int host_row_count;
const HostRow *host_find(const char *name); /* NULL: unknown */

/* x, k i64[1] -> values, indices i64.      ints: axis, largest, sorted */
int host_top_k(HostCall *call);
/* x -> i64[rank, count] */
int host_non_zero(HostCall *call);
/* boxes (B,N,4), scores (B,C,N), max per class i64, IoU threshold, score threshold (the last three
 * may be absent) -> i64[count, 3].         ints: center_point_box */
int host_non_max_suppression(HostCall *call);
/* x -> y, first index, inverse, counts (the last three may be absent).
 *                                          ints: has_axis, axis, sorted */
int host_unique(HostCall *call);
/* x, condition bool[n] -> y.               ints: has_axis, axis */
int host_compress(HostCall *call);
/* x (N,C,H,W), rois (R,4), batch i64[R] -> (R,C,P,Q).
 *                                          ints: half_pixel, max, P, Q, sampling ratio; floats:
 * spatial scale */
int host_roi_align(HostCall *call);
/* x (N,C,H,W), rois (R,5) -> (R,C,P,Q).    ints: P, Q; floats: spatial scale */
int host_max_roi_pool(HostCall *call);

bool host_top_k_ok(const HostCall *call);
bool host_non_zero_ok(const HostCall *call);
bool host_non_max_suppression_ok(const HostCall *call);
bool host_unique_ok(const HostCall *call);
bool host_compress_ok(const HostCall *call);
bool host_roi_align_ok(const HostCall *call);
bool host_max_roi_pool_ok(const HostCall *call);

/* ---- for the routines ---- */
int64_t host_elements(const HostTensor *t);
/* Product of the dims in [from, to). */
int64_t host_product(const HostTensor *t, int from, int to);
void host_shape(HostTensor *t, int rank, const int64_t *dims);
int host_fail(HostCall *call, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
