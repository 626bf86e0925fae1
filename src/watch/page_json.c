/* What the page shows, as JSON. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/vec.h"
#include "watch/json_write.h"
#include "watch/page_parts.h"

static void key(Str *out, const char *name) { str_addf(out, ",\"%s\":", name); }

static void add_text(Str *out, const char *name, const char *text)
{
    key(out, name);
    json_add_string(out, text);
}

static void add_number(Str *out, const char *name, double v)
{
    key(out, name);
    if (isfinite(v))
        json_add_number(out, v);
    else
        str_add(out, "null");
}

static void add_box(Str *out, const char *name, const Box *b)
{
    key(out, name);
    json_add_box(out, b);
}

static void add_signal(Str *out, const BoardSignal *s)
{
    str_add(out, "{\"name\":");
    json_add_string(out, s->name);
    add_text(out, "kind", s->kind);
    add_text(out, "region", s->region);
    add_box(out, "box", &s->box);
    key(out, "value");
    str_add(out, s->value);
    add_text(out, "why", s->why);
    add_number(out, "score", s->score);
    str_addc(out, '}');
}

static void add_board(Str *out, const BoardStream *b)
{
    add_text(out, "watch", b->watch);
    add_text(out, "path", b->path);
    str_addf(out, ",\"size\":[%d,%d]", b->width, b->height);
    add_box(out, "place", &b->place);
    key(out, "wall");
    json_add_wall(out, b->wall);
    key(out, "signals");
    for (int i = 0; i < b->nsignal; i++) {
        str_addc(out, i ? ',' : '[');
        add_signal(out, &b->signal[i]);
    }
    str_add(out, b->nsignal ? "]" : "[]");
}

static void add_stream(Str *out, const StreamStatus *s, const BoardStream *b)
{
    str_add(out, "{\"name\":");
    json_add_string(out, s->name);
    add_text(out, "state", live_state_text(s->state));
    add_text(out, "cause", live_cause_text(s->cause));
    add_number(out, "fps", s->fps);
    add_number(out, "latency", s->latency_p95);
    str_addf(out,
             ",\"wanted\":%lld,\"judged\":%lld,\"busy\":%lld,\"late\":%lld,\"rate\":%lld,\"lost\":%"
             "lld,\"events\":%lld",
             (long long)s->wanted, (long long)s->judged, (long long)s->busy, (long long)s->late,
             (long long)s->rate, (long long)s->lost, (long long)s->events);
    str_addf(out, ",\"connections\":%lld,\"epoch\":%d,\"t\":", (long long)s->live.connections,
             s->epoch);
    json_add_seconds(out, s->t);
    add_text(out, "error", s->error);
    if (b)
        add_board(out, b);
    str_addc(out, '}');
}

void page_streams_json(Str *out, const EngineStatus *engine, const BoardStream *board, int nboard)
{
    str_add(out, "{\"factor\":");
    json_add_number(out, engine->factor);
    add_number(out, "busy", engine->busy);
    key(out, "streams");
    str_addc(out, '[');
    for (int i = 0; i < engine->nstream; i++) {
        const BoardStream *b = NULL;
        for (int k = 0; k < nboard && !b; k++)
            b = strcmp(board[k].name, engine->stream[i].name) == 0 ? &board[k] : NULL;
        if (i > 0)
            str_addc(out, ',');
        add_stream(out, &engine->stream[i], b);
    }
    str_add(out, "]}\n");
}

void page_hits_json(Str *out, const StoreHit *hit, int n)
{
    str_add(out, "{\"hits\":[");
    for (int i = 0; i < n; i++) {
        const StoreHit *const h = &hit[i];
        str_addf(out, "%s{\"id\":%lld", i ? "," : "", (long long)h->id);
        add_text(out, "kind", h->kind);
        add_text(out, "stream", h->stream);
        add_text(out, "watch", h->watch);
        add_text(out, "signal", h->signal);
        add_text(out, "text", h->text);
        add_text(out, "snippet", h->snippet);
        key(out, "wall");
        json_add_wall(out, h->wall);
        key(out, "t_start");
        json_add_seconds(out, h->t_start);
        key(out, "t_end");
        json_add_seconds(out, h->t_end);
        str_addf(out, ",\"epoch\":%d,\"samples\":%d", h->epoch, h->samples);
        add_number(out, "confidence", h->confidence);
        if (h->box.width > 0)
            add_box(out, "box", &h->box);
        key(out, "record");
        str_add(out, h->record ? h->record : "null"); /* a line of JSON itself */
        str_addc(out, '}');
    }
    str_add(out, "]}\n");
}

/* ---- clips ---- */

typedef struct ClipFile {
    const char *name;
    int64_t bytes, wall;
} ClipFile;

static int newest_first(const void *a, const void *b)
{
    const ClipFile *const x = a, *const y = b;
    return x->wall != y->wall ? (x->wall < y->wall) - (x->wall > y->wall)
                              : strcmp(x->name, y->name);
}

void page_clips_json(Str *out, const char *folder, const char *suffix)
{
    VEC(ClipFile) file = {0};
    DIR *const d = folder ? opendir(folder) : NULL;
    const struct dirent *one;
    struct stat st;
    while (d && (one = readdir(d)) != NULL) {
        const char *const path = path_join(out->arena, folder, one->d_name);
        if (one->d_name[0] == '.' || !str_ends(one->d_name, suffix) || stat(path, &st) != 0)
            continue;
        vec_push(out->arena, &file,
                 ((ClipFile){arena_strdup(out->arena, one->d_name), st.st_size,
                             (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000}));
    }
    if (d)
        closedir(d);
    if (file.len > 0)
        qsort(file.at, (size_t)file.len, sizeof *file.at, newest_first);
    str_add(out, "{\"clips\":[");
    for (int i = 0; i < file.len; i++) {
        str_add(out, i ? ",{\"name\":" : "{\"name\":");
        json_add_string(out, file.at[i].name);
        str_addf(out, ",\"bytes\":%lld,\"wall\":", (long long)file.at[i].bytes);
        json_add_wall(out, file.at[i].wall);
        str_addc(out, '}');
    }
    str_add(out, "]}\n");
}
