/* Pictures in and out of files, drawing. */
#include "check.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vision/draw.h"

static void png_there_and_back(void **state)
{
    (void)state;
    if (!HAVE_PNG)
        skip();
    Arena *a = arena_new();
    Error e = {0};
    Picture *const p = picture_new(a, 5, 3), *q = NULL;
    for (int i = 0; i < 45; i++)
        p->rgb[i] = (uint8_t)(i * 5);
    char path[] = "/tmp/lathe_picture_XXXXXX";
    close(mkstemp(path));
    assert_int_equal(picture_write_png(path, p, &e), 0);
    assert_int_equal(picture_read(a, path, &q, &e), 0);
    assert_int_equal(q->width, 5);
    assert_int_equal(q->height, 3);
    assert_memory_equal(p->rgb, q->rgb, 45);
    struct rlimit before, none = {.rlim_cur = 0}; /* a full disk leaves the picture that is there */
    getrlimit(RLIMIT_FSIZE, &before);
    none.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none);
    assert_int_equal(picture_write_png(path, p, &e), ERR_IO);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(picture_read(a, path, &q, &e), 0);
    unlink(path);
    assert_int_equal(picture_read(a, path, &q, &e), ERR_IO);
    arena_free(a);
}

static void damaged_files(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Error e = {0};
    Picture *p = NULL;
    static const uint8_t png[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff";
    static const uint8_t jpeg[] = "\xff\xd8\xff\xe0\0\x10JFIF";
    assert_true(png_decode(a, "x.png", png, sizeof png - 1, &p, &e) < 0);
    assert_true(jpeg_decode(a, "x.jpg", jpeg, sizeof jpeg - 1, &p, &e) < 0);
    assert_int_equal(picture_check_size(100000, 10, "x", &e), ERR_UNSUPPORTED);
    assert_int_equal(picture_check_size(20000, 20000, "x", &e), ERR_UNSUPPORTED);
    assert_int_equal(picture_check_size(1920, 1080, "x", &e), 0);
    assert_null(p);
    arena_free(a);
}

static int count(const Picture *p, int channel)
{
    int n = 0;
    for (int i = 0; i < p->width * p->height; i++)
        n += p->rgb[i * 3 + channel] == 255;
    return n;
}

static void lines_and_boxes(void **state)
{
    (void)state;
    Arena *a = arena_new();
    Picture *const p = picture_new(a, 20, 10);
    draw_rectangle(p, -5, -5, 7, 7, (Colour){255, 0, 0});
    assert_int_equal(count(p, 0), 4);
    draw_line(p, (Point){-10, 5}, (Point){40, 5}, 1, (Colour){0, 255, 0});
    assert_int_equal(count(p, 1), 20);
    const Quad q = {.corner = {{2, 2}, {8, 2}, {8, 6}, {2, 6}}};
    draw_quad(p, &q, 1, (Colour){0, 0, 255});
    assert_int_equal(count(p, 2), 20); /* the outline of 7 x 5 pixels */
    draw_fill(p, (Colour){255, 255, 255});
    assert_int_equal(count(p, 2), 200);
    arena_free(a);
}

static void utf8(void **state)
{
    (void)state;
    const char *s = "a\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80\xff\xc3";
    const uint32_t want[] = {'a', 0xe9, 0x4f60, 0x1f600, 0xfffd, 0xfffd, 0};
    for (int i = 0; i < 7; i++)
        assert_int_equal(utf8_next(&s), want[i]);
}

static void text(void **state)
{
    (void)state;
    static const char path[] = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";
    if (!HAVE_FREETYPE || access(path, R_OK) != 0)
        skip();
    Arena *a = arena_new();
    Error e = {0};
    Font *f = NULL;
    assert_int_equal(font_open(a, "/nowhere.ttf", &f, &e), ERR_IO);
    assert_int_equal(font_open(a, path, &f, &e), 0);
    Picture *const p = picture_new(a, 100, 40);
    const float width = draw_text(p, f, 20, (Point){10, 30}, 0, (Colour){255, 255, 255}, "HH");
    assert_true(width > 25 && width < 35);
    assert_true(font_text_width(f, 20, "HH") == width);
    assert_true(font_text_width(f, 20, "HHH") > width);
    int top = 40, bottom = -1;
    for (int i = 0; i < 4000; i++) {
        if (p->rgb[i * 3] < 128)
            continue;
        top = i / 100 < top ? i / 100 : top;
        bottom = i / 100;
    }
    assert_in_range(top, 14, 17); /* capitals are 0.73 of the size high */
    assert_int_equal(bottom, 29); /* the last row above the baseline */
    draw_text(p, f, 20, (Point){90, -5}, 30, (Colour){255, 0, 0}, "outside");
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_there_and_back), cmocka_unit_test(damaged_files),
        cmocka_unit_test(lines_and_boxes),    cmocka_unit_test(utf8),
        cmocka_unit_test(text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
