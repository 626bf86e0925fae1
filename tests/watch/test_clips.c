/* Clips of streams: just the pictures asked for, whatever comes; memory and disk in bounds; nothing
 * half written. */
#include "check.h"

#include <dirent.h>
#include <libavformat/avformat.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "clip_shown.h"
#include "engine_bench.h"
#include "watch/clips.h"
#include "watch/source.h"

#define FRAME 40000                     /* us */
#define WALL INT64_C(1763774526000000) /* of the first one */
#define LIVE "udp://somewhere"

static const char watch_text[] =
    "watch: {name: w, sample: {fps: 5, max_fps: 5}}\n"
    "signal: {a: {from: motion}}\n"
    "event:\n"
    "  none: {when: a}\n"
    "  kill: {when: a, emit: point, clip: {pre: 0.4s, post: 0.2s}}\n"
    "  round: {when: a, clip: {pre: 0.2s, post: 0.12s, weight: 2}}\n";

typedef struct Bench {
    Arena *arena;
    char dir[64], folder[80], film[80];
    const Watch *watch;
    Clips *clips;
    ClipStream *stream;
    int64_t arrival;     /* us, of the last packet */
    int epoch;
    bool no_wall;        /* events do not say when they were */
    char told[4000];     /* lines, by the thread that cuts: read once it is over */
} Bench;

static void on_told(void *arg, const char *line)
{
    Bench *const b = arg;
    const size_t n = strlen(b->told);
    snprintf(b->told + n, sizeof b->told - n, "%s\n", line);
}

static Bench *bench_open(const ClipsOptions *opt, const char *url)
{
    Arena *const a = arena_new();
    Bench *const b = arena_new_of(a, Bench);
    Error e;
    b->arena = a;
    strcpy(b->dir, "/tmp/lathe_clips_XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    snprintf(b->folder, sizeof b->folder, "%s/clips", b->dir);
    snprintf(b->film, sizeof b->film, "%s/film.ts", b->dir);
    b->watch = bench_parse(a, watch_text);
    b->arrival = (int64_t)(time_now() * 1e6);
    ClipsOptions o = opt ? *opt : (ClipsOptions){0};
    o.folder = b->folder;
    o.told = on_told;
    o.arg = b;
    if (clips_open(&o, &b->clips, &e) != 0)
        FAIL_MSG("%s", e.message);
    b->stream = clip_stream_new(b->clips, "cam", url ? url : LIVE, 0, b->watch);
    return b;
}

/* All that is open is cut; counts as they are then. */
static ClipsCounts finish(Bench *b)
{
    clip_stream_end(b->stream);
    for (int i = 0; i < 1000 && clips_counts(b->clips).pending > 0; i++)
        bench_sleep(0.01);
    const ClipsCounts c = clips_counts(b->clips);
    assert_int_equal(c.pending, 0);
    assert_int_equal(c.pending_bytes, 0);
    assert_int_equal(c.ring_bytes, 0);
    return c;
}

static void reopen(Bench *b, const char *url, int64_t max_bytes)
{
    Error e;
    clip_stream_free(b->stream);
    clips_close(b->clips, 0);
    assert_int_equal(clips_open(&(ClipsOptions){.folder = b->folder,
                                                .max_bytes = max_bytes,
                                                .told = on_told,
                                                .arg = b},
                                &b->clips, &e),
                     0);
    b->stream = clip_stream_new(b->clips, "cam", url, 0, b->watch);
}

static void bench_shut(Bench *b)
{
    clip_stream_free(b->stream);
    clips_close(b->clips, 0);
    assert_int_equal(system(arena_printf(b->arena, "rm -r %s", b->dir)), 0);
    arena_free(b->arena);
}

/* ---- a live stream ---- */

typedef struct Tell {
    RecordKind kind;
    const char *event;
    uint64_t id;
    int at, start, end;      /* frames of the film: told at, about */
} Tell;

static const char *tell(Bench *b, const Tell *t)
{
    const EventRecord r = {.kind = t->kind,
                           .id = t->id,
                           .stream = "cam",
                           .watch = b->watch,
                           .rule = &b->watch->event[watch_find_event(b->watch, t->event)],
                           .epoch = b->epoch,
                           .t_start = (int64_t)t->start * FRAME,
                           .t_end = (int64_t)t->end * FRAME,
                           .wall = b->no_wall ? 0 : WALL + (int64_t)t->start * FRAME,
                           .clock = CLOCK_ARRIVAL};
    const char *const path = clip_stream_record(b->stream, &r);
    return path ? arena_strdup(b->arena, path) : NULL;
}

typedef void (*Damage)(Packet *p, int i);

/* The film as one connection, a picture each 40 ms, a sample each 5 pictures; records in
 * between. */
static void play(Bench *b, int ntell, const Tell *t, Damage damage)
{
    Error e;
    Source *const s =
        source_new(b->film, &(SourceOptions){.open_timeout = 5000000, .read_timeout = 5000000});
    Packet p;
    int64_t origin = PACKET_NO_TIME;
    assert_int_equal(source_connect(s, &e), 0);
    for (int i = 0, told = 0; source_read(s, &p, &e) > 0; i++) {
        origin = origin == PACKET_NO_TIME ? p.pts : origin;
        p.arrival = b->arrival += FRAME;
        if (damage)
            damage(&p, i);
        if (p.av)
            clip_stream_packet(b->stream, &p);
        packet_free(&p);
        const LiveFrame f = {
            .frame = {.t = i * (int64_t)FRAME, .epoch = b->epoch, .origin = origin},
            .arrival = b->arrival};
        if (i % 5 == 0)
            clip_stream_frame(b->stream, &f);
        for (; told < ntell && t[told].at == i; told++)
            tell(b, &t[told]);
    }
    source_close(s);
    b->epoch++;
}

/* Names of the folder's files that end so, in their order. */
static int list(const Bench *b, const char *ending, const char **out, int max)
{
    struct dirent **one;
    const int n = scandir(b->folder, &one, NULL, alphasort);
    int found = 0;
    for (int i = 0; i < n; i++) {
        if (str_ends(one[i]->d_name, ending) && found < max)
            out[found++] = arena_printf(b->arena, "%s/%s", b->folder, one[i]->d_name);
        free(one[i]);
    }
    free(one);
    return found;
}

static void expect_clips(const Bench *b, int n, const char *const *want)
{
    const char *path[20];
    assert_int_equal(list(b, ".mp4", path, 20), n);
    for (int i = 0; i < n; i++) {
        const char *const got = clip_shown(b->arena, path[i]);
        if (strcmp(got, want[i]) != 0)
            FAIL_MSG("clip %d shows %s instead of %s", i, got, want[i]);
    }
    assert_int_equal(list(b, ".part", path, 20), 0);
}

static const char *list_of(const Bench *b, int i)
{
    const char *path[20];
    File f;
    Error e;
    assert_true(list(b, ".json", path, 20) > i);
    assert_int_equal(file_read(b->arena, path[i], &f, &e), 0);
    return arena_strndup(b->arena, (const char *)f.at, f.size);
}

static void test_live(void **state)
{
    (void)state;
    static const ClipOptions kind[] = {
        {.frames = 300, .fps = 25, .gop = 12},
        {.frames = 300, .fps = 25, .gop = 25, .bframes = 2, .start = 9000},
        {.frames = 300, .fps = 25, .gop = 1}};
    static const Tell t[] = {
        {RECORD_POINT, "kill", 1, 35, 33, 0},    /* 23 to 38 */
        {RECORD_POINT, "none", 2, 35, 33, 0},
        {RECORD_START, "round", 3, 110, 106, 0}, /* 101 to .. */
        {RECORD_POINT, "kill", 4, 120, 119, 0},
        {RECORD_END, "round", 3, 160, 106, 153}, /* .. 156 */
        {RECORD_POINT, "kill", 5, 297, 296, 0},  /* 286 to 301: the film ends before */
    };
    for (int k = 0; k < 3; k++) {
        Bench *const b = bench_open(NULL, NULL);
        clip_write(b->film, &kind[k]);
        play(b, 6, t, NULL);
        const ClipsCounts c = finish(b);
        assert_int_equal(c.written, 3);
        assert_int_equal(c.failures + c.dropped + c.removed + c.shortened, 0);
        assert_int_equal(c.files, 3);
        expect_clips(b, 3, (const char *const[]){"23-37 ", "101-155 ", "286-299 "});
        bench_shut(b);
    }
}

static void test_what_is_told(void **state)
{
    (void)state;
    static const Tell t[] = {{RECORD_START, "round", 3, 60, 56, 0},
                             {RECORD_POINT, "kill", 4, 70, 69, 0},
                             {RECORD_END, "round", 3, 110, 56, 103}};
    Bench *const b = bench_open(NULL, NULL);
    assert_string_equal(tell(b, &(Tell){RECORD_POINT, "kill", 1, 0, 2, 0}),
                        "clips/20251122T012206.080Z-cam-kill-0000000000000001.mp4");
    assert_null(tell(b, &(Tell){RECORD_POINT, "none", 2, 0, 2, 0}));
    b->epoch = 1; /* nothing of the first one came */
    clip_write(b->film, &(ClipOptions){.frames = 150, .fps = 25, .gop = 12});
    play(b, 3, t, NULL);
    const ClipsCounts c = finish(b);
    assert_int_equal(c.written, 1);
    assert_int_equal(c.failures, 1);
    assert_non_null(strstr(c.error, "there are no packets to cut from"));
    assert_string_equal(
        list_of(b, 0),
        "{\"v\":1,\"clip\":\"20251122T012208.240Z-cam-round-0000000000000003.mp4\",\"stream\":"
        "\"cam\",\"epoch\":1,\"t_start\":2.04,"
        "\"duration\":2.2,\"wall\":\"2025-11-22T01:22:08.040000Z\",\"clock\":\"arrival\",\"note\":"
        "null,\"events\":[\n"
        "{\"id\":\"0000000000000003\",\"event\":\"round\",\"key\":null,\"t_start\":2.24,\"t_end\":"
        "4.12,\"at\":0.2,"
        "\"wall\":\"2025-11-22T01:22:08.240000Z\",\"severity\":0,\"weight\":2},\n"
        "{\"id\":\"0000000000000004\",\"event\":\"kill\",\"key\":null,\"t_start\":2.76,\"t_end\":2."
        "76,\"at\":0.72,"
        "\"wall\":\"2025-11-22T01:22:08.760000Z\",\"severity\":0,\"weight\":1}],\"more\":0}\n");
    assert_non_null(strstr(b->told, "clips: made the folder"));
    assert_non_null(strstr(
        b->told,
        "clip clips/20251122T012208.240Z-cam-round-0000000000000003.mp4: 2.2 s, 2 events\n"));
    bench_shut(b);
}

/* A clip is of one connection: what belongs to the other is not in it. */
static void test_connections(void **state)
{
    (void)state;
    Bench *const b = bench_open(NULL, NULL);
    clip_write(b->film, &(ClipOptions){.frames = 60, .fps = 25, .gop = 12, .start = 50});
    play(b, 1, &(Tell){RECORD_POINT, "kill", 1, 59, 58, 0}, NULL); /* 48 to 63 */
    /* its time goes on */
    clip_write(b->film,
               &(ClipOptions){.frames = 60, .fps = 25, .gop = 12, .first = 200, .start = 100});
    play(b, 1, &(Tell){RECORD_POINT, "kill", 2, 6, 3, 0}, NULL); /* -7 to 8 */
    /* or goes back */
    clip_write(b->film,
               &(ClipOptions){.frames = 60, .fps = 25, .gop = 12, .first = 300, .start = 50});
    play(b, 1, &(Tell){RECORD_POINT, "kill", 3, 20, 20, 0}, NULL);
    const ClipsCounts c = finish(b);
    assert_int_equal(c.written, 3);
    assert_int_equal(c.failures, 0);
    const char *path[3];
    assert_int_equal(list(b, ".mp4", path, 3), 3);
    /* in the order of wall */
    expect_clips(b, 3, (const char *const[]){"200-207 ", "310-324 ", "48-59 "});
    bench_shut(b);
}

static void test_sizes(void **state)
{
    (void)state;
    Bench *const b = bench_open(NULL, NULL);
    clip_write(b->film, &(ClipOptions){.frames = 150, .fps = 25, .gop = 10, .resize_at = 57});
    const Tell t[] = {{RECORD_POINT, "kill", 1, 56, 55, 0}, {RECORD_POINT, "kill", 2, 130, 130, 0}};
    play(b, 2, t, NULL);
    assert_int_equal(finish(b).shortened, 1);
    expect_clips(b, 2, (const char *const[]){"45-56 ", "120-134 "});
    assert_non_null(strstr(
        list_of(b, 0), "\"note\":\"ends 0.120 s earlier: pictures of 64x48 become 128x96 there\""));
    bench_shut(b);
}

/* What is not in the ring any more cannot be shown; what is asked for beyond the memory of all is
 * not kept. */
static void test_memory(void **state)
{
    (void)state;
    const Tell t[] = {{RECORD_START, "round", 1, 100, 95, 0},
                      {RECORD_END, "round", 1, 299, 95, 290}};
    Bench *b = bench_open(&(ClipsOptions){.ring_bytes = 6 * 1000, .pending_bytes = 20000}, NULL);
    clip_write(b->film, &(ClipOptions){.frames = 300, .fps = 25, .gop = 5});
    play(b, 2, t, NULL);
    ClipsCounts c = finish(b);
    assert_int_equal(c.written, 1);
    assert_int_equal(c.shortened, 1);
    assert_non_null(strstr(
        list_of(b, 0), "ends early: parts that wait take all the memory they may (clips_pending)"));
    const char *path[1];
    assert_int_equal(list(b, ".mp4", path, 1), 1);
    int first, last;
    assert_int_equal(sscanf(clip_shown(b->arena, path[0]), "%d-%d ", &first, &last), 2);
    assert_true(first >= 90 && first <= 100 && last > 110 && last < 200);
    bench_shut(b);
    b = bench_open(NULL, NULL);
    clip_write(b->film, &(ClipOptions){.frames = 300, .fps = 25, .gop = 5});
    /* no clips: nothing is kept */
    clip_stream_watch(b->stream, bench_parse(b->arena, BENCH_WATCH("every")));
    play(b, 0, NULL, NULL);
    assert_int_equal(clips_counts(b->clips).ring_bytes, 0);
    clip_stream_watch(b->stream, b->watch);
    play(b, 0, NULL, NULL);
    c = clips_counts(b->clips);
    assert_in_range(c.ring_bytes, 20 * 256, 60 * 1500); /* 1.8 s and a GOP */
    assert_int_equal(finish(b).written, 0);
    bench_shut(b);
}

/* GOPs that are larger than what is kept: there is nothing to begin a clip with, which is told and
 * counted. */
static void test_no_keyframe(void **state)
{
    (void)state;
    const Tell t[] = {{RECORD_POINT, "kill", 1, 205, 200, 0}};
    Bench *const b = bench_open(&(ClipsOptions){.ring_bytes = 6 * 1000}, NULL);
    clip_write(b->film, &(ClipOptions){.frames = 300, .fps = 25, .gop = 300});
    play(b, 1, t, NULL);
    const ClipsCounts c = finish(b);
    assert_int_equal(c.written, 0);
    assert_int_equal(c.failures, 1);
    assert_non_null(strstr(c.error, "no keyframe within what is kept (clips_ring)"));
    bench_shut(b);
}

static void garble(Packet *p, int i)
{
    srand((unsigned)i + 7);
    if (i % 7 == 3)
        packet_free(p);
    else if (i % 5 == 2)
        for (int k = 0; k < 5; k++)
            p->av->data[rand() % p->av->size] ^= (uint8_t)rand();
    else if (i % 11 == 4)
        p->dts = p->pts += INT64_C(3600000000);
}

static void lose(Packet *p, int i)
{
    if (i >= 20 && i < 34)
        packet_free(p);
}

/* Some of its pictures come out, those that were lost do not, and what is damaged hurts nothing
 * else. */
static void test_damage(void **state)
{
    (void)state;
    const Tell t[] = {{RECORD_POINT, "kill", 1, 40, 40, 0}, {RECORD_POINT, "kill", 2, 120, 119, 0}};
    Bench *b = bench_open(NULL, NULL);
    clip_write(b->film, &(ClipOptions){.frames = 150, .fps = 25, .gop = 10});
    play(b, 2, t, lose);
    ClipsCounts c = finish(b);
    assert_int_equal(c.written, 2);
    const char *path[2];
    assert_int_equal(list(b, ".mp4", path, 2), 2);
    /* from a keyframe on they are whole */
    assert_true(str_ends(clip_shown(b->arena, path[0]), "40-44 "));
    assert_string_equal(clip_shown(b->arena, path[1]), "109-123 ");
    bench_shut(b);
    b = bench_open(NULL, NULL);
    clip_write(b->film, &(ClipOptions){.frames = 150, .fps = 25, .gop = 10, .bframes = 2});
    play(b, 2, t, garble);
    c = finish(b);
    assert_int_equal(c.written + c.failures, 2);
    bench_shut(b);
}

static void first_has_no_time(Packet *p, int i)
{
    if (i == 0)
        p->pts = p->dts = PACKET_NO_TIME;
}

/* RTSP's first packet may have no time: nothing is kept up to the next keyframe, while events begin
 * already. */
static void test_late_keyframe(void **state)
{
    (void)state;
    const Tell t[] = {{RECORD_START, "round", 1, 6, 4, 0}, {RECORD_END, "round", 1, 40, 4, 36}};
    Bench *const b = bench_open(NULL, NULL);
    clip_write(b->film, &(ClipOptions){.frames = 60, .fps = 25, .gop = 12});
    play(b, 2, t, first_has_no_time);
    assert_int_equal(finish(b).failures, 0);
    expect_clips(b, 1, (const char *const[]){"12-38 "});
    bench_shut(b);
}

/* ---- stored videos ---- */

static void test_files(void **state)
{
    (void)state;
    char film[] = "/tmp/lathe_clips_film_XXXXXX.mp4";
    close(mkstemps(film, 4));
    clip_write(film, &(ClipOptions){.frames = 150, .fps = 25, .gop = 12, .bframes = 2});
    Bench *const b = bench_open(NULL, film);
    assert_non_null(tell(b, &(Tell){RECORD_POINT, "kill", 1, 0, 60, 0}));
    assert_non_null(tell(b, &(Tell){RECORD_POINT, "kill", 2, 0, 64, 0}));
    b->epoch = 1;
    /* where in the file that is, nobody knows */
    assert_null(tell(b, &(Tell){RECORD_POINT, "kill", 3, 0, 20, 0}));
    const ClipsCounts c = finish(b);
    assert_int_equal(c.dropped, 1);
    expect_clips(b, 1, (const char *const[]){"50-68 "});
    bench_shut(b);
    unlink(film);
}

/* As a service does that was killed: the same events, with the same clips. */
static void test_files_played_anew(void **state)
{
    (void)state;
    char film[] = "/tmp/lathe_clips_film_XXXXXX.mp4";
    close(mkstemps(film, 4));
    clip_write(film, &(ClipOptions){.frames = 150, .fps = 25, .gop = 12, .bframes = 2});
    Bench *const b = bench_open(NULL, film);
    const Tell told = {RECORD_POINT, "kill", 1, 0, 60, 0};
    b->no_wall = true;
    const char *const name = tell(b, &told);
    assert_non_null(name);
    finish(b);
    reopen(b, film, 0);
    assert_string_equal(tell(b, &told), name);
    assert_int_equal(finish(b).files, 1);
    expect_clips(b, 1, (const char *const[]){"50-64 "});
    bench_shut(b);
    unlink(film);
}

/* ---- the disk ---- */

static void write_text(const Bench *b, const char *name, const char *text)
{
    Error e;
    assert_int_equal(file_write(arena_printf(b->arena, "%s/%s", b->folder, name), text,
                                strlen(text), &e),
                     0);
}

static void test_folder(void **state)
{
    (void)state;
    Bench *const b = bench_open(NULL, NULL);
    write_text(b, "holiday.mp4", "mine");
    write_text(b, "20251122T012206.080Z-cam-kill-0000000000000001.mp4", "the oldest");
    write_text(b, "20251122T012206.080Z-cam-kill-0000000000000001.json", "its list");
    write_text(b, "20251122T012207.080Z-cam-kill-0000000000000002.mp4.part", "half");
    write_text(b, "20251122T012208.080Z-cam-kill-0000000000000003.json", "of no clip");
    write_text(b, "20251122T012207.080Z-cam-kill-000000000000002.mp4.part", "not ours");
    reopen(b, LIVE, 0);
    const char *path[9];
    assert_int_equal(list(b, ".part", path, 9), 1);
    assert_int_equal(list(b, ".json", path, 9), 1);
    assert_int_equal(clips_counts(b->clips).files, 1);
    assert_int_equal(clips_counts(b->clips).bytes, 18);
    reopen(b, LIVE, 15); /* the newest stays */
    assert_int_equal(clips_counts(b->clips).removed, 0);
    clip_write(b->film, &(ClipOptions){.frames = 150, .fps = 25, .gop = 12});
    const Tell t[] = {{RECORD_POINT, "kill", 5, 30, 30, 0}, {RECORD_POINT, "kill", 6, 120, 119, 0}};
    play(b, 2, t, NULL);
    const ClipsCounts c = finish(b);
    assert_int_equal(c.removed, 2);
    assert_int_equal(c.files, 1);
    assert_int_equal(list(b, ".mp4", path, 9), 2);
    assert_true(str_ends(path[0], "-0000000000000006.mp4"));
    assert_true(str_ends(path[1], "/holiday.mp4"));
    bench_shut(b);
}

static void test_refused_folders(void **state)
{
    (void)state;
    Bench *const b = bench_open(NULL, NULL);
    Clips *c;
    Error e;
    write_text(b, "file", "");
    assert_int_equal(clips_open(&(ClipsOptions){.folder =
                                                    arena_printf(b->arena, "%s/file", b->folder)},
                                &c, &e),
                     ERR_INVALID);
    assert_non_null(strstr(e.message, "file: is no folder"));
    assert_int_equal(clips_open(&(ClipsOptions){.folder =
                                                    arena_printf(b->arena, "%s/file/x", b->folder)},
                                &c, &e),
                     ERR_IO);
    assert_int_equal(clips_open(&(ClipsOptions){.folder = ""}, &c, &e), ERR_INVALID);
    bench_shut(b);
}

static void test_full_disk(void **state)
{
    (void)state;
    const Tell t[] = {{RECORD_POINT, "kill", 1, 30, 30, 0}, {RECORD_POINT, "kill", 2, 120, 119, 0}};
    Bench *b = bench_open(&(ClipsOptions){.spare = INT64_MAX / 2}, NULL);
    clip_write(b->film, &(ClipOptions){.frames = 150, .fps = 25, .gop = 12});
    play(b, 2, t, NULL);
    ClipsCounts c = finish(b);
    assert_int_equal(c.failures, 2);
    assert_non_null(strstr(c.error, "not cut: the disk has"));
    bench_shut(b);
    b = bench_open(NULL, NULL);
    clip_write(b->film, &(ClipOptions){.frames = 150, .fps = 25, .gop = 12});
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    /* writing fails in the middle */
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, before.rlim_max});
    play(b, 2, t, NULL);
    c = finish(b);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(c.failures, 2);
    const char *path[1];
    assert_int_equal(list(b, ".mp4", path, 1) + list(b, ".part", path, 1) +
                         list(b, ".json", path, 1),
                     0);
    bench_shut(b);
}

/* ---- the end ---- */

/* Cuts one clip after another until it is killed. */
static void cut_for_ever(Bench *b)
{
    for (int i = 0;; i++) {
        const Tell t[] = {{RECORD_START, "round", (uint64_t)(2 * i + 1), 10, 10, 0},
                          {RECORD_END, "round", (uint64_t)(2 * i + 1), 295, 10, 290}};
        play(b, 2, t, NULL);
        while (clips_counts(b->clips).pending > 1)
            bench_sleep(0.001);
    }
}

/* Whenever the process dies: under its final name a clip is whole. */
static void test_kill(void **state)
{
    (void)state;
    Bench *const b = bench_open(NULL, NULL);
    clip_write(b->film, &(ClipOptions){.frames = 300, .fps = 25, .gop = 25});
    clip_stream_free(b->stream);
    clips_close(b->clips, 0); /* no thread in the child */
    int whole = 0;
    for (int i = 0; i < 8; i++) {
        const pid_t pid = fork();
        if (pid == 0) {
            Error e;
            signal(SIGALRM, SIG_DFL);
            if (clips_open(&(ClipsOptions){.folder = b->folder}, &b->clips, &e) != 0)
                _exit(1);
            b->stream = clip_stream_new(b->clips, "cam", "udp://somewhere", 0, b->watch);
            b->epoch = i * 1000;
            cut_for_ever(b);
        }
        const char *path[400];
        for (int k = 0; k < 1000 && list(b, ".mp4", path, 1) == 0; k++)
            bench_sleep(0.01);
        bench_sleep(0.007 * i);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        const int n = list(b, ".mp4", path, 400);
        for (int k = 0; k < n; k++)
            assert_string_equal(clip_shown(b->arena, path[k]), "5-292 ");
        whole += n;
        for (int k = 0; k < n; k++)
            unlink(path[k]);
    }
    assert_true(whole > 0);
    Error e;
    assert_int_equal(clips_open(&(ClipsOptions){.folder = b->folder}, &b->clips, &e), 0);
    b->stream = clip_stream_new(b->clips, "cam", "udp://somewhere", 0, b->watch);
    const char *path[1];
    assert_int_equal(list(b, ".part", path, 1) + list(b, ".json", path, 1), 0);
    bench_shut(b);
}

/* What waits is cut before the end, as long as there is time; what is not is told. */
static void test_close(void **state)
{
    (void)state;
    for (int in_time = 0; in_time < 2; in_time++) {
        Bench *const b = bench_open(NULL, NULL);
        clip_write(b->film, &(ClipOptions){.frames = 100, .fps = 25, .gop = 25});
        play(b, 1, &(Tell){RECORD_START, "round", 1, 98, 90, 0}, NULL); /* it never ends */
        clip_stream_free(b->stream);
        clips_close(b->clips, in_time ? 10000000 : -1);
        const char *path[1];
        assert_int_equal(list(b, ".mp4", path, 1), in_time);
        if (in_time)
            assert_string_equal(clip_shown(b->arena, path[0]), "85-99 ");
        assert_true(in_time || strstr(b->told, "not cut: there was no time at the end"));
        assert_int_equal(system(arena_printf(b->arena, "rm -r %s", b->dir)), 0);
        arena_free(b->arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_what_is_told),
        cmocka_unit_test(test_connections),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_no_keyframe),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_late_keyframe),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_files_played_anew),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_refused_folders),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
