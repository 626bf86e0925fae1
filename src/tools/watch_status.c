/* Lines of status, and where the cursor is. */
#include "tools/watch_status.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/str.h"

StatusLines status_lines_new(void) { return (StatusLines){.terminal = isatty(STDERR_FILENO) == 1}; }
void status_lines_free(StatusLines *s) { arena_free(s->arena); }

static const char *state_text(const StreamStatus *s, Arena *a)
{
    if (s->state == LIVE_DOWN && s->cause != LIVE_NONE)
        return arena_printf(a, "down: %s", live_cause_text(s->cause));
    return live_state_text(s->state);
}

static void add_skipped(Str *line, const StreamStatus *s)
{
    const struct { const char *cause; int64_t n; } skipped[] = {
        {"busy", s->busy}, {"late", s->late}, {"rate", s->rate}, {"lost", s->lost},
    };
    bool any = false;
    for (int i = 0; i < 4; i++) {
        if (skipped[i].n == 0)
            continue;
        str_addf(line, "%s%lld %s", any ? ", " : "   skipped: ", (long long)skipped[i].n,
                 skipped[i].cause);
        any = true;
    }
}

static const char *line_of(const StreamStatus *s, Arena *a)
{
    Str line = str_new(a);
    str_addf(&line, "%-16s %-11s", s->name, state_text(s, a));
    if (s->judged > 0)
        str_addf(&line, " %6.1f/s   p95 %4.0f ms %6lld events", s->fps, s->latency_p95 * 1e3,
                 (long long)s->events);
    add_skipped(&line, s);
    if (s->error[0] != '\0')
        str_addf(&line, "   %s", s->error);
    return str_text(&line);
}

static const char *load_of(const EngineStatus *e, Arena *a)
{
    return e->factor < 1
               ? arena_printf(a, "overload: rates of all streams are at %.0f %%", e->factor * 100)
               : NULL;
}

void status_lines_clear(StatusLines *s)
{
    if (s->lines > 0)
        fprintf(stderr, "\x1b[%dA\x1b[J", s->lines);
    s->lines = 0;
}

/* One row of the terminal each, or moving up would miss. */
static void draw(StatusLines *s, const EngineStatus *e, Arena *a)
{
    struct winsize size = {0};
    const bool known =
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
    const int rows = known ? size.ws_row : 24, columns = known ? size.ws_col : 80;
    const char *const load = load_of(e, a);
    const int room = rows - 2 - (load != NULL), n = e->nstream <= room ? e->nstream
                                                    : room > 1         ? room - 1
                                                                       : 0;
    status_lines_clear(s);
    for (int i = 0; i < n; i++)
        fprintf(stderr, "%.*s\n", columns - 1, line_of(&e->stream[i], a));
    s->lines = n;
    if (n < e->nstream)
        fprintf(stderr, "%.*s\n", columns - 1, arena_printf(a, ".. and %d more", e->nstream - n));
    s->lines += n < e->nstream;
    if (load)
        fprintf(stderr, "%.*s\n", columns - 1, load);
    s->lines += load != NULL;
    fflush(stderr);
}

static bool new_state(const StatusLines *s, const StreamStatus *now)
{
    for (int i = 0; i < s->nstate; i++)
        if (strcmp(s->state[i].name, now->name) == 0)
            return s->state[i].state != now->state;
    return true;
}

static void keep_states(StatusLines *s, const EngineStatus *e)
{
    arena_free(s->arena);
    s->arena = arena_new();
    s->nstate = e->nstream;
    s->state = arena_array_of(s->arena, e->nstream + 1, struct StatusState);
    for (int i = 0; i < e->nstream; i++)
        s->state[i] =
            (struct StatusState){arena_strdup(s->arena, e->stream[i].name), e->stream[i].state};
}

/* Of one that is over all has been told. */
static void print_lines(StatusLines *s, const EngineStatus *e, bool all, Arena *a)
{
    for (int i = 0; i < e->nstream; i++)
        if ((all && e->stream[i].state != LIVE_ENDED) || new_state(s, &e->stream[i]))
            fprintf(stderr, "%s\n", line_of(&e->stream[i], a));
    const char *const load = all ? load_of(e, a) : NULL;
    if (load)
        fprintf(stderr, "%s\n", load);
    keep_states(s, e);
}

void status_lines_show(StatusLines *s, const EngineStatus *e, double now)
{
    const bool due = s->shown == 0 || now - s->shown >= (s->terminal ? 1 : 10);
    Arena *const a = arena_new();
    if (s->terminal && due)
        draw(s, e, a);
    else if (!s->terminal)
        print_lines(s, e, due, a);
    s->shown = due ? now : s->shown;
    arena_free(a);
}

void status_lines_end(StatusLines *s, const EngineStatus *e)
{
    Arena *const a = arena_new();
    status_lines_clear(s);
    for (int i = 0; i < e->nstream; i++)
        fprintf(stderr, "%s\n", line_of(&e->stream[i], a));
    arena_free(a);
}
