/* The program: a table of commands. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "target/cpu.h"
#include "tools/tool.h"
#include "watch/isolated.h"

const Command commands[] = {
    {"run", "run a model once on given or random inputs", help_run, cmd_run, NULL, NULL},
    {"peak", "measure what this machine can do", help_peak, cmd_peak, NULL, NULL},
    {"compile", "a model to one module file", help_compile, cmd_compile, NULL, NULL},
    {"bench", "latency, and where the time goes", help_bench, cmd_bench, NULL, NULL},
    {"check", "compare every layer with the reference; name the first bad one", help_check,
     cmd_check, NULL, NULL},
    {"costs", "measure what layouts and variants take here, for --costs", help_costs, cmd_costs,
     NULL, NULL},
    {"inspect", "graph, program, stages, schedules, loops, code", help_inspect, cmd_inspect, NULL,
     NULL},
    {"read", "read text from pictures", help_read, cmd_read, NULL, NULL},
    {"watch", "watch a video: text, icons, screens, motion, events", help_watch, cmd_watch, "learn",
     help_watch_learn},
    {"doctor", "what is present, what is missing and what that costs", help_doctor, cmd_doctor,
     NULL, NULL},
    {"completion", "completion for bash, zsh and fish", help_completion, cmd_completion, NULL,
     NULL},
    {0},
};

static void print_help(FILE *out)
{
    fprintf(out, "Lathe: a compiler and runtime for trained models.\n\n");
    for (const Command *c = commands; c->name; c++)
        fprintf(out, "    lathe %-12s %s\n", c->name, c->summary);
    fprintf(out, "\n`lathe COMMAND --help` explains a command, with examples.\n");
}

static int run_command(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0 ||
        strcmp(argv[1], "-h") == 0) {
        print_help(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_ERROR : EXIT_OK;
    }
    Error e;
    if (cpu_check_limit(&e) != 0)
        return tool_fail(&e);
    for (const Command *c = commands; c->name; c++) {
        if (strcmp(c->name, argv[1]) != 0)
            continue;
        for (int i = 2; i < argc; i++) {
            if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
                fputs(c->part && strcmp(argv[2], c->part) == 0 ? c->part_help : c->help, stdout);
                return EXIT_OK;
            }
        }
        return c->run(argc - 1, argv + 1);
    }
    fprintf(stderr, "lathe: unknown command '%s' (lathe --help)\n", argv[1]);
    return EXIT_ERROR;
}

/* What was printed may not have arrived: a full disk must not look like success. Whoever closed a
 * pipe (`| head`) has seen enough, and is not told. */
static int finish_output(int status)
{
    const bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) == 0 && !failed)
        return status;
    const int reason = errno; /* 0: an earlier part failed, and stdio does not keep why */
    if (reason != EPIPE)
        fprintf(stderr, "lathe: writing the output failed%s%s\n", reason ? ": " : "",
                reason ? strerror(reason) : "");
    return EXIT_ERROR;
}

int main(int argc, char **argv)
{
    if (isolated_asked(argc, argv))
        return isolated_main(argc, argv);
    return finish_output(run_command(argc, argv));
}
