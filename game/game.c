/* From options to files: see game.h. */
#include "game/game.h"

#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "game/counter.h"
#include "game/movie.h"
#include "game/profile.h"
#include "game/truth.h"

const GameOptions game_defaults = {
    .seed = 1,
    .seconds = 30,
    .width = 1280,
    .height = 720,
    .fps_num = 30,
    .fps_den = 1,
    .bitrate = 2000000,
    .gop = 2,
    .layout = -1,
    .dir = "game",
    .name = "game.mp4",
};

static int check(const GameOptions *o, Error *e)
{
    if (o->width < 320 || o->width > 7680 || o->width % 2 || o->height % 2 ||
        abs(o->width * 9 - o->height * 16) > 32)
        return error_set(e, ERR_INVALID, "size %dx%d: even, 16:9, 320 to 7680 pixels wide",
                         o->width, o->height);
    const double fps = (double)o->fps_num / o->fps_den;
    if (!(fps >= 1 && fps <= 240))
        return error_set(e, ERR_INVALID, "%g frames a second: 1 to 240", fps);
    if (!(o->seconds >= 1 && o->seconds * fps <= 0xffffff))
        return error_set(e, ERR_INVALID, "%g seconds: at least 1, and at most 16777215 frames",
                         o->seconds);
    if (o->bitrate < 10000 || o->bitrate > 1000000000)
        return error_set(e, ERR_INVALID, "a bit rate of %lld: 10k to 1000M", (long long)o->bitrate);
    if (!(o->gop * fps >= 1 && o->gop <= 3600))
        return error_set(e, ERR_INVALID, "key frames each %g s: a frame to an hour", o->gop);
    if (o->layout < -1 || o->layout >= LOOK_LAYOUTS)
        return error_set(e, ERR_INVALID, "layout %d: 0 to %d", o->layout, LOOK_LAYOUTS - 1);
    if (!(o->noise >= 0 && o->noise <= 64))
        return error_set(e, ERR_INVALID, "noise of %g levels: 0 to 64", o->noise);
    return 0;
}

int game_new(Arena *a, const GameOptions *opt, Game **out, Error *e)
{
    int code = check(opt, e);
    if (code != 0)
        return code;
    Game *const g = arena_new_of(a, Game);
    g->opt = opt;
    code = look_new(a, opt->seed, opt->layout, opt->font, &g->look, e);
    if (code == 0 && opt->over)
        code = clip_open(a, opt->over, &g->clip, e);
    if (code == 0 && opt->voice)
        code = sound_new(a, opt->voice, opt->seed, opt->seconds, &g->sound, e);
    if (code != 0)
        return code;
    g->script = script_new(a, opt->seed, (double)opt->fps_num / opt->fps_den, opt->seconds);
    g->painter = painter_new(a, opt->seed, &g->look, g->script, opt->width, opt->height);
    g->picture = picture_new(a, opt->width, opt->height);
    if (g->clip)
        g->behind = picture_new(a, opt->width, opt->height);
    g->yuv = yuv_new(a, opt->width, opt->height);
    *out = g;
    return 0;
}

int game_frame(Game *g, int i, Error *e)
{
    const int code = g->clip ? clip_next(g->clip, g->behind, e) : 0;
    if (code != 0)
        return code;
    const Scene s = scene_at(g->script, i);
    painter_draw(g->painter, &s, g->behind, g->picture);
    counter_draw(g->picture, (uint32_t)i);
    yuv_from_picture(&g->yuv, g->picture);
    yuv_add_noise(&g->yuv, g->opt->noise, g->opt->seed, i);
    return 0;
}

static int write_video(Arena *a, Game *g, Error *e)
{
    const GameOptions *const o = g->opt;
    const MovieOptions movie = {.width = o->width,
                                .height = o->height,
                                .fps_num = o->fps_num,
                                .fps_den = o->fps_den,
                                .bitrate = o->bitrate,
                                .gop = (int)lrint(o->gop * g->script->fps),
                                .preset = o->preset,
                                .sound = g->sound};
    Movie *m = NULL;
    int code = movie_open(a, path_join(a, o->dir, o->name), &movie, &m, e);
    for (int i = 0; i < g->script->nframe && code == 0; i++) {
        code = game_frame(g, i, e);
        if (code == 0)
            code = movie_add(m, &g->yuv, e);
    }
    return code == 0 ? movie_close(m, e) : code;
}

static int write_text(Arena *a, const char *dir, const char *name, Str *text, Error *e)
{
    return file_write(path_join(a, dir, name), str_text(text), text->len, e);
}

int game_write(Arena *a, const GameOptions *opt, Error *e)
{
    Game *g = NULL;
    int code = game_new(a, opt, &g, e);
    if (code == 0)
        code = file_make_dirs(opt->dir, e);
    if (code == 0)
        code = write_video(a, g, e);
    if (code == 0 && opt->width != LOOK_WIDTH) /* references have their own size */
        g->painter = painter_new(a, opt->seed, &g->look, g->script, LOOK_WIDTH, LOOK_HEIGHT);
    if (code == 0)
        code = profile_refs(a, opt->dir, g->painter, e);
    Str yaml = str_new(a), events = str_new(a);
    if (code == 0) {
        profile_yaml(&yaml, &g->look, g->script, opt->recogniser, g->sound != NULL);
        code = write_text(a, opt->dir, "game.yaml", &yaml, e);
    }
    if (code == 0) {
        const TruthList truth = truth_new(a, g->script);
        truth_print(&events, g->script, &truth);
        if (g->sound)
            sound_truth(&events, g->sound);
        code = write_text(a, opt->dir, "events.jsonl", &events, e);
    }
    return code;
}
