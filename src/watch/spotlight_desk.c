/* Workers leave a few words and go on: who decides takes them away under their lock, and sorts and
 * weighs them outside of it. */
#include "watch/spotlight_desk.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "sched/clock.h"

typedef enum WordKind { WORD_SEE, WORD_RULES, WORD_LEAVE } WordKind;

typedef struct Word {  /* that waits until all before it are known */
    int64_t t, number; /* number: of words so far; what a seat says of one time stays in order */
    DeskSeat *seat;
    WordKind kind;
    SpotlightVerdict verdict;
    SpotlightBy by;
} Word;

typedef struct News { /* to be told */
    SpotlightChange change;
    bool offline;
} News;

struct DeskSeat {
    Arena *arena;
    atomic_int waiting; /* words of it */
    SpotlightSeat *seat;
    bool left; /* its last word waits */
    int epoch; /* of media time, as the three below */
    bool begun;
    int64_t offset; /* of its clock */
    int64_t last;   /* it has said all before this */
};

struct Desk {
    Arena *arena;
    DeskFn fn;
    void *arg;
    pthread_mutex_t deciding; /* guards what follows; taken before `lock` */
    Spotlight *spotlight;
    int64_t upto; /* all before this was decided */
    int64_t changes;
    Arena *laters; /* of `later`, anew whenever words come or go */
    VEC(Word) later; /* in the order of their time */
    Arena *news; /* likewise */
    VEC(News) told;
    pthread_mutex_t lock; /* guards what follows; `offline` and `seat` change under both */
    bool offline, begun, stopped;
    int64_t stop; /* when all that are left leave */
    VEC(DeskSeat *) seat;
    int64_t number;
    Arena *words; /* of `word`, anew with each tick */
    VEC(Word) word; /* as they came */
};

/* The step that is open: words of it may still come. */
static int64_t step_now(void)
{
    return machine_now() / DESK_STEP * DESK_STEP;
}

static const char *copy(Arena *a, const char *text)
{
    return text ? arena_strdup(a, text) : NULL;
}

static void on_change(void *arg, const SpotlightChange *c)
{
    Desk *const d = arg;
    News kept = {*c, d->offline};
    kept.change.stream = copy(d->news, c->stream);
    kept.change.previous = copy(d->news, c->previous);
    vec_push(d->news, &d->told, kept);
    d->changes++;
}

Desk *desk_new(DeskFn fn, void *arg)
{
    Arena *const a = arena_new();
    Desk *const d = arena_new_of(a, Desk);
    *d = (Desk){.arena = a,
                .fn = fn,
                .arg = arg,
                .words = arena_new(),
                .laters = arena_new(),
                .news = arena_new()};
    d->spotlight = spotlight_new(on_change, d);
    pthread_mutex_init(&d->deciding, NULL);
    pthread_mutex_init(&d->lock, NULL);
    return d;
}

/* ---- words, in the order of their time ---- */

/* All words before this are there. */
static int64_t horizon(const Desk *d)
{
    if (!d->offline)
        return d->stopped ? d->stop : step_now();
    int64_t out = INT64_MAX;
    for (int i = 0; i < d->seat.len && !d->stopped; i++)
        if (!d->seat.at[i]->left && d->seat.at[i]->last < out)
            out = d->seat.at[i]->last;
    return d->begun ? out : INT64_MIN;
}

static int by_time(const void *x, const void *y)
{
    const Word *const a = x, *const b = y;
    return a->t != b->t ? (a->t > b->t) - (a->t < b->t)
                        : (a->number > b->number) - (a->number < b->number);
}

static void remove_seat(Desk *d, const DeskSeat *seat)
{
    int n = 0;
    pthread_mutex_lock(&d->lock);
    for (int i = 0; i < d->seat.len; i++)
        if (d->seat.at[i] != seat)
            d->seat.at[n++] = d->seat.at[i];
    d->seat.len = n;
    pthread_mutex_unlock(&d->lock);
    arena_free(seat->arena);
}

static void say(Desk *d, const Word *w)
{
    atomic_fetch_sub(&w->seat->waiting, 1);
    switch (w->kind) {
    case WORD_SEE:
        spotlight_see(d->spotlight, w->seat->seat, w->t, &w->verdict);
        break;
    case WORD_RULES:
        spotlight_rules(d->spotlight, w->seat->seat, w->t, &w->by);
        break;
    case WORD_LEAVE:
        spotlight_leave(d->spotlight, w->seat->seat, w->t);
        remove_seat(d, w->seat);
        break;
    }
}

typedef struct Taken { /* words that came since */
    Arena *arena;
    Word *at;
    int n;
    int64_t before;    /* all words before this are there */
} Taken;

static Taken take_words(Desk *d)
{
    pthread_mutex_lock(&d->lock);
    const Taken t = {d->words, d->word.at, d->word.len, horizon(d)};
    d->words = arena_new();
    d->word.at = NULL;
    d->word.len = d->word.cap = 0;
    pthread_mutex_unlock(&d->lock);
    if (t.n > 0)
        qsort(t.at, (size_t)t.n, sizeof *t.at, by_time);
    return t;
}

/* In their order, of two lists that are. */
static const Word *next_word(const Word **a, const Word *a_end, const Word **b, const Word *b_end)
{
    if (*a == a_end || *b == b_end)
        return *a != a_end ? (*a)++ : *b != b_end ? (*b)++ : NULL;
    return by_time(*a, *b) < 0 ? (*a)++ : (*b)++;
}

/* Under `deciding` alone. `all`: also words that others may still come before. */
static void drain(Desk *d, bool all)
{
    const Taken came = take_words(d);
    const int64_t before = all ? INT64_MAX : came.before;
    Arena *const a = arena_new();
    const Word *x = d->later.at, *const x_end = x + d->later.len,
               *y = came.at, *const y_end = y + came.n;
    VEC(Word) later = {0};
    int64_t upto = d->upto;
    for (const Word *w; (w = next_word(&x, x_end, &y, y_end));) {
        if (w->t >= before) {
            vec_push(a, &later, *w);
            continue;
        }
        say(d, w);
        upto = w->t + 1;
    }
    upto = before < INT64_MAX && before > upto ? before : upto;
    if (upto > d->upto)
        spotlight_quiet(d->spotlight, upto);
    d->upto = upto;
    arena_free(d->laters);
    arena_free(came.arena);
    d->laters = a;
    d->later.at = later.at;
    d->later.len = later.len;
    d->later.cap = later.cap;
}

static bool has_seats(Desk *d)
{
    pthread_mutex_lock(&d->lock);
    const bool out = d->seat.len > 0;
    pthread_mutex_unlock(&d->lock);
    return out;
}

static void tell(Desk *d)
{
    pthread_mutex_lock(&d->deciding);
    if (has_seats(d))
        drain(d, false);
    Arena *const news = d->news;
    const News *const told = d->told.at;
    const int n = d->told.len;
    if (n > 0)
        d->news = arena_new();
    d->told.at = NULL;
    d->told.len = d->told.cap = 0;
    pthread_mutex_unlock(&d->deciding);
    for (int i = 0; i < n; i++) {
        const News *const t = &told[i];
        const int64_t wall = t->offline ? 0 : wall_now() - (machine_now() - t->change.t);
        d->fn(d->arg, &(DeskChange){.change = &t->change, .offline = t->offline, .wall = wall});
    }
    if (n > 0)
        arena_free(news);
}

void desk_tick(Desk *d)
{
    tell(d);
}

/* ---- what streams say ---- */

void desk_begin(Desk *d)
{
    pthread_mutex_lock(&d->lock);
    d->begun = true;
    pthread_mutex_unlock(&d->lock);
}

static bool competes(const Desk *d, const DeskSeat *but)
{
    for (int i = 0; i < d->seat.len; i++)
        if (!d->seat.at[i]->left && d->seat.at[i] != but)
            return true;
    return false;
}

int desk_check(Desk *d, const DeskSeat *seat, const char *stream, bool offline, Error *e)
{
    pthread_mutex_lock(&d->lock);
    const bool fits = offline == d->offline || !competes(d, seat);
    pthread_mutex_unlock(&d->lock);
    return fits ? 0
                : error_set(
                      e, ERR_INVALID,
                      "stream '%s': files that are read as fast as can be (offline) and streams "
                      "that play by the clock cannot share one spotlight",
                      stream);
}

/* Under `deciding`. The last ones have left, and the next go by another clock. */
static void change_clock(Desk *d, bool offline)
{
    drain(d, true);
    spotlight_free(d->spotlight);
    d->spotlight = spotlight_new(on_change, d);
    d->upto = 0;
    pthread_mutex_lock(&d->lock);
    d->offline = offline;
    pthread_mutex_unlock(&d->lock);
}

/* Under `deciding`. */
static DeskSeat *sit_down(Desk *d, const char *stream, const SpotlightBy *by, bool offline)
{
    pthread_mutex_lock(&d->lock);
    if (d->seat.len == 0 && !d->begun)
        d->offline = offline;
    const bool change = offline != d->offline;
    pthread_mutex_unlock(&d->lock);
    if (change)
        change_clock(d, offline);
    Arena *const a = arena_new();
    DeskSeat *const seat = arena_new_of(a, DeskSeat);
    *seat = (DeskSeat){.arena = a,
                       .seat = spotlight_join(d->spotlight, stream, by),
                       .offset = offline ? d->upto : 0,
                       .last = offline ? d->upto : 0};
    pthread_mutex_lock(&d->lock);
    vec_push(d->arena, &d->seat, seat);
    pthread_mutex_unlock(&d->lock);
    return seat;
}

int desk_join(Desk *d, const char *stream, const SpotlightBy *by, bool offline, DeskSeat **out,
              Error *e)
{
    pthread_mutex_lock(&d->deciding);
    const int code = desk_check(d, NULL, stream, offline, e);
    if (code == 0)
        *out = sit_down(d, stream, by, offline);
    pthread_mutex_unlock(&d->deciding);
    return code;
}

static void add_word(Desk *d, Word w)
{
    w.number = d->number++;
    atomic_fetch_add(&w.seat->waiting, 1);
    vec_push(d->words, &d->word, w);
}

/* Where a sample stands on the clock that all share. */
static int64_t time_of(const Desk *d, DeskSeat *s, int epoch, int64_t t)
{
    if (!d->offline)
        return step_now();
    if (s->begun && epoch != s->epoch)
        s->offset = s->last + 1 - t;
    s->begun = true;
    s->epoch = epoch;
    s->last = s->offset + t > s->last ? s->offset + t : s->last;
    return s->last;
}

void desk_see(Desk *d, DeskSeat *seat, int epoch, int64_t t, const SpotlightVerdict *v)
{
    pthread_mutex_lock(&d->lock);
    if (!d->stopped)
        add_word(
            d,
            (Word){.t = time_of(d, seat, epoch, t), .seat = seat, .kind = WORD_SEE, .verdict = *v});
    pthread_mutex_unlock(&d->lock);
}

bool desk_ahead(const DeskSeat *seat)
{
    return atomic_load(&seat->waiting) >= DESK_WAITING;
}

void desk_rules(Desk *d, DeskSeat *seat, const SpotlightBy *by)
{
    pthread_mutex_lock(&d->lock);
    add_word(d, (Word){.t = d->offline ? seat->last : step_now(),
                       .seat = seat,
                       .kind = WORD_RULES,
                       .by = *by});
    pthread_mutex_unlock(&d->lock);
}

void desk_leave(Desk *d, DeskSeat *seat)
{
    pthread_mutex_lock(&d->lock);
    const int64_t t = d->stopped ? d->stop : d->offline ? seat->last + 1 : step_now();
    add_word(d, (Word){.t = t, .seat = seat, .kind = WORD_LEAVE});
    seat->left = true;
    pthread_mutex_unlock(&d->lock);
}

void desk_stop(Desk *d)
{
    pthread_mutex_lock(&d->deciding);
    pthread_mutex_lock(&d->lock);
    d->stop = d->offline ? d->upto : step_now();
    if (d->later.len > 0 && d->later.at[d->later.len - 1].t > d->stop)
        d->stop = d->later.at[d->later.len - 1].t;
    for (int i = 0; i < d->word.len; i++)
        d->stop = d->word.at[i].t > d->stop ? d->word.at[i].t : d->stop;
    d->stopped = d->begun = true;
    pthread_mutex_unlock(&d->lock);
    pthread_mutex_unlock(&d->deciding);
}

void desk_end(Desk *d)
{
    if (!d)
        return;
    pthread_mutex_lock(&d->deciding);
    drain(d, true);
    pthread_mutex_unlock(&d->deciding);
    tell(d);
    for (int i = 0; i < d->seat.len; i++)
        arena_free(d->seat.at[i]->arena);
    spotlight_free(d->spotlight);
    arena_free(d->words);
    arena_free(d->laters);
    arena_free(d->news);
    pthread_mutex_destroy(&d->deciding);
    pthread_mutex_destroy(&d->lock);
    arena_free(d->arena);
}

/* ---- how it stands ---- */

SpotlightStatus desk_status(Desk *d, Arena *a)
{
    SpotlightStatus out = {0};
    int64_t since;
    const char *shown;
    pthread_mutex_lock(&d->deciding);
    out.nrank = spotlight_ranking(d->spotlight, a, &out.rank);
    if (spotlight_shown(d->spotlight, &shown, &since)) {
        out.shown = arena_strdup(a, shown);
        out.seconds = 1e-6 * (double)((d->offline ? d->upto : machine_now()) - since);
    }
    out.changes = d->changes;
    pthread_mutex_unlock(&d->deciding);
    return out;
}
