/* lathe inspect: what the compiler made of a model, at every stage. */
#include <stdio.h>
#include <string.h>

#include "runtime/plan.h"
#include "tools/setup.h"

const char help_inspect[] =
    "lathe inspect MODEL [options]\n"
    "\n"
    "Shows what becomes of a model. Without options: the graph after all passes.\n"
    "\n"
    "    --imported       the graph as the importer made it\n"
    "    --program        precision, values, buffers and steps that the runtime runs, and how much "
    "memory its temporaries\n"
    "                     share; of a module file, too\n"
    "    --kernels        one line for each kernel: uses, time to compile, schedule\n"
    "    --stages --loops --expanded --ir --asm\n"
    "                     of each kernel; several may be given\n"
    "    --kernel TEXT    only kernels whose name contains TEXT\n" HELP_COMMON "\n"
    "    lathe inspect model.onnx --kernels\n"
    "    lathe inspect model.onnx --kernel conv --stages --loops\n";

enum { SHOW_STAGES = 1, SHOW_LOOPS = 2, SHOW_EXPANDED = 4, SHOW_IR = 8, SHOW_ASM = 16 };

static void show_kernel(const KernelReport *k, int show)
{
    printf("# %s: %d uses, %.1f ms, %s\n#   %s\n", k->name, k->uses, k->seconds * 1e3, k->source,
           k->schedule);
    if (show & SHOW_STAGES)
        printf("%s\n", k->stages);
    if (show & SHOW_LOOPS)
        printf("%s\n", k->loops);
    if (show & SHOW_EXPANDED)
        printf("%s\n", k->expanded);
    if (show & SHOW_IR)
        printf("%s\n", k->ir);
    if (show & SHOW_ASM)
        printf("%s\n", k->assembly);
}

static void show_graph(const Graph *g)
{
    Arena *a = arena_new();
    Str s = str_new(a);
    graph_print(g, &s);
    fputs(str_text(&s), stdout);
    arena_free(a);
}

/* How temporaries share memory; where sizes are open, that differs from run to run. */
static void show_plan(Arena *a, const Program *p)
{
    for (int i = 0; i < p->nvar; i++)
        if (p->var[i].input >= 0 &&
            p->value[p->buffer[p->input[p->var[i].input].buffer].dim[p->var[i].axis]].op !=
                EX_INT) {
            printf("plan: by the sizes of a run's inputs\n");
            return;
        }
    const Lifetime *life = plan_lifetimes(a, p);
    Scalar *at = arena_array_of(a, p->nvalue + 1, Scalar);
    int64_t *bytes = arena_array_of(a, p->nbuffer + 1, int64_t),
            *offset = arena_array_of(a, p->nbuffer + 1, int64_t);
    for (int i = 0; i < p->nvalue; i++)
        program_eval(p, i, at);
    int shared = 0;
    for (int b = 0; b < p->nbuffer; b++) {
        bytes[b] = p->buffer[b].kind == BUF_TEMP ? program_buffer_bytes(p, b, at) : 0;
        shared += life[b].home != b;
    }
    const PlanSize size =
        plan_place(p, life, bytes, arena_array_of(a, 3 * (size_t)p->nbuffer + 1, int32_t), offset);
    printf("plan: %lld bytes of temporaries (bound %lld; %lld unshared), %d of them in another's "
           "place\n",
           (long long)size.slab, (long long)size.bound, (long long)size.naive, shared);
}

static void show_program(const Program *p)
{
    Arena *a = arena_new();
    Str s = str_new(a);
    program_print(p, &s);
    fputs(str_text(&s), stdout);
    show_plan(a, p);
    arena_free(a);
}

static int show_model(Setup *s, bool program, bool kernels, int show, const char *only, Error *e)
{
    s->no_cache = true; /* which keeps no graph and no texts */
    const int code = setup_compile(s, e);
    if (code != 0)
        return code;
    const Model *m = &s->model;
    if (program)
        show_program(module_program(m->module));
    bool any = false;
    for (int i = 0; i < m->report->nkernels && (kernels || show || *only); i++) {
        if (!strstr(m->report->kernel[i].name, only))
            continue;
        show_kernel(&m->report->kernel[i], show);
        any = true;
    }
    if (*only && !any)
        return error_set(e, ERR_INVALID, "no kernel's name contains '%s' (--kernels lists them)",
                         only);
    if (!program && !kernels && !show && !*only)
        show_graph(m->graph);
    return 0;
}

int cmd_inspect(int argc, char **argv)
{
    Error e = {0};
    Setup s = setup_begin(argc, argv);
    Args *const a = &s.args;
    const bool imported = args_flag(a, "--imported"), program = args_flag(a, "--program");
    const bool kernels = args_flag(a, "--kernels");
    const int show = args_flag(a, "--stages") * SHOW_STAGES | args_flag(a, "--loops") * SHOW_LOOPS |
                     args_flag(a, "--expanded") * SHOW_EXPANDED | args_flag(a, "--ir") * SHOW_IR |
                     args_flag(a, "--asm") * SHOW_ASM;
    const char *only = args_value(a, "--kernel", "");
    s.opt.compile.want_text = show != 0;
    s.opt.compile.want_code = (show & (SHOW_IR | SHOW_ASM)) != 0;
    const bool only_program = program && !imported && !kernels && !show && !*only;
    int code = setup_options(&s, only_program ? SETUP_MODULE : 0, &e);
    Graph *g;
    if (code == 0 && imported) {
        code = model_import(s.arena, s.path, &s.opt.onnx, &g, &e);
        if (code == 0)
            show_graph(g);
    } else if (code == 0 && s.is_module) {
        code = setup_open(&s, 1, &e);
        if (code == 0)
            show_program(module_program(s.model.module));
    } else if (code == 0) {
        code = show_model(&s, program, kernels, show, only, &e);
    }
    return setup_end(&s, code, &e);
}
