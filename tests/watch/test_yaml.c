/* YAML as trees: typed values, places in messages, bounds. */
#include "check.h"

#include "base/str.h"
#include "watch/yaml.h"

typedef struct Job {
    const char *text;
    void (*use)(const Yaml *y);
} Job;

static void run_job(Context *ctx, void *arg)
{
    const Job *const j = arg;
    const Yaml y = yaml_parse(ctx, "x.yaml", j->text, strlen(j->text));
    if (j->use)
        j->use(&y);
}

static int parse(const char *text, void (*use)(const Yaml *y), Error *e)
{
    Arena *const a = arena_new();
    Job j = {text, use};
    const int code = job_run(a, run_job, &j, e, NULL);
    arena_free(a);
    return code;
}

static void expect_error(const char *text, void (*use)(const Yaml *y), const char *message)
{
    Error e = {0};
    assert_int_equal(parse(text, use, &e), ERR_INVALID);
    if (!strstr(e.message, message))
        FAIL_MSG("%s: '%s' instead of '%s'", text, e.message, message);
}

static void use_all(const Yaml *y)
{
    static const char *const policy[] = {"newest", "every"};
    YamlMap m = yaml_map(y, y->root, "the file");
    assert_string_equal(yaml_text(&m, "name", "none"), "royale");
    assert_string_equal(yaml_text(&m, "absent", "none"), "none");
    assert_true(yaml_flag(&m, "on", false));
    assert_int_equal(yaml_int(&m, "n", 0, 0, 10), 7);
    assert_true(yaml_number(&m, "f", 0, -10, 10) == -2.5);
    assert_int_equal(yaml_duration(&m, "gap", 0), 1500000);
    assert_int_equal(yaml_choice(&m, "policy", 0, policy, 2), 1);
    int n;
    const char *const *const labels = yaml_texts(&m, "labels", &n);
    assert_int_equal(n, 2);
    assert_string_equal(labels[1], "b c");
    double box[4];
    assert_true(yaml_numbers(&m, "box", 4, box));
    assert_true(box[3] == 4);
    YamlMap none = yaml_map(y, yaml_get(&m, "nothing"), "'nothing'");
    assert_null(none.node);
    yaml_done(&none);
    yaml_done(&m);
}

static void typed_values(void **state)
{
    (void)state;
    Error e = {0};
    const char *const text =
        "name: royale\non: true\nn: 7\nf: -2.5\ngap: 1.5s\npolicy: every\nlabels: [a, 'b c']\n"
        "box: [1, 2, 3, 4]\nnothing:\n";
    if (parse(text, use_all, &e) != 0)
        FAIL_MSG("%s", e.message);
}

static void use_n(const Yaml *y)
{
    static const char *const policy[] = {"newest", "every", "keyframes"};
    YamlMap m = yaml_map(y, y->root, "the file");
    yaml_int(&m, "n", 0, 0, 10);
    yaml_duration(&m, "gap", 0);
    yaml_flag(&m, "on", false);
    yaml_choice(&m, "policy", 0, policy, 3);
    double box[4];
    yaml_numbers(&m, "box", 4, box);
    YamlMap sub = yaml_map(y, yaml_get(&m, "sub"), "'sub'");
    yaml_done(&sub);
    yaml_need(&m, "name");
    yaml_done(&m);
}

static void messages(void **state)
{
    (void)state;
    expect_error("", NULL, "x.yaml: the file is empty");
    expect_error("- 1\n", NULL, "x.yaml:1:1: the file must be a map");
    expect_error("a: [1,\nb: 2\n", NULL, "x.yaml:3:1: no YAML: did not find expected");
    expect_error("a: 1\nb: 2\na: 3\n", NULL, "x.yaml:3:1: 'a' was given in line 1 already");
    expect_error("? [1, 2]\n: 3\n", NULL, "a key must be a name");
    expect_error("a: 1\n---\nb: 2\n", NULL, "x.yaml:3:1: a second document");
    expect_error("a: *unknown\n", NULL, "no YAML");
    expect_error("name: x\nn: 11\n", use_n, "x.yaml:2:4: the file: 'n' must be between 0 and 10");
    expect_error("name: x\nn: 1.5\n", use_n, "must be a whole number");
    expect_error("name: x\nn: '7'\n", use_n, "must be a number");
    expect_error("name: x\nn: nan\n", use_n, "must be a number");
    expect_error("name: x\nn: [1]\n", use_n, "must be a number");
    expect_error("name: x\ngap: 2\n", use_n, "must be a duration");
    expect_error("name: x\ngap: -2s\n", use_n, "must be a duration");
    expect_error("name: x\ngap: 1e300s\n", use_n, "must be a duration");
    expect_error("name: x\non: 1\n", use_n, "must be true or false");
    expect_error("name: x\npolicy: some\n", use_n, "'policy' must be newest, every or keyframes");
    expect_error("name: x\nbox: [1, 2, 3]\n", use_n, "must be a list of 4 numbers");
    expect_error("name: x\nsub: 3\n", use_n, "x.yaml:2:6: 'sub' must be a map");
    expect_error("name: x\nsub: {deep: 3}\n", use_n, "x.yaml:2:7: 'sub': unknown key 'deep'");
    expect_error("name: x\nnmae: 3\n", use_n, "x.yaml:2:1: the file: unknown key 'nmae'");
    expect_error("n: 3\n", use_n, "'name' is missing");
}

/* Each list holds the one before ten times: a gigabyte if it were spelt out. */
static void bombs(void **state)
{
    (void)state;
    Arena *const a = arena_new();
    Str s = str_new(a);
    str_add(&s, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++) {
        str_addf(&s, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            str_addf(&s, "%s*a%d", k ? ", " : "", i - 1);
        str_add(&s, "]\n");
    }
    expect_error(str_text(&s), NULL, "more than 100000 values");
    expect_error("a: &a [*a]\n", NULL, "");
    Str deep = str_new(a);
    str_add(&deep, "a: ");
    for (int i = 0; i < 5000; i++)
        str_addc(&deep, '[');
    expect_error(str_text(&deep), NULL, "x.yaml:");
    Str anchors = str_new(a), directives = str_new(a); /* a minute each, were libyaml to see them */
    for (int i = 0; i < 150000; i++)
        str_addf(&anchors, "%s&a%d 1", i ? ", " : "x: [", i);
    for (int i = 0; i < 170000; i++)
        str_addf(&directives, "%%TAG !a%d! tag:x,2000:\n", i);
    expect_error(str_text(&anchors), NULL, "more than 256 anchors");
    expect_error(str_text(&directives), NULL, "x.yaml:65:1: more than 64 lines");
    Str rule = str_new(a);
    for (int i = 0; i < 1000; i++)
        str_addf(&rule, "%sm && n &&m", i ? " && " : "x: ");
    Error e = {0};
    assert_int_equal(parse(str_text(&rule), NULL, &e), 0);
    Str wide = str_new(a); /* names are looked up, not compared with each other */
    for (int i = 0; i < 90000 / 2; i++)
        str_addf(&wide, "k%d: 1\n", i);
    assert_int_equal(parse(str_text(&wide), NULL, &e), 0);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typed_values),
        cmocka_unit_test(messages),
        cmocka_unit_test(bombs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
