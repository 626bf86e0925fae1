/* The bar that tells a frame's number: drawn and read, damaged, and through H.264 at a low bit
 * rate. */
#include "check.h"

#include <libavutil/log.h>
#include <unistd.h>

#include "game/clip.h"
#include "game/counter.h"
#include "game/dice.h"
#include "game/game.h"
#include "game/movie.h"
#include "vision/draw.h"

static Yuv gray_with(Arena *a, int width, int height, uint32_t number)
{
    Picture *const p = picture_new(a, width, height);
    draw_fill(p, (Colour){90, 120, 70});
    counter_draw(p, number);
    const Yuv y = yuv_new(a, width, height);
    yuv_from_picture(&y, p);
    return y;
}

static void there_and_back(void **state)
{
    (void)state;
    static const int size[][2] = {{1280, 720},  {640, 360}, {854, 480},
                                  {1920, 1080}, {426, 240}, {160, 90}};
    static const uint32_t number[] = {0, 1, 2, 0x555555, 0xaaaaaa, 123456, COUNTER_MAX};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        for (size_t k = 0; k < sizeof number / sizeof *number; k++) {
            Arena *const a = arena_new();
            const Yuv y = gray_with(a, size[i][0], size[i][1], number[k]);
            uint32_t got = 77;
            assert_true(counter_read(y.plane[0], y.stride[0], y.width, y.height, &got));
            assert_int_equal(got, number[k]);
            arena_free(a);
        }
    }
}

/* No cell can be inverted unseen, and none of these pictures has a number. */
static void damage_is_seen(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    uint32_t got = 0;
    for (int cell = 0; cell < COUNTER_CELLS; cell++) {
        const Yuv y = gray_with(a, 1280, 720, 0x31c7f2);
        for (int row = 0; row < 16; row++) {
            for (int x = 16 * cell; x < 16 * cell + 16; x++)
                y.plane[0][row * y.stride[0] + x] =
                    (uint8_t)(251 - y.plane[0][row * y.stride[0] + x]);
        }
        assert_false(counter_read(y.plane[0], y.stride[0], y.width, y.height, &got));
    }
    const Yuv y = gray_with(a, 1280, 720, 5);
    assert_false(counter_read(y.plane[0], y.stride[0], 1280, 15, &got));
    assert_false(counter_read(y.plane[0], y.stride[0], 100, 720, &got));
    for (int level = 0; level < 256; level += 51) {
        memset(y.plane[0], level, 1280 * 720);
        assert_false(counter_read(y.plane[0], y.stride[0], 1280, 720, &got));
    }
    Dice d = dice_new(1, "noise");
    int read = 0;
    for (int i = 0; i < 200; i++) {
        for (int k = 0; k < 1280 * 16; k += 8) {
            const uint64_t v = dice_next(&d);
            memcpy(y.plane[0] + k, &v, 8);
        }
        read += counter_read(y.plane[0], y.stride[0], 1280, 720, &got);
    }
    assert_int_equal(read, 0);
    arena_free(a);
}

/* Every frame of a noisy game at 500 kbit/s tells its number; noise is the worst case for the bits
 * that are left. */
static void survives_compression(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Error e = {0};
    char path[] = "/tmp/lathe_counter_XXXXXX.mkv";
    close(mkstemps(path, 4));
    GameOptions o = game_defaults;
    o.seconds = 20;
    o.noise = 6;
    Game *g = NULL;
    assert_int_equal(game_new(a, &o, &g, &e), 0);
    const MovieOptions m = {.width = o.width, .height = o.height, .fps_num = 30, .fps_den = 1,
                            .bitrate = 500000, .gop = 60};
    Movie *movie = NULL;
    assert_int_equal(movie_open(a, path, &m, &movie, &e), 0);
    const int first = 300, n = 40; /* in the middle of the play */
    for (int i = 0; i < n; i++) {
        assert_int_equal(game_frame(g, first + i, &e), 0);
        assert_int_equal(movie_add(movie, &g->yuv, &e), 0);
    }
    assert_int_equal(movie_close(movie, &e), 0);
    Clip *clip = NULL;
    assert_int_equal(clip_open(a, path, &clip, &e), 0);
    for (int i = 0; i < n; i++) {
        assert_int_equal(clip_next(clip, g->picture, &e), 0);
        assert_false(clip_turned(clip));
        int stride, width, height;
        uint32_t got = 0;
        const uint8_t *const luma = clip_luma(clip, &stride, &width, &height);
        assert_true(counter_read(luma, stride, width, height, &got));
        assert_int_equal(got, first + i);
    }
    assert_int_equal(clip_next(clip, g->picture, &e), 0);
    assert_true(clip_turned(clip));
    unlink(path);
    arena_free(a);
}

int main(void)
{
    av_log_set_level(AV_LOG_WARNING); /* libx264 is talkative */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(survives_compression),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
