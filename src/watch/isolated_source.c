#include "watch/isolated_source.h"

#include <string.h>

#include "sched/clock.h"

#define LOOK 50000                      /* us after which it is looked whether somebody stops us */
/* us beyond its own deadlines: it has to begin, and to say so */
#define SPARE 2000000
#define BURSTS 180000000                /* us: of what comes in pieces, between two of them */
#define FAR (INT64_C(1) << 60)          /* us: no time is further away */

/* ---- what is asked ---- */

static void ask(IsolatedSource *s, const char *url, const SourceOptions *opt)
{
    Wire *const w = isolated_message(s->process, WIRE_CONNECT);
    wire_text(w, url);
    const int64_t number[] = {opt->open_timeout, opt->read_timeout, opt->keyframes, opt->sound,
                              opt->alone,        opt->connection,   opt->live,      opt->probe};
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        wire_int(w, number[i]);
    wire_bytes(w, &opt->picture_rate, sizeof opt->picture_rate);
    isolated_post(s->process);
}

bool source_options_get(WireIn *in, char url[WIRE_URL], SourceOptions *opt)
{
    size_t n;
    const uint8_t *const text = wire_get_bytes(in, WIRE_URL - 1, &n);
    memcpy(url, text, n);
    url[n] = '\0';
    *opt = (SourceOptions){.open_timeout = wire_get(in)};
    opt->read_timeout = wire_get(in);
    opt->keyframes = wire_get_flag(in);
    opt->sound = (VideoSound)wire_get_in(in, SOUND_NOT, SOUND_NEEDED);
    opt->alone = wire_get_flag(in);
    opt->connection = (int)wire_get_in(in, 0, INT32_MAX);
    opt->live = wire_get_flag(in);
    opt->probe = wire_get(in);
    const uint8_t *const rate = wire_get_bytes(in, sizeof opt->picture_rate, &n);
    if (n == sizeof opt->picture_rate)
        memcpy(&opt->picture_rate, rate, n);
    return wire_done(in);
}

/* ---- what it says ---- */

static int dead(IsolatedSource *s, const char *name, Error *e)
{
    s->failure = SOURCE_CRASHED;
    return error_set(e, ERR_IO, "%s: the process that reads it: %s", name,
                     isolated_why(s->process));
}

static int impossible(IsolatedSource *s, const char *name, Error *e)
{
    isolated_kill(s->process, "what it says cannot be");
    return dead(s, name, e);
}

/* Its next message, by a deadline that it moves on by saying that it waits; not for ever, as it has
 * a deadline itself. 1: *in. */
static int next_message(IsolatedSource *s, const char *name, const SourceOptions *opt,
                        int64_t timeout, WireIn *in, Error *e)
{
    const int64_t start = machine_now() - s->waited;
    const int64_t most = start + 2 * timeout + SPARE + (s->bursts ? BURSTS : 0);
    int64_t deadline = machine_now() + timeout + SPARE;
    for (;;) {
        const IsolatedNews news = isolated_poll(s->process, LOOK, in);
        const int64_t now = machine_now();
        const bool alive = news == ISOLATED_MESSAGE && in->kind == WIRE_ALIVE;
        s->waited = now - start;
        if (news == ISOLATED_MESSAGE && !alive)
            return 1;
        if (alive)
            deadline = now + timeout + SPARE;
        if (opt->stop && atomic_load(opt->stop) != 0) {
            s->failure = SOURCE_SILENT;
            return error_set(e, ERR_IO, "%s: reading: it took too long", name);
        }
        if (news == ISOLATED_NOTHING && now > deadline)
            isolated_kill(s->process, "it hangs");
        if (now > most)
            isolated_kill(s->process, "it waits and gives nothing");
        if (isolated_cpu(s->process) - s->cpu > ISOLATED_BUSY)
            isolated_kill(s->process, "it computes and gives nothing");
        if (news == ISOLATED_DEAD)
            return dead(s, name, e);
    }
}

/* How a call of it ended. */
static int get_outcome(IsolatedSource *s, const char *name, WireIn *in, Error *e)
{
    char text[WIRE_TEXT];
    const int code = (int)wire_get_in(in, ERR_INTERNAL, ERR_OK);
    const SourceFailure failure = (SourceFailure)wire_get_in(in, SOURCE_WELL, SOURCE_HOPELESS);
    wire_get_text(in, text, sizeof text);
    if (in->bad)
        return impossible(s, name, e);
    s->failure = failure;
    return code == 0 ? 0 : error_set(e, code, "%s", text);
}

/* Whoever decodes what it brings does so elsewhere, too. */
static StreamInfo *keep_info(StreamInfo *i, const SourceOptions *opt)
{
    if (i)
        i->isolate = opt->isolate;
    return i;
}

static bool is_info(const StreamInfo *i, const SourceOptions *opt, bool sound)
{
    return i && i->sound == sound && i->connection == opt->connection &&
           i->par->codec_type == (sound ? AVMEDIA_TYPE_AUDIO : AVMEDIA_TYPE_VIDEO);
}

int isolated_connect(IsolatedSource *s, const char *url, const char *name, const SourceOptions *opt,
                     Error *e)
{
    if (strlen(url) >= WIRE_URL)
        return error_set(e, ERR_INVALID, "%s: the address is too long", name);
    int code = isolated_start(ISOLATED_SOURCE, name, opt->isolate, -1, &s->process, e);
    if (code != 0)
        return code;
    WireIn in;
    ask(s, url, opt);
    code = next_message(s, name, opt, opt->open_timeout, &in, e);
    if (code < 0)
        return code;
    if (in.kind != WIRE_CONNECTED)
        return impossible(s, name, e);
    s->waited = 0;
    code = get_outcome(s, name, &in, e);
    if (code != 0)
        return code;
    s->stored = wire_get_flag(&in);
    s->bursts = wire_get_flag(&in);
    s->duration = wire_get_in(&in, 0, FAR);
    s->info = keep_info(wire_get_info(&in), opt);
    const bool sound = wire_get_flag(&in);
    s->sound = sound ? keep_info(wire_get_info(&in), opt) : NULL;
    if (!wire_done(&in) || !is_info(s->info, opt, false) ||
        (sound && !is_info(s->sound, opt, true)))
        return impossible(s, name, e);
    return 0;
}

/* ---- packets ---- */

static int64_t time_us(const StreamInfo *i, int64_t *t)
{
    const int64_t us = stream_info_us(i, *t);
    if (us > -FAR && us < FAR && *t > -FAR && *t < FAR)
        return us;
    *t = AV_NOPTS_VALUE;
    return PACKET_NO_TIME;
}

static int get_packet(IsolatedSource *s, const char *name, const SourceOptions *opt, WireIn *in,
                      Packet *out, Error *e)
{
    StreamInfo *const info = wire_get_flag(in) ? s->sound : s->info;
    const int64_t wall = wire_get_in(in, -FAR, FAR); /* cameras without a clock are in 1970 */
    const SampleClock clock = (SampleClock)wire_get_in(in, CLOCK_MEDIA, CLOCK_ARRIVAL);
    FrameTurn turn = {.swapped = wire_get_flag(in)};
    turn.flip_x = wire_get_flag(in);
    turn.flip_y = wire_get_flag(in);
    AVPacket *const av = wire_get_packet(in);
    *out = (Packet){.av = av, .turn = turn, .wall = wall, .clock = clock, .arrival = machine_now()};
    if (!av || !info || !wire_done(in) || av->size == 0) {
        packet_free(out);
        return impossible(s, name, e);
    }
    if (!info->sound || opt->alone)
        s->waited = 0;
    const int64_t pts = time_us(info, &av->pts), dts = time_us(info, &av->dts);
    out->info = stream_info_ref(info);
    out->pts = pts != PACKET_NO_TIME ? pts : dts;
    out->dts = dts != PACKET_NO_TIME ? dts : pts;
    return 1;
}

static int get_sound(IsolatedSource *s, const char *name, const SourceOptions *opt, WireIn *in,
                     Error *e)
{
    StreamInfo *const sound = keep_info(wire_get_info(in), opt);
    if (s->sound || opt->sound == SOUND_NOT || !wire_done(in) || !is_info(sound, opt, true)) {
        stream_info_unref(sound);
        return impossible(s, name, e);
    }
    s->sound = sound;
    return 0;
}

int isolated_read(IsolatedSource *s, const char *name, const SourceOptions *opt, Packet *out,
                  Error *e)
{
    for (;;) {
        WireIn in;
        int code = next_message(s, name, opt, opt->read_timeout, &in, e);
        if (code < 0)
            return code;
        s->cpu = isolated_cpu(s->process);
        switch (in.kind) {
        case WIRE_PACKET: return get_packet(s, name, opt, &in, out, e);
        case WIRE_END:
            code = get_outcome(s, name, &in, e);
            return code == 0 && !wire_done(&in) ? impossible(s, name, e) : code;
        case WIRE_SOUND: code = get_sound(s, name, opt, &in, e); break;
        default: code = impossible(s, name, e);
        }
        if (code != 0)
            return code;
    }
}

void isolated_leave(IsolatedSource *s)
{
    isolated_close(s->process, 500000);
    stream_info_unref(s->info);
    stream_info_unref(s->sound);
    *s = (IsolatedSource){.failure = s->failure};
}
