/* Numbered records for tests of sinks, and what arrived of them.
 *
 * Record i belongs to key i % KEYS, a stream and event of its own; its text is a function of i
 * alone, so that what arrives can be compared with what was sent, and what arrives twice with
 * itself. */
#ifndef LATHE_TESTS_RECORDS_H
#define LATHE_TESTS_RECORDS_H

#include <pthread.h>

#include "watch/sink.h"

enum { RECORD_KEYS = 5, RECORDS_MAX = 20000, RECORD_TEXT = 512 };

/* Valid as long as text[RECORD_TEXT] and name[64] are. */
SinkRecord record_make(int i, char *text, char *name);

typedef struct Arrivals {
    pthread_mutex_t lock;
    pthread_cond_t more;
    int n, unknown;              /* lines that came; lines that are no record */
    int times[RECORDS_MAX];      /* how often each came */
    int first[RECORDS_MAX];      /* when it came first: 1.. */
} Arrivals;

Arrivals *arrivals_new(void);
void arrivals_free(Arrivals *a);
void arrivals_clear(Arrivals *a);
/* From any thread; -1: not what was sent. */
int arrivals_take(Arrivals *a, const char *text, size_t size);
/* Each line of a file but those that were cut off. */
void arrivals_read(Arrivals *a, const char *path);
/* Until records first..first+n-1 are there; false: not in time (s). */
bool arrivals_wait(Arrivals *a, int first, int n, double seconds);
/* All of sent[0..n) came, nothing else, and each key's came first in their order; *twice: how many
 * came more than once. The message says what is wrong; NULL: nothing. */
const char *arrivals_wrong(Arrivals *a, const bool *sent, int n, int *twice);

#endif
