/* What the commands share: options, loading a model, messages. */
#ifndef LATHE_TOOLS_TOOL_H
#define LATHE_TOOLS_TOOL_H

#include "compile/model.h"

/* Exit status of the program. */
enum { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_REFUSED = 3 };

typedef struct Command {
    const char *name, *summary, *help;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
    /* what `lathe NAME PART --help` prints; NULL: there is no such part */
    const char *part, *part_help;
} Command;
extern const Command commands[];

/* Options are taken out of argv as they are found; what stays are the positional arguments. */
typedef struct Args {
    int argc;
    char **argv;
    bool bad;               /* a message was printed */
    /* options found so far; what is beyond is called unknown where it stands twice */
    const char *taken[64];
    int ntaken;
} Args;
Args args_begin(int argc, char **argv);
bool args_has(const Args *a, const char *name); /* and leaves it there */
bool args_flag(Args *a, const char *name);
const char *args_value(Args *a, const char *name, const char *missing);
/* Between min and max, else complains and gives `missing`, which may lie outside. */
int64_t args_int(Args *a, const char *name, int64_t missing, int64_t min, int64_t max);
double args_double(Args *a, const char *name, double missing, double min);
/* All values up to the next option, at least `min`; returns their number. 0: it is not there, or
 * empty. */
int args_list(Args *a, const char *name, const char **out, int min, int max);
/* Called last: complains about options that nobody took, or stand there twice, and about the count
 * of positional arguments. */
bool args_done(Args *a, int min, int max, const char *what);

/* Prints the error, one line (none if its message is empty), and gives the exit status. */
int tool_fail(const Error *e);
int tool_threads(Args *a); /* --threads, default all CPUs */
/* a number with K, M, G or T behind it; 0: not given */
int64_t tool_limit(Args *a, const char *option);
int tool_target(Args *a, Target *out, Error *e);
/* --bind NAME=N ..: fills opt. */
int tool_bind(Args *a, Arena *arena, OnnxOptions *opt, Error *e);
/* Tensor of a .npy or .pb file. (Pictures: tools/image_input.h) */
int tool_read_tensor(const char *path, Tensor **out, Error *e);
/* The inputs that a model wants; open dims are -1. */
typedef struct Ports {
    int n;
    int64_t memory_limit; /* bytes for all of them; 0: the machine's memory */
    struct Port {
        const char *name;
        DType dtype;
        int rank;
        int64_t dim[MAX_RANK];
        const char *dim_name[MAX_RANK]; /* of a module's dims that are not fixed; else NULL */
    } *at;
    const Program *program; /* of a module, which knows other names of dims; else NULL */
} Ports;
Ports tool_graph_ports(Arena *a, const Graph *g);
Ports tool_module_ports(Arena *a, const Module *m);
/* What --bind says of a module's open dims, which a model's importer does by itself. */
int tool_bind_ports(Arena *a, Ports *p, const OnnxOptions *opt, Error *e);
struct ImageOptions;
/* The inputs for a model: from files in the order of its inputs (or NAME=FILE), the others seeded
 * random. Open sizes: the first dim is `batch`, others 16. */
int tool_inputs(const Ports *p, int nfile, const char *const *file,
                const struct ImageOptions *image, uint64_t seed, int64_t batch, Tensor **out,
                Error *e);
/* A bar on stderr once something takes over two seconds; only on a terminal. */
void tool_progress(void *arg, const char *what, int done, int total);

extern const char help_run[], help_compile[], help_bench[], help_inspect[], help_check[],
    help_doctor[], help_completion[], help_peak[], help_read[], help_costs[], help_watch[],
    help_watch_learn[];
int cmd_run(int argc, char **argv);
int cmd_read(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_compile(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_peak(int argc, char **argv);
int cmd_costs(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_completion(int argc, char **argv);

#endif
