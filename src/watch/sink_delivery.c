/* The thread of a sink.
 *
 *     connect ─> fill the window from the outbox ─> wait for verdicts ─> settle ─> ..
 *        ^                                             │ the link broke
 *        └──────────── after a while <─────────────────┘
 *
 * Where a link breaks under records, one of them may be what broke it (a message over a broker's
 * limit). So the next link gets one record at a time until something was acknowledged, and a
 * link that breaks under a single record counts as a failure of that record: its key waits, the
 * others go on. */
#include "watch/sink_parts.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/log.h"
#include "watch/sink_order.h"

enum { WINDOW_MAX = 64, ROWS = 256 };
static const int64_t RETRY_MIN = 500000, RETRY_MAX = 60000000, RETRY_AFTER_MAX = 3600000000,
                     GRACE = 2000000;

typedef struct Run { /* the thread's own */
    Sink *s;
    SinkOrder order;
    void *link;             /* NULL: none */
    int n;
    SinkItem *item[WINDOW_MAX]; /* under way, in the order in which they were sent */
    OutboxRow row[ROWS];    /* that were read and not yet looked at: at..nrow */
    int at, nrow;
    int64_t away_until;
    int breaks;             /* in a row */
    bool one_by_one;
    uint64_t random;
} Run;

/* ---- time ---- */

void sink_pause(int wake, int fd, int64_t timeout)
{
    struct pollfd p[] = {{.fd = wake, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    const struct timespec t = {.tv_sec = timeout / SINK_SECOND,
                               .tv_nsec = timeout % SINK_SECOND * 1000};
    uint64_t count;
    if (ppoll(p, fd < 0 ? 1 : 2, &t, NULL) > 0 && (p[0].revents & POLLIN))
        (void)!read(wake, &count, sizeof count);
}

void sink_wake(int wake)
{
    (void)!write(wake, &(uint64_t){1}, sizeof(uint64_t)); /* full means that it can be read */
}

/* Of the n-th failure: doubled each time, and up to a quarter by chance. */
static int64_t backoff(Run *r, int n)
{
    int64_t wait = n < 7 ? RETRY_MIN << n : RETRY_MAX;
    if (wait > RETRY_MAX)
        wait = RETRY_MAX;
    r->random = r->random * 6364136223846793005u + 1442695040888963407u;
    return wait + (int64_t)((r->random >> 33) % (uint64_t)(wait / 4));
}

/* ---- counting ---- */

static void count(Sink *s, int64_t attempts, int64_t failures, int64_t delivered, int64_t dead,
                  const char *why)
{
    pthread_mutex_lock(&s->lock);
    s->counts.attempts += attempts;
    s->counts.failures += failures;
    s->counts.delivered += delivered;
    s->counts.dead += dead;
    s->counts.waiting -= delivered + dead;
    if (why)
        snprintf(s->counts.error, sizeof s->counts.error, "%s", why);
    pthread_mutex_unlock(&s->lock);
    if (why)
        log_line(1, "sink %s: %s", s->spec.name, why);
}

static void set_connected(Run *r)
{
    pthread_mutex_lock(&r->s->lock);
    r->s->counts.connected = r->link != NULL && r->breaks == 0;
    pthread_mutex_unlock(&r->s->lock);
}

/* ---- what became of records ---- */

static void drop_item(Run *r, int i)
{
    heap_free(r->item[i]->record);
    heap_free(r->item[i]);
    memmove(r->item + i, r->item + i + 1, (size_t)(--r->n - i) * sizeof *r->item);
}

static void bury(Run *r, uint64_t key, int64_t seq, const char *why)
{
    outbox_dead(r->s->outbox, r->s->number, seq, order_attempts(&r->order, key) + 1, why,
                &r->s->stop);
    order_settled(&r->order, key, seq);
    count(r->s, 0, 0, 0, 1, NULL);
}

static void try_again(Run *r, const SinkItem *item, const char *why)
{
    Sink *const s = r->s;
    char text[OUTBOX_WHY];
    count(s, 0, 1, 0, 0, why);
    if (s->spec.give_up > 0 && wall_now() - item->record->added > s->spec.give_up) {
        snprintf(text, sizeof text, "too old: %.*s", (int)sizeof text - 10, why);
        bury(r, item->key, item->record->seq, text);
        return;
    }
    int64_t wait = backoff(r, order_attempts(&r->order, item->key));
    if (item->retry_after > 0)
        wait = item->retry_after < RETRY_AFTER_MAX ? item->retry_after : RETRY_AFTER_MAX;
    order_failed(&r->order, item->key, machine_now() + wait);
}

static void settle(Run *r, const SinkItem *item)
{
    Sink *const s = r->s;
    switch (item->verdict) {
    case SINK_UNDER_WAY: break;
    case SINK_TAKEN:
        outbox_done(s->outbox, s->number, item->record->seq, &s->stop);
        order_settled(&r->order, item->key, item->record->seq);
        count(s, 0, 0, 1, 0, NULL);
        r->breaks = 0;
        r->one_by_one = false;
        break;
    case SINK_AGAIN:
        try_again(r, item, item->why);
        break;
    case SINK_REFUSED:
        count(s, 0, 1, 0, 0, item->why);
        bury(r, item->key, item->record->seq, item->why);
        break;
    }
}

/* Records over the age limit die while nothing can be delivered. */
static void bury_old(Run *r, const char *why)
{
    Sink *const s = r->s;
    const int64_t oldest = s->spec.give_up > 0 ? outbox_oldest(s->outbox, s->number) : 0;
    if (oldest == 0 ||
        oldest >= wall_now() - s->spec.give_up) /* as nearly always, and quickly told */
        return;
    char text[OUTBOX_WHY];
    OutboxRow row[ROWS];
    Error e;
    int n;
    snprintf(text, sizeof text, "too old: %.*s", (int)sizeof text - 10, why);
    do {
        outbox_flush(s->outbox); /* or rows would be seen that are settled */
        if (outbox_before(s->outbox, s->number, wall_now() - s->spec.give_up, ROWS, row, &n, &e) !=
            0)
            return;
        for (int i = 0; i < n; i++) {
            outbox_dead(s->outbox, s->number, row[i].seq, 0, text, &s->stop);
            count(s, 0, 0, 0, 1, NULL);
        }
        r->at = r->nrow = 0; /* to be read anew */
        atomic_store(&s->came, true);
    } while (n == ROWS && !atomic_load(&s->stop));
    outbox_flush(s->outbox);
}

static void go_away(Run *r, const char *why)
{
    if (r->link)
        r->s->kind->close(r->link);
    r->link = NULL;
    if (r->n == 1) {
        try_again(r, r->item[0], why);
    } else {
        count(r->s, 0, 1, 0, 0, why);
        for (int i = 0; i < r->n; i++)
            order_back(&r->order, r->item[i]->key);
    }
    r->one_by_one |= r->n > 0;
    while (r->n > 0)
        drop_item(r, r->n - 1);
    r->away_until = machine_now() + backoff(r, r->breaks);
    r->breaks += r->breaks < 30;
    set_connected(r);
    bury_old(r, why);
}

/* Verdicts, in the order of sending: within a key a later one is not looked at before the
 * earlier. */
static void collect(Run *r)
{
    const int64_t late = machine_now() - r->s->spec.timeout - GRACE;
    for (int i = 0; i < r->n;) {
        SinkItem *const item = r->item[i];
        bool waits = item->verdict == SINK_UNDER_WAY;
        for (int k = 0; k < i && !waits; k++)
            waits = r->item[k]->key == item->key;
        if (waits && item->begun < late) {
            go_away(r, "no acknowledgement in time");
            return;
        }
        if (waits) {
            i++;
            continue;
        }
        if (item->verdict == SINK_AGAIN && r->s->kind->ordered) {
            char why[OUTBOX_WHY];
            snprintf(why, sizeof why, "%s", item->why);
            go_away(r, why);
            return;
        }
        settle(r, item);
        drop_item(r, i);
    }
    set_connected(r);
}

/* ---- what goes next ---- */

/* False: the link is broken, or the record could not be read. */
static bool send_row(Run *r, uint64_t key, int64_t seq)
{
    Sink *const s = r->s;
    Error e = {0};
    OutboxRecord *record;
    SinkItem *const item = heap_alloc(sizeof *item, 8);
    if (item == NULL || outbox_load(s->outbox, seq, &record, &e) != 0) {
        heap_free(item);
        order_back(&r->order, key);
        go_away(r, item ? e.message : "out of memory");
        return false;
    }
    if (record == NULL) { /* was settled meanwhile */
        heap_free(item);
        order_settled(&r->order, key, seq);
        return true;
    }
    *item = (SinkItem){.record = record, .key = key, .begun = machine_now()};
    r->item[r->n++] = item;
    count(s, 1, 0, 0, 0, NULL);
    const int code = s->kind->send(r->link, item, &e);
    if (code == ERR_INVALID) {
        item->verdict = SINK_REFUSED;
        snprintf(item->why, sizeof item->why, "%.*s", (int)sizeof item->why - 1, e.message);
    } else if (code != 0) {
        go_away(r, e.message);
    }
    return code == 0 || code == ERR_INVALID;
}

/* A key that is behind and due. False: none, or the link is broken. */
static bool send_behind(Run *r)
{
    Error e;
    const int at = order_due(&r->order, machine_now());
    if (at < 0)
        return false;
    const OrderKey k = r->order.key[at];
    int64_t seq;
    if (outbox_next(r->s->outbox, r->s->number, k.key, k.after, r->order.cursor, &seq, &e) != 0) {
        go_away(r, e.message);
        return false;
    }
    if (seq == 0) {
        order_drained(&r->order, at);
        return true;
    }
    order_sent(&r->order, at);
    return send_row(r, k.key, seq);
}

/* False: there is none, or the link is broken. */
static bool send_fresh(Run *r)
{
    Error e;
    if (r->at == r->nrow) {
        if (!atomic_exchange(&r->s->came, false))
            return false;
        r->at = r->nrow = 0;
        if (outbox_rows(r->s->outbox, r->s->number, r->order.cursor, ROWS, r->row, &r->nrow, &e) !=
            0) {
            atomic_store(&r->s->came, true);
            go_away(r, e.message);
            return false;
        }
        if (r->nrow == 0)
            return false;
        if (r->nrow == ROWS)
            atomic_store(&r->s->came, true);
    }
    if (!order_room(&r->order))
        return false;
    const OutboxRow row = r->row[r->at++];
    return !order_fresh(&r->order, row.key, row.seq) || send_row(r, row.key, row.seq);
}

/* Keys that are behind first, but for a quarter of the window: others must not wait for many that
 * are in trouble. */
static void fill(Run *r)
{
    const int window = r->one_by_one ? 1 : r->s->kind->window;
    while (r->link && r->n < (window + 1) * 3 / 4 && send_behind(r)) {
    }
    while (r->link && r->n < window && send_fresh(r)) {
    }
    while (r->link && r->n < window && send_behind(r)) {
    }
}

/* ---- the thread ---- */

static void connect_link(Run *r)
{
    Error e;
    if (r->link || machine_now() < r->away_until)
        return;
    if (r->s->kind->open(&r->s->site, &r->link, &e) != 0) {
        r->link = NULL;
        go_away(r, e.message);
    }
    set_connected(r);
}

static int64_t until_next(const Run *r)
{
    const int64_t now = machine_now();
    int64_t next = now + 10 * SINK_SECOND;
    if (r->link == NULL)
        next = r->away_until;
    else if (order_next(&r->order) < next && r->n < (r->one_by_one ? 1 : r->s->kind->window))
        next = order_next(&r->order);
    if (r->n > 0 && next > now + SINK_SECOND)
        next = now + SINK_SECOND;
    return next > now ? next - now : 0;
}

void *sink_deliver(void *arg)
{
    Sink *const s = arg;
    outbox_block_signals();
    Run *const r = heap_alloc(sizeof *r, 8);
    if (r == NULL) {
        count(s, 0, 1, 0, 0, "out of memory: nothing is delivered");
        return NULL;
    }
    *r = (Run){.s = s,
               .order.ordered = s->kind->ordered,
               .random = (uint64_t)wall_now() ^ (uint64_t)(uintptr_t)r};
    while (!atomic_load(&s->stop)) {
        Error e;
        bool broken = false;
        connect_link(r);
        fill(r);
        const int64_t wait = until_next(r);
        if (r->link == NULL)
            sink_pause(s->site.wake, -1, wait);
        else if (s->kind->wait(r->link, wait, &e) != 0)
            broken = true;
        if (r->link)
            collect(r);
        if (broken && r->link)
            go_away(r, e.message);
    }
    if (r->link)
        s->kind->close(r->link);
    while (r->n > 0)
        drop_item(r, r->n - 1);
    order_free(&r->order);
    heap_free(r);
    return NULL;
}
