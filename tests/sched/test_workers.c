/* Workers: order, when, how often, the end of tasks; with real threads. */
#include "check.h"

#include <pthread.h>

#include "sched/blocker.h"
#include "sched/random.h"

static Workers *start(int n)
{
    Workers *w;
    Error e;
    assert_int_equal(workers_new(n, &w, &e), 0);
    return w;
}

/* Writes down who ran. */
typedef struct Log {
    atomic_int n;
    int who[64];
    int64_t when[64];
} Log;

typedef struct Logged {
    Task task;
    Log *log;
    int name;
} Logged;

static void log_it(Task *t, int worker)
{
    (void)worker;
    const Logged *const l = (const Logged *)t;
    const int at = atomic_load(&l->log->n); /* one worker, or one task */
    l->log->who[at] = l->name;
    l->log->when[at] = machine_now();
    atomic_store(&l->log->n, at + 1);
}

static void most_urgent_first(void **state)
{
    (void)state;
    Workers *const w = start(1);
    Blocker b;
    blocker_start(&b, w);
    Log log = {0};
    Logged t[6];
    const int64_t base = machine_now() + 1000000, deadline[] = {50, 20, 20, 90, 10, 20};
    for (int i = 0; i < 6; i++) {
        t[i] = (Logged){.task.run = log_it, .log = &log, .name = i};
        workers_submit(w, &t[i].task, base + deadline[i], 0);
    }
    workers_submit(w, &t[3].task, base + 15, 0); /* waits already: the earlier deadline counts */
    workers_submit(w, &t[4].task, base + 99, 0);
    assert_int_equal(workers_waiting(w), 6);
    atomic_store(&b.let_go, 1);
    wait_for(&log.n, 6);
    const int expected[] = {4, 3, 1, 2, 5, 0};
    assert_memory_equal(log.who, expected, sizeof expected);
    const WorkersCounts c = workers_counts(w);
    assert_int_equal(c.tasks, 7);
    assert_int_equal(c.late, 1); /* the blocker's deadline was 0 */
    assert_true(c.busy > 0);
    workers_free(w);
}

static void not_before_ready(void **state)
{
    (void)state;
    Workers *const w = start(3);
    Log log = {0};
    Logged t[3];
    const int64_t now = machine_now(), after[] = {60000, 20000, 40000};
    for (int i = 0; i < 3; i++) { /* the second is ready before the one that a worker watches for */
        t[i] = (Logged){.task.run = log_it, .log = &log, .name = i};
        workers_submit(w, &t[i].task, now + 1000000, now + after[i]);
        usleep(2000);
    }
    wait_for(&log.n, 3);
    const int expected[] = {1, 2, 0};
    assert_memory_equal(log.who, expected, sizeof expected);
    for (int i = 0; i < 3; i++) {
        assert_true(log.when[i] >= now + after[expected[i]]);
        /* and not only when something else wakes workers */
        assert_true(log.when[i] < now + after[expected[i]] + 5000000);
    }
    workers_submit(w, &t[0].task, machine_now() + 9000000, machine_now() + 9000000);
    workers_submit(w, &t[0].task, machine_now() + 9000000, 0); /* the earlier `ready` */
    wait_for(&log.n, 4);
    workers_free(w);
}

static void submitted_while_it_runs(void **state)
{
    (void)state;
    Workers *const w = start(2);
    Blocker b;
    blocker_start(&b, w);
    for (int i = 0; i < 5; i++)
        workers_submit(w, &b.task, 0, 0);
    usleep(2000);
    assert_int_equal(atomic_load(&b.runs), 1); /* never on two workers */
    atomic_store(&b.let_go, 1);
    wait_for(&b.runs, 2);
    usleep(2000);
    assert_int_equal(atomic_load(&b.runs), 2); /* once more, not five times */
    workers_submit(w, &b.task, 0, 0);
    wait_for(&b.runs, 3);
    workers_free(w);
}

static void *let_go_later(void *arg)
{
    Blocker *const b = arg;
    usleep(20000);
    atomic_store(&b->let_go, 1);
    return NULL;
}

static void cancelled_while_it_runs(void **state)
{
    (void)state;
    Workers *const w = start(2);
    Blocker b;
    blocker_start(&b, w);
    workers_submit(w, &b.task, 0, 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, let_go_later, &b), 0);
    workers_cancel(w, &b.task);
    assert_int_equal(atomic_load(&b.let_go), 1); /* it was waited for */
    usleep(5000);
    assert_int_equal(atomic_load(&b.runs), 1); /* and does not run again */
    pthread_join(thread, NULL);
    memset(&b, 0x55, sizeof b); /* nobody touches it */
    usleep(2000);
    workers_free(w);
}

static void cancelled_while_it_waits(void **state)
{
    (void)state;
    Workers *const w = start(1);
    Blocker b;
    blocker_start(&b, w);
    Log log = {0};
    Logged due = {.task.run = log_it, .log = &log}, asleep = due, last = due;
    workers_submit(w, &due.task, 1, 0);
    workers_submit(w, &asleep.task, 1, machine_now() + 5000);
    workers_submit(w, &last.task, 2, 0);
    workers_cancel(w, &due.task);
    workers_cancel(w, &asleep.task);
    workers_cancel(w, &asleep.task); /* nothing to do */
    atomic_store(&b.let_go, 1);
    wait_for(&log.n, 1);
    usleep(10000);
    assert_int_equal(atomic_load(&log.n), 1);
    workers_submit(w, &due.task, 1, 0); /* afterwards it is as new */
    wait_for(&log.n, 2);
    workers_free(w);
}

typedef struct Again {
    Task task;
    Workers *w;
    atomic_int runs;
} Again;

static void submit_itself(Task *t, int worker)
{
    (void)worker;
    Again *const a = (Again *)t;
    atomic_fetch_add(&a->runs, 1);
    workers_submit(a->w, t, 0, 0);
}

static void cancelled_although_it_submits_itself(void **state)
{
    (void)state;
    Workers *const w = start(2);
    Again a = {.task.run = submit_itself, .w = w};
    workers_submit(w, &a.task, 0, 0);
    wait_for(&a.runs, 3);
    workers_cancel(w, &a.task);
    const int runs = atomic_load(&a.runs);
    usleep(5000);
    assert_int_equal(atomic_load(&a.runs), runs);
    workers_free(w);
}

static void what_waits_at_the_end_is_not_run(void **state)
{
    (void)state;
    Workers *const w = start(1);
    Blocker b;
    blocker_start(&b, w);
    Log log = {0};
    Logged later = {.task.run = log_it, .log = &log}, asleep = later;
    workers_submit(w, &later.task, 1, 0);
    workers_submit(w, &asleep.task, 1, machine_now() + 1000000);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, let_go_later, &b), 0);
    workers_free(w);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&log.n), 0);
    workers_free(NULL);
}

/* ---- a storm ---- */

#define TASKS 40

typedef struct Counted {
    Task task;
    atomic_int running, seen, value; /* seen: of `value`, which who submits raises before */
    atomic_bool twice;
} Counted;

static void count_it(Task *t, int worker)
{
    Counted *const c = (Counted *)t;
    if (atomic_fetch_add(&c->running, 1) != 0 || worker < 0 || worker > 3)
        atomic_store(&c->twice, true);
    atomic_store(&c->seen, atomic_load(&c->value));
    atomic_fetch_sub(&c->running, 1);
}

typedef struct Storm {
    Workers *w;
    Counted *task;
    uint64_t seed;
} Storm;

static void *submit_many(void *arg)
{
    Storm *const s = arg;
    for (int i = 0; i < 3000; i++) {
        Counted *const c = &s->task[random_below(&s->seed, TASKS)];
        const int64_t kind = random_below(&s->seed, 10), now = machine_now();
        atomic_fetch_add(&c->value, 1);
        workers_submit(s->w, &c->task, now + random_below(&s->seed, 1000),
                       kind < 3 ? now + random_below(&s->seed, 3000) : 0);
        if (kind == 9) {
            workers_cancel(s->w, &c->task);
            workers_submit(s->w, &c->task, now, 0); /* what another had submitted is lost with it */
        }
    }
    return NULL;
}

static void storm(void **state)
{
    (void)state;
    Workers *const w = start(4);
    static Counted task[TASKS];
    memset(task, 0, sizeof task);
    for (int i = 0; i < TASKS; i++)
        task[i].task.run = count_it;
    pthread_t thread[3];
    Storm s[3];
    for (int i = 0; i < 3; i++) {
        s[i] = (Storm){w, task, (uint64_t)i + 1};
        assert_int_equal(pthread_create(&thread[i], NULL, submit_many, &s[i]), 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    /* A cancel drops what comes while it waits; what was submitted after all cancels is seen. */
    for (int i = 0; i < TASKS; i++)
        workers_submit(w, &task[i].task, machine_now(), 0);
    for (int i = 0; i < TASKS; i++) {
        wait_for(&task[i].seen, atomic_load(&task[i].value));
        assert_false(atomic_load(&task[i].twice));
    }
    const int64_t end = machine_now() + 20000000;
    while (workers_waiting(w) > 0 && machine_now() < end) /* some run once more */
        usleep(100);
    assert_int_equal(workers_counts(w).waiting, 0);
    workers_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(most_urgent_first),
        cmocka_unit_test(not_before_ready),
        cmocka_unit_test(submitted_while_it_runs),
        cmocka_unit_test(cancelled_while_it_runs),
        cmocka_unit_test(cancelled_while_it_waits),
        cmocka_unit_test(cancelled_although_it_submits_itself),
        cmocka_unit_test(what_waits_at_the_end_is_not_run),
        cmocka_unit_test(storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
