/* One signal of a watch file, by its kind. */
#include "watch/config_signal.h"

#include <glob.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "base/vec.h"
#include "watch/config_object.h"
#include "watch/pattern.h"

#define MAX_REFERENCES 256

/* ---- files ---- */

/* Names are relative to the watch's file, and may hold wild cards. */
static void add_files(const Yaml *y, const Watch *w, const YamlNode *n, const char *what,
                      const char *label, Reference *out, int *count)
{
    const char *const pattern = path_join(y->ctx->arena, w->dir, yaml_node_text(y, n, what));
    if (w->names && *count < MAX_REFERENCES) {
        out[(*count)++] = (Reference){pattern, label};
        return;
    }
    glob_t found = {0};
    const int code = glob(pattern, 0, NULL, &found);
    const int n_found = code == 0 ? (int)found.gl_pathc : 0;
    const bool fits = *count + n_found <= MAX_REFERENCES;
    for (int i = 0; i < n_found && fits; i++)
        out[(*count)++] = (Reference){arena_strdup(y->ctx->arena, found.gl_pathv[i]), label};
    globfree(&found);
    if (n_found == 0)
        yaml_fail(y, n->place, "%s: no file %s", what, pattern);
    if (!fits)
        yaml_fail(y, n->place, "%s: more than %d pictures", what, MAX_REFERENCES);
}

/* A name, or a list of names. */
static void add_references(const Yaml *y, const Watch *w, const YamlNode *n, const char *what,
                           const char *label, Reference *out, int *count)
{
    for (int i = 0; n->kind == YAML_LIST && i < n->n; i++)
        add_files(y, w, n->at[i], what, label, out, count);
    if (n->kind != YAML_LIST)
        add_files(y, w, n, what, label, out, count);
}

static const Reference *references(YamlMap *m, const Watch *w, const char *key, int *count)
{
    Reference *const out = arena_array_of(m->yaml->ctx->arena, MAX_REFERENCES, Reference);
    *count = 0;
    add_references(m->yaml, w, yaml_need(m, key),
                   arena_printf(m->yaml->ctx->arena, "%s: '%s'", m->what, key), NULL, out, count);
    return out;
}

/* A file that must be there; the default is taken as it is. */
static const char *model_file(YamlMap *m, const Watch *w, const char *missing)
{
    const YamlNode *const n = yaml_get(m, "model");
    if (!n)
        return missing;
    const char *const path =
        path_join(m->yaml->ctx->arena, w->dir, yaml_node_text(m->yaml, n, "'model'"));
    if (!file_exists(path))
        yaml_fail(m->yaml, n->place, "%s: no file %s", m->what, path);
    return path;
}

/* ---- text ---- */

static void *compile_pattern(YamlMap *m, const YamlNode *n, const char *text)
{
    const char *why;
    size_t at;
    void *const code = pattern_compile(m->yaml->ctx->arena, text, &why, &at);
    if (!code)
        yaml_fail(m->yaml, n->place, "%s: pattern '%s', at byte %zu: %s", m->what, text, at + 1,
                  why);
    return code;
}

static Guard guard(const Yaml *y, const YamlNode *node, const YamlNode **reset_on)
{
    Guard g = {.given = node != NULL};
    YamlMap m = yaml_map(y, node, "'guard'");
    g.max_up_per_s = yaml_number(&m, "max_up_per_s", (double)INFINITY, 0, 1e12);
    g.max_down_per_s = yaml_number(&m, "max_down_per_s", (double)INFINITY, 0, 1e12);
    g.rebaseline_after = yaml_int(&m, "rebaseline_after", 5, 1, 1000);
    *reset_on = yaml_get(&m, "reset_on");
    yaml_done(&m);
    return g;
}

static TextSignal text_signal(YamlMap *m, const YamlNode **reset_on)
{
    static const char *const mode[] = {"line", "page"}, *const type[] = {"text", "int", "float"};
    TextSignal s = {
        .mode = (TextMode)yaml_choice(m, "mode", TEXT_LINE, mode, 2),
        .type = (TextType)yaml_choice(m, "type", TEXT_STRING, type, 3),
        .charset = yaml_text(m, "charset", NULL),
        .min_confidence = yaml_number(m, "min_conf", 0.5, 0, 1),
        .min = -(double)INFINITY,
        .max = (double)INFINITY,
        .vote = 1,
    };
    const YamlNode *const parse = yaml_get(m, "parse");
    if (parse) {
        s.parse = yaml_node_text(m->yaml, parse, "'parse'");
        s.pattern = compile_pattern(m, parse, s.parse);
    }
    double range[2];
    const YamlNode *const at = yaml_get(m, "range");
    if (yaml_numbers(m, "range", 2, range)) {
        if (s.type == TEXT_STRING)
            yaml_fail(m->yaml, at->place,
                      "%s: 'range' is for numbers: add 'type: int' or 'type: float'", m->what);
        if (range[0] > range[1])
            yaml_fail(m->yaml, at->place, "%s: 'range' must be [least, greatest]", m->what);
        s.min = range[0];
        s.max = range[1];
    }
    YamlMap smooth = yaml_map(m->yaml, yaml_get(m, "smooth"), "'smooth'");
    s.vote = yaml_int(&smooth, "vote", 1, 1, 15);
    s.vote_within = yaml_duration(&smooth, "within", 3000000);
    yaml_done(&smooth);
    const YamlNode *const g = yaml_get(m, "guard");
    if (g && s.type == TEXT_STRING)
        yaml_fail(m->yaml, g->place, "%s: 'guard' is for numbers: add 'type: int' or 'type: float'",
                  m->what);
    s.guard = guard(m->yaml, g, reset_on);
    if (s.mode == TEXT_PAGE && (s.type != TEXT_STRING || s.parse))
        yaml_fail(m->yaml, m->node->place, "%s: 'type' and 'parse' are for 'mode: line'", m->what);
    if (s.mode == TEXT_PAGE && smooth.node)
        yaml_fail(m->yaml, smooth.node->place, "%s: 'smooth' is for 'mode: line'", m->what);
    return s;
}

/* ---- the others ---- */

static void hysteresis(YamlMap *m, double on, double off, double *out_on, double *out_off)
{
    const YamlNode *const at = yaml_get(m, "off");
    *out_on = yaml_number(m, "on", on, -1, 1);
    *out_off = yaml_number(m, "off", at ? off : *out_on < off ? *out_on : off, -1, 1);
    if (*out_off > *out_on)
        yaml_fail(m->yaml, at ? at->place : m->node->place, "%s: 'off' must not be above 'on'",
                  m->what);
}

#define EMBED_ICON 64    /* side of what the default model is shown of an icon .. */
#define EMBED_SCREEN 128 /* .. and of a screen */

static IconSignal embedded_icon(YamlMap *m, const Watch *w)
{
    IconSignal s = {.method = ICON_EMBED};
    s.ref = references(m, w, "refs", &s.nref);
    const YamlNode *const others = yaml_get(m, "others");
    if (others)
        s.other = references(m, w, "others", &s.nother);
    const YamlNode *const margin = yaml_get(m, "margin");
    if (margin && !others)
        yaml_fail(m->yaml, margin->place, "%s: 'margin' is to 'others', and there are none",
                  m->what);
    s.margin = yaml_number(m, "margin", 0.03, 0, 2);
    s.input = config_embed(m, EMBED_ICON, &s.output);
    hysteresis(m, others ? 0.5 : 0.75, others ? 0.45 : 0.7, &s.on, &s.off);
    return s;
}

static IconSignal icon_signal(YamlMap *m, const Watch *w)
{
    static const char *const method[] = {"ncc", "embed"}, *const mask[] = {"none", "alpha"};
    IconSignal s = {.method = (IconMethod)yaml_choice(m, "method", ICON_NCC, method, 2)};
    if (s.method == ICON_EMBED)
        return embedded_icon(m, w);
    double scale[16] = {1};
    s.ref = references(m, w, "template", &s.nref);
    const int n = yaml_number_list(m, "scales", 16, scale);
    s.nscale = n ? n : 1;
    for (int i = 0; i < s.nscale; i++)
        if (!(scale[i] >= 0.1 && scale[i] <= 10))
            yaml_fail(m->yaml, m->node->place, "%s: 'scales' must be between 0.1 and 10", m->what);
    s.scale = arena_dup(m->yaml->ctx->arena, scale, sizeof scale);
    s.mask = yaml_choice(m, "mask", 1, mask, 2) == 1;
    hysteresis(m, 0.8, 0.7, &s.on, &s.off);
    return s;
}

static ScreenSignal screen_signal(YamlMap *m, const Watch *w)
{
    static const char *const method[] = {"view", "phash", "embed"};
    ScreenSignal s = {.method = (ScreenMethod)yaml_choice(m, "method", SCREEN_VIEW, method, 3)};
    const Yaml *const y = m->yaml;
    const YamlNode *const classes = yaml_need(m, "classes");
    if (classes->kind != YAML_MAP || classes->n == 0)
        yaml_fail(y, classes->place, "%s: 'classes' must be a map, label: pictures", m->what);
    Reference *const ref = arena_array_of(y->ctx->arena, MAX_REFERENCES, Reference);
    for (int i = 0; i < classes->n; i++)
        add_references(y, w, classes->at[i], m->what, classes->key[i]->text, ref, &s.nref);
    s.ref = ref;
    s.unknown_below = yaml_number(m, "unknown_below", 0.6, -1, 1);
    s.margin = yaml_number(m, "margin", 0, 0, 2);
    if (s.method == SCREEN_EMBED)
        s.input = config_embed(m, EMBED_SCREEN, &s.output);
    return s;
}

static MotionSignal motion_signal(YamlMap *m)
{
    return (MotionSignal){
        .threshold = yaml_number(m, "threshold", 12, 0, 255),
        .min_area = yaml_number(m, "min_area", 0.01, 0, 1),
    };
}

static PositionSignal position_signal(YamlMap *m, const Watch *w)
{
    PositionSignal s = {.map = {1, 0, 0, 0, 1, 0}};
    s.ref = references(m, w, "template", &s.nref);
    s.nrotation = yaml_int(m, "rotations", 16, 1, 64);
    s.on = yaml_number(m, "on", 0.6, -1, 1);
    yaml_numbers(m, "map", 6, s.map);
    s.area = config_areas(m->yaml, yaml_get(m, "areas"), &s.narea);
    return s;
}

static AudioSignal audio_signal(YamlMap *m)
{
    AudioSignal s = {.min_on = yaml_duration(m, "min_on", 250000),
                     .min_off = yaml_duration(m, "min_off", 100000)};
    hysteresis(m, 0.5, 0.35, &s.on, &s.off);
    return s;
}

static int find_region(const Yaml *y, const Watch *w, const YamlNode *n, const char *what)
{
    const char *const name = yaml_node_text(y, n, "'region'");
    for (int i = 0; i < w->nregion; i++)
        if (strcmp(w->region[i].name, name) == 0)
            return i;
    yaml_fail(y, n->place, "%s: there is no region '%s'", what, name);
}

static bool has_model(const Signal *s)
{
    switch (s->kind) {
    case SIGNAL_ICON: return s->icon.method == ICON_EMBED;
    case SIGNAL_SCREEN: return s->screen.method == SCREEN_EMBED;
    case SIGNAL_MOTION:
    case SIGNAL_POSITION: return false;
    default: return true;
    }
}

Signal config_signal(const Yaml *y, const Watch *w, const char *name, const YamlNode *node,
                     const ModelDefaults *models, const YamlNode **reset_on)
{
    const char *from[SIGNAL_AUDIO + 1];
    for (int i = 0; i <= SIGNAL_AUDIO; i++)
        from[i] = signal_kind_name((SignalKind)i);
    YamlMap m = yaml_map(y, node, arena_printf(y->ctx->arena, "signal '%s'", name));
    const YamlNode *const kind = yaml_need(&m, "from"), *const region = yaml_get(&m, "region");
    Signal s = {.name = name,
                .place = kind->place,
                .region = region ? find_region(y, w, region, m.what) : -1};
    s.kind = (SignalKind)yaml_choice(&m, "from", 0, from, SIGNAL_AUDIO + 1);
    /* That nothing moves is news, and sound has no region. */
    const bool gated = s.kind != SIGNAL_MOTION && s.kind != SIGNAL_AUDIO;
    s.max_age = gated ? yaml_duration(&m, "max_age", 10000000) : 0;
    *reset_on = NULL;
    switch (s.kind) {
    case SIGNAL_TEXT: s.text = text_signal(&m, reset_on); break;
    case SIGNAL_ICON: s.icon = icon_signal(&m, w); break;
    case SIGNAL_SCREEN: s.screen = screen_signal(&m, w); break;
    case SIGNAL_OBJECT: s.object = config_object(&m, w); break;
    case SIGNAL_CLASS: s.object = config_class(&m, w); break;
    case SIGNAL_MOTION: s.motion = motion_signal(&m); break;
    case SIGNAL_POSITION: s.position = position_signal(&m, w); break;
    case SIGNAL_AUDIO: s.audio = audio_signal(&m); break;
    }
    if (has_model(&s))
        s.model = model_file(&m, w, s.kind == SIGNAL_TEXT ? models->recogniser : NULL);
    yaml_done(&m);
    return s;
}
