/* The two clocks there are. */
#include "sched/clock.h"

#include <time.h>

int64_t machine_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t machine(void *arg)
{
    (void)arg;
    return machine_now();
}

static int64_t virtual_now(void *arg)
{
    const int64_t *const now = arg;
    return *now;
}

Clock clock_machine(void) { return (Clock){machine, NULL}; }
Clock clock_virtual(int64_t *now) { return (Clock){virtual_now, now}; }

int64_t wall_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
