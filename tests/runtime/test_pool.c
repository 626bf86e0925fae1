/* The thread pool: every index once, several callers at once, errors. */
#include "check.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/pool.h"

static struct timespec now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t;
}

static double seconds_since(struct timespec start)
{
    const struct timespec t = now();
    return (double)(t.tv_sec - start.tv_sec) + (double)(t.tv_nsec - start.tv_nsec) * 1e-9;
}

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

static int count_threads(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

/* All who want the process's pool get one: threads do not add up. */
static void one_for_all(void **state)
{
    (void)state;
    Pool *p[3];
    Error e;
    const int before = count_threads();
    for (int i = 0; i < 3; i++)
        assert_int_equal(pool_acquire(&p[i], &e), 0);
    assert_ptr_equal(p[0], p[2]);
    assert_int_equal(count_threads(), before + pool_threads(p[0]) - 1);
    for (int i = 0; i < 3; i++)
        pool_release(p[i]);
    for (int i = 0; i < 100 && count_threads() > before; i++)
        usleep(1000); /* what is joined may be listed for a moment */
    assert_int_equal(count_threads(), before);
}

static int count_parts(void *arg, int worker, int64_t begin, int64_t end)
{
    (void)worker, (void)begin, (void)end;
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static int parts(Pool *p)
{
    atomic_int n = 0;
    assert_int_equal(pool_run(p, 8, count_parts, &n, 100), 0);
    return atomic_load(&n);
}

/* Runs at the same time take their shares. */
static void runs_share(void **state)
{
    (void)state;
    Pool *p;
    Error e;
    assert_int_equal(pool_new(6, &p, &e), 0);
    assert_int_equal(parts(p), 6);
    static const int want[] = {6, 3, 2, 1, 1, 1, 1};
    for (int i = 0; i < 7; i++) {
        pool_enter(p);
        assert_int_equal(parts(p), want[i]);
    }
    for (int i = 0; i < 7; i++)
        pool_leave(p);
    assert_int_equal(parts(p), 6);
    pool_free(p);
}

/* Workers spin for a moment after a job, and then not at all. */
static void idle_costs_nothing(void **state)
{
    (void)state;
    Pool *p;
    Error e;
    assert_int_equal(pool_new(4, &p, &e), 0);
    assert_int_equal(parts(p), 4);
    clock_t spent = CLOCKS_PER_SEC;
    for (int i = 0; i < 50 && spent >= CLOCKS_PER_SEC / 50; i++) { /* the moment may come late */
        const clock_t before = clock();
        usleep(200000);
        spent = clock() - before;
    }
    assert_true(spent < CLOCKS_PER_SEC / 50);
    assert_int_equal(parts(p), 4);
    pool_free(p);
}

static int check_pinned(void *arg, int worker, int64_t begin, int64_t end)
{
    cpu_set_t set;
    (void)begin, (void)end;
    if (worker > 0 && pthread_getaffinity_np(pthread_self(), sizeof set, &set) == 0 &&
        CPU_COUNT(&set) != 1)
        atomic_fetch_add((atomic_int *)arg, 1);
    usleep(1000); /* so that others get parts */
    return 0;
}

static void affinity_on_request(void **state)
{
    (void)state;
    Pool *p;
    Error e;
    atomic_int wrong = 0;
    cpu_set_t before, after;
    sched_getaffinity(0, sizeof before, &before);
    setenv("LATHE_AFFINITY", "1", 1);
    assert_int_equal(pool_new(CPU_COUNT(&before), &p, &e), 0);
    unsetenv("LATHE_AFFINITY");
    for (int i = 0; i < 20; i++)
        assert_int_equal(pool_run(p, 8, check_pinned, &wrong, 8), 0);
    assert_int_equal(atomic_load(&wrong), 0);
    sched_getaffinity(0, sizeof after, &after);
    assert_true(CPU_EQUAL(&before, &after)); /* the caller's is its own business */
    pool_free(p);
}

typedef struct Places {
    int caller, worker; /* CPUs */
    pid_t id;           /* the worker's */
} Places;

static int look_where(void *arg, int worker, int64_t begin, int64_t end)
{
    Places *at = arg;
    (void)begin, (void)end;
    const struct timespec start = now();
    while (seconds_since(start) < 20e-6) /* awake, as systems move who sleeps */
        ;
    *(worker > 0 ? &at->worker : &at->caller) = sched_getcpu();
    if (worker > 0)
        at->id = (pid_t)syscall(SYS_gettid);
    return 0;
}

/* A worker that was put where the caller is does not stay there. */
static void worker_leaves_the_callers_cpu(void **state)
{
    (void)state;
    Pool *p;
    Error e;
    cpu_set_t all, one;
    Places at = {.caller = -1, .worker = -1};
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    if (CPU_COUNT(&all) < 2)
        skip();
    assert_int_equal(pool_new(2, &p, &e), 0);
    for (int i = 0; i < 100000 && at.id == 0; i++)
        assert_int_equal(pool_run(p, 2, look_where, &at, 2), 0);
    CPU_ZERO(&one);
    CPU_SET(at.caller, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(sched_setaffinity(at.id, sizeof one, &one), 0);
    assert_int_equal(sched_setaffinity(at.id, sizeof all, &all), 0);
    at.worker = at.caller;
    for (int i = 0; i < 100000 && at.worker == at.caller; i++)
        assert_int_equal(pool_run(p, 2, look_where, &at, 2), 0);
    assert_int_not_equal(at.worker, at.caller);
    cpu_set_t left;
    assert_int_equal(sched_getaffinity(at.id, sizeof left, &left), 0);
    assert_true(CPU_EQUAL(&left, &all)); /* it may still go anywhere */
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    pool_free(p);
}

/* The child's sessions go on without the threads, which are the parent's; new ones get some. */
static void child_goes_on(void **state)
{
    (void)state;
    Pool *p, *fresh;
    Error e;
    assert_int_equal(pool_acquire(&p, &e), 0);
    parts(p);
    const pid_t child = fork();
    if (child == 0) {
        alarm(20); /* rather than hang */
        bool ok = parts(p) == 1;
#ifndef __SANITIZE_THREAD__ /* which refuses threads there */
        ok &= pool_acquire(&fresh, &e) == 0 && fresh != p &&
              parts(fresh) == (pool_threads(fresh) < 8 ? pool_threads(fresh) : 8);
        pool_release(fresh);
#endif
        pool_release(p);
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(parts(p) >= 1); /* the parent's still run */
    pool_release(p);
    (void)fresh;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_once),
        cmocka_unit_test(first_error_comes_back),
        cmocka_unit_test(several_callers),
        cmocka_unit_test(one_for_all),
        cmocka_unit_test(runs_share),
        cmocka_unit_test(idle_costs_nothing),
        cmocka_unit_test(affinity_on_request),
        cmocka_unit_test(worker_leaves_the_callers_cpu),
        cmocka_unit_test(child_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
