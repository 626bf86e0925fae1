/* Sound -> steps of the model with their times -> what a sample hears of them. */
#include "watch/ear.h"

#include <stdio.h>
#include <string.h>

#include "base/vec.h"
#include "watch/sound_decode.h"

/* us: a clock that goes back by more goes back for sound and pictures alike */
#define TURN 500000
#define BEFORE 1000000  /* us before an epoch that its first sample hears */
#define STEP_TIME (1000000LL * VOICE_STEP / SOUND_RATE)

typedef struct Step { /* of the model of voice */
    int64_t end;      /* us of the stream's clock */
    int connection;
    float probability;
    bool failed;
    bool turns;       /* the clock went back before it */
} Step;

struct Ear {
    Arena *arena;
    Voice *voice;
    SoundDecoder *decoder;
    char error[256];

    /* what came */
    float sound[VOICE_STEP];
    int n;               /* samples in it */
    int connection;      /* of it */
    int64_t at;          /* where the sound that came ends, us; INT64_MIN: none came */
    bool turned;         /* the next step is the first behind a turn */
    int over_connection; /* the sound of this one is over, as far as is known; -1: of none */
    VEC(Step) step;      /* those from `first` on nobody heard yet */
    int first;

    /* who asks */
    bool asked;
    int asked_connection, epoch;
    int64_t last, from;  /* us: asked for last; steps that ended before are nobody's */
    bool may_turn;       /* the pictures did */
    bool seeking;        /* .. and sound of before is passed over .. */
    int64_t sought;      /* .. so much so far, us */
    /* sound that turned alone waits since then, us of the pictures; INT64_MIN: none */
    int64_t stuck;
    Heard heard;         /* and not judged yet */
    bool whole;          /* all that belongs to the last time asked for */
};

static const Heard nothing = {.unknown = "no sound"};

Ear *ear_new(Arena *a, const char *name, Voice *voice)
{
    Ear *const ear = arena_new_of(a, Ear);
    *ear = (Ear){
        .arena = a,
        .voice = voice,
        .decoder = sound_decoder_new(a, name),
        .at = INT64_MIN,
        .connection = -1,
        .over_connection = -1,
        .stuck = INT64_MIN,
        .heard = nothing,
    };
    return ear;
}

const char *ear_error(const Ear *ear) { return ear->error; }
int ear_crash(Ear *ear, Error *e) { return sound_decoder_crash(ear->decoder, e); }
int64_t ear_lost(const Ear *ear) { return sound_decoder_lost(ear->decoder); }

/* ---- what comes ---- */

static void keep_error(Ear *ear, const Error *e)
{
    if (ear->error[0] == '\0')
        snprintf(ear->error, sizeof ear->error, "%.250s", e->message);
}

static void push_step(Ear *ear, Step s)
{
    s.connection = ear->connection;
    s.turns = ear->turned;
    ear->turned = false;
    vec_push(ear->arena, &ear->step, s);
}

static void end_step(Ear *ear, int64_t end)
{
    Step s = {.end = end};
    Error e;
    ear->n = 0;
    s.failed = voice_step(ear->voice, ear->sound, &s.probability, &e) != 0;
    if (s.failed)
        keep_error(ear, &e);
    push_step(ear, s);
}

/* What follows does not go on from what was heard. */
static void begin_anew(Ear *ear, int64_t at)
{
    voice_reset(ear->voice);
    ear->n = 0;
    ear->turned |= ear->at != INT64_MIN && at < ear->at - TURN;
}

static void take_part(Ear *ear, const SoundPart *p)
{
    if (!p->follows)
        begin_anew(ear, p->start);
    for (int i = 0; i < p->n; i++) {
        ear->sound[ear->n++] = p->at[i];
        if (ear->n == VOICE_STEP)
            end_step(ear, p->start + (int64_t)(i + 1) * 1000000 / SOUND_RATE);
    }
    ear->at = p->end;
}

static void take_failure(Ear *ear, const Packet *p, const Error *e)
{
    keep_error(ear, e);
    if (!p->av || p->pts == PACKET_NO_TIME)
        return;
    begin_anew(ear, p->pts);
    ear->at = p->pts;
    push_step(ear, (Step){.end = p->pts, .failed = true});
}

void ear_take(Ear *ear, const Packet *p)
{
    const int connection = p->info->connection;
    Error e;
    SoundPart part;
    if (connection != ear->connection && p->av) {
        ear->connection = connection;
        ear->at = INT64_MIN;
        ear->turned = false;
    }
    if (p->av && ear->over_connection == connection) /* it showed itself only now */
        ear->over_connection = connection - 1;
    if (sound_decoder_send(ear->decoder, p, &e) != 0)
        take_failure(ear, p, &e);
    int code;
    while ((code = sound_decoder_receive(ear->decoder, &part, &e)) != 0) {
        if (code > 0)
            take_part(ear, &part);
        else
            take_failure(ear, p, &e);
    }
    if (!p->av)
        ear->over_connection = connection;
}

/* ---- who asks ---- */

/* Another epoch of the pictures than before. */
static void follow_pictures(Ear *ear, const VideoFrame *f, int64_t t)
{
    const bool same = ear->asked && f->connection == ear->asked_connection;
    if (same && f->epoch == ear->epoch)
        return;
    ear->seeking = same && t < ear->last - TURN;
    ear->may_turn = same;
    ear->sought = 0;
    ear->stuck = INT64_MIN;
    ear->heard = nothing;
    ear->from = t - BEFORE;
    ear->asked = true;
    ear->asked_connection = f->connection;
    ear->epoch = f->epoch;
}

static void hear(Ear *ear, const Step *s)
{
    Heard *const h = &ear->heard;
    if (s->end <= ear->from || (h->unknown && strcmp(h->unknown, "error") == 0))
        return;
    if (s->failed) {
        *h = (Heard){.unknown = "error"};
        return;
    }
    if (h->unknown || s->probability > h->probability)
        h->probability = s->probability;
    h->unknown = NULL;
}

/* Sound turned: did the pictures? */
static bool may_turn(Ear *ear, int64_t t)
{
    if (ear->stuck == INT64_MIN)
        ear->stuck = t;
    if (!ear->may_turn && t < ear->stuck + EAR_PATIENCE)
        return false;
    ear->may_turn = false;
    ear->stuck = INT64_MIN;
    return true;
}

/* Hears the next step if it belongs to t or before; false: it is later. */
static bool hear_next(Ear *ear, int64_t t)
{
    Step *const s = &ear->step.at[ear->first];
    if (s->connection < ear->asked_connection) {
        ear->first++;
        return true;
    }
    if (s->connection > ear->asked_connection)
        return false;
    if (ear->seeking && !s->turns && ear->sought < EAR_PATIENCE) {
        ear->sought += STEP_TIME;
        ear->first++;
        return true;
    }
    ear->seeking = false;
    if (s->turns && !may_turn(ear, t))
        return false;
    s->turns = false;
    if (s->end > t)
        return false;
    hear(ear, s);
    ear->first++;
    return true;
}

static void forget_heard(Ear *ear)
{
    const int left = ear->step.len - ear->first;
    if (left > 0 && ear->first < 256)
        return;
    if (left > 0)
        memmove(ear->step.at, ear->step.at + ear->first, (size_t)left * sizeof *ear->step.at);
    ear->step.len = left;
    ear->first = 0;
}

/* Nothing that is still to come belongs to t or before. */
static bool is_whole(const Ear *ear, int64_t t)
{
    const int c = ear->asked_connection;
    if (ear->first < ear->step.len || ear->connection > c || ear->over_connection >= c)
        return true;
    return ear->connection == c && ear->at != INT64_MIN && ear->at >= t && !ear->seeking;
}

bool ear_until(Ear *ear, const VideoFrame *f, Heard *out)
{
    const int64_t t = f->origin + f->t;
    follow_pictures(ear, f, t);
    while (ear->first < ear->step.len && hear_next(ear, t))
        ;
    forget_heard(ear);
    ear->last = t;
    ear->whole = is_whole(ear, t);
    *out = ear->whole ? ear->heard : (Heard){.unknown = "late"};
    return ear->whole;
}

void ear_judged(Ear *ear)
{
    if (ear->whole)
        ear->heard = nothing;
}
