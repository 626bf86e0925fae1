/* Condition variables that wait by the machine's monotonic clock (clock.h): who sets the clock of
 * the wall wakes nobody. */
#ifndef LATHE_SCHED_COND_H
#define LATHE_SCHED_COND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

void cond_init(pthread_cond_t *c);
/* Until it is signalled, or for no reason, as such waits are. False: it is `until` (machine_now's
 * us) and nobody has. */
bool cond_wait_until(pthread_cond_t *c, pthread_mutex_t *held, int64_t until);

#endif
