/* Observer and events of one stream, and the grid of its samples. */
#include "watch/judge.h"

#include "base/file.h"
#include "watch/hearing.h"
#include "watch/rule.h"

struct Judge {
    JudgeOptions opt;
    Observer *observer; /* NULL: samples come from elsewhere */
    Events *events;
    Hearing *hearing;   /* NULL: there is nothing to hear */
    EvidenceHold *evidence; /* NULL: none is wanted, or there are no frames */
    Observation *observation;
    bool *used, *need;
    int epoch;
    VideoFrame frame;   /* under way */
    int64_t left_out;
    SignalCounts *given; /* without an observer: what samples had */
    JudgeTimes times;
};

/* Signals that some rule uses. */
static void find_used(const Watch *w, bool *used)
{
    for (int i = 0; i < w->nevent; i++) {
        const EventRule *const r = &w->event[i];
        rule_needs(r->when, w, used);
        if (r->within)
            rule_needs(r->within, w, used);
        for (int k = 0; k < r->ndata; k++)
            rule_needs(r->data[k], w, used);
    }
    if (w->spotlight)
        rule_needs(w->spotlight->score, w, used);
    if (w->spotlight && w->spotlight->require)
        rule_needs(w->spotlight->require, w, used);
    for (int i = 0; i < w->nsignal; i++)
        if (used[i] && w->signal[i].kind == SIGNAL_TEXT && w->signal[i].text.guard.reset_on)
            rule_needs(w->signal[i].text.guard.reset_on, w, used);
}

static void on_event(void *arg, const EventRecord *r)
{
    const Judge *const j = arg;
    EventRecord shown = *r;
    if (j->evidence)
        shown.evidence = evidence_of(j->evidence, r);
    if (j->opt.event)
        j->opt.event(j->opt.arg, &shown);
}

int judge_new(Arena *a, ObserveHost *host, const JudgeOptions *opt, Judge **out, Error *e)
{
    const Watch *const w = opt->watch;
    Judge *const j = arena_new_of(a, Judge);
    *j = (Judge){
        .opt = *opt,
        .observation = arena_array_of(a, w->nsignal + 1, Observation),
        .used = arena_array_of(a, w->nsignal + 1, bool),
        .need = arena_array_of(a, w->nsignal + 1, bool),
        .given = arena_array_of(a, w->nsignal + 1, SignalCounts),
    };
    find_used(w, j->used);
    for (int i = 0; i < w->nsignal; i++)
        j->need[i] = j->used[i] || opt->all;
    j->opt.stream = arena_strdup(a, opt->stream);
    j->events = events_new(a, w, j->opt.stream, on_event, j);
    j->evidence = host && opt->evidence ? evidence_hold_new(a, opt->evidence, w) : NULL;
    events_set_run(j->events, opt->run);
    *out = j;
    const int code = host ? observer_new(a, host, w, &j->observer, e) : 0;
    return host && code == 0 ? hearing_new(a, host, w, j->need, j->opt.stream, &j->hearing, e)
                             : code;
}

static void judge(Judge *j, const Sample *s, const Frame *f)
{
    if (j->opt.sample)
        j->opt.sample(j->opt.arg, s, f);
    const double start = time_now();
    if (j->evidence)
        evidence_look(j->evidence, f, &s->place, s->epoch, s->t);
    events_sample(j->events, s);
    if (j->evidence)
        evidence_looked(j->evidence, j->events);
    j->times.rules += time_now() - start;
    j->times.samples++;
    if (j->opt.judged)
        j->opt.judged(j->opt.arg, s, events_readings(j->events), f);
}

static void begin_frame(Judge *j, const VideoFrame *f)
{
    if (f->epoch != j->epoch)
        observer_reset(j->observer);
    j->epoch = f->epoch;
    j->frame = *f;
}

static void judge_seen(Judge *j)
{
    const VideoFrame *const f = &j->frame;
    if (j->hearing)
        hearing_judged(j->hearing);
    judge(j,
          &(Sample){.stream = j->opt.stream,
                    .epoch = f->epoch,
                    .t = f->t,
                    .frame = f->number,
                    .wall = f->wall,
                    .clock = f->clock,
                    .left_out = j->left_out,
                    .place = observer_place(j->observer, &f->picture),
                    .at = j->observation},
          &f->picture);
}

void judge_frame(Judge *j, const VideoFrame *f)
{
    const double start = time_now();
    begin_frame(j, f);
    observer_look(j->observer, &f->picture, f->t, j->need, j->observation);
    j->times.look += time_now() - start;
    judge_seen(j);
}

const Signal *judge_hears(const Judge *j) { return j->hearing ? hearing_signal(j->hearing) : NULL; }

void judge_sound(Judge *j, const Packet *p)
{
    if (j->hearing)
        hearing_take(j->hearing, p);
}

bool judge_listen(Judge *j, const VideoFrame *f)
{
    return !j->hearing || hearing_until(j->hearing, f, j->observer);
}

bool judge_begin(Judge *j, const VideoFrame *f, const ObserverAsk *ask)
{
    const double start = time_now();
    begin_frame(j, f);
    const bool over = observer_begin(j->observer, &j->frame.picture, f->t, j->need, ask);
    j->times.look += time_now() - start;
    return over;
}

bool judge_advance(Judge *j)
{
    const double start = time_now();
    const bool over = observer_advance(j->observer);
    j->times.look += time_now() - start;
    return over;
}

void judge_left_out(Judge *j, int64_t us)
{
    j->left_out = us;
}

bool judge_end(Judge *j)
{
    const bool in_time = observer_end(j->observer, j->observation);
    if (in_time)
        judge_seen(j);
    return in_time;
}

void judge_cancel(Judge *j)
{
    if (j->observer)
        observer_cancel(j->observer);
}

void judge_sample(Judge *j, const Sample *s)
{
    for (int i = 0; i < j->opt.watch->nsignal; i++)
        j->given[i].seen += s->at[i].state != OBSERVE_SKIPPED;
    judge(j, s, NULL);
}

double judge_step(const Judge *j) { return 1e6 / events_rate(j->events); }

void judge_quiet(Judge *j, int64_t t) { events_quiet(j->events, t); }
void judge_stop(Judge *j) { events_stop(j->events); }

bool judge_uses(const Judge *j, int signal) { return j->used[signal]; }

SignalCounts judge_signal(const Judge *j, int signal)
{
    return j->observer ? observer_counts(j->observer, signal) : j->given[signal];
}

const char *judge_error(const Judge *j)
{
    for (int i = 0; j->observer && i < j->opt.watch->nsignal; i++)
        if (observer_error(j->observer, i)[0] != '\0')
            return observer_error(j->observer, i);
    return j->hearing ? hearing_error(j->hearing) : "";
}

int judge_crash(Judge *j, Error *e) { return j->hearing ? hearing_crash(j->hearing, e) : 0; }

int64_t judge_unheard(const Judge *j) { return j->hearing ? hearing_lost(j->hearing) : 0; }

SpotlightVerdict judge_spotlight(const Judge *j) { return events_spotlight(j->events); }
bool judge_lost(const Judge *j) { return j->observer && observer_lost(j->observer); }
AlignCounts judge_align(const Judge *j)
{
    return j->observer ? observer_align(j->observer) : (AlignCounts){0};
}
EventCounts judge_events(const Judge *j) { return events_counts(j->events); }
JudgeTimes judge_times(const Judge *j)
{
    JudgeTimes t = j->times;
    for (int i = 0; j->observer && i < j->opt.watch->nsignal; i++)
        t.models += observer_counts(j->observer, i).seconds;
    t.models = t.models > t.look ? t.models - t.look : 0;
    return t;
}
