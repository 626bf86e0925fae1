#include "watch/packet_ring.h"

#include <string.h>

#include "base/heap.h"
#include "watch/video.h"

bool packet_copy(Packet *out, const Packet *p)
{
    *out = *p;
    out->info = NULL;
    out->av = av_packet_clone(p->av);
    if (!out->av)
        return false;
    out->info = stream_info_ref(p->info);
    return true;
}

/* ---- runs ---- */

static int give(PacketRuns *s, Packet *p, RunPacket *out)
{
    *out = (RunPacket){.packet = *p, .number = s->pushed++, .run = s->run};
    *p = (Packet){0};
    return 1;
}

static int give_picture(PacketRuns *s, Packet *p, RunPacket *out)
{
    s->last = p->dts;
    return give(s, p, out);
}

static bool jumps(int64_t before, const Packet *p)
{
    return p->dts < before - stream_info_step(p->info) || p->dts > before + VIDEO_JUMP;
}

/* A picture whose time does not follow on the one before: the one after it says whose fault that
 * is. */
static int push_picture(PacketRuns *s, Packet *p, RunPacket out[2])
{
    if (p->info != s->info) {
        packet_free(&s->doubt);
        s->run++;
        stream_info_unref(s->info);
        s->info = stream_info_ref(p->info);
        return give_picture(s, p, out);
    }
    if (!jumps(s->last, p)) {
        packet_free(&s->doubt); /* it was damage */
        return give_picture(s, p, out);
    }
    if (s->doubt.av && !jumps(s->doubt.dts, p)) {
        s->run++;
        give_picture(s, &s->doubt, out);
        return 1 + give_picture(s, p, out + 1);
    }
    packet_free(&s->doubt);
    s->doubt = *p;
    return 0;
}

int runs_push(PacketRuns *s, const Packet *p, RunPacket out[2])
{
    Packet copy;
    if (!p->av || p->dts == PACKET_NO_TIME)
        return 0;
    if (packet_sound(p) && (!s->info || s->info->connection != p->info->connection))
        return 0; /* no picture of its connection came yet */
    if (!packet_copy(&copy, p))
        return 0;
    return packet_sound(p) ? give(s, &copy, out) : push_picture(s, &copy, out);
}

void runs_free(PacketRuns *s)
{
    packet_free(&s->doubt);
    stream_info_unref(s->info);
    s->info = NULL;
}

/* ---- the old end ---- */

static bool is_key(const RunPacket *p)
{
    return !packet_sound(&p->packet) && packet_key(&p->packet);
}

void ring_init(PacketRing *r, int64_t span, int64_t max_bytes)
{
    *r = (PacketRing){.span = span, .max_bytes = max_bytes, .wait_key = true};
}

const RunPacket *ring_at(const PacketRing *r, int i)
{
    return &r->at[(r->first + i) & (r->cap - 1)];
}

static void drop(PacketRing *r, int n)
{
    for (int i = 0; i < n; i++) {
        RunPacket *const p = &r->at[r->first];
        r->bytes -= packet_cost(&p->packet);
        packet_free(&p->packet);
        r->first = (r->first + 1) & (r->cap - 1);
        r->n--;
    }
}

/* The second keyframe; r->n: there is only one. */
static int second_key(const PacketRing *r)
{
    int i = 1;
    while (i < r->n && !is_key(ring_at(r, i)))
        i++;
    return i;
}

/* What lies between a packet and the last picture: by the clock of their run, else by when they
 * came. */
static int64_t age(const PacketRing *r, const RunPacket *p)
{
    return p->run == r->run ? r->last - p->packet.dts : r->arrival - p->packet.arrival;
}

/* Whole GOPs that are not needed, and those for which there is no room. */
static void shrink(PacketRing *r)
{
    while (r->n > 0) {
        const int next = second_key(r);
        const bool needless = next < r->n && age(r, ring_at(r, next)) >= r->span;
        if (!needless && r->bytes <= r->max_bytes)
            return;
        r->evicted += needless ? 0 : next;
        r->wait_key = next == r->n;
        drop(r, next);
    }
}

void ring_clear(PacketRing *r)
{
    drop(r, r->n);
    heap_free(r->at);
    r->at = NULL;
    r->cap = r->first = 0;
    r->wait_key = true;
}

void ring_set_span(PacketRing *r, int64_t span)
{
    r->span = span;
    shrink(r);
}

/* ---- the new end ---- */

static bool grow(PacketRing *r)
{
    const int cap = r->cap ? 2 * r->cap : 64;
    RunPacket *const at = heap_alloc((size_t)cap * sizeof *at, 16);
    if (!at)
        return false;
    for (int i = 0; i < r->n; i++)
        at[i] = *ring_at(r, i);
    heap_free(r->at);
    r->at = at;
    r->cap = cap;
    r->first = 0;
    return true;
}

bool ring_add(PacketRing *r, RunPacket *p)
{
    const bool room = r->n < r->cap || grow(r);
    if (!room || (r->wait_key && !is_key(p))) {
        r->wait_key = true;
        packet_free(&p->packet);
        return room;
    }
    r->wait_key = false;
    if (!packet_sound(&p->packet)) {
        r->run = p->run;
        r->last = p->packet.dts;
        r->arrival = p->packet.arrival;
    }
    r->bytes += packet_cost(&p->packet);
    r->at[(r->first + r->n++) & (r->cap - 1)] = *p;
    p->packet = (Packet){0};
    shrink(r);
    return true;
}

/* ---- what is asked ---- */

int ring_run_of(const PacketRing *r, int64_t arrival)
{
    for (int i = r->n - 1; i >= 0 && ring_at(r, i)->packet.arrival >= arrival; i--)
        if (ring_at(r, i)->packet.arrival == arrival)
            return ring_at(r, i)->run;
    return 0;
}

int ring_find(const PacketRing *r, int run, int64_t t)
{
    int found = -1;
    for (int i = 0; i < r->n; i++) {
        const RunPacket *const p = ring_at(r, i);
        if (p->run == run && is_key(p) && (found < 0 || p->packet.pts <= t))
            found = i;
    }
    return found;
}
