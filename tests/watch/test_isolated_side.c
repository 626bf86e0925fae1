/* The service's side of processes of libav: what it does where one says odd things, or where it
 * lacks something itself. A process that plays a part is this program with the part's number in the
 * place of its memory. */
#include "check.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "watch/isolated_child.h"
#include "watch/isolated_codec.h"
#include "watch/isolated_part.h"
#include "watch/isolated_source.h"
#include "watch/live.h"

enum {
    PART_NONE,
    PART_HEAD,     /* it says the head of a long message, and the rest when it is asked for */
    PART_STORED,   /* a source that ends at once, and was a file */
    PART_HOPELESS, /* .. that says there can be none */
    PART_ALIVE,    /* .. that is alive, and no more */
    PART_TWO,      /* .. that ends its first connection, whose codec dies, and no other */
    PART_HANGS,    /* .. whose codec never answers */
    PARTS
};

#define LARGE (20 << 20)

/* ---- the parts ---- */

static void say(const void *at, size_t n)
{
    for (size_t sent = 0; sent < n;) {
        const ssize_t k = send(ISOLATED_SOCKET, (const char *)at + sent, n - sent, MSG_NOSIGNAL);
        if (k <= 0)
            _exit(1);
        sent += (size_t)k;
    }
}

/* Something small and, with it, the head of something large. The rest of that when it is asked for,
 * and then something small again. */
static void say_heads(void)
{
    const uint32_t heads[4] = {WIRE_ALIVE, WIRE_HEAD, WIRE_PACKET, LARGE};
    say(heads, sizeof heads);
    ChildInput input = {0};
    WireIn in;
    static const uint8_t nothing[1 << 20];
    if (!child_receive(&input, &in))
        return;
    for (size_t left = LARGE - WIRE_HEAD; left > 0;) {
        const size_t n = left < sizeof nothing ? left : sizeof nothing;
        say(nothing, n);
        left -= n;
    }
    say(heads, WIRE_HEAD);
}

static StreamInfo *raw_info(int width, int height)
{
    AVCodecParameters *par = avcodec_parameters_alloc();
    par->codec_type = AVMEDIA_TYPE_VIDEO;
    par->codec_id = AV_CODEC_ID_RAWVIDEO;
    par->format = AV_PIX_FMT_GRAY8;
    par->width = width;
    par->height = height;
    StreamInfo *const s = stream_info_new(par, (AVRational){1, 25}, (AVRational){25, 1});
    s->turn = (FrameTurn){0};
    s->isolate = ISOLATED_MEMORY;
    avcodec_parameters_free(&par);
    return s;
}

static void say_outcome(Wire *w, WireKind kind, int code, SourceFailure failure)
{
    wire_begin(w, kind);
    wire_int(w, code);
    wire_int(w, failure);
    wire_line(w, code != 0 ? "so it says" : "");
}

/* What it is asked for; its connection. */
static int be_asked(void)
{
    ChildInput input = {0};
    WireIn in;
    char url[WIRE_URL];
    SourceOptions opt;
    if (!child_receive(&input, &in) || !source_options_get(&in, url, &opt))
        _exit(1);
    return opt.connection;
}

static void say_connected(int connection, bool stored)
{
    Wire w = {0};
    StreamInfo *const info = raw_info(16, 16);
    info->connection = connection;
    say_outcome(&w, WIRE_CONNECTED, 0, SOURCE_WELL);
    wire_int(&w, stored);
    wire_int(&w, false);
    wire_int(&w, 0);
    wire_info(&w, info);
    wire_int(&w, false);
    child_send(&w);
}

static void say_end(WireKind kind, int code, SourceFailure failure)
{
    Wire w = {0};
    say_outcome(&w, kind, code, failure);
    child_send(&w);
}

static void say_picture(int number)
{
    Wire w = {0};
    AVPacket *p = av_packet_alloc();
    if (av_new_packet(p, 256) < 0)
        _exit(1);
    memset(p->data, number, 256);
    p->pts = p->dts = number;
    p->flags = AV_PKT_FLAG_KEY;
    wire_begin(&w, WIRE_PACKET);
    for (int i = 0; i < 6; i++) /* pictures, wall, clock, turn */
        wire_int(&w, 0);
    wire_packet(&w, p);
    child_send(&w);
}

static void say_alive(void)
{
    for (int i = 0; i < 1000; i++) {
        const uint32_t head[2] = {WIRE_ALIVE, WIRE_HEAD};
        say(head, sizeof head);
        usleep(40000);
    }
}

static void play_source(int part)
{
    const int connection = be_asked();
    switch (part) {
    case PART_STORED:
        say_connected(connection, true);
        say_end(WIRE_END, 0, SOURCE_CLOSED);
        break;
    case PART_HOPELESS: say_end(WIRE_CONNECTED, ERR_IO, SOURCE_HOPELESS); break;
    case PART_ALIVE:
        say_connected(connection, false);
        say_alive();
        break;
    default: /* pictures */
        say_connected(connection, false);
        for (int i = 0; i < 20; i++)
            say_picture(i);
        if (part == PART_TWO && connection == 1)
            say_end(WIRE_END, 0, SOURCE_CLOSED);
    }
}

/* A codec that dies if it is of the first connection. */
static int play_codec(char **argv)
{
    const StreamInfo *const info = part_to_decode();
    if (!info || info->connection == 1)
        return 3;
    char memory[] = "1000000000", *as[] = {argv[0], argv[1], argv[2], memory, NULL};
    return isolated_main(4, as);
}

static int play(char **argv)
{
    const int role = atoi(argv[2]), part = atoi(argv[3]);
    if (part == PART_TWO && role == ISOLATED_CODEC)
        return play_codec(argv);
    if (part == PART_HEAD)
        say_heads();
    else if (role == ISOLATED_SOURCE)
        play_source(part);
    char byte;
    while (recv(ISOLATED_SOCKET, &byte, 1, 0) > 0) /* until it is left */
        ;
    return 0;
}

static Isolated *start(IsolatedRole role, int part)
{
    Isolated *p = NULL;
    Error e = {0};
    if (isolated_start(role, "test", part, -1, &p, &e) != 0)
        FAIL_MSG("%s", e.message);
    return p;
}

/* ---- what it takes of this process ---- */

static int64_t mapped(void) /* bytes */
{
    FILE *const f = fopen("/proc/self/statm", "r");
    long long pages = 0;
    assert_true(f && fscanf(f, "%lld", &pages) == 1);
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

static int mappings(const char *name)
{
    FILE *const f = fopen("/proc/self/maps", "r");
    char line[512];
    int n = 0;
    while (fgets(line, sizeof line, f))
        n += strstr(line, name) != NULL;
    fclose(f);
    return n;
}

/* A message takes the memory of what came of it, not of what its head says; and no longer than it
 * is there. */
static void heads_take_no_memory(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* memory that was given back stays mapped */
#endif
    Isolated *const p = start(ISOLATED_SOURCE, PART_HEAD);
    WireIn in;
    assert_int_equal(isolated_poll(p, 60000000, &in), ISOLATED_MESSAGE);
    assert_int_equal(in.kind, WIRE_ALIVE);
    const int64_t before = mapped();
    assert_int_equal(isolated_poll(p, 0, &in), ISOLATED_NOTHING);
    assert_true(mapped() - before < 1 << 20);
    isolated_message(p, WIRE_CONNECT);
    isolated_post(p);
    assert_int_equal(isolated_poll(p, 60000000, &in), ISOLATED_MESSAGE);
    assert_int_equal(in.kind, WIRE_PACKET);
    assert_int_equal(in.left, LARGE - WIRE_HEAD);
    assert_true(mapped() - before >= LARGE);
    assert_int_equal(isolated_poll(p, 60000000, &in), ISOLATED_MESSAGE);
    assert_int_equal(in.kind, WIRE_ALIVE);
    assert_true(mapped() - before < LARGE / 2);
    isolated_close(p, 0);
}

/* Who decodes or cuts says little: what is longer is no answer. */
static void long_answers(void **state)
{
    (void)state;
    static const IsolatedRole role[] = {ISOLATED_CODEC, ISOLATED_CUTTER, ISOLATED_FILE_CUTTER};
    for (size_t i = 0; i < sizeof role / sizeof *role; i++) {
        Isolated *const p = start(role[i], PART_HEAD);
        WireIn in;
        assert_int_equal(isolated_poll(p, 60000000, &in), ISOLATED_MESSAGE);
        assert_int_equal(isolated_poll(p, 60000000, &in), ISOLATED_DEAD);
        assert_string_equal(isolated_why(p), "what it says is no message");
        isolated_close(p, 0);
    }
}

/* ---- what they cannot do ---- */

static Live *open_live(const char *url, int part)
{
    Live *l = NULL;
    Error e;
    const LiveOptions opt = {
        .video = {.isolate = part, .open_timeout = 60000000, .read_timeout = 60000000},
        .retry_min = 1000};
    assert_int_equal(live_open(url, &opt, &l, &e), 0);
    return l;
}

static void wait_for_connections(const Live *l, int64_t n, LiveCause down)
{
    const double until = time_now() + 50;
    LiveCounts c;
    while (c = live_counts(l), c.connections + c.down[down] < n && time_now() < until &&
                                   live_state(l, NULL) != LIVE_FAILED)
        usleep(1000);
    if (c.connections + c.down[down] < n)
        FAIL_MSG("%lld connections, %lld down", (long long)c.connections, (long long)c.down[down]);
}

/* A reader that was taken over costs connections, not the stream: what is live has no end, and what
 * this libav knows can be had another time. */
static void ends_of_live_streams(void **state)
{
    (void)state;
    Live *l = open_live("rtsp://127.0.0.1:1/x", PART_STORED);
    wait_for_connections(l, 6, LIVE_CLOSED);
    live_close(l);
    static const char *const url[] = {"rtsp://127.0.0.1:1/x", "http://127.0.0.1:1/x"};
    for (int i = 0; i < 2; i++) {
        l = open_live(url[i], PART_HOPELESS);
        wait_for_connections(l, 3, LIVE_REFUSED);
        live_close(l);
    }
    l = open_live("nonsense://127.0.0.1:1/x", PART_HOPELESS);
    const double until = time_now() + 50;
    while (live_state(l, NULL) != LIVE_FAILED && time_now() < until)
        usleep(1000);
    assert_int_equal(live_state(l, NULL), LIVE_FAILED);
    live_close(l);
}

/* To say that one is alive is not enough. */
static void alive_for_ever(void **state)
{
    (void)state;
    Error e;
    Packet p;
    Source *const s = source_new("rtsp://127.0.0.1:1/x", &(SourceOptions){.open_timeout = 30000000,
                                                                          .read_timeout = 100000,
                                                                          .isolate = PART_ALIVE});
    assert_int_equal(source_connect(s, &e), 0);
    assert_int_equal(source_read(s, &p, &e), ERR_IO);
    assert_int_equal(source_failure(s), SOURCE_CRASHED);
    if (!strstr(e.message, "it waits and gives nothing"))
        FAIL_MSG("%s", e.message);
    source_close(s);
}

/* A decoder that dies of one connection while the reader is at the next: that one stays. */
static void codec_of_before(void **state)
{
    (void)state;
    Live *const l = open_live("rtsp://127.0.0.1:1/x", PART_TWO);
    LiveFrame f;
    LiveResult r;
    wait_for_connections(l, 2, LIVE_CRASHED);
    const double until = time_now() + 50;
    while ((r = live_frame(l, 0, false, &f)) != LIVE_FRAME && time_now() < until)
        usleep(1000);
    assert_int_equal(r, LIVE_FRAME);
    assert_int_equal(f.frame.connection, 2);
    const LiveCounts c = live_counts(l);
    assert_int_equal(c.down[LIVE_CRASHED], 0);
    assert_int_equal(c.connections, 2);
    live_close(l);
}

/* Who looks waits for a decoder once, if it hangs, and then only looks: until it is given up, far
 * more often than it could wait. */
static void codec_hangs(void **state)
{
    (void)state;
    Live *const l = open_live("rtsp://127.0.0.1:1/x", PART_HANGS);
    LiveFrame f;
    int busy = 0;
    wait_for_connections(l, 1, LIVE_CRASHED);
    const double until = time_now() + 50;
    while (busy < 20000 && live_counts(l).down[LIVE_CRASHED] == 0 && time_now() < until) {
        const LiveResult r = live_frame(l, 0, false, &f);
        assert_int_not_equal(r, LIVE_FRAME);
        busy += r == LIVE_BUSY;
    }
    assert_int_equal(busy, 20000);
    live_close(l);
}

/* ---- what this process lacks ---- */

/* What comes of a packet. */
static CodecResult decode(Codec *c, const AVPacket *p, AVFrame *f)
{
    CodecResult r;
    while (codec_send(c, p, 0, AVDISCARD_DEFAULT) == CODEC_FULL)
        codec_receive(c, f, 1000000);
    while ((r = codec_receive(c, f, 1000000)) == CODEC_BUSY)
        ;
    return r;
}

/* Without a descriptor there are no pictures; they come again with one, and nothing is left of the
 * attempts between. */
static void no_descriptors(void **state)
{
    (void)state;
    StreamInfo *const info = raw_info(64, 48);
    Codec *c = NULL;
    Error e = {0};
    assert_int_equal(codec_new(info, &(CodecOptions){.name = "test", .threads = 1}, &c, &e), 0);
    AVPacket *p = av_packet_alloc();
    AVFrame *f = av_frame_alloc();
    assert_int_equal(av_new_packet(p, 64 * 48), 0);
    memset(p->data, 77, 64 * 48);
    assert_int_equal(decode(c, p, f), CODEC_FRAME);
    struct rlimit usual;
    getrlimit(RLIMIT_NOFILE, &usual);
    const int before = mappings("lathe frames"), next = dup(0); /* the least that is free */
    close(next);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)next, usual.rlim_max});
    for (int i = 0; i < 10; i++) {
        assert_int_equal(codec_pixels(c, f, &e), ERR_MEMORY);
        if (!strstr(e.message, strerror(EMFILE)))
            FAIL_MSG("%s", e.message);
    }
    setrlimit(RLIMIT_NOFILE, &usual);
    assert_int_equal(mappings("lathe frames"), before);
    assert_int_equal(codec_pixels(c, f, &e), 0);
    assert_int_equal(f->data[0][64 * 48 - 1], 77);
    av_frame_free(&f);
    av_packet_free(&p);
    codec_free(c);
    stream_info_unref(info);
    assert_int_equal(mappings("lathe frames"), 0);
}

/* Half of what was said is not taken as all of it. */
static void no_memory(void **state)
{
    (void)state;
    enum { LONG = 300000, LEAST = 100000 };
    StreamInfo *const s = raw_info(64, 48);
    AVPacket *p = av_packet_alloc();
    s->par->extradata = av_mallocz(LONG + AV_INPUT_BUFFER_PADDING_SIZE);
    s->par->extradata_size = LONG;
    assert_int_equal(av_new_packet(p, 3), 0);
    memset(av_packet_new_side_data(p, AV_PKT_DATA_NEW_EXTRADATA, LONG), 1, LONG);
    for (int packet = 0; packet < 2; packet++)
        for (int enough = 0; enough < 2; enough++) {
            Wire w = {0};
            wire_begin(&w, WIRE_PACKET);
            if (packet)
                wire_packet(&w, p);
            else
                wire_info(&w, s);
            assert_true(wire_end(&w));
            WireIn in = wire_open(w.at);
            av_max_alloc(enough ? INT_MAX : LEAST);
            AVPacket *q = packet ? wire_get_packet(&in) : NULL;
            StreamInfo *const t = packet ? NULL : wire_get_info(&in);
            av_max_alloc(INT_MAX);
            assert_true((q || t) == enough);
            assert_true(wire_done(&in) == enough);
            av_packet_free(&q);
            stream_info_unref(t);
            wire_free(&w);
        }
    av_packet_free(&p);
    stream_info_unref(s);
}

int main(int argc, char **argv)
{
    if (isolated_asked(argc, argv))
        return atoi(argv[3]) < PARTS ? play(argv) : isolated_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_take_no_memory),
        cmocka_unit_test(long_answers),
        cmocka_unit_test(ends_of_live_streams),
        cmocka_unit_test(alive_for_ever),
        cmocka_unit_test(codec_of_before),
        cmocka_unit_test(codec_hangs),
        cmocka_unit_test(no_descriptors),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
