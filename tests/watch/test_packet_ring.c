/* The ring of a live stream: what it holds is bounded, begins with a keyframe, goes back far
 * enough, and is not copied. */
#include "check.h"

#include <stdlib.h>

#include "packets_by_hand.h"
#include "watch/packet_ring.h"

#define STEP 40000 /* us from picture to picture */

typedef struct Bench {
    PacketRuns runs;
    PacketRing ring;
    StreamInfo *info, *sound;
    int64_t given;
} Bench;

static Bench bench_new(int64_t span, int64_t bytes)
{
    Bench b = {.info = hand_info(AVMEDIA_TYPE_VIDEO), .sound = hand_info(AVMEDIA_TYPE_AUDIO)};
    ring_init(&b.ring, span, bytes);
    return b;
}

static void bench_free(Bench *b)
{
    ring_clear(&b->ring);
    assert_int_equal(b->ring.bytes, 0);
    runs_free(&b->runs);
    stream_info_unref(b->info);
    stream_info_unref(b->sound);
}

static int push(Bench *b, StreamInfo *info, int64_t dts, int64_t arrival, bool key, int size)
{
    RunPacket out[2];
    Packet p = hand_packet(info, dts, arrival, key, size);
    const int n = runs_push(&b->runs, &p, out);
    for (int i = 0; i < n; i++) {
        assert_int_equal(out[i].number, b->given++);
        assert_true(ring_add(&b->ring, &out[i]));
    }
    packet_free(&p);
    return n;
}

static void push_picture(Bench *b, int i, int gop)
{
    push(b, b->info, i * (int64_t)STEP, i * (int64_t)STEP, i % gop == 0, 1000);
}

/* Whole GOPs, just as many as reach back for `span`. */
static void test_span(void **state)
{
    (void)state;
    Bench b = bench_new(10 * STEP, 1 << 20);
    for (int i = 0; i < 100; i++) {
        push_picture(&b, i, 4);
        const int first = (int)ring_at(&b.ring, 0)->number;
        assert_int_equal(first % 4, 0);
        assert_true(first == 0 || (first <= i - 10 && first + 4 > i - 10));
    }
    assert_int_equal(ring_find(&b.ring, 1, 92 * STEP), ring_find(&b.ring, 1, 95 * STEP));
    assert_int_equal(ring_at(&b.ring, ring_find(&b.ring, 1, 95 * STEP))->number, 92);
    assert_int_equal(ring_find(&b.ring, 1, 0), 0);
    assert_int_equal(ring_find(&b.ring, 2, 0), -1);
    assert_int_equal(ring_run_of(&b.ring, 97 * STEP), 1);
    assert_int_equal(ring_run_of(&b.ring, 97 * STEP + 1), 0);
    assert_int_equal(ring_run_of(&b.ring, 3 * STEP), 0);
    assert_int_equal(b.ring.evicted, 0);
    ring_set_span(&b.ring, 0);
    assert_int_equal(ring_at(&b.ring, 0)->number, 96);
    bench_free(&b);
}

/* What is larger than the ring: nothing is kept that no keyframe stands before. */
static void test_room(void **state)
{
    (void)state;
    Bench b = bench_new(INT64_MAX, 6 * 1256);
    for (int i = 0; i < 40; i++) {
        push_picture(&b, i, 10);
        assert_in_range(b.ring.bytes, 0, b.ring.max_bytes);
        assert_int_equal(b.ring.n, i % 10 < 6 ? i % 10 + 1 : 0);
    }
    assert_int_equal(b.ring.evicted, 4 * 7);
    bench_free(&b);
    /* 20 s of 3 Mbit/s are 7.5 MB: with what keeping them takes */
    b = bench_new(INT64_MAX, 7900000);
    for (int i = 0; i < 1000; i++)
        push(&b, b.info, i * (int64_t)STEP, i, i % 50 == 0, 15000 - 256);
    const int64_t kept =
        ring_at(&b.ring, b.ring.n - 1)->packet.dts - ring_at(&b.ring, 0)->packet.dts;
    assert_in_range(kept, 18 * 1000000, 22 * 1000000);
    bench_free(&b);
}

/* References: no byte of them is there twice. */
static void test_references(void **state)
{
    (void)state;
    Bench b = bench_new(INT64_MAX, 1 << 20);
    RunPacket out[2];
    Packet p = hand_packet(b.info, 0, 0, true, 1000);
    assert_int_equal(runs_push(&b.runs, &p, out), 1);
    assert_ptr_equal(out[0].packet.av->data, p.av->data);
    assert_int_equal(av_buffer_get_ref_count(p.av->buf), 2);
    ring_add(&b.ring, &out[0]);
    Packet copy;
    assert_true(packet_copy(&copy, &ring_at(&b.ring, 0)->packet));
    assert_int_equal(av_buffer_get_ref_count(p.av->buf), 3);
    packet_free(&copy);
    ring_clear(&b.ring);
    assert_int_equal(av_buffer_get_ref_count(p.av->buf), 1);
    packet_free(&p);
    bench_free(&b);
}

static void test_runs(void **state)
{
    (void)state;
    Bench b = bench_new(INT64_MAX, 1 << 20);
    assert_int_equal(push(&b, b.sound, 0, 0, true, 10), 0); /* before any picture */
    for (int i = 0; i < 10; i++)
        push_picture(&b, i, 5);
    assert_int_equal(push(&b, b.info, 3600000000, 10 * STEP, false, 10), 0); /* damage: alone */
    assert_int_equal(push(&b, b.sound, 10 * STEP, 10 * STEP, true, 10), 1);
    push_picture(&b, 11, 5);
    assert_int_equal(b.runs.run, 1);
    assert_int_equal(b.ring.n, 12);
    /* a jump: two of them */
    assert_int_equal(push(&b, b.info, 5000000000, 12 * STEP, true, 10), 0);
    assert_int_equal(push(&b, b.info, 5000000000 + STEP, 13 * STEP, false, 10), 2);
    assert_int_equal(b.runs.run, 2);
    assert_int_equal(ring_run_of(&b.ring, 12 * STEP), 2);
    /* damage after damage: neither goes on */
    assert_int_equal(push(&b, b.info, 0, 14 * STEP, true, 10), 0);
    assert_int_equal(push(&b, b.info, 7000000000, 15 * STEP, true, 10), 0);
    assert_int_equal(push(&b, b.info, 5000000000 + 4 * STEP, 16 * STEP, false, 10), 1);
    assert_int_equal(b.runs.run, 2);
    /* another connection that goes on in time */
    StreamInfo *const other = hand_info(AVMEDIA_TYPE_VIDEO);
    assert_int_equal(push(&b, other, 5000000000 + 5 * STEP, 17 * STEP, true, 10), 1);
    assert_int_equal(b.runs.run, 3);
    Packet end = {.info = stream_info_ref(other)};
    RunPacket out[2];
    assert_int_equal(runs_push(&b.runs, &end, out), 0);
    packet_free(&end);
    stream_info_unref(other);
    bench_free(&b);
}

/* Sizes, GOPs and jumps by chance. */
static void test_random(void **state)
{
    (void)state;
    int whole = 0;
    for (unsigned seed = 1; seed <= 60; seed++) {
        srand(seed);
        const int64_t span = (rand() % 50 + 1) * (int64_t)STEP;
        const int gop = rand() % 20 + 1, most = rand() % 200000 + 3000;
        Bench b = bench_new(span, most);
        int64_t t = 0, oldest = -1; /* oldest: number of the first that was kept */
        for (int i = 0; i < 400; i++) {
            t += rand() % 60 == 0 ? 60000000 : STEP;
            push(&b, rand() % 3 ? b.info : b.sound, t, i * (int64_t)STEP, rand() % gop == 0,
                 rand() % 2000);
            const PacketRing *const r = &b.ring;
            assert_in_range(r->bytes, 0, most);
            int64_t bytes = 0;
            for (int k = 0; k < r->n; k++) {
                bytes += packet_cost(&ring_at(r, k)->packet);
                assert_true(k == 0 || ring_at(r, k)->number == ring_at(r, k - 1)->number + 1);
            }
            assert_int_equal(bytes, r->bytes);
            if (r->n == 0)
                continue;
            const RunPacket *const first = ring_at(r, 0), *last = first;
            assert_true(packet_key(&first->packet) && !packet_sound(&first->packet));
            oldest = oldest < 0 ? first->number : oldest;
            for (int k = 0; k < r->n; k++)
                last = packet_sound(&ring_at(r, k)->packet) ? last : ring_at(r, k);
            /* shorter than asked for only as long as nothing went, or for want of room */
            const int64_t back = first->run == last->run
                                     ? last->packet.dts - first->packet.dts
                                     : last->packet.arrival - first->packet.arrival;
            assert_true(back >= span || first->number == oldest || r->evicted > 0);
            whole += back >= span && r->evicted == 0;
        }
        bench_free(&b);
    }
    assert_true(whole > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_span), cmocka_unit_test(test_room),
                                       cmocka_unit_test(test_references),
                                       cmocka_unit_test(test_runs), cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
