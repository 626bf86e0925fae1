/* Samples as lines of JSON.
 *
 *     {"v":1,"stream":"s1","epoch":0,"t_us":1500000,"frame":45,"wall_us":..,"clock":"rtcp","left_out_us":..,"signals":{
 *      "alive":{"score":0.97,"text":"9"},"skull":{"unknown":"black"},
 *      "unsafe":{"found":[{"box":[x,y,width,height],"score":0.8,"label":"KNIFE","track":3}]}}}
 *
 * (without the line breaks). What is 0 or missing is left out, but for a score of -0; skipped
 * signals are, too. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "watch/json_write.h"
#include "watch/watch.h"

#define MAX_TIME (INT64_C(1) << 53) /* us: 285 years */

static const char *const clock_name[] = {
    [CLOCK_MEDIA] = "media",
    [CLOCK_RTCP] = "rtcp",
    [CLOCK_PDT] = "pdt",
    [CLOCK_ARRIVAL] = "arrival",
};

const char *clock_text(SampleClock c) { return clock_name[c]; }

/* ---- writing ---- */

static bool is_zero(double v) { return v == 0 && !signbit(v); }

static void add_key(Str *out, const char *key, bool *first)
{
    if (!*first)
        str_addc(out, ',');
    *first = false;
    str_addf(out, "\"%s\":", key);
}

static void add_found(Str *out, const Found *f)
{
    str_add(out, "{\"box\":");
    json_add_box(out, &f->box);
    str_add(out, ",\"score\":");
    json_add_float(out, f->score);
    if (f->label) {
        str_add(out, ",\"label\":");
        json_add_string(out, f->label);
    }
    if (f->track)
        str_addf(out, ",\"track\":%lld", (long long)f->track);
    str_addc(out, '}');
}

static void add_seen(Str *out, const Observation *o)
{
    bool first = true;
    const struct {
        const char *key;
        float v;
    } score[] = {{"score", o->score}, {"second", o->second}};
    const struct { const char *key; double v; } place[] = {{"x", o->x}, {"y", o->y}};
    for (int i = 0; i < 2; i++) {
        if (is_zero((double)score[i].v))
            continue;
        add_key(out, score[i].key, &first);
        json_add_float(out, score[i].v);
    }
    for (int i = 0; i < 2; i++) {
        if (is_zero(place[i].v))
            continue;
        add_key(out, place[i].key, &first);
        json_add_number(out, place[i].v);
    }
    if (o->text) {
        add_key(out, "text", &first);
        json_add_string(out, o->text);
    }
    if (o->nfound > 0) {
        add_key(out, "found", &first);
        for (int i = 0; i < o->nfound; i++) {
            str_addc(out, i ? ',' : '[');
            add_found(out, &o->found[i]);
        }
        str_addc(out, ']');
    }
    if (o->reused) {
        add_key(out, "reused", &first);
        str_add(out, "true");
    }
}

void sample_json(Str *out, const Watch *w, const Sample *s)
{
    str_add(out, "{\"v\":1,\"stream\":");
    json_add_string(out, s->stream);
    str_addf(out, ",\"epoch\":%d,\"t_us\":%lld,\"frame\":%lld", s->epoch, (long long)s->t,
             (long long)s->frame);
    if (s->wall)
        str_addf(out, ",\"wall_us\":%lld", (long long)s->wall);
    str_addf(out, ",\"clock\":\"%s\"", clock_text(s->clock));
    if (s->left_out)
        str_addf(out, ",\"left_out_us\":%lld", (long long)s->left_out);
    str_add(out, ",\"signals\":{");
    bool first = true;
    for (int i = 0; i < w->nsignal; i++) {
        const Observation *const o = &s->at[i];
        if (o->state == OBSERVE_SKIPPED)
            continue;
        if (!first)
            str_addc(out, ',');
        first = false;
        json_add_string(out, w->signal[i].name);
        str_add(out, ":{");
        if (o->state == OBSERVE_UNKNOWN) {
            str_add(out, "\"unknown\":");
            json_add_string(out, o->reason);
        } else {
            add_seen(out, o);
        }
        str_addc(out, '}');
    }
    str_add(out, "}}");
}

/* ---- reading ---- */

typedef struct Reader {
    Arena *arena;
    Error *error;
} Reader;

static int bad(const Reader *r, const char *where, const char *what)
{
    return error_set(r->error, ERR_INVALID, "no sample: '%s' %s", where, what);
}

/* Leaves *out as it is where the key is missing. */
static int get_int(const Reader *r, const json_t *from, const char *key, int64_t min, int64_t max,
                   int64_t *out)
{
    const json_t *const v = json_object_get(from, key);
    if (!v)
        return 0;
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
        return bad(r, key, "must be a whole number, and not so large");
    *out = json_integer_value(v);
    return 0;
}

static bool number_of(const json_t *v, double *out)
{
    if (json_is_number(v)) {
        *out = json_number_value(v);
        return true;
    }
    static const struct { const char *text; double v; } special[] = {
        {"nan", (double)NAN}, {"inf", (double)INFINITY}, {"-inf", -(double)INFINITY},
    };
    for (int i = 0; i < 3 && json_is_string(v); i++) {
        if (strcmp(json_string_value(v), special[i].text) == 0) {
            *out = special[i].v;
            return true;
        }
    }
    return false;
}

static int get_number(const Reader *r, const json_t *from, const char *key, double *out)
{
    const json_t *const v = json_object_get(from, key);
    return !v || number_of(v, out) ? 0 : bad(r, key, "must be a number");
}

static int to_float(const Reader *r, const char *key, double v, float *out)
{
    if (isfinite(v) && fabs(v) >= 0x1.ffffffp127) /* half a step above the greatest float */
        return bad(r, key, "is too large");
    *out = (float)v;
    return 0;
}

static int get_float(const Reader *r, const json_t *from, const char *key, float *out)
{
    double v = 0;
    const int code = get_number(r, from, key, &v);
    return code ? code : to_float(r, key, v, out);
}

/* null and a missing key: NULL. */
static int get_text(const Reader *r, const json_t *from, const char *key, const char **out)
{
    const json_t *const v = json_object_get(from, key);
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_string(v))
        return bad(r, key, "must be a text");
    *out = arena_strdup(r->arena, json_string_value(v));
    return 0;
}

static int get_box(const Reader *r, const json_t *from, Box *out)
{
    const json_t *const v = json_object_get(from, "box");
    float *const at[] = {&out->x, &out->y, &out->width, &out->height};
    if (!json_is_array(v) || json_array_size(v) != 4)
        return bad(r, "box", "must be [x, y, width, height]");
    for (size_t i = 0; i < 4; i++) {
        double d;
        if (!number_of(json_array_get(v, i), &d))
            return bad(r, "box", "must be [x, y, width, height]");
        const int code = to_float(r, "box", d, at[i]);
        if (code)
            return code;
    }
    return 0;
}

static int get_found(const Reader *r, const json_t *from, Observation *o)
{
    const json_t *const v = json_object_get(from, "found");
    if (!v)
        return 0;
    if (!json_is_array(v))
        return bad(r, "found", "must be a list");
    o->nfound = (int)json_array_size(v);
    Found *const found = arena_array_of(r->arena, o->nfound, Found);
    o->found = found;
    for (int i = 0; i < o->nfound; i++) {
        const json_t *const f = json_array_get(v, (size_t)i);
        if (!json_is_object(f))
            return bad(r, "found", "must be a list of maps");
        int code = get_box(r, f, &found[i].box);
        if (code == 0)
            code = get_float(r, f, "score", &found[i].score);
        if (code == 0)
            code = get_text(r, f, "label", &found[i].label);
        if (code == 0)
            code = get_int(r, f, "track", TRACK_OPEN, MAX_TIME, &found[i].track);
        if (code != 0)
            return code;
    }
    return 0;
}

static int get_observation(const Reader *r, const char *name, const json_t *v, Observation *o)
{
    if (!json_is_object(v))
        return bad(r, name, "must be a map");
    if (json_object_get(v, "unknown")) {
        o->state = OBSERVE_UNKNOWN;
        return get_text(r, v, "unknown", &o->reason);
    }
    o->state = OBSERVE_SEEN;
    o->reused = json_is_true(json_object_get(v, "reused"));
    int code = get_float(r, v, "score", &o->score);
    if (code == 0)
        code = get_float(r, v, "second", &o->second);
    if (code == 0)
        code = get_number(r, v, "x", &o->x);
    if (code == 0)
        code = get_number(r, v, "y", &o->y);
    if (code == 0)
        code = get_text(r, v, "text", &o->text);
    return code ? code : get_found(r, v, o);
}

static int get_signals(const Reader *r, const Watch *w, const json_t *root, Sample *s)
{
    Observation *const at = arena_array_of(r->arena, w->nsignal, Observation);
    const json_t *const signals = json_object_get(root, "signals");
    s->at = at;
    if (!json_is_object(signals))
        return bad(r, "signals", "must be a map");
    for (int i = 0; i < w->nsignal; i++) {
        const json_t *const v = json_object_get(signals, w->signal[i].name);
        const int code = v ? get_observation(r, w->signal[i].name, v, &at[i]) : 0;
        if (code != 0)
            return code;
    }
    return 0;
}

static int get_clock(const Reader *r, const json_t *root, SampleClock *out)
{
    const json_t *const v = json_object_get(root, "clock");
    for (int c = 0; v && c < 4; c++) {
        if (json_is_string(v) && strcmp(json_string_value(v), clock_name[c]) == 0) {
            *out = (SampleClock)c;
            return 0;
        }
    }
    return v ? bad(r, "clock", "must be media, rtcp, pdt or arrival") : 0;
}

static int get_sample(const Reader *r, const Watch *w, const json_t *root, Sample *s)
{
    int64_t version = 0, epoch = 0;
    *s = (Sample){.frame = -1};
    if (!json_is_object(root))
        return error_set(r->error, ERR_INVALID, "no sample: not a map");
    int code = get_int(r, root, "v", 0, INT32_MAX, &version);
    if (code == 0 && version != 1)
        return error_set(r->error, ERR_INVALID, "no sample of version 1 (\"v\":1)");
    if (code == 0 && !json_object_get(root, "t_us"))
        return bad(r, "t_us", "is missing");
    if (code == 0)
        code = get_int(r, root, "t_us", -MAX_TIME, MAX_TIME, &s->t);
    if (code == 0)
        code = get_int(r, root, "epoch", 0, INT32_MAX, &epoch);
    if (code == 0)
        code = get_int(r, root, "frame", -1, MAX_TIME, &s->frame);
    if (code == 0)
        code = get_int(r, root, "wall_us", -MAX_TIME, MAX_TIME, &s->wall);
    if (code == 0)
        code = get_int(r, root, "left_out_us", 0, SAMPLE_MOST_LEFT_OUT, &s->left_out);
    if (code == 0)
        code = get_clock(r, root, &s->clock);
    if (code == 0)
        code = get_text(r, root, "stream", &s->stream);
    s->epoch = (int)epoch;
    return code ? code : get_signals(r, w, root, s);
}

static void release(void *root) { json_decref(*(json_t **)root); }

int sample_parse(Arena *a, const Watch *w, const char *line, size_t size, Sample *out, Error *e)
{
    /* The tree is freed with an arena of its own, also if `a` runs out of memory and does not
     * return. */
    Arena *const own = arena_child(a);
    json_t **const root = arena_new_of(own, json_t *);
    arena_defer(own, release, root);
    json_error_t why;
    *root = json_loadb(line, size, JSON_REJECT_DUPLICATES, &why);
    const Reader r = {.arena = a, .error = e};
    const int code =
        *root ? get_sample(&r, w, *root, out)
              : error_set(e, ERR_INVALID, "no sample: column %d: %s", why.column, why.text);
    arena_free(own);
    return code;
}
