/* Errors as codes (run side) and as jumps to the entry of a job (compile side). */
#include "base/error.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

struct JobEntry {
    jmp_buf jump;
};

const char *error_name(int code)
{
    switch (code) {
#define X(name, number, text)                                                                      \
    case number:                                                                                   \
        return #name;
        ERROR_CODES(X)
#undef X
    }
    return "unknown error";
}

/* One line that a terminal may show, whatever a model put into its names. */
static void set_message(Error *e, int code, const char *format, va_list args)
{
    e->code = code;
    vsnprintf(e->message, sizeof e->message, format, args);
    for (char *c = e->message; *c != 0; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = *c == '\n' || *c == '\r' || *c == '\t' ? ' ' : '?';
}

int error_set(Error *e, int code, const char *format, ...)
{
    if (e != NULL) {
        va_list args;
        va_start(args, format);
        set_message(e, code, format, args);
        va_end(args);
    }
    return code;
}

_Noreturn void fail(Context *ctx, int code, const char *format, ...)
{
    /* The message may be printed from the old message's own text (adding "in node ..."). */
    Error made;
    va_list args;
    va_start(args, format);
    set_message(&made, code, format, args);
    va_end(args);
    *ctx->error = made;
    longjmp(ctx->entry->jump, 1);
}

static void memory_failed(void *arg, size_t wanted)
{
    fail(arg, ERR_MEMORY, "out of memory, or over the limit: %zu more bytes wanted", wanted);
}

/* Apart from job_run: what this frame's setjmp returns into must not be changed in between, and
 * the context is. */
static __attribute__((noinline)) void enter(Context *ctx, JobFn fn, void *arg)
{
    JobEntry entry;
    ctx->entry = &entry;
    if (setjmp(entry.jump) == 0)
        fn(ctx, arg);
    ctx->entry = NULL;
}

int job_run(Arena *arena, JobFn fn, void *arg, Error *error, int *detail)
{
    Error own;
    Context ctx = {.arena = arena, .error = error != NULL ? error : &own};
    *ctx.error = (Error){0};
    const ArenaFail outer = arena_on_fail(arena, (ArenaFail){memory_failed, &ctx});
    enter(&ctx, fn, arg);
    arena_on_fail(arena, outer);
    if (detail != NULL)
        *detail = ctx.detail;
    return ctx.error->code;
}
