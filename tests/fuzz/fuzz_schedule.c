/* A record for some stages: the stages' text, a line "---", the record's line.
 *
 * A record that schedule_check takes must print and parse back, lower and expand: an error after
 * the check is a finding as much as a crash is. */
#include "fuzz.h"

#include <string.h>

#include "loop/schedule.h"

typedef struct Record {
    FuzzBytes in;
    bool legal;
} Record;

static void verify(Context *ctx, const Loops *l)
{
    Str why = str_new(ctx->arena);
    if (!loops_verify(l, &why))
        fail(ctx, ERR_INTERNAL, "%s", str_text(&why));
}

static void job(Context *ctx, void *arg)
{
    Record *r = arg;
    static const char mark[] = "\n---\n";
    const char *text = (const char *)r->in.at;
    const char *end = memmem(text, r->in.size, mark, strlen(mark));
    if (!end)
        return;
    const size_t size = (size_t)(end + 1 - text), rest = r->in.size - size - strlen(mark) + 1;
    const char *line = arena_strndup(ctx->arena, end + strlen(mark), rest);
    Stages *s = stages_parse(ctx, "fuzz", text, size);
    const Schedule *sc = schedule_parse(ctx, s, line);
    Str printed = str_new(ctx->arena), again = str_new(ctx->arena), why = str_new(ctx->arena);
    Target target;
    if (target_find("avx2", &target, NULL) != 0 ||
        schedule_check(sc, s, &target, &why) != SCHEDULE_OK)
        return;
    r->legal = true;
    schedule_print(sc, s, &printed);
    Stages *fresh = stages_parse(ctx, "fuzz", text, size);
    const Schedule *parsed = schedule_parse(ctx, fresh, str_text(&printed));
    schedule_print(parsed, fresh, &again);
    fuzz_check(strcmp(str_text(&printed), str_text(&again)) == 0, "a record changed by printing");
    const Lowered low = lower(ctx, fresh, parsed, &target);
    verify(ctx, low.loops);
    verify(ctx, expand(ctx, low.loops, &target));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena *a = arena_new();
    arena_set_limit(a, FUZZ_MEMORY);
    Record r = {.in = {data, size}};
    Error e = {0};
    const int code = job_run(a, job, &r, &e, NULL);
    if (r.legal && code != 0 && code != ERR_MEMORY) {
        fprintf(stderr, "%s\n", e.message);
        fuzz_check(false, "a legal record failed");
    }
    arena_free(a);
    return 0;
}
