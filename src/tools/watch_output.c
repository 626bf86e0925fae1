/* Lines go out whole and at once, so that who reads along, or comes after a kill, has them. */
#include "tools/watch_output.h"

#include <unistd.h>

#include "base/str.h"
#include "watch/system_json.h"

static int open_file(const char *path, FILE **out, Error *e)
{
    *out = path ? fopen(path, "a") : NULL;
    return path && !*out ? error_set(e, ERR_IO, "%s: cannot be written: %m", path) : 0;
}

int output_open(WatchOutput *o, Error *e)
{
    pthread_mutex_init(&o->lock, NULL);
    const int code = open_file(o->events_path, &o->events, e);
    return code == 0 ? open_file(o->record_path, &o->record, e) : code;
}

static int close_file(FILE *f, const char *path, int code, Error *e)
{
    const bool bad = f && ferror(f) != 0;
    if (f && (fclose(f) != 0 || bad) && code == 0)
        return error_set(e, ERR_IO, "%s: could not be written whole", path);
    return code;
}

int output_close(WatchOutput *o, int code, Error *e)
{
    code = close_file(o->events, o->events_path, code, e);
    code = close_file(o->record, o->record_path, code, e);
    pthread_mutex_destroy(&o->lock);
    return code;
}

/* Before the first line. */
static void empty_file(FILE *f)
{
    if (f && ftruncate(fileno(f), 0) != 0)
        clearerr(f); /* no regular file: nothing to empty */
}

static void write_line(FILE *f, Str *line)
{
    str_addc(line, '\n');
    fwrite(str_text(line), 1, line->len, f);
    fflush(f);
}

/* ---- events ---- */

static void print_value(const char *name, const RuleValue *v)
{
    switch (v->kind) {
    case VALUE_UNKNOWN: printf("  %s=?", name); break;
    case VALUE_TRUTH: printf("  %s=%s", name, v->number != 0 ? "true" : "false"); break;
    case VALUE_NUMBER: printf("  %s=%g", name, v->number); break;
    case VALUE_TEXT: printf("  %s=\"%s\"", name, v->text); break;
    case VALUE_LIST: printf("  %s=%d", name, v->n); break;
    }
}

static void print_record(Arena *a, const EventRecord *r, bool named)
{
    const double at = (double)(r->kind == RECORD_END ? r->t_end : r->t_start) * 1e-6;
    if (named)
        printf("%-16s ", r->stream);
    printf("%9.3f s  %-6s %s", at, record_kind_name(r->kind), r->rule->name);
    if (r->key)
        printf("  \"%s\"", r->key);
    for (int i = 0; i < r->ndata; i++) {
        Str name = str_new(a);
        rule_print(&name, r->watch, r->rule->data[i]);
        print_value(str_text(&name), &r->data[i]);
    }
    if (r->kind == RECORD_END)
        printf("  after %.3f s", (double)(r->t_end - r->t_start) * 1e-6);
    if (r->reason)
        printf("  (%s)", r->reason);
    printf("\n");
}

void output_event(WatchOutput *o, const EventRecord *r)
{
    Arena *const a = arena_new();
    Str line = str_new(a);
    if (o->json || o->events_path)
        event_json(&line, r);
    pthread_mutex_lock(&o->lock);
    if (o->before)
        o->before(o->arg);
    if (o->json)
        printf("%s\n", str_text(&line));
    else
        print_record(a, r, o->names);
    fflush(stdout);
    if (o->events)
        write_line(o->events, &line);
    pthread_mutex_unlock(&o->lock);
    arena_free(a);
}

/* One clock for all: media time of files, else time of day, as the records have it. */
static void print_spotlight(const SystemRecord *r)
{
    printf("%-16s ", "spotlight");
    if (!r->wall)
        printf("%9.3f s  ", (double)r->t * 1e-6);
    if (r->stream[0] != '\0')
        printf("%s  %g", r->stream, r->value);
    else
        printf("none");
    printf("  (%s%s%s)\n", r->cause, r->previous ? ", before: " : "",
           r->previous ? r->previous : "");
}

void output_system(WatchOutput *o, const SystemRecord *r)
{
    if (r->kind != SYSTEM_SPOTLIGHT)
        return;
    Arena *const a = arena_new();
    Str line = str_new(a);
    system_json(&line, r);
    pthread_mutex_lock(&o->lock);
    if (o->before)
        o->before(o->arg);
    if (o->json)
        printf("%s\n", str_text(&line));
    else
        print_spotlight(r);
    fflush(stdout);
    if (o->events)
        write_line(o->events, &line);
    pthread_mutex_unlock(&o->lock);
    arena_free(a);
}

/* ---- samples ---- */

/* When the first sample comes all that can be checked is. */
void output_sample(WatchOutput *o, const Sample *s)
{
    Arena *const a = arena_new();
    Str line = str_new(a);
    if (o->record_path)
        sample_json(&line, o->watch, s);
    pthread_mutex_lock(&o->lock);
    if (!o->begun && !o->keep) {
        empty_file(o->events);
        empty_file(o->record);
    }
    o->begun = true;
    if (o->record)
        write_line(o->record, &line);
    pthread_mutex_unlock(&o->lock);
    arena_free(a);
}
