/* Texts -> items. */
#include "watch/learn_list.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "base/vec.h"
#include "watch/yaml.h"

#define MAX_TIME 1e6 /* seconds */

/* ---- the file ---- */

/* A scalar, or the parts of a list with commas between. */
static const char *text_of(YamlMap *m, const char *key)
{
    int n = 0;
    const char *const *const part = yaml_texts(m, key, &n);
    Str out = str_new(m->yaml->ctx->arena);
    for (int i = 0; i < n; i++)
        str_addf(&out, "%s%s", i ? "," : "", part[i]);
    return n > 0 ? str_text(&out) : NULL;
}

const LearnAsk *learn_list_read(Context *ctx, const char *path, int *n)
{
    const Yaml y = yaml_read(ctx, path);
    const char *const dir = path_dir(ctx->arena, path);
    *n = y.root->n;
    if (*n > LEARN_MAX_ITEMS)
        yaml_fail(&y, y.root->place, "%d pictures; at most %d are possible", *n, LEARN_MAX_ITEMS);
    LearnAsk *const out = arena_array_of(ctx->arena, *n + 1, LearnAsk);
    for (int i = 0; i < *n; i++) {
        const YamlNode *const key = y.root->key[i];
        YamlMap m = yaml_map(&y, y.root->at[i], arena_printf(ctx->arena, "'%s'", key->text));
        out[i] = (LearnAsk){
            .name = arena_printf(ctx->arena, "%s:%d:%d", path, key->place.line, key->place.column),
            .to = strcmp(dir, ".") == 0 ? key->text : path_join(ctx->arena, dir, key->text),
            .screen = yaml_flag(&m, "screen", false)};
        out[i].at = text_of(&m, "at");
        out[i].over = text_of(&m, "over");
        out[i].box = text_of(&m, "box");
        out[i].region = text_of(&m, "region");
        out[i].absent = text_of(&m, "absent");
        out[i].signal = yaml_text(&m, "signal", NULL);
        out[i].label = yaml_text(&m, "label", NULL);
        yaml_done(&m);
    }
    return out;
}

/* ---- times and boxes ---- */

/* 12.5, 12.5s, 2m, 1:02.5, 1:00:00. */
static bool parse_time(const char *text, size_t size, int64_t *us)
{
    char part[40];
    if (size == 0 || size >= sizeof part)
        return false;
    memcpy(part, text, size);
    part[size] = '\0';
    if (duration_parse(part, us))
        return true;
    double sum = 0;
    char *at = part;
    for (int parts = 0; parts < 3; parts++) {
        char *end;
        if (*at < '0' || *at > '9')
            return false;
        const double v = strtod(at, &end);
        if (!isfinite(v) || (parts > 0 && v >= 60))
            return false;
        sum = sum * 60 + v;
        if (*end == '\0') {
            *us = llrint(fmin(sum, MAX_TIME) * 1e6);
            return true;
        }
        if (*end != ':')
            return false;
        at = end + 1;
    }
    return false;
}

static LearnSpan span_of(Context *ctx, const LearnAsk *ask, const char *what, const char *text,
                         size_t size)
{
    const char *const dots = memmem(text, size, "..", 2);
    LearnSpan s;
    if (!dots || !parse_time(text, (size_t)(dots - text), &s.from) ||
        !parse_time(dots + 2, size - (size_t)(dots + 2 - text), &s.to) || s.from >= s.to)
        fail(ctx, ERR_INVALID, "%s: %s: '%.*s' is no span, as 12s..20s or 1:02.5..1:10", ask->name,
             what, (int)size, text);
    return s;
}

static Box box_of(Context *ctx, const LearnAsk *ask, const char *what, const char *text)
{
    float v[4];
    int used = 0;
    const int n = sscanf(text, "%f ,%f ,%f ,%f %n", &v[0], &v[1], &v[2], &v[3], &used);
    bool good = n == 4 && text[used] == '\0';
    for (int i = 0; i < 4 && good; i++)
        good = isfinite(v[i]);
    if (!good || v[2] < 1 || v[3] < 1)
        fail(ctx, ERR_INVALID, "%s: %s: '%s' is no box x,y,width,height", ask->name, what, text);
    return (Box){v[0], v[1], v[2], v[3]};
}

static void take_times(Context *ctx, const LearnAsk *ask, LearnItem *out)
{
    if (!ask->at == !ask->over)
        fail(ctx, ERR_INVALID, "%s: 'at' a time, or 'over' a span: one of both", ask->name);
    if (ask->at && !parse_time(ask->at, strlen(ask->at), &out->from))
        fail(ctx, ERR_INVALID, "%s: at: '%s' is no time, as 12.5, 12.5s or 1:02.5", ask->name,
             ask->at);
    out->last = out->from;
    if (ask->over) {
        const LearnSpan s = span_of(ctx, ask, "over", ask->over, strlen(ask->over));
        out->from = s.from;
        out->last = s.to;
    }
    VEC(LearnSpan) absent = {0};
    for (const char *at = ask->absent; at && *at; at += *at == ',') {
        const size_t size = strcspn(at, ",");
        vec_push(ctx->arena, &absent, span_of(ctx, ask, "absent", at, size));
        at += size;
    }
    for (int i = 0; i < absent.len; i++)
        if (absent.at[i].from <= out->last && absent.at[i].to >= out->from)
            fail(ctx, ERR_INVALID, "%s: it cannot be absent where it is taken from", ask->name);
    out->absent = absent.at;
    out->nabsent = absent.len;
}

/* ---- signals of a watch ---- */

static const char *labels_of(Context *ctx, const Signal *s)
{
    Str out = str_new(ctx->arena);
    for (int i = 0; i < s->screen.nref; i++)
        if (i == 0 || strcmp(s->screen.ref[i].label, s->screen.ref[i - 1].label) != 0)
            str_addf(&out, "%s%s", i ? ", " : "", s->screen.ref[i].label);
    return str_text(&out);
}

static const char *label_of(Context *ctx, const LearnAsk *ask, const Signal *s)
{
    if (s->kind != SIGNAL_SCREEN) {
        if (ask->label)
            fail(ctx, ERR_INVALID, "%s: a label is for screens; signal '%s' has none", ask->name,
                 s->name);
        return NULL;
    }
    for (int i = 0; ask->label && i < s->screen.nref; i++)
        if (strcmp(s->screen.ref[i].label, ask->label) == 0)
            return ask->label;
    fail(ctx, ERR_INVALID, "%s: label says which of signal '%s' it is: %s", ask->name, s->name,
         labels_of(ctx, s));
}

static bool is_taken(const char *path, int n, const LearnItem *before)
{
    for (int i = 0; i < n; i++)
        if (strcmp(before[i].to, path) == 0)
            return true;
    return file_exists(path);
}

/* A name for the pattern: itself, or with a number in the place of its star. */
static const char *new_name(Context *ctx, const char *pattern, int n, const LearnItem *before)
{
    const char *const star = strchr(pattern, '*');
    if (!star)
        return strpbrk(pattern, "?[") ? NULL : pattern;
    if (strpbrk(star + 1, "*?[") || memchr(pattern, '[', (size_t)(star - pattern)) ||
        memchr(pattern, '?', (size_t)(star - pattern)))
        return NULL;
    for (int number = 1;; number++) {
        const char *const path =
            arena_printf(ctx->arena, "%.*s%d%s", (int)(star - pattern), pattern, number, star + 1);
        if (!is_taken(path, n, before))
            return path;
    }
}

/* What the signal would read: the one that is named, or the first that it can be. */
static const char *target(Context *ctx, const LearnAsk *ask, const Signal *s, int n,
                          const LearnItem *before)
{
    const Reference *ref;
    const int nref = signal_references(s, &ref);
    const char *const label = label_of(ctx, ask, s);
    const char *pattern = "";
    for (int i = 0; i < nref; i++) {
        if (label && strcmp(ref[i].label, label) != 0)
            continue;
        const char *const name =
            ask->to ? (fnmatch(ref[i].path, ask->to, FNM_PATHNAME) == 0 ? ask->to : NULL)
                    : new_name(ctx, ref[i].path, n, before);
        if (name)
            return name;
        pattern = ref[i].path;
    }
    if (ask->to)
        fail(ctx, ERR_INVALID, "%s: signal '%s' reads %s, not %s", ask->name, s->name, pattern,
             ask->to);
    fail(ctx, ERR_INVALID, "%s: signal '%s' reads %s: say which file, by --to", ask->name, s->name,
         pattern);
}

static void take_signal(Context *ctx, const LearnAsk *ask, const Watch *w, LearnItem *out, int n,
                        const LearnItem *before)
{
    const int k = w ? watch_find_signal(w, ask->signal) : -1;
    if (!w)
        fail(ctx, ERR_INVALID, "%s: a signal is one of a watch: --watch names it", ask->name);
    if (k < 0)
        fail(ctx, ERR_INVALID, "%s: there is no signal '%s' in %s", ask->name, ask->signal,
             w->path);
    const Signal *const s = &w->signal[k];
    if (s->kind != SIGNAL_ICON && s->kind != SIGNAL_POSITION && s->kind != SIGNAL_SCREEN)
        fail(ctx, ERR_INVALID, "%s: signal '%s' is of %s, which compares with no pictures",
             ask->name, s->name, signal_kind_name(s->kind));
    if (ask->screen || ask->region)
        fail(ctx, ERR_INVALID, "%s: %s: signal '%s' says that", ask->name,
             ask->screen ? "screen" : "region", s->name);
    out->judged = true;
    out->signal = *s;
    out->region =
        s->region >= 0 ? w->region[s->region].box : (Box){0, 0, (float)w->width, (float)w->height};
    out->to = target(ctx, ask, s, n, before);
    const bool all =
        s->kind == SIGNAL_SCREEN || (s->kind == SIGNAL_ICON && s->icon.method == ICON_EMBED);
    if (all && ask->box)
        fail(ctx, ERR_INVALID, "%s: box: signal '%s' compares all of its region", ask->name,
             s->name);
    if (!all && !ask->box)
        fail(ctx, ERR_INVALID, "%s: the box is missing: where in the picture it is", ask->name);
    out->box = all ? (Box){roundf(out->region.x), roundf(out->region.y), roundf(out->region.width),
                           roundf(out->region.height)}
                   : box_of(ctx, ask, "box", ask->box);
    if (all) /* of a region between pixels, the whole ones */
        out->region = out->box;
}

/* ---- without one ---- */

static Box around(Box b, int width, int height)
{
    const float x0 = fmaxf(0, b.x - LEARN_AROUND), y0 = fmaxf(0, b.y - LEARN_AROUND);
    const float x1 = fminf((float)width, b.x + b.width + LEARN_AROUND),
                y1 = fminf((float)height, b.y + b.height + LEARN_AROUND);
    return (Box){x0, y0, x1 - x0, y1 - y0};
}

static void take_plain(Context *ctx, const LearnAsk *ask, int width, int height, LearnItem *out)
{
    static const double one = 1;
    if (!ask->to)
        fail(ctx, ERR_INVALID, "%s: no file is named to write to", ask->name);
    if (ask->label)
        fail(ctx, ERR_INVALID, "%s: a label is for a signal of a watch", ask->name);
    if (ask->screen && ask->region)
        fail(ctx, ERR_INVALID, "%s: a screen's region is its box", ask->name);
    out->to = ask->to;
    out->box =
        ask->box ? box_of(ctx, ask, "box", ask->box) : (Box){0, 0, (float)width, (float)height};
    out->judged = ask->screen || ask->box;
    if (!out->judged && (ask->region || ask->absent))
        fail(ctx, ERR_INVALID, "%s: the box is missing: without one it is a picture of everything",
             ask->name);
    out->region = ask->screen || !out->judged ? out->box
                  : ask->region               ? box_of(ctx, ask, "region", ask->region)
                                              : around(out->box, width, height);
    if (ask->screen)
        out->signal = (Signal){.name = ask->name,
                               .kind = SIGNAL_SCREEN,
                               .screen = {.method = SCREEN_VIEW, .unknown_below = 0.6}};
    else
        out->signal =
            (Signal){.name = ask->name,
                     .kind = SIGNAL_ICON,
                     .icon = {.nscale = 1, .scale = &one, .mask = true, .on = 0.8, .off = 0.7}};
    const Box r = out->region;
    if (r.x < 0 || r.y < 0 || r.x + r.width > (float)width || r.y + r.height > (float)height)
        fail(ctx, ERR_INVALID, "%s: the region %g,%g,%g,%g lies outside the picture of %d x %d",
             ask->name, (double)r.x, (double)r.y, (double)r.width, (double)r.height, width, height);
}

const LearnItem *learn_plan(Context *ctx, const Watch *w, int width, int height, int n,
                            const LearnAsk *ask)
{
    LearnItem *const out = arena_array_of(ctx->arena, n + 1, LearnItem);
    for (int i = 0; i < n; i++) {
        out[i].name = ask[i].name;
        take_times(ctx, &ask[i], &out[i]);
        if (ask[i].signal)
            take_signal(ctx, &ask[i], w, &out[i], i, out);
        else
            take_plain(ctx, &ask[i], width, height, &out[i]);
    }
    return out;
}
