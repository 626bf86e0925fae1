/* Writes the script of the matches: see script.h. Each part keeps clear of the others where the law
 * asks for it: parts made earlier are known to later ones. */
#include "game/script.h"

#include <math.h>

#include "game/dice.h"
#include "game/path.h"

const char *const screen_name[SCREEN_COUNT] = {"menu", "lobby", "play", "victory", "defeat"};

#define MATCH 36.0 /* seconds of a match in a long video */
#define EDGE 1.5   /* seconds at either end of the play in which nothing happens */

typedef struct Writer {
    Arena *arena;
    Script *s;
    Dice dice;
    Span play; /* of the match being written */
} Writer;

static int frames(const Script *s, double seconds)
{
    return (int)lrint(seconds * s->fps);
}

/* A frame is at least SCRIPT_DWELL away from a span. */
static bool clear_of(const Script *s, int frame, Span span)
{
    const int dwell = frames(s, SCRIPT_DWELL);
    return frame <= span.from - dwell || frame >= span.to + dwell;
}

/* ---- screens ---- */

static void add_act(Writer *w, Screen screen, int from, int to)
{
    Act act = {.screen = screen, .at = {from, to}};
    if (from > 0) {
        act.cross = (Cross)dice_int(&w->dice, 0, CROSS_COUNT - 1);
        const double seconds = act.cross == CROSS_FADE ? 0.2 : act.cross == CROSS_BLACK ? 0.2 : 0.1;
        act.length = act.cross == CROSS_CUT ? 0 : frames(w->s, seconds) + 1;
    }
    vec_push(w->arena, &w->s->act, act);
}

static double within(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

/* Screens of the match in [from, to); most matches are won. */
static void write_acts(Writer *w, int from, int to)
{
    const double seconds = (to - from) / w->s->fps;
    const int menu = frames(w->s, within(seconds * 0.07, 0.2, 2.4) * dice_real(&w->dice, 0.8, 1.2));
    const int lobby = frames(w->s, within(seconds * 0.08, 0.2, 3) * dice_real(&w->dice, 0.8, 1.2));
    const int last = frames(w->s, within(seconds * 0.12, 0.2, 4) * dice_real(&w->dice, 0.8, 1.2));
    w->play = (Span){from + menu + lobby, to - last};
    add_act(w, SCREEN_MENU, from, from + menu);
    add_act(w, SCREEN_LOBBY, from + menu, w->play.from);
    add_act(w, SCREEN_PLAY, w->play.from, w->play.to);
    add_act(w, dice_chance(&w->dice, 0.75) ? SCREEN_VICTORY : SCREEN_DEFEAT, w->play.to, to);
}

/* ---- numbers ---- */

/* Frames in the play at which a number changes: one in each of n equal slots, SCRIPT_DWELL apart.
 * Returns n, 0 in a play that is too short. */
static int change_frames(Writer *w, double slot, int most, int *frame)
{
    const int dwell = frames(w->s, SCRIPT_DWELL);
    const int from = w->play.from + frames(w->s, EDGE),
              usable = w->play.to - frames(w->s, EDGE) - from;
    int n = usable / frames(w->s, slot);
    n = n < 0 ? 0 : n > most ? most : n;
    for (int i = 0; i < n; i++) {
        const int begin = from + (int)((int64_t)usable * i / n), room = usable / n - dwell;
        frame[i] = begin + dice_int(&w->dice, 0, room > 0 ? room - 1 : 0);
    }
    return n;
}

#define MOST_CHANGES 64

/* From 100 down to 1 in a match that is won, else to where the player fell. The curve is steep
 * first, so that the last ten take their time. */
static void write_alive(Writer *w)
{
    int frame[MOST_CHANGES];
    const bool won = vec_last(&w->s->act).screen == SCREEN_VICTORY;
    const int n = change_frames(w, SCRIPT_DWELL * 1.15, MOST_CHANGES, frame);
    const int last = won ? 1 : dice_int(&w->dice, 3, 24);
    vec_push(w->arena, &w->s->alive, ((Step){w->play.from, 100}));
    int value = 100;
    for (int i = 0; i < n; i++) {
        const double left = 1 - (i + 1.0) / n;
        const int ideal =
            last + (int)lrint((100 - last) * pow(left, 2.2) * dice_real(&w->dice, 0.9, 1.1));
        const int least = last + n - 1 - i; /* one for each change to come */
        value = ideal >= value ? value - 1 : ideal;
        value = value < least ? least : value;
        vec_push(w->arena, &w->s->alive, ((Step){frame[i], value}));
    }
}

static void write_score(Writer *w)
{
    int frame[MOST_CHANGES];
    const int n =
        change_frames(w, SCRIPT_DWELL * dice_real(&w->dice, 1.3, 2.2), MOST_CHANGES, frame);
    const int unit = dice_chance(&w->dice, 0.5) ? 10 : 5;
    int value = 0;
    vec_push(w->arena, &w->s->score, ((Step){w->play.from, value}));
    for (int i = 0; i < n; i++) {
        value += unit * dice_int(&w->dice, 1, 24);
        vec_push(w->arena, &w->s->score, ((Step){frame[i], value}));
    }
}

/* ---- feed ---- */

static const char *const nick[] = {"Kestrel", "Moss",    "Onyx77",  "Rook", "lumen",   "Vega",
                                   "Tarn",    "Bramble", "Zephyr9", "Pike", "Saffron", "Wren",
                                   "Cobalt",  "Juno",    "Flint",   "Dune", "Marlow",  "Quill"};
static const char *const saying[] = {"Storm closes in 0:45", "Supply drop ahead",
                                     "Juno joined the squad", "Match point", "Tarn left the match"};
#define COUNT(x) (int)(sizeof(x) / sizeof *(x))
#define PICK(d, list) (list)[dice_int(d, 0, COUNT(list) - 1)]

static void add_line(Writer *w, LineKind kind, int from)
{
    int to = from + frames(w->s, SCRIPT_FEED);
    to = to > w->play.to ? w->play.to : to;
    const int who = dice_int(&w->dice, 0, COUNT(nick) - 1);
    const int whom = (who + dice_int(&w->dice, 1, COUNT(nick) - 1)) % COUNT(nick);
    const FeedLine line = {.kind = kind, .at = {from, to},
                           .left = kind == LINE_TEXT ? PICK(&w->dice, saying) : nick[who],
                           .right = kind == LINE_TEXT ? NULL : nick[whom]};
    vec_push(w->arena, &w->s->feed, line);
}

/* Kills come in bursts of one or two, whose skulls are away for SCRIPT_DWELL between; other lines
 * between them. Lines are in the order of their time. */
static void write_feed(Writer *w)
{
    const int stop = w->play.to - frames(w->s, EDGE), life = frames(w->s, SCRIPT_FEED);
    int at = w->play.from + frames(w->s, 1);
    while (at < stop) {
        add_line(w, LINE_KILL, at);
        int last = at;
        if (dice_chance(&w->dice, 0.4)) {
            last += frames(w->s, dice_real(&w->dice, 0.3, 0.9));
            add_line(w, LINE_KILL, last);
        }
        const int next = last + life + frames(w->s, SCRIPT_DWELL + dice_real(&w->dice, 0.2, 1.5));
        const int other = last + dice_int(&w->dice, frames(w->s, 0.5), next - last - 1);
        if (other < stop)
            add_line(w, dice_chance(&w->dice, 0.6) ? LINE_REVIVE : LINE_TEXT, other);
        at = next;
    }
}

/* ---- states ---- */

/* On and off in turn, each for SCRIPT_DWELL at least; may be on when the play ends. */
static void write_state(Writer *w, State state, double on, double off)
{
    const Script *const s = w->s;
    int at = w->play.from + frames(s, SCRIPT_DWELL * dice_real(&w->dice, 1, 2));
    while (at < w->play.to - frames(s, SCRIPT_DWELL)) {
        int to = at + frames(s, SCRIPT_DWELL + dice_real(&w->dice, 0.2, on));
        if (to > w->play.to - frames(s, SCRIPT_DWELL))
            to = w->play.to;
        vec_push(w->arena, &w->s->state, ((StateSpan){state, {at, to}}));
        at = to + frames(s, SCRIPT_DWELL + dice_real(&w->dice, 0.2, off));
    }
}

/* ---- what disturbs ---- */

static bool steps_clear(const Script *s, const Step *step, int n, Span span)
{
    for (int i = 0; i < n; i++) {
        if (!clear_of(s, step[i].frame, span))
            return false;
    }
    return true;
}

static bool shield_clear(const Script *s, Span span)
{
    for (int i = 0; i < s->state.len; i++) {
        if (s->state.at[i].state != STATE_SHIELD)
            continue;
        if (!clear_of(s, s->state.at[i].at.from, span) || !clear_of(s, s->state.at[i].at.to, span))
            return false;
    }
    return true;
}

static bool spans_apart(const Script *s, Span a, Span b)
{
    return clear_of(s, a.from, b) && clear_of(s, a.to - 1, b) && clear_of(s, b.from, a);
}

static bool covers_apart(const Script *s, Span span)
{
    for (int i = 0; i < s->cover.len; i++) {
        if (!spans_apart(s, span, s->cover.at[i].at))
            return false;
    }
    return true;
}

/* A number may change once under its cover: it is seen when the cover goes. */
static bool hidden_once(const Script *s, const Step *step, int n, Span span)
{
    int hidden = 0;
    for (int i = 0; i < n; i++) {
        const bool under = step[i].frame > span.from && step[i].frame < span.to;
        hidden += under;
        if (!under && !clear_of(s, step[i].frame, span))
            return false;
    }
    return hidden <= 1;
}

static bool cover_fits(const Script *s, Cell cell, Span span)
{
    if (!covers_apart(s, span))
        return false;
    switch (cell) {
    case CELL_ALIVE: return hidden_once(s, s->alive.at, s->alive.len, span);
    case CELL_SCORE: return hidden_once(s, s->score.at, s->score.len, span);
    case CELL_STATES: return shield_clear(s, span);
    default: return true;
    }
}

static int frame_in_play(Writer *w)
{
    const int edge = frames(w->s, EDGE);
    return dice_int(&w->dice, w->play.from + edge, w->play.to - edge - 1);
}

#define TRIES 40 /* to find a place; a match that has none goes without */

/* An icon behind a cover is not to be told from one that is gone, but by how long it is away: half
 * as long at most. */
static void write_covers(Writer *w)
{
    static const Cell choice[] = {CELL_ALIVE, CELL_SCORE, CELL_STATES, CELL_CLOCK};
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < TRIES; k++) {
            const Cell cell = PICK(&w->dice, choice);
            const int from = frame_in_play(w);
            const double longest = cell == CELL_STATES ? 0.5 * SCRIPT_DWELL : 0.9;
            const Span at = {from, from + frames(w->s, dice_real(&w->dice, 0.4, longest))};
            if (at.to < w->play.to - frames(w->s, EDGE) && cover_fits(w->s, cell, at)) {
                vec_push(w->arena, &w->s->cover, ((Cover){cell, at}));
                break;
            }
        }
    }
}

static bool glitch_fits(const Script *s, GlitchKind kind, Span at)
{
    if (!covers_apart(s, at))
        return false;
    for (int i = 0; i < s->glitch.len; i++) {
        if (!clear_of(s, s->glitch.at[i].frame, at))
            return false;
    }
    switch (kind) {
    case GLITCH_ALIVE: return steps_clear(s, s->alive.at, s->alive.len, at);
    case GLITCH_SCORE: return steps_clear(s, s->score.at, s->score.len, at);
    case GLITCH_SHIELD: return shield_clear(s, at);
    default: return true;
    }
}

static int glitch_value(Writer *w, GlitchKind kind)
{
    switch (kind) {
    case GLITCH_ALIVE: return dice_int(&w->dice, 1, 99);
    case GLITCH_SCORE: return dice_int(&w->dice, 1, 999);
    case GLITCH_SCREEN: return dice_chance(&w->dice, 0.5) ? SCREEN_VICTORY : SCREEN_LOBBY;
    default: return 0;
    }
}

static void write_glitches(Writer *w)
{
    for (int i = 0; i < GLITCH_COUNT + 1; i++) {
        const GlitchKind kind = (GlitchKind)(i % GLITCH_COUNT);
        for (int k = 0; k < TRIES; k++) {
            const int frame = frame_in_play(w);
            if (glitch_fits(w->s, kind, (Span){frame, frame + 1})) {
                vec_push(w->arena, &w->s->glitch, ((Glitch){kind, frame, glitch_value(w, kind)}));
                break;
            }
        }
    }
}

static void write_blinks(Writer *w)
{
    for (int i = 0; i < 3; i++) {
        const bool white = dice_chance(&w->dice, 0.5);
        const int from = frame_in_play(w), n = dice_int(&w->dice, 1, white ? 2 : 3);
        vec_push(w->arena, &w->s->blink, ((Blink){white, {from, from + n}}));
    }
}

const Script *script_new(Arena *a, uint64_t seed, double fps, double seconds)
{
    Script *const s = arena_new_of(a, Script);
    s->fps = fps;
    s->nframe = frames(s, seconds);
    Writer w = {.arena = a, .s = s, .dice = dice_new(seed, "script")};
    s->clock = dice_int(&w.dice, 95, 900);
    path_areas(seed, s->area);
    const int matches = seconds < 1.5 * MATCH ? 1 : (int)lrint(seconds / MATCH);
    for (int m = 0; m < matches; m++) {
        write_acts(&w, (int)((int64_t)s->nframe * m / matches),
                   (int)((int64_t)s->nframe * (m + 1) / matches));
        write_alive(&w);
        write_score(&w);
        write_feed(&w);
        write_state(&w, STATE_SHIELD, 3.0, 2.0);
        write_state(&w, STATE_BADGE, 2.5, 2.5);
        write_state(&w, STATE_AMMO, 4.0, 1.0);
        vec_push(a, &s->state, ((StateSpan){STATE_HEALTH, w.play}));
        if (w.play.to - w.play.from > 4 * frames(s, EDGE)) {
            write_covers(&w);
            write_glitches(&w);
            write_blinks(&w);
        }
        path_write(a, s, seed + (uint64_t)m, w.play);
    }
    return s;
}
