/* lathe peak: what this machine can do, measured. */
#include <stdio.h>

#include "target/peak.h"
#include "target/target.h"
#include "tools/tool.h"

const char help_peak[] = "lathe peak [options]\n"
                         "\n"
                         "Measures fp32 GFLOP/s, those of the instructions for bf16 and integers "
                         "that the CPU has, and the\n"
                         "bandwidth of caches and memory, on 1 to N threads. A copy counts the "
                         "bytes read and the bytes written.\n"
                         "\n"
                         "    --threads N      (default: all CPUs)\n"
                         "    --json           one line of JSON instead of a table\n"
                         "\n"
                         "    lathe peak\n"
                         "    lathe peak --threads 1 --json\n";

static const char *const memory_names[PEAK_MEMORIES] = {"L1", "L2", "L3", "DRAM"};
static const char *const access_names[PEAK_ACCESSES] = {"read", "write", "copy"};

static const char *const product_keys[PEAK_PRODUCTS] = {
    "gflops", "i16_gops", "bf16_gflops", "int8_gops", "tile_bf16_gflops", "tile_int8_gops"};
static const bool is_float[PEAK_PRODUCTS] = {
    [PEAK_F32] = true, [PEAK_BF16] = true, [PEAK_TILE_BF16] = true};

static void print_json(const Target *t, const PeakResult *r, int n)
{
    printf("{\"target\": \"%s\", \"cpu\": \"%s\", \"l1\": %lld, \"l2\": %lld, \"l3\": %lld, "
           "\"runs\": [",
           t->name, t->cpu, (long long)t->l1, (long long)t->l2, (long long)t->l3);
    for (int k = 0; k < n; k++) {
        printf("%s{\"threads\": %d, \"ghz\": %.2f", k ? ", " : "", r[k].threads, r[k].ghz);
        for (int d = 0; d < PEAK_PRODUCTS; d++)
            if (r[k].gops[d] > 0)
                printf(", \"%s\": %.1f", product_keys[d], r[k].gops[d]);
        for (int m = 0; m < PEAK_MEMORIES; m++)
            for (int a = 0; a < PEAK_ACCESSES; a++)
                printf(", \"%s_%s_gbs\": %.1f", memory_names[m], access_names[a], r[k].gbs[m][a]);
        printf("}");
    }
    printf("]}\n");
}

static void print_table(const Target *t, const PeakResult *r, int n)
{
    printf("target %s, tuned for %s; caches: L1 %lld KiB, L2 %lld KiB, L3 %lld KiB\n\n", t->name,
           t->cpu, (long long)(t->l1 >> 10), (long long)(t->l2 >> 10), (long long)(t->l3 >> 10));
    printf("%-22s", "threads");
    for (int k = 0; k < n; k++)
        printf("%10d", r[k].threads);
    printf("\n%-22s", "clock, GHz");
    for (int k = 0; k < n; k++)
        printf("%10.2f", r[k].ghz);
    for (int d = 0; d < PEAK_PRODUCTS; d++) {
        char name[32];
        snprintf(name, sizeof name, "%s, G%sOP/s", peak_product_name((PeakProduct)d),
                 is_float[d] ? "FL" : "");
        if (r[0].gops[d] > 0)
            printf("\n%-22s", name);
        for (int k = 0; k < n && r[0].gops[d] > 0; k++)
            printf("%10.1f", r[k].gops[d]);
    }
    for (int m = 0; m < PEAK_MEMORIES; m++)
        for (int a = 0; a < PEAK_ACCESSES; a++) {
            char name[32];
            snprintf(name, sizeof name, "%s %s, GB/s", memory_names[m], access_names[a]);
            printf("\n%-22s", name);
            for (int k = 0; k < n; k++)
                printf("%10.1f", r[k].gbs[m][a]);
        }
    printf("\n");
}

/* 1, 2, 4... and the most. */
static int thread_counts(int most, int *out)
{
    int n = 0;
    for (int k = 1; k < most; k *= 2)
        out[n++] = k;
    out[n++] = most;
    return n;
}

int cmd_peak(int argc, char **argv)
{
    Args args = args_begin(argc, argv);
    const bool json = args_flag(&args, "--json");
    const int threads = tool_threads(&args);
    if (!args_done(&args, 0, 0, "no argument"))
        return EXIT_ERROR;
    int count[16];
    PeakResult r[16];
    const int n = thread_counts(threads, count);
    for (int k = 0; k < n; k++) {
        Error e = {0};
        const int code = peak_measure(count[k], &r[k], &e);
        if (code != ERR_OK)
            return tool_fail(&e);
    }
    const Target t = target_native();
    if (json)
        print_json(&t, r, n);
    else
        print_table(&t, r, n);
    return EXIT_OK;
}
