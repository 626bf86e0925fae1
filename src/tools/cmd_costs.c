/* lathe costs: a table of what nodes take here, for choosing layouts and variants by. */
#include <stdio.h>

#include "base/file.h"
#include "tools/setup.h"
#include "tune/node_costs.h"

const char help_costs[] = "lathe costs MODEL.. -o FILE [options]\n"
                          "\n"
                          "Measures, on one thread of this machine, what nodes of models take in "
                          "each layout and variant that the compiler\n"
                          "weighs, and adds it to a table, for --costs of the commands that "
                          "compile. What the table has stays, and it is\n"
                          "saved every few seconds, so an interrupted or later call goes on from "
                          "there; several may fill one table at once.\n"
                          "Open sizes are as in `lathe bench`.\n"
                          "\n"
                          "    -o FILE          the table, a text file; made if it is not there\n"
                          "    --rounds N       runs of each form, of which the fastest counts "
                          "(default 15)\n" HELP_INPUTS HELP_COMMON "\n"
                          "    lathe costs resnet50.onnx yolov8n.onnx -o here.costs\n"
                          "    lathe compile resnet50.onnx -o resnet50.lathe --costs here.costs\n";

#define SAVE_SECONDS 5 /* between savings while a model is measured */

typedef struct Costing {
    CostTable *table;
    const char *path;
    int rounds;
    double began, saved;
} Costing;

/* Rows that others wrote meanwhile are taken over: one who saves must not lose another's. */
static int merge_and_write(Costing *c, Arena *a, Error *e)
{
    CostTable *others = NULL;
    const int code = file_exists(c->path) ? cost_table_read(a, c->path, &others, e) : 0;
    if (code != 0)
        return code;
    for (int i = 0; others && i < others->row.len; i++) {
        const CostRow *r = &others->row.at[i];
        cost_table_add(c->table, r->target, r->key, r->ns);
    }
    Str text = str_new(a);
    cost_table_print(c->table, &text);
    const FilePart part = {text.at, text.len};
    return file_write_parts(c->path, 1, &part, true, e);
}

static int save(Costing *c, Error *e)
{
    const int lock = file_lock(c->path, e);
    if (lock < 0)
        return lock;
    Arena *a = arena_new();
    const int code = merge_and_write(c, a, e);
    arena_free(a);
    file_unlock(lock);
    c->saved = time_now();
    return code;
}

/* What cannot be saved is said at the model's end. */
static void progress(void *arg, const char *what, int done, int total)
{
    Costing *c = arg;
    Error ignored;
    tool_progress(&c->began, what, done, total);
    if (time_now() - c->saved >= SAVE_SECONDS)
        save(c, &ignored);
}

static int measure(Setup *s, Costing *c, Error *e)
{
    const NodeCostOptions opt = {
        .compile = s->opt.compile, .rounds = c->rounds, .progress = progress, .progress_arg = c};
    Arena *arena = NULL;
    const Graph *g;
    NodeCostResult r;
    c->saved = time_now();
    int code = setup_open(s, 1, e);
    if (code == 0)
        code = model_early(s->path, &s->opt, &arena, &g, e);
    if (code == 0)
        code = node_costs_measure(g, &opt, c->table, &r, e);
    if (code == 0)
        code = save(c, e);
    if (code == 0)
        printf("%s: %d measured, %d known, %d failed; by the table %.3f ms are chosen, %.3f "
               "without it\n",
               s->path, r.measured, r.known, r.failed, r.chosen_ns * 1e-6, r.estimated_ns * 1e-6);
    arena_free(arena);
    setup_close(s);
    return code;
}

int cmd_costs(int argc, char **argv)
{
    Error e = {0};
    Setup s = setup_begin(argc, argv);
    Costing c = {.table = cost_table_new(s.arena), .began = s.began};
    c.path = args_value(&s.args, "-o", NULL);
    c.rounds = (int)args_int(&s.args, "--rounds", 15, 1, 1000000);
    int code = setup_options(&s, SETUP_INPUTS | SETUP_MODELS, &e);
    if (code == 0 && !c.path)
        code = error_set(&e, ERR_INVALID, "costs: -o FILE is missing");
    if (code == 0)
        code = setup_runs_here(&s, &e);
    if (code == 0 && file_exists(c.path))
        code = cost_table_read(s.arena, c.path, &c.table, &e);
    s.opt.compile.progress = NULL;
    for (int i = 0; code == 0 && i < s.nmodel; i++) {
        s.path = s.model_path[i];
        code = measure(&s, &c, &e);
    }
    return setup_end(&s, code, &e);
}
