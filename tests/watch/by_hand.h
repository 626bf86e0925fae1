/* Watches made in C: one signal of each kind, and events from text.
 *
 *     Watch *w = watch_by_hand(ctx);
 *     EventRule *e = add_event(ctx, w, "low", "alive <= 10");     // confirm and release 1 of 1
 *     e->confirm = (Window){2, 3};
 */
#ifndef LATHE_TESTS_WATCH_BY_HAND_H
#define LATHE_TESTS_WATCH_BY_HAND_H

#include <math.h>
#include <string.h>

#include "watch/pattern.h"
#include "watch/rule.h"

enum {
    ALIVE,
    TITLE,
    FEED,
    SKULL,
    BADGE,
    SCREEN,
    CLASS,
    UNSAFE,
    ACTIVITY,
    PLAYER,
    VOICE,
    TEMPERATURE,
    BY_HAND_SIGNALS,
    BY_HAND_EVENTS = 16
};

static inline TextSignal text_by_hand(TextMode mode, TextType type)
{
    return (TextSignal){.mode = mode,
                        .type = type,
                        .min_confidence = 0.5,
                        .min = -(double)INFINITY,
                        .max = (double)INFINITY,
                        .vote = 1,
                        .vote_within = 3000000};
}

static inline Signal *signals_by_hand(Arena *a)
{
    static const char *const labels[] = {"*_EXPOSED", "KNIFE"};
    static const double square[] = {0, 0, 100, 0, 100, 100, 0, 100},
                        corner[] = {100, 100, 200, 100, 200, 200};
    static const Area areas[] = {{"base", 4, square}, {"hill", 3, corner}};
    const Signal made[BY_HAND_SIGNALS] = {
        [ALIVE] = {.name = "alive",
                   .kind = SIGNAL_TEXT,
                   .region = 0,
                   .text = text_by_hand(TEXT_LINE, TEXT_INT)},
        [TITLE] = {.name = "title",
                   .kind = SIGNAL_TEXT,
                   .region = -1,
                   .text = text_by_hand(TEXT_LINE, TEXT_STRING)},
        [FEED] = {.name = "feed",
                  .kind = SIGNAL_TEXT,
                  .region = 1,
                  .text = text_by_hand(TEXT_PAGE, TEXT_STRING)},
        [SKULL] = {.name = "skull",
                   .kind = SIGNAL_ICON,
                   .region = 1,
                   .icon = {.on = 0.8, .off = 0.7}},
        [BADGE] = {.name = "badge",
                   .kind = SIGNAL_ICON,
                   .region = -1,
                   .icon = {.on = 0.5, .off = 0.5}},
        [SCREEN] = {.name = "screen",
                    .kind = SIGNAL_SCREEN,
                    .region = -1,
                    .screen = {.unknown_below = 0.6, .margin = 0.1}},
        [CLASS] = {.name = "class",
                   .kind = SIGNAL_CLASS,
                   .region = -1,
                   .object = {.min_score = 0.5}},
        [UNSAFE] = {.name = "unsafe",
                    .kind = SIGNAL_OBJECT,
                    .region = -1,
                    .object = {.nlabel = 2, .label = labels, .min_score = 0.5}},
        [ACTIVITY] = {.name = "activity",
                      .kind = SIGNAL_MOTION,
                      .region = 1,
                      .motion = {.threshold = 12, .min_area = 0.01}},
        [PLAYER] = {.name = "player",
                    .kind = SIGNAL_POSITION,
                    .region = -1,
                    .position = {.on = 0.6, .narea = 2, .area = areas}},
        [VOICE] = {.name = "voice",
                   .kind = SIGNAL_AUDIO,
                   .region = -1,
                   .audio = {.on = 0.5, .off = 0.35, .min_on = 250000, .min_off = 100000}},
        [TEMPERATURE] = {.name = "temperature",
                         .kind = SIGNAL_TEXT,
                         .region = -1,
                         .text = text_by_hand(TEXT_LINE, TEXT_FLOAT)},
    };
    return arena_dup(a, made, sizeof made);
}

/* Sizes and names as in a typical file; fps 2, gap 2 s. The arrays may be written to. */
static inline Watch *watch_by_hand(Context *ctx)
{
    static const Region region[] = {{"alive", {1180, 196, 60, 26}}, {"feed", {20, 420, 420, 160}}};
    Watch *const w = arena_new_of(ctx->arena, Watch);
    *w = (Watch){
        .name = "royale",
        .path = "royale.yaml",
        .dir = ".",
        .width = 1280,
        .height = 720,
        .fps = 2,
        .max_fps = 10,
        .gap = 2000000,
        .nregion = 2,
        .region = region,
        .nsignal = BY_HAND_SIGNALS,
        .signal = signals_by_hand(ctx->arena),
        .event = arena_array_of(ctx->arena, BY_HAND_EVENTS, EventRule),
    };
    return w;
}

static inline Signal *signal_of(const Watch *w, int k) { return (Signal *)&w->signal[k]; }

static inline void set_pattern(Context *ctx, Signal *s, const char *pattern)
{
    const char *why;
    size_t where;
    s->text.parse = pattern;
    s->text.pattern = pattern_compile(ctx->arena, pattern, &why, &where);
}

/* A name alone, for rules that come before its own. */
static inline EventRule *name_event(Watch *w, const char *name)
{
    EventRule *const e = (EventRule *)&w->event[w->nevent++];
    *e = (EventRule){.name = name, .each = -1, .confirm = {1, 1}, .release = {1, 1}};
    return e;
}

static inline const Rule *rule_by_hand(Context *ctx, const Watch *w, const char *text, int each)
{
    return rule_parse_condition(ctx, w, "royale.yaml", (Place){1, 1}, text, each);
}

static inline EventRule *add_event(Context *ctx, Watch *w, const char *name, const char *when)
{
    EventRule *const e = name_event(w, name);
    e->when = rule_by_hand(ctx, w, when, -1);
    return e;
}

static inline void add_data(Context *ctx, const Watch *w, EventRule *e, const char *text)
{
    const Rule **const all = arena_array_of(ctx->arena, e->ndata + 1, const Rule *);
    for (int i = 0; i < e->ndata; i++)
        all[i] = e->data[i];
    all[e->ndata] = rule_parse(ctx, w, "royale.yaml", (Place){1, 1}, text, e->each);
    e->data = all;
    e->ndata++;
}

#endif
