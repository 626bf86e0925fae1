/* Where the packages' models lie. */
#include "watch/picture_net.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/heap.h"

#define SLOW 1.0 /* seconds */

void net_progress(void *arg, const char *what, int done, int total)
{
    NetCompile *const c = arg;
    char line[512], size[64] = "";
    if (c->nets->progress)
        c->nets->progress(&c->begun, what, done, total);
    if (!c->nets->slow || c->told || time_now() - c->begun < SLOW)
        return;
    c->told = true;
    if (c->width > 0)
        snprintf(size, sizeof size, " for %d x %d", c->width, c->height);
    else if (c->height > 0)
        snprintf(size, sizeof size, " for height %d", c->height);
    snprintf(line, sizeof line, "%.400s: is being compiled%s; this is done once", c->path, size);
    c->nets->slow(c->nets->slow_arg, line);
}

int net_compile(NetCompile *c, ModelOptions *opt, Module **out, Error *e)
{
    Model model = {0};
    opt->module_only = true;
    opt->compile.threads = c->nets->threads;
    opt->compile.progress = net_progress;
    opt->compile.progress_arg = c;
    const int code = cache_compile(c->path, opt, c->nets->cache, CACHE_LIMIT, &model, e);
    if (model.compiled)
        heap_trim();
    *out = model.module;
    return code;
}

const char *net_find_model(Arena *a, const char *name, const char **looked)
{
    const char *const set = getenv("LATHE_MODELS");
    const char *const path = path_join(a, set ? set : ".models", name);
    *looked = path;
    return file_exists(path) ? path : NULL;
}
