/* A whole game: look, script, frames, and the files that are made of them. */
#ifndef LATHE_GAME_GAME_H
#define LATHE_GAME_GAME_H

#include "game/clip.h"
#include "game/painter.h"
#include "game/sound.h"
#include "game/yuv.h"

typedef struct GameOptions {
    uint64_t seed;
    double seconds;
    int width, height;    /* even, 16:9 within a pixel, at least 320 wide */
    int fps_num, fps_den;
    int64_t bitrate;
    double gop;           /* seconds */
    int layout;           /* -1: as the dice fall */
    double noise;         /* levels of luma */
    const char *font;     /* NULL: as the dice fall */
    const char *over;     /* NULL: the game's own background */
    const char *preset;   /* of x264 */
    const char *recogniser; /* for the watch file; NULL */
    const char *voice;    /* WAV of speech; NULL: no sound */
    const char *dir, *name; /* of the video in it */
} GameOptions;

extern const GameOptions game_defaults;

typedef struct Game {
    const GameOptions *opt;
    Look look;
    const Script *script;
    Painter *painter;
    Clip *clip;        /* NULL */
    Picture *behind;   /* the clip's */
    Picture *picture;
    Yuv yuv;
    Sound *sound;      /* NULL */
} Game;

/* ERR_INVALID: options that make no video. The options stay where they are. */
int game_new(Arena *a, const GameOptions *opt, Game **out, Error *e);
/* Paints frame i with its number, into picture and yuv. With a clip behind, frames must be asked
 * for in order. */
int game_frame(Game *g, int i, Error *e);
/* The video, events.jsonl, game.yaml and refs in opt->dir, which is made. */
int game_write(Arena *a, const GameOptions *opt, Error *e);

#endif
