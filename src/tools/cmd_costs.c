/* lathe costs: a table of what nodes take here, for choosing layouts and variants by. */
#include <stdio.h>

#include "base/file.h"
#include "tools/setup.h"
#include "tune/node_costs.h"

const char help_costs[] =
    "lathe costs MODEL.. -o FILE [options]\n"
    "\n"
    "Measures, on one thread of this machine, what nodes of models take in each layout and variant that the compiler\n"
    "weighs, and adds it to a table, for --costs of the commands that compile. What the table has stays, so an\n"
    "interrupted or later call goes on from there. Open sizes are as in `lathe bench`.\n"
    "\n"
    "    -o FILE          the table, a text file; made if it is not there\n"
    "    --rounds N       runs of each form, of which the fastest counts (default 15)\n"
    HELP_INPUTS
    HELP_COMMON
    "\n"
    "    lathe costs resnet50.onnx yolov8n.onnx -o here.costs\n"
    "    lathe compile resnet50.onnx -o resnet50.lathe --costs here.costs\n";

static int save(const CostTable *table, Arena *a, const char *path, Error *e)
{
    Str text = str_new(a);
    cost_table_print(table, &text);
    const FilePart part = {text.at, text.len};
    return file_write_parts(path, 1, &part, true, e);
}

static int measure(Setup *s, NodeCostOptions *opt, CostTable *table, const char *path, Error *e)
{
    Arena *arena = NULL;
    const Graph *g;
    NodeCostResult r;
    int code = setup_open(s, 1, e);
    if (code == 0)
        code = model_early(s->path, &s->opt, &arena, &g, e);
    if (code == 0)
        code = node_costs_measure(g, opt, table, &r, e);
    if (code == 0)
        code = save(table, s->arena, path, e);
    if (code == 0)
        printf("%s: %d measured, %d known, %d failed; by the table %.3f ms are chosen, %.3f without it\n", s->path, r.measured,
               r.known, r.failed, r.chosen_ns * 1e-6, r.estimated_ns * 1e-6);
    arena_free(arena);
    setup_close(s);
    return code;
}

int cmd_costs(int argc, char **argv)
{
    Error e = {0};
    Setup s = setup_begin(argc, argv);
    const char *path = args_value(&s.args, "-o", NULL);
    const int rounds = (int)args_int(&s.args, "--rounds", 15, 1, 1000000);
    int code = setup_options(&s, SETUP_INPUTS | SETUP_MODELS, &e);
    if (code == 0 && !path)
        code = error_set(&e, ERR_INVALID, "costs: -o FILE is missing");
    if (code == 0)
        code = setup_runs_here(&s, &e);
    CostTable *table = cost_table_new(s.arena);
    if (code == 0 && file_exists(path))
        code = cost_table_read(s.arena, path, &table, &e);
    NodeCostOptions opt = {.compile = s.opt.compile, .rounds = rounds, .progress = tool_progress, .progress_arg = &s.began};
    opt.compile.progress = NULL;
    for (int i = 0; code == 0 && i < s.nmodel; i++) {
        s.path = s.model_path[i];
        code = measure(&s, &opt, table, path, &e);
    }
    return setup_end(&s, code, &e);
}
