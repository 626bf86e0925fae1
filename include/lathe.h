/* Lathe: runs trained models as native code.
 *
 *     lathe_error e;
 *     lathe_module *m = lathe_compile("model.onnx", NULL, &e);       // or lathe_load("model.lathe", &e)
 *     lathe_session *s = m ? lathe_session_new(m, 0, &e) : NULL;
 *     float pixels[3 * 224 * 224] = {...};
 *     int64_t dims[] = {1, 3, 224, 224};
 *     lathe_set_input(s, 0, LATHE_F32, 4, dims, pixels, &e);
 *     if (lathe_run(s, &e) == 0) {
 *         lathe_tensor y;
 *         lathe_get_output(s, 0, &y, &e);                            // y.data: valid until the next lathe_run
 *     }
 *
 * A module is read-only: any number of sessions, each on one thread at a time, may share it. Functions return 0 or a
 * negative code (pointers: NULL) and fill `error`, which may be NULL. All data is row-major.
 *
 * liblathe_runtime has everything here but lathe_compile; liblathe has all. */
#ifndef LATHE_H
#define LATHE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LATHE_MAX_RANK 8

typedef struct lathe_module lathe_module;
typedef struct lathe_session lathe_session;

enum { /* codes */
    LATHE_OK = 0,
    LATHE_INVALID = -1,     /* the input is malformed or inconsistent */
    LATHE_UNSUPPORTED = -2, /* valid input that this version does not handle */
    LATHE_IO = -3,
    LATHE_MEMORY = -4,
    LATHE_NEED_VALUE = -5,  /* a value must be known at compile time: bind it */
    LATHE_INTERNAL = -6     /* a defect of this library */
};

typedef enum lathe_dtype { /* ONNX's numbers; types below 8 bits take one byte an element */
    LATHE_F32 = 1, LATHE_U8 = 2, LATHE_I8 = 3, LATHE_U16 = 4, LATHE_I16 = 5, LATHE_I32 = 6, LATHE_I64 = 7,
    LATHE_BOOL = 9, LATHE_F16 = 10, LATHE_F64 = 11, LATHE_U32 = 12, LATHE_U64 = 13, LATHE_BF16 = 16,
    LATHE_F8E4M3FN = 17, LATHE_F8E4M3FNUZ = 18, LATHE_F8E5M2 = 19, LATHE_F8E5M2FNUZ = 20, LATHE_U4 = 21,
    LATHE_I4 = 22, LATHE_F4E2M1 = 23, LATHE_F8E8M0 = 24, LATHE_U2 = 25, LATHE_I2 = 26
} lathe_dtype;

typedef struct lathe_error {
    int code;
    char message[1024]; /* one line: where, what, what to do */
} lathe_error;

typedef struct lathe_tensor {
    lathe_dtype dtype;
    int rank;
    int64_t dim[LATHE_MAX_RANK];
    void *data;
    size_t bytes;
} lathe_tensor;

typedef struct lathe_port { /* an input or output of a model */
    const char *name;
    lathe_dtype dtype;
    int rank;
    int64_t dim[LATHE_MAX_RANK]; /* -1: open until a run gives it */
} lathe_port;

/* Memory for everything but the code itself. Call once, before any other function; `arg` goes to both. `alloc` returns
 * memory aligned to `align` (a power of two), or NULL. */
typedef struct lathe_allocator {
    void *(*alloc)(void *arg, size_t size, size_t align);
    void (*free)(void *arg, void *p);
    void *arg;
} lathe_allocator;
void lathe_set_allocator(const lathe_allocator *a);

const char *lathe_version(void);

/* ---- modules ---- */

typedef struct lathe_bind { /* a size that the model leaves open */
    const char *name;
    int64_t value;
} lathe_bind;

typedef struct lathe_options {
    int threads;         /* to compile with; 0: all CPUs */
    const char *target;  /* "avx2", "avx512" ..; NULL: this CPU */
    int nbind;
    const lathe_bind *bind;
} lathe_options;

/* From an ONNX file; options may be NULL. */
lathe_module *lathe_compile(const char *path, const lathe_options *options, lathe_error *error);
/* From a module file (`lathe compile -o`): no compiler needed. */
lathe_module *lathe_load(const char *path, lathe_error *error);
void lathe_module_free(lathe_module *m); /* sessions keep what they need; NULL is allowed */

int lathe_input_count(const lathe_module *m);
int lathe_output_count(const lathe_module *m);
int lathe_input(const lathe_module *m, int index, lathe_port *out);
int lathe_output(const lathe_module *m, int index, lathe_port *out);
int lathe_find_input(const lathe_module *m, const char *name);  /* -1: none */
int lathe_find_output(const lathe_module *m, const char *name);

/* ---- running ---- */

/* `threads`: 0 for all CPUs. */
lathe_session *lathe_session_new(lathe_module *m, int threads, lathe_error *error);
void lathe_session_free(lathe_session *s);
/* The data is not copied if it is 64-byte aligned: it must stay until another takes its place. */
int lathe_set_input(lathe_session *s, int index, lathe_dtype dtype, int rank, const int64_t *dims, const void *data,
                    lathe_error *error);
int lathe_run(lathe_session *s, lathe_error *error);
int lathe_get_output(lathe_session *s, int index, lathe_tensor *out, lathe_error *error);

#ifdef __cplusplus
}
#endif

#endif
