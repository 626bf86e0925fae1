/* epoll, an eventfd to be woken by, a heap of timers. */
#include "net/event_loop.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/vec.h"
#include "sched/clock.h"

#define EVENTS_AT_ONCE 64

struct EventLoop {
    Arena *arena;
    Clock clock;
    int epoll, wake;
    VEC(LoopTimer *) timer; /* heap: at[0] is the next one */
    struct epoll_event event[EVENTS_AT_ONCE]; /* fetched, being told */
    int nevent;

    pthread_mutex_t lock;   /* guards what follows */
    LoopPost *first, **last;
    bool stopped;
};

int event_loop_new(EventLoop **out, Error *e)
{
    Arena *const a = arena_new();
    EventLoop *const l = arena_new_of(a, EventLoop);
    l->arena = a;
    l->clock = clock_machine();
    l->last = &l->first;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event ev = {.events = EPOLLIN}; /* data.ptr NULL: the eventfd */
    pthread_mutex_init(&l->lock, NULL);
    *out = l;
    if (l->epoll >= 0 && l->wake >= 0 && epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->wake, &ev) == 0)
        return 0;
    const int code = error_set(e, ERR_IO, "event loop: %s", strerror(errno));
    event_loop_free(l);
    *out = NULL;
    return code;
}

void event_loop_free(EventLoop *l)
{
    if (!l)
        return;
    if (l->epoll >= 0)
        close(l->epoll);
    if (l->wake >= 0)
        close(l->wake);
    pthread_mutex_destroy(&l->lock);
    arena_free(l->arena);
}

/* ---- sockets ---- */

int event_loop_socket(EventLoop *l, LoopSocket *s, unsigned events, Error *e)
{
    struct epoll_event ev = {.data.ptr = s, .events = EPOLLRDHUP * !!(events & LOOP_READ)};
    ev.events |= events & LOOP_READ ? EPOLLIN : 0;
    ev.events |= events & LOOP_WRITE ? EPOLLOUT : 0;
    if (epoll_ctl(l->epoll, s->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, &ev) != 0)
        return error_set(e, ERR_IO, "waiting for a socket: %s", strerror(errno));
    s->known = true;
    return 0;
}

void event_loop_forget(EventLoop *l, LoopSocket *s)
{
    if (!s->known)
        return;
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, s->fd, NULL);
    s->known = false;
    for (int i = 0; i < l->nevent; i++)
        if (l->event[i].data.ptr == s)
            l->event[i].events = 0;
}

static void tell(const struct epoll_event *ev)
{
    LoopSocket *const s = ev->data.ptr;
    unsigned events = 0;
    /* a half-closed socket reads as its end */
    events |= ev->events & (EPOLLIN | EPOLLRDHUP) ? LOOP_READ : 0;
    events |= ev->events & EPOLLOUT ? LOOP_WRITE : 0;
    events |= ev->events & (EPOLLERR | EPOLLHUP) ? LOOP_GONE : 0;
    s->ready(s, events);
}

/* ---- timers ---- */

static void put_timer(EventLoop *l, int i, LoopTimer *t)
{
    l->timer.at[i] = t;
    t->place = i + 1;
}

static void sift_up(EventLoop *l, int i)
{
    LoopTimer *const t = l->timer.at[i];
    for (; i > 0 && l->timer.at[(i - 1) / 2]->at > t->at; i = (i - 1) / 2)
        put_timer(l, i, l->timer.at[(i - 1) / 2]);
    put_timer(l, i, t);
}

static void sift_down(EventLoop *l, int i)
{
    LoopTimer *const t = l->timer.at[i];
    for (;;) {
        int child = 2 * i + 1;
        if (child >= l->timer.len)
            break;
        child += child + 1 < l->timer.len && l->timer.at[child + 1]->at < l->timer.at[child]->at;
        if (l->timer.at[child]->at >= t->at)
            break;
        put_timer(l, i, l->timer.at[child]);
        i = child;
    }
    put_timer(l, i, t);
}

void event_loop_timer_off(EventLoop *l, LoopTimer *t)
{
    if (t->place == 0)
        return;
    const int i = t->place - 1;
    t->place = 0;
    LoopTimer *const last = l->timer.at[--l->timer.len];
    if (last == t)
        return;
    put_timer(l, i, last);
    sift_up(l, i);
    sift_down(l, last->place - 1);
}

void event_loop_timer(EventLoop *l, LoopTimer *t, int64_t at)
{
    event_loop_timer_off(l, t);
    t->at = at;
    vec_push(l->arena, &l->timer, t);
    sift_up(l, l->timer.len - 1);
}

static void fire_timers(EventLoop *l)
{
    const int64_t now = clock_now(&l->clock);
    while (l->timer.len > 0 && l->timer.at[0]->at <= now) {
        LoopTimer *const t = l->timer.at[0];
        event_loop_timer_off(l, t);
        t->fire(t);
    }
}

/* ms, rounded up: a timer never fires early. */
static int wait_time(const EventLoop *l)
{
    if (l->timer.len == 0)
        return -1;
    const int64_t left = l->timer.at[0]->at - clock_now(&l->clock);
    return left <= 0 ? 0 : left > 60000000 ? 60000 : (int)((left + 999) / 1000);
}

int64_t event_loop_now(const EventLoop *l) { return clock_now(&l->clock); }

/* ---- other threads ---- */

static void wake(const EventLoop *l)
{
    const uint64_t one = 1;
    while (write(l->wake, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

void event_loop_post(EventLoop *l, LoopPost *p)
{
    pthread_mutex_lock(&l->lock);
    const bool first = l->first == NULL;
    p->next = NULL;
    *l->last = p;
    l->last = &p->next;
    pthread_mutex_unlock(&l->lock);
    if (first)
        wake(l);
}

void event_loop_stop(EventLoop *l)
{
    /* no lock: a signal's handler may call this */
    __atomic_store_n(&l->stopped, true, __ATOMIC_RELEASE);
    wake(l);
}

static void run_posts(EventLoop *l)
{
    pthread_mutex_lock(&l->lock);
    LoopPost *p = l->first;
    l->first = NULL;
    l->last = &l->first;
    pthread_mutex_unlock(&l->lock);
    while (p) {
        LoopPost *const next = p->next; /* it may be posted anew, or freed */
        p->run(p);
        p = next;
    }
}

void event_loop_run(EventLoop *l)
{
    while (!__atomic_load_n(&l->stopped, __ATOMIC_ACQUIRE)) {
        const int n = epoll_wait(l->epoll, l->event, EVENTS_AT_ONCE, wait_time(l));
        l->nevent = n > 0 ? n : 0;
        for (int i = 0; i < l->nevent; i++) {
            if (l->event[i].data.ptr && l->event[i].events != 0)
                tell(&l->event[i]);
            uint64_t count;
            if (!l->event[i].data.ptr && read(l->wake, &count, sizeof count) > 0)
                run_posts(l);
        }
        l->nevent = 0;
        fire_timers(l);
    }
    __atomic_store_n(&l->stopped, false, __ATOMIC_RELEASE);
}
