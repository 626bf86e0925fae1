/* Signatures, shares of changed pixels, perceptual hashes. */
#include "check.h"

#include <math.h>

#include "kernel/change.h"
#include "kernel/picture_hash.h"

static uint64_t next(uint64_t *r)
{
    *r ^= *r << 13;
    *r ^= *r >> 7;
    *r ^= *r << 17;
    return *r * 0x2545f4914f6cdd1d;
}

static int below(uint64_t *r, int n)
{
    return (int)((next(r) >> 33) % (uint64_t)n);
}

/* Noise that ends with its last pixel; `step` bytes a pixel. */
static uint8_t *noise(int width, int height, int step, uint64_t *r)
{
    const size_t n = (size_t)width * (size_t)height * (size_t)step;
    uint8_t *const p = malloc(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(next(r) >> 40);
    return p;
}

static Frame gray(const uint8_t *p, int width, int height)
{
    return (Frame){
        .format = FRAME_GRAY, .width = width, .height = height, .plane = {p}, .stride = {width}};
}

static void known_signatures(void **state)
{
    (void)state;
    uint8_t p[16 * 16];
    for (int i = 0; i < 256; i++)
        p[i] = (uint8_t)(i % 16 / 2 * 10 + i / 32); /* each 2x2 cell has one level */
    Frame f = gray(p, 16, 16);
    ChangeSignature s;
    change_signature(&f, &(FrameBox){0, 0, 16, 16}, &s);
    assert_int_equal(s.columns, 8);
    assert_int_equal(s.rows, 8);
    for (int i = 0; i < 64; i++)
        assert_int_equal(s.cell[i], i % 8 * 10 + i / 8);
    change_signature(&f, &(FrameBox){3.6, 2.2, 3, 1}, &s); /* columns 4 to 6 of row 2 */
    assert_int_equal(s.columns, 3);
    assert_int_equal(s.rows, 1);
    assert_int_equal(s.cell[0], 21);
    assert_int_equal(s.cell[2], 31);
    change_signature(&f, &(FrameBox){-9, 100, 5, 5}, &s); /* all outside: the nearest pixel */
    assert_int_equal(s.columns * s.rows, 1);
    assert_int_equal(s.cell[0], p[240]);
    f.plane[0] = p + 240;
    f.stride[0] = -16;
    change_signature(&f, &(FrameBox){0, 0, 16, 16}, &s);
    for (int i = 0; i < 64; i++)
        assert_int_equal(s.cell[i], i % 8 * 10 + 7 - i / 8);
}

/* Cells are means, of all pixels while they have no more than 16 rows; no pixel outside the frame
 * is read. */
static void means(void **state)
{
    (void)state;
    uint64_t r = 3;
    for (int i = 0; i < 300; i++) {
        const bool rgb = i & 1;
        const int w = 1 + below(&r, i % 10 ? 90 : 700), h = 1 + below(&r, 90), step = rgb ? 3 : 1;
        uint8_t *const p = noise(w, h, step, &r);
        Frame f = gray(p, w, h);
        f.format = rgb ? FRAME_RGB24 : FRAME_NV12;
        f.stride[0] = w * step;
        const FrameBox box = {below(&r, 2 * w) - w / 2, below(&r, 2 * h) - h / 2, 1 + below(&r, w),
                              1 + below(&r, h)};
        ChangeSignature s;
        change_signature(&f, &box, &s);
        const int x0 = (int)fmin(fmax(box.x, 0), w - 1),
                  x1 = (int)fmin(fmax(box.x + box.width, x0 + 1), w);
        const int y0 = (int)fmin(fmax(box.y, 0), h - 1),
                  y1 = (int)fmin(fmax(box.y + box.height, y0 + 1), h);
        assert_true(s.columns == x1 - x0 ||
                    (s.columns >= 8 && s.columns <= CHANGE_MOST && s.columns < x1 - x0));
        assert_true(s.rows == y1 - y0 ||
                    (s.rows >= 8 && s.rows <= CHANGE_MOST && s.rows < y1 - y0));
        for (int c = 0; c < s.columns * s.rows; c++) {
            const int left = x0 + c % s.columns * (x1 - x0) / s.columns,
                      right = x0 + (c % s.columns + 1) * (x1 - x0) / s.columns;
            const int top = y0 + c / s.columns * (y1 - y0) / s.rows,
                      under = y0 + (c / s.columns + 1) * (y1 - y0) / s.rows;
            double sum = 0;
            for (int y = top; y < under; y++)
                for (int k = left * step; k < right * step; k++)
                    sum += p[y * w * step + k];
            assert_true(fabs(s.cell[c] - sum / ((double)(right - left) * (under - top) * step)) <=
                        0.5);
        }
        free(p);
    }
}

/* Large cells are looked at in 16 rows, none of them outside. */
static void large_cells(void **state)
{
    (void)state;
    uint64_t r = 5;
    uint8_t *const p = noise(640, 1080, 1, &r);
    const Frame f = gray(p, 640, 1080);
    ChangeSignature s;
    change_signature(&f, &(FrameBox){0, 0, 640, 1080}, &s);
    assert_int_equal(s.columns, 32);
    assert_int_equal(s.rows, 32);
    for (int c = 0; c < 1024; c++)
        /* of 320 pixels of noise: 4 of 6 deviations */
        assert_in_range(s.cell[c], 127 - 25, 128 + 25);
    free(p);
}

static void differences(void **state)
{
    (void)state;
    uint64_t r = 7;
    uint8_t p[420 * 160];
    memset(p, 30, sizeof p);
    const Frame f = gray(p, 420, 160);
    const FrameBox all = {0, 0, 420, 160};
    ChangeSignature none = {0}, before, after;
    change_signature(&f, &all, &before);
    assert_int_equal(change_between(&none, &before).largest, 255);
    assert_int_equal(change_between(&none, &none).largest, 255);
    Change c = change_between(&before, &before);
    assert_int_equal(c.largest, 0);
    assert_float_equal(c.mean, 0, 0);
    for (int y = 0; y < 12; y++) /* a stroke of a letter */
        p[(70 + y) * 420 + 200] = p[(70 + y) * 420 + 201] = 220;
    change_signature(&f, &all, &after);
    c = change_between(&before, &after);
    assert_true(c.largest >= 12);
    assert_true(c.mean > 0 && c.mean < 1);
    for (int i = 0; i < 420 * 160; i++) /* noise of a codec does not show */
        p[i] = (uint8_t)(p[i] + below(&r, 7) - 3);
    ChangeSignature noisy;
    change_signature(&f, &all, &noisy);
    c = change_between(&after, &noisy);
    assert_true(c.largest <= 1);
    change_signature(&f, &(FrameBox){0, 0, 60, 26}, &noisy);
    assert_int_equal(change_between(&after, &noisy).largest, 255); /* another grid */
}

static void shares(void **state)
{
    (void)state;
    uint8_t a[20 * 10], b[24 * 10];
    memset(a, 100, sizeof a);
    memset(b, 100, sizeof b);
    assert_float_equal(change_share(a, 20, b, 24, 18, 10, 0), 0, 0);
    b[3 * 24 + 5] = 113;  /* more than 12 */
    b[3 * 24 + 6] = 87;
    b[4 * 24 + 6] = 112;  /* not more */
    b[4 * 24 + 19] = 255; /* outside */
    assert_float_equal(change_share(a, 20, b, 24, 18, 10, 12), 2.0F / 180, 0);
    assert_float_equal(change_share(a, 20, b, 24, 18, 10, 11), 3.0F / 180, 0);
    memset(a, 0, sizeof a);
    memset(b, 255, sizeof b);
    assert_float_equal(change_share(a, 20, b, 24, 18, 10, 254), 1, 0);
    assert_float_equal(change_share(b, 24, a, 20, 18, 10, 255), 0, 0);
}

/* ---- hashes ---- */

enum { SIDE = PICTURE_HASH_SIDE };

/* Some smooth scene: a few waves and a bright box. */
static void scene(uint64_t seed, int width, int height, uint8_t *out)
{
    uint64_t r = seed * 77 + 1;
    double wave[6][4];
    for (int k = 0; k < 6; k++)
        for (int i = 0; i < 4; i++)
            wave[k][i] = (double)below(&r, 1000) / 1000;
    const double bx = below(&r, 60) / 100.0, by = below(&r, 60) / 100.0;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const double u = (x + 0.5) / width, v = (y + 0.5) / height;
            double level = 110;
            for (int k = 0; k < 6; k++)
                level += 18 * sin(2 * 3.14159265 *
                                  (wave[k][0] * 4 * u + wave[k][1] * 4 * v + wave[k][2]));
            level += u > bx && u < bx + 0.3 && v > by && v < by + 0.3 ? 60 : 0;
            out[y * width + x] = (uint8_t)fmin(fmax(level, 0), 255);
        }
}

static PictureHash hash_of(uint8_t *p, int width, int height)
{
    const Frame f = gray(p, width, height);
    const FrameBox all = {0, 0, width, height};
    uint8_t small[SIDE * SIDE];
    Frame whole = f;
    whole.full = true;
    const FrameTensor t = {
        .data = small, .dtype = DT_U8, .width = SIDE, .height = SIDE, .channels = 1, .scale = {1}};
    void *const scratch =
        aligned_alloc(64, (size_t)(frame_scratch(&whole, &all, FRAME_AREA, &t) + 63) / 64 * 64);
    frame_to_tensor(&whole, &all, FRAME_AREA, &t, SIMD_PLAIN, scratch);
    free(scratch);
    return picture_hash(small);
}

static void by_definition(void **state)
{
    (void)state;
    uint64_t r = 9;
    for (int i = 0; i < 40; i++) {
        uint8_t *const p = noise(SIDE, SIDE, 1, &r);
        double c[64], sorted[63];
        for (int k = 0; k < 64; k++) {
            c[k] = 0;
            for (int j = 0; j < SIDE * SIDE; j++)
                c[k] += p[j] * cos((2 * (j % SIDE) + 1) * (k % 8) * 3.14159265358979 / 64) *
                        cos((2 * (j / SIDE) + 1) * (k / 8) * 3.14159265358979 / 64);
        }
        memcpy(sorted, c + 1, sizeof sorted);
        for (int a = 1; a < 63; a++)
            for (int b = a; b > 0 && sorted[b] < sorted[b - 1]; b--) {
                const double t = sorted[b];
                sorted[b] = sorted[b - 1];
                sorted[b - 1] = t;
            }
        const PictureHash h = picture_hash(p);
        assert_false(h.flat);
        assert_int_equal(h.bits & 1, 0);
        int above = 0;
        for (int k = 1; k < 64; k++) {
            above += (int)(h.bits >> k & 1);
            if (fabs(c[k] - sorted[31]) > 20) /* of sums near 2000: integers of 12 bits round */
                assert_int_equal(h.bits >> k & 1, c[k] > sorted[31]);
        }
        assert_int_equal(above, 31);
        free(p);
    }
}

static void alike(void **state)
{
    (void)state;
    uint64_t r = 11;
    enum { SCENES = 20, W = 320, H = 180 };
    PictureHash h[SCENES];
    uint8_t *const p = malloc(640 * 360);
    for (int i = 0; i < SCENES; i++) {
        scene((uint64_t)i, W, H, p);
        h[i] = hash_of(p, W, H);
        scene((uint64_t)i, 2 * W, 2 * H, p);
        const PictureHash larger = hash_of(p, 2 * W, 2 * H);
        scene((uint64_t)i, W, H, p);
        for (int k = 0; k < W * H; k++)
            p[k] = (uint8_t)(p[k] * 4 / 5 + 20 + below(&r, 17) - 8);
        const PictureHash noisy = hash_of(p, W, H);
        assert_true(picture_hash_distance(h[i].bits, larger.bits) <= 6);
        assert_true(picture_hash_distance(h[i].bits, noisy.bits) <= 8);
        for (int k = 0; k < i; k++)
            assert_true(picture_hash_distance(h[i].bits, h[k].bits) > 12);
    }
    free(p);
    assert_int_equal(picture_hash_distance(0, ~(uint64_t)0), 64);
}

static void flat_pictures(void **state)
{
    (void)state;
    uint64_t r = 13;
    uint8_t p[SIDE * SIDE];
    for (int level = 0; level < 250; level += 83) {
        for (int i = 0; i < SIDE * SIDE; i++)
            p[i] = (uint8_t)(level + below(&r, 4));
        assert_true(picture_hash(p).flat);
        memset(p + 100, 255 - level, 60);
        assert_false(picture_hash(p).flat);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_signatures),
        cmocka_unit_test(means),
        cmocka_unit_test(large_cells),
        cmocka_unit_test(differences),
        cmocka_unit_test(shares),
        cmocka_unit_test(by_definition),
        cmocka_unit_test(alike),
        cmocka_unit_test(flat_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
