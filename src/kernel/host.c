/* The table of host routines. */
#include "kernel/host.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const HostRow host_rows[] = {
    {"top_k", host_top_k, host_top_k_ok, 3},
    {"non_zero", host_non_zero, host_non_zero_ok, 1},
    {"non_max_suppression", host_non_max_suppression, host_non_max_suppression_ok, 1},
    {"unique", host_unique, host_unique_ok, 1 | 2 | 8},
    {"compress", host_compress, host_compress_ok, 1},
    {"roi_align", host_roi_align, host_roi_align_ok, 0},
    {"max_roi_pool", host_max_roi_pool, host_max_roi_pool_ok, 0},
};
const int host_row_count = (int)(sizeof host_rows / sizeof host_rows[0]);

const HostRow *host_find(const char *name)
{
    for (int i = 0; i < host_row_count; i++) {
        if (strcmp(host_rows[i].name, name) == 0)
            return &host_rows[i];
    }
    return NULL;
}

int64_t host_product(const HostTensor *t, int from, int to)
{
    int64_t n = 1;
    for (int k = from; k < to; k++)
        n *= t->dim[k];
    return n;
}

int64_t host_elements(const HostTensor *t)
{
    return host_product(t, 0, t->rank);
}

void host_shape(HostTensor *t, int rank, const int64_t *dims)
{
    t->rank = rank;
    for (int k = 0; k < rank; k++)
        t->dim[k] = dims[k];
}

int host_fail(HostCall *call, int code, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return error_set(call->error, code, "%s", text);
}
