/* Drawing on pictures: lines, outlines, text. What lies outside the picture is cut off. */
#ifndef LATHE_VISION_DRAW_H
#define LATHE_VISION_DRAW_H

#include "vision/picture.h"

typedef struct Colour {
    uint8_t r, g, b;
} Colour;

void draw_fill(Picture *p, Colour c);
void draw_rectangle(Picture *p, int x, int y, int width, int height, Colour c); /* filled */
void draw_line(Picture *p, Point from, Point to, int thickness, Colour c);
void draw_quad(Picture *p, const Quad *q, int thickness, Colour c); /* outline */

typedef struct Font Font;

/* A TrueType or OpenType file; closed when the arena is freed. */
int font_open(Arena *a, const char *path, Font **out, Error *e);
/* UTF-8, the baseline's left end at (x, y), turned counter-clockwise by `degrees`. Characters that
 * the font lacks are drawn as its box. Returns the length of the baseline in pixels. */
float draw_text(Picture *p, Font *f, float size, Point at, float degrees, Colour c,
                const char *text);
float font_text_width(Font *f, float size, const char *text);

/* The next character of UTF-8 text; moves *text on. Malformed bytes give U+FFFD. 0 at the end. */
uint32_t utf8_next(const char **text);

#endif
