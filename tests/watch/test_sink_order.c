/* The order of deliveries: rows of random keys, verdicts by chance, against what each key must
 * see. */
#include "check.h"

#include <stdio.h>

#include "watch/sink_order.h"

enum { KEYS = 7, ROWS = 400, WINDOW = 8 };

typedef struct World { /* the outbox and the other side */
    uint64_t random;
    int nrow;              /* rows that were added, 1.. */
    uint64_t key[ROWS + 1];
    bool settled[ROWS + 1];
    int n;
    int64_t under_way[WINDOW];
    int64_t now;
} World;

static uint64_t chance(World *w, uint64_t n)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (w->random >> 33) % n;
}

static int64_t next_of(const World *w, uint64_t key, int64_t after, int64_t last)
{
    for (int64_t i = after + 1; i <= last; i++)
        if (w->key[i] == key && !w->settled[i])
            return i;
    return 0;
}

/* What goes out: no earlier row of its key may be open, unless it is under way and the link keeps
 * the order. */
static void send_row(World *w, const SinkOrder *o, int64_t seq)
{
    assert_false(w->settled[seq]);
    for (int64_t i = 1; i < seq; i++) {
        bool flying = false;
        for (int k = 0; k < w->n; k++)
            flying |= w->under_way[k] == i;
        if (w->key[i] == w->key[seq] && !w->settled[i])
            assert_true(o->ordered && flying);
    }
    w->under_way[w->n++] = seq;
}

static void fill(World *w, SinkOrder *o)
{
    for (int at; w->n < WINDOW / 2 && (at = order_due(o, w->now)) >= 0;) {
        const OrderKey k = o->key[at];
        const int64_t seq = next_of(w, k.key, k.after, o->cursor);
        if (seq == 0) {
            order_drained(o, at);
            continue;
        }
        order_sent(o, at);
        send_row(w, o, seq);
    }
    while (w->n < WINDOW && o->cursor < w->nrow) {
        const int64_t seq = o->cursor + 1;
        assert_true(order_room(o));
        if (order_fresh(o, w->key[seq], seq))
            send_row(w, o, seq);
    }
}

static void settle_one(World *w, SinkOrder *o)
{
    /* ordered links answer in order */
    const int i = o->ordered ? 0 : (int)chance(w, (uint64_t)w->n);
    const int64_t seq = w->under_way[i];
    memmove(w->under_way + i, w->under_way + i + 1, (size_t)(--w->n - i) * sizeof *w->under_way);
    if (o->ordered || chance(w, 3) > 0) {
        w->settled[seq] = true;
        order_settled(o, w->key[seq], seq);
        assert_int_equal(order_attempts(o, w->key[seq]), 0);
    } else {
        const int before = order_attempts(o, w->key[seq]);
        order_failed(o, w->key[seq], w->now + (int64_t)chance(w, 20));
        assert_int_equal(order_attempts(o, w->key[seq]), before + 1);
    }
}

static void break_link(World *w, SinkOrder *o)
{
    for (int i = 0; i < w->n; i++)
        order_back(o, w->key[w->under_way[i]]);
    w->n = 0;
}

static void play(uint64_t seed, bool ordered)
{
    World w = {.random = seed};
    SinkOrder o = {.ordered = ordered};
    const int most = 1 + (int)chance(&w, KEYS);
    bool idle = false;
    for (int turn = 0; turn < 20000 && !(idle && w.nrow == ROWS); turn++) {
        w.now++;
        if (w.nrow < ROWS && chance(&w, 2))
            w.key[++w.nrow] = chance(&w, (uint64_t)most);
        fill(&w, &o);
        if (chance(&w, 40) == 0)
            break_link(&w, &o);
        else if (w.n > 0 && chance(&w, 3))
            settle_one(&w, &o);
        idle = w.n == 0 && order_next(&o) == INT64_MAX && o.cursor == w.nrow;
    }
    for (int i = 1; i <= ROWS; i++)
        assert_true(w.settled[i]);
    assert_int_equal(o.n, 0); /* nothing is held of what is over */
    order_free(&o);
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++)
        play(seed, seed % 3 == 0);
}

/* A key that fails holds up itself alone, and is tried when it is due. */
static void test_one_fails(void **state)
{
    (void)state;
    SinkOrder o = {0};
    assert_true(order_room(&o) && order_fresh(&o, 1, 1));
    assert_true(order_room(&o) && order_fresh(&o, 2, 2));
    assert_false(order_fresh(&o, 1, 3));
    order_failed(&o, 1, 100);
    order_settled(&o, 2, 2);
    assert_true(order_room(&o) && order_fresh(&o, 2, 4));
    assert_int_equal(order_due(&o, 99), -1);
    assert_int_equal(order_next(&o), 100);
    const int at = order_due(&o, 100);
    assert_int_equal(o.key[at].key, 1);
    assert_int_equal(o.key[at].after, 0);
    order_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random),
                                       cmocka_unit_test(test_one_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
