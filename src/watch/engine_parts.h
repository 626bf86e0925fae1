/* What the files engine*.c share: one stream of an engine. */
#ifndef LATHE_WATCH_ENGINE_PARTS_H
#define LATHE_WATCH_ENGINE_PARTS_H

#include <pthread.h>
#include <time.h>

#include "sched/governor.h"
#include "sched/workers.h"
#include "watch/engine.h"
#include "watch/judge.h"
#include "watch/sample_grid.h"

#define RECENT 128 /* samples that "of late" is about */

typedef struct Recent { /* the last samples that were judged */
    int n;                   /* of all */
    int64_t at[RECENT];      /* when, machine_now's us */
    int64_t latency[RECENT]; /* us */
} Recent;

void recent_add(Recent *r, int64_t now, int64_t latency);
double recent_rate(const Recent *r, int64_t now);       /* a second */
double recent_latency(const Recent *r, double share);   /* seconds; share: 0.95 */

typedef struct Judging { /* what an edit replaces */
    Arena *arena;
    Judge *judge;
} Judging;

typedef struct StreamSound { /* zero at first */
    int connection;          /* that gave sound last; 0: none did */
    bool mute;               /* the one that stands has none .. */
    bool told;               /* .. as was told */
    Packet silence;          /* its end, for who begins to hear meanwhile; info NULL: it goes on */
    int64_t until;           /* when a sample does without, us */
    int vain;                /* samples, one after another, that waited for nothing */
} StreamSound;

typedef struct Stream {
    Task task;            /* first: workers know a stream by it */
    Engine *engine;
    Arena *arena;
    StreamSpec spec;
    uint64_t run;         /* part of the ids of events */
    int number;           /* models are shared fairly between these */
    Live *live;
    ClipStream *clips;    /* NULL: none are cut */
    bool sounds;          /* its connection was asked for sound */
    _Atomic int64_t deadline; /* of what is awaited */
    _Atomic bool answered;    /* what models were asked for */
    _Atomic int asked;    /* how many wait for the lock from outside */
    pthread_mutex_t lock; /* all below, and what belongs to one thread of live */
    Judging judging;
    bool looking;         /* a sample is under way: models compute, and `frame` stays as it is */
    bool hears;           /* its connections give sound */
    bool listening;       /* a sample waits for sound, `frame` stays as it is */
    StreamSound sound;
    LiveFrame frame;
    int64_t began;
    SampleGrid grid;
    bool granted;         /* the next point is not left out .. */
    int64_t asked_for;    /* .. in overload: what came then, us; 0: it was granted before */
    bool exact;           /* .. a keyframe; else the last frame that has come is wanted */
    int64_t left_out;     /* when the last frame was that had come, us */
    GovernorShare share;  /* of what is granted */
    bool held;            /* who is told of its events is behind, or others in the spotlight */
    bool gone;            /* being removed: whatever comes is passed over */
    bool over;
    DeskSeat *seat;       /* in the spotlight; NULL: it does not compete */
    bool silent;          /* for longer than the gap; told */
    bool seen_up;         /* told */
    enum AlignTold { ALIGN_UNTOLD, ALIGN_TOLD_FOUND, ALIGN_TOLD_LOST } align; /* of anchors */
    int64_t idle;         /* when there was nothing to decode, us */
    int64_t connections, full, errors; /* of live_counts, as they were at the last frame */
    int64_t cost;         /* of judging a sample, us, of late */
    int64_t events;
    double cpu, decode;   /* seconds of its steps; decode: of these */
    double models;        /* seconds of models, for watches that it had before */
    int64_t unheard;      /* judge_unheard of these */
    Recent recent;
} Stream;

/* Of the engine, for its streams. */
const EngineOptions *engine_options(const Engine *g);
/* governor_ask, and so on; whose turn comes is woken */
bool engine_ask(Engine *g, GovernorShare *share, double dear);
void engine_withdraw(Engine *g, GovernorShare *share);
void engine_close(Engine *g, GovernorShare *share, bool used);
bool engine_overload(Engine *g); /* rates are lowered */
void engine_report(Engine *g, bool late); /* one sample is finished */
void engine_miss(Engine *g, GovernorShare *share); /* governor_miss */
void engine_wake(Stream *s, int64_t deadline, int64_t ready);
ObserveHost *engine_host(Engine *g);
Desk *engine_desk(Engine *g);

/* With `what` already filled in: spec and engine. Packets come once stream_start was called. */
int stream_start(Stream *s, Error *e);
/* What judges by a watch; takes as long as its references and models take. */
int stream_judging(Stream *s, const StreamSpec *spec, Judging *out, Error *e);

/* Takes part in the spotlight as `w` says, or no more. */
int stream_compete(Stream *s, const Watch *w, Error *e);

/* Under the stream's lock: */
void stream_tell(Stream *s, SystemKind kind, const char *cause, double value);

/* Sound (engine_sound.c). What the judging of a stream wants of its source; connections are made
 * with that. */
void sound_options(const Stream *s, LiveOptions *live);
void sound_close(Stream *s);
/* Gives what has come to who hears, a little of it. True: maybe more waits; else *stuck as
 * live_sound's. */
bool sound_take(Stream *s, bool *stuck);
void sound_change(Stream *s);  /* the judging is another now */
/* `frame` is to be looked at: sets `listening` if something is to be heard */
void sound_expect(Stream *s);
/* not `listening` any more: it can be looked at; else it is woken in time */
void sound_listen(Stream *s);

bool stream_held(Stream *s);   /* not now; it is woken again */
void stream_step(Stream *s);   /* a little work; wakes itself again */
void stream_change(Stream *s, const StreamSpec *spec, Judging next); /* another watch from now on */
void stream_end(Stream *s, const char *cause); /* nothing more will be judged */
StreamStatus stream_status(const Stream *s, Arena *a, int64_t now);

#endif
