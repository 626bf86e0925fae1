/* Thread pool: parts are claimed with a word that holds the job's number, so that a worker which
 * wakes late can never touch a newer job, and needs no lock to find out. */
#include "runtime/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/heap.h"
#include "base/parallel.h"

#define SPIN_NS 200000 /* how long a worker waits awake for the next job */

typedef struct Part {
    _Alignas(64) atomic_uint_fast64_t claim; /* 2 * job: free; 2 * job + 1: taken */
} Part;

struct Pool {
    int threads, started;
    bool left_behind; /* by fork: the threads are the parent's */
    bool pinned;
    cpu_set_t cpus;   /* of the process */
    atomic_int runs;  /* on their way */
    pthread_t thread[POOL_MAX_WORKERS];
    struct Worker {
        Pool *pool;
        int index;
        atomic_int cpu;   /* where it was when it last looked; -1: not yet */
        int64_t moved_ns; /* when it last went elsewhere */
    } worker[POOL_MAX_WORKERS];

    pthread_mutex_t busy; /* held by the caller whose job runs; guards fn, arg, extent, nparts */
    PoolFn fn;
    void *arg;
    int64_t extent;
    int nparts;

    _Alignas(64) atomic_uint_fast64_t job; /* number of the newest job */
    atomic_int caller_cpu;                 /* where its caller was */
    _Alignas(64) atomic_int left;          /* parts not finished */
    atomic_int error;

    pthread_mutex_t park; /* guards parked and wake */
    pthread_cond_t wake;
    atomic_int parked;
    atomic_bool stop;
    Part part[POOL_MAX_WORKERS];
};

static inline void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Runs part `w` of job `job` if nobody else has it. */
static void try_part(Pool *p, uint_fast64_t job, int w, int worker)
{
    uint_fast64_t expected = 2 * job;
    if (!atomic_compare_exchange_strong(&p->part[w].claim, &expected, 2 * job + 1))
        return;
    /* Ours: the caller waits for us, so the job's fields stand still. */
    const int64_t n = p->extent, parts = p->nparts;
    const int64_t begin = n / parts * w + (w < n % parts ? w : n % parts);
    const int64_t end = begin + n / parts + (w < n % parts);
    const int code = p->fn(p->arg, worker, begin, end);
    if (code != 0) {
        int none = 0;
        atomic_compare_exchange_strong(&p->error, &none, code);
    }
    atomic_fetch_sub(&p->left, 1);
}

/* Takes this thread from the CPU that it is on to one where neither the caller nor another worker
 * is, if there is one, and lets it go where it likes from there. */
static void leave_cpu(struct Worker *me, int caller)
{
    Pool *p = me->pool;
    cpu_set_t mine, rest;
    if (sched_getaffinity(0, sizeof mine, &mine) != 0)
        return;
    rest = mine;
    CPU_CLR(caller, &rest);
    for (int w = 1; w < POOL_MAX_WORKERS && p->worker[w].pool; w++) {
        const int cpu = atomic_load_explicit(&p->worker[w].cpu, memory_order_relaxed);
        if (w != me->index && cpu >= 0)
            CPU_CLR(cpu, &rest);
    }
    if (CPU_COUNT(&rest) > 0 && sched_setaffinity(0, sizeof rest, &rest) == 0)
        sched_setaffinity(0, sizeof mine, &mine);
}

#define MOVE_NS 1000000 /* not more often: callers may be everywhere */

/* A system wakes a thread where its waker is if the other CPUs look busy then, and may leave it
 * there for as long as both run but a fraction of a millisecond at a time: the two take turns on
 * one CPU while another idles, and every job takes as long as on one thread, or a time slice. So a
 * worker that finds itself beside the caller goes elsewhere. */
static void keep_apart(struct Worker *me, int64_t now)
{
    Pool *p = me->pool;
    const int caller = atomic_load_explicit(&p->caller_cpu, memory_order_relaxed),
              cpu = sched_getcpu();
    if (p->pinned || cpu < 0)
        return;
    atomic_store_explicit(&me->cpu, cpu, memory_order_relaxed);
    if (cpu == caller && now - me->moved_ns > MOVE_NS) {
        me->moved_ns = now;
        leave_cpu(me, caller);
    }
}

/* The next job after `seen`, or `seen` if the pool stops. */
static uint_fast64_t wait_job(struct Worker *me, uint_fast64_t seen)
{
    Pool *p = me->pool;
    int64_t now = now_ns();
    const int64_t until = now + SPIN_NS;
    do {
        for (int i = 0; i < 64; i++) {
            const uint_fast64_t job = atomic_load_explicit(&p->job, memory_order_acquire);
            if (job != seen)
                return job;
            pause_cpu();
        }
        if (atomic_load(&p->stop))
            return seen;
        now = now_ns();
        keep_apart(me, now);
    } while (now < until);
    pthread_mutex_lock(&p->park);
    atomic_fetch_add(&p->parked, 1);
    while (atomic_load(&p->job) == seen && !atomic_load(&p->stop))
        pthread_cond_wait(&p->wake, &p->park);
    atomic_fetch_sub(&p->parked, 1);
    pthread_mutex_unlock(&p->park);
    return atomic_load(&p->job);
}

/* Keeps this thread to the index-th CPU of those that the process may use; beyond them, where it
 * is. */
static void pin(const cpu_set_t *cpus, int index)
{
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, cpus) || index-- > 0)
            continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        pthread_setaffinity_np(pthread_self(), sizeof one, &one);
        return;
    }
}

static void *worker_main(void *arg)
{
    struct Worker *me = arg;
    Pool *p = me->pool;
    if (p->pinned)
        pin(&p->cpus, me->index);
    uint_fast64_t seen = 0;
    while (!atomic_load(&p->stop)) {
        const uint_fast64_t job = wait_job(me, seen);
        if (job == seen)
            continue;
        seen = job;
        try_part(p, job, me->index, me->index);
    }
    return NULL;
}

int pool_threads(const Pool *p)
{
    return p->threads;
}

void pool_enter(Pool *p)
{
    atomic_fetch_add(&p->runs, 1);
}

void pool_leave(Pool *p)
{
    atomic_fetch_sub(&p->runs, 1);
}

/* Workers for one of the runs that are on their way. */
static int share_of_run(Pool *p)
{
    const int runs = atomic_load_explicit(&p->runs, memory_order_relaxed);
    return p->left_behind ? 1 : runs > 1 ? p->threads / runs : p->threads;
}

int pool_run(Pool *p, int threads, PoolFn fn, void *arg, int64_t extent)
{
    if (extent <= 0)
        return 0;
    const int share = share_of_run(p);
    if (threads > share)
        threads = share;
    if (threads > extent)
        threads = (int)extent;
    if (threads <= 1 || pthread_mutex_trylock(&p->busy) != 0)
        return fn(arg, 0, 0, extent);

    p->fn = fn;
    p->arg = arg;
    p->extent = extent;
    p->nparts = threads;
    atomic_store(&p->left, threads);
    atomic_store(&p->error, 0);
    atomic_store_explicit(&p->caller_cpu, sched_getcpu(), memory_order_relaxed);
    const uint_fast64_t job = atomic_load(&p->job) + 1;
    for (int w = 0; w < threads; w++)
        atomic_store(&p->part[w].claim, 2 * job);
    /* sequentially consistent with `parked`: nobody sleeps through it */
    atomic_store(&p->job, job);
    if (atomic_load(&p->parked) > 0) {
        pthread_mutex_lock(&p->park);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->park);
    }
    /* Our part, then whatever nobody has started. Parts taken over run as worker 0 too: we are one
     * thread. */
    for (int w = 0; w < threads; w++)
        try_part(p, job, w, 0);
    for (int spins = 0; atomic_load_explicit(&p->left, memory_order_acquire) > 0; spins++) {
        pause_cpu();
        if (spins > 20000)
            sched_yield(); /* more threads than cores: let them run */
    }
    const int code = atomic_load(&p->error);
    pthread_mutex_unlock(&p->busy);
    return code;
}

int pool_new(int threads, Pool **out, Error *e)
{
    *out = NULL;
    if (threads < 1 || threads > POOL_MAX_WORKERS)
        return error_set(e, ERR_INVALID, "%d threads: at least 1, at most %d", threads,
                         POOL_MAX_WORKERS);
    Pool *p = heap_alloc(sizeof *p, 64);
    if (!p)
        return error_set(e, ERR_MEMORY, "out of memory for the thread pool");
    pthread_mutex_init(&p->busy, NULL);
    pthread_mutex_init(&p->park, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->threads = threads;
    p->caller_cpu = -1;
    const char *affinity = getenv("LATHE_AFFINITY");
    p->pinned = affinity && strcmp(affinity, "1") == 0 &&
                sched_getaffinity(0, sizeof p->cpus, &p->cpus) == 0;
    for (int i = 1; i < threads; i++)
        p->worker[i] = (struct Worker){.pool = p, .index = i, .cpu = -1};
    for (int i = 1; i < threads; i++) {
        if (pthread_create(&p->thread[i], NULL, worker_main, &p->worker[i]) != 0)
            break;
        p->started = i;
    }
    p->threads = p->started + 1; /* fewer than asked for is slower, not wrong */
    *out = p;
    return 0;
}

void pool_free(Pool *p)
{
    if (!p ||
        p->left_behind) /* whose memory is the parent's threads' too, as far as can be known */
        return;
    pthread_mutex_lock(&p->park);
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->park);
    for (int i = 1; i <= p->started; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->park);
    pthread_mutex_destroy(&p->busy);
    heap_free(p);
}

/* The one thing that all sessions of a process share, whoever made them: cores. */
static struct Shared {
    pthread_mutex_t lock; /* guards pool and users */
    Pool *pool;
    int users;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void before_fork(void)
{
    pthread_mutex_lock(&shared.lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&shared.lock);
}

static void in_child(void)
{
    if (shared.pool)
        shared.pool->left_behind = true;
    shared.pool = NULL;
    shared.users = 0;
    pthread_mutex_unlock(&shared.lock);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, in_child);
}

int pool_acquire(Pool **out, Error *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int code = 0;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&shared.lock);
    if (shared.users == 0) {
        const int cpus = parallel_cpus();
        code = pool_new(cpus < POOL_MAX_WORKERS ? cpus : POOL_MAX_WORKERS, &shared.pool, e);
    }
    if (code == 0)
        shared.users++;
    *out = code == 0 ? shared.pool : NULL;
    pthread_mutex_unlock(&shared.lock);
    return code;
}

void pool_release(Pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&shared.lock);
    if (p == shared.pool && --shared.users == 0) { /* else left behind by a fork */
        pool_free(shared.pool);
        shared.pool = NULL;
    }
    pthread_mutex_unlock(&shared.lock);
}
