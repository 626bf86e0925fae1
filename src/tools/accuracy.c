/* Outputs against those in f32: sums over elements, and the best classes of rows. See
 * accuracy.h. */
#include "tools/accuracy.h"

#include <math.h>
#include <string.h>

static double element(const Tensor *t, int64_t k)
{
    const char *p = (const char *)t->data + k * dtype_size(t->dtype);
    return dtype_is_float(t->dtype) ? dtype_read(t->dtype, p) : (double)dtype_read_int(t->dtype, p);
}

static void add_element(Accuracy *a, double got, double want)
{
    a->elements++;
    if (got == want || (isnan(got) && isnan(want))) {
        /* infinities are equal, and say nothing of the rest */
        got = want = isfinite(want) ? want : 0;
    } else if (!isfinite(got) || !isfinite(want)) {
        a->broken = true;
        return;
    }
    const double error = fabs(got - want);
    a->max_abs = error > a->max_abs ? error : a->max_abs;
    a->error2 += error * error;
    a->want2 += want * want;
    a->got2 += got * got;
    a->dot += got * want;
}

static int64_t best(const Tensor *t, int64_t first, int64_t n)
{
    int64_t at = 0;
    for (int64_t k = 1; k < n; k++)
        at = element(t, first + k) > element(t, first + at) ? k : at;
    return at;
}

static void add_row(Accuracy *a, const Tensor *got, const Tensor *want, int64_t first, int64_t n)
{
    const int64_t class = best(want, first, n);
    int64_t above = 0;
    for (int64_t k = 0; k < n; k++)
        above += element(got, first + k) > element(got, first + class);
    a->rows++;
    a->top1 += above == 0;
    a->top5 += above < 5;
}

void accuracy_add(Accuracy *a, const Tensor *got, const Tensor *want)
{
    const int64_t n = tensor_elements(want);
    if (got->dtype != want->dtype || got->rank != want->rank ||
        memcmp(got->dim, want->dim, sizeof *got->dim * (size_t)got->rank) != 0) {
        a->broken = true;
        return;
    }
    for (int64_t k = 0; k < n; k++)
        add_element(a, element(got, k), element(want, k));
    const int64_t classes = want->rank > 0 ? want->dim[want->rank - 1] : 0;
    const bool scores =
        want->rank >= 2 && classes >= ACCURACY_CLASSES && dtype_is_float(want->dtype);
    for (int64_t k = 0; scores && k + classes <= n; k += classes)
        add_row(a, got, want, k, classes);
}

double accuracy_relative(const Accuracy *a)
{
    if (a->broken)
        return INFINITY;
    return a->error2 == 0 ? 0 : sqrt(a->error2 / a->want2);
}

double accuracy_cosine(const Accuracy *a)
{
    const double lengths = sqrt(a->got2) * sqrt(a->want2);
    return a->broken ? 0 : lengths > 0 ? a->dot / lengths : a->error2 == 0;
}
