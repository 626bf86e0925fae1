/* Facts of frames, and events from facts: see truth.h. */
#include "game/truth.h"

#include <stdlib.h>
#include <string.h>

#include "game/path.h"

#define DIM 0.5f /* a screen darker than this, or whiter, is not seen */

static Fact fact(bool yes)
{
    return yes ? FACT_YES : FACT_NO;
}

static bool skull_seen(const Script *s, int frame)
{
    for (int i = 0; i < s->feed.len; i++) {
        if (s->feed.at[i].kind == LINE_KILL && scene_feed(s, i, frame).opacity > 0)
            return true;
    }
    return false;
}

Facts truth_facts(const Script *s, int frame)
{
    const Scene scene = scene_at(s, frame);
    Facts f = {.screen = FACT_NONE, .alive = FACT_NONE, .score = FACT_NONE,
               .skull = FACT_UNKNOWN, .shield = FACT_UNKNOWN};
    for (int i = 0; i < SCRIPT_AREAS; i++)
        f.in[i] = FACT_UNKNOWN;
    if (scene.light < DIM || scene.white >= DIM || scene.glitch_screen)
        return f;
    f.screen = (int)scene.screen;
    const bool play = scene.screen == SCREEN_PLAY;
    if (play && !scene.covered[CELL_ALIVE] && !scene.glitch_alive)
        f.alive = scene.alive;
    if (play && !scene.covered[CELL_SCORE] && !scene.glitch_score)
        f.score = scene.score;
    if (!scene.covered[CELL_FEED])
        f.skull = fact(play && skull_seen(s, frame));
    if (!scene.covered[CELL_STATES] && !scene.glitch_shield)
        f.shield = fact(play && scene.state[STATE_SHIELD]);
    const int area = play ? path_area(s, scene.player) : -1;
    for (int i = 0; i < SCRIPT_AREAS; i++)
        f.in[i] = fact(i == area);
    return f;
}

/* An event whose condition is told frame by frame. */
typedef struct Watched {
    const char *event;
    bool point;
    int open;      /* index in the list; -1: not active */
} Watched;

static void see(Arena *a, TruthList *list, Watched *w, Fact now, int frame)
{
    if (now == FACT_UNKNOWN)
        return;
    if (now == FACT_NO) {
        w->open = -1;
        return;
    }
    if (w->open < 0) {
        w->open = list->len;
        vec_push(a, list,
                 ((Truth){.event = w->event, .point = w->point, .from = frame, .last = frame}));
    }
    list->at[w->open].last = frame;
}

static void see_number(Arena *a, TruthList *list, const char *event, int *before, int now,
                       int frame)
{
    if (now == FACT_NONE || now == *before)
        return;
    if (*before != FACT_NONE) {
        const Truth t = {.event = event,
                         .point = true,
                         .from = frame,
                         .last = frame,
                         .change = true,
                         .value = now,
                         .prev = *before};
        vec_push(a, list, t);
    }
    *before = now;
}

/* Three-valued: false && unknown is false. */
static Fact both(Fact a, Fact b)
{
    return a == FACT_NO || b == FACT_NO     ? FACT_NO
           : a == FACT_YES && b == FACT_YES ? FACT_YES
                                            : FACT_UNKNOWN;
}

static Fact at_most(int value, int limit)
{
    return value == FACT_NONE ? FACT_UNKNOWN : fact(value <= limit);
}

static Fact is_screen(int screen, Screen which)
{
    return screen == FACT_NONE ? FACT_UNKNOWN : fact(screen == (int)which);
}

static int by_time(const void *x, const void *y)
{
    const Truth *const a = x, *const b = y;
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    return strcmp(a->event, b->event);
}

#define WIN_WITHIN 20.0 /* seconds */

TruthList truth_new(Arena *a, const Script *s)
{
    TruthList list = {0};
    Watched match = {.event = "match", .open = -1}, ten = {.event = "final_ten", .open = -1};
    Watched kill = {.event = "kill", .point = true, .open = -1},
            shield = {.event = "shield", .open = -1};
    Watched victory = {.event = "victory", .open = -1}, area[SCRIPT_AREAS];
    for (int i = 0; i < SCRIPT_AREAS; i++)
        area[i] = (Watched){.event = arena_printf(a, "in_%s", s->area[i].name), .open = -1};
    /* two: frame at which so few were left, -1: spent */
    int alive = FACT_NONE, score = FACT_NONE, two = -1;
    bool few = false;
    for (int frame = 0; frame < s->nframe; frame++) {
        const Facts f = truth_facts(s, frame);
        const Fact play = is_screen(f.screen, SCREEN_PLAY);
        const bool won_before = victory.open >= 0;
        see(a, &list, &match, play, frame);
        see(a, &list, &ten, both(play, at_most(f.alive, 10)), frame);
        see_number(a, &list, "alive_change", &alive, f.alive, frame);
        see_number(a, &list, "score_change", &score, f.score, frame);
        see(a, &list, &kill, both(play, f.skull), frame);
        see(a, &list, &shield, both(play, f.shield), frame);
        for (int i = 0; i < SCRIPT_AREAS; i++)
            see(a, &list, &area[i], both(play, f.in[i]), frame);
        if (f.alive != FACT_NONE) {
            two = f.alive <= 2 && !few ? frame : two;
            few = f.alive <= 2;
        }
        see(a, &list, &victory, is_screen(f.screen, SCREEN_VICTORY), frame);
        if (victory.open >= 0 && !won_before && two >= 0) {
            if ((frame - two) / s->fps <= WIN_WITHIN)
                vec_push(a, &list,
                         ((Truth){.event = "win", .point = true, .from = frame, .last = frame}));
            two = -1;
        }
    }
    if (list.len > 0)
        qsort(list.at, (size_t)list.len, sizeof *list.at, by_time);
    return list;
}

void truth_print(Str *out, const Script *s, const TruthList *list)
{
    for (int i = 0; i < list->len; i++) {
        const Truth *const t = &list->at[i];
        str_addf(out, "{\"event\":\"%s\",\"key\":null,\"t_start\":%.6f,", t->event,
                 t->from / s->fps);
        if (t->point)
            str_addf(out, "\"t_end\":null");
        else
            str_addf(out, "\"t_end\":%.6f", t->last / s->fps);
        if (t->change)
            str_addf(out, ",\"value\":%d,\"prev\":%d}\n", t->value, t->prev);
        else
            str_addf(out, ",\"value\":null}\n");
    }
}
