/* The service's side of processes of libav: what it does where one says odd things, or where it
 * lacks something itself. A process that plays a part is this program with the part's number in the
 * place of its memory. */
#include "check.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "watch/isolated_child.h"
#include "watch/isolated_codec.h"

enum { PART_NONE, PART_HEAD, PARTS };

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

static int play(int part)
{
    if (part == PART_HEAD)
        say_heads();
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

/* ---- what this process lacks ---- */

static StreamInfo *raw_info(int width, int height)
{
    AVCodecParameters *par = avcodec_parameters_alloc();
    par->codec_type = AVMEDIA_TYPE_VIDEO;
    par->codec_id = AV_CODEC_ID_RAWVIDEO;
    par->format = AV_PIX_FMT_GRAY8;
    par->width = width;
    par->height = height;
    StreamInfo *const s = stream_info_new(par, (AVRational){1, 25}, (AVRational){25, 1});
    s->isolate = ISOLATED_MEMORY;
    avcodec_parameters_free(&par);
    return s;
}

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
        return atoi(argv[3]) < PARTS ? play(atoi(argv[3])) : isolated_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_take_no_memory),
        cmocka_unit_test(long_answers),
        cmocka_unit_test(no_descriptors),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
