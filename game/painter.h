/* Paints the frames of a script.
 *
 *     scene -> screen (screens.c), or background and HUD (hud.c) -> covers, light, flash -> picture
 *
 * Places are reference pixels, of 1280 x 720; the picture may have any size of that shape. */
#ifndef LATHE_GAME_PAINTER_H
#define LATHE_GAME_PAINTER_H

#include "game/backdrop.h"
#include "game/icons.h"
#include "game/paint.h"
#include "game/scene.h"

#define PAINTER_TURNS 120 /* directions that the arrow has */

typedef struct Painter {
    Arena *arena;
    const Look *look;
    const Script *script;
    int width, height;
    float scale;                    /* picture pixels to a reference pixel */
    uint64_t seed;
    Type type;
    Backdrop *backdrop;
    Picture *screen[SCREEN_COUNT];  /* without what moves; NULL for the play */
    Picture *map;
    const Sprite *state[STATE_COUNT], *skull, *mask, *figure;
    const Sprite *arrow[PAINTER_TURNS];
} Painter;

Painter *painter_new(Arena *a, uint64_t seed, const Look *look, const Script *script, int width,
                     int height);
/* `behind`: a picture of the painter's size, in place of the game's own background; NULL. */
void painter_draw(Painter *p, const Scene *s, const Picture *behind, Picture *out);

/* Sizes of icons, in reference pixels. */
int painter_feed_icon(const Look *l);
#define PAINTER_ARROW 24

/* What screens.c and hud.c share. */
typedef enum Align { ALIGN_LEFT, ALIGN_CENTRE, ALIGN_RIGHT } Align;
/* (x, y): on the baseline. Returns the width, in reference pixels. */
float paint_text(Painter *p, Picture *out, const Face *face, float size, Colour c, float x, float y,
                 Align align, float opacity, const char *text);
void paint_rect(const Painter *p, Picture *out, Rect r, Colour c, float opacity);
/* top left */
void paint_icon(const Painter *p, Picture *out, const Sprite *s, float x, float y, float opacity);
Sprite *painter_icon(const Painter *p, Icon icon, float size, float degrees);

void screens_new(Painter *p);                                         /* sets screen[] */
void screens_move(Painter *p, const Scene *s, Picture *out);          /* what moves on them */
void hud_new(Painter *p);                                             /* sets map and icons */
void hud_draw(Painter *p, const Scene *s, Picture *out);
/* figures and texts in the world behind it */
void hud_world(Painter *p, const Scene *s, Picture *out);

#endif
