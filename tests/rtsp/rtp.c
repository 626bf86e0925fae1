/* Packetising: see rtp.h. */
#include "rtsp/rtp.h"

#include <string.h>

#define HEADER 12
#define FU_A 28
#define NTP_1970 2208988800u /* seconds from 1900 to 1970 */

static void put32(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)(v >> 24);
    at[1] = (uint8_t)(v >> 16);
    at[2] = (uint8_t)(v >> 8);
    at[3] = (uint8_t)v;
}

uint32_t rtp_time(const Rtp *r, int64_t us)
{
    return r->base + (uint32_t)(us * r->rate / 1000000);
}

static bool send_packet(Rtp *r, uint8_t *packet, int size, bool marker, uint32_t time, RtpFn fn,
                        void *arg)
{
    packet[0] = 0x80;
    packet[1] = (uint8_t)(r->type | (marker ? 0x80 : 0));
    packet[2] = (uint8_t)(r->sequence >> 8);
    packet[3] = (uint8_t)r->sequence;
    put32(packet + 4, time);
    put32(packet + 8, r->ssrc);
    r->sequence++;
    r->packets++;
    r->bytes += (uint32_t)(size - HEADER);
    return fn(arg, packet, size);
}

static bool send_nal(Rtp *r, Nal nal, bool last, uint32_t time, RtpFn fn, void *arg)
{
    uint8_t packet[RTP_MAX];
    if (HEADER + nal.size <= RTP_MAX) {
        memcpy(packet + HEADER, nal.at, (size_t)nal.size);
        return send_packet(r, packet, HEADER + nal.size, last, time, fn, arg);
    }
    const int room = RTP_MAX - HEADER - 2;
    for (int at = 1; at < nal.size; at += room) {
        const int n = nal.size - at < room ? nal.size - at : room;
        const bool end = at + n == nal.size;
        packet[HEADER] = (uint8_t)((nal.at[0] & 0xe0) | FU_A);
        packet[HEADER + 1] = (uint8_t)((at == 1 ? 0x80 : 0) | (end ? 0x40 : 0) | (nal.at[0] & 31));
        memcpy(packet + HEADER + 2, nal.at + at, (size_t)n);
        if (!send_packet(r, packet, HEADER + 2 + n, last && end, time, fn, arg))
            return false;
    }
    return true;
}

bool rtp_frame(Rtp *r, const Media *m, const MediaFrame *f, int64_t us, RtpFn fn, void *arg)
{
    for (int i = 0; i < f->n; i++) {
        if (!send_nal(r, m->nal.at[f->first + i], i + 1 == f->n, rtp_time(r, us), fn, arg))
            return false;
    }
    return true;
}

bool rtp_sound(Rtp *r, const MediaSound *f, int64_t us, RtpFn fn, void *arg)
{
    uint8_t packet[RTP_MAX];
    if (HEADER + 4 + f->size > RTP_MAX)
        return true;
    packet[HEADER] = 0;
    packet[HEADER + 1] = 16; /* bits of headers: one, of 13 bits of size and 3 of index */
    packet[HEADER + 2] = (uint8_t)(f->size >> 5);
    packet[HEADER + 3] = (uint8_t)(f->size << 3);
    memcpy(packet + HEADER + 4, f->at, (size_t)f->size);
    return send_packet(r, packet, HEADER + 4 + f->size, true, rtp_time(r, us), fn, arg);
}

int rtp_report(const Rtp *r, int64_t us, int64_t wall, uint8_t *out)
{
    out[0] = 0x80;
    out[1] = 200;
    out[2] = 0;
    out[3] = 6; /* words behind the first */
    put32(out + 4, r->ssrc);
    put32(out + 8, (uint32_t)(wall / 1000000) + NTP_1970);
    put32(out + 12, (uint32_t)((double)(wall % 1000000) * 4294.967296));
    put32(out + 16, rtp_time(r, us));
    put32(out + 20, r->packets);
    put32(out + 24, r->bytes);
    return 28;
}
