/* The engine's laws, each by a case that can be followed by hand. The same laws on random watches:
 * test_event_random.c. */
#include "check.h"

#include "feed.h"
#include "watch/reading.h"

/* An event whose condition is the icon `badge`: 1 true, 0 false, ? unknown, a space no sample, -
 * one that was left out; a character a half second. */
static const char *run_flags(Context *ctx, const EventRule *like, const char *flags)
{
    Watch *const w = watch_by_hand(ctx);
    EventRule *const e = add_event(ctx, w, "e", "badge");
    const Rule *const when = e->when;
    *e = *like;
    e->name = "e";
    e->when = when;
    e->each = -1;
    Feed f;
    feed_init(&f, ctx, w);
    for (int i = 0; flags[i]; i++) {
        char line[60];
        snprintf(line, sizeof line, "%g badge=%s", i * 0.5,
                 flags[i] == '?'   ? "?"
                 : flags[i] == '1' ? "1"
                                   : "0");
        if (flags[i] == '-')
            f.left_out += 500000;
        else if (flags[i] != ' ') /* no sample at all */
            feed(&f, line);
    }
    events_stop(f.events);
    return feed_records(&f);
}

static void check_flags(Context *ctx, EventRule like, const char *flags, const char *want)
{
    if (like.confirm.n == 0)
        like.confirm = (Window){1, 1};
    if (like.release.n == 0)
        like.release = (Window){1, 1};
    const char *const got = run_flags(ctx, &like, flags);
    if (strcmp(got, want) != 0)
        FAIL_MSG("%s\n  gives  %s\n  wanted %s", flags, got, want);
}

static void windows(Context *ctx)
{
    const EventRule one = {0}, two = {.confirm = {2, 3}, .release = {2, 3}};
    check_flags(ctx, one, "0110", "start e 0.5@0.5|end e 0.5-1@1.5|");
    check_flags(ctx, one, "1", "start e 0@0|end e 0-0@0 stopped|");
    /* back-dated to the first true one of the run, which may hold a false one */
    check_flags(ctx, two, "0101", "start e 0.5@1.5|end e 0.5-1.5@1.5 stopped|");
    check_flags(ctx, two, "0011100", "start e 1@1.5|end e 1-2@3|");
    /* the flicker law, both ways */
    check_flags(ctx, two, "0100100100", "");
    check_flags(ctx, two, "11011011", "start e 0@0.5|end e 0-3.5@3.5 stopped|");
    /* windows start anew: neither do the trues before the end count for the next, nor the falses
     * before the start */
    check_flags(ctx, (EventRule){.confirm = {2, 5}, .release = {2, 2}}, "1100010",
                "start e 0@0.5|end e 0-0.5@1.5|");
    check_flags(ctx, (EventRule){.confirm = {1, 1}, .release = {3, 5}}, "0000100",
                "start e 2@2|end e 2-2@3 stopped|");
    /* a window forgets after m * 2 / fps seconds: 3 of them here, samples each half second */
    check_flags(ctx, two, "01? ?1", "start e 0.5@2.5|end e 0.5-2.5@2.5 stopped|");
    check_flags(ctx, (EventRule){.confirm = {2, 2}}, "1????1", "");
}

static void unknowns(Context *ctx)
{
    const EventRule two = {.confirm = {2, 2}, .release = {2, 2}};
    /* neither confirms nor releases */
    check_flags(ctx, two, "01?1", "start e 0.5@1.5|end e 0.5-1.5@1.5 stopped|");
    check_flags(ctx, two, "110?0", "start e 0@0.5|end e 0-0.5@2|");
    check_flags(ctx, two, "11???0?1", "start e 0@0.5|end e 0-3.5@3.5 stopped|");
    /* for longer than the gap, 2 s */
    check_flags(ctx, two, "11?????", "start e 0@0.5|end e 0-0.5@2.5 lost|");
    check_flags(ctx, two, "11    ?", "start e 0@0.5|end e 0-0.5@2.5 lost|");
    check_flags(ctx, two, "11    1", "start e 0@0.5|end e 0-0.5@2.5 lost|");
    check_flags(ctx, two, "11    11",
                "start e 0@0.5|end e 0-0.5@2.5 lost|start e 3@3.5|end e 3-3.5@3.5 stopped|");
    check_flags(ctx, two, "11   1", "start e 0@0.5|end e 0-2.5@2.5 stopped|");
    check_flags(ctx, (EventRule){.confirm = {2, 4}}, "1     1", "");
}

/* Samples left out for want of time are no silence: nothing ends, is forgotten or begins anew by
 * it. */
static void left_out(Context *ctx)
{
    const EventRule one = {0}, two = {.confirm = {2, 2}, .release = {2, 2}};
    check_flags(ctx, one, "1-----1-----1", "start e 0@0|end e 0-6@6 stopped|");
    check_flags(ctx, (EventRule){.point = true}, "1-----1-----1", "point e 0@0|");
    check_flags(ctx, two, "1-----1-----0-----0", "start e 0@3|end e 0-3@9|");
    check_flags(ctx, two, "1-----?-----1", "start e 0@6|end e 0-6@6 stopped|");
    /* what is silence besides counts as ever */
    check_flags(ctx, two, "11--  - 1", "start e 0@0.5|end e 0-4@4 stopped|");
    check_flags(ctx, two, "11--  -  1", "start e 0@0.5|end e 0-0.5@4 lost|");
    Watch *const w = watch_by_hand(ctx);
    add_event(ctx, w, "c", "changed(alive)");
    add_event(ctx, w, "r", "rises(badge)");
    add_event(ctx, w, "b", "badge"); /* hysteresis: 0.75 is neither on nor off */
    EventRule *const men = name_event(w, "m");
    men->each = UNSAFE;
    men->when = rule_by_hand(ctx, w, "unsafe.score > 0.5", UNSAFE);
    men->release = (Window){2, 2};
    Feed f;
    feed_init(&f, ctx, w);
    feed(&f, "0 badge=0 alive=5 unsafe=3:KNIFE:0.8");
    f.left_out = 3500000;
    feed(&f, "4 badge=0.9 alive=4 unsafe=-");
    f.left_out = 3500000;
    feed(&f, "8 badge=0.75 alive=4 unsafe=3:KNIFE:0.8");
    events_stop(f.events);
    assert_string_equal(feed_records(&f), "start m/3 0@0|point c 4@4|point r 4@4|start b 4@4|"
                                          "end b 4-8@8 stopped|end m/3 0-8@8 stopped|");
}

static void durations(Context *ctx)
{
    check_flags(ctx, (EventRule){.min = 1000000}, "0110111100", "start e 2@3|end e 2-3.5@4|");
    check_flags(ctx, (EventRule){.min = 1000000, .release = {2, 2}}, "010100",
                "start e 0.5@1.5|end e 0.5-1.5@2.5|");
    check_flags(ctx, (EventRule){.max = 1000000}, "01111110110",
                "start e 0.5@0.5|end e 0.5-1.5@1.5 max|start e 4@4|end e 4-4.5@5|");
    check_flags(ctx, (EventRule){.max = 1000000}, "0110", "start e 0.5@0.5|end e 0.5-1@1.5|");
    check_flags(ctx, (EventRule){.cooldown = 2000000}, "10100111",
                "start e 0@0|end e 0-0@0.5|start e 2.5@2.5|end e 2.5-3.5@3.5 stopped|");
    /* what is still true when the cooldown is over starts then */
    check_flags(ctx, (EventRule){.cooldown = 2000000}, "10111111",
                "start e 0@0|end e 0-0@0.5|start e 2@2|end e 2-3.5@3.5 stopped|");
    check_flags(ctx, (EventRule){.merge = 1500000}, "1010000010",
                "start e 0@0|end e 0-1@1.5|start e 4@4|end e 4-4@4.5|");
    check_flags(ctx, (EventRule){.merge = 1500000}, "10010",
                "start e 0@0|end e 0-0@0.5|start e 1.5@1.5|end e 1.5-1.5@2|");
    check_flags(ctx, (EventRule){.merge = 1500000}, "10", "start e 0@0|end e 0-0@0.5|");
    check_flags(ctx, (EventRule){.merge = 1500000}, "1     1",
                "start e 0@0|end e 0-0@2 lost|start e 3@3|end e 3-3@3 stopped|");
    /* what may still join holds the end back; a run too short for that lets it go */
    check_flags(ctx, (EventRule){.merge = 1500000, .confirm = {2, 2}}, "11011",
                "start e 0@0.5|end e 0-2@2 stopped|");
    check_flags(ctx, (EventRule){.merge = 1500000, .confirm = {2, 2}}, "1101000",
                "start e 0@0.5|end e 0-0.5@1|");
    check_flags(ctx, (EventRule){.merge = 1500000, .cooldown = 3000000}, "10100011111",
                "start e 0@0|end e 0-1@1.5|start e 4@4|end e 4-5@5 stopped|");
    /* what could have joined falls out of the window: the trues behind it are in the cooldown */
    check_flags(ctx, (EventRule){.merge = 1500000, .cooldown = 3000000, .confirm = {2, 2}},
                "110101111", "start e 0@0.5|end e 0-0.5@1|start e 3.5@4|end e 3.5-4@4 stopped|");
    check_flags(ctx, (EventRule){.limit = 2, .limit_per = 3000000}, "1010101010",
                "start e 0@0|end e 0-0@0.5|start e 1@1|end e 1-1@1.5|start e 3@3|end e 3-3@3.5|"
                "start e 4@4|end e 4-4@4.5|");
    check_flags(ctx, (EventRule){.point = true, .release = {2, 2}}, "0101001",
                "point e 0.5@0.5|point e 3@3|");
}

static void epochs(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    add_event(ctx, w, "e", "badge")->merge = 5000000;
    add_event(ctx, w, "c", "changed(alive)");
    add_event(ctx, w, "r", "rises(badge)");
    Feed f;
    feed_init(&f, ctx, w);
    feed(&f, "10 badge=1 alive=5");
    f.epoch = 2;
    feed(&f, "1 badge=1 alive=7");
    assert_string_equal(feed_records(&f), "start e 10@10|end e 10-10@10 lost|start e 1@1|");
    f.epoch = 1;
    feed(&f, "20 badge=0"); /* an old one: late, as is what goes back */
    f.epoch = 2;
    feed(&f, "0.5 badge=0");
    assert_int_equal(events_counts(f.events).late, 2);
    feed(&f, "1 badge=0 alive=8"); /* the same time again is none */
    assert_string_equal(feed_records(&f), "point c 1@1|");
    assert_int_equal(events_counts(f.events).late, 2);
    assert_int_equal(events_counts(f.events).samples, 3);
}

/* What was told before a silence is found is told the same when somebody asks in between. */
static void quiet(Context *ctx)
{
    const char *records[2];
    for (int asked = 0; asked < 2; asked++) {
        Watch *const w = watch_by_hand(ctx);
        add_event(ctx, w, "late", "skull");
        add_event(ctx, w, "long", "badge")->max = 2500000;
        add_event(ctx, w, "held", "badge")->merge = 1000000;
        Feed f;
        feed_init(&f, ctx, w);
        feed(&f, "0 skull=1 badge=1");
        feed(&f, "0.9 skull=1 badge=1");
        feed(&f, "1 badge=1");
        for (int i = 0; asked && i < 40; i++)
            events_quiet(f.events, 1000000 + i * 100000);
        feed(&f, "5 skull=1 badge=1");
        events_stop(f.events);
        records[asked] = str_text(&f.json);
        if (!asked)
            assert_string_equal(feed_records(&f),
                                "start late 0@0|start long 0@0|start held 0@0|end long "
                                "0-2.5@2.5 max|"
                                "end late 0-0.9@2.9 lost|end held 0-1@3 lost|"
                                "start late 5@5|start long 5@5|start held 5@5|end late 5-5@5 "
                                "stopped|"
                                "end long 5-5@5 stopped|end held 5-5@5 stopped|");
    }
    assert_string_equal(records[0], records[1]);
}

static void functions(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    EventRule *const c = add_event(ctx, w, "c", "changed(alive)");
    c->confirm = (Window){2, 3};
    add_data(ctx, w, c, "changed(alive).prev");
    add_data(ctx, w, c, "changed(alive).delta");
    add_event(ctx, w, "r", "rises(badge)")->confirm = (Window){2, 2};
    add_event(ctx, w, "s", "seq(badge, skull, 2s)");
    EventRule *const rate = add_event(ctx, w, "f", "rate(s, 10s) >= 0.2");
    add_data(ctx, w, rate, "rate(s, 10s)");
    Feed f;
    feed_init(&f, ctx, w);
    feed(&f, "0 alive=5 badge=1 skull=0");
    feed(&f, "0.5 alive=5 badge=1 skull=0");
    feed(&f, "1 alive=9 badge=0 skull=1"); /* skull begins 1 s after badge: seq; 9 is a misread */
    feed(&f, "1.5 alive=5 badge=1 skull=0");
    assert_string_equal(feed_records(&f), "point s 1@1|");
    feed(&f, "2 alive=7 badge=1 skull=0"); /* badge rises, confirmed here */
    assert_string_equal(feed_records(&f), "point r 1.5@2|");
    feed(&f, "2.5 alive=7 skull=1 badge=1"); /* the badge began anew at 1.5 */
    assert_string_equal(feed_records(&f), "point c 2@2.5 5 2|point s 2.5@2.5|start f 2.5@2.5 0.2|");
    feed(&f, "3 skull=0 badge=1");
    feed(&f, "3.5 skull=1 badge=1"); /* one a serves one b */
    assert_string_equal(feed_records(&f), "");
}

/* An instant began where its run began: of || the earlier one, of && the later; of seq where b did,
 * though a was told last. */
static void instants_are_back_dated(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    add_event(ctx, w, "or", "changed(alive) || rises(badge)")->confirm = (Window){2, 3};
    add_event(ctx, w, "ro", "rises(badge) || changed(alive)")->confirm = (Window){2, 3};
    add_event(ctx, w, "and", "changed(alive) && rises(badge)")->confirm = (Window){2, 3};
    add_event(ctx, w, "slow", "skull")->confirm = (Window){3, 3};
    add_event(ctx, w, "seq", "seq(slow, voice, 10s)");
    signal_of(w, VOICE)->audio = (AudioSignal){.on = 0.5, .off = 0.5};
    Feed f;
    feed_init(&f, ctx, w);
    feed(&f, "0 alive=5 badge=0 skull=0 voice=0");
    feed(&f, "0.5 alive=5 badge=0 skull=0 voice=0");
    feed(&f, "1 alive=7 badge=0 skull=1 voice=0");
    feed(&f, "1.5 alive=5 badge=1 skull=1 voice=1");
    feed(&f, "2 alive=7 badge=1 skull=1 voice=1");
    assert_string_equal(
        feed_records(&f),
        "point or 1@2|point ro 1@2|point and 1.5@2|start slow 1@2|point seq 1.5@2|");
}

/* `changed` and `rises` after a silence know no old state. */
static void forgets(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    add_event(ctx, w, "c", "changed(alive)");
    add_event(ctx, w, "r", "rises(badge)");
    Feed f;
    feed_init(&f, ctx, w);
    feed(&f, "0 alive=5 badge=0");
    feed(&f, "2 badge=? alive=?");
    feed(&f, "2.5 alive=7 badge=1");
    assert_string_equal(feed_records(&f), "");
    feed(&f, "3 alive=? badge=0");
    feed(&f, "4.5 alive=8 badge=?");
    feed(&f, "5 alive=8 badge=1"); /* unknown between the two does not count */
    assert_string_equal(feed_records(&f), "point c 4.5@4.5|point r 5@5|");
}

static void keys(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    EventRule *const e = name_event(w, "weapon");
    e->each = UNSAFE;
    e->confirm = (Window){2, 2};
    e->when = rule_by_hand(ctx, w, "unsafe.score > 0.6", UNSAFE);
    add_data(ctx, w, e, "unsafe.label");
    EventRule *const line = name_event(w, "line");
    line->each = FEED;
    line->point = true;
    line->when = rule_by_hand(ctx, w, "feed.text =~ 'killed'", FEED);
    add_event(ctx, w, "any", "weapon && weapon.age > 1s");
    Feed f;
    feed_init(&f, ctx, w);
    feed(&f,
         "0 unsafe=2:KNIFE:0.9,1:KNIFE:0.55,0:KNIFE:0.9 feed=0:a_killed_b,0:hello,0:a_killed_b");
    feed(&f, "0.5 unsafe=2:KNIFE:0.9,7:BELLY_EXPOSED:0.7 feed=-");
    feed(&f, "1 unsafe=7:BELLY_EXPOSED:0.7 feed=0:a_killed_b");
    feed(&f, "1.5 unsafe=- feed=?");
    assert_string_equal(feed_records(&f),
                        "point line/a killed b 0@0|start weapon/2 0@0.5 KNIFE|end weapon/2 "
                        "0-0.5@1 KNIFE|"
                        "start weapon/7 0.5@1 BELLY_EXPOSED|point line/a killed b 1@1|"
                        "end weapon/7 0.5-1@1.5 BELLY_EXPOSED|");
    feed(&f, "2 unsafe=?");
    feed(&f, "2.5 unsafe=2:KNIFE:0.9");
    feed(&f, "3 unsafe=2:KNIFE:0.9");
    feed(&f, "3.7 unsafe=2:KNIFE:0.9");
    assert_string_equal(feed_records(&f), "start weapon/2 2.5@3 KNIFE|start any 3.7@3.7|");
}

static void too_many_keys(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    EventRule *const e = name_event(w, "seen");
    e->each = UNSAFE;
    e->when = rule_by_hand(ctx, w, "unsafe", UNSAFE);
    const Watch *const fixed = w;
    Feed f;
    feed_init(&f, ctx, fixed);
    Str line = str_new(ctx->arena);
    str_add(&line, "0 unsafe=");
    for (int i = 1; i <= READING_MAX_FOUND; i++)
        str_addf(&line, "%d:KNIFE:0.9,", i);
    feed(&f, str_text(&line));
    assert_int_equal(events_counts(f.events).records, EVENT_MAX_KEYS);
    feed(&f, "0.5 unsafe=1000:KNIFE:0.9"); /* the others are away, but not for so long */
    assert_int_equal(events_counts(f.events).keys_refused, 1);
    feed(&f, "3 unsafe=1000:KNIFE:0.9");
    feed(&f, "3.5 unsafe=1000:KNIFE:0.9");
    assert_int_equal(events_counts(f.events).keys_refused, 2);
    assert_int_equal(events_counts(f.events).records, 2 * EVENT_MAX_KEYS + 1);
}

static void record_fields(Context *ctx)
{
    Watch *const w = watch_by_hand(ctx);
    EventRule *const e = add_event(ctx, w, "e", "skull && alive <= 10");
    e->confirm = (Window){2, 2};
    e->severity = 3;
    add_data(ctx, w, e, " alive ");
    add_data(ctx, w, e, "title");
    add_data(ctx, w, e, "unsafe");
    add_data(ctx, w, e, "skull");
    Feed f;
    feed_init(&f, ctx, w);
    Sample s = feed_sample(&f, "1.25 skull=0.95 alive=9@0.75");
    s.wall = 1795000000250000;
    s.clock = CLOCK_RTCP;
    events_sample(f.events, &s);
    Sample next =
        feed_sample(&f, "1.5 skull=0.85 alive=8@0.7 title=it's_\"ok\" unsafe=4:KNIFE:0.5");
    next.wall = 1795000000500000;
    next.clock = CLOCK_RTCP;
    events_sample(f.events, &next);
    feed(&f, "1.75 skull=0.1");
    static const char *const same =
        "\"kind\":\"%s\",\"stream\":\"s1\",\"watch\":\"royale\",\"event\":\"e\","
        "\"key\":null,\"epoch\":0,\"t_start\":1.25,"
        "\"t_detect\":%s,\"t_end\":%s,\"wall\":\"2026-11-18T11:06:40.250000Z\","
        "\"clock\":\"rtcp\",\"reason\":null,"
        "\"severity\":3,\"score\":0.75,\"frame\":0,\"box\":[20,420,420,160],"
        "\"data\":{\"alive\":8,\"title\":\"it's \\\"ok\\\"\","
        "\"unsafe\":[{\"label\":\"KNIFE\",\"score\":0.5,\"box\":[10,20,30,40],"
        "\"track\":4}],\"skull\":true}}\n";
    Str want = str_new(ctx->arena);
    /* ids are stable across versions */
    str_add(&want, "{\"v\":1,\"id\":\"660db5ac46efcf09\",\"rev\":0,");
    str_addf(&want, same, "start", "1.5", "null");
    str_add(&want, "{\"v\":1,\"id\":\"660db5ac46efcf09\",\"rev\":1,");
    str_addf(&want, same, "end", "1.75", "1.5");
    assert_string_equal(str_text(&f.json), str_text(&want));
}

#define CASE(name) static void test_##name(void **state) { (void)state; in_case(name); }
CASE(windows)
CASE(unknowns)
CASE(left_out)
CASE(durations)
CASE(epochs)
CASE(quiet)
CASE(functions)
CASE(forgets)
CASE(instants_are_back_dated)
CASE(keys)
CASE(too_many_keys)
CASE(record_fields)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_unknowns),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_forgets),
        cmocka_unit_test(test_instants_are_back_dated),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_too_many_keys),
        cmocka_unit_test(test_record_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
