/* Pictures that say how they are to be turned. */
#include "check.h"

#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "vision/exif.h"
#include "vision/picture.h"
#include "watch/isolated.h"
#include "watch/video.h"

/* An EXIF segment that says so, with another tag before it. */
static size_t segment(uint8_t out[64], bool little, int orientation)
{
    const uint8_t in_order[] = {
        0xff, 0xe1, 0, 42, 'E',  'x',  'i',  'f',  0, 0, 'M', 'M', 0, '*',
        0,    0,    0, 8,  0,    2,    0x01, 0x0f, 0, 2, 0,   0,   0, 1,
        'L',  0,    0, 0,  0x01, 0x12, 0,    3,    0, 0, 0,   1,   0, (uint8_t)orientation,
        0,    0};
    const uint8_t swapped[] = {0xff,
                               0xe1,
                               0,
                               42,
                               'E',
                               'x',
                               'i',
                               'f',
                               0,
                               0,
                               'I',
                               'I',
                               '*',
                               0,
                               8,
                               0,
                               0,
                               0,
                               2,
                               0,
                               0x0f,
                               0x01,
                               2,
                               0,
                               1,
                               0,
                               0,
                               0,
                               'L',
                               0,
                               0,
                               0,
                               0x12,
                               0x01,
                               3,
                               0,
                               1,
                               0,
                               0,
                               0,
                               (uint8_t)orientation,
                               0,
                               0,
                               0};
    memcpy(out, little ? swapped : in_order, sizeof in_order);
    return sizeof in_order;
}

static void says(void **state)
{
    (void)state;
    for (int o = 0; o < 12; o++)
        for (int little = 0; little < 2; little++) {
            uint8_t at[128] = {0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff};
            const size_t n = 9 + segment(at + 9, little, o);
            const FrameTurn t = exif_turn(at, n);
            assert_true(t.swapped == (o >= 5 && o <= 8));
            assert_true(t.flip_x == (o == 2 || o == 3 || o == 6 || o == 7));
            assert_true(t.flip_y == (o == 3 || o == 4 || o == 7 || o == 8));
        }
}

/* Any bytes: nothing is read behind them (sanitizers look). */
static void damaged(void **state)
{
    (void)state;
    uint32_t dice = 5;
    for (int i = 0; i < 20000; i++) {
        uint8_t whole[128] = {0xff, 0xd8};
        const size_t size = 2 + segment(whole + 2, i % 2, 6), n = (dice >> 8) % (size + 1);
        uint8_t *const at = test_malloc(n + 1);
        memcpy(at, whole, n);
        for (int k = 0; k < i % 4 && n > 0; k++) {
            dice = dice * 1664525 + 1013904223;
            at[(dice >> 8) % n] = (uint8_t)(dice >> 24);
        }
        dice = dice * 1664525 + 1013904223;
        exif_turn(at, n);
        test_free(at);
    }
}

/* A picture of which each quarter has a gray of its own, as JPEG that says so. */
static void write_jpeg(const char *path, int orientation)
{
    Arena *const a = arena_new();
    Picture *const p = picture_new(a, 64, 32);
    for (int y = 0; y < 32; y++)
        for (int x = 0; x < 64; x++)
            memset(p->rgb + (y * 64 + x) * 3, 40 + 60 * (x / 32) + 120 * (y / 16), 3);
    const uint8_t *jpeg;
    size_t size;
    Error e;
    uint8_t exif[64];
    assert_int_equal(jpeg_encode(a, p, 95, &jpeg, &size, &e), 0);
    const FilePart part[] = {
        {jpeg, 2}, {exif, segment(exif, false, orientation)}, {jpeg + 2, size - 2}};
    assert_int_equal(file_write_parts(path, 3, part, false, &e), 0);
    arena_free(a);
}

/* Grays of the quarters as shown: top left, top right, bottom left, bottom right. */
static const int shown[9][4] = {
    [1] = {40, 100, 160, 220}, [2] = {100, 40, 220, 160}, [3] = {220, 160, 100, 40},
    [4] = {160, 220, 40, 100}, [5] = {40, 160, 100, 220}, [6] = {160, 40, 220, 100},
    [7] = {220, 100, 160, 40}, [8] = {100, 220, 40, 160}};

static void check_quarters(const uint8_t *rgb, int width, int height, int orientation)
{
    assert_int_equal(width, orientation >= 5 ? 32 : 64);
    assert_int_equal(height, orientation >= 5 ? 64 : 32);
    for (int q = 0; q < 4; q++) {
        const int x = width / 4 + q % 2 * width / 2, y = height / 4 + q / 2 * height / 2;
        const int got = rgb[(y * width + x) * 3];
        if (abs(got - shown[orientation][q]) > 4)
            FAIL_MSG("orientation %d, quarter %d: %d instead of %d", orientation, q, got,
                     shown[orientation][q]);
    }
}

static void references(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/lathe_exif_%d.jpg", (int)getpid());
    for (int o = 1; o <= 8; o++) {
        Arena *const a = arena_new();
        Picture *p;
        Error e;
        write_jpeg(path, o);
        assert_int_equal(picture_read(a, path, &p, &e), 0);
        check_quarters(p->rgb, p->width, p->height, o);
        arena_free(a);
    }
    unlink(path);
}

/* Each picture of a folder says for itself. */
static void folders(void **state)
{
    (void)state;
    char folder[64], path[96];
    snprintf(folder, sizeof folder, "/tmp/lathe_exif_%d_*.jpg", (int)getpid());
    for (int o = 1; o <= 8; o++) {
        snprintf(path, sizeof path, "/tmp/lathe_exif_%d_%d.jpg", (int)getpid(), o);
        write_jpeg(path, o);
    }
    for (int isolated = 0; isolated < 2; isolated++) {
        Video *v;
        VideoFrame f;
        Error e;
        const VideoOptions opt = {.isolate = isolated ? ISOLATED_MEMORY : 0};
        assert_int_equal(video_open(folder, &opt, &v, &e), 0);
        for (int o = 1; o <= 8; o++) {
            assert_int_equal(video_sample(v, (o - 1) * 1000000, &f, &e), 1);
            const Frame *const p = &f.picture;
            uint8_t rgb[64 * 32 * 3], scratch[1 << 16];
            const FrameBox all = {0, 0, p->width, p->height};
            const FrameTensor out = {.data = rgb,
                                     .dtype = DT_U8,
                                     .order = FRAME_NHWC,
                                     .width = p->width,
                                     .height = p->height,
                                     .channels = 3,
                                     .scale = {1, 1, 1}};
            assert_true(frame_scratch(p, &all, FRAME_BILINEAR, &out) <
                        (int64_t)sizeof scratch - 64);
            uint8_t *const aligned = scratch + (64 - (uintptr_t)scratch % 64) % 64;
            frame_to_tensor(p, &all, FRAME_BILINEAR, &out, simd_level(), aligned);
            check_quarters(rgb, p->width, p->height, o);
        }
        video_close(v);
    }
    for (int o = 1; o <= 8; o++) {
        snprintf(path, sizeof path, "/tmp/lathe_exif_%d_%d.jpg", (int)getpid(), o);
        unlink(path);
    }
}

int main(int argc, char **argv)
{
    if (isolated_asked(argc, argv))
        return isolated_main(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(says), cmocka_unit_test(damaged),
                                       cmocka_unit_test(references), cmocka_unit_test(folders)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
