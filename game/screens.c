/* The screens beside the play: menu, lobby, victory, defeat. Each has a band of its own at the
 * bottom, by which a watch tells them apart; no number stands where the HUD of the play has one. */
#include <math.h>
#include <stdio.h>

#include "game/painter.h"

static const Colour white = {245, 245, 245}, black = {12, 12, 16};

static uint8_t blend(int from, int to, float t)
{
    const float v = (float)from + t * (float)(to - from);
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* From one colour at the top to another at the bottom, with cloud in it. */
static Picture *paper(const Painter *p, Colour top, Colour bottom, uint32_t seed)
{
    Picture *const out = picture_new(p->arena, p->width, p->height);
    for (int y = 0; y < p->height; y++) {
        for (int x = 0; x < p->width; x++) {
            const float grain = 120 * p->scale;
            const float n =
                backdrop_noise((float)x / grain, (float)y / grain, 1 << 10, seed) - 0.5f;
            const float t = (float)y / (float)p->height + 0.5f * n;
            uint8_t *const to = out->rgb + ((size_t)y * (size_t)p->width + (size_t)x) * 3;
            to[0] = blend(top.r, bottom.r, t);
            to[1] = blend(top.g, bottom.g, t);
            to[2] = blend(top.b, bottom.b, t);
        }
    }
    return out;
}

static Rect part(const Rect *r, float x0, float y0, float x1, float y1)
{
    return (Rect){r->x + x0 * r->width, r->y + y0 * r->height, (x1 - x0) * r->width,
                  (y1 - y0) * r->height};
}

static void menu(Painter *p, Picture *out, const Rect *band)
{
    static const char *const item[] = {"Play", "Locker", "Settings", "Credits", "Quit"};
    const Look *const l = p->look;
    paint_text(p, out, &l->title, 84, l->accent, 640, 190, ALIGN_CENTRE, 1, "LAST ISLE");
    for (int i = 0; i < 5; i++)
        paint_text(p, out, &l->title, 34, white, 140, 300 + 56 * (float)i, ALIGN_LEFT, 1, item[i]);
    const Sprite *const big = painter_icon(p, ICON_SHIELD, 260, 0);
    paint_icon(p, out, big, 800, 260, 0.8f);
    paint_rect(p, out, *band, black, 0.9f);
    paint_rect(p, out, part(band, 0.02f, 0.15f, 0.22f, 0.85f), l->accent, 1);
    paint_rect(p, out, part(band, 0.25f, 0.15f, 0.45f, 0.85f), white, 0.35f);
    paint_text(p, out, &l->title, 24, black, band->x + 96, band->y + 44, ALIGN_CENTRE, 1, "Select");
    paint_text(p, out, &l->title, 24, white, band->x + 280, band->y + 44, ALIGN_CENTRE, 1, "Back");
    paint_text(p, out, &l->feed, 16, white, 1270, 714, ALIGN_RIGHT, 0.8f, "build 4.11.2");
}

static void lobby(Painter *p, Picture *out, const Rect *band)
{
    static const char *const name[] = {"Kestrel", "Moss", "Rook",  "Vega", "Tarn",  "Pike",
                                       "Wren",    "Juno", "Flint", "Dune", "Quill", "Onyx77"};
    const Look *const l = p->look;
    for (int i = 0; i < 12; i++) {
        const float x = 330 + 210 * (float)(i % 3), y = 130 + 108 * (float)(i / 3);
        paint_rect(p, out, (Rect){x, y, 190, 88}, black, 0.55f);
        paint_rect(p, out, (Rect){x, y, 6, 88}, l->accent, 1);
        paint_text(p, out, &l->feed, 24, white, x + 24, y + 52, ALIGN_LEFT, 1, name[i]);
    }
    paint_rect(p, out, *band, white, 0.85f);
    paint_rect(p, out, part(band, 0.03f, 0.55f, 0.66f, 0.85f), black, 0.9f);
    paint_text(p, out, &l->title, 24, black, band->x + 24, band->y + 32, ALIGN_LEFT, 1,
               "Waiting for players");
    paint_rect(p, out, part(band, 0.78f, 0.15f, 0.97f, 0.85f), l->accent, 1);
    paint_text(p, out, &l->title, 24, black, band->x + 700, band->y + 44, ALIGN_CENTRE, 1, "Leave");
}

/* Stripes that lean over the whole of a part. */
static void stripes(const Painter *p, Picture *out, Rect r, Colour c)
{
    for (float x = r.x - r.height; x < r.x + r.width; x += 64) {
        for (float y = 0; y < r.height; y++) {
            const float left = fmaxf(x + y, r.x), right = fminf(x + y + 32, r.x + r.width);
            if (left < right)
                paint_rect(p, out, (Rect){left, r.y + y, right - left, 1}, c, 1);
        }
    }
}

static void end(Painter *p, Picture *out, const Rect *band, bool won)
{
    const Look *const l = p->look;
    char text[64];
    const Script *const s = p->script;
    paint_text(p, out, &l->title, 96, won ? l->accent : (Colour){230, 60, 50}, 640, 300,
               ALIGN_CENTRE, 1, won ? l->victory : l->defeat);
    snprintf(text, sizeof text, "Score %d", s->score.len > 0 ? vec_last(&s->score).value : 0);
    paint_text(p, out, &l->title, 36, white, 640, 400, ALIGN_CENTRE, 1, text);
    snprintf(text, sizeof text, "Placed %d of 100",
             won                ? 1
             : s->alive.len > 0 ? vec_last(&s->alive).value
                                : 100);
    paint_text(p, out, &l->title, 36, white, 640, 450, ALIGN_CENTRE, 1, text);
    paint_rect(p, out, *band, won ? l->accent : black, 1);
    if (won)
        stripes(p, out, *band, black);
    else
        paint_rect(p, out, part(band, 0.35f, 0.15f, 0.65f, 0.85f), (Colour){180, 50, 40}, 1);
    paint_text(p, out, &l->title, 26, white, band->x + band->width / 2, band->y + 46, ALIGN_CENTRE,
               1, "Continue");
}

void screens_new(Painter *p)
{
    static const Colour deep[SCREEN_COUNT] = {
        {20, 26, 60}, {30, 60, 66}, {0, 0, 0}, {150, 110, 40}, {40, 8, 12}};
    static const Colour low[SCREEN_COUNT] = {
        {90, 50, 110}, {16, 26, 40}, {0, 0, 0}, {60, 40, 90}, {90, 40, 40}};
    const Rect *const band = &p->look->cell[CELL_BAND];
    for (int k = 0; k < SCREEN_COUNT; k++) {
        if (k == SCREEN_PLAY)
            continue;
        Picture *const out = p->screen[k] =
            paper(p, deep[k], low[k], (uint32_t)(p->seed + (uint64_t)k));
        switch (k) {
        case SCREEN_MENU: menu(p, out, band); break;
        case SCREEN_LOBBY: lobby(p, out, band); break;
        default: end(p, out, band, k == SCREEN_VICTORY); break;
        }
    }
}

void screens_move(Painter *p, const Scene *s, Picture *out)
{
    const Look *const l = p->look;
    const float pulse = 0.5f + 0.5f * sinf((float)s->t * 5);
    char text[64];
    switch (s->screen) {
    case SCREEN_MENU: {
        const float y = 262 + 56 * (float)((int)(s->since * 1.5) % 5);
        paint_rect(p, out, (Rect){110, y, 300, 50}, l->accent, 0.2f + 0.2f * pulse);
        break;
    }
    case SCREEN_LOBBY: {
        const int joined = 40 + (int)(s->since * 17) % 60;
        snprintf(text, sizeof text, "Joined %d/100", joined);
        paint_text(p, out, &l->title, 26, white, 640, 620, ALIGN_CENTRE, 1, text);
        const Rect *const band = &l->cell[CELL_BAND];
        paint_rect(p, out, (Rect){band->x + 26, band->y + 42, 4.8f * (float)joined, 18}, l->accent,
                   1);
        break;
    }
    default:
        for (int i = 0; i < 24; i++) { /* what rains on winners and losers */
            const float fallen = (float)s->t * (120 + 9 * (float)i) + (float)(i * 173);
            const Rect r = {(float)(i * 397 % 1280), fmodf(fallen, 600) + 20, 8, 8};
            paint_rect(p, out, r, s->screen == SCREEN_VICTORY ? l->accent : (Colour){90, 20, 20},
                       0.8f);
        }
        break;
    }
}
