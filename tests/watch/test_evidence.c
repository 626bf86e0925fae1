/* Evidence: the picture of a record is the part of the frame that its best sample saw. */
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "feed.h"
#include "vision/picture.h"
#include "watch/evidence.h"

enum { WIDTH = 320, HEIGHT = 180 };

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/lathe_evidence_XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

typedef struct Scene {
    Feed feed;
    Evidence *evidence;
    Arena *memory;
    EvidenceHold *hold;
    Events *events;
    uint8_t pixels[WIDTH * HEIGHT * 3 / 2];
    Frame frame;
    char name[8][64];    /* of the records, as they came */
    RecordKind kind[8];
    uint64_t id[8];
    int n;
} Scene;

static void on_record(void *arg, const EventRecord *r)
{
    Scene *const s = arg;
    EventRecord told = *r;
    told.evidence = evidence_of(s->hold, r);
    snprintf(s->name[s->n], sizeof s->name[0], "%s", told.evidence ? told.evidence : "none");
    s->kind[s->n] = r->kind;
    s->id[s->n++] = r->id;
    event_json(&s->feed.json, &told);
}

static void begin(Scene *s, Context *ctx, Watch *w, int64_t bytes)
{
    *s = (Scene){0};
    feed_init(&s->feed, ctx, w);
    char path[128];
    snprintf(path, sizeof path, "%s/a/ev/", folder);
    Error e;
    if (evidence_open(path, bytes, &s->evidence, &e) != 0)
        FAIL_MSG("%s", e.message);
    s->memory = arena_new();
    s->hold = evidence_hold_new(s->memory, s->evidence, w);
    s->events = events_new(ctx->arena, w, "s1", on_record, s);
    s->frame = (Frame){
        .format = FRAME_I420,
        .width = WIDTH,
        .height = HEIGHT,
        .full = true,
        .plane = {s->pixels, s->pixels + WIDTH * HEIGHT, s->pixels + WIDTH * HEIGHT * 5 / 4},
        .stride = {WIDTH, WIDTH / 2, WIDTH / 2}};
    memset(s->pixels, 128, sizeof s->pixels);
}

static const FramePlace whole = {0.25, 0.25, 0, 0}; /* of 1280 x 720 */

/* A sample whose frame is of this level all over. */
static void show(Scene *s, int level, const char *line)
{
    memset(s->pixels, level, WIDTH * HEIGHT);
    Sample x = feed_sample(&s->feed, line);
    x.epoch = s->feed.epoch;
    evidence_look(s->hold, &s->frame, &whole, x.epoch, x.t);
    events_sample(s->events, &x);
    evidence_looked(s->hold, s->events);
}

/* The stream's memory first, then what it writes to. */
static void end(Scene *s)
{
    arena_free(s->memory);
    evidence_close(s->evidence);
}

static Picture *picture(Scene *s, int i)
{
    char path[256];
    snprintf(path, sizeof path, "%s/a/%s", folder, s->name[i]);
    Picture *p;
    Error e;
    if (picture_read(s->feed.ctx->arena, path, &p, &e) != 0)
        FAIL_MSG("%s", e.message);
    return p;
}

static void shows(Scene *s, int i, int level)
{
    const Picture *const p = picture(s, i);
    const int got = p->rgb[3 * (p->height / 2 * p->width + p->width / 2)];
    if (abs(got - level) > 3)
        FAIL_MSG("record %d shows %d, not %d", i, got, level);
}

/* Confirmed by the third sample, best in the first. */
static void best_sample(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    EventRule *const e = add_event(ctx, w, "skull_seen", "skull");
    e->confirm = (Window){3, 3};
    e->release = (Window){2, 2};
    Scene *const s = arena_new_of(ctx->arena, Scene);
    begin(s, ctx, w, 1 << 20);
    show(s, 10, "0 skull=0.1");
    show(s, 50, "0.5 skull=0.9");
    show(s, 90, "1 skull=0.85");
    show(s, 130, "1.5 skull=0.82");
    assert_int_equal(s->n, 1);
    char want[64];
    snprintf(want, sizeof want, "ev/%016llx.jpg", (unsigned long long)s->id[0]);
    assert_string_equal(s->name[0], want);
    assert_non_null(strstr(str_text(&s->feed.json), want));
    shows(s, 0, 50);
    show(s, 170, "2 skull=0.1");
    show(s, 210, "2.5 skull=0.1");
    assert_int_equal(s->n, 2);
    assert_string_equal(s->name[1], want);
    shows(s, 1, 50);
    assert_int_equal(evidence_counts(s->evidence).files, 1);
    assert_int_equal(evidence_counts(s->evidence).missing, 0);
    end(s);
}

/* An icon: scores rise after the start, so that the end has another picture. */
static void better_later(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    EventRule *const e = add_event(ctx, w, "skull_seen", "skull");
    e->confirm = e->release = (Window){2, 2};
    Scene *const s = arena_new_of(ctx->arena, Scene);
    begin(s, ctx, w, 1 << 20);
    show(s, 40, "0 skull=0.85");
    show(s, 80, "0.5 skull=0.84");
    assert_int_equal(s->n, 1);
    shows(s, 0, 40);
    show(s, 120, "1 skull=0.99");
    show(s, 160, "1.5 skull=0.9");
    show(s, 200, "2 skull=0.1");
    show(s, 240, "2.5 skull=0.1");
    assert_int_equal(s->n, 2);
    assert_int_equal(s->kind[1], RECORD_END);
    shows(s, 1, 120);
    /* a run that is not confirmed leaves nothing; another epoch has times of its own */
    show(s, 30, "3 skull=0.95");
    show(s, 31, "3.5 skull=0.1");
    show(s, 32, "4 skull=0.1");
    s->feed.epoch = 1;
    show(s, 60, "3 skull=0.81");
    show(s, 61, "3.5 skull=0.82");
    assert_int_equal(s->n, 3);
    shows(s, 2, 61);
    assert_int_equal(evidence_counts(s->evidence).files, 2);
    end(s);
}

/* The part that the box names, with its margin. The region is 20, 420, 420 x 160 of 1280 x 720. */
static void box_is_cut(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    add_event(ctx, w, "skull_seen", "skull");
    Scene *const s = arena_new_of(ctx->arena, Scene);
    begin(s, ctx, w, 1 << 20);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            s->pixels[y * WIDTH + x] = (uint8_t)(x * 255 / WIDTH);
    const Sample x = feed_sample(&s->feed, "0 skull=0.9");
    evidence_look(s->hold, &s->frame, &whole, 0, 0);
    events_sample(s->events, &x);
    evidence_looked(s->hold, s->events);
    assert_int_equal(s->n, 1);
    const Picture *const p = picture(s, 0);
    assert_int_equal(p->width, 139);
    assert_int_equal(p->height, 64);
    for (int i = 4; i < p->width - 4; i += 7)
        assert_true(abs(p->rgb[3 * (20 * p->width + i)] - i * 255 / WIDTH) < 6);
    end(s);
}

/* No place: the whole frame, shrunk; and a rule that no sample's frame was handed over for has
 * none. */
static void whole_frame(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    add_event(ctx, w, "menu", "screen == 'menu'");
    Scene *const s = arena_new_of(ctx->arena, Scene);
    begin(s, ctx, w, 1 << 20);
    static uint8_t large[1920 * 1080];
    memset(large, 77, sizeof large);
    s->frame = (Frame){.format = FRAME_GRAY,
                       .width = 1920,
                       .height = 1080,
                       .full = true,
                       .plane = {large},
                       .stride = {1920}};
    show(s, 77, "0 screen=menu");
    assert_int_equal(s->n, 1);
    const Picture *const p = picture(s, 0);
    assert_int_equal(p->width, EVIDENCE_SIDE);
    assert_int_equal(p->height, 270);
    shows(s, 0, 77);
    const Sample off = feed_sample(&s->feed, "1 screen=play"),
                 on = feed_sample(&s->feed, "2 screen=menu");
    events_sample(s->events, &off);
    events_sample(s->events, &on);
    assert_string_equal(s->name[2], "none");
    assert_int_equal(evidence_counts(s->evidence).missing, 1);
    end(s);
}

static int files_in_folder(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/a/ev", folder);
    DIR *const d = opendir(path);
    int n = 0;
    for (const struct dirent *one; (one = readdir(d)) != NULL;)
        n += one->d_name[0] != '.';
    closedir(d);
    return n;
}

/* The oldest go; what an earlier run left counts. */
static void bounded(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    add_event(ctx, w, "skull_seen", "rises(skull)");
    Scene *s = arena_new_of(ctx->arena, Scene);
    begin(s, ctx, w, 4000);
    const char *const line[] = {"%d skull=0.9", "%d.5 skull=0.1"};
    char text[64], path[256];
    show(s, 20, "0 skull=0.1");
    for (int i = 1; i <= 7; i++) {
        snprintf(text, sizeof text, line[0], i);
        show(s, 20 * i, text);
        snprintf(text, sizeof text, line[1], i);
        show(s, 20, text);
    }
    assert_int_equal(s->n, 7);
    EvidenceCounts c = evidence_counts(s->evidence);
    assert_int_equal(c.written, 7);
    assert_true(c.bytes <= 4000 && c.files < 7 && c.files >= 1);
    assert_int_equal(c.removed, 7 - c.files);
    assert_int_equal(files_in_folder(), c.files);
    snprintf(path, sizeof path, "%s/a/%s", folder, s->name[6]);
    assert_true(file_exists(path));
    end(s);
    begin(s, ctx, w, 4000);
    assert_int_equal(evidence_counts(s->evidence).files, c.files);
    assert_int_equal(evidence_counts(s->evidence).bytes, c.bytes);
    end(s);
    /* clocks of files are coarse */
    const struct timespec later[2] = {{.tv_sec = 4000000000}, {.tv_sec = 4000000000}};
    assert_int_equal(utimensat(AT_FDCWD, path, later, 0), 0);
    begin(s, ctx, w, 1); /* the newest stays */
    assert_int_equal(files_in_folder(), 1);
    assert_true(file_exists(path));
    end(s);
}

/* Only what may be asked for is held: a long event without a better sample holds one picture. */
static void little_is_held(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    EventRule *const e = add_event(ctx, w, "skull_seen", "skull");
    e->confirm = (Window){2, 4};
    e->release = (Window){2, 2};
    Events *const v = events_new(ctx->arena, w, "s1", NULL, NULL);
    EventBest best[8];
    Feed f;
    feed_init(&f, ctx, w);
    const struct {
        const char *line;
        int n;
        double t;
    } step[] = {{"0 skull=0.1", 0, 0},      {"0.5 skull=0.9", 1, 0.5}, {"1 skull=0.1", 1, 0.5},
                {"1.5 skull=0.1", 1, 0.5},  {"2 skull=0.1", 1, 0.5},   {"2.5 skull=0.1", 0, 0},
                {"3 skull=0.85", 1, 3},     {"3.5 skull=0.84", 1, 3},  {"4 skull=0.83", 1, 3},
                {"4.5 skull=0.95", 1, 4.5}, {"5 skull=0.1", 1, 4.5},   {"5.5 skull=0.1", 0, 0}};
    for (size_t i = 0; i < sizeof step / sizeof *step; i++) {
        const Sample x = feed_sample(&f, step[i].line);
        events_sample(v, &x);
        assert_int_equal(events_best(v, 8, best), step[i].n);
        if (step[i].n > 0)
            assert_int_equal(best[0].t, (int64_t)(step[i].t * 1e6));
    }
}

static void refused(Context *ctx)
{
    Evidence *ev;
    Error e = {0};
    (void)ctx;
    assert_int_equal(evidence_open("", 1, &ev, &e), ERR_INVALID);
    assert_int_equal(evidence_open("/proc/none/ev", 1, &ev, &e), ERR_IO);
    assert_non_null(strstr(e.message, "/proc/none"));
}

#define CASE(f) static void test_##f(void **state) { (void)state; in_case(f); }
CASE(best_sample)
CASE(better_later)
CASE(box_is_cut)
CASE(whole_frame)
CASE(bounded)
CASE(little_is_held)
CASE(refused)
#define TEST(f) cmocka_unit_test_setup_teardown(test_##f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(best_sample), TEST(better_later), TEST(box_is_cut),
                                       TEST(whole_frame), TEST(bounded),      TEST(little_is_held),
                                       TEST(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
