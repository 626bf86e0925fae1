/* lathe compile: a model to one module file. */
#include <stdio.h>

#include "base/file.h"
#include "runtime/module_file.h"
#include "tools/setup.h"

const char help_compile[] = "lathe compile MODEL -o FILE [options]\n"
                            "\n"
                            "Compiles a model ahead of time into one file, which `lathe run` and "
                            "liblathe_runtime run without the compiler.\n"
                            "\n"
                            "    -o FILE          the module file\n" HELP_COMMON "\n"
                            "    lathe compile resnet50.onnx -o resnet50.lathe\n"
                            "    lathe run resnet50.lathe\n";

typedef struct Output {
    Arena *arena;
    const char *path, *model;
    bool is_weights;
} Output;

static void on_weights(void *arg, const char *location)
{
    Output *o = arg;
    o->is_weights |=
        file_same(o->path, path_join(o->arena, path_dir(o->arena, o->model), location));
}

/* The output must be none of the files that the model is read from. */
static int check_output(const Setup *s, const char *path, Error *e)
{
    if (file_same(path, s->path))
        return error_set(e, ERR_INVALID, "-o %s would overwrite the model", path);
    if (!file_exists(
            path)) /* then it is no file of weights, and the model need not be read twice */
        return 0;
    Output o = {.arena = arena_new(), .path = path, .model = s->path};
    OnnxOptions opt = s->opt.onnx;
    opt.on_file = on_weights;
    opt.on_file_arg = &o;
    Graph *g;
    const int code = model_import(o.arena, s->path, &opt, &g, e);
    arena_free(o.arena);
    return code == 0 && o.is_weights
               ? error_set(e, ERR_INVALID, "-o %s would overwrite weights of the model", path)
               : code;
}

int cmd_compile(int argc, char **argv)
{
    Error e = {0};
    Setup s = setup_begin(argc, argv);
    const char *path = args_value(&s.args, "-o", NULL);
    int code = setup_options(&s, 0, &e);
    s.opt.compile.spend_constants = true;
    if (code == 0 && !path)
        code = error_set(&e, ERR_INVALID, "compile: -o FILE is missing");
    if (code == 0)
        code = check_output(&s, path, &e);
    if (code == 0)
        code = setup_compile(&s, &e);
    const Model *m = &s.model;
    if (code == 0)
        code = module_save_spent(path, module_program(m->module), &m->image,
                                 s.opt.compile.target.name, &e);
    if (code == 0)
        printf("%s: %d kernels for %d steps, compiled in %.2f s\n", path, m->report->nkernels,
               m->report->units, m->report->seconds);
    if (code == ERR_NEED_VALUE)
        fprintf(stderr, "lathe: give sizes with --bind NAME=N, or use `lathe run`, which takes "
                        "values from the inputs\n");
    return setup_end(&s, code, &e);
}
