/* Keys under way and behind, in a list: there are as many as records under way and keys in trouble,
 * which is few. */
#include "watch/sink_order.h"

#include <assert.h>
#include <string.h>

#include "base/heap.h"

static int find(const SinkOrder *o, uint64_t key)
{
    for (int i = 0; i < o->n; i++)
        if (o->key[i].key == key)
            return i;
    return -1;
}

static void forget_idle(SinkOrder *o, int at)
{
    if (!o->key[at].behind && o->key[at].under_way == 0)
        o->key[at] = o->key[--o->n];
}

bool order_room(SinkOrder *o)
{
    if (o->n < o->cap)
        return true;
    if (o->n == ORDER_MAX_KEYS)
        return false;
    const int cap = o->cap ? 2 * o->cap : 64;
    OrderKey *const more = heap_alloc((size_t)cap * sizeof *more, 8);
    if (more == NULL)
        return false;
    if (o->n > 0)
        memcpy(more, o->key, (size_t)o->n * sizeof *more);
    heap_free(o->key);
    o->key = more;
    o->cap = cap;
    return true;
}

bool order_fresh(SinkOrder *o, uint64_t key, int64_t seq)
{
    assert(seq > o->cursor && o->n < o->cap);
    o->cursor = seq;
    const int at = find(o, key);
    if (at < 0) {
        o->key[o->n++] = (OrderKey){.key = key, .after = seq - 1, .under_way = 1};
        return true;
    }
    if (o->ordered && !o->key[at].behind) {
        o->key[at].under_way++;
        return true;
    }
    o->key[at].behind = true;
    return false;
}

int order_due(SinkOrder *o, int64_t now)
{
    for (int k = 0; k < o->n; k++) {
        const int i = (o->turn + k) % o->n;
        if (o->key[i].behind && o->key[i].under_way == 0 && o->key[i].due <= now) {
            o->turn = i + 1;
            return i;
        }
    }
    return -1;
}

void order_sent(SinkOrder *o, int at)
{
    assert(o->key[at].behind && o->key[at].under_way == 0);
    o->key[at].under_way = 1;
}

void order_drained(SinkOrder *o, int at)
{
    o->key[at].behind = false;
    forget_idle(o, at);
}

int64_t order_next(const SinkOrder *o)
{
    int64_t next = INT64_MAX;
    for (int i = 0; i < o->n; i++)
        if (o->key[i].behind && o->key[i].under_way == 0 && o->key[i].due < next)
            next = o->key[i].due;
    return next;
}

void order_settled(SinkOrder *o, uint64_t key, int64_t seq)
{
    const int at = find(o, key);
    OrderKey *const k = &o->key[at];
    assert(at >= 0 && k->under_way > 0 && seq > k->after);
    k->after = seq;
    k->under_way--;
    k->attempts = 0;
    k->due = 0;
    forget_idle(o, at);
}

void order_failed(SinkOrder *o, uint64_t key, int64_t due)
{
    const int at = find(o, key);
    OrderKey *const k = &o->key[at];
    assert(at >= 0 && k->under_way == 1);
    k->under_way = 0;
    k->behind = true;
    k->attempts++;
    k->due = due;
}

int order_attempts(const SinkOrder *o, uint64_t key)
{
    const int at = find(o, key);
    return at < 0 ? 0 : o->key[at].attempts;
}

void order_back(SinkOrder *o, uint64_t key)
{
    const int at = find(o, key);
    OrderKey *const k = &o->key[at];
    assert(at >= 0 && k->under_way > 0);
    k->under_way--;
    k->behind = true;
}

void order_free(SinkOrder *o)
{
    heap_free(o->key);
    *o = (SinkOrder){0};
}
