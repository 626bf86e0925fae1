/* libav in processes of its own: what happens to those, and what they may say. (That frames are the
 * same is in test_live.c, test_video.c and test_live_sound.c, which run with "isolated" as
 * well.) */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <libavformat/avformat.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "watch/clip_server.h"
#include "watch/isolated.h"
#include "watch/isolated_child.h"
#include "watch/isolated_codec.h"
#include "watch/live.h"
#include "watch/source.h"

static char path[64];

static const char *temporary(const char *suffix)
{
    snprintf(path, sizeof path, "/tmp/lathe_isolated_%d%s", (int)getpid(), suffix);
    return path;
}

/* ---- our children ---- */

/* The state of a process, and whose child it is; false: there is none. */
static bool look_at(int pid, char *state, int *parent)
{
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    FILE *const f = fopen(name, "r");
    const bool good = f && fscanf(f, "%*d %*s %c %d", state, parent) == 2;
    if (f)
        fclose(f);
    return good;
}

static bool has_role(int pid, IsolatedRole role)
{
    char name[64], line[256] = {0};
    snprintf(name, sizeof name, "/proc/%d/cmdline", pid);
    FILE *const f = fopen(name, "r");
    const size_t n = f ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f)
        fclose(f);
    const char *const command = line + strlen(line) + 1;
    return n > 0 && strcmp(command, ISOLATED_COMMAND) == 0 &&
           atoi(command + strlen(command) + 1) == (int)role;
}

/* How many children of this role there are, and the last of them. */
static int children(IsolatedRole role, int *out)
{
    DIR *const d = opendir("/proc");
    int n = 0, parent;
    char state;
    for (struct dirent *e; (e = readdir(d));) {
        const int pid = atoi(e->d_name);
        if (pid <= 0 || !look_at(pid, &state, &parent) || parent != getpid() ||
            !has_role(pid, role))
            continue;
        *out = pid;
        n++;
    }
    closedir(d);
    return n;
}

static int all_children(void)
{
    DIR *const d = opendir("/proc");
    int n = 0, parent;
    char state;
    for (struct dirent *e; (e = readdir(d));)
        n += atoi(e->d_name) > 0 && look_at(atoi(e->d_name), &state, &parent) && parent == getpid();
    closedir(d);
    return n;
}

/* None is left, not even a dead one that nobody waited for. */
static void check_gone(void)
{
    const double until = time_now() + 3; /* closing is allowed to leave the rest to a thread */
    while (all_children() > 0 && time_now() < until)
        usleep(5000);
    assert_int_equal(all_children(), 0);
}

/* ---- what happens to them ---- */

static bool frame_within(Live *l, int64_t wanted, double seconds, LiveFrame *out)
{
    const double until = time_now() + seconds;
    while (time_now() < until) {
        const LiveResult r = live_frame(l, wanted, false, out);
        if (r == LIVE_FRAME)
            return true;
        if (r == LIVE_OVER)
            return false;
        if (r == LIVE_NOTHING || r == LIVE_BUSY)
            usleep(1000);
    }
    return false;
}

/* A child that gets this signal is noticed in time; the stream goes on in another epoch. */
static void check_signal(IsolatedRole role, int signal, double within)
{
    Server *const s =
        clip_server_start(&(ClipOptions){.frames = 500, .fps = 25, .gop = 10}, 2, MANNERS(SERVE));
    Live *l;
    Error e;
    const LiveOptions opt = {.video = {.isolate = ISOLATED_MEMORY, .read_timeout = 300000},
                             .retry_min = 50000};
    assert_int_equal(live_open(s->url, &opt, &l, &e), 0);
    LiveFrame f;
    assert_true(frame_within(l, 0, 20, &f));
    int pid = 0;
    assert_int_equal(children(role, &pid), 1);
    assert_int_equal(kill(pid, signal), 0);
    const double start = time_now();
    int64_t t = f.frame.t;
    do
        if (!frame_within(l, t + 1, 30, &f))
            FAIL_MSG("role %d, signal %d: no frame", (int)role, signal);
        else
            t = f.frame.t;
    while (f.frame.epoch == 0 && time_now() - start < 30);
    assert_int_equal(f.frame.epoch, 1);
    assert_int_equal(clip_number(&f.frame.picture), (int)((f.frame.t + 20000) / 40000));
    const LiveCounts c = live_counts(l);
    assert_int_equal(c.down[LIVE_CRASHED], 1);
    assert_int_equal(c.connections, 2);
    if (time_now() - start > within)
        FAIL_MSG("role %d, signal %d: %.1f s", (int)role, signal, time_now() - start);
    LiveCause cause;
    live_state(l, &cause);
    assert_int_equal(cause, LIVE_CRASHED);
    assert_string_equal(live_cause_text(cause), "crashed");
    live_close(l);
    clip_server_stop(s);
    check_gone();
}

static void killed(void **state)
{
    (void)state;
    check_signal(ISOLATED_SOURCE, SIGKILL, 15);
    check_signal(ISOLATED_CODEC, SIGSEGV, 15);
}

/* Deadlines: of what is read 0.3 s and 2 s of grace; of what is decoded 5 s. */
static void stopped(void **state)
{
    (void)state;
    check_signal(ISOLATED_SOURCE, SIGSTOP, 20);
    check_signal(ISOLATED_CODEC, SIGSTOP, 20);
}

/* A file does not begin anew: it fails, and says why. */
static void killed_in_a_file(void **state)
{
    (void)state;
    clip_write(temporary(".mkv"), &(ClipOptions){.frames = 500, .fps = 25, .gop = 250});
    for (int i = 0; i < 2; i++) {
        Video *v;
        Error e;
        VideoFrame f;
        assert_int_equal(video_open(path, &(VideoOptions){.isolate = ISOLATED_MEMORY}, &v, &e), 0);
        assert_int_equal(video_sample(v, 0, &f, &e), 1);
        int pid = 0, code = 1;
        assert_int_equal(children(ISOLATED_CODEC, &pid), 1);
        kill(pid, SIGKILL);
        for (int64_t t = 40000; code > 0; t += 40000)
            code = video_sample(v, t, &f, &e);
        assert_int_equal(code, ERR_IO);
        assert_non_null(strstr(e.message, "signal 9"));
        assert_non_null(strstr(e.message, path));
        video_close(v);
    }
    unlink(path);
    check_gone();
}

/* ---- what is hostile ---- */

/* Containers whose bytes were changed at random: whatever libav makes of them, this process goes
 * on, and every call ends. */
static void mutations(void **state)
{
    (void)state;
    static const char *const suffix[] = {".mkv", ".mp4", ".ts", ".flv", ".avi"};
    Arena *const a = arena_new();
    uint32_t dice = 12345;
    int opened = 0;
    for (int i = 0; i < 25; i++) {
        File f;
        Error e;
        clip_write(temporary(suffix[i % 5]),
                   &(ClipOptions){.frames = 30, .fps = 25, .gop = 10, .bframes = i % 2});
        assert_int_equal(file_read(a, path, &f, &e), 0);
        uint8_t *const bytes = arena_alloc(a, f.size);
        memcpy(bytes, f.at, f.size);
        for (int k = 0; k < 1 + i; k++) {
            dice = dice * 1664525 + 1013904223;
            bytes[dice % f.size] = (uint8_t)(dice >> 24);
        }
        assert_int_equal(file_write(path, bytes, f.size - (i % 3 == 0 ? f.size / 3 : 0), &e), 0);
        Video *v = NULL;
        VideoFrame frame;
        int code = video_open(path, &(VideoOptions){.isolate = ISOLATED_MEMORY}, &v, &e);
        opened += code == 0;
        for (int64_t t = 0, n = 0; code == 0 && n < 100; t += 40000, n++)
            if (video_sample(v, t, &frame, &e) <= 0)
                break;
        video_close(code == 0 ? v : NULL);
        unlink(path);
    }
    assert_true(opened > 5);
    check_gone();
    arena_free(a);
}

/* One picture of 8192 x 4096, in a few bytes. */
static void write_bomb(void)
{
    AVCodecContext *c = avcodec_alloc_context3(avcodec_find_encoder(AV_CODEC_ID_MJPEG));
    AVFrame *f = av_frame_alloc();
    AVPacket *p = av_packet_alloc();
    c->width = f->width = 8192;
    c->height = f->height = 4096;
    c->pix_fmt = AV_PIX_FMT_YUVJ420P;
    f->format = AV_PIX_FMT_YUVJ420P;
    c->time_base = (AVRational){1, 1};
    assert_int_equal(avcodec_open2(c, c->codec, NULL), 0);
    assert_int_equal(av_frame_get_buffer(f, 0), 0);
    for (int k = 0; k < 3; k++)
        memset(f->data[k], 128, (size_t)f->linesize[k] * (size_t)(k == 0 ? 4096 : 2048));
    assert_int_equal(avcodec_send_frame(c, f), 0);
    assert_int_equal(avcodec_receive_packet(c, p), 0);
    Error e;
    assert_int_equal(file_write(temporary(".jpg"), p->data, (size_t)p->size, &e), 0);
    av_packet_free(&p);
    av_frame_free(&f);
    avcodec_free_context(&c);
}

/* What is larger than a child may be costs that one, and comes out where there is room. */
static void memory_is_limited(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip();
#endif
    static const int64_t memory[] = {ISOLATED_MEMORY, 48 << 20};
    write_bomb();
    for (int i = 0; i < 2; i++) {
        Video *v = NULL;
        Error e = {0};
        VideoFrame f;
        int code = video_open(path, &(VideoOptions){.isolate = memory[i]}, &v, &e);
        if (code == 0)
            code = video_sample(v, 0, &f, &e);
        if (i == 0 && code != 1)
            FAIL_MSG("%s", e.message);
        assert_true(code == 1
                        ? f.picture.width == 8192 && f.picture.plane[0][8192 * 4095 + 8191] == 128
                        : true);
        assert_true((code == 1) == (i == 0));
        video_close(v);
    }
    unlink(path);
    check_gone();
}

/* ---- messages ---- */

static StreamInfo *some_info(void)
{
    AVCodecParameters *par = avcodec_parameters_alloc();
    par->codec_type = AVMEDIA_TYPE_VIDEO;
    par->codec_id = AV_CODEC_ID_H264;
    par->width = 640;
    par->height = 360;
    par->extradata = av_mallocz(5 + AV_INPUT_BUFFER_PADDING_SIZE);
    memcpy(par->extradata, "extra", 5);
    par->extradata_size = 5;
    StreamInfo *const s = stream_info_new(par, (AVRational){1, 90000}, (AVRational){25, 1});
    s->turn.swapped = s->lossy = true;
    s->connection = 7;
    avcodec_parameters_free(&par);
    return s;
}

static void messages_come_over(void **state)
{
    (void)state;
    Wire w = {0};
    StreamInfo *const s = some_info();
    AVPacket *p = av_packet_alloc();
    assert_int_equal(av_new_packet(p, 3), 0);
    memcpy(p->data, "abc", 3);
    p->pts = -5;
    memcpy(av_packet_new_side_data(p, AV_PKT_DATA_PALETTE, 4), "side", 4);
    wire_begin(&w, WIRE_PACKET);
    wire_info(&w, s);
    wire_packet(&w, p);
    wire_text(&w, "two\nlines");
    assert_true(wire_end(&w));
    assert_int_equal(wire_size(w.at), w.size);
    WireIn in = wire_open(w.at);
    StreamInfo *const t = wire_get_info(&in);
    AVPacket *q = wire_get_packet(&in);
    char text[32];
    wire_get_text(&in, text, sizeof text);
    assert_true(wire_done(&in));
    assert_int_equal(in.kind, WIRE_PACKET);
    assert_int_equal(t->par->width, 640);
    assert_memory_equal(t->par->extradata, "extra", 5);
    assert_int_equal(t->connection, 7);
    assert_true(t->turn.swapped && t->lossy && !t->sound);
    assert_int_equal(q->pts, -5);
    assert_int_equal(q->size, 3);
    assert_memory_equal(q->data, "abc", 3);
    size_t size;
    assert_memory_equal(av_packet_get_side_data(q, AV_PKT_DATA_PALETTE, &size), "side", 4);
    assert_string_equal(text, "two?lines");
    stream_info_unref(s);
    stream_info_unref(t);
    av_packet_free(&p);
    av_packet_free(&q);
    wire_free(&w);
}

/* What is honest and too much for a message: known before it is sent. */
static void too_much(void **state)
{
    (void)state;
    static const uint8_t side[(1 << 20) + 1];
    StreamInfo *const s = some_info();
    AVPacket *p = av_packet_alloc();
    for (int n = 64; n <= 65; n++) {
        s->par->codec_type = AVMEDIA_TYPE_AUDIO;
        s->par->ch_layout = (AVChannelLayout){.order = AV_CHANNEL_ORDER_UNSPEC, .nb_channels = n};
        assert_true(wire_takes_info(s) == (n == 64));
    }
    assert_true(wire_takes_packet(p));
    memcpy(av_packet_new_side_data(p, AV_PKT_DATA_NEW_EXTRADATA, sizeof side), side, sizeof side);
    assert_false(wire_takes_packet(p));
    av_packet_free(&p);
    stream_info_unref(s);
}

/* The pictures of a video with sound of so many channels, as Matroska. */
static void write_channels(const char *video, const char *to, int channels)
{
    AVFormatContext *in = NULL, *out = NULL;
    assert_true(avformat_open_input(&in, video, NULL, NULL) >= 0);
    assert_true(avformat_find_stream_info(in, NULL) >= 0);
    assert_true(avformat_alloc_output_context2(&out, NULL, "matroska", to) >= 0);
    AVStream *const pictures = avformat_new_stream(out, NULL),
             *const sound = avformat_new_stream(out, NULL);
    avcodec_parameters_copy(pictures->codecpar, in->streams[0]->codecpar);
    pictures->codecpar->codec_tag = 0;
    sound->codecpar->codec_type = AVMEDIA_TYPE_AUDIO;
    sound->codecpar->codec_id = AV_CODEC_ID_PCM_S16LE;
    sound->codecpar->sample_rate = 8000;
    sound->codecpar->bits_per_coded_sample = 16;
    sound->codecpar->ch_layout =
        (AVChannelLayout){.order = AV_CHANNEL_ORDER_UNSPEC, .nb_channels = channels};
    assert_true(avio_open(&out->pb, to, AVIO_FLAG_WRITE) >= 0);
    assert_true(avformat_write_header(out, NULL) >= 0);
    AVPacket *p = av_packet_alloc();
    for (int64_t ms = 0; av_read_frame(in, p) >= 0; ms += 40) {
        av_packet_rescale_ts(p, in->streams[0]->time_base, pictures->time_base);
        assert_true(av_interleaved_write_frame(out, p) >= 0);
        assert_true(av_new_packet(p, 320 * 2 * channels) >= 0);
        memset(p->data, 0, (size_t)p->size);
        p->stream_index = 1;
        p->pts = p->dts = av_rescale_q(ms, (AVRational){1, 1000}, sound->time_base);
        assert_true(av_interleaved_write_frame(out, p) >= 0);
    }
    av_packet_free(&p);
    assert_true(av_write_trailer(out) >= 0);
    avio_closep(&out->pb);
    avformat_free_context(out);
    avformat_close_input(&in);
}

/* Odd, and honest: refused with a reason, and not for a crash; who does not hear does not mind. */
static void many_channels(void **state)
{
    (void)state;
    char odd[80];
    snprintf(odd, sizeof odd, "%s.mkv", temporary(".mp4"));
    clip_write(path, &(ClipOptions){.frames = 20, .fps = 25, .gop = 10});
    write_channels(path, odd, 70);
    for (int hears = 0; hears < 2; hears++) {
        Error e = {0};
        Source *const s = source_new(odd, &(SourceOptions){
                                              .open_timeout = 60000000,
                                              .read_timeout = 60000000,
                                              .isolate = ISOLATED_MEMORY,
                                              .sound = hears ? SOUND_NEEDED : SOUND_NOT});
        const int code = source_connect(s, &e);
        assert_int_equal(code, hears ? ERR_UNSUPPORTED : 0);
        assert_int_equal(source_failure(s), hears ? SOURCE_BROKEN : SOURCE_WELL);
        assert_true(!hears || strstr(e.message, "sound of 70 channels"));
        source_close(s);
    }
    unlink(odd);
    unlink(path);
    check_gone();
}

/* Any bytes at all: read to the end of the message and no further (sanitizers look), and nothing
 * that cannot be comes of it. */
static void messages_are_checked(void **state)
{
    (void)state;
    uint32_t dice = 99;
    for (int i = 0; i < 20000; i++) {
        Wire w = {0};
        StreamInfo *const s = some_info();
        AVFrame f = {.format = 0, .width = 64, .height = 48};
        wire_begin(&w, WIRE_RESULT);
        wire_frame(&w, &f, i % 2, 1);
        wire_info(&w, s);
        stream_info_unref(s);
        assert_true(wire_end(&w));
        const size_t size = WIRE_HEAD + (dice >> 8) % (w.size - WIRE_HEAD + 1);
        uint8_t *const bytes = test_malloc(size); /* so that what is read behind it is noticed */
        memcpy(bytes, w.at, size);
        const uint32_t told = (uint32_t)size;
        memcpy(bytes + 4, &told, sizeof told);
        for (int k = 0; k < i % 5 && size > WIRE_HEAD; k++) {
            dice = dice * 1664525 + 1013904223;
            bytes[WIRE_HEAD + (dice >> 8) % (size - WIRE_HEAD)] = (uint8_t)(dice >> 24);
        }
        dice = dice * 1664525 + 1013904223;
        WireIn in = wire_open(bytes);
        AVFrame *g = av_frame_alloc();
        int64_t number;
        const bool good = wire_get_frame(&in, g, i % 2, &number);
        if (good && i % 2 == 0)
            assert_true(g->width >= 1 && g->width <= 65536 && g->height >= 1 &&
                        frame_bytes(g, false) < INT32_MAX);
        StreamInfo *const t = good ? wire_get_info(&in) : NULL;
        if (t)
            assert_true(t->time_base.num > 0 && t->time_base.den > 0);
        stream_info_unref(t);
        av_frame_free(&g);
        test_free(bytes);
        wire_free(&w);
    }
    const uint8_t too_long[WIRE_HEAD] = {1, 0, 0, 0, 255, 255, 255, 255},
                  too_short[WIRE_HEAD] = {1, 0, 0, 0, 7, 0, 0, 0};
    assert_int_equal(wire_size(too_long), 0);
    assert_int_equal(wire_size(too_short), 0);
}

enum { READS = 1, WRITES = 2, CONNECTS = 4, STARTS = 8, SIGNALS = 16, PEEKS = 32 };

/* What a child of this role can do after all. */
static int can_do(IsolatedRole role)
{
    const char *const file = temporary(".confined");
    const int service = getpid();
    char environment[64];
    snprintf(environment, sizeof environment, "/proc/%d/environ", service);
    const pid_t pid = fork();
    if (pid == 0) {
        isolated_confine(role, ISOLATED_MEMORY);
        int can = open("/etc/passwd", O_RDONLY) >= 0 ? READS : 0;
        can |= open(file, O_WRONLY | O_CREAT, 0600) >= 0 ? WRITES : 0;
        can |= socket(AF_INET, SOCK_STREAM, 0) >= 0 ? CONNECTS : 0;
        can |= geteuid() == 0 && open(environment, O_RDONLY) >= 0 ? PEEKS : 0;
        can |= kill(service, 0) == 0 ? SIGNALS : 0;
        const int own = service, line = can & CONNECTS ? socket(AF_INET, SOCK_STREAM, 0) : -1;
        can |= fcntl(STDERR_FILENO, F_SETOWN, service) == 0 ? SIGNALS : 0;
        can |= line >= 0 && ioctl(line, FIOSETOWN, &own) == 0 ? SIGNALS : 0;
        const pid_t more = fork();
        if (more == 0)
            _exit(0);
        _exit(can | (more > 0 ? STARTS : 0));
    }
    int status = 0;
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    unlink(file);
    return WEXITSTATUS(status);
}

static void confined(void **state)
{
    (void)state;
    if (access("/proc/sys/kernel/seccomp/actions_avail", F_OK) != 0)
        skip(); /* limits of resources are all there is */
    assert_int_equal(can_do(ISOLATED_SOURCE), READS | CONNECTS);
    assert_int_equal(can_do(ISOLATED_CODEC), 0);
    assert_int_equal(can_do(ISOLATED_CUTTER), 0);
    assert_int_equal(can_do(ISOLATED_FILE_CUTTER), READS);
}

int main(int argc, char **argv)
{
    if (isolated_asked(argc, argv))
        return isolated_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_over),
        cmocka_unit_test(messages_are_checked),
        cmocka_unit_test(too_much),
        cmocka_unit_test(many_channels),
        cmocka_unit_test(confined),
        cmocka_unit_test(killed),
        cmocka_unit_test(killed_in_a_file),
        cmocka_unit_test(mutations),
        cmocka_unit_test(memory_is_limited),
        cmocka_unit_test(stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
