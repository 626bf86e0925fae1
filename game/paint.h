/* What the game is painted with beside vision/draw.h: sprites with transparency, shapes with smooth
 * edges, panels that let the picture shine through. */
#ifndef LATHE_GAME_PAINT_H
#define LATHE_GAME_PAINT_H

#include "base/map.h"
#include "base/vec.h"
#include "vision/draw.h"

typedef struct Sprite {
    int width, height;
    int left, top; /* of its origin: (0, 0) for icons, the baseline's left end for text */
    uint8_t *rgba; /* (height, width, 4), colour not multiplied by alpha */
} Sprite;

/* Origin at (x, y). */
void paint_sprite(Picture *p, const Sprite *s, int x, int y, float opacity);
void paint_panel(Picture *p, float x, float y, float width, float height, Colour c, float opacity);
void paint_all(Picture *p, Colour c, float opacity); /* the whole picture towards a colour */
int paint_write_png(const char *path, const Sprite *s, Error *e); /* with alpha */

/* A shape in a square of side 1; later ones lie over earlier ones. */
typedef enum ShapeKind { SHAPE_END, SHAPE_DISC, SHAPE_POLYGON } ShapeKind;
#define SHAPE_POINTS 12
typedef struct Shape {
    ShapeKind kind;
    Colour colour;
    float radius;  /* of a disc around point[0] */
    int npoint;
    Point point[SHAPE_POINTS];
} Shape;

/* A list that ends with SHAPE_END, turned clockwise around the middle. */
Sprite *paint_shapes(Arena *a, const Shape *shape, int size, float degrees);

/* Text as sprites, each made once. */
typedef struct Type {
    Arena *arena;
    StrMap made;
    VEC(const Sprite *) sprite;
} Type;

Type type_new(Arena *a);
/* `name` tells fonts apart. With a dark edge of a twelfth of its size, as games draw it, so that it
 * reads on any background. */
const Sprite *type_set(Type *t, const char *name, Font *f, float size, Colour c, const char *text);

#endif
