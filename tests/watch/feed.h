/* Samples for tests: a line of text each, and the records that come of them as text.
 *
 *     Feed f = feed_new(ctx, w);
 *     feed(&f, "0.5 alive=9 screen=play skull=0.9");   // seconds, then signals: what is not named is skipped
 *     feed(&f, "1 alive=? unsafe=3:KNIFE:0.8");        // ?: unknown; track:label:score, more behind commas
 * An underscore of a text is a space.
 *
 *     feed_records(&f)                                  // "start low 0.5 0.5|end low 0.5
 * 2|" */
#ifndef LATHE_TESTS_WATCH_FEED_H
#define LATHE_TESTS_WATCH_FEED_H

#include <stdio.h>

#include "by_hand.h"
#include "watch/event.h"
#include "watch/json_write.h"

typedef struct Feed {
    Context *ctx;
    const Watch *w;
    Events *events;
    Str lines;   /* short forms, "|" behind each */
    Str json;    /* whole records, a line each */
    int epoch;
    int64_t frame;
    int64_t left_out; /* of the next sample */
} Feed;

static inline void feed_record(void *arg, const EventRecord *r)
{
    static const char *const kind[] = {"start", "end", "point"};
    Feed *const f = arg;
    str_addf(&f->lines, "%s %s%s%s ", kind[r->kind], r->rule->name, r->key ? "/" : "",
             r->key ? r->key : "");
    json_add_seconds(&f->lines, r->t_start);
    if (r->kind == RECORD_END) {
        str_addc(&f->lines, '-');
        json_add_seconds(&f->lines, r->t_end);
    }
    str_addc(&f->lines, '@');
    json_add_seconds(&f->lines, r->t_detect);
    for (int i = 0; i < r->ndata; i++) {
        const RuleValue *const v = &r->data[i];
        str_addc(&f->lines, ' ');
        if (v->kind == VALUE_TEXT)
            str_add(&f->lines, v->text);
        else if (v->kind == VALUE_LIST)
            str_addf(&f->lines, "[%d]", v->n);
        else if (v->kind == VALUE_UNKNOWN)
            str_add(&f->lines, "?");
        else
            json_add_number(&f->lines, v->number);
    }
    if (r->reason)
        str_addf(&f->lines, " %s", r->reason);
    str_addc(&f->lines, '|');
    event_json(&f->json, r);
    str_addc(&f->json, '\n');
}

static inline void feed_init(Feed *f, Context *ctx, const Watch *w)
{
    *f = (Feed){.ctx = ctx, .w = w, .lines = str_new(ctx->arena), .json = str_new(ctx->arena)};
    f->events = events_new(ctx->arena, w, "s1", feed_record, f);
}

static inline double feed_double(const char *text)
{
    return strcmp(text, "nan") == 0   ? (double)NAN
           : strcmp(text, "inf") == 0 ? (double)INFINITY
                                      : atof(text);
}

/* track:label:score[:x], behind commas; "-": nothing. */
static inline void feed_found(Feed *f, const Signal *s, Observation *o, char *text)
{
    Found *const found = arena_array_of(f->ctx->arena, 300, Found);
    o->found = found;
    char *save;
    for (char *one = strtok_r(text, ",", &save); one && strcmp(one, "-") != 0;
         one = strtok_r(NULL, ",", &save)) {
        char label[1000] = "", score[20] = "0.9";
        long long track = 0;
        float x = 10;
        sscanf(one, "%lld:%999[^:]:%19[^:]:%f", &track, label, score, &x);
        for (char *c = label; *c && s->kind == SIGNAL_TEXT; c++)
            *c = *c == '_' ? ' ' : *c;
        found[o->nfound++] = (Found){.box = {x, 20, 30, 40},
                                     .score = (float)feed_double(score),
                                     .track = track,
                                     .label = arena_strdup(f->ctx->arena, label)};
    }
}

static inline void feed_observation(Feed *f, const Signal *s, Observation *o, char *text)
{
    *o = (Observation){.state = OBSERVE_SEEN, .score = 0.9f};
    char *const at = strchr(text, '@'); /* text@score */
    if (strcmp(text, "?") == 0) {
        *o = (Observation){.state = OBSERVE_UNKNOWN, .reason = "black"};
        return;
    }
    if (s->kind == SIGNAL_OBJECT || (s->kind == SIGNAL_TEXT && s->text.mode == TEXT_PAGE)) {
        feed_found(f, s, o, text);
        return;
    }
    if (at) {
        *at = 0;
        o->score = (float)feed_double(at + 1);
    }
    for (char *c = text; *c; c++)
        *c = *c == '_' ? ' ' : *c;
    if (s->kind == SIGNAL_TEXT || s->kind == SIGNAL_SCREEN || s->kind == SIGNAL_CLASS)
        o->text = text;
    else
        o->score = (float)feed_double(text);
}

static inline Sample feed_sample(Feed *f, const char *line)
{
    char *const copy = arena_strdup(f->ctx->arena, line), *save;
    Observation *const at = arena_array_of(f->ctx->arena, f->w->nsignal + 1, Observation);
    const char *const time = strtok_r(copy, " ", &save);
    for (char *one = strtok_r(NULL, " ", &save); one; one = strtok_r(NULL, " ", &save)) {
        char *const is = strchr(one, '=');
        *is = 0;
        const int k = watch_find_signal(f->w, one);
        assert_true(k >= 0);
        feed_observation(f, &f->w->signal[k], &at[k], is + 1);
    }
    const int64_t left_out = f->left_out;
    f->left_out = 0;
    return (Sample){.stream = "s1",
                    .epoch = f->epoch,
                    .t = (int64_t)llround(atof(time) * 1e6),
                    .frame = f->frame++,
                    .left_out = left_out,
                    .at = at};
}

static inline void feed(Feed *f, const char *line)
{
    const Sample s = feed_sample(f, line);
    events_sample(f->events, &s);
}

/* What came since the last call. */
static inline const char *feed_records(Feed *f)
{
    const char *const out = arena_strdup(f->ctx->arena, str_text(&f->lines));
    f->lines = str_new(f->ctx->arena);
    return out;
}

/* A case in a job of its own: a failure of it is the test's. */
typedef void (*CaseFn)(Context *ctx);

static inline void enter_case(Context *ctx, void *arg)
{
    (*(CaseFn *)arg)(ctx);
}

static inline void in_case(CaseFn fn)
{
    Arena *const a = arena_new();
    Error e;
    if (job_run(a, enter_case, &fn, &e, NULL) != 0)
        FAIL_MSG("%s", e.message);
    arena_free(a);
}

#endif
