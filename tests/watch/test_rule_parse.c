/* The language of rules: what is read and how it prints, every refusal with its place, types,
 * needs. */
#include "check.h"

#include <stdio.h>

#include "by_hand.h"
#include "watch/config.h"

typedef struct Try {
    const char *text;
    int each;
    Place at;
    bool condition;
    char printed[4096];
    bool instant;
    ValueKind kind;
    bool need[BY_HAND_SIGNALS];
} Try;

static void job(Context *ctx, void *arg)
{
    Try *const t = arg;
    Watch *const w = watch_by_hand(ctx);
    name_event(w, "final_ten");
    name_event(w, "kill");
    const Rule *const r =
        (t->condition ? rule_parse_condition : rule_parse)(ctx, w, "royale.yaml", t->at, t->text,
                                                           t->each);
    Str out = str_new(ctx->arena), again = str_new(ctx->arena);
    rule_print(&out, w, r);
    rule_print(&again, w, rule_parse(ctx, w, "printed", (Place){1, 1}, str_text(&out), t->each));
    assert_string_equal(str_text(&out), str_text(&again));
    text_copy(t->printed, sizeof t->printed, str_text(&out));
    t->instant = rule_is_instant(r);
    t->kind = rule_kind(r);
    rule_needs(r, w, t->need);
}

static Error run(Try *t)
{
    Error e = {0};
    Arena *const a = arena_new();
    job_run(a, job, t, &e, NULL);
    arena_free(a);
    return e;
}

static Try try_of(const char *text, int each)
{
    return (Try){.text = text, .at = {12, 9}, .each = each};
}

static const struct { int each; const char *text, *want;
} printed[] = {
    {-1, "alive <= 10", "(alive <= 10)"},
    {-1, "skull", "skull"},
    {-1, " screen == 'play'\n && alive<=10 ", "((screen == 'play') && (alive <= 10))"},
    {-1, "seq(alive <= 2, screen == \"victory\", 20s)",
     "seq((alive <= 2), (screen == 'victory'), 20s)"},
    /* precedence */
    {-1, "skull || badge && voice", "(skull || (badge && voice))"},
    {-1, "skull && badge || voice", "((skull && badge) || voice)"},
    {-1, "skull || badge || voice", "((skull || badge) || voice)"},
    {-1, "!skull && badge", "((!skull) && badge)"},
    {-1, "!!skull", "(!(!skull))"},
    {-1, "! alive > 3", "(!(alive > 3))"},
    {-1, "alive + 2 * alive - 1 > 0", "(((alive + (2 * alive)) - 1) > 0)"},
    {-1, "alive - 1 - 1 == 0", "(((alive - 1) - 1) == 0)"},
    {-1, "alive / 2 / 2 != -alive * 3", "(((alive / 2) / 2) != ((-alive) * 3))"},
    {-1, "- - 2 < alive", "((-(-2)) < alive)"},
    {-1, "(skull || (badge)) && voice", "((skull || badge) && voice)"},
    {-1, "skull == badge", "(skull == badge)"},
    /* numbers, durations, texts */
    {-1, "alive >= 1.50", "(alive >= 1.5)"},
    {-1, "alive >= 1e3", "(alive >= 1000)"},
    {-1, "alive.age > 300ms", "(alive.age > 0.3s)"},
    {-1, "alive.age > 2us + 1.5m + 1h", "(alive.age > ((2e-06s + 90s) + 3600s))"},
    {-1, "title == 'it''s'", "(title == 'it''s')"},
    {-1, "title == \"say \"\"a\"\"\"", "(title == 'say \"a\"')"},
    {-1, "title == ''", "(title == '')"},
    {-1, "title =~ '^\\d{1,3}$'", "(title =~ '^\\d{1,3}$')"},
    {-1, "feed ~ 'victory royale'/2", "(feed ~ 'victory royale'/2)"},
    {-1, "feed ~ 'victory'", "(feed ~ 'victory'/0)"},
    {-1, "unsafe =~ 'KNIFE'", "(unsafe =~ 'KNIFE')"},
    {-1, "feed.text =~ 'a'", "(feed.text =~ 'a')"},
    {-1,
     "screen ~ 'Gl\xc3\xbc"
     "ck'/1",
     "(screen ~ 'Gl\xc3\xbc"
     "ck'/1)"},
    /* fields, events */
    {-1, "alive.prev - alive >= 5", "((alive.prev - alive) >= 5)"},
    {-1, "skull.score > 0.9 && skull.x < 5", "((skull.score > 0.9) && (skull.x < 5))"},
    {-1, "player && player.area == 'base'", "(player && (player.area == 'base'))"},
    {-1, "screen.age > 2s && voice.score < 0.5", "((screen.age > 2s) && (voice.score < 0.5))"},
    {-1, "final_ten && final_ten.age > 5s", "(final_ten && (final_ten.age > 5s))"},
    {-1, "unsafe.score > 0.9", "(unsafe.score > 0.9)"},
    /* functions */
    {-1, "changed(alive) && changed(alive).delta < -5",
     "(changed(alive) && (changed(alive).delta < (-5)))"},
    {-1, "changed(title).prev == 'x'", "(changed(title).prev == 'x')"},
    {-1, "changed(alive > 5)", "changed((alive > 5))"},
    {-1, "rises(skull && badge)", "rises((skull && badge))"},
    {-1, "count(unsafe) >= 1", "(count(unsafe) >= 1)"},
    {-1, "count(unsafe, score > 0.5 && label =~ 'KNIFE') > 2",
     "(count(unsafe, ((score > 0.5) && (label =~ 'KNIFE'))) > 2)"},
    {-1, "count(feed, text ~ 'gg') > alive", "(count(feed, (text ~ 'gg'/0)) > alive)"},
    {-1, "count(unsafe, x + width > 640) > 0", "(count(unsafe, ((x + width) > 640)) > 0)"},
    {-1, "seq(kill, final_ten, 1m)", "seq(kill, final_ten, 60s)"},
    {-1, "seq(rises(skull), changed(alive), 500ms)", "seq(rises(skull), changed(alive), 0.5s)"},
    {-1, "100 - alive + 10 * rate(kill, 60s)", "((100 - alive) + (10 * rate(kill, 60s)))"},
    {-1, "rate(skull, 1h) > 0.1", "(rate(skull, 3600s) > 0.1)"},
    {-1, "unsafe", "unsafe"},
    {-1, "!unsafe && feed", "((!unsafe) && feed)"},
    /* the one object of `each` */
    {UNSAFE, "unsafe.label == 'KNIFE' && unsafe.age > 1s",
     "((unsafe.label == 'KNIFE') && (unsafe.age > 1s))"},
    {UNSAFE, "unsafe && unsafe.width * unsafe.height > 100",
     "(unsafe && ((unsafe.width * unsafe.height) > 100))"},
    {FEED, "feed.text ~ 'a'", "(feed.text ~ 'a'/0)"},
    {UNSAFE, "changed(unsafe.label)", "changed(unsafe.label)"},
};

static void prints(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof printed / sizeof *printed; i++) {
        Try t = try_of(printed[i].text, printed[i].each);
        const Error e = run(&t);
        if (e.code != 0 || strcmp(t.printed, printed[i].want) != 0)
            FAIL_MSG("%s\n  gives  %s%s\n  wanted %s", t.text, e.message, t.printed,
                     printed[i].want);
    }
}

static const struct { int each; const char *text, *want;
} refused[] = {
    /* words */
    {-1, "", "12:9: expected a value, found the end"},
    {-1, "  ", "12:11: expected a value, found the end"},
    {-1, "alive <= ", "12:18: expected a value, found the end"},
    {-1, "alive 3", "12:15: unexpected '3'"},
    {-1, "skull) || badge", "12:14: unexpected ')'"},
    {-1, "(skull", "12:15: expected ')', found the end"},
    {-1, "skull & badge", "12:15: unexpected '&'"},
    {-1, "title == 'play", "12:18: the text that begins here is not closed"},
    {-1, "title == 'a''", "12:18: the text that begins here is not closed"},
    {-1, "alive > 5 s || alive > 5d", "12:19: unexpected 's'"},
    {-1, "alive > 5d", "12:17: '5d' is no duration: us, ms, s, m or h may stand behind a number"},
    {-1, "alive > 1e999", "12:17: 1e999 is too large"},
    {-1, "alive.age > 1e10s", "12:21: 1e10s is too large"},
    {-1, "title == '\xff'", "12:19: the text is not UTF-8"},
    {-1, "skull ||\n  badgy", "13:3: there is no signal or event 'badgy'"},
    {-1, "title == '\xc3\xbc\xc3\xbc' && wrong", "12:26: there is no signal or event 'wrong'"},
    /* names, fields, functions */
    {-1, "health < 3", "12:9: there is no signal or event 'health'"},
    {-1, "alive.x < 3", "12:15: 'alive' has no field 'x'; it has .prev .score .age"},
    {-1, "feed.score > 1", "12:14: 'feed' has no field 'score'; it has .text"},
    {-1, "skull.prev", "12:15: 'skull' has no field 'prev'; it has .score .age .x .y"},
    {-1, "skull.", "12:15: 'skull' has no field the end; it has .score .age .x .y"},
    {-1, "kill.score > 1", "12:14: event 'kill' has no field 'score'; it has .age"},
    {-1, "changed(title).delta > 1", "12:24: changed(..) has no field 'delta'; it has .prev"},
    {-1, "rises(skull).prev", "12:21: unexpected '.'"},
    {UNSAFE, "unsafe.prev > 1",
     "12:16: 'unsafe' has no field 'prev'; it has .score .age .text .label .x .y .width .height"},
    {-1, "unsafe.label == 'a'", "12:16: 'unsafe' has no field 'label'; it has .score"},
    {-1, "falls(skull)",
     "12:9: there is no function 'falls': changed, rises, count, seq and rate are all"},
    {-1, "count(unsafe, area == 'base') > 1", "12:23: there is no signal or event 'area'"},
    {-1, "count(unsafe, age > 1) > 1", "12:23: there is no signal or event 'age'"},
    /* types */
    {-1, "alive == 'ten'", "12:15: a number is compared with a text"},
    {-1, "skull && title == 3", "12:24: a text is compared with a number"},
    {-1, "skull == 1", "12:15: true or false is compared with a number"},
    {-1, "unsafe == feed", "12:16: lists are not compared: use count, =~ or ~"},
    {-1, "title < 'a'", "12:15: only numbers are less or greater; this is a text"},
    {-1, "skull >= badge", "12:15: only numbers are less or greater; this is true or false"},
    {-1, "1 < alive < 3", "12:19: comparisons do not chain: write a < b && b < c"},
    {-1, "alive && skull", "12:9: this is a number where something true or false is wanted"},
    {-1, "skull || title", "12:18: this is a text where something true or false is wanted"},
    {-1, "!alive", "12:10: this is a number where something true or false is wanted"},
    {-1, "alive + skull > 1", "12:17: this is true or false where a number is wanted"},
    {-1, "-title == 'a'", "12:10: this is a text where a number is wanted"},
    {-1, "alive =~ '1'", "12:9: this is a number; '=~' wants a text or a list"},
    {-1, "skull ~ '1'", "12:9: this is true or false; '~' wants a text or a list"},
    {-1, "title =~ title", "12:18: '=~' wants a text in quotes behind it, found 'title'"},
    {-1, "title ~ 5", "12:17: '~' wants a text in quotes behind it, found '5'"},
    {-1, "title ~ 'a'/0.5", "12:21: expected a number of edits, 0 to 64, found '0.5'"},
    {-1, "title ~ 'a'/65", "12:21: expected a number of edits, 0 to 64, found '65'"},
    {-1, "title =~ '(a'", "12:18: the pattern, at byte 3: missing closing parenthesis"},
    {-1, "count(alive) > 1", "12:15: count wants a list, of objects or lines; this is a number"},
    {UNSAFE, "count(unsafe) > 1",
     "12:15: count wants a list, of objects or lines; this is one of them: true or false"},
    {-1, "count(unsafe, score) > 1",
     "12:23: this is a number where something true or false is wanted"},
    {-1, "count(unsafe, rises(skull)) > 1",
     "12:23: what count asks of each cannot hold changed, rises, seq or rate"},
    {-1, "changed(unsafe)", "12:17: changed wants one value; this is a list"},
    {-1, "rises(alive)", "12:15: this is a number where something true or false is wanted"},
    {-1, "rises(skull, badge)", "12:20: expected ')', found ','"},
    {-1, "seq(skull, badge)", "12:25: expected ',', found ')'"},
    {-1, "seq(skull, badge, 20)", "12:27: seq wants a duration here, as 20s; found '20'"},
    {-1, "seq(skull, badge, 0s)", "12:27: seq wants a duration here, as 20s; found '0s'"},
    {-1, "seq(skull, alive, 5s)",
     "12:20: this is a number where something true or false is wanted"},
    {-1, "rate(kill) > 1", "12:18: expected ',', found ')'"},
    {-1, "rate(kill, alive) > 1", "12:20: rate wants a duration here, as 20s; found 'alive'"},
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        Try t = try_of(refused[i].text, refused[i].each);
        const Error e = run(&t);
        char want[300];
        snprintf(want, sizeof want, "royale.yaml:%s", refused[i].want);
        if (e.code != ERR_INVALID || strcmp(e.message, want) != 0)
            FAIL_MSG("%s\n  gives  %s%s\n  wanted %s", t.text, e.message, t.printed, want);
    }
}

static void read_config(Context *ctx, void *arg)
{
    config_parse(ctx, "w.yaml", arg, strlen(arg));
}

/* Messages point into the file, behind quotes too. */
static void places_in_files(void **state)
{
    (void)state;
    static const struct { const char *event, *want;
    } row[] = {
        {"{when: \"skull > 1\"}", "w.yaml:5:20: true or false is compared with a number"},
        {"{when: 'a && wrong'}", "w.yaml:5:19: there is no signal or event 'wrong'"},
        {"{when: wrong}", "w.yaml:5:13: there is no signal or event 'wrong'"},
        {"{when: alive}", "w.yaml:5:13: this is a number where something true or false is wanted"},
        {"{when: alive > 1, within: alive}",
         "w.yaml:5:32: this is a number where something true or false is wanted"},
        {"{when: alive > 1, data: [alive, 'alive.x']}",
         "w.yaml:5:45: 'alive' has no field 'x'; it has .prev .score .age"},
        {"{when: alive > 1, limit: 10001/h}",
         "w.yaml:5:31: event 'a': 'limit': at most 10000 starts can be counted"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char text[300];
        snprintf(
            text, sizeof text,
            "signal:\n  alive: {from: text, type: int}\n  skull: {from: motion}\nevent:\n  a: %s\n",
            row[i].event);
        Arena *const a = arena_new();
        Error e;
        job_run(a, read_config, text, &e, NULL);
        if (strcmp(e.message, row[i].want) != 0)
            FAIL_MSG("%s\n  gives  %s\n  wanted %s", row[i].event, e.message, row[i].want);
        arena_free(a);
    }
}

static void conditions_alone(void **state)
{
    (void)state;
    Try number = try_of("alive + 1", -1), text = try_of("title", -1), list = try_of("unsafe", -1);
    assert_int_equal(run(&number).code, 0);
    assert_int_equal(number.kind, VALUE_NUMBER);
    number.condition = text.condition = list.condition = true;
    assert_string_equal(run(&number).message,
                        "royale.yaml:12:9: this is a number where something true or "
                        "false is wanted");
    assert_string_equal(run(&text).message,
                        "royale.yaml:12:9: this is a text where something true or false is "
                        "wanted");
    assert_int_equal(run(&list).code, 0);
    assert_int_equal(list.kind, VALUE_LIST);
}

static void instants(void **state)
{
    (void)state;
    static const struct { const char *text; bool instant;
    } row[] = {
        {"skull", false},
        {"changed(alive)", true},
        {"rises(skull) && badge", true},
        {"badge || seq(skull, badge, 1s)", true},
        {"!changed(alive)", true},
        {"changed(alive).delta > 1", false},
        {"changed(alive) && changed(alive).delta > 1", true},
        {"changed(alive).prev == 3", false},
        {"rate(rises(skull), 5s) > 1", false},
        {"count(unsafe) > 1", false},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        Try t = try_of(row[i].text, -1);
        assert_int_equal(run(&t).code, 0);
        if (t.instant != row[i].instant)
            FAIL_MSG("%s", row[i].text);
    }
}

static void needs(void **state)
{
    (void)state;
    Try t = try_of(
        "screen == 'play' && count(unsafe, score > 0.5) > 1 || changed(alive).delta > 3 || kill",
        -1);
    assert_int_equal(run(&t).code, 0);
    for (int i = 0; i < BY_HAND_SIGNALS; i++)
        assert_int_equal(t.need[i], i == SCREEN || i == UNSAFE || i == ALIVE);
}

static char *repeat(const char *head, const char *part, int n, const char *tail)
{
    char *const out = calloc(strlen(head) + strlen(part) * (size_t)n + strlen(tail) + 1, 1),
                *p = stpcpy(out, head);
    for (int i = 0; i < n; i++)
        p = stpcpy(p, part);
    stpcpy(p, tail);
    return out;
}

/* Long and deep text is refused before it can take the stack; what is as long as allowed is read
 * again as printed. */
static void bounds(void **state)
{
    (void)state;
    static const struct { const char *head, *part; int n; const char *tail, *want; } row[] = {
        {"alive", "+alive", RULE_MAX_NODES / 2 - 2, " > 1", ""},
        {"alive", "+alive", RULE_MAX_NODES / 2, " > 1", "a rule of more than 400 parts"},
        {"", "!", RULE_MAX_NODES - 1, "skull", ""},
        {"", "!", RULE_MAX_NODES, "skull", "a rule of more than 400 parts"},
        {"", "-", RULE_MAX_NODES - 3, "1<2", ""},
        {"", "(", 300, "skull", "expected ')', found the end"},
        {"", "(", 30000, "skull", "too many brackets in brackets"},
        {"", "count(", 9000, "skull", "too many brackets in brackets"},
        {"skull", " ", 70000, "", "a rule of more than 64 KiB"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char *const text = repeat(row[i].head, row[i].part, row[i].n, row[i].tail);
        Try t = try_of(text, -1);
        const Error e = run(&t);
        if (row[i].want[0] ? strstr(e.message, row[i].want) == NULL : e.code != 0)
            FAIL_MSG("row %d: %s", (int)i, e.message);
        free(text);
    }
}

static void patterns(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Matcher *const m = matcher_new(a);
    const char *why;
    size_t where;
    Span all, group;
    const void *const number = pattern_compile(a, "(\\d+)( left)?", &why, &where);
    assert_int_equal(pattern_find(m, number, "there are 12 left", &all, &group), 1);
    assert_true(all.start == 10 && all.end == 17 && group.start == 10 && group.end == 12);
    assert_int_equal(pattern_find(m, number, "none", &all, &group), 0);
    assert_int_equal(pattern_find(m, number, "\xff 12", &all, &group), -1);
    const void *const either = pattern_compile(a, "a|(b)", &why, &where);
    assert_int_equal(pattern_find(m, either, "a", &all, &group), 1);
    assert_true(group.start > group.end);
    /* Backtracking without end: unknown, soon. */
    char text[200];
    memset(text, 'a', sizeof text - 2);
    strcpy(text + sizeof text - 2, "!");
    static const char *const slow[] = {"^(a+)+$", "^(a|aa)+$", "(a(?1)?)+$",
                                       "^(([a-z])+.)+[A-Z]([a-z])+$"};
    for (size_t i = 0; i < sizeof slow / sizeof *slow; i++) {
        const void *const code = pattern_compile(a, slow[i], &why, &where);
        assert_non_null(code);
        assert_int_equal(pattern_find(m, code, text, NULL, NULL), -1);
    }
    assert_null(pattern_compile(a, "[z-a]", &why, &where));
    assert_int_equal(where, 3);
    char *const large = repeat("", "a", PATTERN_MAX_LENGTH + 1, "");
    assert_null(pattern_compile(a, large, &why, &where));
    assert_null(pattern_compile(a, "((((((((((a{1000}){1000}){1000}){1000})))))))", &why, &where));
    free(large);
    arena_free(a);
}

/* The distance by its definition. */
static int distance(const char *a, const char *b)
{
    if (!*a || !*b)
        return (int)(strlen(a) + strlen(b));
    const int same = distance(a + 1, b + 1) + (*a != *b);
    if (*a == *b)
        return same;
    const int less = distance(a + 1, b) + 1, more = distance(a, b + 1) + 1;
    return same < less ? same < more ? same : more : less < more ? less : more;
}

static void near_texts(void **state)
{
    (void)state;
    static const struct { const char *a, *b; int edits;
    } row[] = {
        {"Victory Royale", "victory royale", 0},
        {"V1CT0RY", "victory", 0},
        {"SCOREBOARD", "5c0reb0ard", 0},
        {"Il1|", "111|", 0},
        {"victry", "victory", 1},
        {"  two \n words ", "two words", 0},
        {"\xc3\x84rger", "\xc3\xa4rger", 0},
        {"\xd0\x9f\xd0\x9e", "\xd0\xbf\xd0\xbe", 0},
        {"\xe5\x8b\x9d", "\xe8\xb2\xa0", 1},
        {"kitten", "sitting", 3},
        {"", "abc", 3},
        {"abc", "", 3},
        {"", "", 0},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        assert_true(text_near(row[i].a, row[i].b, row[i].edits));
        assert_true(text_near(row[i].b, row[i].a, row[i].edits + 1));
        if (row[i].edits > 0)
            assert_false(text_near(row[i].a, row[i].b, row[i].edits - 1));
    }
    uint32_t seed = 7;
    for (int i = 0; i < 3000; i++) {
        char text[2][8] = {{0}};
        for (int k = 0; k < 2; k++)
            for (int j = 0; j < 7; j++) {
                seed = seed * 1664525u + 1013904223u;
                text[k][j] = "ab\0c"[seed >> 29 & 3];
            }
        const int d = distance(text[0], text[1]);
        for (int k = 0; k < 8; k++)
            assert_int_equal(text_near(text[0], text[1], k), d <= k);
    }
}

static void clean_copies(void **state)
{
    (void)state;
    char out[8];
    assert_int_equal(text_copy(out, sizeof out, "abcdefgh"), 7);
    assert_string_equal(out, "abcdefg");
    assert_int_equal(text_copy(out, sizeof out, "abcdef\xc3\xa4"), 6); /* not half a character */
    assert_int_equal(text_copy(out, sizeof out, "a\xff" "b"), 5);
    assert_string_equal(out, "a\xef\xbf\xbd" "b");
    static const char *const bad[] = {
        "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80\x80", "\xc3", "\x80", "\xf8\x88"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(utf8_size(bad[i]), 0);
    assert_int_equal(utf8_size("\xf0\x9f\x98\x80"), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prints),           cmocka_unit_test(refuses),
        cmocka_unit_test(conditions_alone), cmocka_unit_test(places_in_files),
        cmocka_unit_test(instants),         cmocka_unit_test(needs),
        cmocka_unit_test(bounds),           cmocka_unit_test(patterns),
        cmocka_unit_test(near_texts),       cmocka_unit_test(clean_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
