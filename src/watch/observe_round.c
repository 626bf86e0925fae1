/* A look, in rounds: first every signal looks, then models answer what was asked, then those
 * signals go on, until none asks. */
#include <stdio.h>

#include "base/file.h"
#include "watch/observe_parts.h"

/* Levels by which a cell of the signature may differ, and nothing has changed: what compression
 * leaves of a still picture. */
#define STILL 2

/* Does what was seen last still hold? */
static bool is_still(const Look *l, SignalState *s)
{
    if (observe_ops(s->signal->kind)->ungated)
        return false;
    const FrameBox box = look_box(l, s->region);
    change_signature(l->frame, &box, &s->now.signature);
    return s->seen_at != INT64_MIN && l->t - s->seen_at < s->signal->max_age &&
           change_between(&s->now.signature, &s->signature).largest <= STILL;
}

bool look_is_urgent(const Look *l)
{
    const Observer *const o = l->observer;
    /* without `ready` there are no workers */
    return o && o->ask.ready && o->ask.deadline < INT64_MAX;
}

InferRequest *look_ask(const Look *l, SignalState *s, int n)
{
    s->now.nasked = n;
    s->now.asked = arena_array_of(l->tmp, n, InferRequest);
    return s->now.asked;
}

/* ---- one signal ---- */

static void forget_questions(int n, InferRequest *asked)
{
    for (int i = 0; i < n; i++) {
        tensor_unref(asked[i].result);
        asked[i].result = NULL;
    }
}

/* As if it had not been looked at. */
static void undo(SignalState *s)
{
    forget_questions(s->now.nasked, s->now.asked);
    arena_free(s->hold);
    s->hold = s->now.before;
    s->now.nasked = 0;
    s->now.over = true;
}

static void conclude(const Look *l, SignalState *s, int code, const char *error)
{
    if (code != 0) {
        snprintf(s->error, sizeof s->error, "%.250s", error);
        s->counts.errors++;
        observe_unknown(&s->now.got, "error");
    }
    arena_free(s->now.before);
    s->counts.seen++;
    s->counts.unknown += s->now.got.state == OBSERVE_UNKNOWN;
    s->counts.seconds += s->now.seconds;
    s->last = s->now.got;
    s->signature = s->now.signature;
    s->seen_at = l->t;
    s->now.over = true;
}

static void begin_signal(const Look *l, SignalState *s)
{
    const double start = time_now();
    Error e = {0};
    s->now.before = s->hold;
    s->hold = arena_new();
    s->now.got = (Observation){.state = OBSERVE_SEEN};
    const int code = observe_ops(s->signal->kind)->look(l, s, &s->now.got, &e);
    s->now.seconds = time_now() - start;
    if (code != 0 || s->now.nasked == 0) {
        s->now.nasked = 0;
        conclude(l, s, code, e.message);
    }
}

/* Its questions are answered. */
static void continue_signal(const Look *l, SignalState *s)
{
    const double start = time_now();
    const int n = s->now.nasked;
    InferRequest *const asked = s->now.asked;
    Error e = {0};
    int code = 0;
    for (int i = 0; i < n && code == 0; i++)
        if (asked[i].end == INFER_FAILED)
            code = error_set(&e, asked[i].code, "%s", asked[i].error);
    for (int i = 0; i < n; i++)
        s->now.seconds += asked[i].seconds;
    if (code == 0)
        code = observe_ops(s->signal->kind)->more(l, s, &s->now.got, &e);
    const bool asks = code == 0 && s->now.asked != asked;
    forget_questions(n, asked);
    s->now.nasked = asks ? s->now.nasked : 0;
    s->now.seconds += time_now() - start;
    if (!asks)
        conclude(l, s, code, e.message);
}

/* Nobody knows where its region is. */
static void lose(const Look *l, SignalState *s)
{
    s->now.before = s->hold;
    s->hold = arena_new();
    s->now.seconds = 0;
    observe_unknown(&s->now.got, "align lost");
    conclude(l, s, 0, "");
}

/* Regions lie elsewhere than before: what was seen there is no guide to what is. */
static void forget_views(const Observer *o)
{
    for (int i = 0; i < o->watch->nsignal; i++) {
        SignalState *const s = &o->signal[i];
        s->seen_at = INT64_MIN;
        if (s->signal->kind == SIGNAL_MOTION)
            observe_ops(s->signal->kind)->reset(s);
    }
}

/* ---- all signals ---- */

/* From whoever answered, or within infer_withdraw. */
static void answered(InferRequest *q)
{
    Observer *const o = q->arg;
    pthread_mutex_lock(&o->lock);
    const bool all = --o->open == 0;
    if (all && o->ask.ready && !o->cancelled)
        o->ask.ready(o->ask.arg);
    if (all)
        pthread_cond_broadcast(&o->answered);
    pthread_mutex_unlock(&o->lock);
}

static int questions(const Observer *o, InferRequest **q)
{
    int n = 0;
    for (int i = 0; i < o->watch->nsignal; i++) {
        const SignalState *const s = &o->signal[i];
        for (int k = 0; k < s->now.nasked; k++, n++)
            if (q)
                q[n] = &s->now.asked[k];
    }
    return n;
}

/* True: all are answered already. */
static bool post(Observer *o, int n, InferRequest **q)
{
    o->open = n + 1;
    for (int i = 0; i < n; i++) {
        q[i]->r = (Request){
            .arrival = o->ask.arrival, .deadline = o->ask.deadline, .source = o->ask.source};
        q[i]->done = answered;
        q[i]->arg = o;
        infer_post(q[i]);
    }
    pthread_mutex_lock(&o->lock);
    const bool all = --o->open == 0;
    pthread_mutex_unlock(&o->lock);
    return all;
}

/* What was asked is answered. */
static void take_answers(Observer *o)
{
    for (int i = 0; i < o->watch->nsignal; i++) {
        const SignalState *const s = &o->signal[i];
        for (int k = 0; k < s->now.nasked; k++)
            o->late |= s->now.asked[k].end == INFER_LATE || s->now.asked[k].end == INFER_WITHDRAWN;
    }
    for (int i = 0; i < o->watch->nsignal && !o->late; i++)
        if (o->signal[i].now.nasked > 0)
            continue_signal(&o->look, &o->signal[i]);
}

/* Until models have something to do that takes time: false; true: the look is over. */
static bool go_on(Observer *o)
{
    for (;;) {
        const int n = o->late ? 0 : questions(o, NULL);
        if (n == 0)
            return true;
        InferRequest **const q = arena_array_of(o->look.tmp, n, InferRequest *);
        questions(o, q);
        if (!o->ask.ready)
            infer_run(o->infer, n, q);
        else if (!post(o, n, q))
            return false;
        take_answers(o);
    }
}

bool observer_begin(Observer *o, const Frame *f, int64_t t, const bool *need,
                    const ObserverAsk *ask)
{
    o->frame = *f;
    o->ask = *ask;
    o->late = false;
    if (o->align && align_look(o->align, &o->frame, t))
        forget_views(o);
    const bool lost = observer_lost(o);
    o->look = (Look){.frame = &o->frame,
                     .t = t,
                     .watch = o->watch,
                     .place = observer_place(o, f),
                     .observer = o,
                     .tmp = arena_new()};
    for (int i = 0; i < o->watch->nsignal; i++) {
        SignalState *const s = &o->signal[i];
        s->now.needed = need[i];
        s->now.nasked = 0;
        s->now.asked = NULL;
        s->now.over = true;
        const bool blind = lost && s->signal->kind != SIGNAL_AUDIO;
        s->now.still = need[i] && !blind && is_still(&o->look, s);
        s->counts.reused += s->now.still;
        if (!need[i] || s->now.still)
            continue;
        s->now.over = false;
        if (blind)
            lose(&o->look, s);
        else
            begin_signal(&o->look, s);
    }
    return go_on(o);
}

bool observer_advance(Observer *o)
{
    take_answers(o);
    return go_on(o);
}

bool observer_end(Observer *o, Observation *out)
{
    for (int i = 0; i < o->watch->nsignal; i++) {
        SignalState *const s = &o->signal[i];
        if (!s->now.over)
            undo(s);
        if (o->late)
            continue;
        out[i] = s->now.needed ? s->last : (Observation){.state = OBSERVE_SKIPPED};
        out[i].reused = s->now.still;
    }
    arena_free(o->look.tmp);
    o->look.tmp = NULL;
    return !o->late;
}

void observer_look(Observer *o, const Frame *f, int64_t t, const bool *need, Observation *out)
{
    observer_begin(o, f, t, need, &(ObserverAsk){0});
    observer_end(o, out);
}

void observer_cancel(Observer *o)
{
    if (!o->look.tmp)
        return;
    pthread_mutex_lock(&o->lock);
    o->cancelled = true;
    pthread_mutex_unlock(&o->lock);
    for (int i = 0; i < o->watch->nsignal; i++)
        for (int k = 0; k < o->signal[i].now.nasked; k++)
            infer_withdraw(&o->signal[i].now.asked[k]);
    pthread_mutex_lock(&o->lock);
    while (o->open > 0)
        pthread_cond_wait(&o->answered, &o->lock);
    o->cancelled = false;
    pthread_mutex_unlock(&o->lock);
    o->late = true;
    observer_end(o, NULL);
}
