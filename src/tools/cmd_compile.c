/* lathe compile: a model to one module file. */
#include <stdio.h>

#include "base/file.h"
#include "runtime/module_file.h"
#include "tools/tool.h"

const char help_compile[] =
    "lathe compile MODEL -o FILE [options]\n"
    "\n"
    "Compiles a model ahead of time into one file, which `lathe run` and liblathe_runtime run without the compiler.\n"
    "\n"
    "    -o FILE          the module file\n"
    "    --bind N=4 ..    sizes that the model leaves open; the others stay open\n"
    "    --target LEVEL   avx2, avx512 .. (default: what this CPU has)\n"
    "    --threads N      to compile with (default: all CPUs)\n"
    "\n"
    "    lathe compile resnet50.onnx -o resnet50.lathe\n"
    "    lathe run resnet50.lathe\n";

int cmd_compile(int argc, char **argv)
{
    Args a = {argc, argv, false};
    Error e = {0};
    Arena *arena = arena_new();
    double began = time_now();
    const char *path = args_value(&a, "-o", NULL);
    ModelOptions opt = {0};
    opt.compile = (CompileOptions){.threads = tool_threads(&a), .progress = tool_progress, .progress_arg = &began};
    Model model = {0};
    int code = tool_target(&a, &opt.compile.target, &e);
    if (code == 0)
        code = tool_bind(&a, arena, &opt.onnx, &e);
    if (code == 0 && !args_done(&a, 1, 1, "one model file")) {
        arena_free(arena);
        return EXIT_ERROR;
    }
    if (code == 0 && !path)
        code = error_set(&e, ERR_INVALID, "compile: -o FILE is missing");
    if (code == 0)
        code = model_compile(argv[1], &opt, &model, &e);
    if (code == 0)
        code = module_save(path, module_program(model.module), &model.image, opt.compile.target.name, &e);
    if (code == 0)
        printf("%s: %d kernels for %d steps, compiled in %.2f s\n", path, model.report->nkernels, model.report->units,
               model.report->seconds);
    if (code == ERR_NEED_VALUE)
        fprintf(stderr, "lathe: give sizes with --bind NAME=N, or use `lathe run`, which takes values from the inputs\n");
    module_unref(model.module);
    arena_free(arena);
    return code == 0 ? EXIT_OK : tool_fail(&e);
}
