/* Many streams in one process: sources, workers, models shared, samples in time or counted.
 *
 *     reader threads (live.h) --notify--> stream tasks on workers (sched/workers.h), most urgent first:
 *         decode ahead -> a sample is due -> frame -> observer's rounds, models in batches over all streams -> rules -> records
 *
 * A stream has one sample under way at a time. Its deadline is the arrival of its frame plus
 * `latency`. What comes to be due meanwhile is passed over by policy (watch.h): `newest` takes the
 * last frame that has come, `every` takes each in turn and lets live time run away until the ring
 * is full, files wait. Each sample of the grid that is not judged is counted, by cause:
 *
 *     busy      the sample before was still under way, or workers had no time: a newer frame was taken
 *     late      given up: it could no longer be in time
 *     rate      the governor lowered the rate of all streams (overload)
 *     lost      the frame never came: connection down, ring full, not decodable
 *
 * samples wanted = judged + busy + late + rate + lost, always. A stream that fails, stalls or
 * floods takes nothing from another but its share of the workers. Streams are added, removed and
 * edited while others run on: they lose no sample by it. */
#ifndef LATHE_WATCH_ENGINE_H
#define LATHE_WATCH_ENGINE_H

#include "watch/clips.h"
#include "watch/event.h"
#include "watch/evidence.h"
#include "watch/live.h"
#include "watch/picture_net.h"
#include "watch/spotlight_desk.h"

typedef struct StreamSpec {
    const char *name, *url;
    const Watch *watch;    /* held until the stream is removed or edited (engine_edit) */
    LiveOptions live;      /* notify: the engine's */
    int64_t latency;       /* us; 300 ms */
    /* a file as fast as it can be read, no sample left out; else a file is paced */
    bool offline;
    bool all;              /* look at all signals in every sample, not only at those of rules */
} StreamSpec;

typedef enum SystemKind {
    SYSTEM_UP,
    SYSTEM_DOWN,
    SYSTEM_GAP,
    SYSTEM_EPOCH,
    SYSTEM_MUTE, /* the watch wants sound and the connection has none; told once until there is some
                  */
    SYSTEM_OVERLOAD,
    SYSTEM_END,
    SYSTEM_ALIGN_LOST,
    SYSTEM_ALIGN_FOUND,
    SYSTEM_SPOTLIGHT,
    SYSTEM_KINDS
} SystemKind;
typedef struct SystemRecord { /* what happened to a stream itself */
    SystemKind kind;
    const char *stream, *cause;
    int64_t wall;          /* us since 1970; 0: only `t` counts */
    /* of an overload: the governor's factor; of a gap: seconds; of anchors found: the scale; of a
     * spotlight: the score */
    double value;
    /* of a spotlight: which stream it was on; NULL: none. `stream` "": it is on none now */
    const char *previous;
    int64_t t;             /* of a spotlight among offline streams: media time, us */
} SystemRecord;

typedef struct EngineOptions {
    int workers;           /* 0: one a CPU */
    Evidence *evidence;    /* pictures of what made events; outlives the engine. NULL: none */
    Clips *clips;          /* of what events with a `clip` show; outlives the engine. NULL: none */
    /* each model runs on the worker that runs its batch: threads of a run is 1 */
    const NetHost *nets;
    /* From workers, one at a time for each stream. What it points to is valid during the call.
     * `latency`: us from the arrival of the frame that confirmed it. */
    void (*event)(void *arg, const EventRecord *r, int64_t latency);
    void (*system)(void *arg, const SystemRecord *r);
    /* Who is told of events is behind: a stream that has just told one is held back until this is
     * false, and no other. What it misses meanwhile is counted as busy; files wait. NULL: never */
    bool (*behind)(void *arg);
    /* NULL: nobody listens */
    void (*sample)(void *arg, const char *stream, const Sample *s, const Frame *f);
    /* After its events; reading: what each signal of the watch read as. NULL: nobody listens */
    void (*judged)(void *arg, const Watch *w, const Sample *s, const struct Reading *reading,
                   const Frame *f);
    void *arg;
} EngineOptions;

typedef struct StreamStatus {
    const char *name;
    LiveState state;
    LiveCause cause;
    LiveCounts live;
    int64_t wanted, judged, busy, late, rate, lost;
    int64_t events;
    double fps;            /* samples judged a second, of late */
    double latency_p50, latency_p95; /* seconds from a frame's arrival to its judgement, of late */
    double cpu, decode;    /* seconds so far; cpu: decoding, observing, rules; decode: of these */
    int epoch;
    int64_t t;             /* media time of the last sample */
    char error[256];
} StreamStatus;

typedef struct EngineStatus {
    int nstream;
    const StreamStatus *stream;
    double factor;         /* the governor's */
    double busy;           /* share of the workers' time, of late */
} EngineStatus;

typedef struct Engine Engine;

int engine_new(const EngineOptions *opt, Engine **out, Error *e);
/* Streams end as "stopped". */
void engine_free(Engine *g);
/* ERR_INVALID: the name is taken, the watch cannot be observed. Compiles models that are new, which
 * takes time but nobody else's. */
int engine_add(Engine *g, const StreamSpec *spec, Error *e);
/* All that are to begin together were added: spotlights of offline streams (spotlight_desk.h) wait
 * for it. */
void engine_begin(Engine *g);
/* ERR_INVALID: there is none of this name. What is active ends as "stopped". */
int engine_remove(Engine *g, const char *name, Error *e);
/* Another watch for a stream that goes on: its connection stays, its events end as "stopped" and
 * begin anew. With another url: as removed and added. */
int engine_edit(Engine *g, const StreamSpec *spec, Error *e);
/* In `a`. */
EngineStatus engine_status(Engine *g, Arena *a);
/* Who is shown, and how the others stand. In `a`. */
SpotlightStatus engine_spotlight(Engine *g, Arena *a);
/* Streams that are not over: 0 when all files were judged. */
int engine_running(Engine *g);

#endif
