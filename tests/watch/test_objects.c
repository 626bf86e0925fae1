/* Objects from detections to events: tracks, what is out of sight, areas and lines, at several
 * rates of samples. */
#include "check.h"

#include "feed.h"

static const int rates[] = {2, 5, 10, 25};

/* A street to the left of x = 100, a yard to its right; an object's foot is at (x + 15, 60). */
static Watch *watch_objects(Context *ctx)
{
    static const double left[] = {0, 0, 100, 0, 100, 100, 0, 100},
                        right[] = {100, 0, 1280, 0, 1280, 100, 100, 100};
    static const Area area[] = {{"street", 4, left}, {"yard", 4, right}};
    static const char *const label[] = {"man"};
    Watch *const w = watch_by_hand(ctx);
    signal_of(w, UNSAFE)->object = (ObjectSignal){.nlabel = 1,
                                                  .label = label,
                                                  .min_score = 0.5,
                                                  .iou = 0.45,
                                                  .confirm = 500000,
                                                  .lost = 1500000,
                                                  .narea = 2,
                                                  .area = area};
    return w;
}

static EventRule *add_each(Context *ctx, Watch *w, const char *name, const char *when)
{
    EventRule *const e = name_event(w, name);
    e->each = UNSAFE;
    e->when = rule_by_hand(ctx, w, when, UNSAFE);
    return e;
}

static void show(Feed *f, double s, const char *objects)
{
    feed(f, arena_printf(f->ctx->arena, "%.6f unsafe=%s", s, objects));
}

/* Confirmed tracks alone count: a flash is no object, another label neither, nor what is hardly
 * seen. */
static void confirmed_ones_count(Context *ctx)
{
    for (int r = 0; r < 4; r++) {
        Watch *const w = watch_objects(ctx);
        add_event(ctx, w, "two", "count(unsafe) >= 2");
        add_event(ctx, w, "any", "unsafe");
        add_each(ctx, w, "man", "unsafe");
        Feed f;
        feed_init(&f, ctx, w);
        for (int i = 0; i <= 6 * rates[r]; i++) {
            const double s = (double)i / rates[r];
            const bool flash = fmod(s, 3) < 0.3;
            show(&f, s,
                 flash ? "-1:man:0.9,-1:man:0.8:400,-1:dog:0.9:600,-1:man:0.3:800"
                       : "-1:man:0.9,-1:dog:0.9:600,-1:man:0.3:800");
        }
        const char *const got = feed_records(&f);
        const double at = ceil(0.5 * rates[r] - 1e-9) / rates[r];
        Str want = str_new(ctx->arena);
        for (int i = 0; i < 2; i++) {
            str_addf(&want, "start %s ", i ? "man/1" : "any");
            json_add_seconds(&want, llround(at * 1e6));
            str_addc(&want, '@');
            json_add_seconds(&want, llround(at * 1e6));
            str_addc(&want, '|');
        }
        assert_string_equal(got, str_text(&want));
    }
}

/* 28: one event an object, whatever is missed in between; it ends where the object was seen
 * last. */
static void out_of_sight_is_unknown(Context *ctx)
{
    for (int r = 0; r < 4; r++) {
        Watch *const w = watch_objects(ctx);
        add_each(ctx, w, "man", "unsafe");
        Feed f;
        feed_init(&f, ctx, w);
        int seed = 5;
        for (int i = 0; i <= 12 * rates[r]; i++) {
            const double s = (double)i / rates[r];
            seed = (seed * 1103 + 12345) % 65536;
            const bool missed = (seed % 10 == 0 && s > 1) || (s > 3.2 && s < 4.3);
            show(&f, s,
                 s > 8 || (missed && s != 8)
                     ? "-"
                     : arena_printf(ctx->arena, "-1:man:0.9:%g", 10 + 8 * s));
        }
        const char *const got = feed_records(&f), *const end = strstr(got, "end man/1 ");
        assert_true(strncmp(got, "start man/1 ", 12) == 0 && end && strstr(end, "-8@") &&
                    !strstr(got, "man/2"));
        assert_null(strstr(end, "lost")); /* it is known to be gone */
    }
}

/* 25: a line is crossed once, in its direction; a step back for a sample, or to and fro on the
 * line, counts in none. */
static void lines_are_crossed_once(Context *ctx)
{
    for (int r = 0; r < 4; r++) {
        Watch *const w = watch_objects(ctx);
        const Window two = {2, 2};
        EventRule *const in = add_each(ctx, w, "in",
                                       "changed(unsafe.area) && changed(unsafe.area).prev == "
                                       "'street' && unsafe.area == 'yard'");
        EventRule *const out = add_each(ctx, w, "out",
                                        "changed(unsafe.area) && changed(unsafe.area).prev == "
                                        "'yard' && unsafe.area == 'street'");
        in->confirm = in->release = out->confirm = out->release = two;
        Feed f;
        feed_init(&f, ctx, w);
        for (int i = 0; i <= 12 * rates[r]; i++) {
            const double s = (double)i / rates[r];
            double x = 30 + 10 * s; /* the foot passes 100 after 5.5 s */
            if (i == 3 * rates[r] || i == 8 * rates[r])
                x = s < 5 ? 86 : 84; /* a jump over the line, for one sample */
            show(&f, s, arena_printf(ctx->arena, "-1:man:0.9:%g", x));
        }
        const char *const got = feed_records(&f);
        assert_true(strncmp(got, "point in/1 5.", 13) == 0);
        assert_null(strstr(got, "out"));
        assert_null(strstr(got + 1, "point"));
    }
}

static void areas_count(Context *ctx)
{
    Watch *const w = watch_objects(ctx);
    EventRule *const e = add_event(ctx, w, "e", "count(unsafe, area == 'yard') >= 1");
    add_data(ctx, w, e, "count(unsafe, area == 'street')");
    Feed f;
    feed_init(&f, ctx, w);
    for (int i = 0; i < 6; i++)
        show(&f, i * 0.5, "-1:man:0.9:10,-1:man:0.9:150,-1:man:0.9:40");
    assert_string_equal(feed_records(&f), "start e 0.5@0.5 2|");
}

/* A sample whose objects have tracks keeps them. */
static void tracked_elsewhere(Context *ctx)
{
    Watch *const w = watch_objects(ctx);
    add_each(ctx, w, "man", "unsafe.area == 'yard'");
    Feed f;
    feed_init(&f, ctx, w);
    for (int i = 0; i < 6; i++)
        show(&f, i * 0.5, "7:man:0.9:150,0:man:0.9:200");
    assert_string_equal(feed_records(&f), "start man/7 0@0|");
}

static void epochs_and_silence(Context *ctx)
{
    Watch *const w = watch_objects(ctx);
    add_each(ctx, w, "man", "unsafe");
    Feed f;
    feed_init(&f, ctx, w);
    for (int i = 0; i < 4; i++)
        show(&f, i * 0.5, "-1:man:0.9");
    for (int i = 0; i < 4; i++) /* longer than the gap: nobody knows who this is */
        show(&f, 10 + i * 0.5, "-1:man:0.9");
    assert_string_equal(feed_records(&f),
                        "start man/1 0.5@0.5|end man/1 0.5-1.5@3.5 lost|start man/2 10.5@10.5|");
    f.epoch++;
    for (int i = 0; i < 4; i++)
        show(&f, i * 0.5, "-1:man:0.9");
    assert_string_equal(feed_records(&f), "end man/2 10.5-11.5@11.5 lost|start man/1 0.5@0.5|");
}

static void hostile_boxes(Context *ctx)
{
    Watch *const w = watch_objects(ctx);
    add_each(ctx, w, "man", "unsafe");
    Feed f;
    feed_init(&f, ctx, w);
    for (int i = 0; i < 8; i++)
        show(&f, i * 0.5, i == 4 ? "-1:man:nan" : "-1:man:0.9:nan,-1:man:0.9:1e38,-1:man:0.9");
    assert_non_null(strstr(feed_records(&f), "start man/1"));
}

static void written_and_read(Context *ctx)
{
    Watch *const w = watch_objects(ctx);
    const Found found[] = {
        {.box = {1, 2, 3, 4}, .score = 0.5f, .label = "man", .track = TRACK_OPEN},
        {.track = 0},
        {.track = 3}};
    Observation *const at = arena_array_of(ctx->arena, w->nsignal, Observation);
    at[UNSAFE] = (Observation){.state = OBSERVE_SEEN, .nfound = 3, .found = found};
    const Sample s = {.stream = "s", .at = at};
    Str line = str_new(ctx->arena);
    sample_json(&line, w, &s);
    Sample back;
    Error e = {0};
    assert_int_equal(sample_parse(ctx->arena, w, str_text(&line), line.len, &back, &e), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(back.at[UNSAFE].found[i].track, found[i].track);
}

typedef struct Parse {
    const Watch *w;
    const char *text;
} Parse;

static void parse(Context *ctx, void *arg)
{
    const Parse *const p = arg;
    rule_by_hand(ctx, p->w, p->text, UNSAFE);
}

static void refusals(Context *ctx)
{
    Error e;
    Watch *const w = watch_objects(ctx);
    signal_of(w, UNSAFE)->object.narea = 0;
    static const char *const bad[] = {"unsafe.area == 'yard'", "count(unsafe, area == 'yard') > 0",
                                      "feed.area == 'x'"};
    for (int i = 0; i < 3; i++)
        assert_int_equal(job_run(ctx->arena, parse, &(Parse){w, bad[i]}, &e, NULL), ERR_INVALID);
}

#define CASE(name) static void test_##name(void **state) { (void)state; in_case(name); }
#define CASES(X)                                                                                   \
    X(confirmed_ones_count)                                                                        \
    X(out_of_sight_is_unknown) X(lines_are_crossed_once) X(areas_count) X(tracked_elsewhere)       \
        X(epochs_and_silence) X(hostile_boxes) X(written_and_read) X(refusals)
CASES(CASE)

int main(void)
{
#define ROW(name) cmocka_unit_test(test_##name),
    const struct CMUnitTest tests[] = {CASES(ROW)};
    return cmocka_run_group_tests_name("objects", tests, NULL, NULL);
}
