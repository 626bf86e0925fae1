/* lathe check: is what a compiled model computes right, layer by layer? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "tools/accuracy.h"
#include "tools/check_layers.h"
#include "tools/setup.h"

const char help_check[] =
    "lathe check MODEL [options]\n"
    "\n"
    "Compiles a model, runs it, and compares each layer with the reference executor, which "
    "evaluates the definition of\n"
    "its operators in double, from the values that the layer really read. Prints the worst layers "
    "and names the first\n"
    "bad one. A layer is what a fused kernel hands on. Of large layers a sample is compared.\n"
    "\n"
    "    --expected DIR   compare with given values instead: DIR/output_0.pb .. for the outputs of "
    "the model, DIR/NAME.npy\n"
    "                     (or .pb) for any layer, with each character of its name but letters, "
    "digits, . _ - as _\n"
    "    --every          compile without fusing, so that each node of the graph is a layer\n"
    "    --tolerance T    how many roundings of float32 a result may be off, relative to the terms "
    "that it is summed\n"
    "                     from (default 1000); with --expected relative to the value and the "
    "layer's mean (default 0.001)\n"
    "    --samples N      elements compared of each layer (default 256; 0: all, which may take "
    "hours)\n"
    "    --top N          lines of the table (default 10)\n"
    "    --error E        with --precision: most that an output may be off that in f32, as a "
    "vector relative to its length\n"
    "                     (default 0.1)\n"
    "    --cases N        random inputs that this is measured over, where no --inputs are given "
    "(default 4)\n" HELP_INPUTS HELP_COMMON "\n"
    "With --precision bf16 layers are judged by what bf16 means, and each output is compared with "
    "that of the model in\n"
    "f32: largest error, error and cosine as vectors, and of rows of class scores how many keep "
    "their best class, and\n"
    "how many have it among the five best.\n"
    "\n"
    "Exit status: 0 all layers are right, 1 one is wrong or an output is further off f32 than "
    "--error says (or any other\n"
    "error), 3 the model is not supported.\n"
    "\n"
    "    lathe check resnet50.onnx\n"
    "    lathe check model.onnx --inputs input_0.pb --expected test_data_set_0\n"
    "    lathe check model.onnx --every --top 50\n"
    "    lathe check model.onnx --precision bf16 --inputs photo.png\n";

#define MAX_NAME 200 /* of a file in --expected */

typedef struct CheckArgs {
    const char *expected;
    bool every;
    double tolerance; /* negative: the default */
    int samples, top;
    double error; /* of outputs in another precision */
    int cases;
} CheckArgs;

/* ---- values ---- */

static int run_values(const Setup *s, Tensor **got, Error *e)
{
    Pool *pool = NULL;
    Run *r = NULL;
    int code = setup_run(s, &pool, &r, e);
    if (code == 0)
        code = run_execute(r, e);
    const int n = module_program(s->model.module)->noutput;
    Tensor **output = arena_array_of(s->arena, n + 1, Tensor *);
    for (int i = 0; i < n && code == 0; i++)
        output[i] = run_output(r, i);
    if (code == 0)
        code = check_take(s->model.graph, s->input, output, got, e);
    run_free(r);
    pool_free(pool);
    return code;
}

static const char *file_name(Arena *a, const char *value)
{
    char *name = arena_strndup(a, value, MAX_NAME);
    for (char *p = name; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
              strchr("._-", *p)))
            *p = '_';
    return name;
}

static int read_expected(Arena *a, const char *dir, const char *name, Tensor **out, Error *e)
{
    static const char *const suffix[] = {".npy", ".pb"};
    for (int i = 0; i < 2 && !*out; i++) {
        const char *path = path_join(a, dir, arena_printf(a, "%s%s", name, suffix[i]));
        const int code = file_exists(path) ? tool_read_tensor(path, out, e) : 0;
        if (code != 0)
            return code;
    }
    return 0;
}

/* want: by value. */
static int read_all_expected(const Setup *s, const char *dir, Tensor *const *got, Tensor **want,
                             Error *e)
{
    const Graph *g = s->model.graph;
    const Block *b = &g->block.at[0];
    int code = 0, found = 0;
    for (int i = 0; i < s->noutputs && code == 0; i++)
        if (!want[b->output.at[i]])
            code = read_expected(s->arena, dir, arena_printf(s->arena, "output_%d", i),
                                 &want[b->output.at[i]], e);
    for (int v = 0; v < g->value.len && code == 0; v++) {
        if (got[v] && g->value.at[v].producer >= 0)
            code =
                read_expected(s->arena, dir, file_name(s->arena, g->value.at[v].name), &want[v], e);
        found += want[v] != NULL;
    }
    if (code == 0 && found == 0)
        code =
            error_set(e, ERR_INVALID,
                      "'%s' holds no expected values: neither output_0.pb nor a layer's NAME.npy",
                      dir);
    return code;
}

/* ---- showing ---- */

static int by_worst(const void *p, const void *q)
{
    const Layer *a = *(const Layer *const *)p, *b = *(const Layer *const *)q;
    return a->worst != b->worst ? (a->worst < b->worst) - (a->worst > b->worst) : (a > b) - (a < b);
}

static void print_table(Arena *a, const CheckReport *r, int top)
{
    const Layer **line = arena_array_of(a, r->n + 1, const Layer *);
    int n = 0;
    for (int i = 0; i < r->n; i++)
        if (!r->layer[i].failed)
            line[n++] = &r->layer[i];
    qsort(line, (size_t)n, sizeof *line, by_worst);
    printf("%9s %10s %10s %8s  %-22s %-28s %s\n", "of limit", "max abs", "max rel", "compared",
           "shape", "op", "node");
    for (int i = 0; i < n && i < top; i++)
        printf("%8.1f%% %10.3g %10.3g %8lld  %-22s %-28.28s %s\n", 100 * line[i]->worst,
               line[i]->max_abs, line[i]->max_rel, (long long)line[i]->checked, line[i]->shape,
               line[i]->op, line[i]->node);
    if (n > top)
        printf("%9s (%d more)\n", "", n - top);
    for (int i = 0; i < r->n; i++)
        if (r->layer[i].failed)
            printf("not compared: %s '%s': %s\n", r->layer[i].op, r->layer[i].node,
                   r->layer[i].failed);
}

static void print_first_bad(Arena *a, const Setup *s, Tensor *const *got, const CheckReport *r)
{
    const Layer *l = &r->layer[r->first_bad];
    printf("\nfirst bad layer: %s '%s' -> '%s' %s\n", l->op, l->node,
           s->model.graph->value.at[l->value].name, l->shape);
    if (l->at < 0) {
        printf("    expected is a tensor of another type or shape\n");
        return;
    }
    printf("    %lld of %lld elements wrong, max abs error %g, max rel error %g\n",
           (long long)l->wrong, (long long)l->checked, l->max_abs, l->max_rel);
    printf("    worst element %s: got %.9g, expected %.9g\n", check_index(a, got[l->value], l->at),
           l->got, l->want);
}

/* ---- buffers ---- */

/* The program as it is run. */
static int compile_plain(const Setup *s, Precision precision, Setup *out, Error *e)
{
    ModelOptions opt = s->opt;
    opt.compile.keep_values = false;
    opt.compile.unfused = false;
    opt.compile.precision = precision;
    out->threads = s->threads;
    return model_compile(s->path, &opt, &out->model, e);
}

/* That all values are kept hides errors in sharing memory. So the program is compiled once more as
 * it is run, `plain`: its kernels are the same, and so must be its outputs, bit by bit. */
static int check_sharing(const Setup *s, Setup *plain, Tensor *const *got, bool *same, Error *e)
{
    const Block *b = &s->model.graph->block.at[0];
    Pool *pool = NULL;
    Run *r = NULL;
    plain->input = s->input;
    int code = setup_run(plain, &pool, &r, e);
    for (int round = 0; round < 2 && code == 0;
         round++) /* a second run meets what the first one left */
        code = run_execute(r, e);
    *same = true;
    for (int i = 0; i < s->noutputs && code == 0; i++) {
        const Tensor *x = run_output(r, i), *y = got[b->output.at[i]];
        const bool equal =
            y->bytes == 0 || (x->bytes == y->bytes && memcmp(x->data, y->data, y->bytes) == 0);
        if (*same && !equal)
            printf("\noutput '%s' is another when buffers share memory\n",
                   s->model.graph->value.at[b->output.at[i]].name);
        *same &= equal;
    }
    run_free(r);
    pool_free(pool);
    return code;
}

/* ---- precision ---- */

/* Runs both on one set of inputs. */
static int add_case(Setup *low, Setup *full, Tensor **input, int noutputs, Accuracy *a, Error *e)
{
    Pool *pool[2] = {NULL, NULL};
    Run *r[2] = {NULL, NULL};
    low->input = full->input = input;
    int code = setup_run(low, &pool[0], &r[0], e);
    if (code == 0)
        code = setup_run(full, &pool[1], &r[1], e);
    for (int i = 0; i < 2 && code == 0; i++)
        code = run_execute(r[i], e);
    for (int i = 0; i < noutputs && code == 0; i++)
        accuracy_add(&a[i], run_output(r[0], i), run_output(r[1], i));
    for (int i = 0; i < 2; i++) {
        run_free(r[i]);
        pool_free(pool[i]);
    }
    return code;
}

static void print_accuracy(const Setup *s, const Accuracy *a, int cases)
{
    printf("\n%s against f32, %d %s:\n", precision_name(s->opt.compile.precision), cases,
           s->nfile > 0 ? "given inputs" : "random inputs");
    printf("%10s %10s %10s %8s %8s  %s\n", "max abs", "relative", "cosine", "top 1", "top 5",
           "output");
    for (int i = 0; i < s->noutputs; i++) {
        char top1[16] = "-", top5[16] = "-"; /* no scores of classes */
        if (a[i].rows > 0) {
            snprintf(top1, sizeof top1, "%.1f%%", 100 * (double)a[i].top1 / (double)a[i].rows);
            snprintf(top5, sizeof top5, "%.1f%%", 100 * (double)a[i].top5 / (double)a[i].rows);
        }
        printf("%10.3g %10.3g %10.7f %8s %8s  %s\n", a[i].max_abs, accuracy_relative(&a[i]),
               accuracy_cosine(&a[i]), top1, top5,
               s->model.graph->value.at[s->model.graph->block.at[0].output.at[i]].name);
    }
}

/* Random inputs of the sizes that the first ones have. */
static int more_inputs(const Setup *s, uint64_t seed, Tensor **out, Error *e)
{
    Ports p = s->ports;
    p.at = arena_dup(s->arena, p.at, sizeof *p.at * (size_t)p.n);
    for (int i = 0; i < p.n; i++)
        memcpy(p.at[i].dim, s->input[i]->dim, sizeof p.at[i].dim);
    return tool_inputs(&p, 0, NULL, &s->image, seed, 1, out, e);
}

/* Are the outputs of `low`, the program as it is run, those of f32, but for --error? The first case
 * are the inputs that layers were checked with; others have random numbers of other seeds. Values
 * that the model was bound to stay. */
static int check_precision(const Setup *s, Setup *low, const CheckArgs *c, bool *good, Error *e)
{
    Accuracy *a = arena_array_of(s->arena, s->noutputs + 1, Accuracy);
    Setup full = {0};
    int code = compile_plain(s, PRECISION_F32, &full, e);
    const int cases = s->nfile > 0 || s->model.nbound > 0 || s->ports.n == 0 ? 1 : c->cases;
    for (int i = 0; i < cases && code == 0; i++) {
        Tensor **input = s->input;
        if (i > 0) {
            input = arena_array_of(s->arena, s->ports.n + 1, Tensor *);
            code = more_inputs(s, s->seed + (uint64_t)i, input, e);
        }
        if (code == 0)
            code = add_case(low, &full, input, s->noutputs, a, e);
        for (int k = 0; i > 0 && k < s->ports.n; k++)
            tensor_unref(input[k]);
    }
    module_unref(full.model.module);
    if (code != 0)
        return code;
    print_accuracy(s, a, cases);
    for (int i = 0; i < s->noutputs; i++)
        *good &= accuracy_relative(&a[i]) <= c->error;
    return 0;
}

/* ---- the command ---- */

/* `plain` gets the program as it is run, where something is to be compared with it. */
static int check(Setup *s, const CheckArgs *a, Tensor **got, Tensor **want, Setup *plain,
                 bool *good, Error *e)
{
    const bool sharing = !a->every, precision = s->opt.compile.precision != PRECISION_F32;
    CheckOptions opt = {.tolerance = a->tolerance, .samples = a->samples, .threads = s->threads,
                        .progress = tool_progress, .progress_arg = &s->began};
    if (opt.tolerance < 0)
        opt.tolerance = a->expected ? CHECK_RELATIVE : CHECK_ROUNDINGS;
    CheckReport r;
    int code = run_values(s, got, e);
    if (code == 0 && a->expected)
        code = read_all_expected(s, a->expected, got, want, e);
    if (code == 0)
        code = check_values(s->arena, s->model.graph, got, a->expected ? want : NULL, &opt, &r, e);
    bool same = true;
    if (code == 0)
        print_table(s->arena, &r, a->top);
    if (code == 0 && (sharing || precision))
        code = compile_plain(s, s->opt.compile.precision, plain, e);
    if (code == 0 && sharing)
        code = check_sharing(s, plain, got, &same, e);
    if (code != 0)
        return code;
    if (r.nbad > 0)
        print_first_bad(s->arena, s, got, &r);
    printf("\n%d layers: %d right, %d wrong, %d not compared\n", r.n, r.n - r.nbad - r.nfailed,
           r.nbad, r.nfailed);
    *good = r.nbad == 0 && same;
    return precision ? check_precision(s, plain, a, good, e) : 0;
}

static int check_model(Setup *s, const CheckArgs *a, bool *good, Error *e)
{
    int code = setup_open(s, 1, e);
    s->no_cache = true; /* which keeps no graph */
    if (code == 0)
        code = setup_compile(s, e);
    if (code != 0)
        return code;
    const Graph *g = s->model.graph;
    Tensor **got = arena_array_of(s->arena, g->value.len + 1, Tensor *);
    Tensor **want = arena_array_of(s->arena, g->value.len + 1, Tensor *);
    Setup plain = {0};
    code = check(s, a, got, want, &plain, good, e);
    module_unref(plain.model.module);
    for (int v = 0; v < g->value.len; v++) {
        tensor_unref(got[v]);
        tensor_unref(want[v]);
    }
    return code;
}

int cmd_check(int argc, char **argv)
{
    Error e = {0};
    Setup s = setup_begin(argc, argv);
    CheckArgs a = {.expected = args_value(&s.args, "--expected", NULL)};
    a.every = args_flag(&s.args, "--every");
    a.tolerance = args_double(&s.args, "--tolerance", -1, 0);
    a.samples = (int)args_int(&s.args, "--samples", 256, 0, INT32_MAX);
    a.top = (int)args_int(&s.args, "--top", 10, 0, INT32_MAX);
    a.error = args_double(&s.args, "--error", 0.1, 0);
    a.cases = (int)args_int(&s.args, "--cases", 4, 1, 1000);
    s.opt.compile.keep_values = true;
    s.opt.compile.unfused = a.every;
    bool good = false;
    int code = setup_options(&s, SETUP_INPUTS, &e);
    if (code == 0)
        code = setup_runs_here(&s, &e);
    if (code == 0)
        code = check_model(&s, &a, &good, &e);
    const int status = setup_end(&s, code, &e);
    return status == EXIT_OK && !good ? EXIT_ERROR : status;
}
