/* Clocks of capture: dates of HLS playlists, and arrival less the least delay. */
#include "check.h"

#include "watch/capture_clock.h"
#include "watch/hls_playlist.h"

static void dates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t at;
    } row[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-21T22:46:41.711+0000", 1795301201711000},
        {"2026-11-21T22:46:41.711Z", 1795301201711000},
        {"2026-11-21T23:46:41.711+01:00", 1795301201711000},
        {"2026-11-21T17:16:41.711-0530", 1795301201711000},
        {"2026-11-21T22:46:41", 1795301201000000},
        {"2026-11-21 22:46:41", 1795301201000000},
        {"2026-11-21T22:46Z", HLS_NO_DATE},
        {"2026-13-21T22:46:41Z", HLS_NO_DATE},
        {"yesterday", HLS_NO_DATE},
        {"", HLS_NO_DATE},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (hls_date(row[i].text) != row[i].at)
            FAIL_MSG("'%s' is %lld", row[i].text, (long long)hls_date(row[i].text));
}

static void playlists(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    HlsPlaylist p;
    assert_true(hls_playlist_parse(
        a,
        "#EXTM3U\r\n#EXT-X-TARGETDURATION:2\r\n"
        "#EXTINF:2.0,title\r\na.ts?x=1\r\n"
        "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:01:00Z\r\n#EXTINF:1.5,\r\n/b/b.ts\r\n"
        "#EXTINF:2,\r\n\r\nc.ts\r\n"
        "#EXT-X-DISCONTINUITY-SEQUENCE:3\r\n#EXT-X-DISCONTINUITY\r\n#EXTINF:2,\r\nd.ts\r\n"
        "#EXT-X-ENDLIST",
        &p));
    assert_int_equal(p.nsegment, 4);
    assert_int_equal(p.target, 2000000);
    assert_true(p.ended);
    assert_string_equal(p.segment[0].uri, "a.ts?x=1");
    assert_int_equal(p.segment[0].date, 58000000); /* from the one after it */
    assert_int_equal(p.segment[1].date, 60000000);
    assert_int_equal(p.segment[2].date, 61500000);
    assert_true(p.segment[3].date == HLS_NO_DATE); /* another clock */
    assert_true(hls_playlist_parse(a, "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n", &p));
    assert_int_equal(p.nsegment, 0);
    assert_false(hls_playlist_parse(a, "<html>", &p));
    assert_false(hls_playlist_parse(a, "", &p));
    arena_free(a);
}

/* Delays of 5 to 105 ms in an order without a pattern; the least that was seen is what is left. */
static void least_delay(void **state)
{
    (void)state;
    CaptureClock c = {0};
    uint32_t dice = 7;
    const int64_t start = 1000000000;
    int64_t least = INT64_MAX;
    for (int i = 0; i < 5000; i++) {
        dice = dice * 1664525 + 1013904223;
        const int64_t media = i * INT64_C(40000), delay = 5000 + (dice >> 16) % 100000;
        least = delay < least ? delay : least;
        const int64_t wall = capture_clock_arrival(&c, media, start + media + delay);
        assert_true(wall >= start + media + least && wall <= start + media + 105000);
        if (i > 100)
            assert_true(wall < start + media + 10000);
    }
}

/* A sender whose clock is slow by a thousandth is followed; one that jumps begins anew. */
static void other_clocks(void **state)
{
    (void)state;
    CaptureClock c = {0};
    for (int i = 0; i < 10000; i++) {
        const int64_t media = i * INT64_C(40000), real = i * INT64_C(40040);
        const int64_t wall = capture_clock_arrival(&c, media, 5000 + real);
        assert_true(wall <= 5000 + real && wall > real - 200000); /* two minutes' drift at most */
    }
    assert_int_equal(capture_clock_arrival(&c, 0, 77000000), 77000000);
    assert_int_equal(capture_clock_arrival(&c, 40000, 77050000), 77040000);
    assert_int_equal(capture_clock_arrival(&c, 500000000, 78000000), 78000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates),
        cmocka_unit_test(playlists),
        cmocka_unit_test(least_delay),
        cmocka_unit_test(other_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
