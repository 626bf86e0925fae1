/* See fork.h. A counter and not a lock for many readers, as those let new readers in while a fork
 * waits. */
#include "codegen/fork.h"

#include <pthread.h>

/* Of the process, as LLVM's lists are. */
static struct Guard {
    pthread_mutex_t lock; /* guards the rest; held from before a fork until after it */
    pthread_cond_t idle, forked;
    int running; /* threads within LLVM */
    int forks;   /* threads that wait to fork */
} guard = {.lock = PTHREAD_MUTEX_INITIALIZER,
           .idle = PTHREAD_COND_INITIALIZER,
           .forked = PTHREAD_COND_INITIALIZER};

static void before_fork(void)
{
    pthread_mutex_lock(&guard.lock);
    guard.forks++;
    while (guard.running > 0)
        pthread_cond_wait(&guard.idle, &guard.lock);
}

static void in_parent(void)
{
    guard.forks--;
    pthread_cond_broadcast(&guard.forked);
    pthread_mutex_unlock(&guard.lock);
}

/* Whoever waited is not there any more. */
static void in_child(void)
{
    static const pthread_cond_t fresh = PTHREAD_COND_INITIALIZER;
    guard.forks = 0;
    guard.idle = guard.forked = fresh;
    pthread_mutex_unlock(&guard.lock);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}

void llvm_enter(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&guard.lock);
    while (guard.forks > 0)
        pthread_cond_wait(&guard.forked, &guard.lock);
    guard.running++;
    pthread_mutex_unlock(&guard.lock);
}

void llvm_leave(void)
{
    pthread_mutex_lock(&guard.lock);
    if (--guard.running == 0)
        pthread_cond_signal(&guard.idle);
    pthread_mutex_unlock(&guard.lock);
}
