/* Observations -> values, kind by kind. */
#include "check.h"

#include "feed.h"
#include "watch/reading.h"

/* A watch whose one signal is fed texts; the readings as text, unknown as "?why". */
typedef struct Reader {
    Feed feed; /* for its samples alone */
    Readings *readings;
    int signal;
} Reader;

static void reader_init(Reader *r, Context *ctx, const Watch *w, int signal)
{
    feed_init(&r->feed, ctx, w);
    r->readings = readings_new(ctx->arena, w);
    r->signal = signal;
}

static const Reading *next(Reader *r, const char *line)
{
    const Sample s = feed_sample(&r->feed, line);
    readings_sample(r->readings, &s, NULL);
    return &readings_now(r->readings)[r->signal];
}

static const char *show(Reader *r, const char *line)
{
    const Reading *const now = next(r, line);
    const RuleValue *const v = &now->value;
    Str out = str_new(r->feed.ctx->arena);
    switch (v->kind) {
    case VALUE_UNKNOWN: str_addf(&out, "?%s", now->why); break;
    case VALUE_TRUTH: str_add(&out, v->number != 0 ? "true" : "false"); break;
    case VALUE_NUMBER: json_add_number(&out, v->number); break;
    case VALUE_TEXT: str_addf(&out, "'%s'", v->text); break;
    case VALUE_LIST:
        for (int i = 0; i < v->n; i++)
            str_addf(&out, "%s%s", i ? "," : "", v->list[i].label);
    }
    return str_text(&out);
}

/* Each row: what is shown, and how it reads. */
typedef struct Row {
    const char *line, *want;
} Row;

static void check_rows(Context *ctx, const Watch *w, int signal, const Row *row)
{
    Reader r;
    reader_init(&r, ctx, w, signal);
    for (; row->line; row++) {
        const char *const got = show(&r, row->line);
        if (strcmp(got, row->want) != 0)
            FAIL_MSG("%s\n  gives  %s\n  wanted %s", row->line, got, row->want);
    }
}

static void lines(Context *ctx)
{
    const Watch *const w = watch_by_hand(ctx);
    signal_of(w, ALIVE)->text.min = 1;
    signal_of(w, ALIVE)->text.max = 100;
    check_rows(ctx, w, ALIVE,
               (Row[]){{"0 alive=42", "42"},
                       {"1 alive=_7_", "7"},
                       {"1 alive=-7", "?range"},
                       {"1 alive=101", "?range"},
                       {"1 alive=100", "100"},
                       {"1 alive=4.5", "?no number"},
                       {"1 alive=4O", "?no number"},
                       {"1 alive=0x10", "?no number"},
                       {"1 alive=1e1", "?no number"},
                       {"1 alive=", "?no number"},
                       {"1 alive=--5", "?no number"},
                       {"1 alive=42@0.4", "?confidence"},
                       {"1 alive=42@nan", "?score"},
                       {"1 alive=42@inf", "?score"},
                       {"1 alive=?", "?black"},
                       {"1 badge=1", "?skipped"},
                       {"1 alive=00042", "42"},
                       {"1 alive=99999999999999999999", "?no number"},
                       {NULL, NULL}});
    check_rows(ctx, w, TEMPERATURE,
               (Row[]){{"0 temperature=-4.25", "-4.25"},
                       {"1 temperature=1e2", "100"},
                       {"1 temperature=nan", "?no number"},
                       {"1 temperature=inf", "?no number"},
                       {"1 temperature=1e999", "?no number"},
                       {"1 temperature=.5", "0.5"},
                       {NULL, NULL}});
    check_rows(ctx, w, TITLE,
               (Row[]){{"0 title=Game_over", "'Game over'"},
                       {"1 title=@0", "''"},
                       {"1 title=x@0.1", "?confidence"},
                       {"1 title=\xff", "'\xef\xbf\xbd'"},
                       {NULL, NULL}});
}

static void parsed(Context *ctx)
{
    const Watch *const w = watch_by_hand(ctx);
    set_pattern(ctx, signal_of(w, ALIVE), "^(\\d{1,3}) left$");
    check_rows(ctx, w, ALIVE,
               (Row[]){{"0 alive=12_left", "12"},
                       {"1 alive=12_lett", "?pattern"},
                       {"1 alive=1234_left", "?pattern"},
                       {"1 alive=", "?pattern"},
                       {NULL, NULL}});
    set_pattern(ctx, signal_of(w, ALIVE), "\\d+"); /* no group: all of it */
    check_rows(ctx, w, ALIVE, (Row[]){{"0 alive=x12y", "12"}, {NULL, NULL}});
    set_pattern(ctx, signal_of(w, TITLE), "a(b)?");
    check_rows(ctx, w, TITLE,
               (Row[]){{"0 title=xaby", "'b'"},
                       {"1 title=xay", "?pattern"},
                       {"1 title=", "?pattern"},
                       {NULL, NULL}});
    set_pattern(ctx, signal_of(w, TITLE), "^(a+)+$");
    check_rows(
        ctx, w, TITLE,
        (Row[]){
            {"0 title=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
             "?pattern"
             " limit"},
            {"1 title=aa", "'aa'"},
            {NULL, NULL}});
}

static void long_texts(Context *ctx)
{
    Reader r;
    reader_init(&r, ctx, watch_by_hand(ctx), TITLE);
    Str line = str_new(ctx->arena);
    str_add(&line, "0 title=");
    for (int i = 0; i < 3000; i++)
        str_add(&line, "\xc3\xa4");
    const Reading *const now = next(&r, str_text(&line));
    assert_int_equal(strlen(now->value.text), EVENT_MAX_TEXT - 2); /* no half of a character */
}

static void votes(Context *ctx)
{
    const Watch *const w = watch_by_hand(ctx);
    signal_of(w, ALIVE)->text.vote = 3;
    check_rows(ctx, w, ALIVE,
               (Row[]){{"0 alive=50", "50"},
                       {"0.5 alive=50", "50"},
                       {"1 alive=5", "50"},
                       {"1.5 alive=50", "50"},
                       {"2 alive=?", "?black"},
                       {"2.5 alive=49", "49"},
                       {"3 alive=49", "49"},
                       {"3.5 alive=48", "49"},
                       {"4 alive=47", "47"}, /* three: the newest */
                       {"7.5 alive=3", "3"}, /* the others are older than 3 s */
                       {NULL, NULL}});
    signal_of(w, TITLE)->text.vote = 3;
    check_rows(ctx, w, TITLE,
               (Row[]){{"0 title=play", "'play'"},
                       {"0.5 title=p1ay", "'p1ay'"},
                       {"1 title=play", "'play'"},
                       {"1.5 title=pla", "'pla'"},
                       {NULL, NULL}});
}

static void guards(Context *ctx)
{
    const Watch *const w = watch_by_hand(ctx);
    TextSignal *const d = &signal_of(w, ALIVE)->text;
    d->guard =
        (Guard){.given = true, .max_up_per_s = 0, .max_down_per_s = 20, .rebaseline_after = 3};
    check_rows(ctx, w, ALIVE,
               (Row[]){{"0 alive=50", "50"},
                       {"1 alive=40", "40"},
                       {"2 alive=41", "?guard"},
                       {"3 alive=39", "39"}, /* cleared the candidate */
                       {"3.5 alive=9", "?guard"},
                       {"4 alive=29", "29"},
                       {"4.5 alive=80", "?guard"},
                       {"5 alive=29", "29"},
                       {"5.5 alive=80", "?guard"},
                       {"6 alive=90", "?guard"},
                       {"6.5 alive=85", "?guard"},
                       {"7 alive=80", "80"}, /* 90, 85, 80 agree */
                       {"7.5 alive=79", "79"},
                       {NULL, NULL}});
    d->guard.max_up_per_s = (double)INFINITY;
    check_rows(ctx, w, ALIVE,
               (Row[]){{"0 alive=1", "1"},
                       {"0 alive=100", "100"},
                       {"0 alive=99", "?guard"},
                       {NULL, NULL}});
    d->guard.max_up_per_s = 0;
    d->guard.reset_on = rule_by_hand(ctx, w, "screen == 'lobby'", -1);
    check_rows(ctx, w, ALIVE,
               (Row[]){{"0 alive=5 screen=play", "5"},
                       {"1 alive=100 screen=play", "?guard"},
                       {"2 alive=? screen=lobby", "?black"},
                       {"3 alive=100 screen=play", "100"},
                       {"4 alive=3 screen=lobby", "3"},
                       {"5 alive=4 screen=play", "?guard"},
                       {NULL, NULL}});
}

/* A plausibility gate gets stuck for hours after one wrong reading was accepted. */
static void complaint_guard_is_stuck(Context *ctx)
{
    const Watch *const w = watch_by_hand(ctx);
    signal_of(w, TEMPERATURE)->text.guard =
        /* a water meter */
        (Guard){.given = true, .max_up_per_s = 1, .max_down_per_s = 0, .rebaseline_after = 5};
    check_rows(ctx, w, TEMPERATURE,
               (Row[]){{"0 temperature=9999", "9999"},
                       {"60 temperature=120.1", "?guard"},
                       {"120 temperature=120.2", "?guard"},
                       {"180 temperature=120.2", "?guard"},
                       {"240 temperature=120.3", "?guard"},
                       {"300 temperature=120.4", "120.4"},
                       {"360 temperature=120.5", "120.5"},
                       {"420 temperature=8888", "?guard"},
                       {"480 temperature=120.6", "120.6"},
                       {NULL, NULL}});
}

/* NaN or inf of a template on black frames is reported as a match. */
static void complaint_nan_is_no_match(Context *ctx)
{
    const Watch *const w = watch_by_hand(ctx);
    check_rows(ctx, w, SKULL,
               (Row[]){{"0 skull=nan", "?score"},
                       {"1 skull=inf", "?score"},
                       {"2 skull=0.9", "true"},
                       {"3 skull=nan", "?score"},
                       {"3 skull=?", "?black"},
                       {NULL, NULL}});
    check_rows(ctx, w, ACTIVITY,
               (Row[]){{"0 activity=inf", "?score"}, {"1 activity=0.5", "true"}, {NULL, NULL}});
    check_rows(ctx, w, VOICE,
               (Row[]){{"0 voice=inf", "?score"},
                       {"1 voice=nan", "?score"},
                       {"2 voice=0", "false"},
                       {NULL, NULL}});
    check_rows(ctx, w, PLAYER, (Row[]){{"0 player=inf", "?score"}, {NULL, NULL}});
    check_rows(ctx, w, SCREEN,
               (Row[]){
                   {"0 screen=play@inf", "?score"}, {"1 screen=play@nan", "?score"}, {NULL, NULL}});
    check_rows(ctx, w, UNSAFE,
               (Row[]){{"0 unsafe=1:KNIFE:nan", "?score"},
                       {"1 unsafe=1:KNIFE:0.9,2:KNIFE:inf", "?score"},
                       {"2 unsafe=1:KNIFE:0.9", "KNIFE"},
                       {NULL, NULL}});
}

static void hysteresis(Context *ctx)
{
    const Watch *const w = watch_by_hand(ctx); /* on 0.8, off 0.7 */
    check_rows(ctx, w, SKULL,
               (Row[]){{"0 skull=0.75", "false"},
                       {"0.5 skull=0.8", "true"},
                       {"1 skull=0.75", "true"},
                       {"1.5 skull=?", "?black"},
                       {"2 skull=0.71", "true"},
                       {"2.5 skull=0.69", "false"},
                       {"3 skull=0.75", "false"},
                       {"3.5 skull=0.9", "true"},
                       {"6 skull=0.75", "false"}, /* after the gap nothing is left of it */
                       {NULL, NULL}});
}

static void sounds(Context *ctx)
{
    const Watch *const w = watch_by_hand(ctx); /* 0.5 / 0.35, at least 250 ms on and 100 ms off */
    check_rows(ctx, w, VOICE,
               (Row[]){{"0 voice=0.6", "false"},
                       {"0.1 voice=0.4", "false"},
                       {"0.24 voice=0.4", "false"},
                       {"0.25 voice=0.4", "true"},
                       {"0.3 voice=0.3", "true"},
                       {"0.35 voice=0.45", "true"},
                       {"0.4 voice=0.6", "true"},
                       {"0.5 voice=0.3", "true"},
                       {"0.59 voice=0.3", "true"},
                       {"0.6 voice=0.3", "false"},
                       {"0.7 voice=0.9", "false"},
                       {"0.8 voice=0.1", "false"},
                       {"0.9 voice=0.9", "false"},
                       {"1.1 voice=0.9", "false"},
                       {"1.15 voice=0.9", "true"},
                       {NULL, NULL}});
}

static void screens(Context *ctx)
{
    const Watch *const w = watch_by_hand(ctx); /* at least 0.6, leading by 0.1 */
    check_rows(ctx, w, SCREEN,
               (Row[]){{"0 screen=play", "'play'"},
                       {"1 screen=play@0.59", "?score"},
                       {"1 screen=@0.9", "?margin"},
                       {NULL, NULL}});
    Reader r;
    reader_init(&r, ctx, w, SCREEN);
    static const struct { float second; ValueKind want;
    } row[] = {
        {0.75f, VALUE_TEXT},  {0.85f, VALUE_UNKNOWN},     {-1, VALUE_TEXT},
        {NAN, VALUE_UNKNOWN}, {-INFINITY, VALUE_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        Sample s = feed_sample(&r.feed, "0 screen=play");
        ((Observation *)s.at)[SCREEN].second = row[i].second;
        readings_sample(r.readings, &s, NULL);
        assert_int_equal(readings_now(r.readings)[SCREEN].value.kind, row[i].want);
    }
    static const char *const labels[] = {"cat", "d*g"};
    signal_of(w, CLASS)->object.label = labels;
    signal_of(w, CLASS)->object.nlabel = 2;
    check_rows(ctx, w, CLASS,
               (Row[]){{"0 class=cat", "'cat'"},
                       {"1 class=dog", "'dog'"},
                       {"2 class=horse", "''"},
                       {"3 class=cat@0.4", "?score"},
                       {NULL, NULL}});
}

static void lists(Context *ctx)
{
    const Watch *const w = watch_by_hand(ctx);
    check_rows(ctx, w, UNSAFE,
               (Row[]){{"0 unsafe=0:KNIFE:0.9,1:SPOON:0.9,2:FEET_EXPOSED:0.5,3:KNIFE:0.49",
                        "KNIFE,FEET_"
                        "EXPOSED"},
                       {"1 unsafe=-", ""},
                       {"2 unsafe=?", "?black"},
                       {NULL, NULL}});
    check_rows(ctx, w, FEED,
               (Row[]){{"0 feed=0:one,0:two:0.2,0:three", "one,three"}, {NULL, NULL}});
    Reader r;
    reader_init(&r, ctx, w, FEED);
    const Reading *const now = next(&r, "0 feed=0:one:0.6,0:two:0.8");
    assert_string_equal(now->page, "one\ntwo");
    assert_true(now->score == 0.8f);
    Str line = str_new(ctx->arena);
    str_add(&line, "0 feed=");
    for (int i = 0; i < 290; i++)
        str_addf(&line, "0:%d:0.9,", i);
    assert_int_equal(next(&r, str_text(&line))->value.n, READING_MAX_FOUND);
    line = str_new(ctx->arena);
    str_add(&line, "0 feed=");
    for (int i = 0; i < 100; i++) {
        str_add(&line, "0:");
        for (int k = 0; k < 500; k++)
            str_add(&line, "x");
        str_add(&line, ":0.9,");
    }
    const int n = next(&r, str_text(&line))->value.n; /* what fits */
    assert_true(n > 20 && n < 40);
}

static void places(Context *ctx)
{
    const Watch *const w = watch_by_hand(ctx);
    Reader r;
    reader_init(&r, ctx, w, PLAYER);
    static const struct { double score, x, y; int want; const char *area;
    } row[] = {
        {0.9, 50, 50, 1, "base"}, {0.9, 150, 120, 1, "hill"}, {0.9, 120, 190, 1, ""},
        {0.9, -5, 3, 1, ""},      {0.5, 50, 50, 0, NULL},     {0.9, (double)NAN, 3, -1, NULL},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        Sample s = feed_sample(&r.feed, "0 player=1");
        Observation *const o = (Observation *)&s.at[PLAYER];
        o->score = (float)row[i].score;
        o->x = row[i].x;
        o->y = row[i].y;
        readings_sample(r.readings, &s, NULL);
        const Reading *const now = &readings_now(r.readings)[PLAYER];
        assert_int_equal(now->value.kind == VALUE_UNKNOWN ? -1 : (int)now->value.number,
                         row[i].want);
        assert_int_equal(now->placed, row[i].area != NULL);
        if (row[i].area)
            assert_string_equal(now->area, row[i].area);
    }
}

static void ages(Context *ctx)
{
    Reader r;
    reader_init(&r, ctx, watch_by_hand(ctx), ALIVE);
    static const struct { const char *line; double since, prev;
    } row[] = {
        {"1 alive=5", 1, -1}, {"2 alive=5", 1, -1},    {"3 alive=7", 3, 5}, {"4 alive=?", 3, 5},
        {"5 alive=7", 3, 5},  {"5.5 alive=8", 5.5, 7}, {"8 alive=8", 8, 7}, /* unknown for longer
                                                                               than the gap: since
                                                                               then */
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const Reading *const now = next(&r, row[i].line);
        assert_true((double)now->since == row[i].since * 1e6);
        if (now->value.kind != VALUE_UNKNOWN)
            assert_true(row[i].prev < 0 ? now->prev.kind == VALUE_UNKNOWN
                                        : now->prev.number == row[i].prev);
    }
    readings_reset(r.readings);
    assert_int_equal(next(&r, "1 alive=9")->prev.kind, VALUE_UNKNOWN);
}

static void wild_cards(void **state)
{
    (void)state;
    static const struct { const char *pattern, *label; bool want;
    } row[] = {
        {"a", "a", true},
        {"a", "b", false},
        {"*", "", true},
        {"*", "x", true},
        {"*_EXPOSED", "FEET_EXPOSED", true},
        {"*_EXPOSED", "FEET_EXPOSED_", false},
        {"a*b*c", "axxbxbc", true},
        {"a*b*c", "axxbxb", false},
        {"", "", true},
        {"", "a", false},
        {"a**", "a", true},
        {"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        assert_int_equal(label_matches(row[i].pattern, row[i].label), row[i].want);
}

#define CASES(X) X(lines) X(parsed) X(long_texts) X(votes) X(guards) X(complaint_guard_is_stuck) \
    X(complaint_nan_is_no_match) X(hysteresis) X(sounds) X(screens) X(lists) X(places) X(ages)
#define CASE(name) static void test_##name(void **state) { (void)state; in_case(name); }
CASES(CASE)
#define ROW(name) cmocka_unit_test(test_##name),

int main(void)
{
    const struct CMUnitTest tests[] = {CASES(ROW) cmocka_unit_test(wild_cards)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
