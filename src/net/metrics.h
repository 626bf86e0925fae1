/* Metrics as Prometheus reads them (text format 0.0.4): written anew for each scrape, from counts
 * that their owners keep.
 *
 *     metrics_family(&s, "lathe_events_total", "counter", "Records of events told.");
 *     metrics_value(&s, "lathe_events_total", 2, (MetricLabel[]){{"stream", name}, {"kind", "start"}}, n);
 *
 * All values of a family follow its head. */
#ifndef LATHE_NET_METRICS_H
#define LATHE_NET_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/str.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

typedef struct MetricLabel {
    const char *name, *value; /* value: any UTF-8 */
} MetricLabel;

/* `type`: counter, gauge, histogram. `help`: one sentence. */
void metrics_family(Str *out, const char *name, const char *type, const char *help);
void metrics_value(Str *out, const char *name, int nlabel, const MetricLabel *label, double value);

#define HISTOGRAM_MAX 24

/* Counts of values by size; any thread adds, any thread reads: what is read may lack the latest. */
typedef struct Histogram {
    int n;
    /* upper, inclusive, rising; above the last one is a bucket more */
    double bound[HISTOGRAM_MAX];
    _Atomic int64_t count[HISTOGRAM_MAX + 1];
    _Atomic int64_t sum;                  /* in millionths */
} Histogram;

/* n bounds from `first` on, each `factor` times the one before; zero counts. */
void histogram_init(Histogram *h, int n, double first, double factor);
void histogram_add(Histogram *h, double value);
int64_t histogram_count(const Histogram *h);
/* The value below which a share q of all lies, 0 to 1, between bounds by straight lines; 0: there
 * is none. */
double histogram_quantile(const Histogram *h, double q);
/* NAME_bucket, NAME_sum, NAME_count. */
void metrics_histogram(Str *out, const char *name, int nlabel, const MetricLabel *label,
                       const Histogram *h);

#endif
