/* A folder of a test, with an outbox in it. */
#ifndef LATHE_TESTS_SCRATCH_H
#define LATHE_TESTS_SCRATCH_H

#include "sinks/records.h"

/* For cmocka: set-up and tear-down. */
int scratch_make(void **state);
int scratch_remove(void **state);
/* Of a file in it; valid until the eighth call after. */
const char *scratch_path(const char *name);
/* A certificate for the host `name`, that vouches for itself: NAME.pem and NAME.key in the folder
 * (openssl's command). */
void scratch_certificate(const char *name);
/* On the folder's outbox; they must be right. */
Sinks *scratch_sinks(int n, const SinkSpec *spec);
/* Records first..first+n-1 (sinks/records.h). */
void scratch_add(Sinks *s, int first, int n);
/* What the first sink counts once that is so, or after half a minute. */
SinkCounts scratch_until(Sinks *s, bool (*is_so)(const SinkCounts *c));
bool scratch_fails(const SinkCounts *c); /* and nothing has come of it so far */
bool scratch_is_empty(const SinkCounts *c);
bool scratch_has_dead(const SinkCounts *c);
/* Records 0..n-1 must arrive, nothing else, each key's in order. How many came more than once. */
int scratch_arrived(Arrivals *a, int n);

#endif
