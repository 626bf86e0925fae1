/* The dialogue and the sending: see session.h. One thread a connection: it waits for requests until
 * the next frame is due. */
#include "rtsp/session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "game/dice.h"
#include "rtsp/rtp.h"

#define REQUEST_MAX 4096

typedef struct Session {
    const SessionOptions *opt;
    int fd, number;
    Dice dice;
    Rtp rtp, sound_rtp;
    int channel, sound_channel; /* of RTP; RTCP on the next; -1: not asked for */
    bool playing, over;
    double started;      /* time_now() of PLAY */
    int64_t wall;        /* us since 1970 of media time 0 */
    const Media *media;
    int frame, fault;    /* next ones */
    int64_t begin;       /* us since PLAY of pts 0 of this round through the file */
    int sound;           /* next frame of it */
    int64_t sound_begin; /* likewise */
    int64_t jumped;      /* us that RTP's clock was moved by */
    double held;         /* nothing is sent before this time */
    double reported;     /* of the last sender report */
    int corrupt, loss;   /* packets yet to come */
    bool slipped;        /* packets come without frames */
    char request[REQUEST_MAX];
    int have;
} Session;

/* ---- sending ---- */

static bool send_all(Session *s, const void *at, size_t size)
{
    for (const char *p = at; size > 0;) {
        const ssize_t n = send(s->fd, p, size, MSG_NOSIGNAL);
        if (n <= 0) {
            if (n < 0 && errno == EINTR)
                continue;
            s->over = true;
            return false;
        }
        p += n;
        size -= (size_t)n;
    }
    return true;
}

static bool send_framed(Session *s, int channel, const uint8_t *packet, int size)
{
    if (s->slipped)
        return send_all(s, packet, (size_t)size);
    uint8_t framed[RTP_MAX + 4] = {'$', (uint8_t)channel, (uint8_t)(size >> 8), (uint8_t)size};
    memcpy(framed + 4, packet, (size_t)size);
    return send_all(s, framed, (size_t)size + 4);
}

static bool send_rtp(void *arg, const uint8_t *packet, int size)
{
    Session *const s = arg;
    if (s->loss > 0) {
        s->loss--;
        return true;
    }
    if (s->corrupt == 0)
        return send_framed(s, s->channel, packet, size);
    s->corrupt--;
    uint8_t other[RTP_MAX];
    memcpy(other, packet, (size_t)size);
    for (int i = 0; i < 8 && size > 14; i++)
        other[dice_int(&s->dice, 13, size - 1)] ^= (uint8_t)dice_int(&s->dice, 1, 255);
    return send_framed(s, s->channel, other, size);
}

static bool has_sound(const Session *s) { return s->sound_channel >= 0 && s->media->sound.len > 0; }

static bool send_sound_rtp(void *arg, const uint8_t *packet, int size)
{
    Session *const s = arg;
    return send_framed(s, s->sound_channel, packet, size);
}

static void report(Session *s, int64_t us)
{
    uint8_t packet[28];
    int size = rtp_report(&s->rtp, us + s->jumped, s->wall + us, packet);
    send_framed(s, s->channel + 1, packet, size);
    if (!has_sound(s))
        return;
    size = rtp_report(&s->sound_rtp, us + s->jumped, s->wall + us, packet);
    send_framed(s, s->sound_channel + 1, packet, size);
}

/* ---- faults ---- */

static void garbage(Session *s, int bytes)
{
    uint8_t noise[512];
    while (bytes > 0 && !s->over) {
        const int n = bytes < (int)sizeof noise ? bytes : (int)sizeof noise;
        for (int i = 0; i < n; i++)
            noise[i] = (uint8_t)dice_next(&s->dice);
        send_all(s, noise, (size_t)n);
        bytes -= n;
    }
}

static void reset(Session *s)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0}; /* close sends RST */
    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    s->over = true;
}

static void happen(Session *s, const Fault *f)
{
    if (s->opt->verbose)
        fprintf(stderr, "rtsp_server: connection %d: %s at %.3f s\n", s->number,
                fault_name(f->kind), (double)f->at * 1e-6);
    switch (f->kind) {
    case FAULT_STALL: s->held = time_now() + f->amount; break;
    case FAULT_REST: s->started += f->amount; break;
    case FAULT_CUT: reset(s); break;
    case FAULT_TEAR:
        send_all(s, "$\0\5\0half a packet", 17);
        reset(s);
        break;
    case FAULT_END: s->over = true; break;
    case FAULT_GARBAGE: garbage(s, (int)f->amount); break;
    case FAULT_SLIP: s->slipped = true; break;
    case FAULT_CORRUPT: s->corrupt = (int)f->amount; break;
    case FAULT_LOSS: s->loss = (int)f->amount; break;
    case FAULT_JUMP:
        s->jumped += (int64_t)(f->amount * 1e6);
        s->reported = 0; /* the clocks are told anew */
        break;
    case FAULT_CHANGE: {
        const MediaFrame *const next = &s->media->frame.at[s->frame];
        s->begin += next->dts - f->media->frame.at[0].dts;
        s->sound_begin = s->begin;
        s->sound = 0;
        s->media = f->media;
        s->frame = 0;
        break;
    }
    case FAULT_COUNT: break;
    }
}

/* ---- frames ---- */

static double due(const Session *s)
{
    const int64_t dts = s->begin + s->media->frame.at[s->frame].dts;
    const double at = s->started + (double)dts * 1e-6 / s->opt->speed;
    return at > s->held ? at : s->held;
}

static double sound_due(const Session *s)
{
    const int64_t pts = s->sound_begin + s->media->sound.at[s->sound].pts;
    const double at = s->started + ((double)pts * 1e-6 + s->opt->late) / s->opt->speed;
    return at > s->held ? at : s->held;
}

static double next_due(const Session *s)
{
    const double picture = due(s), sound = has_sound(s) ? sound_due(s) : picture;
    return sound < picture ? sound : picture;
}

static void send_sound(Session *s)
{
    const MediaSound *const f = &s->media->sound.at[s->sound];
    rtp_sound(&s->sound_rtp, f, s->sound_begin + f->pts + s->jumped, send_sound_rtp, s);
    if (++s->sound == s->media->sound.len) {
        s->sound = 0;
        s->sound_begin += s->media->duration;
    }
}

static void send_frame(Session *s)
{
    while (s->fault < s->opt->nfault &&
           s->opt->fault[s->fault].at <= s->begin + s->media->frame.at[s->frame].dts) {
        happen(s, &s->opt->fault[s->fault++]);
        if (s->over || due(s) > time_now())
            return;
    }
    const MediaFrame *const f = &s->media->frame.at[s->frame];
    const int64_t us = s->begin + f->pts;
    if (time_now() - s->reported >= 1) {
        s->reported = time_now();
        report(s, us);
    }
    rtp_frame(&s->rtp, s->media, f, us + s->jumped, send_rtp, s);
    if (++s->frame == s->media->frame.len) {
        s->frame = 0;
        s->begin += s->media->duration;
    }
}

/* ---- requests ---- */

static const char *base64(Arena *a, Nal nal)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    Str out = str_new(a);
    for (int i = 0; i < nal.size; i += 3) {
        const int n = nal.size - i < 3 ? nal.size - i : 3;
        uint32_t v = 0;
        for (int k = 0; k < 3; k++)
            v = v << 8 | (k < n ? nal.at[i + k] : 0);
        for (int k = 0; k < 4; k++)
            str_addc(&out, k <= n ? digit[v >> (18 - 6 * k) & 63] : '=');
    }
    return str_text(&out);
}

static const char *description(Arena *a, const Media *m)
{
    return arena_printf(
        a,
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n"
        "m=video 0 RTP/AVP %d\r\na=rtpmap:%d H264/90000\r\n"
        "a=fmtp:%d packetization-mode=1;sprop-parameter-sets=%s,%s\r\na=control:trackID=0\r\n",
        RTP_TYPE, RTP_TYPE, RTP_TYPE, base64(a, m->sps), base64(a, m->pps));
}

static const char *sound_description(Arena *a, const Media *m)
{
    Str config = str_new(a);
    for (int i = 0; i < m->config.size; i++)
        str_addf(&config, "%02x", m->config.at[i]);
    return arena_printf(a,
                        "m=audio 0 RTP/AVP %d\r\na=rtpmap:%d mpeg4-generic/%d/%d\r\n"
                        "a=fmtp:%d "
                        "profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;"
                        "indexdeltalength=3;config=%s\r\n"
                        "a=control:trackID=1\r\n",
                        RTP_SOUND_TYPE, RTP_SOUND_TYPE, m->rate, m->channels, RTP_SOUND_TYPE,
                        str_text(&config));
}

/* The value of a header, cut at the end of its line; NULL: it is not there. */
static const char *header(Arena *a, const char *request, const char *name)
{
    const size_t n = strlen(name);
    for (const char *line = strstr(request, "\r\n"); line && line[2];
         line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':') {
            const char *const value = line + 3 + n + strspn(line + 3 + n, " ");
            return arena_strndup(a, value, strcspn(value, "\r"));
        }
    }
    return NULL;
}

static void play(Session *s)
{
    s->playing = true;
    s->started = time_now();
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    s->wall = s->opt->wall ? s->opt->wall : (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    s->frame = s->opt->middle ? media_middle(s->media) : 0;
    s->begin = s->sound_begin = -s->media->frame.at[s->frame].dts;
    s->sound = 0;
    while (s->sound < s->media->sound.len - 1 &&
           s->sound_begin + s->media->sound.at[s->sound].pts < 0)
        s->sound++;
}

/* Which track a request is about. */
static bool about_sound(const char *url)
{
    const char *const track = strstr(url, "trackID=1");
    return track && track < url + strcspn(url, "\r");
}

static void setup(Session *s, const char *url, const char *transport, Str *out)
{
    int *const channel = about_sound(url) ? &s->sound_channel : &s->channel;
    const char *const pair = strstr(transport, "interleaved=");
    *channel = about_sound(url) ? 2 : 0;
    if (pair)
        sscanf(pair, "interleaved=%3d", channel);
    str_addf(out,
             "Transport: RTP/AVP/TCP;unicast;interleaved=%d-%d\r\nSession: %08x;timeout=60\r\n",
             *channel, *channel + 1, s->rtp.ssrc);
}

static void describe_play(const Session *s, const char *url, Str *out)
{
    const int n = (int)strcspn(url, " ");
    str_addf(out,
             "Session: %08x\r\nRange: npt=0.000-\r\nRTP-Info: url=%.*s/trackID=0;seq=%u;rtptime=%u",
             s->rtp.ssrc, n, url, s->rtp.sequence,
             rtp_time(&s->rtp, s->begin + s->media->frame.at[s->frame].pts));
    if (has_sound(s))
        str_addf(out, ",url=%.*s/trackID=1;seq=%u;rtptime=%u", n, url, s->sound_rtp.sequence,
                 rtp_time(&s->sound_rtp, s->begin + s->media->frame.at[s->frame].pts));
    str_add(out, "\r\n");
}

static void answer(Session *s, const char *request)
{
    Arena *const a = arena_new();
    const char *const method = arena_strndup(a, request, strcspn(request, " "));
    const char *const rest = request + strcspn(request, " "), *const url = rest + strspn(rest, " ");
    const char *const cseq = header(a, request, "CSeq"), *const transport =
                                                             header(a, request, "Transport");
    Str out = str_new(a);
    const char *status = "200 OK", *body = "";
    bool begin = false;
    if (strcmp(method, "OPTIONS") == 0)
        str_add(&out, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN\r\n");
    else if (strcmp(method, "DESCRIBE") == 0)
        body = arena_printf(a, "%s%s", description(a, s->media),
                            s->media->sound.len > 0 ? sound_description(a, s->media) : "");
    else if (strcmp(method, "SETUP") == 0 && transport && strstr(transport, "RTP/AVP/TCP"))
        setup(s, url, transport, &out);
    else if (strcmp(method, "SETUP") == 0)
        status = "461 Unsupported Transport";
    else if (strcmp(method, "PLAY") == 0) {
        begin = !s->playing;
        if (begin)
            play(s);
        describe_play(s, url, &out);
    } else if (strcmp(method, "TEARDOWN") == 0)
        s->over = true;
    else if (strcmp(method, "GET_PARAMETER") != 0)
        status = "501 Not Implemented";
    const char *const type = body[0] ? "Content-Type: application/sdp\r\n" : "";
    const char *const reply =
        arena_printf(a, "RTSP/1.0 %s\r\nCSeq: %s\r\n%s%sContent-Length: %zu\r\n\r\n%s", status,
                     cseq ? cseq : "0", str_text(&out), type, strlen(body), body);
    const bool over = s->over;
    send_all(s, reply, strlen(reply));
    s->over |= over;
    arena_free(a);
}

/* Takes whole messages off the front of what was read: requests, and what the other side reports by
 * RTCP. */
static void take_messages(Session *s)
{
    for (;;) {
        int used = 0;
        if (s->have >= 4 && s->request[0] == '$') {
            used = 4 + ((uint8_t)s->request[2] << 8 | (uint8_t)s->request[3]);
        } else {
            s->request[s->have] = 0;
            const char *const end = s->request[0] == '$' ? NULL : strstr(s->request, "\r\n\r\n");
            used = end ? (int)(end - s->request) + 4 : REQUEST_MAX;
            if (end) {
                const char kept = s->request[used];
                s->request[used] = 0;
                answer(s, s->request);
                s->request[used] = kept;
            }
        }
        if (used > s->have) {
            s->over |= s->have >= REQUEST_MAX - 1; /* a message that never ends */
            return;
        }
        s->have -= used;
        memmove(s->request, s->request + used, (size_t)s->have);
    }
}

static void receive(Session *s)
{
    const ssize_t n = recv(s->fd, s->request + s->have, (size_t)(REQUEST_MAX - 1 - s->have), 0);
    if (n <= 0) {
        s->over = true;
        return;
    }
    s->have += (int)n;
    take_messages(s);
}

void session_run(const SessionOptions *opt, int fd, int number)
{
    Session *const s = &(Session){.opt = opt, .fd = fd, .number = number, .media = opt->media};
    s->dice = dice_new((uint64_t)number, "session");
    s->rtp = (Rtp){.ssrc = (uint32_t)dice_next(&s->dice), .base = (uint32_t)dice_next(&s->dice),
                   .sequence = (uint16_t)dice_next(&s->dice), .type = RTP_TYPE, .rate = RTP_RATE};
    s->sound_channel = -1;
    s->sound_rtp = (Rtp){.ssrc = s->rtp.ssrc + 1,
                         .base = ~s->rtp.base,
                         .type = RTP_SOUND_TYPE,
                         .rate = opt->media->rate};
    const struct timeval patience = {.tv_sec = 5};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    while (!s->over) {
        const double wait = s->playing ? next_due(s) - time_now() : 60;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const int n = poll(&p, 1, wait > 0 ? (int)(wait * 1000) + 1 : 0);
        if (n > 0)
            receive(s);
        else if (!s->playing)
            break; /* a minute without a word */
        if (!s->over && s->playing && has_sound(s) && sound_due(s) <= time_now())
            send_sound(s);
        if (!s->over && s->playing && due(s) <= time_now())
            send_frame(s);
    }
    if (opt->verbose)
        fprintf(stderr, "rtsp_server: connection %d: over\n", number);
    close(fd);
}
