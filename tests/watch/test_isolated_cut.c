/* Clips and reels that another process cuts: the same bytes, reports and refusals as here. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "clip.h"
#include "sound_clip.h"
#include "watch/cut.h"
#include "watch/isolated.h"
#include "watch/source.h"

static char dir[64];

static const char *place(Arena *a, const char *name) { return arena_printf(a, "%s/%s", dir, name); }

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/lathe_isolated_cut_XXXXXX");
    assert_non_null(mkdtemp(dir));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

typedef struct Made {
    int code;
    CutReport report;
    Error error;
} Made;

/* Both went the same way, and left the same: two files, or none. */
static void check_same(Arena *a, const Made *here, const Made *there, const char *one,
                       const char *other)
{
    File f, g;
    Error e;
    const CutReport *const r = &here->report, *const s = &there->report;
    if (here->code != there->code)
        FAIL_MSG("%d and %d: %s; %s", here->code, there->code, here->error.message,
                 there->error.message);
    assert_true(r->from == s->from && r->duration == s->duration && r->copied == s->copied);
    assert_true(r->encoded == s->encoded && r->bytes == s->bytes && r->mode == s->mode);
    assert_string_equal(r->note, s->note);
    if (here->code != 0) { /* the two names are of one length, and differ in their last folder */
        assert_int_equal(strlen(here->error.message), strlen(there->error.message));
        assert_false(file_exists(one));
        assert_false(file_exists(other));
        return;
    }
    assert_int_equal(file_read(a, one, &f, &e), 0);
    assert_int_equal(file_read(a, other, &g, &e), 0);
    assert_int_equal(f.size, r->bytes);
    assert_int_equal(f.size, g.size);
    assert_memory_equal(f.at, g.at, f.size);
    assert_int_equal(unlink(one), 0);
    assert_int_equal(unlink(other), 0);
}

static void compare_file(const char *video, CutPart part)
{
    Arena *const a = arena_new();
    const char *const path[] = {place(a, "here.mp4"), place(a, "away.mp4")};
    Made made[2] = {0};
    for (int i = 0; i < 2; i++) {
        part.path = path[i];
        part.isolate = i * ISOLATED_MEMORY;
        made[i].code = cut_file(video, &part, &made[i].report, &made[i].error);
    }
    check_same(a, &made[0], &made[1], path[0], path[1]);
    arena_free(a);
}

static int64_t at(int frame) { return frame * 40000; }

static void of_files(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    static const char *const name[] = {"in.mp4", "in.ts", "in.mkv"};
    for (int i = 0; i < 3; i++) {
        const char *const video = place(a, name[i]);
        clip_write(video, &(ClipOptions){.frames = 60, .fps = 25, .gop = 10, .bframes = i});
        compare_file(video, (CutPart){.from = at(3), .to = at(37), .at = at(5), .mode = CUT_EXACT});
        compare_file(video, (CutPart){.from = at(10), .to = at(20), .at = at(10)});
        compare_file(video, (CutPart){.from = at(90), .to = at(99), .at = at(90)}); /* nothing */
        compare_file(video, (CutPart){.from = at(9), .to = at(3), .at = at(9)});
    }
    const char *const sound = place(a, "sound.mp4");
    sound_clip_write(sound, &(SoundClip){.seconds = 2, .sound = sound_tone(a, 2)});
    compare_file(sound, (CutPart){.from = at(3), .to = at(37), .at = at(5), .mode = CUT_EXACT});
    compare_file(place(a, "none.mp4"), (CutPart){.from = 0, .to = at(3)});
    compare_file(dir, (CutPart){.from = 0, .to = at(3)});
    arena_free(a);
}

/* A folder that is not there, and names longer than any. */
static void bad_names(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    CutReport r;
    Error e;
    char *const name = arena_alloc(a, 5001);
    memset(name, 'x', 5000);
    name[5000] = '\0';
    CutPart part = {.to = at(3), .path = place(a, "away/in.mp4"), .isolate = ISOLATED_MEMORY};
    assert_int_equal(cut_file("in.mp4", &part, &r, &e), ERR_IO);
    part.path = place(a, "away.mp4");
    assert_int_equal(cut_file(name, &part, &r, &e), ERR_INVALID);
    const ReelPart reel = {name, NULL};
    assert_int_equal(cut_reel(1, &reel, part.path, ISOLATED_MEMORY, &r, &e), ERR_INVALID);
    part.path = name;
    assert_int_equal(cut_file("in.mp4", &part, &r, &e), ERR_IO);
    arena_free(a);
}

/* Packets of a live stream; those with `isolate` came from a process. */
static void of_packets(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    const char *const video = place(a, "packets.mp4");
    sound_clip_write(video, &(SoundClip){.seconds = 2, .sound = sound_tone(a, 2)});
    Packet packet[400];
    const Packet *list[400];
    Error e;
    int n = 0;
    Source *const s = source_new(video, &(SourceOptions){.open_timeout = 60000000,
                                                         .read_timeout = 60000000,
                                                         .sound = SOUND_NEEDED});
    assert_int_equal(source_connect(s, &e), 0);
    while (n < 400 && source_read(s, &packet[n], &e) > 0)
        list[n] = &packet[n], n++;
    const char *const path[] = {place(a, "here.mp4"), place(a, "away.mp4")};
    for (int round = 0; round < 3; round++) { /* the last: no packets behind the first */
        Made made[2] = {0};
        for (int i = 0; i < 2; i++) {
            const CutPart part = {.from = packet[0].pts + at(4),
                                  .to = packet[0].pts + at(31),
                                  .at = packet[0].pts + at(9),
                                  .mode = round == 0 ? CUT_COPY : CUT_EXACT,
                                  .path = path[i]};
            source_info(s)->isolate = source_sound(s)->isolate = i * ISOLATED_MEMORY;
            made[i].code = cut_packets(round < 2 ? n : 1, list, &part, &made[i].report,
                                       &made[i].error);
        }
        assert_true((made[0].code == 0) == (round < 2));
        check_same(a, &made[0], &made[1], path[0], path[1]);
    }
    for (int i = 0; i < n; i++)
        packet_free(&packet[i]);
    source_close(s);
    arena_free(a);
}

static void of_parts(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    const char *const video = place(a, "reel.mp4"), *const other = place(a, "other.mp4");
    const char *const path[] = {place(a, "here.mp4"), place(a, "away.mp4")};
    clip_write(video, &(ClipOptions){.frames = 30, .fps = 25, .gop = 10});
    clip_write(other, &(ClipOptions){.frames = 30, .fps = 25, .gop = 10, .bframes = 2});
    const ReelPart part[] = {{video, "a \"win\""}, {video, NULL}, {other, "no"}};
    for (int n = 0; n <= 3; n++) {
        Made made[2] = {0};
        for (int i = 0; i < 2; i++)
            made[i].code = cut_reel(n, part, path[i], i * ISOLATED_MEMORY, &made[i].report,
                                    &made[i].error);
        assert_true((made[0].code == 0) == (n == 1 || n == 2));
        check_same(a, &made[0], &made[1], path[0], path[1]);
    }
    arena_free(a);
}

int main(int argc, char **argv)
{
    if (isolated_asked(argc, argv))
        return isolated_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_files),
        cmocka_unit_test(bad_names),
        cmocka_unit_test(of_packets),
        cmocka_unit_test(of_parts),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
