/* What models of pictures need to run, and where they lie. (inference.h runs them.) */
#ifndef LATHE_WATCH_PICTURE_NET_H
#define LATHE_WATCH_PICTURE_NET_H

#include "compile/cache.h"

typedef struct NetHost { /* what the models of a process share; outlives them */
    Pool *pool;
    int threads;       /* to compile with, and of each run */
    const char *cache; /* folder; NULL: none */
    /* arg: double *, when it began. NULL: silent */
    void (*progress)(void *arg, const char *what, int done, int total);
    /* Once for a model whose compile has taken a second already: "rec.onnx is compiled for 48 x
     * 320; ..". From any thread; NULL: silent. */
    void (*slow)(void *arg, const char *line);
    void *slow_arg;
} NetHost;

/* A compile for models of this process: hands its progress on, and tells what is slow. */
typedef struct NetCompile {
    const NetHost *nets;
    const char *path;
    int height, width;   /* of what it is compiled for; 0: any */
    double begun;        /* time_now() */
    bool told;
} NetCompile;
void net_progress(void *arg, const char *what, int done, int total); /* arg: NetCompile * */
/* By the cache of c->nets, with its threads; memory that a compile took goes back to the system, as a
 * watch runs for months. opt->compile: the target and the precision. Errors of cache_compile. */
int net_compile(NetCompile *c, ModelOptions *opt, Module **out, Error *e);

/* A model out of the packages that bring some ("rapidocr_onnxruntime/models/x.onnx"): below
 * $LATHE_MODELS, or .models here. NULL: it is nowhere; then *looked says where it was looked
 * for. */
const char *net_find_model(Arena *a, const char *name, const char **looked);

#endif
