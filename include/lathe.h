/* Lathe: runs trained models as native code.
 *
 *     lathe_error e;
 *     lathe_tensor y, x = {LATHE_F32, 4, {1, 3, 224, 224}, pixels, sizeof pixels};
 *     lathe_module *m = lathe_compile("model.onnx", NULL, &e);       // or lathe_load("model.lathe", &e)
 *     lathe_session *s = m ? lathe_session_new(m, 0, &e) : NULL;
 *     if (s && lathe_set_input(s, 0, &x, &e) == 0 && lathe_run(s, &e) == 0 &&
 *         lathe_get_output(s, 0, &y, &e) == 0)
 *         ...                                                        // y.data: valid until the next lathe_run
 *
 * Errors. Functions that can fail return 0 or a negative code (those that make something: NULL) and
 * then fill `error`, which may be NULL. Nothing is kept in the library: two threads that fail do
 * not see each other's messages. After a failure everything is as it was, unless stated.
 *
 * Threads. A module is read-only: any number of threads may run one at once, each with a session of
 * its own. A session belongs to one thread at a time. The sessions of a process share its cores:
 * one pool has a thread for each CPU that the process may use (its affinity, its control group's
 * quota), and sessions that run at once take their shares of it. Its threads are idle soon after a
 * run. With LATHE_AFFINITY=1 in the environment each keeps to one CPU. In a child of fork(2),
 * sessions that were made before run on the calling thread alone; it may compile. A fork while
 * another thread compiles waits until no kernel is in the middle of code generation, a fraction of
 * a second. The result never depends on how many threads there were.
 *
 * CPU. Code is for all that this one has; with LATHE_MAX_ISA=avx2 in the environment (or another
 * level: lathe doctor --help), for no more than that.
 *
 * Signals. A module compiled for "amx" (lathe_options.target; NULL is that where the CPU has it)
 * makes signal frames larger: stacks for signals (sigaltstack) need 16 KiB. With smaller ones it is
 * refused; smaller ones are refused after.
 *
 * Tensors are dense and row-major (last dim fastest), at most LATHE_MAX_RANK dims, counted in
 * elements. Types below 8 bits take one byte an element, signed ones sign-extended; booleans are
 * one byte, 0 or 1. Strings and complex numbers do not occur. lathe_dlpack.h has tensors with
 * strides.
 *
 * Memory. Once a session has run a shape, running it again allocates nothing. What a compile has
 * freed stays with the C library; malloc_trim(0) gives it back to the system, some 30 MB where a
 * cache keeps the module.
 *
 * liblathe_runtime, which is small and needs no LLVM, has everything here but lathe_compile and
 * lathe_compile_memory; liblathe has all. */
#ifndef LATHE_H
#define LATHE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LATHE_MAX_RANK 8
#define LATHE_MAX_THREADS 256

typedef struct lathe_module lathe_module;   /* compiled code and weights */
/* one caller of a module: inputs, outputs, working memory */
typedef struct lathe_session lathe_session;

enum { /* codes */
    LATHE_OK = 0,
    LATHE_INVALID = -1,     /* an argument or a file is malformed or inconsistent */
    LATHE_UNSUPPORTED = -2, /* valid, but this version (or this CPU) does not handle it */
    LATHE_IO = -3,          /* a file could not be read or written */
    LATHE_MEMORY = -4,      /* out of memory, or over a limit */
    LATHE_NEED_VALUE = -5,  /* compiling must know the value of an input: lathe_options.value */
    LATHE_INTERNAL = -6     /* a defect of this library */
};

typedef struct lathe_error {
    int code;
    char message[1024]; /* one line: where, what, what to do */
} lathe_error;

typedef enum lathe_dtype { /* ONNX's numbers */
                           LATHE_F32 = 1,
                           LATHE_U8 = 2,
                           LATHE_I8 = 3,
                           LATHE_U16 = 4,
                           LATHE_I16 = 5,
                           LATHE_I32 = 6,
                           LATHE_I64 = 7,
                           LATHE_BOOL = 9,
                           LATHE_F16 = 10,
                           LATHE_F64 = 11,
                           LATHE_U32 = 12,
                           LATHE_U64 = 13,
                           LATHE_BF16 = 16,
                           LATHE_F8E4M3FN = 17,
                           LATHE_F8E4M3FNUZ = 18,
                           LATHE_F8E5M2 = 19,
                           LATHE_F8E5M2FNUZ = 20,
                           LATHE_U4 = 21,
                           LATHE_I4 = 22,
                           LATHE_F4E2M1 = 23,
                           LATHE_F8E8M0 = 24,
                           LATHE_U2 = 25,
                           LATHE_I2 = 26
} lathe_dtype;

const char *lathe_dtype_name(int dtype); /* "f32"; NULL for what is no type */
int lathe_dtype_size(int dtype);         /* bytes that an element takes; 0 for what is no type */

typedef struct lathe_tensor { /* somebody's memory */
    int dtype;                /* lathe_dtype */
    int rank;                 /* 0: a scalar */
    int64_t dim[LATHE_MAX_RANK];
    void *data;               /* may be NULL if a dim is 0 */
    size_t bytes;             /* at data: no less than the elements take */
} lathe_tensor;

typedef struct lathe_port { /* an input or output of a model; the texts live as long as the module
                             */
    const char *name;
    int dtype;
    int rank;
    int64_t dim[LATHE_MAX_RANK];          /* -1: open, a run gives it */
    const char *dim_name[LATHE_MAX_RANK]; /* of an open dim, "N": equal names are equal sizes, also
                                           * of dims that have to be equal though the model gives
                                           * them two names. NULL: it has none */
} lathe_port;

/* "f32[N,3,224,224]" as snprintf does it: returns the length, writes at most `size` bytes. */
int lathe_port_text(const lathe_port *port, char *text, size_t size);

/* Memory for everything but machine code and what LLVM takes while it compiles. Of the whole
 * process: call it once, before any other function; every thread may call both functions. `alloc`
 * returns memory aligned to `align` (a power of two), or NULL: then what was asked of the library
 * fails with LATHE_MEMORY. NULL, or one without both functions, is the C library's again: that,
 * too, while nothing that this library made is left. */
typedef struct lathe_allocator {
    void *(*alloc)(void *arg, size_t size, size_t align);
    void (*free)(void *arg, void *p);
    void *arg;
} lathe_allocator;
void lathe_set_allocator(const lathe_allocator *a);

/* Of the library that runs: "1.2.3". */
const char *lathe_version(void);

/* ---- modules ---- */

typedef struct lathe_bind { /* an open size of the model gets this value */
    const char *name;       /* as lathe_port.dim_name */
    int64_t value;
} lathe_bind;

typedef struct lathe_shape { /* an input gets this shape */
    const char *input;
    int rank;
    int64_t dim[LATHE_MAX_RANK]; /* -1: as the model says */
} lathe_shape;

typedef struct lathe_value { /* an input gets this value for good; it stays in the list but is not
                                read */
    const char *input;
    lathe_tensor tensor; /* copied */
} lathe_value;

/* Zero (NULL) is the default of each. Nothing is needed after the call. Sizes that are neither in
 * the model nor here stay open: such a module takes any, and is somewhat slower than one that knows
 * them. */
typedef struct lathe_options {
    int threads;           /* to compile with, at most LATHE_MAX_THREADS; 0: all CPUs */
    /* "avx2", "avx512" ..; NULL: this CPU. A better one can be compiled for and saved */
    const char *target;
    const char
        *precision; /* of products: "f32"; "bf16": bf16 inputs, f32 sums, where this gains on the
                     * target; "bf16-all": wherever it can be done, on any target; "f32-fast": large
                     * products in fewer multiplications, which round more coarsely. NULL: "f32" */
    int nbind, nshape, nvalue;
    const lathe_bind *bind;
    const lathe_shape *shape;
    const lathe_value *value;
    const char *directory; /* of weights in files of their own; NULL: the model's */
    const char
        *cache; /* folder for compiled models, to be found there next time; "": $LATHE_CACHE, else
                 * $XDG_CACHE_HOME/lathe, else ~/.cache/lathe; NULL: compile, keep nothing. One that
                 * cannot be used, or that others may write, is passed over without a word */
} lathe_options;

/* From an ONNX file; options may be NULL. */
lathe_module *lathe_compile(const char *path, const lathe_options *options, lathe_error *error);
/* From the bytes of one, which are not needed afterwards. */
lathe_module *lathe_compile_memory(const void *data, size_t size, const lathe_options *options,
                                   lathe_error *error);
/* Writes a module file: it runs without the compiler, on CPUs that have what the target says. */
int lathe_save(const lathe_module *m, const char *path, lathe_error *error);
/* From a module file, which is mapped: weights are shared with other processes that load it. It
 * holds machine code: load what you would also run as a program. */
lathe_module *lathe_load(const char *path, lathe_error *error);
/* From the bytes of one. With `free` they are taken over: they stay where they are (if aligned to
 * 64 bytes), and free(arg) is called once they are not needed; not if this fails. Without, they are
 * copied. */
lathe_module *lathe_load_memory(const void *data, size_t size, void (*free)(void *arg), void *arg,
                                lathe_error *error);
void lathe_module_free(lathe_module *m); /* sessions keep what they need; NULL is allowed */

int lathe_input_count(const lathe_module *m);
int lathe_output_count(const lathe_module *m);
/* LATHE_INVALID: there is none */
int lathe_input(const lathe_module *m, int index, lathe_port *out);
int lathe_output(const lathe_module *m, int index, lathe_port *out);
int lathe_find_input(const lathe_module *m, const char *name);      /* index; -1: none */
int lathe_find_output(const lathe_module *m, const char *name);

/* ---- running ---- */

/* `threads`: 0 for all CPUs, at most LATHE_MAX_THREADS. LATHE_UNSUPPORTED: the module was compiled
 * for another CPU. */
lathe_session *lathe_session_new(lathe_module *m, int threads, lathe_error *error);
void lathe_session_free(lathe_session *s); /* NULL is allowed */

/* The next runs get this input: it must have the model's type and rank; lathe_run says whether its
 * dims fit. The data is used where it lies if it is aligned to 64 bytes, else lathe_run copies it:
 * it must stay until another takes its place or the session ends; its contents may change between
 * runs. */
int lathe_set_input(lathe_session *s, int index, const lathe_tensor *x, lathe_error *error);
int lathe_set_input_named(lathe_session *s, const char *name, const lathe_tensor *x,
                          lathe_error *error);
/* The same, and free(arg) is called once the data is not needed any more; not if this fails. */
int lathe_give_input(lathe_session *s, int index, const lathe_tensor *x, void (*free)(void *arg),
                     void *arg, lathe_error *error);

/* LATHE_INVALID: an input is missing or its dims do not fit; LATHE_MEMORY. After a failure there
 * are no outputs. */
int lathe_run(lathe_session *s, lathe_error *error);

/* What the last lathe_run gave: aligned to 64 bytes, valid until the next lathe_run or the end of
 * the session. LATHE_INVALID: no such output, or the last lathe_run failed. */
int lathe_get_output(const lathe_session *s, int index, lathe_tensor *out, lathe_error *error);
int lathe_get_output_named(const lathe_session *s, const char *name, lathe_tensor *out,
                           lathe_error *error);

#ifdef __cplusplus
}
#endif

#endif
