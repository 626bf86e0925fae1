/* Puts the parts of a frame together: see painter.h. */
#include "game/painter.h"

#include <math.h>
#include <string.h>

int painter_feed_icon(const Look *l)
{
    return (int)l->line - 6;
}

float paint_text(Painter *p, Picture *out, const Face *face, float size, Colour c, float x, float y,
                 Align align, float opacity, const char *text)
{
    const float pixels = size * p->scale,
                width = font_text_width(face->font, pixels, text) / p->scale;
    x -= align == ALIGN_CENTRE ? width / 2 : align == ALIGN_RIGHT ? width : 0;
    if (opacity > 0)
        paint_sprite(out, type_set(&p->type, face->name, face->font, pixels, c, text),
                     (int)lrintf(x * p->scale), (int)lrintf(y * p->scale), opacity);
    return width;
}

void paint_rect(const Painter *p, Picture *out, Rect r, Colour c, float opacity)
{
    const float k = p->scale;
    paint_panel(out, r.x * k, r.y * k, r.width * k, r.height * k, c, opacity);
}

void paint_icon(const Painter *p, Picture *out, const Sprite *s, float x, float y, float opacity)
{
    paint_sprite(out, s, (int)lrintf(x * p->scale), (int)lrintf(y * p->scale), opacity);
}

Sprite *painter_icon(const Painter *p, Icon icon, float size, float degrees)
{
    return paint_shapes(p->arena, icon_shape[icon], (int)lrintf(size * p->scale), degrees);
}

Painter *painter_new(Arena *a, uint64_t seed, const Look *look, const Script *script, int width,
                     int height)
{
    Painter *const p = arena_new_of(a, Painter);
    *p = (Painter){.arena = a, .look = look, .script = script, .width = width, .height = height,
                   .scale = (float)width / LOOK_WIDTH, .seed = seed, .type = type_new(a)};
    p->backdrop = backdrop_new(a, seed, look, width, height);
    screens_new(p);
    hud_new(p);
    return p;
}

void painter_draw(Painter *p, const Scene *s, const Picture *behind, Picture *out)
{
    if (s->light <= 0 || s->white >= 1) {
        const uint8_t level = s->white >= 1 ? 255 : 0;
        draw_fill(out, (Colour){level, level, level});
        return;
    }
    const size_t bytes = (size_t)p->width * (size_t)p->height * 3;
    if (s->screen == SCREEN_PLAY) {
        if (behind)
            memcpy(out->rgb, behind->rgb, bytes);
        else
            backdrop_draw(p->backdrop, out, s->t);
        hud_world(p, s, out);
        hud_draw(p, s, out);
    } else {
        memcpy(out->rgb, p->screen[s->screen]->rgb, bytes);
        screens_move(p, s, out);
    }
    paint_all(out, (Colour){0, 0, 0}, 1 - s->light);
    paint_all(out, (Colour){255, 255, 255}, s->white);
}
