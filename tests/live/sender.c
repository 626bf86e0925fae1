/* Sends films over and over as a live stream, through whatever libavformat can write to, and does
 * wrong what it is told to.
 *
 *     sender rtmp://127.0.0.1:1935/live/x flv a.ts b.ts
 *
 * Commands, a line each, on standard input:
 *
 *     cut S      the connection is closed; S seconds later it serves again, from a film's beginning
 *     middle S   likewise, but from the middle of a group of pictures
 *     stall S    nothing comes for S seconds; then what was held back, at once
 *     jump S     the stream's clock jumps by S seconds; back only where the format is a transport stream
 *     change     from here on the next film: other size, other parameter sets
 *
 * Servers (rtmp, srt) take one reader at a time. It ends with its standard input, or with who
 * started it. */
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/log.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/file.h"

#define PACKETS_MAX 4000
#define FILMS_MAX 4
#define US ((AVRational){1, 1000000})

typedef struct Film {
    AVPacket *packet[PACKETS_MAX]; /* times in us from 0 */
    int n;
    AVCodecParameters *par;
    int64_t duration;
} Film;

typedef struct Sender {
    const char *url, *format;
    Film film[FILMS_MAX];
    int nfilm, now, next; /* which film, and which of its packets */
    AVFormatContext *out;
    double began;         /* time_now() of media time 0 */
    int64_t round;        /* media time at which this round through the film began, us */
    int64_t jumped;       /* us */
    double held;          /* nothing is sent before */
    double away;          /* nor connected */
    bool middle;          /* begin there */
    bool changed;         /* the next packet is of another film */
    int served;           /* connections */
    bool back;            /* its times are earlier */
    bool cut, over;
    char line[256];
    int have;
} Sender;

static bool film_read(Film *f, const char *path)
{
    AVFormatContext *in = NULL;
    if (avformat_open_input(&in, path, NULL, NULL) < 0 || avformat_find_stream_info(in, NULL) < 0)
        return false;
    const AVStream *const s = in->streams[0];
    f->par = avcodec_parameters_alloc();
    avcodec_parameters_copy(f->par, s->codecpar);
    AVPacket *p = av_packet_alloc();
    while (f->n < PACKETS_MAX && av_read_frame(in, p) >= 0) {
        av_packet_rescale_ts(p, s->time_base, US);
        p->stream_index = 0;
        p->pos = -1;
        f->packet[f->n++] = p;
        p = av_packet_alloc();
    }
    av_packet_free(&p);
    avformat_close_input(&in);
    if (f->n < 2)
        return false;
    const int64_t first = f->packet[0]->dts, step = f->packet[1]->dts - first;
    for (int i = 0; i < f->n; i++) {
        f->packet[i]->pts -= first;
        f->packet[i]->dts -= first;
    }
    f->duration = f->packet[f->n - 1]->dts + step;
    return true;
}

static void obey(Sender *s, const char *line)
{
    char verb[16] = "";
    double amount = 0;
    sscanf(line, "%15s %lf", verb, &amount);
    if (strcmp(verb, "cut") == 0 || strcmp(verb, "middle") == 0) {
        s->cut = true;
        s->middle = verb[0] == 'm';
        s->away = time_now() + amount;
    } else if (strcmp(verb, "stall") == 0) {
        s->held = time_now() + amount;
    } else if (strcmp(verb, "jump") == 0) {
        s->jumped += (int64_t)(amount * 1e6);
        s->back = amount < 0;
    } else if (strcmp(verb, "change") == 0) {
        s->round += s->film[s->now].packet[s->next]->dts;
        s->now = (s->now + 1) % s->nfilm;
        s->next = 0;
        s->changed = true;
    }
}

/* Waits so long for commands, and does what they say. */
static void listen_for(Sender *s, double seconds)
{
    struct pollfd p = {.fd = 0, .events = POLLIN};
    if (s->over || poll(&p, 1, seconds > 0 ? (int)(seconds * 1000) + 1 : 0) <= 0)
        return;
    const ssize_t n = read(0, s->line + s->have, sizeof s->line - 1 - (size_t)s->have);
    s->over = n <= 0;
    s->have += n > 0 ? (int)n : 0;
    s->line[s->have] = 0;
    for (char *end; (end = strchr(s->line, '\n'));) {
        *end = 0;
        obey(s, s->line);
        s->have -= (int)(end + 1 - s->line);
        memmove(s->line, end + 1, (size_t)s->have + 1);
    }
}

static int must_stop(void *arg)
{
    Sender *const s = arg;
    listen_for(s, 0);
    return s->over;
}

static void disconnect(Sender *s)
{
    if (!(s->out->oformat->flags & AVFMT_NOFILE))
        avio_closep(&s->out->pb);
    avformat_free_context(s->out);
    s->out = NULL;
}

/* A muxer; `over`: what it writes to, NULL: to be opened. */
static bool connect_out(Sender *s, AVIOContext *over)
{
    AVDictionary *option = NULL;
    if (strcmp(s->format, "flv") == 0)
        av_dict_set(&option, "listen", "1", 0);
    if (avformat_alloc_output_context2(&s->out, NULL, s->format, s->url) < 0)
        return false;
    s->out->interrupt_callback = (AVIOInterruptCB){must_stop, s};
    AVStream *const stream = avformat_new_stream(s->out, NULL);
    avcodec_parameters_copy(stream->codecpar, s->film[s->now].par);
    stream->codecpar->codec_tag = 0;
    stream->time_base = US;
    int code = 0;
    s->out->pb = over;
    if (!over && !(s->out->oformat->flags & AVFMT_NOFILE))
        code =
            avio_open2(&s->out->pb, s->url, AVIO_FLAG_WRITE, &s->out->interrupt_callback, &option);
    av_dict_free(&option);
    if (strcmp(s->format, "hls") == 0) {
        av_dict_set(&option, "hls_time", "1", 0);
        av_dict_set(&option, "hls_list_size", "5", 0);
        av_dict_set(&option, "hls_flags", "delete_segments+program_date_time+temp_file", 0);
    }
    if (code >= 0)
        code = avformat_write_header(s->out, &option);
    av_dict_free(&option);
    return code >= 0;
}

/* Muxers refuse times that go back: another one goes on writing. */
static bool begin_anew(Sender *s)
{
    AVIOContext *const over = s->out->pb;
    avformat_free_context(s->out);
    s->back = false;
    return connect_out(s, over);
}

static bool send_packet(Sender *s)
{
    if (s->back && !begin_anew(s))
        return false;
    const Film *const f = &s->film[s->now];
    AVPacket *const p = av_packet_clone(f->packet[s->next]);
    p->pts += s->round + s->jumped;
    p->dts += s->round + s->jumped;
    if (s->changed && f->par->extradata_size > 0) {
        uint8_t *const extra =
            av_packet_new_side_data(p, AV_PKT_DATA_NEW_EXTRADATA, (size_t)f->par->extradata_size);
        memcpy(extra, f->par->extradata, (size_t)f->par->extradata_size);
    }
    s->changed = false;
    if (++s->next == f->n) {
        s->next = 0;
        s->round += f->duration;
    }
    av_packet_rescale_ts(p, US, s->out->streams[0]->time_base);
    const int code = av_write_frame(s->out, p);
    AVPacket *done = p;
    av_packet_free(&done);
    if (code >= 0 && s->out->pb)
        avio_flush(s->out->pb);
    return code >= 0;
}

static void serve(Sender *s)
{
    const Film *const f = &s->film[s->now];
    s->next = 0;
    while (s->middle && s->next < f->n / 2 &&
           (s->next == 0 || !(f->packet[2 * s->next]->flags & AV_PKT_FLAG_KEY)))
        s->next++;
    s->round = -f->packet[s->next]->dts;
    s->jumped = 100000000 * ++s->served; /* another clock each time, and room to jump back */
    s->cut = s->middle = s->back = false;
    s->held = 0;
    s->began = time_now();
    while (!s->over && !s->cut) {
        const double due =
            s->began + 1e-6 * (double)(s->round + s->film[s->now].packet[s->next]->dts);
        const double until = due > s->held ? due : s->held;
        if (until > time_now())
            listen_for(s, until - time_now());
        else if (!send_packet(s))
            break;
    }
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 3 + FILMS_MAX)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    av_log_set_level(AV_LOG_QUIET);
    Sender *const s = &(Sender){.url = argv[1], .format = argv[2], .nfilm = argc - 3};
    for (int i = 0; i < s->nfilm; i++)
        if (!film_read(&s->film[i], argv[3 + i]))
            return 2;
    puts("ready");
    fflush(stdout);
    while (!s->over) {
        while (!s->over && time_now() < s->away)
            listen_for(s, s->away - time_now());
        if (!s->over && connect_out(s, NULL))
            serve(s);
        else
            listen_for(s, 0.05);
        if (s->out)
            disconnect(s);
    }
    return 0;
}
