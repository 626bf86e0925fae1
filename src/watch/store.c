/* Open spans in memory, and the thread that writes them.
 *
 * A span is linked into the store from its first sample until the writer has written its end: so the writer may look at it
 * without the lock that its stream needs, by a copy of its row. */
#include "watch/store.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/heap.h"
#include "base/vec.h"
#include "sched/clock.h"
#include "sched/cond.h"
#include "watch/pattern.h"
#include "watch/store_sql.h"

enum {
    VARIANTS = 4,          /* texts of one span that are counted against each other */
    OPEN_MAX = 512,        /* spans of one stream at once */
    WAITING_MAX = 100000,  /* of all, with what a full disk keeps from being written */
    RECORDS_MAX = 20000,
    FACT_TEXT = 128,
    TRIM_EVERY = 60        /* seconds */
};

typedef struct Variant {
    char text[STORE_MAX_TEXT];
    int n;
} Variant;

typedef struct StreamSpans StreamSpans;

typedef struct OpenSpan {
    struct OpenSpan *next, *prev; /* in the store */
    StreamSpans *from;            /* whose names the row has */
    SpanRow row;                  /* text: of `variant` */
    int signal;
    int64_t track;
    int nvariant;
    Variant variant[VARIANTS];
    bool dirty, ended;
} OpenSpan;

typedef struct Fact {
    ValueKind kind;
    double number;
    char text[FACT_TEXT];
    bool dirty;
} Fact;

struct StreamSpans {
    Arena *arena;
    int users;             /* spans, and the store while it goes on */
    const char *name, *watch;
    const Watch *of;       /* compared, never looked into: it may be gone */
    int nsignal;
    const char **signal;
    bool over;             /* its facts are to go, and then all of it */
    int epoch;
    Fact *fact;
    int nopen;
    OpenSpan *open[OPEN_MAX];
};

typedef struct WaitingRecord {
    struct WaitingRecord *next;
    Arena *arena;
    char id[20];
    int rev;
    SpanRow row;
    const char *json;
} WaitingRecord;

struct Store {
    Arena *arena;
    StoreOptions opt;
    const char *path;
    StoreDb *db;           /* the writer's; NULL: none can be opened */
    pthread_t thread;
    pthread_mutex_t lock;  /* guards all that follows */
    pthread_cond_t work, written;
    VEC(StreamSpans *) stream;
    OpenSpan *span;
    int nspan;
    WaitingRecord *record, **last_record;
    int nrecord;
    int64_t asked, done;   /* of store_flush */
    bool stop, lost_file;  /* lost_file: no other was opened yet */
    StoreCounts counts;
};

/* ---- streams ---- */

static StreamSpans *find_stream(const Store *s, const char *name)
{
    for (int i = 0; i < s->stream.len; i++)
        if (!s->stream.at[i]->over && strcmp(s->stream.at[i]->name, name) == 0)
            return s->stream.at[i];
    return NULL;
}

static void end_span(StreamSpans *t, int i)
{
    t->open[i]->ended = t->open[i]->dirty = true;
    t->open[i] = t->open[--t->nopen];
}

static void end_spans(StreamSpans *t)
{
    while (t->nopen > 0)
        end_span(t, t->nopen - 1);
}

static void leave_stream(StreamSpans *t)
{
    if (--t->users == 0)
        arena_free(t->arena);
}

static void end_stream(Store *s, StreamSpans *t)
{
    end_spans(t);
    for (int i = 0; i < s->stream.len; i++)
        if (s->stream.at[i] == t)
            s->stream.at[i--] = s->stream.at[--s->stream.len];
    leave_stream(t);
}

/* Names are copied: the watch may go before what was seen by it is written. */
static StreamSpans *stream_of(Store *s, const Watch *w, const char *name)
{
    StreamSpans *t = find_stream(s, name);
    if (t && t->of == w)
        return t;
    if (t) {
        end_spans(t);
        t->over = true; /* the writer takes it away, with its facts */
    }
    Arena *const a = arena_new();
    t = arena_new_of(a, StreamSpans);
    *t = (StreamSpans){.arena = a, .users = 1, .name = arena_strdup(a, name), .watch = arena_strdup(a, w->name), .of = w, .nsignal = w->nsignal};
    t->signal = arena_array_of(a, w->nsignal + 1, const char *);
    t->fact = arena_array_of(a, w->nsignal + 1, Fact);
    for (int i = 0; i < w->nsignal; i++)
        t->signal[i] = arena_strdup(a, w->signal[i].name);
    vec_push(s->arena, &s->stream, t);
    return t;
}

/* ---- spans ---- */

static float overlap(const Box *a, const Box *b)
{
    const float x0 = a->x > b->x ? a->x : b->x, y0 = a->y > b->y ? a->y : b->y;
    const float ax = a->x + a->width, ay = a->y + a->height, bx = b->x + b->width, by = b->y + b->height;
    const float w = (ax < bx ? ax : bx) - x0, h = (ay < by ? ay : by) - y0;
    const float both = w > 0 && h > 0 ? w * h : 0;
    const float all = a->width * a->height + b->width * b->height - both;
    return all > 0 ? both / all : 0;
}

/* The next word that begins with a digit; *size 0: there is none. */
static const char *next_number(const char *text, size_t *size)
{
    while (*text != '\0') {
        size_t n = 0;
        while (isalnum((unsigned char)text[n]))
            n++;
        *size = n;
        if (n > 0 && isdigit((unsigned char)text[0]))
            return text;
        text += n > 0 ? n : 1;
    }
    *size = 0;
    return text;
}

/* Numbers that differ are no misreading to be smoothed over. (Of words, 1 and 0 may well be l and o.) */
static bool same_numbers(const char *a, const char *b)
{
    size_t na, nb;
    do {
        a = next_number(a, &na);
        b = next_number(b, &nb);
        if (na != nb || memcmp(a, b, na) != 0)
            return false;
        a += na;
        b += nb;
    } while (na > 0);
    return true;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a, b) == 0 || (same_numbers(a, b) && text_near(a, b, strlen(b) >= 5 ? 1 : 0));
}

/* The text that most samples gave stands for the span. */
static void count_text(OpenSpan *p, const char *text)
{
    int i = 0;
    while (i < p->nvariant && strcmp(p->variant[i].text, text) != 0)
        i++;
    if (i == VARIANTS)
        return;
    if (i == p->nvariant) {
        text_copy(p->variant[i].text, STORE_MAX_TEXT, text);
        p->nvariant++;
    }
    p->variant[i].n++;
    int best = 0;
    for (int k = 1; k < p->nvariant; k++)
        best = p->variant[k].n > p->variant[best].n ? k : best;
    p->row.text = p->variant[best].text;
}

typedef struct Seen { /* one thing in one sample */
    const char *kind, *text;
    int signal;
    int64_t track;
    double confidence;
    Box box;
} Seen;

static OpenSpan *begin_span(Store *s, StreamSpans *t, const Seen *seen, const Sample *sample)
{
    OpenSpan *const p = s->nspan < WAITING_MAX && t->nopen < OPEN_MAX ? heap_alloc(sizeof *p, 64) : NULL;
    if (!p) {
        s->counts.dropped++;
        return NULL;
    }
    p->row = (SpanRow){.kind = seen->kind, .stream = t->name, .watch = t->watch, .signal = t->signal[seen->signal],
                       .epoch = sample->epoch, .t0 = sample->t, .wall = sample->wall ? sample->wall : wall_now()};
    p->from = t;
    t->users++;
    p->signal = seen->signal;
    p->track = seen->track;
    p->next = s->span;
    if (p->next)
        p->next->prev = p;
    s->span = p;
    s->nspan++;
    t->open[t->nopen++] = p;
    return p;
}

static void extend_span(OpenSpan *p, const Seen *seen, const Sample *sample)
{
    char text[STORE_MAX_TEXT];
    text_copy(text, sizeof text, seen->text);
    count_text(p, text);
    p->row.t1 = sample->t;
    p->row.n++;
    p->row.confidence += (seen->confidence - p->row.confidence) / p->row.n; /* their mean */
    p->row.box = seen->box;
    p->dirty = true;
}

/* `alone`: the signal has one value at a time, so that another text ends what was. */
static void see(Store *s, StreamSpans *t, const Seen *seen, const Sample *sample, bool alone)
{
    OpenSpan *found = NULL;
    for (int i = 0; i < t->nopen && !found; i++) {
        OpenSpan *const p = t->open[i];
        if (p->signal != seen->signal || p->track != seen->track || p->row.t1 == sample->t)
            continue; /* what was extended by this sample is another line */
        const bool same = seen->track > 0 || (same_text(seen->text, p->row.text) && (alone || overlap(&seen->box, &p->row.box) > 0.5f));
        if (same)
            found = p;
        else if (alone)
            end_span(t, i--);
    }
    if (!found)
        found = begin_span(s, t, seen, sample);
    if (found)
        extend_span(found, seen, sample);
}

static void see_found(Store *s, StreamSpans *t, const Watch *w, int i, const Sample *sample)
{
    const bool object = w->signal[i].kind == SIGNAL_OBJECT;
    const Observation *const o = &sample->at[i];
    for (int k = 0; k < o->nfound; k++) {
        const Found *const f = &o->found[k];
        if (object ? f->track > 0 : (double)f->score >= w->signal[i].text.min_confidence)
            see(s, t, &(Seen){object ? "object" : "text", f->label, i, f->track, (double)f->score, f->box}, sample, false);
    }
}

static void see_signal(Store *s, StreamSpans *t, const Watch *w, int i, const Sample *sample, const Reading *reading)
{
    const Signal *const g = &w->signal[i];
    const Observation *const o = &sample->at[i];
    const Box all = {0, 0, (float)w->width, (float)w->height};
    const Box box = g->region >= 0 ? w->region[g->region].box : all;
    if (o->state != OBSERVE_SEEN)
        return;
    if (g->kind == SIGNAL_OBJECT || (g->kind == SIGNAL_TEXT && g->text.mode == TEXT_PAGE))
        see_found(s, t, w, i, sample);
    else if (g->kind == SIGNAL_TEXT && o->text && o->text[0] != '\0' && (double)o->score >= g->text.min_confidence)
        see(s, t, &(Seen){"text", o->text, i, 0, (double)o->score, box}, sample, true);
    else if ((g->kind == SIGNAL_SCREEN || g->kind == SIGNAL_CLASS) && reading->value.kind == VALUE_TEXT && reading->value.text[0] != '\0')
        see(s, t, &(Seen){"screen", reading->value.text, i, 0, (double)o->score, box}, sample, true);
}

static void keep_fact(Fact *f, const RuleValue *v)
{
    if (v->kind != VALUE_NUMBER && v->kind != VALUE_TEXT && v->kind != VALUE_TRUTH)
        return; /* what is not known now is as it was last */
    char text[FACT_TEXT] = "";
    if (v->kind == VALUE_TEXT)
        text_copy(text, sizeof text, v->text);
    f->dirty = f->dirty || f->kind != v->kind || f->number != v->number || strcmp(f->text, text) != 0;
    f->kind = v->kind;
    f->number = v->kind == VALUE_TEXT ? 0 : v->number;
    memcpy(f->text, text, sizeof text);
}

void store_sample(Store *s, const Watch *w, const Sample *sample, const Reading *reading)
{
    pthread_mutex_lock(&s->lock);
    StreamSpans *const t = stream_of(s, w, sample->stream);
    if (sample->epoch != t->epoch)
        end_spans(t);
    t->epoch = sample->epoch;
    for (int i = 0; i < t->nopen; i++)
        if (sample->t - t->open[i]->row.t1 > w->gap)
            end_span(t, i--);
    for (int i = 0; i < w->nsignal; i++) {
        see_signal(s, t, w, i, sample, &reading[i]);
        keep_fact(&t->fact[i], &reading[i].value);
    }
    pthread_mutex_unlock(&s->lock);
}

void store_stream_end(Store *s, const char *stream)
{
    pthread_mutex_lock(&s->lock);
    StreamSpans *const t = find_stream(s, stream);
    if (t) {
        t->over = true;
        end_spans(t);
    }
    pthread_mutex_unlock(&s->lock);
}

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
    w->row = (SpanRow){.kind = "event", .stream = arena_strdup(a, r->stream), .watch = arena_strdup(a, r->watch->name),
                       .signal = arena_strdup(a, r->rule->name), .text = record_words(a, r), .epoch = r->epoch, .t0 = r->t_start,
                       .t1 = r->kind == RECORD_END ? r->t_end : r->t_detect, .wall = r->wall ? r->wall : wall_now(), .n = 1,
                       .confidence = (double)r->score, .box = r->box};
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
    const char *stream, *key, *text; /* key NULL: all of the stream go */
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
        j->row.text = arena_strdup(b->arena, p->row.text); /* the names stay as long as the span does */
        p->dirty = false;
    }
}

static void take_facts(Store *s, Batch *b)
{
    int n = 0;
    for (int i = 0; i < s->stream.len; i++)
        n += s->stream.at[i]->nsignal + 1;
    b->fact = arena_array_of(b->arena, n + 1, FactJob);
    for (int i = 0; i < s->stream.len; i++) {
        StreamSpans *const t = s->stream.at[i];
        const char *const name = arena_strdup(b->arena, t->name);
        for (int k = 0; k < t->nsignal && !t->over; k++) {
            Fact *const f = &t->fact[k];
            if (f->dirty)
                b->fact[b->nfact++] = (FactJob){name, arena_strdup(b->arena, t->signal[k]),
                                                f->kind == VALUE_TEXT ? arena_strdup(b->arena, f->text) : NULL, f->number};
            f->dirty = false;
        }
        if (t->over) {
            b->fact[b->nfact++] = (FactJob){.stream = name};
            end_stream(s, t);
            i--;
        }
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
    for (int i = 0; i < b->nfact && code == 0; i++) /* a stream of the same name may have begun meanwhile */
        code = b->fact[i].key ? 0 : store_db_forget_facts(s->db, b->fact[i].stream, e);
    for (int i = 0; i < b->nfact && code == 0; i++) {
        const FactJob *const f = &b->fact[i];
        code = f->key ? store_db_fact(s->db, f->stream, f->key, f->number, f->text, wall, e) : 0;
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
    leave_stream(p->from);
    heap_free(p);
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
    if (code != 0)
        s->counts.failures++;
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

/* Called and returns with the lock held. As long as what stands there now is no store, all that comes waits. */
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

void store_close(Store *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->stream.len; i++)
        end_spans(s->stream.at[i]);
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
        end_stream(s, s->stream.at[0]);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->written);
    pthread_mutex_destroy(&s->lock);
    store_db_close(s->db);
    arena_free(s->arena);
}
