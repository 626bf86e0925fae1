/* lathe bench: latency of a model, and what each kernel takes of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/file.h"
#include "target/peak.h"
#include "tools/setup.h"

const char help_bench[] =
    "lathe bench MODEL [options]\n"
    "\n"
    "Compiles a model, or takes a module file of `lathe compile`, runs it many times and shows "
    "latency; of each kernel\n"
    "time, GFLOP/s, by which instructions it multiplies and the share of what this machine was "
    "measured to reach with\n"
    "them (`lathe peak`), and where its schedule comes from (a template's name).\n"
    "\n"
    "    --batch N        first dim of the inputs, where the model leaves it open\n"
    "    --seconds S      how long to measure (default 2)\n"
    "    --top N          lines of the table of kernels (default 30)\n"
    "    --json           no table; the last line is JSON, as it always "
    "is\n" HELP_INPUTS HELP_COMMON "\n"
    "    lathe bench resnet50.onnx --threads 1\n"
    "    lathe bench bert.onnx --bind batch=1 sequence=128 --json\n";

#define MAX_RUNS 100000

typedef struct Timing {
    int n;
    double *seconds; /* sorted */
} Timing;

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int measure(Run *r, double budget, Timing *t, double began, Error *e)
{
    double shown = time_now();
    for (int i = 0; i < 3; i++) { /* memory, caches, clocks */
        const int code = run_execute(r, e);
        if (code != 0)
            return code;
    }
    const double start = time_now();
    for (t->n = 0; t->n < MAX_RUNS && (t->n < 5 || time_now() - start < budget); t->n++) {
        const double before = time_now();
        const int code = run_execute(r, e);
        if (code != 0)
            return code;
        const double now = time_now();
        t->seconds[t->n] = now - before;
        if (now - shown < 0.1) /* not often: it costs time too */
            continue;
        shown = now;
        tool_progress(&began, "measure", (int)((now - start) * 10), (int)(budget * 10) + 1);
    }
    tool_progress(&began, "measure", 1, 1);
    qsort(t->seconds, (size_t)t->n, sizeof *t->seconds, by_value);
    return 0;
}

typedef struct Line {
    const char *what, *name;
    const KernelReport *kernel; /* NULL: not a kernel */
    double seconds;
} Line;

static int by_time(const void *a, const void *b)
{
    const double x = ((const Line *)a)->seconds, y = ((const Line *)b)->seconds;
    return (x < y) - (x > y);
}

/* `peak` by PeakProduct. */
static void print_lines(const Line *line, int n, double total, const double *peak)
{
    printf("%10s %6s %10s %7s  %-13s %-16s %-24s %s\n", "us", "share", "GFLOP/s", "of peak",
           "multiplies by", "schedule", "kernel", "node");
    for (int i = 0; i < n; i++) {
        const KernelReport *k = line[i].kernel;
        const double rate = k && line[i].seconds > 0 ? k->flops / line[i].seconds / 1e9 : 0;
        /* not known: sizes are open, or it is not a kernel */
        char gflops[16] = "-", share[16] = "-";
        if (rate > 0)
            snprintf(gflops, sizeof gflops, "%.1f", rate);
        if (rate > 0 && peak[k->product] > 0)
            snprintf(share, sizeof share, "%.1f%%", 100 * rate / peak[k->product]);
        printf("%10.1f %5.1f%% %10s %7s  %-13s %-16s %-24.24s %s\n", line[i].seconds * 1e6,
               100 * line[i].seconds / total, gflops, share,
               k ? peak_product_name(k->product) : "-", k ? k->source : "-", line[i].name,
               line[i].what);
    }
}

/* What the machine reaches with the instructions that the kernels use. */
static int measure_peaks(const CompileReport *c, int threads, double *peak, Error *e)
{
    bool used[PEAK_PRODUCTS] = {false};
    int code = ERR_OK;
    for (int i = 0; i < c->nkernels; i++)
        used[c->kernel[i].product] = true;
    for (int p = 0; p < PEAK_PRODUCTS && code == ERR_OK; p++)
        code = used[p] ? peak_gops(threads, (PeakProduct)p, &peak[p], e) : ERR_OK;
    return code;
}

/* The least time of each step in whole runs, of 10 at least: a mean would count what others did to
 * this machine meanwhile. */
static int measure_steps(Arena *a, Run *r, int nstep, double *least, Error *e)
{
    double *seconds = arena_array_of(a, nstep + 1, double);
    int code = ERR_OK;
    const double start = time_now();
    for (int round = 0; code == ERR_OK && round < 1000 && (round < 10 || time_now() - start < 0.2);
         round++) {
        memset(seconds, 0, (size_t)nstep * sizeof *seconds);
        run_profile(r, seconds);
        code = run_execute(r, e);
        for (int i = 0; i < nstep; i++)
            if (round == 0 || seconds[i] < least[i])
                least[i] = seconds[i];
    }
    run_profile(r, NULL);
    return code;
}

/* One line a step, slowest first. */
static int print_profile(Arena *a, const Model *m, Run *r, int threads, int top, Error *e)
{
    const Program *p = module_program(m->module);
    double *seconds = arena_array_of(a, p->nstep + 1, double);
    double peak[PEAK_PRODUCTS] = {0};
    int code = measure_peaks(m->report, threads, peak, e);
    if (code == ERR_OK)
        code = measure_steps(a, r, p->nstep, seconds, e);
    if (code != ERR_OK)
        return code;
    Line *line = arena_array_of(a, p->nstep + 1, Line);
    double total = 0;
    for (int i = 0; i < p->nstep; i++) {
        const ProgramStep *s = &p->step[i];
        line[i] = (Line){.what = s->origin >= 0 ? p->text[s->origin] : "",
                         .name = "host",
                         .seconds = seconds[i]};
        if (s->code == PSTEP_KERNEL) {
            line[i].kernel = &m->report->kernel[p->arg[s->arg]];
            line[i].name = line[i].kernel->name;
        }
        total += line[i].seconds;
    }
    qsort(line, (size_t)p->nstep, sizeof *line, by_time);
    print_lines(line, p->nstep < top ? p->nstep : top, total, peak);
    return 0;
}

static void print_json(const Timing *t, const Model *m)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"min_ms\": %.4f, \"median_ms\": %.4f, \"p99_ms\": %.4f, \"load_ms\": %.2f, "
           "\"compile_ms\": %.2f, \"rss_mb\": %.1f, "
           "\"runs\": %d}\n",
           t->seconds[0] * 1e3, t->seconds[t->n / 2] * 1e3, t->seconds[t->n * 99 / 100] * 1e3,
           m->load_seconds * 1e3, m->report->seconds * 1e3, (double)usage.ru_maxrss / 1024, t->n);
}

static void print_summary(const Setup *s, const Run *r, const Timing *t)
{
    const CompileReport *c = s->model.report;
    const RunMemory mem = run_memory(r);
    printf("\n%d threads, %d runs: min %.3f ms, median %.3f, p99 %.3f\n", s->threads, t->n,
           t->seconds[0] * 1e3, t->seconds[t->n / 2] * 1e3, t->seconds[t->n * 99 / 100] * 1e3);
    if (!s->is_module)
        printf(
            "compiled in %.2f s: %d kernels for %d steps, %d nodes folded, %d constants re-laid\n",
            c->seconds, c->nkernels, c->units, c->folded, c->relaid);
    printf("temporaries %.2f MB (no plan is below %.2f), %.2f without sharing\n",
           (double)mem.planned / 1e6, (double)mem.bound / 1e6, (double)mem.naive / 1e6);
}

static int bench(const Setup *s, double budget, int top, bool json, Error *e)
{
    Pool *pool = NULL;
    Run *r = NULL;
    Timing t = {0, arena_array_of(s->arena, MAX_RUNS, double)};
    int code = setup_run(s, &pool, &r, e);
    if (code == 0)
        code = measure(r, budget, &t, s->began, e);
    if (code == 0 && !json)
        code = print_profile(s->arena, &s->model, r, s->threads, top, e);
    if (code == 0 && !json)
        print_summary(s, r, &t);
    if (code == 0)
        print_json(&t, &s->model);
    run_free(r);
    pool_free(pool);
    return code;
}

/* --batch wants an input with an open first dim, or one that is as large. */
static int check_batch(const Setup *s, int64_t batch, Error *e)
{
    const struct Port *fixed = NULL;
    for (int i = 0; i < s->ports.n; i++) {
        const struct Port *p = &s->ports.at[i];
        if (p->rank > 0 && (p->dim[0] < 0 || p->dim[0] == batch))
            return 0;
        fixed = p->rank > 0 && !fixed ? p : fixed;
    }
    if (!fixed)
        return error_set(e, ERR_INVALID, "--batch %lld: no input of '%s' has a batch",
                         (long long)batch, s->path);
    return error_set(e, ERR_INVALID,
                     "--batch %lld: '%s' fixes the first dim of its input '%s' to %lld; %s",
                     (long long)batch, s->path, fixed->name, (long long)fixed->dim[0],
                     s->is_module ? "compile the model without --bind"
                                  : "export it with an open (dynamic) batch");
}

int cmd_bench(int argc, char **argv)
{
    Error e = {0};
    Setup s = setup_begin(argc, argv);
    const int64_t batch = args_int(&s.args, "--batch", 0, 1, INT32_MAX); /* 0: not given */
    const double budget = args_double(&s.args, "--seconds", 2, 0);
    const int top = (int)args_int(&s.args, "--top", 30, 0, INT32_MAX);
    const bool json = args_flag(&s.args, "--json");
    int code = setup_options(&s, SETUP_INPUTS | SETUP_MODULE, &e);
    s.opt.compile.spend_constants = true;
    if (code == 0)
        code = setup_runs_here(&s, &e);
    if (code == 0)
        code = setup_open(&s, batch > 0 ? batch : 1, &e);
    if (code == 0 && batch > 0)
        code = check_batch(&s, batch, &e);
    if (code == 0)
        code = setup_compile(&s, &e);
    if (code == 0)
        code = bench(&s, budget, top, json, &e);
    return setup_end(&s, code, &e);
}
