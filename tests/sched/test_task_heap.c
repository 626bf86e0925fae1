/* The heap of tasks against a plain array. */
#include "check.h"

#include "sched/random.h"
#include "sched/task_heap.h"

#define N 200

static bool comes_first(const TaskHeap *h, const Task *all)
{
    for (int i = 0; i < N; i++) {
        const Task *const t = &all[i];
        if (t->state == TASK_RESTS || t == h->first)
            continue;
        const int64_t a = h->by_ready ? t->ready : t->deadline,
                      b = h->by_ready ? h->first->ready : h->first->deadline;
        if (a < b || (a == b && t->order < h->first->order))
            return false;
    }
    return true;
}

static void random_steps(bool by_ready, uint64_t seed)
{
    TaskHeap h = {.by_ready = by_ready};
    Task all[N] = {0};
    int in = 0;
    uint64_t order = 0;
    for (int step = 0; step < 4000; step++) {
        Task *const t =
            random_next(&seed) % 4 == 0 && h.first ? h.first : &all[random_below(&seed, N)];
        if (t->state == TASK_RESTS) {
            t->deadline = random_below(&seed, 40);
            t->ready = random_below(&seed, 40);
            t->order = order++;
            t->state = TASK_DUE;
            task_heap_add(&h, t);
            in++;
        } else {
            task_heap_remove(&h, t);
            t->state = TASK_RESTS;
            in--;
        }
        assert_int_equal(h.size, in);
        assert_int_equal(h.first != NULL, in > 0);
        assert_true(!h.first || comes_first(&h, all));
    }
    while (h.first) {
        assert_true(comes_first(&h, all));
        h.first->state = TASK_RESTS;
        task_heap_remove(&h, h.first);
        in--;
    }
    assert_int_equal(in, 0);
}

static void first_is_least(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        random_steps(false, seed);
        random_steps(true, seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(first_is_least)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
