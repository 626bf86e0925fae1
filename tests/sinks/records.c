/* Numbered records. */
#include "sinks/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/heap.h"
#include "base/map.h"

SinkRecord record_make(int i, char *text, char *name)
{
    const int key = i % RECORD_KEYS;
    const uint64_t id = hash_mix(1, (uint64_t)i);
    char *const event = name + 32;
    snprintf(name, 32, "s%d", key);
    snprintf(event, 32, "kill_%d", key);
    const int size =
        snprintf(text, RECORD_TEXT,
                 "{\"v\":1,\"id\":\"%016llx\",\"rev\":%d,\"n\":%d,\"stream\":\"%s\",\"event\":"
                 "\"%s\",\"text\":\"%0*d\"}",
                 (unsigned long long)id, i % 3, i, name, event, 1 + i * 7 % 200, i);
    return (SinkRecord){.stream = name,
                        .event = event,
                        .id = id,
                        .rev = i % 3,
                        .severity = 1,
                        .json = text,
                        .size = (size_t)size};
}

Arrivals *arrivals_new(void)
{
    Arrivals *const a = heap_alloc(sizeof *a, 8);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->more, &monotonic);
    return a;
}

void arrivals_free(Arrivals *a)
{
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->more);
    heap_free(a);
}

void arrivals_clear(Arrivals *a)
{
    pthread_mutex_lock(&a->lock);
    a->n = a->unknown = 0;
    memset(a->times, 0, sizeof a->times);
    memset(a->first, 0, sizeof a->first);
    pthread_mutex_unlock(&a->lock);
}

int arrivals_take(Arrivals *a, const char *text, size_t size)
{
    char copy[RECORD_TEXT], want[RECORD_TEXT], name[64];
    int i = -1;
    if (size < sizeof copy) {
        memcpy(copy, text, size);
        copy[size] = '\0';
        const char *const at = strstr(copy, "\"n\":");
        i = at ? atoi(at + 4) : -1;
        if (i >= RECORDS_MAX)
            i = -1;
        if (i >= 0) {
            const SinkRecord r = record_make(i, want, name);
            if (r.size != size || memcmp(want, text, size) != 0)
                i = -1;
        }
    }
    pthread_mutex_lock(&a->lock);
    a->n++;
    if (i < 0)
        a->unknown++;
    else if (a->times[i]++ == 0)
        a->first[i] = a->n;
    pthread_cond_broadcast(&a->more);
    pthread_mutex_unlock(&a->lock);
    return i;
}

void arrivals_read(Arrivals *a, const char *path)
{
    FILE *const f = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; f && (n = getline(&line, &cap, f)) > 0;)
        if (n >= 2 && line[n - 1] == '\n' && line[n - 2] == '}')
            arrivals_take(a, line, (size_t)n - 1);
    free(line);
    if (f)
        fclose(f);
}

bool arrivals_wait(Arrivals *a, int first, int n, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)seconds;
    until.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&a->lock);
    int i = first, late = 0;
    while (i < first + n && !late) {
        if (a->times[i] > 0)
            i++;
        else
            late = pthread_cond_timedwait(&a->more, &a->lock, &until);
    }
    pthread_mutex_unlock(&a->lock);
    return i == first + n;
}

const char *arrivals_wrong(Arrivals *a, const bool *sent, int n, int *twice)
{
    static char text[128];
    const char *wrong = NULL;
    int last[RECORD_KEYS] = {0};
    *twice = 0;
    pthread_mutex_lock(&a->lock);
    if (a->unknown > 0)
        snprintf(text, sizeof text, "%d lines are not what was sent", a->unknown), wrong = text;
    for (int i = 0; i < n && !wrong; i++) {
        int *const before = &last[i % RECORD_KEYS];
        *twice += a->times[i] > 1;
        if (sent[i] && a->times[i] == 0)
            snprintf(text, sizeof text, "record %d is lost", i), wrong = text;
        if (a->times[i] > 0 && a->first[i] < *before)
            snprintf(text, sizeof text, "record %d came before one of its key that is older", i),
                wrong = text;
        if (a->times[i] > 0)
            *before = a->first[i];
    }
    for (int i = n; i < RECORDS_MAX && !wrong; i++)
        if (a->times[i] > 0)
            snprintf(text, sizeof text, "record %d came and was never sent", i), wrong = text;
    pthread_mutex_unlock(&a->lock);
    return wrong;
}
