/* Starting, reloading and stopping; records on their way to the sinks. */
#include "watch/service_run.h"

#include <string.h>

#include "base/file.h"
#include "base/vec.h"
#include "watch/page.h"
#include "watch/pattern.h"
#include "watch/telling.h"

/* A stream as the engine has it. What it needs lives as long as it runs, whatever becomes of the
 * file. */
typedef struct Running {
    Arena *arena;
    StreamSpec spec;
    WatchFile *file;
} Running;

typedef struct Departed { /* records that wait may name its watch */
    Running was;
    int64_t mark;          /* of the telling */
} Departed;

struct ServiceRun {
    Arena *arena;
    ServiceOptions opt;
    const char *path;
    Service *now;
    FileList files;
    Engine *engine;
    Sinks *sinks;            /* NULL: none, as the five below; they stay once there were any */
    Evidence *evidence;
    Clips *clips;
    Store *store;
    Board *board;
    Page *_Atomic page;      /* opened when streams run already */
    Telling *telling;        /* NULL: drained, and this is what it came to */
    TellingCounts told;
    VEC(Running) running;
    VEC(Departed) departed;
};

/* ---- records ---- */

static void on_event(void *arg, const EventRecord *record, int64_t latency)
{
    const ServiceRun *const r = arg;
    if (r->store)
        store_record(r->store, record);
    telling_event(r->telling, record, latency);
}

static void on_system(void *arg, const SystemRecord *record)
{
    const ServiceRun *const r = arg;
    telling_system(r->telling, record);
    if (r->store && record->kind == SYSTEM_END)
        store_stream_end(r->store, record->stream);
}

/* The outbox has it. */
static void told_event(void *arg, const EventRecord *record, int64_t latency, const char *json,
                       size_t size)
{
    const ServiceRun *const r = arg;
    Page *const page = r->page;
    if (page)
        page_record(page, json, size);
    if (r->opt.event)
        r->opt.event(r->opt.arg, record, latency);
}

static void told_system(void *arg, const SystemRecord *record, const char *json, size_t size)
{
    const ServiceRun *const r = arg;
    Page *const page = r->page;
    if (page)
        page_record(page, json, size);
    if (r->opt.system)
        r->opt.system(r->opt.arg, record);
}

static bool behind(void *arg)
{
    const ServiceRun *const r = arg;
    return telling_full(r->telling);
}

static void on_judged(void *arg, const Watch *w, const Sample *s, const Reading *reading,
                      const Frame *f)
{
    const ServiceRun *const r = arg;
    if (r->store)
        store_sample(r->store, w, s, reading);
    if (r->board)
        board_sample(r->board, w, s, reading, f);
}

static void on_sample(void *arg, const char *stream, const Sample *s, const Frame *f)
{
    const ServiceRun *const r = arg;
    r->opt.sample(r->opt.arg, stream, s, f);
}

/* ---- streams ---- */

static int find(const ServiceRun *r, const char *name)
{
    for (int i = 0; i < r->running.len; i++)
        if (strcmp(r->running.at[i].spec.name, name) == 0)
            return i;
    return -1;
}

static bool same_stream(const Running *r, const ServiceStream *s)
{
    const VideoOptions *const x = &r->spec.live.video, *const y = &s->spec.live.video;
    return r->file == s->file && strcmp(r->spec.url, s->spec.url) == 0 &&
           r->spec.latency == s->spec.latency && r->spec.offline == s->spec.offline &&
           r->spec.all == s->spec.all && x->keyframes == y->keyframes && x->isolate == y->isolate &&
           x->open_timeout == y->open_timeout && x->read_timeout == y->read_timeout;
}

static Running running_new(const ServiceStream *s)
{
    Running r = {.arena = arena_new(), .spec = s->spec, .file = watch_file_ref(s->file)};
    r.spec.name = arena_strdup(r.arena, s->spec.name);
    r.spec.url = arena_strdup(r.arena, s->spec.url);
    return r;
}

static void running_free(Running *r)
{
    watch_file_unref(r->file);
    arena_free(r->arena);
}

static void free_departed(ServiceRun *r, bool all)
{
    int n = 0;
    for (int i = 0; i < r->departed.len; i++) {
        Departed *const d = &r->departed.at[i];
        if (all || telling_passed(r->telling, d->mark))
            running_free(&d->was);
        else
            r->departed.at[n++] = *d;
    }
    r->departed.len = n;
}

/* Store and board know a watch by its address, and records name it: it stays until all of them were
 * told. */
static void retire(ServiceRun *r, Running *was)
{
    const Departed d = {*was, telling_mark(r->telling)};
    if (r->store)
        store_stream_end(r->store, was->spec.name);
    if (r->board)
        board_remove(r->board, was->spec.name);
    vec_push(r->arena, &r->departed, d);
}

/* Those that change between files as fast as can be and the clock begin anew, and could not join a
 * spotlight one by one while the others still go by the other clock: all of them leave first. */
static bool changes_clock(const Running *r, const StreamSpec *next)
{
    return r->spec.offline != next->offline && r->spec.watch->spotlight && next->watch->spotlight;
}

static void remove_missing(ServiceRun *r, const Service *next, ServiceChange *out)
{
    int n = 0;
    for (int i = 0; i < r->running.len; i++) {
        Running *const s = &r->running.at[i];
        const StreamSpec *as = NULL;
        for (int k = 0; k < next->nstream && !as; k++)
            as =
                strcmp(next->stream[k].spec.name, s->spec.name) == 0 ? &next->stream[k].spec : NULL;
        if (as && !changes_clock(s, as)) {
            r->running.at[n++] = *s;
            continue;
        }
        Error ignored = {0};
        engine_remove(r->engine, s->spec.name, &ignored); /* a name that ran */
        retire(r, s);
        out->removed++;
    }
    r->running.len = n;
}

/* Adds or edits; what runs stays as it is if that fails. */
static int bring_in(ServiceRun *r, const ServiceStream *s, ServiceChange *out, Error *e)
{
    const int at = find(r, s->spec.name);
    if (at >= 0 && same_stream(&r->running.at[at], s)) {
        out->same++;
        return 0;
    }
    Running next = running_new(s);
    const int code =
        at >= 0 ? engine_edit(r->engine, &next.spec, e) : engine_add(r->engine, &next.spec, e);
    if (code != 0) {
        running_free(&next);
        out->failed++;
        return code;
    }
    if (at >= 0) {
        retire(r, &r->running.at[at]);
        r->running.at[at] = next;
        out->edited++;
    } else {
        vec_push(r->arena, &r->running, next);
        out->added++;
    }
    return 0;
}

static int apply(ServiceRun *r, const Service *next, ServiceChange *out, Error *e)
{
    int first = 0;
    remove_missing(r, next, out);
    for (int i = 0; i < next->nstream; i++) {
        Error why = {0};
        const int code = bring_in(r, &next->stream[i], out, &why);
        if (code != 0 && first == 0)
            first =
                error_set(e, code, "stream '%s': %.900s", next->stream[i].spec.name, why.message);
    }
    free_departed(r, false);
    return first;
}

/* ---- the whole ---- */

static int read_service(ServiceRun *r, Service **out, Error *e)
{
    Arena *const a = arena_new();
    FileList files = {.arena = a};
    const int code = service_read(r->path, r->now, &files, out, e);
    arena_free(r->files.arena);
    r->files = files;
    return code;
}

static void name_sinks(ServiceRun *r, const Service *s)
{
    const char *name[SERVICE_MAX_SINKS];
    for (int i = 0; i < s->nsink; i++)
        name[i] = s->sink[i].name;
    if (r->page)
        page_sinks(r->page, r->sinks, s->nsink, name);
}

static int start_page(ServiceRun *r, Error *e)
{
    const Service *const s = r->now;
    Page *page = NULL;
    const int code = page_open(&(PageOptions){.address = s->page,
                                              .nname = s->npage_name,
                                              .name = s->page_name,
                                              .engine = r->engine,
                                              .board = r->board,
                                              .store = r->store,
                                              .store_path = s->store,
                                              .telling = r->telling,
                                              .evidence = s->evidence,
                                              .clips = s->clips,
                                              .picturing = r->evidence,
                                              .cutting = r->clips},
                               &page, e);
    r->page = page;
    if (code == 0)
        name_sinks(r, s);
    return code;
}

/* An error that a setting of the file led to says where that stands. */
static int blame(const ServiceRun *r, Place at, int code, Error *e)
{
    const Error why = *e;
    if (code == 0 || at.line == 0)
        return code;
    return error_set(e, code, "%s:%d:%d: %.900s", r->path, at.line, at.column, why.message);
}

/* The first there are. */
static int start_sinks(ServiceRun *r, const Service *s, Error *e)
{
    if (s->nsink == 0)
        return 0;
    Sinks *sinks;
    int code = blame(r, s->at.outbox, sinks_open(s->outbox, s->nsink, s->sink, &sinks, e), e);
    if (code != 0)
        return code;
    code = telling_sinks(r->telling, sinks, e);
    if (code == 0)
        r->sinks = sinks;
    else
        sinks_close(sinks, 0);
    return code;
}

static int start(ServiceRun *r, Error *e)
{
    int code = read_service(r, &r->now, e);
    if (code == 0 && r->now->nstream == 0)
        code = error_set(e, ERR_INVALID,
                         "%s: no 'streams' in it: name a video to watch, or add some", r->path);
    if (code == 0)
        code = start_sinks(r, r->now, e);
    if (code == 0 && r->now->evidence)
        code = blame(r, r->now->at.evidence,
                     evidence_open(r->now->evidence, r->now->evidence_bytes, &r->evidence, e), e);
    if (code != 0)
        return code;
    if (r->now->clips)
        code = blame(r, r->now->at.clips,
                     clips_open(&(ClipsOptions){.folder = r->now->clips,
                                                .max_bytes = r->now->clips_bytes,
                                                .ring_bytes = r->now->clips_ring,
                                                .pending_bytes = r->now->clips_pending,
                                                .told = r->opt.clip,
                                                .arg = r->opt.arg},
                                &r->clips, e),
                     e);
    if (code == 0 && r->now->store)
        code = blame(r, r->now->at.store,
                     store_open(r->now->store, &(StoreOptions){0}, &r->store, e), e);
    if (code != 0)
        return code;
    r->board = r->now->page ? board_new() : NULL;
    const EngineOptions opt = {.workers = r->now->workers,
                               .evidence = r->evidence,
                               .clips = r->clips,
                               .nets = r->opt.nets,
                               .event = on_event,
                               .system = on_system,
                               .behind = behind,
                               .sample = r->opt.sample ? on_sample : NULL,
                               .judged = r->store || r->board ? on_judged : NULL,
                               .arg = r};
    ServiceChange ignored = {0};
    code = engine_new(&opt, &r->engine, e);
    if (code == 0 && r->now->page)
        code = blame(r, r->now->at.page, start_page(r, e), e);
    code = code == 0 ? apply(r, r->now, &ignored, e) : code;
    if (code == 0)
        engine_begin(r->engine);
    return code;
}

int service_start(const char *path, const ServiceOptions *opt, ServiceRun **out, Error *e)
{
    Arena *const a = arena_new();
    ServiceRun *const r = arena_new_of(a, ServiceRun);
    r->arena = a;
    r->opt = *opt;
    r->path = arena_strdup(a, path);
    r->telling = telling_new(&(TellingOptions){told_event, told_system, r});
    const int code = r->telling ? start(r, e) : error_set(e, ERR_MEMORY, "no memory for a service");
    if (code != 0)
        service_stop(r, 0);
    else
        *out = r;
    return code;
}

bool service_changed(ServiceRun *r)
{
    free_departed(r, false);
    return files_changed(&r->files);
}

static bool same_page_names(const Service *a, const Service *b)
{
    bool same = a->npage_name == b->npage_name;
    for (int i = 0; i < a->npage_name && same; i++)
        same = strcmp(a->page_name[i], b->page_name[i]) == 0;
    return same;
}

/* What cannot be changed while it runs. */
static int check_fixed(const ServiceRun *r, const Service *next, Error *e)
{
    const Service *const now = r->now;
    const struct { const char *name; bool same; Place at;
    } fixed[] = {
        {"workers", next->workers == now->workers, next->at.workers},
        {"store", text_same(next->store, now->store), next->at.store},
        {"page", text_same(next->page, now->page), next->at.page},
        {"page_names", same_page_names(next, now), next->at.page_names},
        {"clips", text_same(next->clips, now->clips), next->at.clips},
        {"clips_bytes", next->clips_bytes == now->clips_bytes, next->at.clips_bytes},
        {"clips_ring", next->clips_ring == now->clips_ring, next->at.clips_ring},
        {"clips_pending", next->clips_pending == now->clips_pending, next->at.clips_pending},
        {"outbox", !r->sinks || strcmp(next->outbox, now->outbox) == 0, next->at.outbox},
        {"evidence",
         text_same(next->evidence, now->evidence) && next->evidence_bytes == now->evidence_bytes,
         next->at.evidence},
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (!fixed[i].same && fixed[i].at.line > 0)
            return blame(r, fixed[i].at,
                         error_set(e, ERR_UNSUPPORTED,
                                   "'%s' cannot be changed while it runs: start it again",
                                   fixed[i].name),
                         e);
        else if (!fixed[i].same)
            return error_set(e, ERR_UNSUPPORTED,
                             "%s: '%s' cannot be changed while it runs: start it again", r->path,
                             fixed[i].name);
    return 0;
}

static bool is_among(const Service *s, const SinkSpec *sink,
                     bool (*alike)(const SinkSpec *a, const SinkSpec *b))
{
    for (int i = 0; i < s->nsink; i++)
        if (alike(&s->sink[i], sink))
            return true;
    return false;
}

static bool same_name(const SinkSpec *a, const SinkSpec *b)
{
    return strcmp(a->name, b->name) == 0;
}

static void count_sinks(const Service *now, const Service *next, ServiceChange *out)
{
    for (int i = 0; i < next->nsink; i++) {
        const bool there = is_among(now, &next->sink[i], same_name);
        out->sinks_added += !there;
        out->sinks_edited += there && !is_among(now, &next->sink[i], sink_same);
    }
    for (int i = 0; i < now->nsink; i++)
        out->sinks_removed += !is_among(next, &now->sink[i], same_name);
}

static int change_sinks(ServiceRun *r, const Service *next, ServiceChange *out, Error *e)
{
    const int code =
        r->sinks ? sinks_change(r->sinks, next->nsink, next->sink, e) : start_sinks(r, next, e);
    if (code == 0)
        count_sinks(r->now, next, out);
    return code;
}

int service_reload(ServiceRun *r, ServiceChange *out, Error *e)
{
    *out = (ServiceChange){0};
    const double start = time_now();
    Service *next = NULL;
    int code = read_service(r, &next, e);
    if (code == 0)
        code = check_fixed(r, next, e);
    if (code == 0)
        code = change_sinks(r, next, out, e);
    if (code != 0) {
        service_free(next);
        return code;
    }
    name_sinks(r, next);
    code = apply(r, next, out, e);
    service_free(r->now);
    r->now = next;
    out->seconds = time_now() - start;
    return code;
}

Engine *service_engine(ServiceRun *r) { return r->engine; }
const Service *service_now(const ServiceRun *r) { return r->now; }
Sinks *service_sinks(ServiceRun *r) { return r->sinks; }
Store *service_store(ServiceRun *r) { return r->store; }
TellingCounts service_telling(const ServiceRun *r)
{
    return r->telling ? telling_counts(r->telling) : r->told;
}
int service_port(const ServiceRun *r) { return r->page ? page_port(r->page) : 0; }

const char *service_address(ServiceRun *r)
{
    const char *const page = r->now->page, *const colon = page ? strrchr(page, ':') : NULL;
    if (!r->page)
        return NULL;
    return arena_printf(r->arena, "%.*s:%d", colon ? (int)(colon - page) : 9,
                        colon ? page : "127.0.0.1", page_port(r->page));
}

void service_drain(ServiceRun *r, int64_t timeout)
{
    page_stop(r->page);     /* it asks the engine */
    engine_free(r->engine); /* whose last records still find all below */
    r->engine = NULL;
    telling_free(r->telling, &r->told);
    r->telling = NULL;
    clips_close(r->clips, timeout);
    r->clips = NULL;
    if (r->sinks)
        sinks_drain(r->sinks, timeout);
    if (r->store)
        store_finish(r->store); /* last: it waits for its disk as long as that takes */
}

void service_stop(ServiceRun *r, int64_t timeout)
{
    service_drain(r, timeout);
    page_close(r->page);
    board_free(r->board);
    store_close(r->store);
    for (int i = 0; i < r->running.len; i++)
        running_free(&r->running.at[i]);
    free_departed(r, true);
    if (r->sinks)
        sinks_close(r->sinks, 0);
    evidence_close(r->evidence);
    service_free(r->now);
    arena_free(r->files.arena);
    arena_free(r->arena);
}
