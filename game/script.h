/* The script of a match: what happens, frame by frame, before anything is painted.
 *
 *     menu - lobby - play - victory or defeat       (again, in longer videos)
 *
 * Everything is told in frames of the video, from 0; a span is [from, to). What is to be seen at a
 * frame is said by scene_at (scene.h); what may be said of it, by truth.h.
 *
 * The script keeps to a law, so that its events can be told from samples taken twice a second:
 * what changes stays for SCRIPT_DWELL seconds at least, but for what is meant to be missed:
 * glitches, black and white frames, covers. */
#ifndef LATHE_GAME_SCRIPT_H
#define LATHE_GAME_SCRIPT_H

#include "base/vec.h"
#include "game/look.h"

#define SCRIPT_DWELL 1.3   /* seconds that a value, an icon or its absence lasts at least */
/* seconds that a line of the feed stays, the last SCRIPT_FADE of them fading */
#define SCRIPT_FEED 2.8
#define SCRIPT_FADE 0.5
#define SCRIPT_MAP 200     /* side of the map, in its own coordinates */
#define SCRIPT_AREAS 5
#define SCRIPT_LINES 4     /* of the feed that are seen at once */

typedef struct Span {
    int from, to;
} Span;

typedef enum Screen {
    SCREEN_MENU,
    SCREEN_LOBBY,
    SCREEN_PLAY,
    SCREEN_VICTORY,
    SCREEN_DEFEAT,
    SCREEN_COUNT
} Screen;
extern const char *const screen_name[SCREEN_COUNT];

/* How a screen follows upon the one before. */
typedef enum Cross { CROSS_CUT, CROSS_FADE, CROSS_BLACK, CROSS_WHITE, CROSS_COUNT } Cross;
typedef struct Act {
    Screen screen;
    Span at;
    Cross cross;
    int length; /* frames of the crossing: of a fade on either side, else at the start of the act */
} Act;

typedef struct Step { /* from `frame` on the value is `value` */
    int frame, value;
} Step;

typedef enum LineKind { LINE_KILL, LINE_REVIVE, LINE_TEXT } LineKind;
typedef struct FeedLine {
    LineKind kind;
    Span at;
    const char *left, *right; /* of the icon; LINE_TEXT has left alone */
} FeedLine;

typedef enum State { STATE_SHIELD, STATE_BADGE, STATE_HEALTH, STATE_AMMO, STATE_COUNT } State;
typedef struct StateSpan {
    State state;
    Span at;
} StateSpan;

typedef struct Cover { /* a panel over a part of the HUD */
    Cell cell;
    Span at;
} Cover;

typedef enum GlitchKind {
    GLITCH_ALIVE,
    GLITCH_SCORE,
    GLITCH_SHIELD,
    GLITCH_SCREEN,
    GLITCH_COUNT
} GlitchKind;
typedef struct Glitch { /* one frame that shows what is not so */
    GlitchKind kind;
    int frame, value; /* value: the number, or the screen */
} Glitch;

typedef struct Blink { /* the whole picture white or black */
    bool white;
    Span at;
} Blink;

typedef struct Area { /* of the map: four corners, clockwise */
    const char *name;
    Point corner[4];
} Area;

typedef struct Waypoint {
    int frame;
    Point at;
} Waypoint;

typedef struct Script {
    double fps;
    int nframe;
    int clock; /* seconds on the clock when a match begins; it counts down */
    Area area[SCRIPT_AREAS];
    VEC(Act) act; /* in order, each beginning where the one before ends */
    VEC(Step) alive, score;
    VEC(FeedLine) feed;
    VEC(StateSpan) state;
    VEC(Cover) cover;
    VEC(Glitch) glitch;
    VEC(Blink) blink;
    VEC(Waypoint) way;
} Script;

/* fps over 0, seconds at least 1. */
const Script *script_new(Arena *a, uint64_t seed, double fps, double seconds);

#endif
