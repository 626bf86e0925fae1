/* The sections of a watch file, and its events. */
#include "watch/config.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "watch/clip_plan.h"
#include "watch/config_align.h"
#include "watch/config_signal.h"
#include "watch/config_spotlight.h"
#include "watch/rule.h"

/* ---- watch, model, region ---- */

static void read_sampling(const Yaml *y, const YamlNode *node, Watch *w)
{
    static const char *const policy[] = {"newest", "every", "keyframes"};
    YamlMap m = yaml_map(y, node, "'sample'");
    w->fps = yaml_number(&m, "fps", 2, 0.001, 240);
    w->max_fps = yaml_number(&m, "max_fps", w->fps > 10 ? w->fps : 10, 0.001, 240);
    w->policy = (SamplePolicy)yaml_choice(&m, "policy", SAMPLE_NEWEST, policy, 3);
    yaml_done(&m);
    if (w->max_fps < w->fps)
        yaml_fail(y, node->place, "'sample': 'max_fps' must not be below 'fps'");
}

static void read_head(const Yaml *y, const YamlNode *node, Watch *w)
{
    YamlMap m = yaml_map(y, node, "'watch'");
    double size[2] = {1280, 720};
    w->name = yaml_text(&m, "name", "watch");
    const YamlNode *const at = yaml_get(&m, "reference_size");
    yaml_numbers(&m, "reference_size", 2, size);
    for (int i = 0; i < 2; i++)
        if (!(size[i] >= 1 && size[i] <= 16384 && size[i] == (double)(int)size[i]))
            yaml_fail(y, at->place, "'reference_size' must be [width, height] in whole pixels");
    w->width = (int)size[0];
    w->height = (int)size[1];
    read_sampling(y, yaml_get(&m, "sample"), w);
    w->gap = yaml_duration(&m, "gap", 2000000);
    yaml_done(&m);
}

static const char *default_model(YamlMap *m, const Watch *w, const char *key)
{
    const YamlNode *const n = yaml_get(m, key);
    if (!n)
        return NULL;
    const char *const path =
        path_join(m->yaml->ctx->arena, w->dir, yaml_node_text(m->yaml, n, key));
    if (!file_exists(path))
        yaml_fail(m->yaml, n->place, "'model': no file %s", path);
    return path;
}

static ModelDefaults read_models(const Yaml *y, const YamlNode *node, Watch *w)
{
    static const char *const precision[] = {"auto", "f32", "bf16"};
    YamlMap m = yaml_map(y, node, "'model'");
    const ModelDefaults d = {
        .recogniser = default_model(&m, w, "recogniser"),
        .detector = default_model(&m, w, "detector"),
    };
    w->precision = (ModelPrecision)yaml_choice(&m, "precision", MODEL_AUTO, precision, 3);
    yaml_done(&m);
    return d;
}

static void read_regions(const Yaml *y, const YamlNode *node, Watch *w)
{
    YamlMap m = yaml_map(y, node, "'region'");
    w->nregion = m.node ? m.node->n : 0;
    if (w->nregion > CONFIG_MAX_REGIONS)
        yaml_fail(y, node->place, "%d regions; at most %d are possible", w->nregion,
                  CONFIG_MAX_REGIONS);
    Region *const out = arena_array_of(y->ctx->arena, w->nregion + 1, Region);
    for (int i = 0; i < w->nregion; i++) {
        const char *const name = node->key[i]->text;
        double box[4];
        yaml_numbers(&m, name, 4, box);
        const Place at = node->at[i]->place;
        if (!(box[2] >= 1 && box[3] >= 1))
            yaml_fail(y, at, "region '%s' must be [x, y, width, height], at least a pixel each way",
                      name);
        if (!(box[0] >= 0 && box[1] >= 0 && box[0] + box[2] <= w->width &&
              box[1] + box[3] <= w->height))
            yaml_fail(y, at, "region '%s' lies outside the reference size %d x %d", name, w->width,
                      w->height);
        out[i] = (Region){name, {(float)box[0], (float)box[1], (float)box[2], (float)box[3]}};
    }
    w->region = out;
}

/* ---- signals ---- */

static const struct Rule *condition_at(const Yaml *y, const Watch *w, const YamlNode *n, int each)
{
    return n ? rule_parse_condition(y->ctx, w, y->name, yaml_text_place(n),
                                    yaml_node_text(y, n, "a condition"), each)
             : NULL;
}

/* Rules may name any signal, so these come first; what is a rule in them (guard.reset_on) after. */
static void read_signals(const Yaml *y, const YamlNode *node, const ModelDefaults *models, Watch *w,
                         const YamlNode **reset_on)
{
    YamlMap m = yaml_map(y, node, "'signal'");
    const int n = m.node ? m.node->n : 0;
    if (n > CONFIG_MAX_SIGNALS)
        yaml_fail(y, node->place, "%d signals; at most %d are possible", n, CONFIG_MAX_SIGNALS);
    Signal *const out = arena_array_of(y->ctx->arena, n + 1, Signal);
    for (int i = 0; i < n; i++)
        out[i] = config_signal(y, w, node->key[i]->text, node->at[i], models, &reset_on[i]);
    w->signal = out;
    w->nsignal = n;
}

static void read_resets(const Yaml *y, const YamlNode *const *reset_on, Watch *w)
{
    Signal *const signal = (Signal *)w->signal;
    for (int i = 0; i < w->nsignal; i++)
        if (reset_on[i])
            signal[i].text.guard.reset_on = condition_at(y, w, reset_on[i], -1);
}

/* ---- events ---- */

static Window window(YamlMap *m, const char *key)
{
    const YamlNode *const at = yaml_get(m, key);
    double v[2] = {1, 1};
    yaml_numbers(m, key, 2, v);
    for (int i = 0; i < 2; i++)
        if (!(v[i] >= 1 && v[i] <= 1000 && v[i] == (double)(int)v[i]))
            yaml_fail(m->yaml, at->place, "%s: '%s' must be [n, m]: n of the last m samples",
                      m->what, key);
    if (v[0] > v[1])
        yaml_fail(m->yaml, at->place, "%s: '%s': %d of the last %d can never be", m->what, key,
                  (int)v[0], (int)v[1]);
    return (Window){(int)v[0], (int)v[1]};
}

/* "20/h" */
static void read_limit(YamlMap *m, EventRule *r)
{
    const YamlNode *const n = yaml_get(m, "limit");
    if (!n)
        return;
    const char *const text = yaml_node_text(m->yaml, n, "'limit'");
    int count = 0, used = 0;
    const bool number = sscanf(text, "%d/%n", &count, &used) == 1 && used > 0 && count > 0;
    const char *const unit = text + used;
    const bool single = strcmp(unit, "s") == 0 || strcmp(unit, "m") == 0 || strcmp(unit, "h") == 0;
    const char *const span = single ? arena_printf(m->yaml->ctx->arena, "1%s", unit) : unit;
    if (!number || !duration_parse(span, &r->limit_per) || r->limit_per == 0)
        yaml_fail(m->yaml, n->place,
                  "%s: 'limit' must be a number of starts in a time: 20/h, 3/10s", m->what);
    if (count > EVENT_MAX_LIMIT)
        yaml_fail(m->yaml, n->place, "%s: 'limit': at most %d starts can be counted", m->what,
                  EVENT_MAX_LIMIT);
    r->limit = count;
}

/* A sink says which events it takes; here it would be without effect. */
static void refuse_sink(YamlMap *m)
{
    const YamlNode *const at = yaml_get(m, "sink");
    if (at)
        yaml_fail(m->yaml, at->place,
                  "%s: 'sink': sinks name their events, as in sinks: {all: {events: [..]}}",
                  m->what);
}

static void read_clip(const Yaml *y, const YamlNode *node, EventRule *r)
{
    YamlMap m = yaml_map(y, node, "'clip'");
    r->clip.given = node != NULL;
    r->clip.pre = yaml_duration(&m, "pre", 5000000);
    r->clip.post = yaml_duration(&m, "post", 3000000);
    if (r->clip.pre + r->clip.post > CLIP_LONGEST)
        yaml_fail(y, node->place, "'clip': 'pre' and 'post' together are two minutes at most");
    r->clip.weight = yaml_number(&m, "weight", 1, 0, 1000);
    yaml_done(&m);
}

static void read_recheck(const Yaml *y, const YamlNode *node, EventRule *r)
{
    YamlMap m = yaml_map(y, node, "'recheck'");
    r->recheck.fps = yaml_number(&m, "fps", 0, 0.001, 240);
    r->recheck.span = yaml_duration(&m, "for", node ? 4000000 : 0);
    yaml_done(&m);
}

static void read_data(YamlMap *m, const Watch *w, EventRule *r)
{
    const YamlNode *const n = yaml_get(m, "data");
    r->ndata = !n ? 0 : n->kind == YAML_LIST ? n->n : 1;
    if (r->ndata > EVENT_MAX_DATA)
        yaml_fail(m->yaml, n->place, "%s: 'data' has %d values; at most %d are possible", m->what,
                  r->ndata, EVENT_MAX_DATA);
    const struct Rule **const data =
        arena_array(m->yaml->ctx->arena, (size_t)r->ndata + 1, sizeof *data);
    for (int i = 0; i < r->ndata; i++) {
        const YamlNode *const at = n->kind == YAML_LIST ? n->at[i] : n;
        data[i] = rule_parse(m->yaml->ctx, w, m->yaml->name, yaml_text_place(at),
                             yaml_node_text(m->yaml, at, "a value"), r->each);
    }
    r->data = data;
}

static int find_each(YamlMap *m, const Watch *w)
{
    const YamlNode *const n = yaml_get(m, "each");
    if (!n)
        return -1;
    const int s = watch_find_signal(w, yaml_node_text(m->yaml, n, "'each'"));
    const bool list =
        s >= 0 && (w->signal[s].kind == SIGNAL_OBJECT ||
                   (w->signal[s].kind == SIGNAL_TEXT && w->signal[s].text.mode == TEXT_PAGE));
    if (!list)
        yaml_fail(m->yaml, n->place,
                  "%s: 'each' must name a signal of objects, or of a page of text", m->what);
    return s;
}

/* A point has no end that `max` could bring; an instant takes no time, so none is too short. */
static void check_durations(YamlMap *m, const EventRule *r)
{
    const bool instant = rule_is_instant(r->when);
    const YamlNode *const max = yaml_get(m, "max"), *const min = yaml_get(m, "min");
    if (max && (r->point || instant))
        yaml_fail(m->yaml, max->place, "%s: 'max' is for events that have an end", m->what);
    if (min && instant)
        yaml_fail(m->yaml, min->place,
                  "%s: 'min' is not for conditions of an instant (changed, rises, seq)", m->what);
}

static void read_event(const Yaml *y, const YamlNode *node, const Watch *w, EventRule *r)
{
    static const char *const emit[] = {"span", "point"};
    YamlMap m = yaml_map(y, node, arena_printf(y->ctx->arena, "event '%s'", r->name));
    r->each = find_each(&m, w);
    r->when = condition_at(y, w, yaml_need(&m, "when"), r->each);
    r->within = condition_at(y, w, yaml_get(&m, "within"), r->each);
    r->point = yaml_choice(&m, "emit", 0, emit, 2) == 1;
    r->confirm = window(&m, "confirm");
    r->release = window(&m, "release");
    r->min = yaml_duration(&m, "min", 0);
    r->max = yaml_duration(&m, "max", 0);
    r->cooldown = yaml_duration(&m, "cooldown", 0);
    r->merge = yaml_duration(&m, "merge", 0);
    check_durations(&m, r);
    read_limit(&m, r);
    r->severity = yaml_int(&m, "severity", 0, 0, 10);
    read_data(&m, w, r);
    read_recheck(y, yaml_get(&m, "recheck"), r);
    read_clip(y, yaml_get(&m, "clip"), r);
    refuse_sink(&m);
    yaml_done(&m);
}

static void read_events(const Yaml *y, const YamlNode *node, Watch *w)
{
    YamlMap m = yaml_map(y, node, "'event'");
    const int n = m.node ? m.node->n : 0;
    if (n > CONFIG_MAX_EVENTS)
        yaml_fail(y, node->place, "%d events; at most %d are possible", n, CONFIG_MAX_EVENTS);
    EventRule *const out = arena_array_of(y->ctx->arena, n + 1, EventRule);
    for (int i = 0; i < n; i++) {
        out[i] = (EventRule){.name = node->key[i]->text, .place = node->key[i]->place};
        if (watch_find_signal(w, out[i].name) >= 0)
            yaml_fail(y, out[i].place, "event '%s': a signal has this name", out[i].name);
    }
    w->event = out; /* names first: rules may speak of any event */
    w->nevent = n;
    for (int i = 0; i < n; i++)
        read_event(y, node->at[i], w, &out[i]);
}

/* ---- the file ---- */

static const Watch *read_watch(const Yaml *y, bool names)
{
    Watch *const w = arena_new_of(y->ctx->arena, Watch);
    w->names = names;
    w->path = y->name;
    w->dir = path_dir(y->ctx->arena, y->name);
    YamlMap m = yaml_map(y, y->root, "the file");
    for (int i = 0; i < 3; i++) /* where it runs, service.h reads */
        yaml_get(&m, (const char *[]){"streams", "sinks", "service"}[i]);
    read_head(y, yaml_get(&m, "watch"), w);
    const ModelDefaults models = read_models(y, yaml_get(&m, "model"), w);
    read_regions(y, yaml_get(&m, "region"), w);
    w->align = config_align(y, w, yaml_get(&m, "align"));
    w->recogniser = models.recogniser;
    w->detector = models.detector;
    const YamlNode *reset_on[CONFIG_MAX_SIGNALS] = {0};
    read_signals(y, yaml_get(&m, "signal"), &models, w, reset_on);
    read_events(y, yaml_get(&m, "event"), w);
    read_resets(y, reset_on, w);
    w->spotlight = config_spotlight(y, yaml_get(&m, "spotlight"), w);
    yaml_done(&m);
    return w;
}

const Watch *config_read(Context *ctx, const char *path)
{
    const Yaml y = yaml_read(ctx, path);
    return read_watch(&y, false);
}

const Watch *config_read_names(Context *ctx, const char *path)
{
    const Yaml y = yaml_read(ctx, path);
    return read_watch(&y, true);
}

const Watch *config_parse(Context *ctx, const char *path, const char *text, size_t size)
{
    const Yaml y = yaml_parse(ctx, path, text, size);
    return read_watch(&y, false);
}
