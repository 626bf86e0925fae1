/* Pictures with known text, for `lathe read --demo`. */
#ifndef LATHE_TOOLS_DEMO_PICTURES_H
#define LATHE_TOOLS_DEMO_PICTURES_H

#include "vision/draw.h"

typedef struct DemoLine {
    const char *font; /* file below the fonts' folder */
    float size;       /* pixels an em */
    Point at;         /* left end of the baseline */
    float degrees;    /* counter-clockwise */
    Colour colour;
    const char *text;
} DemoLine;

typedef struct DemoPicture {
    const char *name;
    int width, height;
    Colour paper;
    int nline;
    const DemoLine *line;
} DemoPicture;

extern const DemoPicture demo_picture[];
extern const int demo_picture_count;

int demo_draw(Arena *a, const DemoPicture *d, Picture **out, Error *e);
/* The text that was drawn where this box is; NULL: none. */
const char *demo_truth(const DemoPicture *d, const Quad *box);

#endif
