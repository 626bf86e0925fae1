/* Opening and closing, and who looks at frames: packets from the ring go to the decoder.
 * (live_reader.c: who fills the ring.) */
#include "watch/live_parts.h"

#include "watch/url.h"

/* us that closing waits for the reader, which may be in a look-up of names */
#define CLOSE_WAIT 800000
#define SOUND_PACKETS 4096     /* that wait at most .. */
#define SOUND_BYTES (2 << 20)  /* .. and bytes: ten seconds of what is not compressed */
/* us of packets behind a pause, after which one knows how late they are */
#define FLOWING 1000000
#define PACKETS_A_CALL 16      /* are decoded at most .. */
/* us that an answer of a decoder that is a process of its own is waited for */
#define PATIENCE 2000
#define CALL_TIME 4000         /* .. and no other once so many us are over */

const char *live_state_text(LiveState s)
{
    static const char *const text[] = {[LIVE_CONNECTING] = "connecting",
                                       [LIVE_UP] = "up",
                                       [LIVE_DOWN] = "down",
                                       [LIVE_ENDED] = "ended",
                                       [LIVE_FAILED] = "failed"};
    return text[s];
}

const char *live_cause_text(LiveCause c)
{
    static const char *const text[] = {"none",   "refused", "silent", "closed",
                                       "frozen", "broken",  "crashed"};
    return text[c];
}

/* ---- opening and closing ---- */

void live_unref(Live *l)
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
    l->probe = LIVE_PROBE_MIN;
    l->aim = l->aim_for = INT64_MIN;
    l->key = PACKET_NO_TIME;
    atomic_store(&l->refs, 2);
    packets_init(&l->queue, VIDEO_MAX_PACKETS, l->opt.max_bytes);
    packets_init(&l->sound, SOUND_PACKETS, SOUND_BYTES);
    l->decoder = decoder_new(a, &(DecoderOptions){.name = l->name,
                                                  .keyframes = opt->video.keyframes,
                                                  .threads = opt->video.threads,
                                                  .patience = PATIENCE,
                                                  .once = true});
    pthread_mutex_init(&l->lock, NULL);
    pthread_mutex_init(&l->telling, NULL);
    cond_init(&l->wake);
    if (pthread_create(&l->reader, NULL, live_read, l) != 0) {
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
    const int64_t until = machine_now() + CLOSE_WAIT;
    pthread_mutex_lock(&l->lock);
    atomic_store(&l->halt, HALT_CLOSE);
    pthread_cond_broadcast(&l->wake);
    for (int64_t now = machine_now(); !l->gone && now < until; now = machine_now())
        live_wait(l, until - now);
    const bool gone = l->gone;
    pthread_mutex_unlock(&l->lock);
    if (gone)
        pthread_join(l->reader, NULL);
    else
        pthread_detach(l->reader); /* frees all when it comes back */
    live_unref(l);
}

/* ---- who looks ---- */

/* With `newest`: the last time in this epoch that a frame is certain to be there for. It stays
 * until one is given. */
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
    return q->gop > 0 && q->last_key != PACKET_NO_TIME && at->origin != PACKET_NO_TIME &&
           at->info == q->last_info && q->last_key + q->gop - at->origin <= t;
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

void live_halt(Live *l, int connection, Halt halt, const Error *why)
{
    int not = HALT_NOT;
    pthread_mutex_lock(&l->lock);
    if (why && l->connection == connection)
        l->error = *why;
    if (l->reading == connection)
        atomic_compare_exchange_strong(&l->halt, &not, halt);
    pthread_mutex_unlock(&l->lock);
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
    live_halt(l, p->info->connection, HALT_FROZEN, NULL);
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

/* Its decoder gives nothing more; if that is its process's fault, another connection has another
 * one. */
static void look_for_failure(Live *l)
{
    Error e;
    bool crashed;
    if (decoder_failure(l->decoder, &crashed, &e) == 0)
        return;
    const PacketPlace at = decoder_place(l->decoder);
    if (crashed && at.info)
        live_halt(l, at.info->connection, HALT_CRASHED, &e);
    else
        keep_error(l, &e);
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
    look_for_failure(l);
    return false;
}

/* A file that is over without a picture was none. */
static void look_for_pictures(Live *l)
{
    pthread_mutex_lock(&l->lock);
    if (l->state == LIVE_ENDED && decoder_epochs(l->decoder) == 0) {
        l->state = LIVE_FAILED;
        l->cause = LIVE_BROKEN;
        if (l->error.code == 0)
            error_set(&l->error, ERR_INVALID, "%s: no frame in it", l->name);
    }
    pthread_mutex_unlock(&l->lock);
}

LiveResult live_frame(Live *l, int64_t wanted, bool newest, LiveFrame *out)
{
    const int64_t until = machine_now() + CALL_TIME;
    for (int n = 0;; n++) {
        if (find_frame(l, wanted, out))
            return LIVE_FRAME;
        if (decoder_busy(l->decoder))
            return LIVE_BUSY;
        if (n >= PACKETS_A_CALL || (n > 0 && machine_now() > until))
            return LIVE_MORE;
        const LiveResult more = l->held.info ? LIVE_MORE : take_packet(l, wanted, newest);
        if (more == LIVE_OVER)
            look_for_pictures(l);
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

void live_crash(Live *l, int connection, const Error *why)
{
    live_halt(l, connection, HALT_CRASHED, why);
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

bool live_lags(const Live *l, int64_t t, int64_t paused)
{
    Live *const m = (Live *)l;
    const PacketPlace at = decoder_place(l->decoder);
    pthread_mutex_lock(&m->lock);
    const PacketQueue *const q = &l->queue;
    const bool flows = l->resumed > paused && machine_now() - l->resumed > FLOWING;
    const bool known = at.info && at.info == q->last_info && q->last != PACKET_NO_TIME;
    const bool lags = flows && known && q->last - at.origin < t;
    pthread_mutex_unlock(&m->lock);
    return lags;
}

void live_anew(Live *l) { decoder_anew(l->decoder); }

LiveStart live_start(const Live *l, int64_t wanted)
{
    Live *const m = (Live *)l;
    const PacketPlace at = decoder_place(l->decoder);
    pthread_mutex_lock(&m->lock);
    const int key = packets_key(&l->queue, &at, wanted);
    LiveStart out = {.t = at.last, .key = key >= 0};
    if (out.key) {
        const Packet *const p = packets_at(&l->queue, key);
        out.t = p->pts - at.origin;
        out.arrival = p->arrival;
    } else if (l->key != PACKET_NO_TIME && l->key - at.origin > at.last &&
               l->key - at.origin <= wanted) {
        out.t = l->key - at.origin; /* the decoder has it, but has not given it yet */
    }
    pthread_mutex_unlock(&m->lock);
    return out;
}

void live_skip(Live *l, int64_t wanted)
{
    const PacketPlace at = decoder_place(l->decoder);
    pthread_mutex_lock(&l->lock);
    const int needless = packets_needless(&l->queue, &at, wanted);
    packets_drop(&l->queue, needless);
    l->dropped += needless;
    pthread_mutex_unlock(&l->lock);
    if (needless > 0)
        decoder_flush(l->decoder);
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
    c.isolated = decoder_cpu(l->decoder);
    return c;
}
