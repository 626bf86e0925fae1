/* The reader's thread: connects, reads packets into the ring, waits and connects anew. */
#include "watch/live_parts.h"

#include "watch/source.h"

#define LASTED 3000000         /* us after which a connection counts as well */
/* us: longer than LIVE_PROBE_MIN each time where that was too short .. */
#define PROBE_MAX 4000000
/* .. or, where it once was enough and this may be damage that passes, after so many attempts */
#define PROBE_TRIES 3

static bool closing(const Live *l) { return atomic_load(&l->halt) == HALT_CLOSE; }

static void notify(Live *l)
{
    pthread_mutex_lock(&l->telling);
    if (!l->closed && l->opt.notify)
        l->opt.notify(l->opt.arg);
    pthread_mutex_unlock(&l->telling);
}

/* As notify: nobody is there to see it once the stream is closed, though the reader may only now
 * come back from the network. */
static void show_packet(Live *l, const Packet *p)
{
    pthread_mutex_lock(&l->telling);
    if (!l->closed && l->opt.packet)
        l->opt.packet(l->opt.arg, p);
    pthread_mutex_unlock(&l->telling);
}

/* Until then, or until somebody closes. */
static void sleep_until(Live *l, int64_t at)
{
    pthread_mutex_lock(&l->lock);
    for (int64_t now = machine_now(); now < at && !closing(l); now = machine_now())
        live_wait(l, at - now);
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

/* Puts a packet into a ring, for which old ones may go. How many were lost, which may be this
 * one. */
static int64_t put(PacketQueue *q, Packet *p)
{
    int64_t lost = 0;
    while (packets_full(q))
        lost += packets_make_room(q);
    return lost + !packets_push(q, p);
}

/* Hands a packet to who hears. */
static void push_sound(Live *l, Packet *p)
{
    pthread_mutex_lock(&l->lock);
    wait_for_room(l, &l->sound);
    l->counts.sound += p->av != NULL;
    l->counts.unheard += put(&l->sound, p);
    pthread_mutex_unlock(&l->lock);
    notify(l);
}

/* Hands a packet, or the end of a connection, to who looks. */
static void push_picture(Live *l, Packet *p)
{
    pthread_mutex_lock(&l->lock);
    wait_for_room(l, &l->queue);
    if (p->av) {
        l->resumed = p->arrival - l->newest > LIVE_PAUSE ? p->arrival : l->resumed;
        l->newest = p->arrival;
        l->counts.video.packets++;
        l->counts.video.bytes += p->av->size;
        l->state = LIVE_UP;
    }
    l->counts.full += put(&l->queue, p);
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
    return (Packet){.info = stream_info_ref(source_info(s)), .arrival = machine_now()};
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
        [SOURCE_WELL] = LIVE_BROKEN,     [SOURCE_REFUSED] = LIVE_REFUSED,
        [SOURCE_SILENT] = LIVE_SILENT,   [SOURCE_CLOSED] = LIVE_CLOSED,
        [SOURCE_BROKEN] = LIVE_BROKEN,   [SOURCE_SLIPPED] = LIVE_BROKEN,
        [SOURCE_HOPELESS] = LIVE_REFUSED,
        [SOURCE_CRASHED] = LIVE_CRASHED,
    };
    const int halt = atomic_load(&l->halt);
    return halt == HALT_FROZEN ? LIVE_FROZEN : halt == HALT_CRASHED ? LIVE_CRASHED : of[f];
}

typedef struct Pace { /* when packets are due */
    /* a second or more comes at once, and the next one when it is there (HLS) .. */
    bool bursts;
    int64_t media, at;   /* dts `media` was due at `at`, us; PACKET_NO_TIME: nothing was yet */
    int64_t last;        /* dts of the packet before */
} Pace;

/* A packet comes when its time has come since another one. Bursts are handed on a tenth faster than
 * life, so that they catch up with their sender; what is late, or behind a gap, is the new
 * beginning. */
static void pace(Live *l, Packet *p, Pace *c)
{
    if (p->dts == PACKET_NO_TIME)
        return;
    const int64_t now = machine_now(), since = c->media == PACKET_NO_TIME ? 0 : p->dts - c->media;
    int64_t due = c->at + (c->bursts ? since * 10 / 11 : since);
    const bool behind = c->bursts && (due < now || p->dts - c->last > 1000000);
    if (c->media == PACKET_NO_TIME || since < 0 || due > now + VIDEO_JUMP || behind) {
        c->media = p->dts;
        c->at = due = now;
    }
    c->last = p->dts;
    sleep_until(l, due);
    p->arrival = machine_now();
}

/* Packets until the connection is down. */
static int read_all(Live *l, Source *s, Error *e)
{
    const bool paced = source_bursts(s) || (l->opt.paced && source_stored(s));
    Pace c = {.bursts = source_bursts(s), .media = PACKET_NO_TIME};
    const int64_t connected = machine_now();
    Packet p;
    int code;
    if (!source_sound(s))
        push_silence(l, s);
    while ((code = source_read(s, &p, e)) > 0) {
        if (paced && !packet_sound(&p)) /* sound comes when its neighbours do */
            pace(l, &p, &c);
        show_packet(l, &p);
        push(l, &p);
        if (machine_now() - connected > LASTED)
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
        const int halt = atomic_load(&l->halt);
        if (halt != HALT_FROZEN && halt != HALT_CRASHED)
            l->error = *e;
        else if (l->error.code == 0)
            error_set(&l->error, ERR_INVALID, "%s: packets, but no frame", l->name);
    }
    l->reading = 0; /* what its decoders still say is not for the next one */
    int frozen = HALT_FROZEN, crashed = HALT_CRASHED;
    atomic_compare_exchange_strong(&l->halt, &frozen, HALT_NOT);
    atomic_compare_exchange_strong(&l->halt, &crashed, HALT_NOT);
    pthread_mutex_unlock(&l->lock);
}

static int next_connection(Live *l)
{
    pthread_mutex_lock(&l->lock);
    l->reading = ++l->connection;
    pthread_mutex_unlock(&l->lock);
    return l->connection;
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
        .connection = next_connection(l),
        .live = true,
        .probe = l->probe,
        .isolate = l->opt.video.isolate,
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
    l->there = source_failure(s) == SOURCE_SLIPPED;
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
    const int64_t now = machine_now();
    if (l->down_since == 0)
        l->down_since = now;
    const int64_t most =
        now - l->down_since < LIVE_SHORT_OUTAGE && l->opt.retry_max > LIVE_RETRY_SOON
            ? LIVE_RETRY_SOON
            : l->opt.retry_max;
    const bool at_once = l->there && l->delay == 0;
    l->delay = l->delay == 0 ? l->opt.retry_min : 2 * l->delay;
    l->delay = l->delay > most ? most : l->delay;
    if (at_once)
        return 0;
    return l->delay + (int64_t)(roll(l) % (uint64_t)(l->delay / 4 + 1));
}

void *live_read(void *arg)
{
    Live *const l = arg;
    while (!closing(l) && connect_once(l)) {
        notify(l);
        sleep_until(l, machine_now() + next_delay(l));
    }
    notify(l);
    pthread_mutex_lock(&l->lock);
    l->gone = true;
    pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
    live_unref(l);
    return NULL;
}
