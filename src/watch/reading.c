/* Readings of all kinds of signals, and what changes of them are remembered. */
#include "watch/reading.h"

#include <math.h>
#include <string.h>

#include "base/map.h"
#include "watch/reading_parts.h"

struct Readings {
    const Watch *watch;
    Matcher *matcher;
    Reading *now;
    ReadingState *state;
    int64_t left_out; /* of samples, in this epoch */
};

void reading_why(char why[32], const char *reason)
{
    text_copy(why, 32, reason);
}

bool label_matches(const char *pattern, const char *label)
{
    const char *star = NULL, *from = NULL; /* where to go on if what follows the last * fails */
    while (*label) {
        if (*pattern == '*') {
            star = ++pattern;
            from = label;
        } else if (*pattern == *label) {
            pattern++;
            label++;
        } else if (star) {
            pattern = star;
            label = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

static bool is_list(const Signal *s)
{
    return rule_signal_type(s, FIELD_VALUE) == VALUE_LIST;
}

static bool is_line(const Signal *s)
{
    return s->kind == SIGNAL_TEXT && s->text.mode == TEXT_LINE;
}

Readings *readings_new(Arena *a, const Watch *w)
{
    Readings *const r = arena_new_of(a, Readings);
    *r = (Readings){.watch = w,
                    .matcher = matcher_new(a),
                    .now = arena_array_of(a, w->nsignal, Reading),
                    .state = arena_array_of(a, w->nsignal, ReadingState)};
    const RuleWindows once = rule_windows(w, (Window){1, 1}, (Window){1, 1});
    for (int i = 0; i < w->nsignal; i++) {
        const Signal *const d = &w->signal[i];
        ReadingState *const s = &r->state[i];
        for (int k = 0; k < 2 && rule_signal_type(d, FIELD_VALUE) == VALUE_TEXT; k++)
            s->text[k] = arena_alloc(a, EVENT_MAX_TEXT);
        if (is_line(d))
            reading_line_new(a, s, &d->text);
        if (is_line(d) && d->text.guard.reset_on)
            s->reset = rule_memory_new(a, d->text.guard.reset_on, &once);
        if (is_list(d)) {
            s->found = arena_array_of(a, READING_MAX_FOUND, Found);
            s->pool = arena_alloc(a, READING_MAX_PAGE);
            s->page = arena_alloc(a, READING_MAX_PAGE);
        }
        if (d->kind == SIGNAL_OBJECT) {
            const TrackOptions opt = {d->object.min_score, d->object.iou, d->object.confirm,
                                      d->object.lost};
            s->tracker = tracker_new(a, &opt, READING_MAX_FOUND);
            s->seen = arena_array_of(a, READING_MAX_FOUND, TrackSeen);
            s->track = arena_array_of(a, READING_MAX_FOUND, int64_t);
        }
    }
    readings_reset(r);
    return r;
}

void readings_reset(Readings *r)
{
    r->left_out = 0;
    for (int i = 0; i < r->watch->nsignal; i++) {
        ReadingState *const s = &r->state[i];
        r->now[i] = (Reading){.since = NO_TIME};
        s->known = NO_TIME;
        s->last = s->before = value_unknown();
        s->on = s->raw = false;
        reading_line_reset(s);
        if (s->tracker)
            tracker_reset(s->tracker);
        if (s->reset)
            rule_memory_reset(s->reset, r->watch->signal[i].text.guard.reset_on);
    }
}

const Reading *readings_now(const Readings *r)
{
    return r->now;
}

/* ---- by kind ---- */

static bool hysteresis(bool before, double score, double on, double off)
{
    return score >= on || (before && score >= off);
}

/* An icon that is compared with others, too, is none of them. */
static bool leads(const IconSignal *d, const Observation *o)
{
    return d->nother == 0 || (double)o->score - (double)o->second >= d->margin;
}

/* The state turns once the other one has lasted. */
static RuleValue read_audio(ReadingState *s, const AudioSignal *d, double score, int64_t t)
{
    const bool raw = hysteresis(s->raw, score, d->on, d->off);
    if (raw != s->raw)
        s->raw_since = t;
    s->raw = raw;
    if (raw != s->on && t - s->raw_since >= (raw ? d->min_on : d->min_off))
        s->on = raw;
    return value_truth(s->on);
}

static RuleValue read_screen(const ScreenSignal *d, const Observation *o, char why[32])
{
    const double score = (double)o->score, second = (double)o->second;
    const bool leads = isfinite(second) && score - second >= d->margin;
    if (score >= d->unknown_below && leads && o->text && o->text[0])
        return value_text(o->text);
    reading_why(why, score >= d->unknown_below ? "margin" : "score");
    return value_unknown();
}

static bool wanted_label(const ObjectSignal *d, const char *label)
{
    bool any = d->nlabel == 0;
    for (int i = 0; i < d->nlabel && !any; i++)
        any = label_matches(d->label[i], label);
    return any;
}

static RuleValue read_class(const ObjectSignal *d, const Observation *o, char why[32])
{
    if ((double)o->score < d->min_score || !o->text) {
        reading_why(why, "score");
        return value_unknown();
    }
    return value_text(wanted_label(d, o->text) ? o->text : "");
}

/* By crossings of a ray to the right. */
static bool inside(const Area *a, double x, double y)
{
    bool in = false;
    for (int i = 0, j = a->npoint - 1; i < a->npoint; j = i++) {
        const double *const p = &a->xy[2 * i], *const q = &a->xy[2 * j];
        if ((p[1] > y) != (q[1] > y) && x < (q[0] - p[0]) * (y - p[1]) / (q[1] - p[1]) + p[0])
            in = !in;
    }
    return in;
}

static const char *area_of(int n, const Area *area, double x, double y)
{
    for (int i = 0; i < n; i++)
        if (inside(&area[i], x, y))
            return area[i].name;
    return "";
}

static RuleValue read_position(const PositionSignal *d, const Observation *o, Reading *out)
{
    if ((double)o->score < d->on)
        return value_truth(false);
    if (!isfinite(o->x) || !isfinite(o->y)) {
        reading_why(out->why, "coordinates");
        return value_unknown();
    }
    out->placed = true;
    out->x = o->x;
    out->y = o->y;
    out->area = area_of(d->narea, d->area, o->x, o->y);
    return value_truth(true);
}

/* ---- lists ---- */

/* Those with one of the labels get their tracks; a sample whose objects have some already keeps
 * them. */
static bool track_objects(ReadingState *s, const ObjectSignal *d, const Observation *o, int64_t t)
{
    bool open = o->nfound == 0;
    int n = 0, of[READING_MAX_FOUND];
    for (int i = 0; i < o->nfound; i++)
        open = open || o->found[i].track == TRACK_OPEN;
    for (int i = 0; i < o->nfound && i < READING_MAX_FOUND; i++) {
        const Found *const f = &o->found[i];
        const char *const label = f->label ? f->label : "";
        const bool whole = isfinite(f->box.x) && isfinite(f->box.y) && isfinite(f->box.width) &&
                           isfinite(f->box.height);
        s->track[i] = 0;
        if (!open || !whole || !wanted_label(d, label))
            continue;
        s->seen[n] = (TrackSeen){f->box.x,      f->box.y, f->box.width,
                                 f->box.height, f->score, hash_bytes(label, strlen(label), 0)};
        of[n++] = i;
    }
    if (!open)
        return false;
    int64_t track[READING_MAX_FOUND];
    tracker_step(s->tracker, t, s->seen, n, track);
    for (int i = 0; i < n; i++)
        s->track[of[i]] = track[i];
    return true;
}

/* A copy of those that count, and the best of them. */
static RuleValue read_list(ReadingState *s, const Signal *d, const Observation *o, int64_t t,
                           Reading *out)
{
    const bool lines = d->kind == SIGNAL_TEXT;
    const double least = lines ? d->text.min_confidence : d->object.min_score;
    size_t used = 0, page = 0;
    int n = 0;
    s->page[0] = 0;
    for (int i = 0; i < o->nfound; i++) {
        if (!isfinite(o->found[i].score)) {
            reading_why(out->why, "score");
            return value_unknown();
        }
    }
    const bool tracked = !lines && track_objects(s, &d->object, o, t);
    for (int i = 0; i < o->nfound && n < READING_MAX_FOUND; i++) {
        const Found *const f = &o->found[i];
        const char *const label = f->label ? f->label : "";
        if (tracked ? i >= READING_MAX_FOUND || s->track[i] <= 0
                    : (double)f->score < least || (!lines && !wanted_label(&d->object, label)))
            continue;
        /* malformed bytes grow to three */
        const size_t room = READING_MAX_PAGE - used, len = strlen(label) * 3 + 1;
        if (room < (len < EVENT_MAX_TEXT ? len : EVENT_MAX_TEXT) ||
            READING_MAX_PAGE - page < EVENT_MAX_TEXT + 1)
            break;
        s->found[n] = *f;
        s->found[n].track = tracked ? s->track[i] : f->track;
        s->found[n].label = s->pool + used;
        used += text_copy(s->pool + used, EVENT_MAX_TEXT < room ? EVENT_MAX_TEXT : room, label) + 1;
        if (lines) {
            if (n > 0)
                s->page[page++] = '\n';
            page += text_copy(s->page + page, EVENT_MAX_TEXT, s->found[n].label);
        } else {
            s->found[n].area =
                area_of(d->object.narea, d->object.area, (double)(f->box.x + f->box.width / 2),
                        (double)(f->box.y + f->box.height));
        }
        if (!out->boxed || f->score > out->score) {
            out->boxed = out->scored = true;
            out->box = f->box;
            out->score = f->score;
        }
        n++;
    }
    out->page = s->page;
    RuleValue v = {.kind = VALUE_LIST, .n = n, .list = s->found};
    if (tracked)
        v.naway = tracker_away(s->tracker, &v.away);
    return v;
}

/* ---- one signal ---- */

static RuleValue read_seen(ReadingState *s, const Signal *d, const Observation *o, int64_t t,
                           Reading *out)
{
    const double score = (double)o->score;
    if (is_list(d))
        return read_list(s, d, o, t, out);
    out->scored = isfinite(score) && (d->kind != SIGNAL_ICON || isfinite(o->second));
    out->score = o->score;
    if (!out->scored) {
        reading_why(out->why, "score");
        return value_unknown();
    }
    switch (d->kind) {
    case SIGNAL_ICON:
        out->boxed = out->placed = o->nfound > 0;
        if (out->boxed)
            out->box = o->found[0].box;
        out->x = (double)out->box.x;
        out->y = (double)out->box.y;
        s->on = leads(&d->icon, o) && hysteresis(s->on, score, d->icon.on, d->icon.off);
        return value_truth(s->on);
    case SIGNAL_AUDIO: return read_audio(s, &d->audio, score, t);
    case SIGNAL_SCREEN: return read_screen(&d->screen, o, out->why);
    case SIGNAL_CLASS: return read_class(&d->object, o, out->why);
    case SIGNAL_MOTION: return value_truth(score >= d->motion.min_area);
    default: return read_position(&d->position, o, out);
    }
}

/* Keeps what is another value than before. */
static void settle(ReadingState *s, Reading *out, const RuleValue *v, int64_t t, int64_t awake,
                   int64_t gap)
{
    const bool gone = s->known == NO_TIME || awake - s->known > gap;
    s->known = awake;
    if (v->kind == VALUE_LIST) {
        out->value = *v;
        return;
    }
    char clean[EVENT_MAX_TEXT];
    RuleValue now = *v;
    if (v->kind == VALUE_TEXT) {
        text_copy(clean, sizeof clean, v->text);
        now.text = clean;
    }
    const bool had = s->last.kind != VALUE_UNKNOWN, other = !had || !value_equal(&s->last, &now);
    if (other) {
        char *const free_text = s->text[1];
        s->text[1] = s->text[0];
        s->text[0] = free_text;
        s->before = s->last;
        if (now.kind == VALUE_TEXT)
            now.text = strcpy(free_text, clean);
        s->last = now;
    }
    if (other || gone)
        out->since = t;
    out->value = s->last;
    out->prev = s->before;
}

static void reading_forget(ReadingState *s)
{
    s->on = s->raw = false;
    if (s->tracker)
        tracker_forget(s->tracker);
}

static void read_signal(Readings *r, int i, const Sample *sample, bool reset)
{
    const Signal *const d = &r->watch->signal[i];
    const Observation *const o = &sample->at[i];
    ReadingState *const s = &r->state[i];
    Reading *const out = &r->now[i];
    const int64_t t = sample->t, awake = t - r->left_out;
    *out = (Reading){.since = out->since};
    if (s->known != NO_TIME && awake - s->known > r->watch->gap)
        reading_forget(s);
    RuleValue v = value_unknown();
    if (is_line(d)) {
        v = reading_line(s, &d->text, o, t, reset, r->matcher, out->why);
        out->scored = o->state == OBSERVE_SEEN && isfinite(o->score);
        out->score = o->score;
    } else if (o->state == OBSERVE_SEEN) {
        v = read_seen(s, d, o, t, out);
    }
    if (o->state != OBSERVE_SEEN)
        reading_why(out->why, o->state == OBSERVE_SKIPPED ? "skipped" : o->reason ? o->reason : "");
    if (v.kind != VALUE_UNKNOWN)
        settle(s, out, &v, t, awake, r->watch->gap);
}

/* Guards may ask for other signals: those that have one come last. */
void readings_sample(Readings *r, const Sample *sample, const EventNow *event)
{
    const Watch *const w = r->watch;
    r->left_out += sample->left_out;
    for (int i = 0; i < w->nsignal; i++)
        if (!r->state[i].reset)
            read_signal(r, i, sample, false);
    for (int i = 0; i < w->nsignal; i++) {
        if (!r->state[i].reset)
            continue;
        const Rule *const rule = w->signal[i].text.guard.reset_on;
        const RuleNow now = {.t = sample->t,
                             .awake = sample->t - r->left_out,
                             .reading = r->now,
                             .event = event,
                             .matcher = r->matcher};
        rule_step(&now, rule, r->state[i].reset);
        const RuleResult c = rule_value(&now, rule, r->state[i].reset);
        read_signal(r, i, sample, value_condition(&c.value) == 1);
    }
}
