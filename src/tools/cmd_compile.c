/* lathe compile: a model to one module file. */
#include <stdio.h>

#include "runtime/module_file.h"
#include "tools/setup.h"

const char help_compile[] =
    "lathe compile MODEL -o FILE [options]\n"
    "\n"
    "Compiles a model ahead of time into one file, which `lathe run` and liblathe_runtime run without the compiler.\n"
    "\n"
    "    -o FILE          the module file\n"
    HELP_COMMON
    "\n"
    "    lathe compile resnet50.onnx -o resnet50.lathe\n"
    "    lathe run resnet50.lathe\n";

int cmd_compile(int argc, char **argv)
{
    Error e = {0};
    Setup s = setup_begin(argc, argv);
    const char *path = args_value(&s.args, "-o", NULL);
    int code = setup_options(&s, 0, &e);
    if (code == 0 && !path)
        code = error_set(&e, ERR_INVALID, "compile: -o FILE is missing");
    if (code == 0)
        code = setup_compile(&s, &e);
    const Model *m = &s.model;
    if (code == 0)
        code = module_save(path, module_program(m->module), &m->image, s.opt.compile.target.name, true, &e);
    if (code == 0)
        printf("%s: %d kernels for %d steps, compiled in %.2f s\n", path, m->report->nkernels, m->report->units,
               m->report->seconds);
    if (code == ERR_NEED_VALUE)
        fprintf(stderr, "lathe: give sizes with --bind NAME=N, or use `lathe run`, which takes values from the inputs\n");
    return setup_end(&s, code, &e);
}
