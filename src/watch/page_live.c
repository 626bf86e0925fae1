/* The last lines, and who reads them. */
#include "watch/page_live.h"

#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/str.h"
#include "watch/page.h"

#define HEARTBEAT 15000000 /* us */

typedef struct PageLine Line;
typedef struct PageReader Reader;

struct PageLine { /* of what came live */
    Line *next;
    int64_t number;
    size_t size;
    char text[];
};

struct PageReader { /* of /api/live */
    Reader *next, *prev;
    PageLive *live;
    HttpExchange *x;
};

/* id: NUMBER, data: JSON. False: the reader has gone, and is freed. */
static bool send_line(Reader *r, Arena *tmp, const Line *l)
{
    Str s = str_new(tmp);
    str_addf(&s, "id: %lld\ndata: ", (long long)l->number);
    str_addn(&s, l->text, l->size);
    str_add(&s, "\n\n");
    return http_send(r->x, str_text(&s), s.len);
}

/* Copies, as sending needs no lock. */
static Line *lines_after(PageLive *v, Arena *a, int64_t number)
{
    Line *first = NULL, **last = &first;
    pthread_mutex_lock(&v->lock);
    for (const Line *l = v->line; l; l = l->next) {
        if (l->number <= number)
            continue;
        *last = arena_dup(a, l, sizeof *l + l->size);
        (*last)->next = NULL;
        last = &(*last)->next;
    }
    pthread_mutex_unlock(&v->lock);
    return first;
}

static void tell_readers(LoopPost *post)
{
    PageLive *const v = owner_of(PageLive, wake, post);
    Arena *const a = arena_new();
    pthread_mutex_lock(&v->lock);
    v->posted = false;
    pthread_mutex_unlock(&v->lock);
    const Line *l = lines_after(v, a, v->told);
    for (; l; l = l->next) {
        for (Reader *r = v->reader, *next; r; r = next) {
            next = r->next;
            send_line(r, a, l);
        }
        v->told = l->number;
    }
    arena_free(a);
}

void page_live_record(PageLive *v, const char *json, size_t size)
{
    Line *const l = heap_alloc(sizeof *l + size + 1, 16);
    if (!l)
        return; /* who reads live misses one; sinks and store have it */
    memcpy(l->text, json, size);
    l->size = size;
    pthread_mutex_lock(&v->lock);
    l->number = ++v->nline;
    *v->last = l;
    v->last = &l->next;
    Line *const oldest = v->nline > PAGE_RECORDS ? v->line : NULL;
    if (oldest)
        v->line = oldest->next;
    const bool wake = !v->posted;
    v->posted = true;
    pthread_mutex_unlock(&v->lock);
    heap_free(oldest);
    if (wake)
        event_loop_post(v->loop, &v->wake);
}

static void reader_gone(void *arg)
{
    Reader *const r = arg;
    *(r->prev ? &r->prev->next : &r->live->reader) = r->next;
    if (r->next)
        r->next->prev = r->prev;
    heap_free(r);
}

static void beat(LoopTimer *t)
{
    PageLive *const v = owner_of(PageLive, heartbeat, t);
    for (Reader *r = v->reader, *next; r; r = next) {
        next = r->next;
        http_send(r->x, ": still here\n\n", 14);
    }
    event_loop_timer(v->loop, t, event_loop_now(v->loop) + HEARTBEAT);
}

void page_live_serve(PageLive *v, HttpExchange *x)
{
    const char *const from = http_header(http_head(x), "last-event-id");
    const int64_t number = from ? strtoll(from, NULL, 10) : 0;
    Reader *const r = heap_alloc(sizeof *r, 16);
    if (!r) {
        http_reply_error(x, 503, "out of memory");
        return;
    }
    *r = (Reader){.next = v->reader, .live = v, .x = x};
    if (r->next)
        r->next->prev = r;
    v->reader = r;
    Arena *const a = arena_new();
    /* a number of an earlier run counts for nothing */
    const Line *l = lines_after(v, a, number > v->told ? 0 : number);
    http_on_end(x, reader_gone, r);
    http_add_header(x, "Cache-Control", "no-store");
    http_stream(x, 200, "text/event-stream");
    while (l && l->number <= v->told && send_line(r, a, l)) /* later ones come to all readers */
        l = l->next;
    arena_free(a);
}

/* ---- the whole ---- */

void page_live_init(PageLive *v)
{
    *v = (PageLive){.wake.run = tell_readers, .heartbeat.fire = beat};
    v->last = &v->line;
    pthread_mutex_init(&v->lock, NULL);
}

void page_live_begin(PageLive *v, EventLoop *loop)
{
    v->loop = loop;
    event_loop_timer(loop, &v->heartbeat, event_loop_now(loop) + HEARTBEAT);
}

void page_live_end(PageLive *v)
{
    for (Line *l = v->line, *next; l; l = next) {
        next = l->next;
        heap_free(l);
    }
    pthread_mutex_destroy(&v->lock);
}
