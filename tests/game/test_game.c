/* The generated game's frames and files: the same for the same seed, told apart where they must be,
 * and a watch file that parses and names what is there. */
#include "check.h"

#include <glob.h>
#include <libavutil/log.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>
#include <yaml.h>

#include "base/digest.h"
#include "base/file.h"
#include "game/game.h"
#include "game/profile.h"
#include "game/truth.h"

static GameOptions small(uint64_t seed)
{
    GameOptions o = game_defaults;
    o.seed = seed;
    o.width = 320;
    o.height = 180;
    o.noise = 2;
    return o;
}

static Digest frames_of(const GameOptions *o, int from, int to, int step)
{
    Arena *const a = arena_new();
    Error e = {0};
    Game *g = NULL;
    assert_int_equal(game_new(a, o, &g, &e), 0);
    Digest d = digest_new();
    for (int i = from; i < to; i += step) {
        assert_int_equal(game_frame(g, i, &e), 0);
        digest_add(&d, g->yuv.plane[0], (size_t)(o->width * o->height));
        for (int k = 1; k < 3; k++)
            digest_add(&d, g->yuv.plane[k], (size_t)(o->width * o->height / 4));
    }
    arena_free(a);
    return d;
}

static bool same(Digest a, Digest b)
{
    return a.h[0] == b.h[0] && a.h[1] == b.h[1];
}

static void same_seed_same_frames(void **state)
{
    (void)state;
    const GameOptions one = small(11), two = small(12);
    const Digest d = frames_of(&one, 0, 900, 30);
    assert_true(same(d, frames_of(&one, 0, 900, 30)));
    assert_false(same(d, frames_of(&two, 0, 900, 30)));
    GameOptions font = one;
    font.font = "DejaVuSerif-Bold";
    assert_false(same(d, frames_of(&font, 0, 900, 30)));
}

/* In the play each frame differs from the one before below the bar of its number too: the
 * background moves. On a black or white frame nothing does. */
static void frames_move(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Error e = {0};
    const GameOptions o = {.seed = 3,
                           .seconds = 30,
                           .width = 320,
                           .height = 180,
                           .fps_num = 30,
                           .fps_den = 1,
                           .bitrate = 1000000,
                           .gop = 2,
                           .layout = -1};
    Game *g = NULL;
    assert_int_equal(game_new(a, &o, &g, &e), 0);
    const size_t bar = 320 * 4 * 3, bytes = 320 * 180 * 3 - bar;
    uint8_t *const before = arena_alloc(a, bytes);
    for (int i = 300; i < 600; i++) {
        assert_int_equal(game_frame(g, i, &e), 0);
        const Scene s = scene_at(g->script, i);
        if (i > 300 && s.light > 0 && s.white < 1)
            assert_memory_not_equal(before, g->picture->rgb + bar, bytes);
        memcpy(before, g->picture->rgb + bar, bytes);
    }
    arena_free(a);
}

static void all_layouts(void **state)
{
    (void)state;
    Digest d[LOOK_LAYOUTS];
    for (int k = 0; k < LOOK_LAYOUTS; k++) {
        GameOptions o = small(5);
        o.layout = k;
        d[k] = frames_of(&o, 450, 451, 1);
        for (int j = 0; j < k; j++)
            assert_false(same(d[k], d[j]));
    }
}

/* Parts of the HUD that are read do not lie over each other, nor over the bar of the frame's
 * number. */
static void cells_apart(void **state)
{
    (void)state;
    for (int k = 0; k < LOOK_LAYOUTS; k++) {
        Arena *const a = arena_new();
        Error e = {0};
        Look l;
        assert_int_equal(look_new(a, 1, k, NULL, &l, &e), 0);
        for (int i = 0; i < CELL_COUNT; i++) {
            const Rect r = l.cell[i];
            assert_true(r.x >= 0 && r.y >= 0 && r.x + r.width <= LOOK_WIDTH &&
                        r.y + r.height <= LOOK_HEIGHT);
            assert_true(r.y >= 16 || r.x >= 576);
            for (int j = 0; j < i; j++) {
                const Rect q = l.cell[j];
                const bool beside = r.x >= q.x + q.width || q.x >= r.x + r.width;
                assert_true(beside || r.y >= q.y + q.height || q.y >= r.y + r.height);
            }
        }
        arena_free(a);
    }
}

/* Correlation of two icons over the first one's opaque pixels, the best of shifts by a few
 * pixels. */
static double likeness(const Sprite *t, const Sprite *s)
{
    double best = -1;
    for (int shift = 0; shift < 49; shift++) {
        const int dx = shift % 7 - 3, dy = shift / 7 - 3;
        double n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
        for (int i = 0; i < t->width * t->height; i++) {
            const int u = i % t->width + dx, v = i / t->width + dy;
            const bool in = u >= 0 && v >= 0 && u < s->width && v < s->height;
            const uint8_t *const p = t->rgba + 4 * i, *const q =
                                                          in ? s->rgba + 4 * (v * s->width + u)
                                                             : NULL;
            const double m = p[3] / 255., a = (p[0] + p[1] + p[2]) / 3.;
            const double b =
                q ? (q[0] + q[1] + q[2]) / 3. * q[3] / 255 + 60. * (255 - q[3]) / 255 : 60;
            n += m;
            x += m * a;
            y += m * b;
            xx += m * a * a;
            yy += m * b * b;
            xy += m * a * b;
        }
        best = fmax(best, (xy - x * y / n) / sqrt((xx - x * x / n) * (yy - y * y / n)));
    }
    return best;
}

static void icons_differ(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    for (int size = 20; size <= 44; size += 6) {
        Sprite *icon[ICON_COUNT];
        for (int k = 0; k < ICON_COUNT; k++)
            icon[k] = paint_shapes(a, icon_shape[k], size, 0);
        for (int k = 0; k < ICON_COUNT; k++) {
            assert_true(likeness(icon[ICON_SKULL], icon[k]) < 0.65 || k == ICON_SKULL);
            assert_true(likeness(icon[ICON_SHIELD], icon[k]) < 0.65 || k == ICON_SHIELD);
        }
        assert_true(likeness(icon[ICON_SKULL], icon[ICON_SKULL]) > 0.99);
    }
    arena_free(a);
}

static void refused(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Game *g = NULL;
    Error e = {0};
    GameOptions o = small(1);
    o.height = 200;
    assert_int_equal(game_new(a, &o, &g, &e), ERR_INVALID);
    o = small(1);
    o.seconds = 0.5;
    assert_int_equal(game_new(a, &o, &g, &e), ERR_INVALID);
    o = small(1);
    o.over = "/nowhere/clip.mp4";
    assert_int_equal(game_new(a, &o, &g, &e), ERR_IO);
    o = small(1);
    o.font = "NoSuchFont";
    assert_int_equal(game_new(a, &o, &g, &e), ERR_IO);
    assert_non_null(strstr(e.message, "NoSuchFont"));
    arena_free(a);
}

/* ---- files ---- */

static const yaml_node_t *child(yaml_document_t *d, const yaml_node_t *map, const char *key)
{
    assert_int_equal(map->type, YAML_MAPPING_NODE);
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
         p++) {
        if (strcmp((const char *)yaml_document_get_node(d, p->key)->data.scalar.value, key) == 0)
            return yaml_document_get_node(d, p->value);
    }
    return NULL;
}

static void check_refs(yaml_document_t *d, const yaml_node_t *n, const char *dir, Arena *a,
                       int *found)
{
    const char *const text = n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : "";
    if (strncmp(text, "refs/", 5) == 0) {
        glob_t g = {0};
        assert_int_equal(glob(path_join(a, dir, text), 0, NULL, &g), 0);
        *found += (int)g.gl_pathc;
        globfree(&g);
    }
    if (n->type == YAML_MAPPING_NODE) {
        for (const yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top;
             p++)
            check_refs(d, yaml_document_get_node(d, p->value), dir, a, found);
    }
}

/* The watch file is YAML, has an event for each that the truth tells of, and its pictures are
 * there. */
static void check_watch(Arena *a, const char *dir, const Script *script)
{
    File f;
    Error e = {0};
    assert_int_equal(file_read(a, path_join(a, dir, "game.yaml"), &f, &e), 0);
    yaml_parser_t parser;
    yaml_document_t d;
    assert_true(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, f.at, f.size);
    assert_true(yaml_parser_load(&parser, &d));
    const yaml_node_t *const root = yaml_document_get_root_node(&d);
    const yaml_node_t *const event = child(&d, root, "event"), *const signal =
                                                                   child(&d, root, "signal");
    const TruthList truth = truth_new(a, script);
    for (int i = 0; i < truth.len; i++)
        assert_non_null(child(&d, event, truth.at[i].event));
    int found = 0;
    check_refs(&d, signal, dir, a, &found);
    assert_int_equal(found, 3 + 4 + 5);
    for (const yaml_node_pair_t *p = signal->data.mapping.pairs.start;
         p < signal->data.mapping.pairs.top; p++) {
        const yaml_node_t *const region = child(&d, yaml_document_get_node(&d, p->value), "region");
        assert_non_null(child(&d, child(&d, root, "region"),
                              (const char *)region->data.scalar.value));
    }
    yaml_document_delete(&d);
    yaml_parser_delete(&parser);
}

static void remove_dir(const char *dir)
{
    char command[64];
    assert_true(snprintf(command, sizeof command, "rm -rf %s", dir) < (int)sizeof command);
    assert_int_equal(system(command), 0);
}

/* All files of a short game; then another game over its video. */
static void files(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Error e = {0};
    char dir[] = "/tmp/lathe_game_XXXXXX";
    assert_non_null(mkdtemp(dir));
    GameOptions o = small(9);
    o.seconds = 2;
    o.dir = dir;
    o.name = "game.mkv";
    assert_int_equal(game_write(a, &o, &e), 0);
    check_watch(a, dir, script_new(a, o.seed, 30, o.seconds));
    File f;
    assert_int_equal(file_read(a, path_join(a, dir, "events.jsonl"), &f, &e), 0);
    assert_non_null(strstr((const char *)f.at, "\"event\":\"match\""));

    GameOptions over = small(4);
    over.over = path_join(a, dir, o.name);
    over.noise = 0;
    Game *g = NULL;
    assert_int_equal(game_new(a, &over, &g, &e), 0);
    for (int i = 0; i < 62; i++) /* past the end of the clip, which begins anew */
        assert_int_equal(game_frame(g, i, &e), 0);
    assert_int_equal(file_read(a, over.over, &f, &e), 0);
    const int play = g->script->act.at[2].at.from + 30;
    assert_int_equal(game_frame(g, play, &e), 0);
    /* In the middle of the sky it is the clip that is seen, as it was decoded. */
    const size_t at = ((size_t)60 * 320 + 130) * 3;
    assert_memory_equal(g->picture->rgb + at, g->behind->rgb + at, 30);
    remove_dir(dir);
    arena_free(a);
}

int main(void)
{
    av_log_set_level(AV_LOG_WARNING); /* libx264 is talkative */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_frames),
        cmocka_unit_test(frames_move),
        cmocka_unit_test(all_layouts),
        cmocka_unit_test(cells_apart),
        cmocka_unit_test(icons_differ),
        cmocka_unit_test(refused),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
