/* A line of text: confidence, pattern, type, range, vote, guard. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "watch/reading_parts.h"

void reading_line_new(Arena *a, ReadingState *s, const TextSignal *d)
{
    s->line = arena_alloc(a, EVENT_MAX_TEXT);
    s->vote = arena_array_of(a, d->vote, Vote);
    for (int i = 0; i < d->vote && d->type == TEXT_STRING; i++)
        s->vote[i].text = arena_alloc(a, EVENT_MAX_TEXT);
}

void reading_line_reset(ReadingState *s)
{
    s->nvote = s->next_vote = 0;
    s->based = false;
    s->ncandidate = 0;
}

/* ---- one reading ---- */

/* Digits and their sign, or a decimal fraction, with nothing else but space about it. */
static RuleValue number_of(const char *text, TextType type)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        n--;
    const char *const allowed = type == TEXT_INT ? "+-0123456789" : "+-0123456789.eE";
    char *end;
    if (n == 0 || n > 40 || strspn(text, allowed) < n)
        return value_unknown();
    const double v = strtod(text, &end);
    const bool exact = type != TEXT_INT || fabs(v) <= 9007199254740992.0;
    return end == text + n && exact ? value_number(v) : value_unknown();
}

/* What the pattern takes from the line, in place. */
static const char *parse(char *line, const TextSignal *d, Matcher *m, char why[32])
{
    Span group;
    if (!d->pattern)
        return line;
    const int found = pattern_find(m, d->pattern, line, NULL, &group);
    if (found != 1 || group.start > group.end) {
        reading_why(why, found < 0 ? "pattern limit" : "pattern");
        return NULL;
    }
    line[group.end] = 0;
    return line + group.start;
}

static RuleValue read_line(ReadingState *s, const TextSignal *d, const Observation *o, Matcher *m,
                           char why[32])
{
    text_copy(s->line, EVENT_MAX_TEXT, o->text ? o->text : "");
    /* That nothing stands there is known, if it is not numbers that are looked for; it has no
     * confidence. */
    const bool nothing = s->line[0] == 0 && d->type == TEXT_STRING && !d->pattern;
    if (!isfinite(o->score) || (!nothing && (double)o->score < d->min_confidence)) {
        reading_why(why, isfinite(o->score) ? "confidence" : "score");
        return value_unknown();
    }
    const char *const text = parse(s->line, d, m, why);
    if (!text)
        return value_unknown();
    if (d->type == TEXT_STRING)
        return value_text(text);
    const RuleValue v = number_of(text, d->type);
    if (v.kind == VALUE_UNKNOWN)
        reading_why(why, "no number");
    else if (v.number < d->min || v.number > d->max)
        reading_why(why, "range");
    return v.kind == VALUE_NUMBER && v.number >= d->min && v.number <= d->max ? v : value_unknown();
}

/* ---- vote ---- */

static RuleValue vote_value(const Vote *v)
{
    return v->text ? value_text(v->text) : value_number(v->number);
}

/* i-th newest. */
static const Vote *vote_at(const ReadingState *s, const TextSignal *d, int i)
{
    return &s->vote[(s->next_vote - 1 - i + 2 * d->vote) % d->vote];
}

static int vote_count(const ReadingState *s, const TextSignal *d, int64_t t, int of)
{
    const RuleValue want = vote_value(vote_at(s, d, of));
    int sum = 0;
    for (int i = 0; i < s->nvote; i++) {
        const RuleValue v = vote_value(vote_at(s, d, i));
        sum += t - vote_at(s, d, i)->t <= d->vote_within && value_equal(&v, &want);
    }
    return sum;
}

/* The value that most of the last readings gave; of equals the newest. */
static RuleValue vote(ReadingState *s, const TextSignal *d, int64_t t, const RuleValue *v)
{
    Vote *const slot = &s->vote[s->next_vote];
    slot->t = t;
    slot->number = v->number;
    if (slot->text)
        text_copy(slot->text, EVENT_MAX_TEXT, v->text);
    s->next_vote = (s->next_vote + 1) % d->vote;
    s->nvote += s->nvote < d->vote;
    int best = 0, most = 0;
    for (int i = 0; i < s->nvote && t - vote_at(s, d, i)->t <= d->vote_within; i++) {
        const int n = vote_count(s, d, t, i);
        if (n > most) {
            most = n;
            best = i;
        }
    }
    return vote_value(vote_at(s, d, best));
}

/* ---- guard ---- */

static bool may_follow(const Guard *g, double from, int64_t t0, double to, int64_t t1)
{
    const double s = (double)(t1 - t0) / 1e6;
    return (isinf(g->max_up_per_s) || to - from <= g->max_up_per_s * s) &&
           (isinf(g->max_down_per_s) || from - to <= g->max_down_per_s * s);
}

/* What does not follow from the base is held back until enough readings follow from each other. */
static RuleValue guard(ReadingState *s, const Guard *g, int64_t t, RuleValue v, char why[32])
{
    const bool follows = !s->based || may_follow(g, s->base, s->base_t, v.number, t);
    if (!follows) {
        const bool agrees =
            s->ncandidate > 0 && may_follow(g, s->candidate, s->candidate_t, v.number, t);
        s->ncandidate = agrees ? s->ncandidate + 1 : 1;
        s->candidate = v.number;
        s->candidate_t = t;
        if (s->ncandidate < g->rebaseline_after) {
            reading_why(why, "guard");
            return value_unknown();
        }
    }
    s->based = true;
    s->base = v.number;
    s->base_t = t;
    s->ncandidate = 0;
    return v;
}

RuleValue reading_line(ReadingState *s, const TextSignal *d, const Observation *o, int64_t t,
                       bool reset, Matcher *m, char why[32])
{
    if (reset) {
        s->based = false;
        s->ncandidate = 0;
    }
    if (o->state != OBSERVE_SEEN)
        return value_unknown();
    RuleValue v = read_line(s, d, o, m, why);
    if (v.kind != VALUE_UNKNOWN && d->vote > 1)
        v = vote(s, d, t, &v);
    return v.kind == VALUE_NUMBER && d->guard.given ? guard(s, &d->guard, t, v, why) : v;
}
