/* Which record of a sink may go next, so that each key keeps its order and no key waits for
 * another.
 *
 * Rows are looked at in their order, once: `cursor` is the last. One whose key has nothing under
 * way goes at once, else it is left where it is, and its key is *behind*: it has rows up to the
 * cursor that are still to go. Those are taken one by one when the key's turn comes, each after the
 * one before was settled; a key that has none left is forgotten. So what is held in memory is a
 * line for each key that has something under way or behind, however long the outbox is.
 *
 *     rows  a1 b1 a2 a3 b2        a1 b1 go;  a2 a3 b2 are behind;  a1 fails: a is due later, b goes on: b2
 *
 * Rows of a key up to `after` are settled. An *ordered* link (one that keeps the order itself,
 * and breaks where one record fails) may have several of a key under way. */
#ifndef LATHE_WATCH_SINK_ORDER_H
#define LATHE_WATCH_SINK_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#define ORDER_MAX_KEYS 65536

typedef struct OrderKey {
    uint64_t key;
    int64_t after, due;  /* due: of the next attempt, us */
    int attempts;        /* of the record that is the first */
    int under_way;
    bool behind;
} OrderKey;

typedef struct SinkOrder {
    bool ordered;
    int64_t cursor;
    OrderKey *key;
    int n, cap;
    int turn;            /* where order_due begins to look */
} SinkOrder;

/* Room for one key more; false: memory is out or the bound reached, and fresh rows have to wait. */
bool order_room(SinkOrder *o);
/* The row after the cursor (order_room was true). True: it goes now; false: it is behind. */
bool order_fresh(SinkOrder *o, uint64_t key, int64_t seq);
/* A key whose turn it is: its first row in (after, cursor] goes (order_sent), or there is none
 * (order_drained). -1: no key is due. Valid until the next call of any other function. */
int order_due(SinkOrder *o, int64_t now);
void order_sent(SinkOrder *o, int at);
void order_drained(SinkOrder *o, int at);
/* When the next key is due; INT64_MAX: never. */
int64_t order_next(const SinkOrder *o);

/* How it went with a row that was sent. Settled: delivered, or dead. */
void order_settled(SinkOrder *o, uint64_t key, int64_t seq);
/* To be tried again, not before `due`. Not for ordered links while more of the key is under way. */
void order_failed(SinkOrder *o, uint64_t key, int64_t due);
/* How often the first of a key has failed. */
int order_attempts(const SinkOrder *o, uint64_t key);
/* The link broke under it: to be tried again as soon as there is one. */
void order_back(SinkOrder *o, uint64_t key);
void order_free(SinkOrder *o);

#endif
