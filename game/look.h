/* How one game looks: where the parts of its HUD stand, in which fonts and colours. Drawn by dice
 * from a seed, so that other seeds are games that nobody has seen.
 *
 * All places are reference pixels, of 1280 x 720. */
#ifndef LATHE_GAME_LOOK_H
#define LATHE_GAME_LOOK_H

#include "vision/draw.h"

#define LOOK_WIDTH 1280
#define LOOK_HEIGHT 720
#define LOOK_LAYOUTS 4

typedef struct Rect {
    float x, y, width, height;
} Rect;

/* Parts of the HUD that a watch looks at. */
typedef enum Cell {
    CELL_SCORE,
    CELL_CLOCK,
    CELL_ALIVE,
    CELL_FEED,
    CELL_STATES,
    CELL_MAP,
    CELL_BAND,
    CELL_COUNT
} Cell;
extern const char *const cell_name[CELL_COUNT];

typedef struct Face {
    const char *name; /* file below the folder of fonts */
    Font *font;
} Face;

typedef struct Look {
    int layout;
    Rect cell[CELL_COUNT];  /* text: of the number alone, with a margin */
    bool label_below;         /* of numbers: their label stands below, else above */
    Face title, hud, feed;
    float digits;             /* size of the numbers */
    float line;               /* height of a line of the feed */
    float icon;               /* side of an icon in the row of states */
    Colour text, accent, panel, sky, ground;
    float panel_opacity;
    int shield_slot;          /* in the row of states, 0 to 3; the badge stands beside it */
    const char *alive_label, *score_label, *victory, *defeat;
} Look;

/* layout -1 and font NULL: as the dice fall. `font`: of all texts, a file or a name such as
 * "DejaVuSans-Bold". ERR_IO: there is no such font. */
int look_new(Arena *a, uint64_t seed, int layout, const char *font, Look *out, Error *e);

#endif
