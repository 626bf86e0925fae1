/* Reading the truth, pairing by distance, counting. */
#include "watch/score.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "watch/pattern.h"

/* ---- lists ---- */

ScoreList score_list(Arena *a) { return (ScoreList){.arena = a, .open = intmap_new(a)}; }

static const char *number_text(Arena *a, double v)
{
    Str s = str_new(a);
    if (v == trunc(v) && fabs(v) < 1e15) /* 80, not 8e+01 */
        str_addf(&s, "%.0f", v);
    else
        str_add_double(&s, v);
    return str_text(&s);
}

static const char *value_text(Arena *a, const RuleValue *v)
{
    switch (v->kind) {
    case VALUE_TRUTH: return v->number != 0 ? "true" : "false";
    case VALUE_NUMBER: return number_text(a, v->number);
    case VALUE_TEXT: return arena_strdup(a, v->text);
    default: return NULL;
    }
}

void score_add_record(ScoreList *l, const EventRecord *r)
{
    const int at = intmap_get(&l->open, r->id, -1);
    if (at >= 0) {
        l->event.at[at].end = r->t_end >= 0 ? (double)r->t_end * 1e-6 : l->event.at[at].end;
        return;
    }
    intmap_put(&l->open, r->id, l->event.len);
    vec_push(l->arena, &l->event,
             ((ScoreEvent){.event = r->rule->name,
                           .key = r->key ? arena_strdup(l->arena, r->key) : NULL,
                           .value = r->ndata > 0 ? value_text(l->arena, &r->data[0]) : NULL,
                           .start = (double)r->t_start * 1e-6,
                           .end = (double)NAN}));
}

/* A member as text, of numbers, truths and texts; NULL: absent, or null. */
static const char *member_text(Arena *a, const json_t *line, const char *key)
{
    const json_t *const v = json_object_get(line, key);
    if (json_is_string(v))
        return arena_strdup(a, json_string_value(v));
    if (json_is_number(v))
        return number_text(a, json_number_value(v));
    return json_is_true(v) ? "true" : json_is_false(v) ? "false" : NULL;
}

static int read_line(ScoreList *l, const char *path, int number, const char *at, size_t size,
                     Error *e)
{
    json_error_t why;
    json_t *const line = json_loadb(at, size, 0, &why);
    if (!line)
        return error_set(e, ERR_INVALID, "%s:%d:%d: %s", path, number, why.column, why.text);
    const json_t *const start = json_object_get(line, "t_start"), *const end =
                                                                      json_object_get(line,
                                                                                      "t_end");
    const ScoreEvent got = {
        .event = member_text(l->arena, line, "event"),
        .key = member_text(l->arena, line, "key"),
        .value = member_text(l->arena, line, "value"),
        .start = json_is_number(start) ? json_number_value(start) : (double)NAN,
        .end = json_is_number(end) ? json_number_value(end) : (double)NAN,
    };
    json_decref(line);
    if (!got.event || isnan(got.start))
        return error_set(e, ERR_INVALID, "%s:%d: an event needs \"event\" and \"t_start\"", path,
                         number);
    vec_push(l->arena, &l->event, got);
    return 0;
}

int score_read(ScoreList *l, const char *path, Error *e)
{
    File f;
    int code = file_map(l->arena, path, &f, e);
    if (code != 0)
        return code;
    const char *at = (const char *)f.at, *const end = at + f.size;
    for (int number = 1; code == 0 && at < end; number++) {
        const char *const newline = memchr(at, '\n', (size_t)(end - at));
        const size_t size = newline ? (size_t)(newline - at) : (size_t)(end - at);
        if (size > strspn(at, " \t\r"))
            code = read_line(l, path, number, at, size, e);
        at += size + (newline != NULL);
    }
    return code;
}

/* ---- pairing ---- */

static bool fits(const ScoreEvent *t, const ScoreEvent *f, double tolerance)
{
    return strcmp(t->event, f->event) == 0 && text_same(t->key, f->key) &&
           fabs(t->start - f->start) <= tolerance + 1e-9 &&
           (!t->value || text_same(t->value, f->value));
}

typedef struct Pair {
    int truth, found;
    double distance;
} Pair;

static int by_distance(const void *a, const void *b)
{
    const Pair *const p = a, *const q = b;
    if (p->distance != q->distance)
        return p->distance < q->distance ? -1 : 1;
    return p->truth != q->truth ? p->truth - q->truth : p->found - q->found;
}

static int by_start(const void *a, const void *b)
{
    const ScoreEvent *const p = *(const ScoreEvent *const *)a, *const q =
                                                                   *(const ScoreEvent *const *)b;
    return p->start < q->start ? -1 : p->start > q->start;
}

static ScoreRow *find_row(int n, ScoreRow *row, const char *event)
{
    for (int i = 0; i < n; i++)
        if (strcmp(row[i].event, event) == 0)
            return &row[i];
    return NULL;
}

static ScoreRow *row_of(Score *s, const char *event) { return find_row(s->nrow, s->row, event); }

static ScoreRow *add_row(int *n, ScoreRow *row, const char *event)
{
    ScoreRow *const old = find_row(*n, row, event);
    if (old)
        return old;
    row[*n] = (ScoreRow){.event = event};
    return &row[(*n)++];
}

/* Each has a row, or is among the others. */
static void count_found(Score *s, const ScoreList *truth, const ScoreList *found)
{
    for (int k = 0; k < found->event.len; k++) {
        const char *const event = found->event.at[k].event;
        ScoreRow *r = row_of(s, event);
        if (!r && truth->event.len == 0)
            r = add_row(&s->nrow, s->row, event);
        if (!r)
            r = add_row(&s->nother, s->other, event);
        r->found++;
    }
}

static void count_pair(ScoreRow *r, const ScoreEvent *t, const ScoreEvent *f)
{
    const double off = fabs(t->start - f->start);
    r->matched++;
    r->start_error += off;
    r->max_start_error = fmax(r->max_start_error, off);
    if (isnan(t->end) || isnan(f->end))
        return;
    r->end_error += fabs(t->end - f->end);
    r->nend++;
}

static void finish(ScoreRow *r)
{
    r->start_error /= r->matched > 0 ? r->matched : 1;
    r->end_error /= r->nend > 0 ? r->nend : 1;
}

/* Those that fit nothing. */
static const ScoreEvent **rest(Arena *a, Score *s, const ScoreList *l, const bool *used, int *n)
{
    const ScoreEvent **const out = arena_array(a, (size_t)l->event.len + 1, sizeof *out);
    for (int i = 0; i < l->event.len; i++)
        if (!used[i] && row_of(s, l->event.at[i].event))
            out[(*n)++] = &l->event.at[i];
    qsort(out, (size_t)*n, sizeof *out, by_start);
    return out;
}

Score score_events(Arena *a, const ScoreList *truth, const ScoreList *found, double tolerance)
{
    const int most = truth->event.len + found->event.len + 1;
    Score s = {.row = arena_array_of(a, most, ScoreRow),
               .other = arena_array_of(a, most, ScoreRow),
               .all = {.event = "all"}};
    VEC(Pair) pair = {0};
    for (int i = 0; i < truth->event.len; i++) {
        const ScoreEvent *const t = &truth->event.at[i];
        add_row(&s.nrow, s.row, t->event)->truth++;
        for (int k = 0; k < found->event.len; k++)
            if (fits(t, &found->event.at[k], tolerance))
                vec_push(a, &pair, ((Pair){i, k, fabs(t->start - found->event.at[k].start)}));
    }
    if (pair.len > 0)
        qsort(pair.at, (size_t)pair.len, sizeof *pair.at, by_distance);
    bool *const paired = arena_array_of(a, truth->event.len + 1, bool),
                *const used = arena_array_of(a, found->event.len + 1, bool);
    for (int i = 0; i < pair.len; i++) {
        const Pair *const p = &pair.at[i];
        if (paired[p->truth] || used[p->found])
            continue;
        paired[p->truth] = used[p->found] = true;
        count_pair(row_of(&s, truth->event.at[p->truth].event), &truth->event.at[p->truth],
                   &found->event.at[p->found]);
        count_pair(&s.all, &truth->event.at[p->truth], &found->event.at[p->found]);
    }
    count_found(&s, truth, found);
    for (int i = 0; i < s.nrow; i++) {
        s.all.truth += s.row[i].truth;
        s.all.found += s.row[i].found;
        finish(&s.row[i]);
    }
    finish(&s.all);
    s.missed = rest(a, &s, truth, paired, &s.nmissed);
    s.extra = rest(a, &s, found, used, &s.nextra);
    return s;
}

double score_precision(const ScoreRow *r)
{
    return r->found > 0 ? (double)r->matched / r->found : 1;
}
double score_recall(const ScoreRow *r) { return r->truth > 0 ? (double)r->matched / r->truth : 1; }
