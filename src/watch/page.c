/* Requests, routed, and jobs for the worker. */
#include "watch/page.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/heap.h"
#include "base/vec.h"
#include "net/metrics.h"
#include "sched/workers.h"
#include "watch/page_live.h"
#include "watch/page_parts.h"
#include "watch/region_edit.h"

#define JSON "application/json"

struct Page {
    Arena *arena;
    PageOptions opt;
    EventLoop *loop;
    HttpServer *server;
    Workers *workers;
    pthread_t thread;
    bool stopped;
    PageLive live;
    struct Job *job;        /* the loop's */

    pthread_mutex_t lock;   /* guards what follows */
    Arena *names;           /* of sinks */
    PageSinks sinks;
};

/* ---- jobs: what takes time ---- */

typedef struct Job {
    Task task;
    LoopPost done;
    struct Job *next, *prev; /* of the page */
    Page *page;
    HttpExchange *x;
    Arena *arena;          /* of the job */
    void (*work)(struct Job *j);
    const char *stream, *query; /* of the request, copied */
    int limit;
    Box box;
    const char *region;
    HttpCounts http;       /* as they were when it was asked */
    int status;
    const char *type;
    const void *at;
    size_t size;
    Error error;
} Job;

/* The worker may still be on its way out of the task, which is part of the job. */
static void job_free(Job *j)
{
    if (j->page->workers)
        workers_cancel(j->page->workers, &j->task);
    *(j->prev ? &j->prev->next : &j->page->job) = j->next;
    if (j->next)
        j->next->prev = j->prev;
    arena_free(j->arena);
}

static void job_done(LoopPost *post)
{
    Job *const j = owner_of(Job, done, post);
    http_add_header(j->x, "Cache-Control", "no-store");
    if (j->at)
        http_reply(j->x, j->status, j->type, j->at, j->size);
    else
        http_reply_error(j->x, j->status, j->error.message);
    job_free(j);
}

static void run_job(Task *t, int worker)
{
    Job *const j = owner_of(Job, task, t);
    (void)worker;
    j->work(j);
    event_loop_post(j->page->loop, &j->done);
}

static Job *job_new(Page *p, HttpExchange *x, void (*work)(Job *j))
{
    Arena *const a = arena_new();
    Job *const j = arena_new_of(a, Job);
    *j = (Job){.task.run = run_job,
               .done.run = job_done,
               .page = p,
               .x = x,
               .arena = a,
               .work = work,
               .status = 200,
               .type = JSON,
               .http = http_counts(p->server),
               .next = p->job};
    if (j->next)
        j->next->prev = j;
    p->job = j;
    return j;
}

static void start_job(Job *j)
{
    workers_submit(j->page->workers, &j->task, machine_now(), 0);
}

static void job_text(Job *j, Str *s)
{
    j->at = str_text(s);
    j->size = s->len;
}

static int status_of(int code)
{
    return code == ERR_INVALID ? 400 : code == ERR_UNSUPPORTED ? 501 : 500;
}

static void work_picture(Job *j)
{
    const uint8_t *at;
    const int code =
        board_picture(j->page->opt.board, j->arena, j->stream, &at, &j->size, &j->error);
    j->type = "image/jpeg";
    j->at = at;
    j->status = code != 0 ? (code == ERR_INVALID ? 404 : status_of(code)) : at ? 200 : 404;
    if (code == 0 && !at)
        error_set(&j->error, ERR_INVALID, "no picture of '%s' was kept yet: ask again", j->stream);
}

static void work_search(Job *j)
{
    StoreSearch *s = NULL;
    StoreHit *hit;
    int n;
    int code = store_search_open(j->page->opt.store_path, &s, &j->error);
    if (code == 0)
        code = store_search(s, j->arena, j->query, j->limit, &hit, &n, &j->error);
    if (code == 0) {
        Str out = str_new(j->arena);
        page_hits_json(&out, hit, n);
        job_text(j, &out);
    } else {
        j->status = status_of(code);
    }
    store_search_close(s);
}

static void work_streams(Job *j)
{
    const EngineStatus engine = engine_status(j->page->opt.engine, j->arena);
    const BoardStream *board;
    const int n = board_streams(j->page->opt.board, j->arena, &board);
    Str out = str_new(j->arena);
    page_streams_json(&out, &engine, board, n);
    job_text(j, &out);
}

static void work_spotlight(Job *j)
{
    const SpotlightStatus now = engine_spotlight(j->page->opt.engine, j->arena);
    Str out = str_new(j->arena);
    page_spotlight_json(&out, &now);
    job_text(j, &out);
}

static void work_metrics(Job *j)
{
    Page *const p = j->page;
    const EngineStatus engine = engine_status(p->opt.engine, j->arena);
    Str out = str_new(j->arena);
    pthread_mutex_lock(&p->lock);
    PageSinks sinks = p->sinks;
    const char **const name = arena_array_of(j->arena, sinks.n + 1, const char *);
    for (int i = 0; i < sinks.n; i++)
        name[i] = arena_strdup(j->arena, sinks.name[i]);
    sinks.name = name;
    pthread_mutex_unlock(&p->lock); /* asking sinks may wait for the disk */
    page_metrics(&out, &p->opt, &engine, &sinks, &j->http);
    j->type = METRICS_TYPE;
    job_text(j, &out);
}

static void work_clips(Job *j)
{
    Str out = str_new(j->arena);
    page_clips_json(&out, j->page->opt.clips, ".mp4");
    job_text(j, &out);
}

static void work_region(Job *j)
{
    const BoardStream *board;
    const int n = board_streams(j->page->opt.board, j->arena, &board);
    int at = 0;
    while (at < n && strcmp(board[at].name, j->stream) != 0)
        at++;
    if (at == n) {
        const EngineStatus engine = engine_status(j->page->opt.engine, j->arena);
        bool known = false;
        for (int i = 0; i < engine.nstream; i++)
            known = known || strcmp(engine.stream[i].name, j->stream) == 0;
        j->status = known ? 409 : 404;
        error_set(
            &j->error, ERR_INVALID,
            known
                ? "'%s' has had no sample since it began or was changed: try again when it has one"
                : "there is no stream '%s'",
            j->stream);
        return;
    }
    const Box *const b = &j->box;
    if (b->x + b->width > (float)board[at].width || b->y + b->height > (float)board[at].height) {
        j->status = 400;
        error_set(&j->error, ERR_INVALID, "the region reaches over the edge of %d x %d",
                  board[at].width, board[at].height);
        return;
    }
    const int code = region_edit(board[at].path, j->region, j->box, &j->error);
    j->status = code == 0 ? 200 : status_of(code);
    j->at = code == 0 ? "{}\n" : NULL;
    j->size = 3;
}

/* ---- requests ---- */

/* NAME of PREFIX/NAME, where it is a plain name; NULL. */
static const char *name_behind(const char *path, const char *prefix)
{
    const size_t n = strlen(prefix);
    if (strncmp(path, prefix, n) != 0 || path[n] == '\0' || path[n] == '.' || strchr(path + n, '/'))
        return NULL;
    return path + n;
}

static bool serve_own_file(HttpExchange *x, const char *path)
{
    for (int i = 0; i < page_nfile; i++) {
        if (strcmp(path, page_file[i].path) != 0)
            continue;
        http_add_header(
            x, "Content-Security-Policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
            "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'");
        http_add_header(x, "X-Content-Type-Options", "nosniff");
        http_add_header(x, "Referrer-Policy", "no-referrer");
        http_add_header(x, "Cache-Control", "no-cache");
        http_reply(x, 200, page_file[i].type, page_file[i].at, page_file[i].size);
        return true;
    }
    return false;
}

static bool serve_folder(HttpExchange *x, const char *path, const char *prefix, const char *folder,
                         const char *type)
{
    const char *const name = name_behind(path, prefix);
    if (!name || !folder)
        return false;
    http_add_header(x, "X-Content-Type-Options", "nosniff");
    http_reply_file(x, path_join(http_arena(x), folder, name), type);
    return true;
}

static void serve_search(Page *p, HttpExchange *x)
{
    const char *const query = http_query(http_arena(x), http_head(x), "q");
    const char *const limit = http_query(http_arena(x), http_head(x), "limit");
    const int n = limit ? atoi(limit) : 50;
    if (!p->opt.store) {
        http_reply_error(x, 404,
                         "nothing is kept to be searched: name a 'store' in the service's file");
        return;
    }
    Job *const j = job_new(p, x, work_search);
    j->query = arena_strdup(j->arena, query ? query : "");
    j->limit = n < 1 ? 1 : n > 500 ? 500 : n;
    start_job(j);
}

/* A page of another site may make a browser send us things: it has to say where it comes from, and
 * that has to be here. */
static bool from_here(const HttpExchange *x)
{
    const char *const origin = http_header(http_head(x), "origin"), *const host =
                                                                        http_header(http_head(x),
                                                                                    "host");
    const char *const type = http_header(http_head(x), "content-type");
    return origin && host && type && strncmp(origin, "http://", 7) == 0 &&
           strcmp(origin + 7, host) == 0 && str_starts(type, JSON);
}

static bool read_region(HttpExchange *x, Job *j)
{
    size_t size;
    const char *const body = http_body(x, &size);
    json_t *const root = json_loadb(body, size, JSON_REJECT_DUPLICATES, NULL);
    const char *stream, *region;
    double at[4];
    const bool good =
        root && json_unpack(root, "{s:s, s:s, s:[F,F,F,F!]}", "stream", &stream, "region", &region,
                            "box", &at[0], &at[1], &at[2], &at[3]) == 0;
    bool fine = good;
    for (int i = 0; i < 4 && fine; i++)
        fine = isfinite(at[i]) && at[i] >= (i < 2 ? 0 : 1) && at[i] <= 65536;
    if (fine) {
        j->stream = arena_strdup(j->arena, stream);
        j->region = arena_strdup(j->arena, region);
        j->box = (Box){(float)at[0], (float)at[1], (float)at[2], (float)at[3]};
    }
    json_decref(root);
    return fine;
}

static void serve_region(Page *p, HttpExchange *x)
{
    if (!from_here(x)) {
        http_reply_error(x, 403, "only this page may change regions");
        return;
    }
    Job *const j = job_new(p, x, work_region);
    if (read_region(x, j)) {
        start_job(j);
        return;
    }
    job_free(j);
    http_reply_error(x, 400,
                     "as {\"stream\": .., \"region\": .., \"box\": [x, y, width, height]}, in "
                     "pixels of the reference size");
}

static void serve_get(Page *p, HttpExchange *x, const char *path)
{
    static const struct {
        const char *path;
        void (*work)(Job *j);
    } row[] = {{"/api/streams", work_streams},
               {"/api/spotlight", work_spotlight},
               {"/api/clips", work_clips},
               {"/metrics", work_metrics}};
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
        if (strcmp(path, row[i].path) == 0) {
            start_job(job_new(p, x, row[i].work));
            return;
        }
    /* a stream's name: anything */
    const char *const picture = str_starts(path, "/snapshot/") ? path + strlen("/snapshot/") : NULL;
    if (strcmp(path, "/api/live") == 0) {
        page_live_serve(&p->live, x);
    } else if (strcmp(path, "/api/search") == 0) {
        serve_search(p, x);
    } else if (picture && str_ends(picture, ".jpg")) {
        Job *const j = job_new(p, x, work_picture);
        j->stream = arena_strndup(j->arena, picture, strlen(picture) - 4);
        start_job(j);
    } else if (!serve_own_file(x, path) &&
               !serve_folder(x, path, "/clips/", p->opt.clips, "video/mp4") &&
               !serve_folder(x, path, "/evidence/", p->opt.evidence, "image/jpeg")) {
        http_reply_error(x, 404, "there is nothing here");
    }
}

static void handle(void *arg, HttpExchange *x)
{
    Page *const p = arg;
    const HttpHead *const h = http_head(x);
    const bool get = strcmp(h->method, "GET") == 0 || strcmp(h->method, "HEAD") == 0;
    if (strcmp(h->path, "/api/region") == 0 && strcmp(h->method, "POST") == 0)
        serve_region(p, x);
    else if (get)
        serve_get(p, x, h->path);
    else
        http_reply_error(x, 405, "GET, or POST of a region");
}

/* ---- opening ---- */

/* "127.0.0.1:8080", "[::1]:8080", "8080" */
static int read_address(Arena *a, const char *text, HttpOptions *out, Error *e)
{
    const char *const colon = strrchr(text, ':');
    const char *const digits = colon ? colon + 1 : text;
    const size_t n = colon ? (size_t)(colon - text) : 0;
    char *end;
    const long port = strtol(digits, &end, 10);
    if (!isdigit((unsigned char)*digits) || *end != '\0' || port > 65535)
        return error_set(e, ERR_INVALID, "page: '%.100s' is no address: as 127.0.0.1:8080", text);
    const bool brackets = n > 1 && text[0] == '[' && text[n - 1] == ']';
    out->host = n == 0 ? "127.0.0.1" : arena_strndup(a, text + brackets, n - 2 * brackets);
    out->port = (int)port;
    return 0;
}

static void *run_loop(void *arg)
{
    event_loop_run(((Page *)arg)->loop);
    return NULL;
}

static int start(Page *p, Error *e)
{
    HttpOptions http = {
        .check_host = true, .nname = p->opt.nname, .name = p->opt.name, .handle = handle, .arg = p};
    int code = read_address(p->arena, p->opt.address, &http, e);
    if (code == 0)
        code = event_loop_new(&p->loop, e);
    if (code == 0)
        code = workers_new(1, &p->workers, e);
    if (code == 0)
        code = http_listen(p->loop, &http, &p->server, e);
    if (code != 0)
        return code;
    page_live_begin(&p->live, p->loop);
    if (pthread_create(&p->thread, NULL, run_loop, p) == 0)
        return 0;
    http_close(p->server);
    p->server = NULL;
    return error_set(e, ERR_MEMORY, "page: no thread to serve it");
}

static const char *copy_text(Arena *a, const char *text)
{
    return text ? arena_strdup(a, text) : NULL;
}

/* What is text there may be of a configuration that goes when another is read. */
static void copy_options(PageOptions *o, Arena *a)
{
    const char **const name = arena_array_of(a, o->nname + 1, const char *);
    for (int i = 0; i < o->nname; i++)
        name[i] = arena_strdup(a, o->name[i]);
    o->name = name;
    o->address = copy_text(a, o->address);
    o->store_path = copy_text(a, o->store_path);
    o->evidence = copy_text(a, o->evidence);
    o->clips = copy_text(a, o->clips);
}

int page_open(const PageOptions *opt, Page **out, Error *e)
{
    Arena *const a = arena_new();
    Page *const p = arena_new_of(a, Page);
    *p = (Page){.arena = a, .opt = *opt};
    page_live_init(&p->live);
    copy_options(&p->opt, a);
    pthread_mutex_init(&p->lock, NULL);
    const int code = start(p, e);
    if (code != 0)
        page_close(p);
    else
        *out = p;
    return code;
}

void page_stop(Page *p)
{
    if (!p || p->stopped)
        return;
    p->stopped = true;
    if (p->server) {
        event_loop_stop(p->loop);
        pthread_join(p->thread, NULL);
    }
    if (p->workers)
        workers_free(p->workers);
    p->workers = NULL;
}

/* What the worker did not come to is refused. */
void page_close(Page *p)
{
    if (!p)
        return;
    page_stop(p);
    while (p->job) {
        http_reply_error(p->job->x, 503, "the service ends");
        job_free(p->job);
    }
    if (p->server)
        http_close(p->server);
    event_loop_free(p->loop);
    page_live_end(&p->live);
    arena_free(p->names);
    pthread_mutex_destroy(&p->lock);
    arena_free(p->arena);
}

void page_record(Page *p, const char *json, size_t size) { page_live_record(&p->live, json, size); }

int page_port(const Page *p) { return http_port(p->server); }

void page_sinks(Page *p, Sinks *sinks, int n, const char *const *name)
{
    Arena *const a = arena_new();
    const char **const copy = arena_array_of(a, n + 1, const char *);
    for (int i = 0; i < n; i++)
        copy[i] = arena_strdup(a, name[i]);
    pthread_mutex_lock(&p->lock);
    arena_free(p->names);
    p->names = a;
    p->sinks = (PageSinks){sinks, n, copy};
    pthread_mutex_unlock(&p->lock);
}
