/* Runs a model with the reference executor: import, inference, then node by node through the
 * oracle. Says whether the ops' meanings are right, whatever schedules and code generation do.
 *
 *     oracle-run MODEL --inputs A.pb B.pb --outputs DIR
 *
 * Writes DIR/output_0.pb ... Exit status 0: ran, 3: refused as not supported, 1: any other error.
 */
#include <stdio.h>
#include <string.h>

#include "import/onnx.h"
#include "import/tensor_pb.h"
#include "op/op.h"
#include "op/reference.h"

typedef struct Args {
    const char *model, *outputs;
    int nin;
    char **in;
} Args;

static bool parse_args(int argc, char **argv, Args *a)
{
    if (argc < 2)
        return false;
    a->model = argv[1];
    for (int k = 2; k < argc; k++) {
        if (strcmp(argv[k], "--outputs") == 0 && k + 1 < argc) {
            a->outputs = argv[++k];
        } else if (strcmp(argv[k], "--inputs") == 0) {
            a->in = argv + k + 1;
            while (k + 1 < argc && strncmp(argv[k + 1], "--", 2) != 0) {
                a->nin++;
                k++;
            }
        } else {
            return false;
        }
    }
    return a->outputs != NULL;
}

static void check(Context *ctx, int code, const Error *e)
{
    if (code != 0)
        fail(ctx, code, "%s", e->message);
}

typedef struct Run {
    const Args *args;
    Tensor **in;
    OnnxBindValue *bind; /* every input, so that shapes that depend on values are known */
    bool bound;
} Run;

static void run(Context *ctx, void *arg)
{
    Run *r = arg;
    const int n = r->args->nin;
    Graph *g = onnx_import(ctx, r->args->model, NULL);
    Error error;
    if (n != g->block.at[0].input.len)
        fail(ctx, ERR_INVALID, "%d inputs are given, the model has %d", n,
             g->block.at[0].input.len);
    for (int k = 0; k < n; k++)
        r->bind[k].input = g->value.at[g->block.at[0].input.at[k]].name;
    if (r->bound) {
        const OnnxOptions opt = {.nvalue = n, .value = r->bind};
        g = onnx_import(ctx, r->args->model, &opt);
    }
    op_infer_graph(g);
    Tensor **out = arena_array_of(ctx->arena, g->block.at[0].output.len + 1, Tensor *);
    reference_run(ctx, g, r->in, out);
    for (int k = 0; k < g->block.at[0].output.len; k++) {
        const char *path = arena_printf(ctx->arena, "%s/output_%d.pb", r->args->outputs, k);
        const char *name = g->value.at[g->block.at[0].output.at[k]].name;
        check(ctx, tensor_pb_write(path, out[k], name, &error), &error);
        tensor_unref(out[k]);
    }
}

static int run_once(Run *r, Error *error)
{
    Arena *arena = arena_new();
    int detail;
    const int code = job_run(arena, run, r, error, &detail);
    arena_free(arena);
    return code;
}

static int run_all(const Args *args, Arena *arena, Error *error)
{
    Run r = {.args = args};
    r.in = arena_array_of(arena, args->nin + 1, Tensor *);
    r.bind = arena_array_of(arena, args->nin + 1, OnnxBindValue);
    for (int k = 0; k < args->nin; k++) {
        const int code = tensor_pb_read(args->in[k], &r.in[k], error);
        if (code != 0)
            return code;
        r.bind[k].tensor = r.in[k];
    }
    int code = run_once(&r, error);
    if (code == ERR_NEED_VALUE) { /* shapes depend on values: specialise on these */
        r.bound = true;
        code = run_once(&r, error);
    }
    for (int k = 0; k < args->nin; k++)
        tensor_unref(r.in[k]);
    return code;
}

int main(int argc, char **argv)
{
    Args args = {0};
    if (!parse_args(argc, argv, &args)) {
        fprintf(stderr, "usage: oracle-run MODEL --inputs A.pb B.pb --outputs DIR\n");
        return 1;
    }
    Arena *arena = arena_new();
    Error error;
    const int code = run_all(&args, arena, &error);
    arena_free(arena);
    if (code == 0)
        return 0;
    fprintf(stderr, "oracle-run: %s\n", error.message);
    return code == ERR_UNSUPPORTED || code == ERR_NEED_VALUE ? 3 : 1;
}
