/* Children of isolated.h that mean harm. Each stands between the service and a child that does its
 * work: it hands on what that one says up to some message, and then says something else, once. (The
 * service starts this program anew, as it does for every child; which harm it is, is written into
 * how much memory that child is to have.) Whatever it is: an error, or a picture; no call that does
 * not end, no process left, and the next video is well. */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <libavcodec/avcodec.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "game/dice.h"
#include "watch/clip.h"
#include "watch/cut.h"
#include "watch/isolated.h"
#include "watch/isolated_child.h"
#include "watch/sound_decode.h"
#include "watch/video.h"

typedef enum Harm {
    HARM_WORD,  /* 8 bytes of it are others */
    HARM_KIND,  /* it is another message */
    HARM_SIZE,  /* it says that it is of another size */
    HARM_TWICE, /* it comes twice */
    HARM_DIES,  /* half of it comes, and the end */
    HARM_HANGS, /* it does not come, and the end neither */
    HARM_FLOOD, /* nothing else comes, for ever: that it waits */
    HARM_NOISE, /* random bytes take its place */
    HARM_LARGE, /* a file that is handed to it grows; then it comes */
    HARMS
} Harm;

typedef struct Script {
    IsolatedRole role;
    int message;      /* which one of those that it says, but for WIRE_ALIVE */
    Harm harm;
    int word;
    int64_t value;
    const char *why;  /* part of what is told of it; NULL: whatever it is */
} Script;

static const char *const cannot = "what it says cannot be";

#define LARGEST INT64_MAX
#define SMALLEST INT64_MIN

static const Script scripts[] = {
    /* what it is: code, failure, text; stored, bursts, duration, pictures .. */
    {ISOLATED_SOURCE, 0, HARM_WORD, 0, 1, cannot},
    {ISOLATED_SOURCE, 0, HARM_WORD, 0, LARGEST, cannot},
    {ISOLATED_SOURCE, 0, HARM_WORD, 1, 99, cannot},
    {ISOLATED_SOURCE, 0, HARM_WORD, 2, -1, cannot},
    {ISOLATED_SOURCE, 0, HARM_WORD, 2, INT64_C(1) << 40, cannot},
    {ISOLATED_SOURCE, 0, HARM_WORD, 3, 2, cannot},
    {ISOLATED_SOURCE, 0, HARM_WORD, 5, -1, cannot},
    {ISOLATED_SOURCE, 0, HARM_WORD, 6, 7, cannot}, /* of no kind */
    {ISOLATED_SOURCE, 0, HARM_KIND, 0, WIRE_PACKET, cannot},
    {ISOLATED_SOURCE, 0, HARM_KIND, 0, -1, cannot},
    {ISOLATED_SOURCE, 0, HARM_SIZE, 0, 0, "is no message"},
    {ISOLATED_SOURCE, 0, HARM_SIZE, 0, 7, "is no message"},
    {ISOLATED_SOURCE, 0, HARM_SIZE, 0, 0xffffffff, "is no message"},
    {ISOLATED_SOURCE, 0, HARM_DIES, 0, 0, "it ended with 3"},
    {ISOLATED_SOURCE, 0, HARM_HANGS, 0, 0, "it hangs"},
    {ISOLATED_SOURCE, 0, HARM_TWICE, 0, 0, cannot},
    /* a packet: sound?, wall, clock, turn; pts, dts, duration, flags, side data, size */
    {ISOLATED_SOURCE, 1, HARM_WORD, 0, 1, cannot},
    {ISOLATED_SOURCE, 1, HARM_WORD, 1, SMALLEST, cannot},
    {ISOLATED_SOURCE, 1, HARM_WORD, 2, -1, cannot},
    {ISOLATED_SOURCE, 1, HARM_WORD, 9, -1, cannot},
    {ISOLATED_SOURCE, 1, HARM_WORD, 10, -1, cannot},
    {ISOLATED_SOURCE, 1, HARM_WORD, 10, LARGEST, cannot},
    {ISOLATED_SOURCE, 1, HARM_WORD, 6, LARGEST, NULL},
    {ISOLATED_SOURCE, 1, HARM_WORD, 7, SMALLEST, NULL},
    {ISOLATED_SOURCE, 1, HARM_KIND, 0, WIRE_CONNECTED, cannot},
    {ISOLATED_SOURCE, 3, HARM_KIND, 0, WIRE_SOUND, cannot},
    {ISOLATED_SOURCE, 3, HARM_DIES, 0, 0, "it ended with 3"},
    {ISOLATED_SOURCE, 3, HARM_FLOOD, 0, 0, "gives nothing"},
    /* a codec was opened: code, text */
    {ISOLATED_CODEC, 0, HARM_WORD, 0, 1, cannot},
    {ISOLATED_CODEC, 0, HARM_WORD, 1, -1, cannot},
    {ISOLATED_CODEC, 0, HARM_KIND, 0, WIRE_RESULT, cannot},
    {ISOLATED_CODEC, 0, HARM_TWICE, 0, 0, cannot},
    {ISOLATED_CODEC, 0, HARM_DIES, 0, 0, "it ended with 3"},
    {ISOLATED_CODEC, 0, HARM_HANGS, 0, 0, "it hangs"},
    /* a frame: refused?, a frame? .. */
    {ISOLATED_CODEC, 1, HARM_WORD, 0, -1, cannot},
    {ISOLATED_CODEC, 1, HARM_WORD, 1, LARGEST, cannot},
    {ISOLATED_CODEC, 1, HARM_KIND, 0, WIRE_WRITTEN, cannot},
    {ISOLATED_CODEC, 1, HARM_SIZE, 0, 0xffffffff, "is no message"},
    {ISOLATED_CODEC, 1, HARM_DIES, 0, 0, "it ended with 3"},
    {ISOLATED_CODEC, 2, HARM_TWICE, 0, 0, cannot},
    /* a clip: a packet is asked for, or it is done: code, text, from, duration, .. */
    {ISOLATED_FILE_CUTTER, 0, HARM_WORD, 0, 1, cannot},
    {ISOLATED_FILE_CUTTER, 0, HARM_WORD, 1, -1, cannot},
    {ISOLATED_FILE_CUTTER, 0, HARM_WORD, 2, LARGEST, cannot},
    {ISOLATED_FILE_CUTTER, 0, HARM_WORD, 3, -1, cannot},
    {ISOLATED_FILE_CUTTER, 0, HARM_WORD, 4, -1, cannot},
    {ISOLATED_FILE_CUTTER, 0, HARM_WORD, 6, 2, cannot},
    {ISOLATED_FILE_CUTTER, 0, HARM_KIND, 0, WIRE_CONNECTED, cannot},
    {ISOLATED_FILE_CUTTER, 0, HARM_SIZE, 0, 3, "is no message"},
    {ISOLATED_FILE_CUTTER, 0, HARM_DIES, 0, 0, "it ended with 3"},
    {ISOLATED_FILE_CUTTER, 0, HARM_LARGE, 0, 0, "it writes too much"},
};
#define NSCRIPTS ((int)(sizeof scripts / sizeof *scripts))

#define SEED 1000 /* behind the scripts: any harm, by this seed and those that follow */

/* What a child is told in its bytes of memory. */
static int64_t memory_of(int what) { return ISOLATED_MEMORY + 1 + what; }

static IsolatedRole role_of(int seed)
{
    static const IsolatedRole role[] = {ISOLATED_SOURCE, ISOLATED_CODEC, ISOLATED_FILE_CUTTER};
    return role[seed % 3];
}

/* Any harm that shows at once. */
static Script any_script(int seed)
{
    static const Harm quick[] = {HARM_WORD, HARM_WORD, HARM_WORD, HARM_KIND, HARM_TWICE,
                                 HARM_DIES, HARM_NOISE};
    static const int64_t value[] = {0, 1, -1, 2, 255, 65537, 1 << 30, INT64_C(1) << 40, LARGEST,
                                    SMALLEST};
    Dice d = dice_new((uint64_t)seed, "harm");
    Script s = {.role = role_of(seed)};
    s.message = s.role == ISOLATED_FILE_CUTTER ? 0 : dice_int(&d, 0, 6);
    s.harm = quick[dice_int(&d, 0, 6)];
    s.word = dice_int(&d, 0, 40);
    s.value = s.harm == HARM_KIND ? dice_int(&d, 0, 30) : value[dice_int(&d, 0, 9)];
    return s;
}

/* ---- the child ---- */

static bool send_all(int fd, const uint8_t *at, size_t n)
{
    while (n > 0) {
        const ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool receive_all(int fd, uint8_t *at, size_t n)
{
    while (n > 0) {
        const ssize_t got = recv(fd, at, n, 0);
        if (got <= 0)
            return false;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

static void flood(void)
{
    uint8_t message[WIRE_HEAD] = {WIRE_ALIVE, 0, 0, 0, WIRE_HEAD};
    while (send_all(ISOLATED_SOCKET, message, sizeof message))
        ;
    _exit(3);
}

/* Instead of this message. */
static bool do_harm(const Script *s, uint8_t *message, size_t size)
{
    const uint32_t number = (uint32_t)s->value;
    Dice d = dice_new(size, "noise");
    switch (s->harm) {
    case HARM_WORD:
        if (WIRE_HEAD + 8 * ((size_t)s->word + 1) <= size)
            memcpy(message + WIRE_HEAD + 8 * s->word, &s->value, 8);
        break;
    case HARM_KIND: memcpy(message, &number, 4); break;
    case HARM_SIZE: memcpy(message + 4, &number, 4); break;
    case HARM_TWICE:
        if (!send_all(ISOLATED_SOCKET, message, size))
            return false;
        break;
    case HARM_DIES: send_all(ISOLATED_SOCKET, message, size / 2); _exit(3);
    case HARM_HANGS:
        for (;;)
            pause();
    case HARM_FLOOD: flood(); break;
    case HARM_NOISE:
        for (size_t i = WIRE_HEAD; i < size; i++)
            message[i] = (uint8_t)dice_next(&d);
        break;
    case HARM_LARGE:
        if (ftruncate(ISOLATED_SHARED, INT64_C(1) << 33) != 0)
            _exit(4);
        pause(); /* until it is noticed */
        break;
    case HARMS: break;
    }
    return send_all(ISOLATED_SOCKET, message, size);
}

static int start_other(int role)
{
    char word[16], bytes[32];
    char *const argv[] = {"lathe", ISOLATED_COMMAND, word, bytes, NULL};
    int pair[2], pid;
    snprintf(word, sizeof word, "%d", role);
    snprintf(bytes, sizeof bytes, "%lld", (long long)ISOLATED_MEMORY);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        _exit(4);
    const int own = fcntl(pair[0], F_DUPFD_CLOEXEC, 16);
    close(pair[0]);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, pair[1], ISOLATED_SOCKET);
    if (posix_spawn(&pid, "/proc/self/exe", &files, NULL, argv, environ) != 0)
        _exit(4);
    close(pair[1]);
    return own;
}

/* One message from there to the service. False: one of the two is gone. */
static bool hand_on(int other, const Script *s, int *n)
{
    uint8_t head[WIRE_HEAD];
    uint32_t kind;
    if (!receive_all(other, head, sizeof head))
        return false;
    const size_t size = wire_size(head);
    uint8_t *const message = malloc(size);
    memcpy(message, head, sizeof head);
    memcpy(&kind, head, sizeof kind);
    bool good = receive_all(other, message + WIRE_HEAD, size - WIRE_HEAD);
    const bool now = kind != WIRE_ALIVE && (*n)++ == s->message;
    good = good && (now ? do_harm(s, message, size) : send_all(ISOLATED_SOCKET, message, size));
    free(message);
    return good;
}

static int harm(int role, const Script *s)
{
    const int other = start_other(role);
    struct pollfd fd[2] = {{.fd = ISOLATED_SOCKET, .events = POLLIN},
                           {.fd = other, .events = POLLIN}};
    static uint8_t piece[65536];
    int n = 0;
    for (;;) {
        if (poll(fd, 2, -1) < 0)
            return 4;
        if (fd[1].revents && !hand_on(other, s, &n))
            return 0;
        if (!fd[0].revents)
            continue;
        const ssize_t got = recv(ISOLATED_SOCKET, piece, sizeof piece, 0);
        if (got <= 0 || !send_all(other, piece, (size_t)got))
            return 0;
    }
}

/* True: this one is to do harm. */
static bool means_harm(char **argv, Script *out)
{
    const int64_t what = strtoll(argv[3], NULL, 10) - ISOLATED_MEMORY - 1;
    if (what < 0)
        return false;
    *out = what < NSCRIPTS ? scripts[what] : any_script((int)what);
    return (int)out->role == atoi(argv[2]);
}

/* ---- the service ---- */

static char path[64], clip[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/lathe_hostile_%d.mp4", (int)getpid());
    snprintf(clip, sizeof clip, "/tmp/lathe_hostile_%d_clip.mp4", (int)getpid());
    clip_write(path, &(ClipOptions){.frames = 40, .fps = 25, .gop = 10, .bframes = 1});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

/* How reading, decoding and cutting it ends; frames: that came. */
static int watch(int64_t memory, bool cuts, int *frames, Error *e)
{
    Video *v = NULL;
    VideoFrame f;
    CutReport r;
    *frames = 0;
    if (cuts) {
        const CutPart part = {.from = 120000,
                              .to = 900000,
                              .at = 200000,
                              .mode = CUT_EXACT,
                              .path = clip,
                              .isolate = memory};
        const int code = cut_file(path, &part, &r, e);
        assert_true(file_exists(clip) == (code == 0));
        unlink(clip);
        return code;
    }
    const VideoOptions opt = {.isolate = memory, .open_timeout = 3000000, .read_timeout = 1000000};
    int code = video_open(path, &opt, &v, e);
    for (int64_t t = 0; code == 0 && *frames < 100; t += 40000) {
        const int got = video_sample(v, t, &f, e);
        if (got <= 0) {
            code = got;
            break;
        }
        ++*frames;
    }
    video_close(v);
    return code;
}

static bool is_child(int pid)
{
    char name[64];
    int parent = 0;
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    FILE *const f = fopen(name, "r");
    const bool good = f && fscanf(f, "%*d %*s %*c %d", &parent) == 1;
    if (f)
        fclose(f);
    return good && parent == getpid();
}

static int children(void)
{
    DIR *const d = opendir("/proc");
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += atoi(e->d_name) > 0 && is_child(atoi(e->d_name));
    closedir(d);
    return n;
}

static void check_gone(void)
{
    const double until = time_now() + 30;
    while (children() > 0 && time_now() < until)
        usleep(5000);
    assert_int_equal(children(), 0);
}

static void check_well(void)
{
    int frames;
    Error e = {0};
    for (int cuts = 0; cuts < 2; cuts++)
        if (watch(ISOLATED_MEMORY, cuts, &frames, &e) != 0 || (!cuts && frames != 40))
            FAIL_MSG("%d frames: %s", frames, e.message);
}

static void each_script(void **state)
{
    (void)state;
    for (int i = 0; i < NSCRIPTS; i++) {
        const Script *const s = &scripts[i];
        int frames;
        Error e = {0};
        const int code = watch(memory_of(i), s->role == ISOLATED_FILE_CUTTER, &frames, &e);
        if (s->why && (code >= 0 || !strstr(e.message, s->why) || !strstr(e.message, "process")))
            FAIL_MSG("script %d (role %d, message %d, harm %d, word %d, %lld): %d, %d frames, %s",
                     i, (int)s->role, s->message, (int)s->harm, s->word, (long long)s->value, code,
                     frames, e.message);
    }
    check_gone();
    check_well();
}

static void any_harm(void **state)
{
    (void)state;
    int failed = 0;
    for (int seed = SEED; seed < SEED + 90; seed++) {
        int frames;
        Error e = {0};
        failed += watch(memory_of(seed), role_of(seed) == ISOLATED_FILE_CUTTER, &frames, &e) < 0;
    }
    print_message("%d of 90 failed\n", failed);
    assert_true(failed >= 30);
    check_gone();
    check_well();
}

/* Sound that a process has no time for is lost, and counted; then that process is given up. */
static void sound_is_counted(void **state)
{
    (void)state;
    int hangs = 0;
    while (scripts[hangs].role != ISOLATED_CODEC || scripts[hangs].harm != HARM_HANGS)
        hangs++;
    Arena *const a = arena_new();
    Error e = {0};
    AVCodecParameters *par = avcodec_parameters_alloc();
    par->codec_type = AVMEDIA_TYPE_AUDIO;
    par->codec_id = AV_CODEC_ID_PCM_S16LE;
    par->sample_rate = 16000;
    av_channel_layout_default(&par->ch_layout, 1);
    StreamInfo *const info = stream_info_new(par, (AVRational){1, 16000}, (AVRational){0, 1});
    info->sound = true;
    info->isolate = memory_of(hangs);
    SoundDecoder *const d = sound_decoder_new(a, "sound");
    int sent = 0, code = 0;
    for (; code == 0 && sent < 100; sent++) {
        Packet p = {.av = av_packet_alloc(), .info = stream_info_ref(info)};
        SoundPart part;
        assert_int_equal(av_new_packet(p.av, 640), 0);
        memset(p.av->data, 0, 640);
        p.av->pts = p.av->dts = p.pts = p.dts = 320 * sent;
        code = sound_decoder_send(d, &p, &e);
        if (code == 0)
            code = sound_decoder_receive(d, &part, &e);
        packet_free(&p);
    }
    assert_int_equal(code, ERR_IO);
    assert_non_null(strstr(e.message, "it hangs"));
    assert_true(sound_decoder_lost(d) >= 1 && sound_decoder_lost(d) <= sent);
    stream_info_unref(info);
    avcodec_parameters_free(&par);
    arena_free(a);
    check_gone();
}

int main(int argc, char **argv)
{
    Script s;
    if (isolated_asked(argc, argv))
        return means_harm(argv, &s) ? harm(atoi(argv[2]), &s) : isolated_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_script),
        cmocka_unit_test(any_harm),
        cmocka_unit_test(sound_is_counted),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
