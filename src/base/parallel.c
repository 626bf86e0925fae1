/* parallel_for: threads take the next index from a shared counter. */
#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

enum { MAX_THREADS = 256 };

typedef struct Work {
    atomic_int next;
    int n;
    void (*fn)(int, void *);
    void *arg;
} Work;

static void *worker(void *arg)
{
    Work *w = arg;
    for (;;) {
        const int i = atomic_fetch_add(&w->next, 1);
        if (i >= w->n)
            return NULL;
        w->fn(i, w->arg);
    }
}

void parallel_for(int n, int threads, void (*fn)(int i, void *arg), void *arg)
{
    Work w = {.n = n, .fn = fn, .arg = arg};
    pthread_t thread[MAX_THREADS];
    int want = (threads < n ? threads : n) - 1, made = 0;
    if (want > MAX_THREADS)
        want = MAX_THREADS;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, (size_t)8 << 20); /* LLVM recurses deeply */
    /* A thread that cannot be made is done without: the others take its share. */
    while (made < want && pthread_create(&thread[made], &attr, worker, &w) == 0)
        made++;
    pthread_attr_destroy(&attr);
    worker(&w);
    for (int i = 0; i < made; i++)
        pthread_join(thread[i], NULL);
}

int parallel_quota(const char *cpu_max)
{
    long long quota, period;
    if (sscanf(cpu_max, "%lld %lld", &quota, &period) != 2 || quota <= 0 || period <= 0)
        return 0;
    const long long n = quota / period + (quota % period != 0);
    return n < MAX_THREADS ? (int)n : MAX_THREADS;
}

/* What the control group of a container allows; elsewhere there is no such file at the root. */
static int group_quota(void)
{
    char text[64] = "";
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (!f)
        return 0;
    const int n = fgets(text, sizeof text, f) ? parallel_quota(text) : 0;
    fclose(f);
    return n;
}

int parallel_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    const int n = CPU_COUNT(&set), quota = group_quota();
    return quota > 0 && quota < n ? quota : n > 0 ? n : 1;
}
