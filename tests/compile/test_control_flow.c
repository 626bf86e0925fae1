/* Branches, loops and scans, compiled, against the reference executor. */
#include "against_reference.h"

static void branches(void **state)
{
    (void)state;
    const char *text = "graph \"if\"\ninput c bool[]\ninput x f32[4,5]\n"
                       "y = if(c) \"choose\" {\n    a = relu(x)\n    output a\n} {\n    b = "
                       "exp(x)\n    output b\n}\n"
                       "z = neg(y) \"z\"\noutput z\n";
    Fixture f = fixture(text);
    for (int side = 0; side < 2; side++) {
        Tensor *in[2] = {tensor_of(DT_BOOL, 0, NULL, 0), random2(4, 5, 7)};
        *(uint8_t *)in[0]->data = (uint8_t)side;
        compare(f.r, f.m, text, in);
        tensor_unref(in[0]);
        tensor_unref(in[1]);
    }
    finish(&f);
}

/* Fibonacci by a loop whose state grows a collected list; the count comes at run time. */
static void counted_loop(void **state)
{
    (void)state;
    const char *text =
        "graph \"loop\"\ninput n i64[]\ninput x f32[3]\n"
        "l, k = loop(n, _, x) \"l\" {\n    input i i64[]\n    input go bool[]\n    input acc\n"
        "    f = cast(i) \"f\" to=1\n    next = add(acc, f) \"next\"\n    keep = identity(go) "
        "\"keep\"\n"
        "    output keep, next, next\n}\nm = neg(k) \"m\"\noutput l, m\n";
    Fixture f = fixture(text);
    for (int64_t n = 0; n < 6; n += 5) {
        Tensor *in[2] = {tensor_of(DT_I64, 0, NULL, 0),
                         tensor_of(DT_F32, 1, (const int64_t[]){3}, 7)};
        *(int64_t *)in[0]->data = n;
        compare(f.r, f.m, text, in);
        tensor_unref(in[0]);
        tensor_unref(in[1]);
    }
    finish(&f);
}

/* A loop that only its condition ends, with the list of what it went through. */
#define WHILE_BODY                                                                                 \
    " x) \"w\" {\n    input i i64[]\n    input go bool[]\n    input acc\n"                         \
    "    next = add(acc, one) \"next\"\n    top = reduce_max(next) \"top\" keepdims=0\n"           \
    "    more = less(top, end) \"more\"\n    square = mul(next, next) \"square\"\n"

static const char while_list[] =
    "graph \"while\"\ninput c bool[]\ninput x f32[3]\nconst one f32[] = 1.0\nconst end f32[] = "
    "6.0\n"
    "l, k = loop(_, c," WHILE_BODY
    "    output more, next, square\n}\nm = neg(k) \"m\"\noutput l, m\n";
static const char while_state[] =
    "graph \"while\"\ninput c bool[]\ninput x f32[3]\nconst one f32[] = 1.0\nconst end f32[] = "
    "6.0\n"
    "l = loop(_, c," WHILE_BODY "    output more, next\n}\noutput l\n";
static const char while_always_begun[] =
    "graph \"while\"\ninput c bool[]\ninput x f32[3]\nconst one f32[] = 1.0\nconst end f32[] = "
    "6.0\n"
    "const yes bool[] = 1\nl = loop(_, yes," WHILE_BODY "    output more, next\n}\noutput l\n";
static const char while_never_begun[] = "graph \"while\"\ninput c bool[]\ninput x f32[3]\nconst "
                                        "one f32[] = 1.0\nconst end f32[] = 6.0\n"
                                        "const no bool[] = 0\nl, k = loop(_, no," WHILE_BODY
                                        "    output more, next, square\n}\noutput l, k\n";
/* The iterations of the loop within differ in number, and so do the lists that it makes. */
static const char while_in_while[] =
    "graph \"while\"\ninput c bool[]\ninput x f32[3]\nconst one f32[] = 1.0\nconst end f32[] = "
    "6.0\n"
    "a, b = loop(_, c, x) \"outer\" {\n    input j i64[]\n    input on bool[]\n    input state\n"
    "    s = reduce_max(state) \"s\" keepdims=0\n    again = less(s, end) \"again\"\n"
    "    l, k = loop(_, c, state) \"w\" {\n        input i i64[]\n        input go bool[]\n        "
    "input acc\n"
    "        next = add(acc, one) \"next\"\n        top = reduce_max(next) \"top\" keepdims=0\n"
    "        more = less(top, end) \"more\"\n        output more, next, next\n    }\n"
    "    t = reduce_sum(k) \"t\" keepdims=0\n    output again, l, t\n}\nm = neg(b) \"m\"\noutput "
    "a, m\n";

static void loops_without_a_count(void **state)
{
    (void)state;
    const char *const all[] = {while_list, while_state, while_always_begun, while_never_begun,
                               while_in_while};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        Fixture f = fixture(all[k]);
        for (int i = 0; i < 4; i++) { /* begun or not, with few and with many iterations */
            const float first = i < 2 ? 0 : 4;
            Tensor *in[2] = {tensor_of(DT_BOOL, 0, NULL, 0),
                             tensor_of(DT_F32, 1, (const int64_t[]){3}, 7)};
            *(uint8_t *)in[0]->data = (uint8_t)(i & 1);
            ((float *)in[1]->data)[1] = first;
            compare(f.r, f.m, all[k], in);
            tensor_unref(in[0]);
            tensor_unref(in[1]);
        }
        finish(&f);
    }
}

/* A running sum along the second axis, backwards, with the results put together along the second
 * axis too. */
static void scan_along_an_axis(void **state)
{
    (void)state;
    Fixture f =
        fixture("graph \"scan\"\nsym M 0 100\nsym N 0 100\ninput x f32[M,N]\nconst zero f32[] = "
                "0.0\nconst axes i64[1] = {1}\n"
                "s = reduce_sum(x, axes) \"s\" keepdims=0\nstart = mul(s, zero) \"start\"\n"
                "e, c = scan(start, x) \"scan\" num_scan_inputs=1 scan_input_axes=[1] "
                "scan_input_directions=[1] "
                "scan_output_axes=[1] {\n    input acc\n    input part\n"
                "    next = add(acc, part) \"next\"\n    output next, next\n}\noutput e, c\n");
    check2(&f, 4, 7);
    check2(&f, 3, 1);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches),
        cmocka_unit_test(counted_loop),
        cmocka_unit_test(loops_without_a_count),
        cmocka_unit_test(scan_along_an_axis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
