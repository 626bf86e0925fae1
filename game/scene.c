/* From script to frame: see scene.h. */
#include "game/scene.h"

#include <math.h>

#include "game/path.h"

static bool holds(Span s, int frame)
{
    return frame >= s.from && frame < s.to;
}

static int value_at(const Step *step, int n, int frame)
{
    int value = 0;
    for (int i = 0; i < n && step[i].frame <= frame; i++)
        value = step[i].value;
    return value;
}

/* Light and flash of crossings: of a fade on both sides of the border, else at the start of the
 * act. */
static void cross(const Script *s, Scene *out)
{
    const Act *const now = &s->act.at[out->act];
    const int in = out->frame - now->at.from;
    switch (now->cross) {
    case CROSS_FADE:
        if (in < now->length)
            out->light = ((float)in + 0.5f) / (float)now->length;
        break;
    case CROSS_BLACK:
        if (in < now->length)
            out->light = 0;
        break;
    case CROSS_WHITE:
        if (in < now->length)
            out->white = in * 2 < now->length ? 1 : 0.5f;
        break;
    default: break;
    }
    if (out->act + 1 < s->act.len && s->act.at[out->act + 1].cross == CROSS_FADE) {
        const int left = now->at.to - out->frame, length = s->act.at[out->act + 1].length;
        if (left <= length)
            out->light = ((float)left - 0.5f) / (float)length;
    }
}

static void disturb(const Script *s, Scene *out)
{
    for (int i = 0; i < s->cover.len; i++) {
        if (holds(s->cover.at[i].at, out->frame))
            out->covered[s->cover.at[i].cell] = true;
    }
    for (int i = 0; i < s->blink.len; i++) {
        if (!holds(s->blink.at[i].at, out->frame))
            continue;
        if (s->blink.at[i].white)
            out->white = 1;
        else
            out->light = 0;
    }
    for (int i = 0; i < s->glitch.len; i++) {
        const Glitch *const g = &s->glitch.at[i];
        if (g->frame != out->frame)
            continue;
        switch (g->kind) {
        case GLITCH_ALIVE: out->alive = g->value; out->glitch_alive = true; break;
        case GLITCH_SCORE: out->score = g->value; out->glitch_score = true; break;
        case GLITCH_SHIELD:
            out->state[STATE_SHIELD] = !out->state[STATE_SHIELD];
            out->glitch_shield = true;
            break;
        case GLITCH_SCREEN: out->screen = (Screen)g->value; out->glitch_screen = true; break;
        case GLITCH_COUNT: break;
        }
    }
}

Scene scene_at(const Script *s, int frame)
{
    Scene out = {.frame = frame, .t = frame / s->fps, .light = 1};
    while (out.act + 1 < s->act.len && frame >= s->act.at[out.act].at.to)
        out.act++;
    const Act *const act = &s->act.at[out.act];
    out.screen = act->screen;
    out.since = (frame - act->at.from) / s->fps;
    cross(s, &out);
    if (act->screen != SCREEN_PLAY)
        return out;
    out.alive = value_at(s->alive.at, s->alive.len, frame);
    out.score = value_at(s->score.at, s->score.len, frame);
    out.clock = s->clock - (int)floor(out.since);
    out.clock = out.clock < 0 ? 0 : out.clock;
    for (int i = 0; i < s->state.len; i++) {
        if (holds(s->state.at[i].at, frame))
            out.state[s->state.at[i].state] = true;
    }
    out.player = path_at(s, frame, &out.turn);
    disturb(s, &out);
    return out;
}

#define SLIDE 5.0f   /* frames in which lines make room for a new one */
#define APPEAR 3.0f  /* frames in which it comes */

FeedPlace scene_feed(const Script *s, int line, int frame)
{
    const FeedLine *const l = &s->feed.at[line];
    FeedPlace p = {0, 0};
    if (!holds(l->at, frame))
        return p;
    for (int i = 0; i < s->feed.len; i++) {
        const int age = frame - s->feed.at[i].at.from;
        if (s->feed.at[i].at.from > l->at.from && age >= 0)
            p.up += fminf(1, ((float)age + 1) / SLIDE);
    }
    if (p.up > SCRIPT_LINES - 1)
        return p;
    const float in = ((float)(frame - l->at.from) + 1) / APPEAR;
    const float out = (float)((l->at.from - frame) / s->fps + SCRIPT_FEED) / (float)SCRIPT_FADE;
    p.opacity = fminf(1, fminf(in, fmaxf(out, 0)));
    return p;
}
