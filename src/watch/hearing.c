#include "watch/hearing.h"

#include "base/str.h"

struct Hearing {
    const Watch *watch;
    int n;
    Ear **ear;
    VoiceModel **model; /* of each ear */
    int *of;            /* of each signal: its ear; -1: none */
    int first;          /* signal */
};

static int add_signal(Arena *a, ObserveHost *host, Hearing *h, int signal, const char *name,
                      Error *e)
{
    VoiceModel *model;
    Voice *voice;
    int code = observe_voice(host, h->watch->signal[signal].model, &model, e);
    if (code != 0)
        return code;
    int i = 0;
    while (i < h->n && h->model[i] != model)
        i++;
    if (i == h->n) {
        code = voice_new(a, model, &voice, e);
        if (code != 0)
            return code;
        h->model[h->n] = model;
        h->ear[h->n++] = ear_new(a, name, voice);
    }
    h->of[signal] = i;
    h->first = h->first < 0 ? signal : h->first;
    return 0;
}

int hearing_new(Arena *a, ObserveHost *host, const Watch *w, const bool *need, const char *name,
                Hearing **out, Error *e)
{
    Hearing *const h = arena_new_of(a, Hearing);
    *h = (Hearing){
        .watch = w,
        .first = -1,
        .ear = arena_array_of(a, w->nsignal + 1, Ear *),
        .model = arena_array_of(a, w->nsignal + 1, VoiceModel *),
        .of = arena_array_of(a, w->nsignal + 1, int),
    };
    *out = NULL;
    for (int i = 0; i < w->nsignal; i++) {
        const Signal *const s = &w->signal[i];
        h->of[i] = -1;
        if (s->kind != SIGNAL_AUDIO || !need[i])
            continue;
        Error why;
        const int code = add_signal(a, host, h, i, name, &why);
        if (code != 0)
            return error_set(e, code, "%s:%d:%d: signal '%s': %.700s", w->path, s->place.line,
                             s->place.column, s->name, why.message);
        *out = h;
    }
    return 0;
}

void hearing_take(Hearing *h, const Packet *p)
{
    for (int i = 0; i < h->n; i++)
        ear_take(h->ear[i], p);
}

bool hearing_until(Hearing *h, const VideoFrame *f, Observer *o)
{
    bool whole = true;
    for (int k = 0; k < h->n; k++) {
        Heard heard;
        whole &= ear_until(h->ear[k], f, &heard);
        for (int i = 0; i < h->watch->nsignal; i++)
            if (h->of[i] == k)
                observer_hear(o, i, heard.probability, heard.unknown);
    }
    return whole;
}

void hearing_judged(Hearing *h)
{
    for (int i = 0; i < h->n; i++)
        ear_judged(h->ear[i]);
}

const Signal *hearing_signal(const Hearing *h) { return &h->watch->signal[h->first]; }

const char *hearing_error(const Hearing *h)
{
    for (int i = 0; i < h->n; i++)
        if (ear_error(h->ear[i])[0] != '\0')
            return ear_error(h->ear[i]);
    return "";
}

int hearing_crash(Hearing *h, Error *e)
{
    int connection = 0;
    for (int i = 0; i < h->n; i++) {
        const int crashed = ear_crash(h->ear[i], e);
        connection = crashed != 0 ? crashed : connection;
    }
    return connection;
}

int64_t hearing_lost(const Hearing *h)
{
    int64_t n = 0;
    for (int i = 0; i < h->n; i++)
        n = ear_lost(h->ear[i]) > n ? ear_lost(h->ear[i]) : n;
    return n;
}
