/* The reader's thread, and the ring between it and who looks at frames. */
#include "watch/live.h"

#include <pthread.h>
#include <string.h>

#include "base/file.h"
#include "base/heap.h"
#include "sched/cond.h"
#include "watch/decode.h"
#include "watch/source.h"
#include "watch/url.h"

#define CLOSE_WAIT 800000      /* us that closing waits for the reader, which may be in a look-up of names */
#define LASTED 3000000         /* us after which a connection counts as well */
#define PROBE_MIN 250000       /* us: libav looks so long at streams that may have more in them (FLV, TS) .. */
#define PROBE_MAX 4000000      /* .. and longer each time where that was too short .. */
#define PROBE_TRIES 3          /* .. or, where it once was enough and this may be damage that passes, after so many attempts */
#define SOUND_PACKETS 4096     /* that wait at most .. */
#define SOUND_BYTES (2 << 20)  /* .. and bytes: ten seconds of what is not compressed */
#define PACKETS_A_CALL 16      /* are decoded at most .. */
#define CALL_TIME 4000         /* .. and no other once so many us are over */

typedef enum Halt { HALT_NOT, HALT_FROZEN /* this connection */, HALT_CLOSE } Halt;

struct Live {
    const char *url, *name;    /* name: as people may see it */
    LiveOptions opt;
    _Atomic int refs;          /* who opened it, and the reader */
    _Atomic int halt;          /* Halt: the source's calls stop */
    pthread_t reader;

    pthread_mutex_t lock;      /* guards what follows up to the next comment */
    pthread_cond_t wake;       /* for either side: room, a packet taken, time to go */
    PacketQueue queue;
    PacketQueue sound;         /* with `hear` */
    LiveState state;
    LiveCause cause;
    LiveCounts counts;         /* the reader's part */
    bool files_wait;           /* the reader waits where the ring is full */
    bool stuck;                /* .. and does so now */
    bool gone;                 /* the reader is */
    Error error;               /* the last one, of this connection or of the one before */

    pthread_mutex_t telling;   /* guards: nobody is notified any more */
    bool closed;

    /* of the reader */
    uint64_t dice;
    int connection;            /* number of this one */
    int64_t down_since;        /* of this outage, us; 0: none yet */
    int64_t delay;             /* before the next attempt, us */
    int64_t probe;             /* us of the stream to look at before it begins */
    int64_t enough;            /* what sufficed for the connection before; 0: there was none */
    int broken;                /* attempts since, in a row, that gave no video */

    /* of who looks */
    Arena *arena;
    Decoder *decoder;
    Packet held;               /* the decoder did not take it yet */
    int epochs;                /* that began with the frames given so far */
    int64_t aim, aim_for;      /* with `newest`: the time chosen, and for which wanted one; INT64_MIN: none */
    int64_t key;               /* pts of the last keyframe that the decoder was given, us; PACKET_NO_TIME: none */
    int64_t fed_since;         /* arrival of the first packet since the last frame, us; 0: none */
    int64_t skipped;
    int64_t dropped;           /* packets that no wanted frame needed */
};

const char *live_state_text(LiveState s)
{
    static const char *const text[] = {[LIVE_CONNECTING] = "connecting", [LIVE_UP] = "up", [LIVE_DOWN] = "down",
                                       [LIVE_ENDED] = "ended", [LIVE_FAILED] = "failed"};
    return text[s];
}

const char *live_cause_text(LiveCause c)
{
    static const char *const text[] = {"none", "refused", "silent", "closed", "frozen", "broken"};
    return text[c];
}

static int64_t now_us(void) { return (int64_t)(time_now() * 1e6); }

/* ---- the reader ---- */

static bool closing(const Live *l) { return atomic_load(&l->halt) == HALT_CLOSE; }

static void notify(Live *l)
{
    pthread_mutex_lock(&l->telling);
    if (!l->closed && l->opt.notify)
        l->opt.notify(l->opt.arg);
    pthread_mutex_unlock(&l->telling);
}

/* As notify: nobody is there to see it once the stream is closed, though the reader may only now come back from the network. */
static void show_packet(Live *l, const Packet *p)
{
    pthread_mutex_lock(&l->telling);
    if (!l->closed && l->opt.packet)
        l->opt.packet(l->opt.arg, p);
    pthread_mutex_unlock(&l->telling);
}

/* Under the lock, at most so long. */
static void wait_for(Live *l, int64_t us)
{
    cond_wait_until(&l->wake, &l->lock, now_us() + us);
}

/* Until then, or until somebody closes. */
static void sleep_until(Live *l, int64_t at)
{
    pthread_mutex_lock(&l->lock);
    for (int64_t now = now_us(); now < at && !closing(l); now = now_us())
        wait_for(l, at - now);
    pthread_mutex_unlock(&l->lock);
}

static void set_state(Live *l, LiveState state)
{
    pthread_mutex_lock(&l->lock);
    l->state = state;
    pthread_mutex_unlock(&l->lock);
    notify(l);
}

/* Under the lock, which it may let go of meanwhile. */
static void wait_for_room(Live *l, const PacketQueue *q)
{
    while (l->files_wait && packets_full(q) && !closing(l)) {
        const bool news = l->opt.hear && q == &l->queue && !l->stuck;
        if (!news) {
            pthread_cond_wait(&l->wake, &l->lock);
            continue;
        }
        l->stuck = true;
        pthread_mutex_unlock(&l->lock);
        notify(l); /* who waits for sound waits in vain */
        pthread_mutex_lock(&l->lock);
    }
    l->stuck = false;
}

/* Hands a packet to who hears. */
static void push_sound(Live *l, Packet *p)
{
    pthread_mutex_lock(&l->lock);
    wait_for_room(l, &l->sound);
    l->counts.sound += p->av != NULL;
    while (packets_full(&l->sound))
        l->counts.unheard += packets_make_room(&l->sound);
    if (!packets_push(&l->sound, p))
        l->counts.unheard++;
    pthread_mutex_unlock(&l->lock);
    notify(l);
}

/* Hands a packet, or the end of a connection, to who looks. */
static void push_picture(Live *l, Packet *p)
{
    pthread_mutex_lock(&l->lock);
    wait_for_room(l, &l->queue);
    if (p->av) {
        l->counts.video.packets++;
        l->counts.video.bytes += p->av->size;
        l->state = LIVE_UP;
    }
    while (packets_full(&l->queue))
        l->counts.full += packets_make_room(&l->queue);
    if (!packets_push(&l->queue, p))
        l->counts.full++;
    pthread_mutex_unlock(&l->lock);
    notify(l);
}

/* Pictures and sound in the order in which they came. */
static void push(Live *l, Packet *p)
{
    if (!packet_sound(p))
        push_picture(l, p);
    else if (l->opt.hear)
        push_sound(l, p);
    else
        packet_free(p);
}

static Packet end_of(const Source *s)
{
    return (Packet){.info = stream_info_ref(source_info(s)), .arrival = now_us()};
}

/* No sound is to come of this connection, as far as is known. */
static void push_silence(Live *l, const Source *s)
{
    if (!l->opt.hear)
        return;
    Packet end = end_of(s);
    push_sound(l, &end);
}

static LiveCause cause_of(const Live *l, SourceFailure f)
{
    static const LiveCause of[] = {
        [SOURCE_WELL] = LIVE_BROKEN, [SOURCE_REFUSED] = LIVE_REFUSED, [SOURCE_SILENT] = LIVE_SILENT,
        [SOURCE_CLOSED] = LIVE_CLOSED, [SOURCE_BROKEN] = LIVE_BROKEN, [SOURCE_HOPELESS] = LIVE_REFUSED,
    };
    return atomic_load(&l->halt) == HALT_FROZEN ? LIVE_FROZEN : of[f];
}

typedef struct Pace { /* when packets are due */
    bool bursts;         /* a second or more comes at once, and the next one when it is there (HLS) .. */
    int64_t media, at;   /* dts `media` was due at `at`, us; PACKET_NO_TIME: nothing was yet */
    int64_t last;        /* dts of the packet before */
} Pace;

/* A packet comes when its time has come since another one. Bursts are handed on a tenth faster than life, so that they
 * catch up with their sender; what is late, or behind a gap, is the new beginning. */
static void pace(Live *l, Packet *p, Pace *c)
{
    if (p->dts == PACKET_NO_TIME)
        return;
    const int64_t now = now_us(), since = c->media == PACKET_NO_TIME ? 0 : p->dts - c->media;
    int64_t due = c->at + (c->bursts ? since * 10 / 11 : since);
    const bool behind = c->bursts && (due < now || p->dts - c->last > 1000000);
    if (c->media == PACKET_NO_TIME || since < 0 || due > now + VIDEO_JUMP || behind) {
        c->media = p->dts;
        c->at = due = now;
    }
    c->last = p->dts;
    sleep_until(l, due);
    p->arrival = now_us();
}

/* Packets until the connection is down. */
static int read_all(Live *l, Source *s, Error *e)
{
    const bool paced = source_bursts(s) || (l->opt.paced && source_stored(s));
    Pace c = {.bursts = source_bursts(s), .media = PACKET_NO_TIME};
    const int64_t connected = now_us();
    Packet p;
    int code;
    if (!source_sound(s))
        push_silence(l, s);
    while ((code = source_read(s, &p, e)) > 0) {
        if (paced && !packet_sound(&p)) /* sound comes when its neighbours do */
            pace(l, &p, &c);
        show_packet(l, &p);
        push(l, &p);
        if (now_us() - connected > LASTED)
            l->down_since = l->delay = 0;
    }
    push_silence(l, s);
    Packet end = end_of(s);
    push(l, &end);
    return code;
}

static void count_connection(Live *l, const Source *s)
{
    pthread_mutex_lock(&l->lock);
    l->counts.connections++;
    l->files_wait = source_stored(s) && !l->opt.paced;
    l->error = (Error){0};
    pthread_mutex_unlock(&l->lock);
}

/* What the end of a connection leaves behind. */
static void note_end(Live *l, LiveState state, SourceFailure failure, const Error *e)
{
    pthread_mutex_lock(&l->lock);
    l->state = state;
    if (state != LIVE_ENDED) {
        l->cause = cause_of(l, failure);
        l->counts.down[l->cause]++;
        if (l->cause != LIVE_FROZEN)
            l->error = *e;
        else if (l->error.code == 0)
            error_set(&l->error, ERR_INVALID, "%s: packets, but no frame", l->name);
    }
    pthread_mutex_unlock(&l->lock);
    int frozen = HALT_FROZEN;
    atomic_compare_exchange_strong(&l->halt, &frozen, HALT_NOT);
}

/* A longer look makes each connection later: one that was needed because of damage is not kept. */
static void note_probe(Live *l, bool worked)
{
    if (worked) {
        const bool needed = l->enough == 0 || l->broken >= PROBE_TRIES;
        l->probe = l->enough = needed || l->probe < l->enough ? l->probe : l->enough;
        l->broken = 0;
    } else if (++l->broken >= PROBE_TRIES || l->enough == 0) {
        l->probe = l->probe < PROBE_MAX / 4 ? 4 * l->probe : PROBE_MAX;
    }
}

/* One connection from its beginning to its end. False: there will be no other. */
static bool connect_once(Live *l)
{
    Source *const s = source_new(l->url, &(SourceOptions){
        .open_timeout = l->opt.video.open_timeout,
        .read_timeout = l->opt.video.read_timeout,
        .keyframes = l->opt.video.keyframes,
        .picture_rate = l->opt.video.picture_rate,
        .sound = l->opt.video.sound,
        .connection = ++l->connection,
        .live = true,
        .probe = l->probe,
        .stop = &l->halt,
    });
    Error e = {0};
    LiveState after = LIVE_DOWN;
    set_state(l, LIVE_CONNECTING);
    if (source_connect(s, &e) == 0) {
        count_connection(l, s);
        note_probe(l, true);
        const int code = read_all(l, s, &e);
        if (code == 0 && !source_stored(s))
            error_set(&e, ERR_IO, "%s: closed by the other side", l->name);
        if (source_stored(s)) /* from its beginning again would be another video */
            after = code == 0 ? LIVE_ENDED : LIVE_FAILED;
    } else if (source_failure(s) == SOURCE_HOPELESS || source_is_file(l->url)) {
        after = LIVE_FAILED;
    } else if (source_failure(s) == SOURCE_BROKEN) {
        note_probe(l, false);
    }
    note_end(l, after, source_failure(s), &e);
    source_close(s);
    return after == LIVE_DOWN;
}

static uint64_t roll(Live *l) /* splitmix64 */
{
    uint64_t z = l->dice += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* How long to wait before the next attempt, us. */
static int64_t next_delay(Live *l)
{
    const int64_t now = now_us();
    if (l->down_since == 0)
        l->down_since = now;
    const int64_t most = now - l->down_since < LIVE_SHORT_OUTAGE && l->opt.retry_max > LIVE_RETRY_SOON ? LIVE_RETRY_SOON
                                                                                                     : l->opt.retry_max;
    l->delay = l->delay == 0 ? l->opt.retry_min : 2 * l->delay;
    l->delay = l->delay > most ? most : l->delay;
    return l->delay + (int64_t)(roll(l) % (uint64_t)(l->delay / 4 + 1));
}

static void live_unref(Live *l)
{
    if (atomic_fetch_sub(&l->refs, 1) != 1)
        return;
    packet_free(&l->held);
    packets_free(&l->queue);
    packets_free(&l->sound);
    pthread_mutex_destroy(&l->lock);
    pthread_mutex_destroy(&l->telling);
    pthread_cond_destroy(&l->wake);
    arena_free(l->arena);
}

static void *reader(void *arg)
{
    Live *const l = arg;
    while (!closing(l) && connect_once(l)) {
        notify(l);
        sleep_until(l, now_us() + next_delay(l));
    }
    notify(l);
    pthread_mutex_lock(&l->lock);
    l->gone = true;
    pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
    live_unref(l);
    return NULL;
}

/* ---- opening and closing ---- */

static LiveOptions with_defaults(const LiveOptions *opt)
{
    LiveOptions o = *opt;
    o.video.open_timeout = o.video.open_timeout ? o.video.open_timeout : 5000000;
    o.video.read_timeout = o.video.read_timeout ? o.video.read_timeout : 3000000;
    o.frame_timeout = o.frame_timeout ? o.frame_timeout : 20000000;
    o.retry_min = o.retry_min ? o.retry_min : 250000;
    o.retry_max = o.retry_max ? o.retry_max : 30000000;
    o.hear = o.hear && o.video.sound != SOUND_NOT;
    o.max_bytes = o.max_bytes ? o.max_bytes : 8 << 20;
    return o;
}

int live_open(const char *url, const LiveOptions *opt, Live **out, Error *e)
{
    Arena *const a = arena_new();
    Live *const l = arena_new_of(a, Live);
    l->arena = a;
    l->url = arena_strdup(a, url);
    l->name = url_shown(a, url);
    l->opt = with_defaults(opt);
    l->dice = opt->seed;
    l->probe = PROBE_MIN;
    l->aim = l->aim_for = INT64_MIN;
    l->key = PACKET_NO_TIME;
    atomic_store(&l->refs, 2);
    packets_init(&l->queue, VIDEO_MAX_PACKETS, l->opt.max_bytes);
    packets_init(&l->sound, SOUND_PACKETS, SOUND_BYTES);
    l->decoder = decoder_new(a, &(DecoderOptions){l->name, opt->video.keyframes, opt->video.threads});
    pthread_mutex_init(&l->lock, NULL);
    pthread_mutex_init(&l->telling, NULL);
    cond_init(&l->wake);
    if (pthread_create(&l->reader, NULL, reader, l) != 0) {
        atomic_store(&l->refs, 1);
        live_unref(l);
        return error_set(e, ERR_MEMORY, "%s: no thread to read it", l->name);
    }
    *out = l;
    return 0;
}

void live_close(Live *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->telling);
    l->closed = true;
    pthread_mutex_unlock(&l->telling);
    const int64_t until = now_us() + CLOSE_WAIT;
    pthread_mutex_lock(&l->lock);
    atomic_store(&l->halt, HALT_CLOSE);
    pthread_cond_broadcast(&l->wake);
    for (int64_t now = now_us(); !l->gone && now < until; now = now_us())
        wait_for(l, until - now);
    const bool gone = l->gone;
    pthread_mutex_unlock(&l->lock);
    if (gone)
        pthread_join(l->reader, NULL);
    else
        pthread_detach(l->reader); /* frees all when it comes back */
    live_unref(l);
}

/* ---- who looks ---- */

/* With `newest`: the last time in this epoch that a frame is certain to be there for. It stays until one is given. */
static void choose_aim(Live *l, int64_t wanted, const PacketPlace *at)
{
    if (l->aim_for == wanted)
        return;
    l->aim_for = l->aim = wanted;
    for (int i = 0; i < l->queue.n; i++) {
        const Packet *const p = packets_at(&l->queue, i);
        if (!p->av || p->breaks || p->info != at->info)
            return;
        if (p->dts != PACKET_NO_TIME && p->dts - at->origin > l->aim)
            l->aim = p->dts - at->origin;
    }
}

/* A keyframe is to be expected in time: what comes before it is better left alone. */
static bool key_expected(const Live *l, const PacketPlace *at, int64_t t)
{
    const PacketQueue *const q = &l->queue;
    return q->gop > 0 && q->last_key != PACKET_NO_TIME && at->origin != PACKET_NO_TIME && at->info == q->last_info &&
           q->last_key + q->gop - at->origin <= t;
}

/* The next packet worth decoding goes to l->held. LIVE_MORE: there is one. */
static LiveResult take_packet(Live *l, int64_t wanted, bool newest)
{
    pthread_mutex_lock(&l->lock);
    const PacketPlace at = decoder_place(l->decoder);
    const bool due = packets_reach(&l->queue, &at, wanted) >= 0;
    if (due && newest && at.info)
        choose_aim(l, wanted, &at);
    const int64_t t = l->aim_for == wanted ? l->aim : wanted;
    const int needless = packets_needless(&l->queue, &at, t);
    packets_drop(&l->queue, needless);
    l->dropped += needless;
    const bool take = l->queue.n > 0 && (due || needless > 0 || !key_expected(l, &at, wanted));
    const bool over = l->queue.n == 0 && (l->state == LIVE_ENDED || l->state == LIVE_FAILED);
    if (take)
        l->held = packets_pop(&l->queue);
    if (take && packet_key(&l->held))
        l->key = l->held.pts;
    if (l->files_wait && take)
        pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
    if (needless > 0)
        decoder_flush(l->decoder);
    return take ? LIVE_MORE : over ? LIVE_OVER : LIVE_NOTHING;
}

/* Packets went in and no frame came out, for too long: this connection is worth nothing. */
static void look_for_freezing(Live *l, const Packet *p)
{
    if (!p->av) {
        l->fed_since = 0;
        return;
    }
    if (l->fed_since == 0)
        l->fed_since = p->arrival;
    if (p->arrival - l->fed_since <= l->opt.frame_timeout)
        return;
    l->fed_since = 0;
    int not = HALT_NOT;
    atomic_compare_exchange_strong(&l->halt, &not, HALT_FROZEN);
}

static void keep_error(Live *l, const Error *e)
{
    pthread_mutex_lock(&l->lock);
    l->error = *e;
    pthread_mutex_unlock(&l->lock);
}

/* Gives the decoder what is held. */
static void feed(Live *l, int64_t t)
{
    Error e;
    DecoderTake take;
    if (decoder_send(l->decoder, &l->held, t, &take, &e) != 0)
        keep_error(l, &e);
    if (take == DECODER_FRAMES_FIRST)
        return;
    look_for_freezing(l, &l->held);
    packet_free(&l->held);
}

/* The decoder's next frame that is to be given. */
static bool find_frame(Live *l, int64_t wanted, LiveFrame *out)
{
    DecodedFrame f;
    Error e;
    while (decoder_receive(l->decoder, &f)) {
        const int64_t t = l->aim_for == wanted ? l->aim : wanted;
        const bool begins = decoder_epochs(l->decoder) != l->epochs;
        if (!begins && f.frame.t < t) {
            l->fed_since = 0;
            l->skipped += f.frame.t >= wanted;
            continue;
        }
        *out = (LiveFrame){f.frame, f.arrival};
        if (decoder_picture(l->decoder, &out->frame.picture, &e) != 0) {
            keep_error(l, &e);
            continue;
        }
        l->fed_since = 0;
        l->epochs = decoder_epochs(l->decoder);
        l->aim_for = INT64_MIN;
        return true;
    }
    return false;
}

LiveResult live_frame(Live *l, int64_t wanted, bool newest, LiveFrame *out)
{
    const int64_t until = now_us() + CALL_TIME;
    for (int n = 0;; n++) {
        if (find_frame(l, wanted, out))
            return LIVE_FRAME;
        if (n >= PACKETS_A_CALL || (n > 0 && now_us() > until))
            return LIVE_MORE;
        const LiveResult more = l->held.info ? LIVE_MORE : take_packet(l, wanted, newest);
        if (more != LIVE_MORE)
            return more;
        feed(l, l->aim_for == wanted ? l->aim : wanted);
    }
}

bool live_sound(Live *l, Packet *out, bool *stuck)
{
    pthread_mutex_lock(&l->lock);
    const bool some = l->sound.n > 0;
    if (some)
        *out = packets_pop(&l->sound);
    *stuck = !some && l->stuck && packets_full(&l->queue);
    if (some && l->files_wait)
        pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
    return some;
}

bool live_due(const Live *l, int64_t wanted, int64_t *arrival)
{
    Live *const m = (Live *)l; /* to look is to lock */
    const PacketPlace at = decoder_place(l->decoder);
    pthread_mutex_lock(&m->lock);
    const int i = packets_reach(&l->queue, &at, wanted);
    if (i >= 0)
        *arrival = packets_at(&l->queue, i)->arrival;
    pthread_mutex_unlock(&m->lock);
    return i >= 0;
}

int64_t live_start(const Live *l, int64_t wanted, bool *key, int64_t *spacing)
{
    Live *const m = (Live *)l;
    const PacketPlace at = decoder_place(l->decoder);
    pthread_mutex_lock(&m->lock);
    const int needless = packets_needless(&l->queue, &at, wanted);
    *key = needless > 0;
    *spacing = l->queue.gop;
    int64_t start = at.last;
    if (*key)
        start = packets_at(&l->queue, needless)->pts - at.origin;
    else if (l->key != PACKET_NO_TIME && l->key - at.origin > start && l->key - at.origin <= wanted)
        start = l->key - at.origin; /* the decoder has it, but has not given it yet */
    pthread_mutex_unlock(&m->lock);
    return start;
}

LiveState live_state(const Live *l, LiveCause *cause)
{
    Live *const m = (Live *)l;
    pthread_mutex_lock(&m->lock);
    const LiveState s = l->state;
    if (cause)
        *cause = l->cause;
    pthread_mutex_unlock(&m->lock);
    return s;
}

const char *live_error(const Live *l, Arena *a)
{
    Live *const m = (Live *)l;
    pthread_mutex_lock(&m->lock);
    const char *const text = arena_strdup(a, l->error.message);
    pthread_mutex_unlock(&m->lock);
    return text;
}

LiveCounts live_counts(const Live *l)
{
    Live *const m = (Live *)l;
    pthread_mutex_lock(&m->lock);
    LiveCounts c = l->counts;
    pthread_mutex_unlock(&m->lock);
    const DecoderCounts d = decoder_counts(l->decoder);
    c.video.decoded = d.decoded;
    c.video.dropped = d.dropped + l->dropped;
    c.video.errors = d.errors;
    c.video.epochs = decoder_epochs(l->decoder);
    c.skipped = l->skipped;
    return c;
}
