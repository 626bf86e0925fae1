/* Reading a service. */
#include "watch/service.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"
#include "vision/picture.h"
#include "watch/config.h"
#include "watch/isolated.h"
#include "watch/service_check.h"
#include "watch/sink_each.h"
#include "watch/source.h"
#include "watch/yaml.h"

/* ---- what was read ---- */

typedef struct Paths {
    Arena *arena;
    VEC(FileSeen) path;
} Paths;

static uint64_t stamp(const char *path)
{
    struct stat s;
    if (stat(path, &s) != 0)
        return 0;
    uint64_t h = hash_mix(1, (uint64_t)s.st_ino);
    h = hash_mix(h, (uint64_t)s.st_size);
    return hash_mix(h, (uint64_t)s.st_mtim.tv_sec * 1000000000u + (uint64_t)s.st_mtim.tv_nsec);
}

/* Before it is read: whoever writes meanwhile is noticed. */
static void add_path(Paths *p, const char *path)
{
    for (int i = 0; i < p->path.len; i++)
        if (strcmp(p->path.at[i].path, path) == 0)
            return;
    vec_push(p->arena, &p->path, ((FileSeen){arena_strdup(p->arena, path), stamp(path)}));
}

bool files_changed(const FileList *f)
{
    for (int i = 0; i < f->n; i++)
        if (stamp(f->at[i].path) != f->at[i].stamp)
            return true;
    return false;
}

/* ---- watches ---- */

struct WatchFile {
    Arena *arena;
    const Watch *watch;
    Digest digest; /* of the file and what it names */
    int refs;
};

const Watch *watch_file_watch(const WatchFile *f) { return f->watch; }

WatchFile *watch_file_ref(WatchFile *f)
{
    f->refs++;
    return f;
}

void watch_file_unref(WatchFile *f)
{
    if (f && --f->refs == 0)
        arena_free(f->arena);
}

/* Models are large: their size and time are enough. */
static void add_model(Digest *d, Paths *paths, const char *path)
{
    struct stat s = {0};
    digest_add_text(d, path ? path : "");
    if (!path)
        return;
    add_path(paths, path);
    const bool there = stat(path, &s) == 0;
    digest_add_int(d, there ? (int64_t)s.st_size : -1);
    digest_add_int(d, (int64_t)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec);
}

static void add_content(Digest *d, Paths *paths, const char *path)
{
    Arena *const tmp = arena_new();
    File f;
    Error ignored = {0};
    add_path(paths, path);
    digest_add_text(d, path);
    if (file_read(tmp, path, &f, &ignored) == 0)
        digest_add(d, f.at, f.size);
    arena_free(tmp);
}

static void add_pictures(Digest *d, Paths *paths, int n, const Reference *ref)
{
    for (int i = 0; i < n; i++) {
        add_content(d, paths, ref[i].path);
        add_path(paths, path_dir(paths->arena, ref[i].path)); /* a wild card may find another */
    }
}

static Digest watch_digest(const Watch *w, Paths *paths)
{
    Digest d = digest_new();
    add_content(&d, paths, w->path);
    add_model(&d, paths, w->recogniser);
    add_model(&d, paths, w->detector);
    for (int i = 0; i < w->nsignal; i++) {
        const Signal *const s = &w->signal[i];
        const Reference *ref;
        const int n = signal_references(s, &ref);
        add_model(&d, paths, s->model);
        add_pictures(&d, paths, n, ref);
        if (s->kind == SIGNAL_ICON)
            add_pictures(&d, paths, s->icon.nother, s->icon.other);
        if ((s->kind == SIGNAL_OBJECT || s->kind == SIGNAL_CLASS) && s->object.names)
            add_content(&d, paths, s->object.names);
    }
    for (int i = 0; i < w->align.nanchor; i++)
        add_content(&d, paths, w->align.anchor[i].path);
    return d;
}

typedef struct WatchJob {
    const char *path;
    const Watch *watch;
} WatchJob;

static void watch_job(Context *ctx, void *arg)
{
    WatchJob *const j = arg;
    j->watch = config_read(ctx, j->path);
}

static int read_watch(const char *path, Paths *paths, WatchFile **out, Error *e)
{
    Arena *const a = arena_new();
    WatchJob j = {.path = arena_strdup(a, path)};
    add_path(paths, path);
    const int code = job_run(a, watch_job, &j, e, NULL);
    if (code != 0) {
        arena_free(a);
        return code;
    }
    *out = arena_new_of(a, WatchFile);
    **out = (WatchFile){
        .arena = a, .watch = j.watch, .digest = watch_digest(j.watch, paths), .refs = 1};
    return 0;
}

int watch_file_read(const char *path, WatchFile **out, Error *e)
{
    Paths paths = {.arena = arena_new()};
    const int code = read_watch(path, &paths, out, e);
    arena_free(paths.arena);
    return code;
}

/* ---- the file ---- */

typedef struct ServiceJob {
    Service *service;
    Paths *paths;
    const char **watch;  /* of each stream; NULL: the file itself */
    Place *place;
    const YamlNode *sinks;
    bool is_watch;
} ServiceJob;

static const char *beside(const Yaml *y, const char *name)
{
    return path_join(y->ctx->arena, path_dir(y->ctx->arena, y->name), name);
}

static const char *not_empty(const Yaml *y, const YamlNode *n, const char *what)
{
    const char *const text = yaml_node_text(y, n, what);
    if (text[0] == '\0')
        yaml_fail(y, n->place, "%s must not be empty", what);
    return text;
}

/* Names stand in lines of status, topics and records. */
static const char *read_key(const Yaml *y, const YamlNode *n, const char *what)
{
    const char *const text = not_empty(y, n, what);
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < 32 || *c == 127)
            yaml_fail(y, n->place, "%s must be one line, without control characters", what);
    return text;
}

/* Whether libav runs in processes of its own, and with how much memory. */
static int64_t read_isolate(const Yaml *y, YamlMap *m)
{
    const bool isolate = yaml_flag(m, "isolate", false);
    const YamlNode *const memory = yaml_get(m, "isolate_memory");
    const double bytes = yaml_number(m, "isolate_memory", (double)ISOLATED_MEMORY, 32e6, 1e12);
    if (memory && !isolate)
        yaml_fail(y, memory->place, "%s: 'isolate_memory' is for what has 'isolate: true'",
                  m->what);
    return isolate ? llrint(bytes) : 0;
}

static void read_stream(const Yaml *y, const char *name, const YamlNode *node, ServiceJob *j, int i)
{
    YamlMap m = yaml_map(y, node, arena_printf(y->ctx->arena, "stream '%s'", name));
    const char *const url = not_empty(y, yaml_need(&m, "url"), "'url'");
    const char *const watch = yaml_text(&m, "watch", NULL);
    StreamSpec *const s = &j->service->stream[i].spec;
    *s = (StreamSpec){
        .name = name,
        .url = source_is_file(url) && !str_starts(url, "file:") ? beside(y, url) : url,
        .latency = yaml_duration(&m, "latency", 300000),
        .offline = yaml_flag(&m, "offline", false),
    };
    s->live.video.keyframes = yaml_flag(&m, "keyframes", false);
    const YamlNode *const timeout = yaml_get(&m, "timeout");
    s->live.video.open_timeout = s->live.video.read_timeout = yaml_duration(&m, "timeout", 0);
    if (timeout && s->live.video.read_timeout < 100000)
        yaml_fail(y, timeout->place, "%s: 'timeout' must be at least 100ms", m.what);
    s->live.video.isolate = read_isolate(y, &m);
    /* streams that went down together come back apart */
    s->live.seed = hash_bytes(name, strlen(name), 1);
    if (s->latency < 1000)
        yaml_fail(y, node->place, "%s: 'latency' must be at least 1ms", m.what);
    if (s->offline && !source_is_file(url))
        yaml_fail(y, node->place, "%s: 'offline' is for files", m.what);
    yaml_done(&m);
    j->watch[i] = watch ? beside(y, watch) : NULL;
    j->place[i] = node->place;
}

static void read_streams(const Yaml *y, const YamlNode *node, ServiceJob *j)
{
    YamlMap m = yaml_map(y, node, "'streams'");
    Service *const s = j->service;
    s->nstream = m.node ? m.node->n : 0;
    if (s->nstream > SERVICE_MAX_STREAMS)
        yaml_fail(y, node->place, "%d streams; at most %d are possible", s->nstream,
                  SERVICE_MAX_STREAMS);
    s->stream = arena_array_of(y->ctx->arena, s->nstream + 1, ServiceStream);
    j->watch = arena_array_of(y->ctx->arena, s->nstream + 1, const char *);
    j->place = arena_array_of(y->ctx->arena, s->nstream + 1, Place);
    for (int i = 0; i < s->nstream; i++)
        read_stream(y, read_key(y, node->key[i], "the name of a stream"), node->at[i], j, i);
    for (int i = 0; i < s->nstream; i++)
        if (!j->watch[i] && !j->is_watch)
            yaml_fail(y, j->place[i],
                      "stream '%s': 'watch' is missing, and the file itself is none",
                      s->stream[i].spec.name);
}

/* What people write into a file, without the end of its line. */
static const char *read_secret(const Yaml *y, YamlMap *m, Paths *paths)
{
    const YamlNode *const n = yaml_get(m, "secret_file");
    if (!n)
        return NULL;
    const char *const path = beside(y, yaml_node_text(y, n, "'secret_file'"));
    File f;
    Error e = {0};
    add_path(paths, path);
    if (file_read(y->ctx->arena, path, &f, &e) != 0)
        yaml_fail(y, n->place, "%s: 'secret_file': %s", m->what, e.message);
    const size_t size = strcspn((const char *)f.at, "\r\n");
    if (size == 0)
        yaml_fail(y, n->place, "%s: 'secret_file': %s begins with an empty line", m->what, path);
    return arena_strndup(y->ctx->arena, (const char *)f.at, size);
}

typedef struct SinkScheme {
    const char *kind, *plain, *secure, *example;
} SinkScheme;

static const SinkScheme schemes[] = {
    [SINK_JSONL] = {"jsonl", NULL, NULL, NULL},
    [SINK_WEBHOOK] = {"webhook", "http://", "https://", "https://host/path"},
    [SINK_MQTT] = {"mqtt", "mqtt://", "mqtts://", "mqtt://host/topic"},
    [SINK_NATS] = {"nats", "nats://", "natss://", "nats://host/subject"},
};

static const char *sink_url(const Yaml *y, YamlMap *m, SinkKind kind)
{
    if (kind == SINK_JSONL)
        return beside(y, not_empty(y, yaml_need(m, "path"), "'path'"));
    const YamlNode *const n = yaml_need(m, "url");
    const char *const url = yaml_node_text(y, n, "'url'");
    const SinkScheme *const s = &schemes[kind];
    if (!str_starts(url, s->plain) && !str_starts(url, s->secure))
        yaml_fail(y, n->place, "%s: 'url' must be like %s", m->what, s->example);
    return url;
}

static void read_sink(const Yaml *y, const char *name, const YamlNode *node, Paths *paths,
                      SinkSpec *out)
{
    const char *kind[sizeof schemes / sizeof *schemes];
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        kind[i] = schemes[i].kind;
    YamlMap m = yaml_map(y, node, arena_printf(y->ctx->arena, "sink '%s'", name));
    yaml_need(&m, "to");
    *out = (SinkSpec){.name = name,
                      .kind = (SinkKind)yaml_choice(&m, "to", 0, kind, sizeof kind / sizeof *kind)};
    out->url = sink_url(y, &m, out->kind);
    out->secret = out->kind == SINK_WEBHOOK ? read_secret(y, &m, paths) : NULL;
    out->event = yaml_texts(&m, "events", &out->nevent);
    out->min_severity = yaml_int(&m, "min_severity", 0, 0, 10);
    out->timeout = out->kind == SINK_JSONL ? 0 : yaml_duration(&m, "timeout", 5000000);
    if (out->kind != SINK_JSONL && out->timeout < 100000)
        yaml_fail(y, yaml_get(&m, "timeout")->place, "%s: 'timeout' must be at least 100ms",
                  m.what);
    out->give_up = yaml_duration(&m, "give_up", INT64_C(24) * 3600 * 1000000);
    out->rotate = out->kind == SINK_JSONL ? llrint(yaml_number(&m, "rotate", 0, 0, 1e15)) : 0;
    out->unsynced = out->kind == SINK_JSONL && yaml_flag(&m, "unsynced", false);
    const char *const ca = out->kind == SINK_JSONL ? NULL : yaml_text(&m, "ca", NULL);
    out->ca = ca ? beside(y, ca) : NULL;
    if (out->ca)
        add_path(paths, out->ca);
    if (out->ca && !file_exists(out->ca))
        yaml_fail(y, yaml_get(&m, "ca")->place, "%s: 'ca': there is no file %s", m.what, out->ca);
    yaml_done(&m);
    Error e = {0};
    const int code = sink_check(out, &e);
    if (code != 0)
        fail(y->ctx, code, "%s:%d:%d: %.900s", y->name, node->place.line, node->place.column,
             e.message);
}

static void read_sinks(const Yaml *y, const YamlNode *node, ServiceJob *j)
{
    YamlMap m = yaml_map(y, node, "'sinks'");
    Service *const s = j->service;
    s->nsink = m.node ? m.node->n : 0;
    if (s->nsink > SERVICE_MAX_SINKS)
        yaml_fail(y, node->place, "%d sinks; at most %d are possible", s->nsink, SERVICE_MAX_SINKS);
    SinkSpec *const out = arena_array_of(y->ctx->arena, s->nsink + 1, SinkSpec);
    for (int i = 0; i < s->nsink; i++)
        read_sink(y, read_key(y, node->key[i], "the name of a sink"), node->at[i], j->paths,
                  &out[i]);
    s->sink = out;
}

/* A file that is written belongs to one thing alone. */
typedef struct Written {
    const char *what, *path;
    Place place;
} Written;

static const char *name_of(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool one_file(Arena *a, const char *x, const char *y)
{
    return strcmp(x, y) == 0 || file_same(x, y) ||
           (strcmp(name_of(x), name_of(y)) == 0 && file_same(path_dir(a, x), path_dir(a, y)));
}

/* Streams are many, and read: their names alone are compared. */
static const char *read_by(const ServiceJob *j, const char *path)
{
    const Service *const s = j->service;
    for (int i = 0; i < s->nstream; i++)
        if (strcmp(s->stream[i].spec.url, path) == 0 ||
            (j->watch[i] && strcmp(j->watch[i], path) == 0))
            return arena_printf(s->arena, "stream '%s'", s->stream[i].spec.name);
    return NULL;
}

static void check_written(const Yaml *y, const ServiceJob *j, const YamlNode *sinks)
{
    const Service *const s = j->service;
    Arena *const a = y->ctx->arena;
    Written w[SERVICE_MAX_SINKS + 3] = {{"the file itself", s->path, {0}}};
    int n = 1;
    if (s->nsink > 0)
        w[n++] = (Written){"'outbox'", s->outbox, s->at.outbox};
    if (s->store)
        w[n++] = (Written){"'store'", s->store, s->at.store};
    for (int i = 0; i < s->nsink; i++)
        if (s->sink[i].kind == SINK_JSONL)
            w[n++] = (Written){arena_printf(a, "sink '%s'", s->sink[i].name), s->sink[i].url,
                               sinks->at[i]->place};
    for (int i = 1; i < n; i++) {
        const char *other = read_by(j, w[i].path);
        for (int k = 0; k < i && !other; k++)
            other = one_file(a, w[i].path, w[k].path) ? w[k].what : NULL;
        if (other && w[i].place.line > 0)
            yaml_fail(y, w[i].place, "%s: %s has that file already: %s", w[i].what, other,
                      w[i].path);
        if (other)
            fail(y->ctx, ERR_INVALID, "%s: %s: %s has that file already: %s", y->name, w[i].what,
                 other, w[i].path);
    }
}

/* Pictures go with records, unless there is no room for any. */
static void read_evidence(const Yaml *y, YamlMap *service, Service *s)
{
    const char *const folder =
        yaml_text(service, "evidence", arena_printf(y->ctx->arena, "%s.evidence", s->path));
    const double bytes =
        yaml_number(service, "evidence_bytes", jpeg_can_encode() ? 1e9 : 0, 0, 1e15);
    s->evidence = bytes > 0 ? beside(y, folder) : NULL;
    s->evidence_bytes = llrint(bytes);
}

static Place place_of(YamlMap *m, const char *key)
{
    const YamlNode *const n = yaml_get(m, key);
    return n ? n->place : (Place){0};
}

/* A name of a file or folder beside the service's; NULL: `missing`, as it stands. */
static const char *read_name(const Yaml *y, YamlMap *m, const char *key, const char *missing)
{
    const YamlNode *const n = yaml_get(m, key);
    return n ? beside(y, not_empty(y, n, arena_printf(y->ctx->arena, "'service': '%s'", key)))
           : missing ? beside(y, missing)
                     : NULL;
}

static void read_settings(const Yaml *y, YamlMap *m, Service *s)
{
    s->at = (ServicePlaces){.workers = place_of(m, "workers"),
                            .outbox = place_of(m, "outbox"),
                            .evidence = place_of(m, "evidence"),
                            .store = place_of(m, "store"),
                            .page = place_of(m, "page"),
                            .clips = place_of(m, "clips"),
                            .clips_bytes = place_of(m, "clips_bytes"),
                            .clips_ring = place_of(m, "clips_ring"),
                            .clips_pending = place_of(m, "clips_pending"),
                            .page_names = place_of(m, "page_names")};
    s->workers = yaml_int(m, "workers", 0, 1, 1024);
    s->outbox = read_name(y, m, "outbox", arena_printf(y->ctx->arena, "%s.outbox", s->path));
    read_evidence(y, m, s);
    s->store = read_name(y, m, "store", NULL);
    s->clips = read_name(y, m, "clips", NULL);
    s->clips_bytes = llrint(yaml_number(m, "clips_bytes", (double)CLIPS_MAX_BYTES, 1e6, 1e15));
    s->clips_ring = llrint(yaml_number(m, "clips_ring", (double)CLIPS_RING_BYTES, 1e5, 1e12));
    s->clips_pending =
        llrint(yaml_number(m, "clips_pending", (double)CLIPS_PENDING_BYTES, 1e5, 1e12));
    static const char *const of_clips[] = {"clips_bytes", "clips_ring", "clips_pending"};
    for (int i = 0; i < 3 && !s->clips; i++)
        if (yaml_get(m, of_clips[i]))
            yaml_fail(y, place_of(m, of_clips[i]),
                      "'service': '%s' is of clips, and there is no 'clips', a folder for them",
                      of_clips[i]);
    s->page = yaml_text(m, "page", NULL);
    s->page_name = yaml_texts(m, "page_names", &s->npage_name);
}

static void service_job(Context *ctx, void *arg)
{
    ServiceJob *const j = arg;
    const Yaml y = yaml_read(ctx, j->service->path);
    YamlMap m = yaml_map(&y, y.root, "the file");
    /* config.h reads these */
    static const char *const of_watch[] = {"watch",  "model", "region",
                                           "signal", "event", "spotlight"};
    for (size_t i = 0; i < sizeof of_watch / sizeof *of_watch; i++)
        j->is_watch = yaml_get(&m, of_watch[i]) || j->is_watch;
    const YamlNode *const sinks = j->sinks = yaml_get(&m, "sinks");
    read_streams(&y, yaml_get(&m, "streams"), j);
    read_sinks(&y, sinks, j);
    YamlMap service = yaml_map(&y, yaml_get(&m, "service"), "'service'");
    read_settings(&y, &service, j->service);
    check_written(&y, j, sinks);
    yaml_done(&service);
    yaml_done(&m);
}

/* ---- the whole ---- */

/* One read before that is the same takes its place. */
static WatchFile *take_over(WatchFile *f, const Service *before)
{
    for (int i = -1; before && i < before->nstream; i++) {
        WatchFile *const old = i < 0 ? before->own : before->stream[i].file;
        if (!old || strcmp(old->watch->path, f->watch->path) != 0 ||
            memcmp(&old->digest, &f->digest, sizeof f->digest) != 0)
            continue;
        watch_file_unref(f);
        return watch_file_ref(old);
    }
    return f;
}

static int find_watch(ServiceJob *j, int i, const Service *before, WatchFile **out, Error *e)
{
    const Service *const s = j->service;
    const char *const path = j->watch[i];
    if (!path) {
        *out = watch_file_ref(s->own);
        return 0;
    }
    for (int k = 0; k < i; k++) {
        if (!j->watch[k] || strcmp(j->watch[k], path) != 0)
            continue;
        *out = watch_file_ref(s->stream[k].file);
        return 0;
    }
    const int code = read_watch(path, j->paths, out, e);
    if (code == 0)
        *out = take_over(*out, before);
    return code;
}

static int read_watches(ServiceJob *j, const Service *before, Error *e)
{
    Service *const s = j->service;
    int code = j->is_watch ? read_watch(s->path, j->paths, &s->own, e) : 0;
    if (code == 0 && s->own)
        s->own = take_over(s->own, before);
    for (int i = 0; i < s->nstream && code == 0; i++) {
        code = find_watch(j, i, before, &s->stream[i].file, e);
        s->stream[i].spec.watch = code == 0 ? s->stream[i].file->watch : NULL;
    }
    return code;
}

int service_read(const char *path, const Service *before, FileList *files, Service **out, Error *e)
{
    Arena *const a = arena_new();
    Service *const s = arena_new_of(a, Service);
    *s = (Service){.arena = a, .path = arena_strdup(a, path)};
    Paths paths = {.arena = files ? files->arena : a};
    ServiceJob j = {.service = s, .paths = &paths};
    add_path(&paths, path);
    int code = job_run(a, service_job, &j, e, NULL);
    if (code == 0)
        code = read_watches(&j, before, e);
    if (code == 0)
        code = service_check(s, j.sinks, j.place, e);
    if (files)
        *files = (FileList){files->arena, paths.path.len, paths.path.at};
    if (code != 0)
        service_free(s);
    else
        *out = s;
    return code;
}

void service_free(Service *s)
{
    if (!s)
        return;
    watch_file_unref(s->own);
    for (int i = 0; i < s->nstream && s->stream; i++)
        watch_file_unref(s->stream[i].file);
    arena_free(s->arena);
}
