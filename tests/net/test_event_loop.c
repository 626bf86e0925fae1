/* The event loop: timers in order, posts from threads, sockets that are forgotten while they are
 * told. */
#include "check.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/event_loop.h"

#define inside(T, member, p) ((T *)(void *)((char *)(p) - offsetof(T, member)))

typedef struct Tick {
    LoopTimer timer;
    EventLoop *loop;
    int *order, *n, number;
    int last; /* the loop stops after this many */
} Tick;

static void on_tick(LoopTimer *t)
{
    Tick *const k = inside(Tick, timer, t);
    assert_true(event_loop_now(k->loop) >= t->at);
    k->order[(*k->n)++] = k->number;
    if (*k->n == k->last)
        event_loop_stop(k->loop);
}

static void test_timers(void **state)
{
    (void)state;
    EventLoop *l;
    Error e;
    assert_int_equal(event_loop_new(&l, &e), 0);
    enum { N = 50 };
    Tick tick[N];
    int order[N], n = 0;
    const int64_t now = event_loop_now(l);
    for (int i = 0; i < N; i++) {
        tick[i] = (Tick){
            .timer.fire = on_tick, .loop = l, .order = order, .n = &n, .number = i, .last = N - 10};
        event_loop_timer(l, &tick[i].timer, now + 1000000 + i);
    }
    for (int i = 0; i < N; i++) /* 0, 37, 24, 11, .. : another order, and another time */
        event_loop_timer(l, &tick[i].timer, now + 200 * ((i * 37) % N));
    for (int i = 0; i < N; i += 5)
        event_loop_timer_off(l, &tick[i].timer);
    event_loop_timer_off(l, &tick[0].timer); /* off already */
    event_loop_run(l);
    assert_int_equal(n, N - 10);
    for (int i = 0; i < n; i++) {
        assert_true(order[i] % 5 != 0);
        assert_true(i == 0 || (order[i] * 37) % N > (order[i - 1] * 37) % N);
    }
    event_loop_free(l);
}

typedef struct Note {
    LoopPost post;
    EventLoop *loop;
    int *seen, number;
} Note;

static void on_note(LoopPost *p)
{
    Note *const n = inside(Note, post, p);
    assert_int_equal(*n->seen % 100, n->number); /* in the order of posting */
    if (++*n->seen % 100 == 99)
        event_loop_stop(n->loop);
}

static void *post_all(void *arg)
{
    Note *const note = arg;
    for (int i = 0; i < 99; i++)
        event_loop_post(note[i].loop, &note[i].post);
    return NULL;
}

static void test_posts(void **state)
{
    (void)state;
    EventLoop *l;
    Error e;
    assert_int_equal(event_loop_new(&l, &e), 0);
    Note note[99];
    int seen = 0;
    for (int i = 0; i < 99; i++)
        note[i] = (Note){.post.run = on_note, .loop = l, .seen = &seen, .number = i};
    for (int round = 0; round < 20; round++) {
        pthread_t t;
        seen = 0;
        pthread_create(&t, NULL, post_all, note);
        event_loop_run(l);
        pthread_join(t, NULL);
        assert_int_equal(seen, 99);
    }
    event_loop_free(l);
}

typedef struct Pair {
    LoopSocket socket;
    EventLoop *loop;
    struct Pair *other;
    int told;
} Pair;

/* Who is told first silences the other. */
static void on_pair(LoopSocket *s, unsigned events)
{
    Pair *const p = inside(Pair, socket, s);
    assert_true(events & LOOP_READ);
    p->told++;
    event_loop_forget(p->loop, &p->other->socket);
    event_loop_forget(p->loop, s);
    event_loop_stop(p->loop);
}

static void test_forgotten_socket_is_silent(void **state)
{
    (void)state;
    EventLoop *l;
    Error e;
    assert_int_equal(event_loop_new(&l, &e), 0);
    int a[2], b[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
    Pair first = {.socket = {a[0], on_pair, false}, .loop = l},
         second = {.socket = {b[0], on_pair, false}, .loop = l};
    first.other = &second;
    second.other = &first;
    assert_int_equal(event_loop_socket(l, &first.socket, LOOP_READ, &e), 0);
    assert_int_equal(event_loop_socket(l, &second.socket, LOOP_READ, &e), 0);
    assert_int_equal(write(a[1], "x", 1) + write(b[1], "x", 1), 2);
    event_loop_run(l);
    assert_int_equal(first.told + second.told, 1);
    event_loop_stop(l); /* before it runs */
    event_loop_run(l);
    close(a[0]), close(a[1]), close(b[0]), close(b[1]);
    event_loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_posts),
        cmocka_unit_test(test_forgotten_socket_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
