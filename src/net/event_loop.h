/* An event loop: one thread that waits for sockets, timers and messages of other threads. epoll(7),
 * Linux.
 *
 *     EventLoop *l;
 *     event_loop_new(&l, &e);
 *     event_loop_socket(l, &s, LOOP_READ, &e);    // s.ready is called when there is something to read
 *     event_loop_run(l);                          // until event_loop_stop
 *     event_loop_free(l);
 *
 * What is called by the loop never blocks and never computes for long: such work goes to
 * sched/workers.h, and comes back by event_loop_post. Sockets, timers and posts belong to who
 * made them and stand inside what they serve. All but event_loop_post and event_loop_stop are
 * for the loop's thread (or before it runs). */
#ifndef LATHE_NET_EVENT_LOOP_H
#define LATHE_NET_EVENT_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    LOOP_READ = 1,
    LOOP_WRITE = 2,
    LOOP_GONE = 4 /* the other side hung up, or an error: always told */
};

typedef struct LoopSocket {
    int fd;
    void (*ready)(struct LoopSocket *s, unsigned events);
    bool known; /* the loop's */
} LoopSocket;

typedef struct LoopTimer {
    void (*fire)(struct LoopTimer *t);
    int64_t at;  /* the loop's, as what follows */
    int place;   /* in its heap, from 1; 0: off */
} LoopTimer;

typedef struct LoopPost {
    void (*run)(struct LoopPost *p);
    struct LoopPost *next; /* the loop's */
} LoopPost;

/* The T in which a socket, timer or post at p is `member`. */
#define owner_of(T, member, p) ((T *)(void *)((char *)(p) - offsetof(T, member)))

typedef struct EventLoop EventLoop;

/* ERR_IO: no descriptors are left. */
int event_loop_new(EventLoop **out, Error *e);
/* What is still in it is forgotten; nothing is closed. */
void event_loop_free(EventLoop *l);
void event_loop_run(EventLoop *l);
/* From any thread, or a signal's handler: event_loop_run returns after what it does now; one that
 * begins later returns at once. */
void event_loop_stop(EventLoop *l);

/* Adds a socket, or changes what is waited for. ERR_IO: too many are watched. */
int event_loop_socket(EventLoop *l, LoopSocket *s, unsigned events, Error *e);
/* Before it is closed. It is not called any more, also for what has happened already. */
void event_loop_forget(EventLoop *l, LoopSocket *s);

/* Sets a timer, or moves it; it fires once. `at`: us of the machine's clock (sched/clock.h). */
void event_loop_timer(EventLoop *l, LoopTimer *t, int64_t at);
void event_loop_timer_off(EventLoop *l, LoopTimer *t);
int64_t event_loop_now(const EventLoop *l);

/* From any thread: p->run is called on the loop's thread, in the order of posting. A post is in the
 * queue at most once at a time. */
void event_loop_post(EventLoop *l, LoopPost *p);

#endif
