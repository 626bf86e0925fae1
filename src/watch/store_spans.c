/* Samples become spans: which go on, which end, which begin. Names are copied, as a watch may go
 * before what was seen by it is written. */
#include "watch/store.h"

#include <ctype.h>
#include <string.h>

#include "base/heap.h"
#include "sched/clock.h"
#include "watch/pattern.h"
#include "watch/store_parts.h"

/* ---- streams ---- */

static StreamSpans *find_stream(const Store *s, const char *name)
{
    for (int i = 0; i < s->stream.len; i++)
        if (!s->stream.at[i]->over && strcmp(s->stream.at[i]->name, name) == 0)
            return s->stream.at[i];
    return NULL;
}

static void end_span(StreamSpans *t, int i)
{
    t->open[i]->ended = t->open[i]->dirty = true;
    t->open[i] = t->open[--t->nopen];
}

void store_end_spans(StreamSpans *t)
{
    while (t->nopen > 0)
        end_span(t, t->nopen - 1);
}

void store_leave_stream(StreamSpans *t)
{
    if (--t->users == 0)
        arena_free(t->arena);
}

void store_end_stream(Store *s, StreamSpans *t)
{
    store_end_spans(t);
    for (int i = 0; i < s->stream.len; i++)
        if (s->stream.at[i] == t)
            s->stream.at[i--] = s->stream.at[--s->stream.len];
    store_leave_stream(t);
}

/* Names are copied: the watch may go before what was seen by it is written. */
static StreamSpans *stream_of(Store *s, const Watch *w, const char *name)
{
    StreamSpans *t = find_stream(s, name);
    if (t && t->of == w)
        return t;
    if (t) {
        store_end_spans(t);
        t->over = true; /* the writer takes it away, with its facts */
    }
    Arena *const a = arena_new();
    t = arena_new_of(a, StreamSpans);
    *t = (StreamSpans){.arena = a,
                       .users = 1,
                       .name = arena_strdup(a, name),
                       .watch = arena_strdup(a, w->name),
                       .of = w,
                       .nsignal = w->nsignal};
    t->signal = arena_array_of(a, w->nsignal + 1, const char *);
    t->fact = arena_array_of(a, w->nsignal + 1, Fact);
    for (int i = 0; i < w->nsignal; i++)
        t->signal[i] = arena_strdup(a, w->signal[i].name);
    vec_push(s->arena, &s->stream, t);
    return t;
}

/* ---- spans ---- */

static float overlap(const Box *a, const Box *b)
{
    const float x0 = a->x > b->x ? a->x : b->x, y0 = a->y > b->y ? a->y : b->y;
    const float ax = a->x + a->width, ay = a->y + a->height, bx = b->x + b->width,
                by = b->y + b->height;
    const float w = (ax < bx ? ax : bx) - x0, h = (ay < by ? ay : by) - y0;
    const float both = w > 0 && h > 0 ? w * h : 0;
    const float all = a->width * a->height + b->width * b->height - both;
    return all > 0 ? both / all : 0;
}

/* The next word that begins with a digit; *size 0: there is none. */
static const char *next_number(const char *text, size_t *size)
{
    while (*text != '\0') {
        size_t n = 0;
        while (isalnum((unsigned char)text[n]))
            n++;
        *size = n;
        if (n > 0 && isdigit((unsigned char)text[0]))
            return text;
        text += n > 0 ? n : 1;
    }
    *size = 0;
    return text;
}

/* Numbers that differ are no misreading to be smoothed over. (Of words, 1 and 0 may well be l and
 * o.) */
static bool same_numbers(const char *a, const char *b)
{
    size_t na, nb;
    do {
        a = next_number(a, &na);
        b = next_number(b, &nb);
        if (na != nb || memcmp(a, b, na) != 0)
            return false;
        a += na;
        b += nb;
    } while (na > 0);
    return true;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a, b) == 0 || (same_numbers(a, b) && text_near(a, b, strlen(b) >= 5 ? 1 : 0));
}

/* The text that most samples gave stands for the span. */
static void count_text(OpenSpan *p, const char *text)
{
    int i = 0;
    while (i < p->nvariant && strcmp(p->variant[i].text, text) != 0)
        i++;
    if (i == STORE_VARIANTS)
        return;
    if (i == p->nvariant) {
        text_copy(p->variant[i].text, STORE_MAX_TEXT, text);
        p->nvariant++;
    }
    p->variant[i].n++;
    int best = 0;
    for (int k = 1; k < p->nvariant; k++)
        best = p->variant[k].n > p->variant[best].n ? k : best;
    p->row.text = p->variant[best].text;
}

typedef struct Seen { /* one thing in one sample */
    const char *kind, *text;
    int signal;
    int64_t track;
    double confidence;
    Box box;
} Seen;

static OpenSpan *begin_span(Store *s, StreamSpans *t, const Seen *seen, const Sample *sample)
{
    OpenSpan *const p =
        s->nspan < STORE_WAITING && t->nopen < STORE_OPEN ? heap_alloc(sizeof *p, 64) : NULL;
    if (!p) {
        s->counts.dropped++;
        return NULL;
    }
    p->row = (SpanRow){.kind = seen->kind,
                       .stream = t->name,
                       .watch = t->watch,
                       .signal = t->signal[seen->signal],
                       .epoch = sample->epoch,
                       .t0 = sample->t,
                       .wall = sample->wall ? sample->wall : wall_now()};
    p->from = t;
    t->users++;
    p->signal = seen->signal;
    p->track = seen->track;
    p->next = s->span;
    if (p->next)
        p->next->prev = p;
    s->span = p;
    s->nspan++;
    t->open[t->nopen++] = p;
    return p;
}

static void extend_span(OpenSpan *p, const Seen *seen, const Sample *sample)
{
    char text[STORE_MAX_TEXT];
    text_copy(text, sizeof text, seen->text);
    count_text(p, text);
    p->row.t1 = sample->t;
    p->left_out = 0;
    p->row.n++;
    p->row.confidence += (seen->confidence - p->row.confidence) / p->row.n; /* their mean */
    p->row.box = seen->box;
    p->dirty = true;
}

/* `alone`: the signal has one value at a time, so that another text ends what was. */
static void see(Store *s, StreamSpans *t, const Seen *seen, const Sample *sample, bool alone)
{
    OpenSpan *found = NULL;
    for (int i = 0; i < t->nopen && !found; i++) {
        OpenSpan *const p = t->open[i];
        if (p->signal != seen->signal || p->track != seen->track || p->row.t1 == sample->t)
            continue; /* what was extended by this sample is another line */
        const bool same = seen->track > 0 || (same_text(seen->text, p->row.text) &&
                                              (alone || overlap(&seen->box, &p->row.box) > 0.5f));
        if (same)
            found = p;
        else if (alone)
            end_span(t, i--);
    }
    if (!found)
        found = begin_span(s, t, seen, sample);
    if (found)
        extend_span(found, seen, sample);
}

static void see_found(Store *s, StreamSpans *t, const Watch *w, int i, const Sample *sample)
{
    const bool object = w->signal[i].kind == SIGNAL_OBJECT;
    const Observation *const o = &sample->at[i];
    for (int k = 0; k < o->nfound; k++) {
        const Found *const f = &o->found[k];
        if (object ? f->track > 0 : (double)f->score >= w->signal[i].text.min_confidence)
            see(s, t,
                &(Seen){object ? "object" : "text", f->label, i, f->track, (double)f->score,
                        f->box},
                sample, false);
    }
}

static void see_signal(Store *s, StreamSpans *t, const Watch *w, int i, const Sample *sample,
                       const Reading *reading)
{
    const Signal *const g = &w->signal[i];
    const Observation *const o = &sample->at[i];
    const Box all = {0, 0, (float)w->width, (float)w->height};
    const Box box = g->region >= 0 ? w->region[g->region].box : all;
    if (o->state != OBSERVE_SEEN)
        return;
    if (g->kind == SIGNAL_OBJECT || (g->kind == SIGNAL_TEXT && g->text.mode == TEXT_PAGE))
        see_found(s, t, w, i, sample);
    else if (g->kind == SIGNAL_TEXT && o->text && o->text[0] != '\0' &&
             (double)o->score >= g->text.min_confidence)
        see(s, t, &(Seen){"text", o->text, i, 0, (double)o->score, box}, sample, true);
    else if ((g->kind == SIGNAL_SCREEN || g->kind == SIGNAL_CLASS) &&
             reading->value.kind == VALUE_TEXT && reading->value.text[0] != '\0')
        see(s, t, &(Seen){"screen", reading->value.text, i, 0, (double)o->score, box}, sample,
            true);
}

static void keep_fact(Fact *f, const RuleValue *v)
{
    if (v->kind != VALUE_NUMBER && v->kind != VALUE_TEXT && v->kind != VALUE_TRUTH)
        return; /* what is not known now is as it was last */
    char text[STORE_FACT_TEXT] = "";
    if (v->kind == VALUE_TEXT)
        text_copy(text, sizeof text, v->text);
    f->dirty =
        f->dirty || f->kind != v->kind || f->number != v->number || strcmp(f->text, text) != 0;
    f->kind = v->kind;
    f->number = v->kind == VALUE_TEXT ? 0 : v->number;
    memcpy(f->text, text, sizeof text);
}

void store_sample(Store *s, const Watch *w, const Sample *sample, const Reading *reading)
{
    pthread_mutex_lock(&s->lock);
    StreamSpans *const t = stream_of(s, w, sample->stream);
    if (sample->epoch != t->epoch)
        store_end_spans(t);
    t->epoch = sample->epoch;
    for (int i = 0; i < t->nopen; i++) {
        t->open[i]->left_out += sample->left_out;
        if (sample->t - t->open[i]->row.t1 - t->open[i]->left_out > w->gap)
            end_span(t, i--);
    }
    for (int i = 0; i < w->nsignal; i++) {
        see_signal(s, t, w, i, sample, &reading[i]);
        keep_fact(&t->fact[i], &reading[i].value);
    }
    pthread_mutex_unlock(&s->lock);
}

void store_stream_end(Store *s, const char *stream)
{
    pthread_mutex_lock(&s->lock);
    StreamSpans *const t = find_stream(s, stream);
    if (t) {
        t->over = true;
        store_end_spans(t);
    }
    pthread_mutex_unlock(&s->lock);
}
