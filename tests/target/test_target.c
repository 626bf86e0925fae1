/* Targets: levels by name, what the machine has, what is refused. */
#include "check.h"

#include <signal.h>
#include <stdlib.h>

#include "target/cpu.h"
#include "target/target.h"

/* The first test, as the system forgets no asking: once tiles are a process's, it may have no
 * signal stack of 8 KiB. */
static void tiles_are_asked_for_by_who_runs_them(void **state)
{
    (void)state;
    static char memory[8192];
    const stack_t small = {.ss_sp = memory, .ss_size = sizeof memory},
                  none = {.ss_flags = SS_DISABLE};
    Target t;
    assert_int_equal(target_find("avx2", &t, NULL), ERR_OK);
    assert_true(target_runs(&t, NULL));
    assert_int_equal(target_find("amx", &t, NULL), ERR_OK);
    assert_int_equal(sigaltstack(&small, NULL), 0);
    assert_int_equal(sigaltstack(&none, NULL), 0);
}

/* Each has what the ones before it have. */
static const char *const chain[] = {"avx2", "avx512", "avx512-vnni", "avx512-bf16", "amx"};
enum { CHAIN = sizeof chain / sizeof chain[0] };

/* "avx2-vnni" is avx2 there, and something that no other has. */
static int place(const char *name)
{
    for (int k = 1; k < CHAIN; k++)
        if (strcmp(chain[k], name) == 0)
            return k;
    return 0;
}

static void levels_are_found(void **state)
{
    (void)state;
    int before = 0; /* each level has at least what the one before has */
    for (int k = 0; k < CHAIN; k++) {
        Target t;
        assert_int_equal(target_find(chain[k], &t, NULL), ERR_OK);
        assert_string_equal(t.name, chain[k]);
        assert_true((int)strlen(t.features) > before);
        before = (int)strlen(t.features);
        assert_int_equal(t.vector_bytes, k == 0 ? 32 : 64);
        assert_int_equal(t.vector_regs, k == 0 ? 16 : 32);
        assert_int_equal(target_lanes(&t, 4), t.vector_bytes / 4);
        assert_int_equal(t.masks, k > 0);
        assert_int_equal(t.vnni, k >= 2);
        assert_int_equal(t.bf16, k >= 3);
        assert_int_equal(t.amx, k == 4);
        assert_true(t.bf16 ? t.bf16_rate > 0 : t.bf16_rate == 0);
    }
}

/* It has what avx2 has, and no level includes it. */
static void vnni_without_avx512(void **state)
{
    (void)state;
    Target t, low;
    assert_int_equal(target_find("avx2", &low, NULL), ERR_OK);
    assert_int_equal(target_find("alderlake", &t, NULL), ERR_OK);
    assert_string_equal(t.name, "avx2-vnni");
    assert_string_equal(t.cpu, "alderlake");
    assert_true(t.vnni && !t.bf16 && !t.masks && !t.amx);
    assert_int_equal(t.vector_bytes, low.vector_bytes);
    assert_memory_equal(t.features, low.features, strlen(low.features));
    assert_string_equal(t.features + strlen(low.features), ",+avxvnni");
}

static void native_is_the_highest_that_runs(void **state)
{
    (void)state;
    const Target native = target_native();
    const char *missing = "";
    assert_true(target_runs(&native, &missing));
    assert_null(missing);
    bool above = false;
    for (int k = 0; k < CHAIN; k++) {
        Target t;
        assert_int_equal(target_find(chain[k], &t, NULL), ERR_OK);
        assert_int_equal(target_runs(&t, &missing), !above);
        assert_true(above == (missing != NULL));
        above = above || k == place(native.name);
    }
    assert_true(above);
    assert_true(native.l1 >= 16 << 10 && native.l1 <= 1 << 20);
    assert_true(native.l1_ways > 0 && native.l1 % native.l1_ways == 0);
    assert_true(native.l2 > native.l1);
}

/* As if the CPU had no more; whatever the tests run under comes back. */
static void the_environment_limits_the_machine(void **state)
{
    (void)state;
    const char *const outer = getenv("LATHE_MAX_ISA");
    char *const kept = outer ? strdup(outer) : NULL;
    unsetenv("LATHE_MAX_ISA");
    const int whole = place(target_native().name);
    for (int k = 0; k < CHAIN; k++) {
        assert_int_equal(setenv("LATHE_MAX_ISA", chain[k], 1), 0);
        assert_int_equal(cpu_check_limit(NULL), ERR_OK);
        assert_int_equal(place(target_native().name), k < whole ? k : whole);
        if (k == whole || k + 1 == CHAIN)
            continue;
        Target above;
        const char *missing = NULL;
        assert_int_equal(target_find(chain[k + 1], &above, NULL), ERR_OK);
        assert_false(target_runs(&above, &missing));
        assert_int_equal(strstr(missing, "LATHE_MAX_ISA") != NULL, k < whole);
    }
    assert_int_equal(setenv("LATHE_MAX_ISA", "", 1), 0); /* none */
    assert_int_equal(place(target_native().name), whole);
    Error e;
    assert_int_equal(setenv("LATHE_MAX_ISA", "sse9", 1), 0);
    assert_int_equal(cpu_check_limit(&e), ERR_INVALID);
    assert_non_null(strstr(e.message, "'sse9'"));
    assert_non_null(strstr(e.message, "avx512-bf16"));
    unsetenv("LATHE_MAX_ISA");
    if (kept)
        setenv("LATHE_MAX_ISA", kept, 1);
    free(kept);
}

static void unknown_is_refused(void **state)
{
    (void)state;
    Target t;
    Error e;
    assert_int_equal(target_find("sse9", &t, &e), ERR_INVALID);
    assert_non_null(strstr(e.message, "sse9"));
    assert_non_null(strstr(e.message, "avx512-vnni"));
}

static void description(void **state)
{
    (void)state;
    const Target t = {.name = "avx2", .cpu = "znver3", .l1 = 32768, .l2 = 524288};
    Arena *a = arena_new();
    assert_string_equal(target_describe(a, &t), "avx2 znver3 l1 32768 l2 524288");
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_are_asked_for_by_who_runs_them), cmocka_unit_test(levels_are_found),
        cmocka_unit_test(vnni_without_avx512),
        cmocka_unit_test(native_is_the_highest_that_runs),
        cmocka_unit_test(the_environment_limits_the_machine),
        cmocka_unit_test(unknown_is_refused),
        cmocka_unit_test(description),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
