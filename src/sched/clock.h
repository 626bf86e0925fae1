/* Time as schedulers see it: microseconds that never go back, from the machine or from a test. */
#ifndef LATHE_SCHED_CLOCK_H
#define LATHE_SCHED_CLOCK_H

#include <stdint.h>

typedef struct Clock {
    int64_t (*now)(void *arg);
    void *arg;
} Clock;

/* The machine's monotonic clock. */
Clock clock_machine(void);
/* *now, which who holds it moves on. */
Clock clock_virtual(int64_t *now);

/* The machine's clock, for those who know no other: us, monotonic. */
int64_t machine_now(void);
/* us since 1970: for what people and other machines read. It may be set, also back. */
int64_t wall_now(void);

static inline int64_t clock_now(const Clock *c) { return c->now(c->arg); }

#endif
