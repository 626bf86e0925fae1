/* Records that wait, and the thread that writes them with the spans that are open (store_spans.c).
 *
 * A span is linked into the store from its first sample until the writer has written its end: so
 * the writer may look at it without the lock that its stream needs, by a copy of its row. */
#include "watch/store.h"

#include <stdio.h>
#include <string.h>

#include "base/heap.h"
#include "sched/clock.h"
#include "sched/cond.h"
#include "watch/pattern.h"
#include "watch/store_parts.h"

enum {
    RECORDS_MAX = 20000,
    TRIM_EVERY = 60        /* seconds */
};

/* ---- records ---- */

static void add_words(Str *out, const char *text)
{
    if (text && text[0] != '\0')
        str_addf(out, "%s%s", out->len ? " " : "", text);
}

/* What an event can be found by: its name as words, its key, the texts among its data. */
static const char *record_words(Arena *a, const EventRecord *r)
{
    char *const name = arena_strdup(a, r->rule->name);
    for (char *c = name; *c != '\0'; c++)
        *c = *c == '_' ? ' ' : *c;
    Str out = str_new(a);
    add_words(&out, name);
    add_words(&out, r->key);
    for (int i = 0; i < r->ndata; i++) {
        add_words(&out, r->data[i].kind == VALUE_TEXT ? r->data[i].text : NULL);
        for (int k = 0; r->data[i].kind == VALUE_LIST && k < r->data[i].n; k++)
            add_words(&out, r->data[i].list[k].label);
    }
    char *const cut = arena_alloc(a, STORE_MAX_TEXT);
    text_copy(cut, STORE_MAX_TEXT, str_text(&out));
    return cut;
}

void store_record(Store *s, const EventRecord *r)
{
    Arena *const a = arena_new();
    WaitingRecord *const w = arena_new_of(a, WaitingRecord);
    Str json = str_new(a);
    event_json(&json, r);
    *w = (WaitingRecord){.arena = a, .rev = r->rev, .json = str_text(&json)};
    snprintf(w->id, sizeof w->id, "%016llx", (unsigned long long)r->id);
    w->row = (SpanRow){.kind = "event",
                       .stream = arena_strdup(a, r->stream),
                       .watch = arena_strdup(a, r->watch->name),
                       .signal = arena_strdup(a, r->rule->name),
                       .text = record_words(a, r),
                       .epoch = r->epoch,
                       .t0 = r->t_start,
                       .t1 = r->kind == RECORD_END ? r->t_end : r->t_detect,
                       .wall = r->wall ? r->wall : wall_now(),
                       .n = 1,
                       .confidence = (double)r->score,
                       .box = r->box};
    pthread_mutex_lock(&s->lock);
    const bool room = s->nrecord < RECORDS_MAX;
    if (room) {
        *s->last_record = w;
        s->last_record = &w->next;
        s->nrecord++;
    }
    s->counts.dropped += !room;
    pthread_mutex_unlock(&s->lock);
    if (!room)
        arena_free(a);
}

/* ---- the writer ---- */

typedef struct SpanJob {
    OpenSpan *span;
    SpanRow row;
} SpanJob;

typedef struct FactJob {
    StreamSpans *of;
    Fact *fact;                      /* NULL: all of the stream go */
    /* the names stay as long as `of` does, which only the writer takes away */
    const char *stream, *key, *text;
    double number;
} FactJob;

typedef struct Batch { /* copied under the lock, written without it */
    Arena *arena;
    int nspan, nfact;
    SpanJob *span;
    FactJob *fact;
    WaitingRecord *record; /* the head of the list: these stay in it until they are written */
    int nrecord;
} Batch;

static void take_spans(Store *s, Batch *b)
{
    b->span = arena_array_of(b->arena, s->nspan + 1, SpanJob);
    for (OpenSpan *p = s->span; p; p = p->next) {
        if (!p->dirty)
            continue;
        SpanJob *const j = &b->span[b->nspan++];
        *j = (SpanJob){p, p->row};
        /* the names stay as long as the span does */
        j->row.text = arena_strdup(b->arena, p->row.text);
        p->dirty = false;
    }
}

/* Facts of this name are to go already, since a commit that failed; *n: of all names. */
static bool forget_waits(const Store *s, const char *name, int *n)
{
    bool found = false;
    *n = 0;
    for (int i = 0; i < s->stream.len; i++) {
        const StreamSpans *const t = s->stream.at[i];
        *n += t->tried;
        found = found || (t->tried && strcmp(t->name, name) == 0);
    }
    return found;
}

/* A stream that is over stays until the file has forgotten its facts; of those that come and go
 * meanwhile so many do. */
static bool take_forget(Store *s, StreamSpans *t, Batch *b)
{
    int n;
    const bool twice = !t->tried && forget_waits(s, t->name, &n),
               room = t->tried || twice || n < STORE_FORGETS;
    if (twice || !room) {
        s->counts.dropped += !room;
        store_end_stream(s, t);
        return false;
    }
    t->tried = true;
    b->fact[b->nfact++] = (FactJob){.of = t, .stream = t->name};
    return true;
}

static void take_facts(Store *s, Batch *b)
{
    int n = 0;
    for (int i = 0; i < s->stream.len; i++)
        n += s->stream.at[i]->nsignal + 1;
    b->fact = arena_array_of(b->arena, n + 1, FactJob);
    for (int i = 0; i < s->stream.len; i++) {
        StreamSpans *const t = s->stream.at[i];
        for (int k = 0; k < t->nsignal && !t->over; k++) {
            Fact *const f = &t->fact[k];
            if (f->dirty)
                b->fact[b->nfact++] =
                    (FactJob){t,
                              f,
                              t->name,
                              t->signal[k],
                              f->kind == VALUE_TEXT ? arena_strdup(b->arena, f->text) : NULL,
                              f->number};
            f->dirty = false;
        }
        if (t->over && !take_forget(s, t, b))
            i--;
    }
}

static int write_batch(Store *s, Batch *b, Error *e)
{
    const int64_t wall = wall_now();
    if (!s->db)
        return ERR_IO; /* `reopen` has told why */
    int code = store_db_begin(s->db, e);
    if (code != 0)
        return code;
    for (int i = 0; i < b->nspan && code == 0; i++)
        code = store_db_span(s->db, &b->span[i].row, e);
    WaitingRecord *r = b->record;
    for (int i = 0; i < b->nrecord && code == 0; i++, r = r->next)
        code = store_db_record(s->db, r->id, r->rev, &r->row, r->json, e);
    for (int i = 0; i < b->nfact && code == 0;
         i++) /* a stream of the same name may have begun meanwhile */
        code = b->fact[i].fact ? 0 : store_db_forget_facts(s->db, b->fact[i].stream, e);
    for (int i = 0; i < b->nfact && code == 0; i++) {
        const FactJob *const f = &b->fact[i];
        code = f->fact ? store_db_fact(s->db, f->stream, f->key, f->number, f->text, wall, e) : 0;
    }
    if (code == 0)
        code = store_db_commit(s->db, e);
    if (code != 0)
        store_db_rollback(s->db);
    return code;
}

static void drop_span(Store *s, OpenSpan *p)
{
    *(p->prev ? &p->prev->next : &s->span) = p->next;
    if (p->next)
        p->next->prev = p->prev;
    s->nspan--;
    store_leave_stream(p->from);
    heap_free(p);
}

static void settle_facts(Store *s, const Batch *b, int code)
{
    for (int i = 0; i < b->nfact; i++) {
        const FactJob *const f = &b->fact[i];
        if (f->fact)
            f->fact->dirty = f->fact->dirty || code != 0;
        else if (code == 0)
            store_end_stream(s, f->of);
    }
}

/* What was written is forgotten, what was not waits for the next time. */
static void settle(Store *s, Batch *b, int code)
{
    for (int i = 0; i < b->nspan; i++) {
        OpenSpan *const p = b->span[i].span;
        if (code != 0) {
            p->dirty = true;
            continue;
        }
        s->counts.spans += p->row.id == 0;
        p->row.id = b->span[i].row.id;
        if (p->ended && !p->dirty)
            drop_span(s, p);
    }
    for (int i = 0; i < b->nrecord && code == 0; i++) {
        WaitingRecord *const r = s->record;
        s->record = r->next;
        s->nrecord--;
        s->counts.records++;
        arena_free(r->arena);
    }
    if (!s->record)
        s->last_record = &s->record;
    settle_facts(s, b, code);
    s->counts.failures += code != 0;
    s->counts.waiting = code != 0 ? b->nspan + b->nrecord + b->nfact : 0;
}

/* No row of the old file is in the new one. */
static void forget_rows(Store *s)
{
    for (OpenSpan *p = s->span; p; p = p->next) {
        p->row.id = 0;
        p->dirty = true;
    }
    for (int i = 0; i < s->stream.len; i++)
        for (int k = 0; k < s->stream.at[i]->nsignal; k++)
            s->stream.at[i]->fact[k].dirty = s->stream.at[i]->fact[k].kind != VALUE_UNKNOWN;
    s->counts.renewed++;
}

/* Called and returns with the lock held. As long as what stands there now is no store, all that
 * comes waits. */
static void look_after_file(Store *s)
{
    Error e;
    const StoreMoved moved = s->db ? store_db_moved(s->db) : STORE_GONE;
    if (moved == STORE_THERE)
        return;
    StoreDb *db = s->db;
    s->db = NULL;
    pthread_mutex_unlock(&s->lock);
    if (moved == STORE_GONE && db)
        store_db_abandon(db);
    else
        store_db_close(db); /* brings what its log has into its file */
    const int code = store_db_open(s->path, true, &db, &e);
    pthread_mutex_lock(&s->lock);
    s->db = code == 0 ? db : NULL;
    s->lost_file = s->lost_file || moved == STORE_GONE;
    if (code != 0) {
        s->counts.failures++;
        snprintf(s->counts.error, sizeof s->counts.error, "%.250s", e.message);
    } else if (s->lost_file) {
        forget_rows(s);
        s->lost_file = false;
    }
}

/* Called and returns with the lock held. */
static void write_all(Store *s)
{
    Error e = {0};
    look_after_file(s);
    Batch b = {.arena = arena_new(), .record = s->record, .nrecord = s->nrecord};
    const int64_t asked = s->asked;
    take_spans(s, &b);
    take_facts(s, &b);
    pthread_mutex_unlock(&s->lock);
    const bool nothing = b.nspan + b.nrecord + b.nfact == 0;
    const int code = nothing ? 0 : write_batch(s, &b, &e);
    pthread_mutex_lock(&s->lock);
    settle(s, &b, code);
    if (code != 0 && e.message[0] != '\0')
        snprintf(s->counts.error, sizeof s->counts.error, "%.250s", e.message);
    s->done = asked;
    pthread_cond_broadcast(&s->written);
    arena_free(b.arena);
}

static void trim(Store *s)
{
    Error e;
    if (!s->db)
        return;
    pthread_mutex_unlock(&s->lock);
    const int code = store_db_trim(s->db, wall_now() - s->opt.max_age, s->opt.max_bytes, &e);
    pthread_mutex_lock(&s->lock);
    if (code == 0)
        return;
    s->counts.failures++;
    snprintf(s->counts.error, sizeof s->counts.error, "%.250s", e.message);
}

static void wait_for_work(Store *s)
{
    const int64_t until = machine_now() + 1000000;
    while (!s->stop && s->asked == s->done && cond_wait_until(&s->work, &s->lock, until))
        ;
}

static void *writing(void *arg)
{
    Store *const s = arg;
    bool last = false;
    pthread_mutex_lock(&s->lock);
    for (int round = 0; !last; round++) {
        wait_for_work(s);
        last = s->stop;
        write_all(s);
        if (round % TRIM_EVERY == 0)
            trim(s);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void store_flush(Store *s)
{
    pthread_mutex_lock(&s->lock);
    const int64_t mine = ++s->asked;
    pthread_cond_signal(&s->work);
    while (s->done < mine)
        pthread_cond_wait(&s->written, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

StoreCounts store_counts(Store *s)
{
    pthread_mutex_lock(&s->lock);
    const StoreCounts c = s->counts;
    pthread_mutex_unlock(&s->lock);
    return c;
}

/* ---- opening, closing ---- */

int store_open(const char *path, const StoreOptions *opt, Store **out, Error *e)
{
    StoreDb *db = NULL;
    int code = store_db_open(path, true, &db, e);
    if (code == 0)
        code = store_db_forget_facts(db, NULL, e); /* of streams that nobody watches now */
    if (code != 0) {
        store_db_close(db);
        return code;
    }
    Arena *const a = arena_new();
    Store *const s = arena_new_of(a, Store);
    *s = (Store){.arena = a, .opt = *opt, .path = arena_strdup(a, path), .db = db};
    s->opt.max_age = opt->max_age ? opt->max_age : INT64_C(30) * 24 * 3600 * 1000000;
    s->opt.max_bytes = opt->max_bytes ? opt->max_bytes : INT64_C(2) << 30;
    s->last_record = &s->record;
    pthread_mutex_init(&s->lock, NULL);
    cond_init(&s->work);
    pthread_cond_init(&s->written, NULL);
    if (pthread_create(&s->thread, NULL, writing, s) != 0) {
        store_db_close(db);
        arena_free(a);
        return error_set(e, ERR_MEMORY, "%s: no thread to write with", path);
    }
    *out = s;
    return 0;
}

static void end_all_spans(Store *s)
{
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->stream.len; i++)
        store_end_spans(s->stream.at[i]);
    pthread_mutex_unlock(&s->lock);
}

void store_finish(Store *s)
{
    end_all_spans(s);
    store_flush(s);
}

void store_close(Store *s)
{
    if (!s)
        return;
    end_all_spans(s);
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    while (s->span) /* that no disk took */
        drop_span(s, s->span);
    for (WaitingRecord *r = s->record, *next; r; r = next) {
        next = r->next;
        arena_free(r->arena);
    }
    while (s->stream.len > 0)
        store_end_stream(s, s->stream.at[0]);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->written);
    pthread_mutex_destroy(&s->lock);
    store_db_close(s->db);
    arena_free(s->arena);
}
