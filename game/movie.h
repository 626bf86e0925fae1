/* Writes pictures into a video file: H.264 by libx264, one thread, so that the same pictures give
 * the same file. The container follows from the name: .mp4, .mkv, .ts, and what else libavformat
 * knows. */
#ifndef LATHE_GAME_MOVIE_H
#define LATHE_GAME_MOVIE_H

#include "game/sound.h"
#include "game/yuv.h"

typedef struct MovieOptions {
    int width, height;      /* even */
    int fps_num, fps_den;
    int64_t bitrate;        /* bits a second, on average and, over two seconds, at most */
    int gop;                /* frames from key frame to key frame at most */
    const char *preset;     /* of x264; NULL: veryfast */
    const Sound *sound;     /* beside it, as AAC; NULL: none */
} MovieOptions;

typedef struct Movie Movie;

/* Closed with the arena, if not before. */
int movie_open(Arena *a, const char *path, const MovieOptions *opt, Movie **out, Error *e);
/* The next frame. */
int movie_add(Movie *m, const Yuv *y, Error *e);
/* The last frames and the index; a file that was not closed is not whole. */
int movie_close(Movie *m, Error *e);

#endif
