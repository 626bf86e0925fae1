/* Pictures with known text: several fonts, sizes, colours, one line turned. See demo_pictures.h. */
#include "tools/demo_pictures.h"

#include <math.h>

#define FONTS "/usr/share/fonts/truetype/"
#define SANS "dejavu/DejaVuSans.ttf"
#define BOLD "dejavu/DejaVuSans-Bold.ttf"
#define MONO "dejavu/DejaVuSansMono.ttf"
#define SERIF "liberation/LiberationSerif-Regular.ttf"
#define ARIAL "liberation/LiberationSans-Regular.ttf"

static const DemoLine sign[] = {
    {BOLD, 44, {40, 80}, 0, {20, 40, 120}, "OPEN DAILY"},
    {SERIF, 34, {40, 150}, 0, {0, 0, 0}, "Coffee and fresh bread"},
    {ARIAL, 26, {40, 210}, 0, {120, 20, 20}, "Monday to Friday 7:30-18:00"},
    {MONO, 22, {40, 265}, 0, {60, 60, 60}, "Tel. 0171 2345678"},
    {SANS, 28, {330, 420}, 12, {0, 100, 40}, "Second cup free"},
};

static const DemoLine screen[] = {
    {MONO, 20, {24, 44}, 0, {90, 220, 110}, "status: ready"},
    {MONO, 20, {24, 84}, 0, {220, 220, 220}, "build finished in 41 seconds"},
    {BOLD, 56, {24, 180}, 0, {255, 200, 40}, "SCORE 1987"},
    {SANS, 30, {24, 250}, 0, {255, 255, 255}, "Player two wins the round"},
    {ARIAL, 18, {24, 300}, 0, {150, 190, 255}, "Press any key to continue"},
};

static const DemoLine receipt[] = {
    {SERIF, 40, {60, 70}, 0, {20, 20, 20}, "RECEIPT"},
    {MONO, 24, {60, 130}, 0, {20, 20, 20}, "Tomatoes"},
    {MONO, 24, {380, 130}, 0, {20, 20, 20}, "3.49"},
    {MONO, 24, {60, 180}, 0, {20, 20, 20}, "Olive oil"},
    {MONO, 24, {380, 180}, 0, {20, 20, 20}, "12.80"},
    {BOLD, 28, {60, 250}, 0, {20, 20, 20}, "TOTAL"},
    {BOLD, 28, {380, 250}, 0, {20, 20, 20}, "16.29"},
    {SERIF, 26, {60, 320}, 0, {90, 90, 90}, "Thank you for your visit"},
};

#define COUNT(x) (int)(sizeof(x) / sizeof *(x))

const DemoPicture demo_picture[] = {
    {"sign", 640, 448, {250, 245, 230}, COUNT(sign), sign},
    {"screen", 640, 352, {18, 22, 34}, COUNT(screen), screen},
    {"receipt", 544, 384, {255, 255, 255}, COUNT(receipt), receipt},
};
const int demo_picture_count = COUNT(demo_picture);

int demo_draw(Arena *a, const DemoPicture *d, Picture **out, Error *e)
{
    Picture *const p = picture_new(a, d->width, d->height);
    draw_fill(p, d->paper);
    for (int i = 0; i < d->nline; i++) {
        const DemoLine *const l = &d->line[i];
        Font *font = NULL;
        const int code = font_open(a, arena_printf(a, "%s%s", FONTS, l->font), &font, e);
        if (code != 0)
            return code;
        draw_text(p, font, l->size, l->at, l->degrees, l->colour, l->text);
    }
    *out = p;
    return 0;
}

const char *demo_truth(const DemoPicture *d, const Quad *box)
{
    /* The left end of the text's middle: capitals are about 0.7 of the size high. */
    const Point *const c = box->corner;
    const Point left = {(c[0].x + c[3].x) / 2, (c[0].y + c[3].y) / 2};
    const char *best = NULL;
    float nearest = INFINITY;
    for (int i = 0; i < d->nline; i++) {
        const DemoLine *const l = &d->line[i];
        const float distance =
            hypotf(left.x - l->at.x, left.y - (l->at.y - 0.35f * l->size)) / l->size;
        if (distance < nearest && distance < 1.5f) {
            nearest = distance;
            best = l->text;
        }
    }
    return best;
}
