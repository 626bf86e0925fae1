/* Watch files: what a good one becomes, and what is said of bad ones. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "vision/picture.h"
#include "watch/config.h"
#include "watch/rule.h"

static char dir[64];

typedef struct Job {
    const char *text;
    const Watch *watch;
} Job;

static void parse_job(Context *ctx, void *arg)
{
    Job *const j = arg;
    j->watch =
        config_parse(ctx, arena_printf(ctx->arena, "%s/w.yaml", dir), j->text, strlen(j->text));
}

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/lathe_config_%d", (int)getpid());
    Arena *const a = arena_new();
    Error e;
    const Picture *const p = picture_new(a, 8, 8);
    int code = file_make_dirs(dir, &e);
    static const char *const name[] = {"skull.png", "play-1.png", "play-2.png"};
    for (int i = 0; i < 3 && code == 0; i++)
        code = picture_write_png(path_join(a, dir, name[i]), p, &e);
    arena_free(a);
    return code;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static const char good[] =
    "watch: {name: royale, reference_size: [640, 360], sample: {fps: 4, policy: every}, gap: "
    "1500ms}\n"
    "model: {precision: bf16}\n"
    "region:\n"
    "  alive: [10, 20, 30, 40]\n"
    "  feed: [0, 0, 640, 360]\n"
    "signal:\n"
    "  alive: {from: text, region: alive, charset: '0123456789', parse: '(\\d+)', type: int, "
    "range: [1, 100],\n"
    "          smooth: {vote: 3, within: 2s}, guard: {max_up_per_s: 0, reset_on: \"screen == "
    "'lobby'\"}}\n"
    "  skull: {from: icon, region: feed, template: skull.png, scales: [0.9, 1, 1.1], on: 0.6}\n"
    "  screen: {from: screen, classes: {play: play-*.png, lobby: skull.png}, margin: 0.1}\n"
    "  moves: {from: motion, region: feed, threshold: 20}\n"
    "  page: {from: text, mode: page}\n"
    "  me: {from: position, region: feed, template: skull.png, map: [2, 0, 1, 0, 2, 3], areas: "
    "{dam: [[0, 0], [9, 0], [9, 9]]}}\n"
    "  men: {from: object, labels: [man, '*_MAN'], iou: 0.6, confirm: 1s, lost: 3s, areas: {yard: "
    "[[0, 0], [9, 0], [9, 9]]}}\n"
    "  cars: {from: object, model: skull.png, names: play-1.png, nms: all, input: {size: [640, "
    "384], fill: 0, std: 0.5}}\n"
    "event:\n"
    "  few: {when: \"alive <= 10 && kill\", within: \"screen == 'play'\", confirm: [2, 3], "
    "release: [3, 4], limit: 20/h,\n"
    "        cooldown: 30s, data: [alive, alive.prev], recheck: {fps: 5}}\n"
    "  kill: {when: rises(skull), emit: point, merge: 1s, severity: 3}\n"
    "  line: {when: page, each: page, min: 1s, max: 1m}\n"
    "spotlight: {score: \"100 - alive + 600 * rate(kill, 60s)\", require: \"screen == 'play'\", "
    "margin: 8, stale: 5s}\n";

static void good_file(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Error e = {0};
    Job j = {.text = good};
    if (job_run(a, parse_job, &j, &e, NULL) != 0)
        FAIL_MSG("%s", e.message);
    const Watch *const w = j.watch;
    assert_string_equal(w->name, "royale");
    assert_true(w->width == 640 && w->fps == 4 && w->max_fps == 10 && w->policy == SAMPLE_EVERY &&
                w->gap == 1500000);
    assert_int_equal(w->precision, MODEL_BF16);
    assert_int_equal(w->nregion, 2);
    assert_int_equal(w->nsignal, 8);
    assert_int_equal(w->nevent, 3);
    const Signal *const alive = &w->signal[0], *const skull = &w->signal[1],
                        *const screen = &w->signal[2];
    assert_true(alive->kind == SIGNAL_TEXT && alive->region == 0 && alive->text.type == TEXT_INT &&
                alive->text.vote == 3);
    assert_true(alive->text.guard.given && alive->text.guard.reset_on &&
                isinf(alive->text.guard.max_down_per_s));
    assert_true(skull->icon.nref == 1 && skull->icon.nscale == 3 && skull->icon.on == 0.6 &&
                skull->icon.off == 0.6);
    assert_int_equal(screen->screen.nref, 3); /* two of the wild card, in order */
    assert_string_equal(screen->screen.ref[1].label, "play");
    assert_non_null(strstr(screen->screen.ref[1].path, "play-2.png"));
    assert_int_equal(screen->region, -1);
    assert_true(w->signal[5].position.map[5] == 3 && w->signal[5].position.area[0].npoint == 3);
    const ObjectSignal *const men = &w->signal[6].object, *const cars = &w->signal[7].object;
    assert_true(men->nlabel == 2 && men->iou == 0.6 && men->confirm == 1000000 &&
                men->lost == 3000000 && men->narea == 1);
    assert_true(men->input.fit == FIT_CORNER && men->input.width == 320 && men->input.bgr &&
                !men->by_class);
    assert_true(cars->input.fit == FIT_CENTRE && cars->input.width == 640 &&
                cars->input.height == 384 && !cars->input.bgr);
    assert_true(cars->input.fill == 0 && cars->input.scale[2] == 127.5 && !cars->by_class &&
                cars->lost == 1500000);
    const EventRule *const few = &w->event[0];
    assert_true(few->confirm.n == 2 && few->confirm.m == 3 && few->release.m == 4 &&
                few->limit == 20);
    assert_true(few->limit_per == INT64_C(3600000000) && few->cooldown == 30000000 &&
                few->ndata == 2);
    assert_true(few->recheck.fps == 5 && few->recheck.span == 4000000);
    assert_true(w->event[1].point && w->event[1].severity == 3 && w->event[1].recheck.span == 0);
    assert_int_equal(w->event[2].each, 4);
    const SpotlightRule *const spot = w->spotlight;
    assert_true(spot->by.margin == 8 && spot->by.stale == 5000000 &&
                spot->by.min_dwell == 20000000);
    assert_string_equal(rule_text(spot->score), "100 - alive + 600 * rate(kill, 60s)");
    assert_string_equal(rule_text(spot->require), "screen == 'play'");
    arena_free(a);
}

/* `text` is put behind a small good beginning, of four lines. */
static void expect(const char *text, const char *message)
{
    Arena *const a = arena_new();
    Error e = {0};
    Job j = {.text =
                 arena_printf(a, "region:\n  all: [0, 0, 1280, 720]\n  r: [1, 2, 3, 4]\n# and\n%s",
                              text)};
    const int code = job_run(a, parse_job, &j, &e, NULL);
    if (code != ERR_INVALID || !strstr(e.message, message))
        FAIL_MSG("%s: '%s' (%d) instead of '%s'", text, e.message, code, message);
    arena_free(a);
}

static void bad_files(void **state)
{
    (void)state;
    expect("watches: {}\n", "w.yaml:5:1: the file: unknown key 'watches'");
    expect("watch: {reference_size: [0, 720]}\n", "'reference_size' must be");
    expect("watch: {sample: {fps: 20, max_fps: 10}}\n", "'max_fps' must not be below 'fps'");
    expect("watch: {sample: {fps: 0}}\n", "'fps' must be between");
    expect("model: {recogniser: nowhere.onnx}\n", "nowhere.onnx");
    expect("model: {precision: half}\n",
           "w.yaml:5:20: 'model': 'precision' must be auto, f32 or bf16");
    expect("signal:\n  x: {from: smell}\n", "w.yaml:6:13: signal 'x': 'from' must be text, icon");
    expect("signal:\n  x: {region: r}\n", "signal 'x': 'from' is missing");
    expect("signal:\n  x: {from: text, region: q}\n",
           "w.yaml:6:27: signal 'x': there is no region 'q'");
    expect("signal:\n  x: {from: text, parse: '(['}\n", "pattern '(['");
    expect("signal:\n  x: {from: text, range: [1, 2]}\n", "'range' is for numbers");
    expect("signal:\n  x: {from: text, type: int, range: [2, 1]}\n", "[least, greatest]");
    expect("signal:\n  x: {from: text, mode: page, type: int}\n", "are for 'mode: line'");
    expect("signal:\n  x: {from: icon}\n", "'template' is missing");
    expect("signal:\n  x: {from: icon, template: '*.gif'}\n", "no file");
    expect("signal:\n  x: {from: icon, template: skull.png, on: 0.5, off: 0.6}\n",
           "'off' must not be above 'on'");
    expect("signal:\n  x: {from: icon, template: skull.png, scales: [0]}\n",
           "'scales' must be between");
    expect("signal:\n  x: {from: icon, template: skull.png, charset: abc}\n",
           "unknown key 'charset'");
    expect("signal:\n  x: {from: screen, classes: {}}\n", "'classes' must be a map");
    expect("signal:\n  x: {from: position, template: skull.png, areas: {a: [[0, 0], [1, 1]]}}\n",
           "at least three");
    expect("signal:\n  x: {from: text, type: int, guard: {reset_on: \"y == 1\"}}\n", "w.yaml:6:");
    expect("signal:\n  x: {from: text, mode: page, smooth: {vote: 3}}\n",
           "'smooth' is for 'mode: line'");
    expect("signal:\n  x: {from: motion, max_age: 3s}\n", "unknown key 'max_age'");
    expect("signal:\n  x: {from: icon, template: skull.png, model: skull.png}\n",
           "unknown key 'model'");
    expect("signal:\n  x: {from: text, output: y}\n", "unknown key 'output'");
    expect("signal:\n  x: {from: motion}\nevent:\n  e: {when: x, clip: {pre: 99h}}\n",
           "two minutes at most");
    expect("model: {embedding: skull.png}\n", "unknown key 'embedding'");
    expect("signal:\n  x: {from: object, input: {size: 8}}\n", "'size' must be");
    expect("signal:\n  x: {from: object, input: {size: [320, 320, 3]}}\n", "'size'");
    expect("signal:\n  x: {from: object, input: {mean: [1, 2]}}\n", "one number, or three");
    expect("signal:\n  x: {from: object, input: {std: 0}}\n", "'std' must be between");
    expect("signal:\n  x: {from: object, input: {fit: best}}\n", "'fit' must be");
    expect("signal:\n  x: {from: object, names: nowhere.txt}\n", "no file");
    expect("signal:\n  x: {from: object, nms: soft}\n", "'nms' must be");
    expect("signal:\n  x: {from: class, model: skull.png, iou: 0.5}\n", "unknown key 'iou'");
    expect("signal:\n  x: {from: class}\n", "'model' is missing");
    expect("signal:\n  x: {from: icon, method: embed, template: skull.png}\n", "'refs' is missing");
    expect("signal:\n  x: {from: icon, method: embed, refs: skull.png, margin: 0.1}\n",
           "'margin' is to 'others'");
    expect("signal:\n  x: {from: icon, template: skull.png, others: skull.png}\n",
           "unknown key 'others'");
    expect("signal:\n  x: {from: screen, classes: {a: skull.png}, output: y}\n",
           "unknown key 'output'");
    expect("spotlight: {require: x}\n", "w.yaml:5:12: 'spotlight': 'score' is missing");
    expect("spotlight: {score: 100 - alive}\n", "w.yaml:5:26: there is no signal or event 'alive'");
    expect("signal: {x: {from: motion}}\nspotlight:\n  score: x\n",
           "w.yaml:7:10: this is true or false where a number is wanted");
    expect("signal: {x: {from: motion}}\nspotlight: {score: \"1 + x\"}\n",
           "w.yaml:6:25: this is true or false where a number is wanted");
    expect("spotlight: {score: \"1 +\"}\n", "w.yaml:5:24: expected a value, found the end");
    expect("spotlight: {score: 1, require: 5}\n",
           "w.yaml:5:32: this is a number where something true or false is wanted");
    expect("spotlight: {score: 1, margin: -1}\n", "'margin' must be between");
    expect("spotlight: {score: 1, min_dwell: 20}\n", "'min_dwell' must be");
    expect("spotlight: {score: 1, weight: 2}\n", "w.yaml:5:23: 'spotlight': unknown key 'weight'");
    expect("event:\n  e: {within: x}\n", "event 'e': 'when' is missing");
    expect("event:\n  e: {when: nothing}\n", "w.yaml:6:13:");
    expect("signal: {x: {from: motion}}\nevent:\n  e: {when: x, confirm: [3, 2]}\n",
           "can never be");
    expect("signal: {x: {from: motion}}\nevent:\n  e: {when: x, sink: [a]}\n",
           "event 'e': 'sink': sinks name their events");
    expect("signal: {x: {from: motion}}\nevent:\n  e: {when: x, emit: point, max: 5s}\n",
           "'max' is for events that have an end");
    expect("signal: {x: {from: motion}}\nevent:\n  e: {when: rises(x), min: 5s}\n",
           "'min' is not for conditions of an instant");
    expect("signal: {x: {from: motion}}\nevent:\n  e: {when: x, limit: many}\n", "'limit' must be");
    expect("signal: {x: {from: motion}}\nevent:\n  e: {when: x, limit: 3/week}\n",
           "'limit' must be");
    expect("signal: {x: {from: motion}}\nevent:\n  e: {when: x, each: x}\n", "'each' must name");
    expect("signal: {x: {from: motion}}\nevent:\n  x: {when: x}\n", "a signal has this name");
    expect("signal: {x: {from: motion}}\nevent:\n  e: {when: \"x == 'text'\"}\n", "w.yaml:7:");
    Arena *const a = arena_new();
    Error e = {0};
    Job j = {.text = "region: {r: [1200, 0, 100, 100]}\n"};
    assert_int_equal(job_run(a, parse_job, &j, &e, NULL), ERR_INVALID);
    assert_non_null(strstr(e.message, "outside the reference size 1280 x 720"));
    Str many = str_new(a);
    for (int i = 0; i < 1025; i++)
        str_addf(&many, "%sr%d: [0, 0, 9, 9]\n", i ? "  " : "region:\n  ", i);
    j = (Job){.text = str_text(&many)};
    assert_int_equal(job_run(a, parse_job, &j, &e, NULL), ERR_INVALID);
    assert_non_null(strstr(e.message, "1025 regions; at most 1024"));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_file),
        cmocka_unit_test(bad_files),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
