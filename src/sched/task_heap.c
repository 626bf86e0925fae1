/* A tree in which no task comes before its parent. A task's children are a list by `next`; `prev`
 * is the sibling before, or the parent for the first of them.
 *
 *     first            merging two trees: the later root becomes the first child of the other
 *       |              taking a root out: its children are merged in pairs, then the pairs from the last to the first
 *     child - next - next */
#include "sched/task_heap.h"

static bool before(const TaskHeap *h, const Task *a, const Task *b)
{
    const int64_t x = h->by_ready ? a->ready : a->deadline,
                  y = h->by_ready ? b->ready : b->deadline;
    return x != y ? x < y : a->order < b->order;
}

/* Of two roots without siblings. */
static Task *merge(const TaskHeap *h, Task *a, Task *b)
{
    if (!a || !b)
        return a ? a : b;
    Task *const root = before(h, b, a) ? b : a, *const other = root == a ? b : a;
    other->next = root->child;
    if (other->next)
        other->next->prev = other;
    other->prev = root;
    root->child = other;
    return root;
}

static Task *take(Task **list)
{
    Task *const t = *list;
    if (t) {
        *list = t->next;
        t->next = t->prev = NULL;
    }
    return t;
}

static Task *merge_children(const TaskHeap *h, Task *list)
{
    Task *pairs = NULL, *root = NULL;
    while (list) {
        Task *const a = take(&list);
        Task *const pair = merge(h, a, take(&list));
        pair->next = pairs;
        pairs = pair;
    }
    while (pairs) {
        Task *const pair = take(&pairs);
        root = merge(h, root, pair);
    }
    return root;
}

void task_heap_add(TaskHeap *h, Task *t)
{
    t->child = t->next = t->prev = NULL;
    h->first = merge(h, h->first, t);
    h->size++;
}

void task_heap_remove(TaskHeap *h, Task *t)
{
    Task *const below = merge_children(h, t->child);
    if (t == h->first) {
        h->first = below;
    } else {
        Task **const link = t->prev->child == t ? &t->prev->child : &t->prev->next;
        *link = t->next;
        if (t->next)
            t->next->prev = t->prev;
        h->first = merge(h, h->first, below);
    }
    t->child = t->next = t->prev = NULL;
    h->size--;
}
