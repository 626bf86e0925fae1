#include "live/film.h"

#include <stdlib.h>

#include "game/counter.h"
#include "game/movie.h"
#include "vision/draw.h"

void film_make(const char *path, int width, int height)
{
    Arena *const a = arena_new();
    Error e = {0};
    Picture *const p = picture_new(a, width, height);
    const Yuv y = yuv_new(a, width, height);
    const MovieOptions opt = {.width = width,
                              .height = height,
                              .fps_num = 30,
                              .fps_den = 1,
                              .bitrate = 1500000,
                              .gop = FILM_GOP,
                              .preset = "superfast"};
    Movie *m = NULL;
    int code = movie_open(a, path, &opt, &m, &e);
    for (int i = 0; code == 0 && i < FILM_FRAMES; i++) {
        draw_fill(p, (Colour){60, 80, 100});
        draw_rectangle(p, i * 3, height / 2, 40, 40, (Colour){200, 60, 20});
        counter_draw(p, (uint32_t)i);
        yuv_from_picture(&y, p);
        yuv_add_noise(&y, 3, 1, i);
        code = movie_add(m, &y, &e);
    }
    if (code != 0 || movie_close(m, &e) != 0)
        abort();
    arena_free(a);
}

bool film_number(const Frame *f, uint32_t *number)
{
    return counter_read(f->plane[0], (int)f->stride[0], f->width, f->height, number);
}
