/* What commands on one model start with: its options, the file, its inputs, the compiled module.
 *
 *     Setup s = setup_begin(argc, argv);
 *     const char *dir = args_value(&s.args, "--outputs", NULL);     // the command's own options first
 *     int code = setup_options(&s, SETUP_INPUTS, &e);               // the common ones; nothing may be left over
 *     if (code == 0)
 *         code = setup_open(&s, 1, &e);                             // what the model wants; its inputs
 *     if (code == 0)
 *         code = setup_compile(&s, &e);
 *     ...
 *     return setup_end(&s, code, &e);
 *
 * Fields that a command wants otherwise (what the compiler keeps, static shapes) it changes
 * between. */
#ifndef LATHE_TOOLS_SETUP_H
#define LATHE_TOOLS_SETUP_H

#include "tools/image_input.h"

#define SETUP_MAX_FILES 256

typedef struct Setup {
    Args args;
    Arena *arena;     /* until setup_end */
    const char *path; /* the model; of several the first, until the command takes another */
    int nmodel;
    char **model_path;
    int threads;
    bool no_cache;    /* compile even what is in the disk cache (compile/cache.h) */
    ModelOptions opt;
    int nfile;        /* --inputs */
    const char *file[SETUP_MAX_FILES];
    ImageOptions image;
    uint64_t seed;
    Ports ports;      /* after setup_open: what the model wants */
    int noutputs;     /* that the model has */
    Tensor **input;   /* one each; also opt.input */
    bool is_module;   /* a file of `lathe compile`, by its first bytes; loaded by setup_open */
    Model model;      /* after setup_compile; of a module file only .module */
    double began;
} Setup;

enum {
    SETUP_INPUTS = 1, /* --inputs, --seed, --symbolic and how pictures are read, too */
    SETUP_MODULE = 2, /* a module file will do, without options that say how to compile */
    SETUP_MODELS = 4, /* one model or more */
};
/* Their help. */
#define HELP_INPUTS                                                                                \
    "    --inputs F ..    .pb, .npy, .png or .jpg files in the order of the model's inputs, or "   \
    "NAME=FILE;\n"                                                                                 \
    "                     inputs that are not given are random\n"                                  \
    "    --seed N         of the random inputs (default 0)\n"                                      \
    "    --mean M         of pictures, which are resized to the input's height and width: a "      \
    "value of 0 to 255 becomes\n"                                                                  \
    "    --scale S        (value - M) * S; a number, or three with commas between (default 0 and " \
    "1/255)\n"                                                                                     \
    "    --bgr            the order of colours that the model wants is blue, green, red\n"         \
    "    --symbolic       keep open sizes open instead of compiling for the shapes given\n"
#define HELP_COMMON                                                                                \
    "    --bind N=4 ..    sizes that the model leaves open\n"                                      \
    "    --target LEVEL   avx2 .. amx, znver4 .. (default: what this CPU has)\n"                   \
    "    --precision P    f32 (default); bf16: bf16 inputs of products where that gains, f32 "     \
    "sums; bf16-all: everywhere;\n"                                                                \
    "                     f32-fast: large products in fewer multiplications, rounded more "        \
    "coarsely\n"                                                                                   \
    "    --threads N      (default: all CPUs)\n"                                                   \
    "    --memory-limit S 2G, 500M ..: refuse what needs more (default: the machine's memory)\n"   \
    "    --work-limit N   most steps of a kernel: 512G, 2T .. (default: more than a day's)\n"      \
    "    --costs FILE     table of measured costs to choose layouts and variants by (default: "    \
    "estimates)\n"                                                                                 \
    "    --no-cache       compile even if the disk cache ($LATHE_CACHE, ~/.cache/lathe) has it\n"

Setup setup_begin(int argc, char **argv);
/* --threads, --target, --precision, --bind, --memory-limit, --work-limit, --costs, --no-cache, and
 * with SETUP_INPUTS what gives the inputs; then exactly one positional argument must be left, or
 * some. A complaint about the command line is printed at once and leaves *e empty. */
int setup_options(Setup *s, int what, Error *e);
/* Refuses a --target that this CPU cannot run. */
int setup_runs_here(const Setup *s, Error *e);
/* Reads the model's ports and makes its inputs: from the files, the others random; open sizes:
 * `batch` for a first dim, else 16. */
int setup_open(Setup *s, int64_t batch, Error *e);
/* Compiles for this machine or --target; nothing for a module file. */
int setup_compile(Setup *s, Error *e);
/* A Run of the module with the inputs set. Both are the caller's, also after a failure. */
int setup_run(const Setup *s, Pool **pool, Run **run, Error *e);
/* Undoes setup_open, for another model. */
void setup_close(Setup *s);
/* Frees everything; prints the error if there is one; the exit status. */
int setup_end(Setup *s, int code, const Error *e);

#endif
