/* The thread pool: every index once, several callers at once, errors. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/pool.h"

typedef struct Marks {
    atomic_int *count;
    int fail_at;
} Marks;

static int mark(void *arg, int worker, int64_t begin, int64_t end)
{
    const Marks *m = arg;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        atomic_fetch_add(&m->count[i], 1);
        if (i == m->fail_at)
            return -7;
    }
    return 0;
}

static void every_index_once(void **state)
{
    (void)state;
    Pool *p;
    Error e;
    assert_int_equal(pool_new(5, &p, &e), 0);
    for (int round = 0; round < 2000; round++) {
        atomic_int count[64] = {0};
        const int extent = round % 65;
        Marks m = {count, -1};
        assert_int_equal(pool_run(p, 1 + round % 7, mark, &m, extent), 0);
        for (int i = 0; i < 64; i++)
            assert_int_equal(atomic_load(&count[i]), i < extent);
    }
    pool_free(p);
}

static void first_error_comes_back(void **state)
{
    (void)state;
    Pool *p;
    Error e;
    assert_int_equal(pool_new(3, &p, &e), 0);
    atomic_int count[64] = {0};
    Marks m = {count, 40};
    assert_int_equal(pool_run(p, 3, mark, &m, 64), -7);
    m.fail_at = -1;
    assert_int_equal(pool_run(p, 3, mark, &m, 64), 0);
    pool_free(p);
    assert_int_equal(pool_new(0, &p, &e), ERR_INVALID);
}

static void *caller(void *arg)
{
    Pool *p = arg;
    for (int round = 0; round < 500; round++) {
        atomic_int count[32] = {0};
        Marks m = {count, -1};
        if (pool_run(p, 4, mark, &m, 32) != 0)
            return p;
        for (int i = 0; i < 32; i++)
            if (atomic_load(&count[i]) != 1)
                return p;
    }
    return NULL;
}

static void several_callers(void **state)
{
    (void)state;
    Pool *p;
    Error e;
    pthread_t t[4];
    assert_int_equal(pool_new(4, &p, &e), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, caller, p), 0);
    for (int i = 0; i < 4; i++) {
        void *bad;
        pthread_join(t[i], &bad);
        assert_null(bad);
    }
    pool_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_once),
        cmocka_unit_test(first_error_comes_back),
        cmocka_unit_test(several_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
