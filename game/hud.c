/* The play screen: what moves in the world, and the HUD over it. See painter.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "game/painter.h"

static const Colour white = {245, 245, 245}, black = {12, 12, 16};

static const Icon state_icon[STATE_COUNT] = {
    [STATE_SHIELD] = ICON_SHIELD,
    [STATE_BADGE] = ICON_BADGE,
    [STATE_HEALTH] = ICON_HEALTH,
    [STATE_AMMO] = ICON_AMMO,
};

/* Slots of the row of states: the shield's by the look, the badge's beside it, then what is
 * left. */
static int slot_of(const Look *l, State state)
{
    const int shield = l->shield_slot, badge = shield + 1;
    if (state == STATE_SHIELD)
        return shield;
    if (state == STATE_BADGE)
        return badge;
    int slot = 0;
    for (State k = STATE_HEALTH;; k++, slot++) {
        while (slot == shield || slot == badge)
            slot++;
        if (k == state)
            return slot;
    }
}

/* ---- map ---- */

static void tint(const Painter *p, Picture *map, const Area *area, Colour c)
{
    const Shape s[2] = {
        {.kind = SHAPE_POLYGON,
         .colour = c,
         .npoint = 4,
         .point = {{area->corner[0].x / SCRIPT_MAP, area->corner[0].y / SCRIPT_MAP},
                   {area->corner[1].x / SCRIPT_MAP, area->corner[1].y / SCRIPT_MAP},
                   {area->corner[2].x / SCRIPT_MAP, area->corner[2].y / SCRIPT_MAP},
                   {area->corner[3].x / SCRIPT_MAP, area->corner[3].y / SCRIPT_MAP}}},
        {.kind = SHAPE_END}};
    paint_sprite(map, paint_shapes(p->arena, s, map->width, 0), 0, 0, 0.35f);
}

static Picture *draw_map(Painter *p)
{
    static const Colour colour[SCRIPT_AREAS] = {
        {90, 120, 190}, {180, 150, 70}, {150, 90, 90}, {90, 160, 110}, {140, 110, 170},
    };
    const int side = (int)lrintf(p->look->cell[CELL_MAP].width * p->scale);
    Picture *const map = picture_new(p->arena, side, side);
    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            const float grain = 30 * p->scale;
            const float n =
                backdrop_noise((float)x / grain, (float)y / grain, 1 << 10, (uint32_t)p->seed);
            const float light = 0.3f + 0.6f * n;
            uint8_t *const to = map->rgb + ((size_t)y * (size_t)side + (size_t)x) * 3;
            to[0] = (uint8_t)(110 * light);
            to[1] = (uint8_t)(130 * light);
            to[2] = (uint8_t)(100 * light);
        }
    }
    for (int i = 0; i < SCRIPT_AREAS; i++)
        tint(p, map, &p->script->area[i], colour[i]);
    for (int i = 0; i < SCRIPT_AREAS; i++) {
        const Area *const area = &p->script->area[i];
        const float x = (area->corner[0].x + area->corner[2].x) / 2, y = area->corner[0].y + 16;
        paint_text(p, map, &p->look->feed, 11, white, x, y, ALIGN_CENTRE, 0.7f, area->name);
    }
    return map;
}

void hud_new(Painter *p)
{
    static const Shape figure[] = {
        {.kind = SHAPE_DISC, .colour = {40, 36, 40}, .radius = 0.13f, .point = {{0.5f, 0.14f}}},
        {.kind = SHAPE_POLYGON,
         .colour = {70, 60, 56},
         .npoint = 6,
         .point =
             {{0.36f, 0.3f}, {0.64f, 0.3f}, {0.7f, 0.64f}, {0.62f, 1}, {0.38f, 1}, {0.3f, 0.64f}}},
        {.kind = SHAPE_END},
    };
    for (int k = 0; k < STATE_COUNT; k++)
        p->state[k] = painter_icon(p, state_icon[k], p->look->icon, 0);
    p->skull = painter_icon(p, ICON_SKULL, (float)painter_feed_icon(p->look), 0);
    p->mask = painter_icon(p, ICON_MASK, (float)painter_feed_icon(p->look), 0);
    p->figure = paint_shapes(p->arena, figure, (int)lrintf(90 * p->scale), 0);
    for (int k = 0; k < PAINTER_TURNS; k++)
        p->arrow[k] = painter_icon(p, ICON_ARROW, PAINTER_ARROW, 360.0f * (float)k / PAINTER_TURNS);
    p->map = draw_map(p);
}

static void paste(Picture *out, const Picture *part, int x0, int y0)
{
    for (int y = 0; y < part->height && y0 + y < out->height; y++) {
        const int n = x0 + part->width > out->width ? out->width - x0 : part->width;
        memcpy(out->rgb + ((size_t)(y0 + y) * (size_t)out->width + (size_t)x0) * 3,
               part->rgb + (size_t)y * (size_t)part->width * 3, (size_t)n * 3);
    }
}

static void draw_map_cell(const Painter *p, const Scene *s, Picture *out)
{
    const Rect *const r = &p->look->cell[CELL_MAP];
    paint_rect(p, out, (Rect){r->x - 3, r->y - 3, r->width + 6, r->height + 6}, black, 0.9f);
    paste(out, p->map, (int)lrintf(r->x * p->scale), (int)lrintf(r->y * p->scale));
    const float k = r->width / SCRIPT_MAP;
    const int turn = (int)lrintf(s->turn / 360 * PAINTER_TURNS), n = PAINTER_TURNS;
    paint_icon(p, out, p->arrow[(turn % n + n) % n], r->x + k * s->player.x - PAINTER_ARROW / 2.f,
               r->y + k * s->player.y - PAINTER_ARROW / 2.f, 1);
}

/* ---- numbers ---- */

static void draw_number(Painter *p, Picture *out, Cell cell, const char *label, const char *text)
{
    const Look *const l = p->look;
    const Rect *const r = &l->cell[cell];
    paint_rect(p, out, *r, l->panel, l->panel_opacity);
    float size = l->digits;
    const float width = font_text_width(l->hud.font, size * p->scale, text) / p->scale,
                room = r->width - 12;
    size = width > room ? size * room / width : size;
    const float x = r->x + r->width / 2, y = r->y + r->height / 2 + 0.36f * size;
    paint_text(p, out, &l->hud, size, l->text, x, y, ALIGN_CENTRE, 1, text);
    if (label) {
        const float beside = l->label_below ? r->y + r->height + 14 : r->y - 4;
        paint_text(p, out, &l->hud, 12, l->text, x, beside, ALIGN_CENTRE, 0.9f, label);
    }
}

static void draw_numbers(Painter *p, const Scene *s, Picture *out)
{
    char text[32];
    snprintf(text, sizeof text, "%d", s->alive);
    draw_number(p, out, CELL_ALIVE, p->look->alive_label, text);
    snprintf(text, sizeof text, "%d", s->score);
    draw_number(p, out, CELL_SCORE, p->look->score_label, text);
    snprintf(text, sizeof text, "%02d:%02d", s->clock / 60, s->clock % 60);
    draw_number(p, out, CELL_CLOCK, NULL, text);
}

/* ---- feed ---- */

static void draw_line_of_feed(Painter *p, const FeedLine *line, FeedPlace place, Picture *out)
{
    const Look *const l = p->look;
    const Rect *const r = &l->cell[CELL_FEED];
    const float size = l->line * 0.6f, icon = (float)painter_feed_icon(l), gap = 8;
    const float y = r->y + r->height - (place.up + 1) * l->line, base = y + l->line * 0.68f;
    const float left = font_text_width(l->feed.font, size * p->scale, line->left) / p->scale;
    const float right =
        line->right ? font_text_width(l->feed.font, size * p->scale, line->right) / p->scale : 0;
    const float width = left + (line->right ? gap + icon + gap + right : 0);
    float x = r->x < 640 ? r->x + 10 : r->x + r->width - 10 - width;
    paint_rect(p, out, (Rect){x - 6, y + 1, width + 12, l->line - 2}, l->panel,
               0.5f * place.opacity);
    paint_text(p, out, &l->feed, size, l->text, x, base, ALIGN_LEFT, place.opacity, line->left);
    if (!line->right)
        return;
    x += left + gap;
    paint_icon(p, out, line->kind == LINE_KILL ? p->skull : p->mask, x, y + (l->line - icon) / 2,
               place.opacity);
    paint_text(p, out, &l->feed, size, l->accent, x + icon + gap, base, ALIGN_LEFT, place.opacity,
               line->right);
}

static void draw_feed(Painter *p, const Scene *s, Picture *out)
{
    for (int i = 0; i < p->script->feed.len; i++) {
        const FeedPlace place = scene_feed(p->script, i, s->frame);
        if (place.opacity > 0)
            draw_line_of_feed(p, &p->script->feed.at[i], place, out);
    }
}

/* ---- states, weapons ---- */

static float state_opacity(const Scene *s, State state)
{
    switch (state) {
    case STATE_SHIELD: return 0.88f + 0.12f * sinf((float)s->t * 8); /* it glows */
    case STATE_HEALTH:
        return s->alive <= 10 && (int)(s->t * 4) % 2 ? 0.45f : 1; /* it blinks near the end */
    default: return 1;
    }
}

static void draw_states(const Painter *p, const Scene *s, Picture *out)
{
    const Rect *const r = &p->look->cell[CELL_STATES];
    paint_rect(p, out, *r, p->look->panel, p->look->panel_opacity);
    const float icon = p->look->icon, y = r->y + (r->height - icon) / 2;
    for (int k = 0; k < STATE_COUNT; k++) {
        const float x = r->x + 4 + 47 * (float)slot_of(p->look, (State)k) + (44 - icon) / 2;
        if (s->state[k])
            paint_icon(p, out, p->state[k], x, y, state_opacity(s, (State)k));
    }
}

#define SLOTS 5
static void draw_weapons(Painter *p, const Scene *s, Picture *out)
{
    static const char *const key[SLOTS] = {"Q", "W", "E", "R", "F"};
    const Rect *const r = &p->look->cell[CELL_BAND];
    const float side = r->height - 8, pitch = 160;
    paint_rect(p, out, *r, black, 0.92f);
    const int chosen = (int)(s->since / 2.7) % SLOTS;
    for (int i = 0; i < SLOTS; i++) {
        const float x = r->x + 12 + pitch * (float)i, y = r->y + 4;
        paint_rect(p, out, (Rect){x, y, side + 66, side}, i == chosen ? p->look->accent : white,
                   0.75f);
        paint_rect(p, out, (Rect){x + 8, y + 26, side + 30, 12}, black, 0.9f);
        paint_rect(p, out, (Rect){x + 20 + 4 * (float)i, y + 38, 14, 18}, black, 0.9f);
        paint_text(p, out, &p->look->feed, 16, white, x + side + 52, y + 20, ALIGN_CENTRE, 1,
                   key[i]);
    }
}

static void draw_cover(Painter *p, Cell cell, Picture *out)
{
    const Rect r = p->look->cell[cell], panel = {r.x - 9, r.y - 6, r.width + 18, r.height + 32};
    paint_rect(p, out, panel, (Colour){70, 44, 110}, 1);
    for (int i = 0; i < 6; i++) /* shaded, not flat */
        paint_rect(p, out, (Rect){panel.x, panel.y + 6 * (float)i, panel.width, 6}, white,
                   0.18f - 0.03f * (float)i);
    paint_text(p, out, &p->look->feed, 13, white, r.x + r.width / 2, r.y + r.height + 18,
               ALIGN_CENTRE, 1, "New badge");
}

void hud_draw(Painter *p, const Scene *s, Picture *out)
{
    draw_map_cell(p, s, out);
    draw_weapons(p, s, out);
    draw_states(p, s, out);
    draw_feed(p, s, out);
    draw_numbers(p, s, out);
    for (int k = 0; k < CELL_COUNT; k++) {
        if (s->covered[k])
            draw_cover(p, (Cell)k, out);
    }
}

/* ---- the world ---- */

void hud_world(Painter *p, const Scene *s, Picture *out)
{
    static const char *const name[] = {"Brick", "Solo", "Ash 9", "Nova"};
    const Look *const l = p->look;
    for (int i = 0; i < 4; i++) {
        const float x = fmodf((float)s->t * (40 + 25 * (float)i) + 400 * (float)i, 1480) - 100,
                    y = 380 + 36 * (float)i;
        paint_icon(p, out, p->figure, i % 2 ? x : 1180 - x, y, 1);
        paint_text(p, out, &l->feed, 14, white, (i % 2 ? x : 1180 - x) + 45, y - 6, ALIGN_CENTRE,
                   0.9f, name[i]);
    }
    const int beat = (int)(s->since / 1.7);
    const double in = s->since - 1.7 * beat;
    if (beat % 2 == 0 && in < 0.9) { /* a hit: its number rises and fades */
        char text[16];
        snprintf(text, sizeof text, "%d", 12 + beat * 37 % 88);
        paint_text(p, out, &l->hud, 26, l->accent, 560 + (float)(beat * 53 % 160),
                   340 - 60 * (float)in, ALIGN_CENTRE, 1 - (float)in, text);
    }
    if ((int)(s->t / 3) % 3 == 1)
        paint_text(p, out, &l->feed, 24, white, 640, 545, ALIGN_CENTRE, 0.9f,
                   "The storm moves in 30 seconds");
}
