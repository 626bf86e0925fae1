#include "watch/packets.h"

#include <string.h>

#include "base/heap.h"
#include "watch/video.h"

#define REGULAR 50 /* packets, each as long after the one before, in which a stream is */
#define US ((AVRational){1, 1000000})

/* ---- connections ---- */

StreamInfo *stream_info_new(const AVCodecParameters *par, AVRational time_base,
                            AVRational frame_rate)
{
    StreamInfo *const s = heap_alloc(sizeof *s, 16);
    if (!s)
        return NULL;
    s->par = avcodec_parameters_alloc();
    if (!s->par || avcodec_parameters_copy(s->par, par) < 0) {
        avcodec_parameters_free(&s->par);
        heap_free(s);
        return NULL;
    }
    s->time_base = time_base;
    s->frame_rate = frame_rate;
    s->lossy = s->sound = s->moves = false;
    s->connection = 0;
    s->isolate = 0;
    atomic_store(&s->refs, 1);
    return s;
}

StreamInfo *stream_info_ref(StreamInfo *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void stream_info_unref(StreamInfo *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    avcodec_parameters_free(&s->par);
    heap_free(s);
}

#define FAR_TIME (INT64_C(1) << 60) /* us: of such, differences and sums are in range */

int64_t stream_info_us(const StreamInfo *s, int64_t t)
{
    const int64_t us = t == AV_NOPTS_VALUE ? PACKET_NO_TIME : av_rescale_q(t, s->time_base, US);
    return us > -FAR_TIME && us < FAR_TIME ? us : PACKET_NO_TIME;
}

int64_t stream_info_step(const StreamInfo *s)
{
    const AVRational rate = s->frame_rate;
    return rate.num > 0 && rate.den > 0 ? av_rescale(1000000, rate.den, rate.num) : 40000;
}

/* ---- the ring ---- */

int64_t packet_cost(const Packet *p) { return p->av ? p->av->size + 256 : 0; }

void packet_free(Packet *p)
{
    av_packet_free(&p->av);
    stream_info_unref(p->info);
    *p = (Packet){0};
}

void packets_init(PacketQueue *q, int max, int64_t max_bytes)
{
    *q = (PacketQueue){
        .max = max, .max_bytes = max_bytes, .last = PACKET_NO_TIME, .last_key = PACKET_NO_TIME};
}

void packets_free(PacketQueue *q)
{
    packets_drop(q, q->n);
    heap_free(q->ring);
    q->ring = NULL;
}

bool packets_full(const PacketQueue *q) { return q->n >= q->max || q->bytes >= q->max_bytes; }

Packet *packets_at(const PacketQueue *q, int i) { return &q->ring[(q->first + i) & (q->cap - 1)]; }

static bool grow(PacketQueue *q)
{
    const int cap = q->cap ? 2 * q->cap : 64;
    Packet *const ring = heap_alloc((size_t)cap * sizeof *ring, 16);
    if (!ring)
        return false;
    for (int i = 0; i < q->n; i++)
        ring[i] = *packets_at(q, i);
    heap_free(q->ring);
    q->ring = ring;
    q->cap = cap;
    q->first = 0;
    return true;
}

/* Whole pictures that a transport loses leave no other trace than a gap, and what refers to them is
 * wrong. */
static void look_for_loss(PacketQueue *q, Packet *p, int64_t gap)
{
    const bool same = q->step > 0 && gap > q->step - q->step / 4 && gap < q->step + q->step / 4;
    if (p->info->moves && p->clock != q->last_clock) /* the first report */
        q->regular = 0;
    p->lost =
        p->info->lossy && q->regular >= REGULAR && gap > q->step + q->step / 2 && !packet_key(p);
    if (p->lost)
        return;
    q->regular = same ? q->regular + 1 : 0;
    q->step = gap;
}

static void note_spacing(PacketQueue *q, int64_t spacing)
{
    const int most = (int)(sizeof q->spacing / sizeof *q->spacing);
    q->spacing[q->keys++ % most] = spacing;
    q->gop = spacing;
    for (int i = 0; i < q->keys && i < most; i++)
        q->gop = q->spacing[i] > q->gop ? q->spacing[i] : q->gop;
}

/* What the queue remembers of what went through it. */
static void note(PacketQueue *q, Packet *p)
{
    const bool other = p->info != q->last_info;
    const int64_t back = q->last - stream_info_step(p->info), ahead = q->last + VIDEO_JUMP;
    const bool known = !other && q->last != PACKET_NO_TIME && p->dts != PACKET_NO_TIME;
    p->breaks = other || (known && (p->dts < back || p->dts > ahead));
    if (p->breaks)
        q->last_key = PACKET_NO_TIME;
    if (known && !p->breaks)
        look_for_loss(q, p, p->dts - q->last);
    else
        q->regular = 0;
    q->last_info = p->info;
    q->last_clock = p->clock;
    q->last = p->dts != PACKET_NO_TIME || other ? p->dts : q->last;
    p->hole = q->hole;
    q->hole = false;
    if (!packet_key(p) || p->dts == PACKET_NO_TIME)
        return;
    if (q->last_key != PACKET_NO_TIME)
        note_spacing(q, p->dts - q->last_key);
    q->last_key = p->dts;
}

bool packets_push(PacketQueue *q, Packet *p)
{
    if (q->n == q->cap && !grow(q)) {
        packet_free(p);
        q->hole = true;
        return false;
    }
    if (p->av)
        note(q, p);
    q->n++;
    q->bytes += packet_cost(p);
    *packets_at(q, q->n - 1) = *p;
    *p = (Packet){0};
    return true;
}

Packet packets_pop(PacketQueue *q)
{
    Packet *const p = packets_at(q, 0), out = *p;
    *p = (Packet){0};
    q->bytes -= packet_cost(&out);
    q->first = (q->first + 1) & (q->cap - 1);
    q->n--;
    return out;
}

void packets_drop(PacketQueue *q, int n)
{
    for (int i = 0; i < n; i++) {
        Packet p = packets_pop(q);
        packet_free(&p);
    }
}

int packets_make_room(PacketQueue *q)
{
    int n = 0;
    bool breaks = false;
    do {
        breaks |= packets_at(q, 0)->breaks;
        packets_drop(q, 1);
        n++;
    } while (q->n > 0 && packets_at(q, 0)->av && !packet_key(packets_at(q, 0)) &&
             !packets_at(q, 0)->breaks);
    if (q->n == 0) {
        q->hole = true;
        return n;
    }
    packets_at(q, 0)->hole = true;
    packets_at(q, 0)->breaks |= breaks;
    return n;
}

/* ---- what is needed ---- */

/* Time in the epoch; INT64_MAX: it is not known, or not yet. */
static int64_t since(const PacketPlace *at, int64_t t)
{
    return t == PACKET_NO_TIME || at->origin == PACKET_NO_TIME ? INT64_MAX : t - at->origin;
}

/* It belongs to another epoch, or may. */
static bool another(const Packet *p, const PacketPlace *at)
{
    return p->breaks || !p->av || p->info != at->info || since(at, p->dts) < at->last - VIDEO_JUMP;
}

int packets_key(const PacketQueue *q, const PacketPlace *at, int64_t t)
{
    int key = -1;
    for (int i = 0; i < q->n; i++) {
        const Packet *const p = packets_at(q, i);
        if (another(p, at))
            break;
        const int64_t pts = since(at, p->pts);
        if (packet_key(p) && pts <= t && pts >= at->last)
            key = i;
    }
    return key;
}

int packets_needless(const PacketQueue *q, const PacketPlace *at, int64_t t)
{
    const int key = packets_key(q, at, t);
    return key > 0 ? key : 0;
}

int packets_reach(const PacketQueue *q, const PacketPlace *at, int64_t t)
{
    bool next = false;
    for (int i = 0; i < q->n; i++) {
        const Packet *const p = packets_at(q, i);
        next |= another(p, at);
        if (next ? packet_key(p) || !p->av : since(at, p->dts) >= t)
            return i;
    }
    return -1;
}

bool packets_last_of_group(const PacketQueue *q, const PacketPlace *at, int64_t t, int64_t frame,
                           int64_t next)
{
    bool key = false;
    for (int i = 0; i < q->n; i++) {
        const Packet *const p = packets_at(q, i);
        if (another(p, at))
            return false;
        const int64_t pts = since(at, p->pts), dts = since(at, p->dts);
        if (pts >= t && pts < frame)
            return false;
        key = key || (packet_key(p) && pts > frame && pts <= next);
        if (key && dts >= frame && dts != INT64_MAX)
            return true;
    }
    return false;
}
