/* The public API's half that needs the compiler. */
#include "base/parallel.h"
#include "compile/model.h"
#include <lathe.h>

lathe_module *lathe_compile(const char *path, const lathe_options *options, lathe_error *error)
{
    static const lathe_options defaults;
    const lathe_options *o = options ? options : &defaults;
    Error *e = (Error *)error;
    Arena *a = arena_new();
    OnnxBindDim *bind = arena_array_of(a, o->nbind + 1, OnnxBindDim);
    for (int i = 0; i < o->nbind; i++)
        bind[i] = (OnnxBindDim){o->bind[i].name, o->bind[i].value};
    ModelOptions opt = {.onnx = {.nbind = o->nbind, .bind = bind}};
    opt.compile = (CompileOptions){.target = target_native(), .threads = o->threads > 0 ? o->threads : parallel_cpus()};
    Model model = {0};
    int code = o->target ? target_find(o->target, &opt.compile.target, e) : 0;
    if (code == 0)
        code = model_compile(path, &opt, &model, e);
    arena_free(a);
    return code == 0 ? (lathe_module *)model.module : NULL;
}
