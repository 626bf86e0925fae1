/* The text format, and histograms. */
#include "net/metrics.h"

#include <math.h>
#include <stdio.h>

static void add_number(Str *out, double v)
{
    if (isnan(v) || isinf(v))
        str_add(out, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
    else if (v == rint(v) && fabs(v) < 1e15)
        str_addf(out, "%.0f", v); /* people read counts, too */
    else
        str_add_double(out, v);
}

static void add_escaped(Str *out, const char *text, bool quotes)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            str_add(out, "\\n");
        else if (*text == '\\' || (*text == '"' && quotes))
            str_addf(out, "\\%c", *text);
        else
            str_addc(out, *text);
    }
}

void metrics_family(Str *out, const char *name, const char *type, const char *help)
{
    str_addf(out, "# HELP %s ", name);
    add_escaped(out, help, false);
    str_addf(out, "\n# TYPE %s %s\n", name, type);
}

static void add_labels(Str *out, int n, const MetricLabel *label, const char *bound)
{
    if (n == 0 && !bound)
        return;
    for (int i = 0; i < n; i++) {
        str_addf(out, "%s%s=\"", i ? "," : "{", label[i].name);
        add_escaped(out, label[i].value ? label[i].value : "", true);
        str_addc(out, '"');
    }
    if (bound)
        str_addf(out, "%sle=\"%s\"", n ? "," : "{", bound);
    str_addc(out, '}');
}

void metrics_value(Str *out, const char *name, int nlabel, const MetricLabel *label, double value)
{
    str_add(out, name);
    add_labels(out, nlabel, label, NULL);
    str_addc(out, ' ');
    add_number(out, value);
    str_addc(out, '\n');
}

/* ---- histograms ---- */

void histogram_init(Histogram *h, int n, double first, double factor)
{
    h->n = n < HISTOGRAM_MAX ? n : HISTOGRAM_MAX;
    for (int i = 0; i < h->n; i++, first *= factor)
        h->bound[i] = first;
    for (int i = 0; i <= h->n; i++)
        atomic_init(&h->count[i], 0);
    atomic_init(&h->sum, 0);
}

void histogram_add(Histogram *h, double value)
{
    int i = 0;
    while (i < h->n && !(value <= h->bound[i]))
        i++;
    atomic_fetch_add_explicit(&h->count[i], 1, memory_order_relaxed);
    if (isfinite(value) && fabs(value) < 1e9)
        atomic_fetch_add_explicit(&h->sum, llrint(value * 1e6), memory_order_relaxed);
}

int64_t histogram_count(const Histogram *h)
{
    int64_t n = 0;
    for (int i = 0; i <= h->n; i++)
        n += atomic_load_explicit(&h->count[i], memory_order_relaxed);
    return n;
}

double histogram_quantile(const Histogram *h, double q)
{
    const double want = q * (double)histogram_count(h);
    double below = 0;
    for (int i = 0; i < h->n; i++) {
        const double here = (double)atomic_load_explicit(&h->count[i], memory_order_relaxed);
        const double from = i > 0 ? h->bound[i - 1] : 0;
        if (here > 0 && below + here >= want)
            return from + (h->bound[i] - from) * fmax(0, want - below) / here;
        below += here;
    }
    return below > 0 || want > 0 ? h->bound[h->n - 1] : 0;
}

void metrics_histogram(Str *out, const char *name, int nlabel, const MetricLabel *label,
                       const Histogram *h)
{
    int64_t n = 0;
    for (int i = 0; i <= h->n; i++) {
        char bound[32] = "+Inf";
        if (i < h->n)
            snprintf(bound, sizeof bound, "%.6g", h->bound[i]);
        n += atomic_load_explicit(&h->count[i], memory_order_relaxed);
        str_addf(out, "%s_bucket", name);
        add_labels(out, nlabel, label, bound);
        str_addf(out, " %lld\n", (long long)n);
    }
    str_addf(out, "%s_sum", name);
    add_labels(out, nlabel, label, NULL);
    str_addc(out, ' ');
    add_number(out, (double)atomic_load_explicit(&h->sum, memory_order_relaxed) / 1e6);
    str_addf(out, "\n%s_count", name);
    add_labels(out, nlabel, label, NULL);
    str_addf(out, " %lld\n", (long long)n);
}
