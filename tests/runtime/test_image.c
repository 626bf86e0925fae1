/* Images: machine code written by hand is loaded and called; bad ones are refused. */
#include "check.h"

#include <stdio.h>
#include <unistd.h>

#include "runtime/image.h"

/* mov eax, [rip + 1]; ret; (constant 42): reads a constant of the image */
static const uint8_t code[] = {0x8b, 0x05, 0x01, 0, 0, 0, 0xc3, 42, 0, 0, 0};

static Image make_image(const ImageEntry *entry)
{
    return (Image){.code = code, .size = sizeof code, .nentries = 1, .entry = entry};
}

static void loads_and_runs(void **state)
{
    (void)state;
    const ImageEntry entry = {"answer", 0, 7};
    const Image image = make_image(&entry);
    LoadedImage *l;
    Error e;
    assert_int_equal(image_load(&image, &l, &e), ERR_OK);
    const KernelPhase phase = image_entry(l, 0);
    assert_non_null(phase);
    assert_int_equal(phase(NULL, NULL, NULL, NULL, 0, 1), 42);
    assert_null(image_entry(l, sizeof code));
    image_unload(l);
    image_unload(NULL);
}

static void bad_images_are_refused(void **state)
{
    (void)state;
    const ImageEntry outside = {"outside", sizeof code, 7};
    const Image image = make_image(&outside);
    LoadedImage *l = NULL;
    Error e;
    assert_int_equal(image_load(&image, &l, &e), ERR_INVALID);
    assert_non_null(strstr(e.message, "outside"));
    const Image empty = {.code = code};
    assert_int_equal(image_load(&empty, &l, &e), ERR_INVALID);
    assert_null(l);
}

static void perf_map_names_entries(void **state)
{
    (void)state;
    const ImageEntry entry = {"a_kernel_for_perf", 0, 7};
    const Image image = make_image(&entry);
    char path[64], line[256] = "", want[256];
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    unlink(path);
    LoadedImage *l;
    setenv("LATHE_PERF", "1", 1);
    assert_int_equal(image_load(&image, &l, NULL), ERR_OK);
    unsetenv("LATHE_PERF");
    const KernelPhase phase = image_entry(l, 0);
    uintptr_t at;
    memcpy(&at, &phase, sizeof at);
    snprintf(want, sizeof want, "%llx 7 a_kernel_for_perf\n", (unsigned long long)at);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    unlink(path);
    assert_string_equal(line, want);
    image_unload(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_and_runs),
        cmocka_unit_test(bad_images_are_refused),
        cmocka_unit_test(perf_map_names_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
