/* Errors, and the context that a compile-side job runs in.
 *
 * Two rules (STYLE 15, 16). A bug is an assert. Bad input is an error that a user can act on.
 *
 * Compile side: `fail(ctx, ERR_UNSUPPORTED, "conv 'a/b': ...")` does not return; it goes to the
 * entry of the job, made with `job_run`. Jobs nest; each worker thread has its own Context, so a
 * failure never crosses threads, nor LLVM's frames.
 *
 *     static void job(Context *ctx, void *arg) { ... fail(ctx, ERR_INVALID, "...") ... }
 *     Error error;
 *     int code = job_run(arena, job, arg, &error);   // 0 or a negative ErrorCode
 *
 * Run side (runtime and everything under it): functions return 0 or a negative ErrorCode and fill
 * an `Error *` with `error_set`; one `goto out`. */
#ifndef LATHE_BASE_ERROR_H
#define LATHE_BASE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

#include "base/arena.h"

/* name, code, what it means */
#define ERROR_CODES(X)                                                                             \
    X(OK, 0, "no error")                                                                           \
    X(INVALID, -1, "the input is malformed or inconsistent")                                       \
    X(UNSUPPORTED, -2, "valid input that this version does not handle")                            \
    X(IO, -3, "a file could not be read or written")                                               \
    X(MEMORY, -4, "out of memory, or over a stated limit")                                         \
    X(NEED_VALUE, -5, "a value must be known at compile time: bind it")                            \
    X(INTERNAL, -6, "a defect of this program")

typedef enum ErrorCode {
#define X(name, code, text) ERR_##name = code,
    ERROR_CODES(X)
#undef X
} ErrorCode;

typedef struct Error {
    int code;           /* ErrorCode */
    char message[1024]; /* one line: where, what, what to do */
} Error;

const char *error_name(int code);
/* Fills `e` (may be NULL) and returns `code`, so that `return error_set(e, ERR_IO, ...)` reads. */
int error_set(Error *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

typedef struct JobEntry JobEntry;

typedef struct Context {
    Arena *arena;    /* lifetime of everything the job makes */
    JobEntry *entry; /* where fail() goes */
    Error *error;
    int detail;      /* set by the failing place, e.g. the value id of ERR_NEED_VALUE */
} Context;

typedef void (*JobFn)(Context *ctx, void *arg);

/* Runs fn(ctx, arg) with memory from `arena`; returns 0, or the code that fail() gave. `error`
 * gets the message. `detail` (may be NULL) gets ctx->detail. */
int job_run(Arena *arena, JobFn fn, void *arg, Error *error, int *detail);

_Noreturn void fail(Context *ctx, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
