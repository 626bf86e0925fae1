/* Services: what is wrong in their files is named with its place; what changes while they run
 * touches nothing else. */
#include "check.h"

#include <stdarg.h>
#include <sys/stat.h>

#include "base/file.h"
#include "engine_bench.h"
#include "watch/isolated.h"
#include "watch/service_run.h"
#include "vision/picture.h"
#include "watch/url.h"

static char dir[64], clip[96];

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/lathe_service_XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(clip, sizeof clip, "%s/clip.mp4", dir);
    clip_write(clip, &(ClipOptions){.frames = 15 * 6, .fps = 15, .gop = 5});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static const char *in_dir(Arena *a, const char *name)
{
    return arena_printf(a, "%s/%s", dir, name);
}

static void write_text(const char *name, const char *text)
{
    Error e;
    Arena *const a = arena_new();
    assert_int_equal(file_write(in_dir(a, name), text, strlen(text), &e), 0);
    arena_free(a);
}

#define WATCH_HEAD                                                                                 \
    "watch: {name: clip, reference_size: [64, 48], sample: {fps: 5, max_fps: 5, policy: every}}\n"
#define WATCH_REST                                                                                 \
    "signal: {bit: {from: motion, region: bit, threshold: 40}}\nevent: {blink: {when: bit}}\n"
#define WATCH WATCH_HEAD "region: {bit: [48, 0, 16, 16]}\n" WATCH_REST
#define OTHER_WATCH WATCH_HEAD "region: {bit: [16, 16, 16, 16]}\n" WATCH_REST

/* ---- reading ---- */

static int try_read(const char *text, Service **out, Error *e)
{
    Arena *const a = arena_new();
    write_text("service.yaml", text);
    const int code = service_read(in_dir(a, "service.yaml"), NULL, NULL, out, e);
    arena_free(a);
    return code;
}

static void test_read(void **state)
{
    (void)state;
    Service *s;
    Error e;
    write_text("watch.yaml", WATCH);
    write_text("key.txt", "tell nobody\nmore\n");
    if (try_read(WATCH
                 "streams:\n"
                 "  a: {url: \"rtsp://me:secret@host/x\", watch: watch.yaml, latency: 500ms, "
                 "keyframes: true, timeout: 2s}\n"
                 "  b: {url: clip.mp4, offline: true}\n"
                 "  c: {url: clip.mp4, watch: watch.yaml, isolate: true, isolate_memory: 5e8}\n"
                 "sinks:\n"
                 "  all: {to: jsonl, path: all.jsonl, rotate: 1000000}\n"
                 "  hook: {to: webhook, url: \"https://h/x\", secret_file: key.txt, events: "
                 "[\"bli*\", blink], min_severity: 2}\n"
                 "service: {workers: 3, outbox: box.db, evidence: ev, evidence_bytes: 5000000, "
                 "clips: cl, clips_bytes: 6e9, clips_ring: 15000000}\n",
                 &s, &e) != 0)
        FAIL_MSG("%s", e.message);
    assert_int_equal(s->nstream, 3);
    const StreamSpec *const a = &s->stream[0].spec, *const b = &s->stream[1].spec;
    assert_string_equal(a->name, "a");
    assert_string_equal(a->url, "rtsp://me:secret@host/x");
    assert_int_equal(a->latency, 500000);
    assert_true(a->live.video.keyframes && !a->offline && b->offline && !b->live.video.keyframes);
    assert_int_equal(a->live.video.read_timeout, 2000000);
    assert_int_equal(b->latency, 300000);
    assert_string_equal(b->url, clip);
    assert_ptr_equal(b->watch, watch_file_watch(s->own));
    assert_ptr_equal(a->watch, s->stream[2].spec.watch); /* one file is one watch */
    assert_ptr_not_equal(a->watch, b->watch);
    assert_true(a->live.seed != b->live.seed);
    assert_true(a->live.video.isolate == 0 && s->stream[2].spec.live.video.isolate == 500000000);
    assert_int_equal(s->nsink, 2);
    assert_int_equal(s->sink[0].kind, SINK_JSONL);
    assert_true(str_ends(s->sink[0].url, "/all.jsonl") && s->sink[0].url[0] == '/');
    assert_int_equal(s->sink[0].rotate, 1000000);
    assert_string_equal(s->sink[1].secret, "tell nobody");
    assert_int_equal(s->sink[1].nevent, 2);
    assert_int_equal(s->sink[1].min_severity, 2);
    assert_int_equal(s->workers, 3);
    assert_true(str_ends(s->outbox, "/box.db"));
    assert_true(str_ends(s->evidence, "/ev"));
    assert_int_equal(s->evidence_bytes, 5000000);
    assert_true(str_ends(s->clips, "/cl"));
    assert_true(s->clips_bytes == INT64_C(6000000000) && s->clips_ring == 15000000 &&
                s->clips_pending == CLIPS_PENDING_BYTES);
    service_free(s);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct { const char *text, *error;
    } cases[] = {
        {"streams: {a: {url: x.mp4}}\n", ":1:14: stream 'a': 'watch' is missing"},
        {"streams: {a: {watch: watch.yaml}}\n", ":1:14: stream 'a': 'url' is missing"},
        {"streams:\n  a: {url: x.mp4, watch: watch.yaml, speed: 2}\n",
         ":2:38: stream 'a': unknown key 'speed'"},
        {"streams:\n  a: {url: x.mp4, watch: watch.yaml, latency: soon}\n",
         ":2:47: stream 'a': 'latency' must be a duration"},
        {"streams:\n  a: {url: x.mp4, watch: watch.yaml, latency: 0s}\n",
         "'latency' must be at least 1ms"},
        {"streams:\n  a: {url: x.mp4, watch: watch.yaml, timeout: 1ms}\n",
         "'timeout' must be at least 100ms"},
        {"streams:\n  a: {url: \"rtsp://h/x\", watch: watch.yaml, offline: true}\n",
         "'offline' is for files"},
        {"streams:\n  a: {url: x.mp4, watch: watch.yaml, isolate: yes}\n",
         "'isolate' must be true or false"},
        {"streams:\n  a: {url: x.mp4, watch: watch.yaml, isolate_memory: 1e9}\n",
         "'isolate_memory' is for what has 'isolate: true'"},
        {"streams:\n  a: {url: x.mp4, watch: watch.yaml, isolate: true, isolate_memory: 1000}\n",
         "'isolate_memory'"},
        {"streams:\n  a: {url: x.mp4, watch: none.yaml}\n", "none.yaml"},
        {"streams:\n  a: {url: x.mp4, watch: bad.yaml}\n", "bad.yaml:1:"},
        {"sinks: {a: {path: x}}\n", "sink 'a': 'to' is missing"},
        {"sinks: {a: {to: fax}}\n", ":1:17: sink 'a': 'to' must be jsonl, webhook, mqtt or nats"},
        {"sinks: {a: {to: webhook, url: \"ftp://x\"}}\n",
         "sink 'a': 'url' must be like https://host/path"},
        {"sinks: {a: {to: webhook, path: x}}\n", "sink 'a': 'url' is missing"},
        {"sinks: {a: {to: jsonl, path: x, secret_file: y}}\n",
         "sink 'a': unknown key 'secret_file'"},
        {"sinks: {a: {to: webhook, url: \"http://x\", secret_file: none}}\n", "'secret_file'"},
        {"streams:\n  a: {url: \"\", watch: watch.yaml}\n", ":2:12: 'url' must not be empty"},
        {"streams:\n  \"\": {url: x.mp4, watch: watch.yaml}\n",
         ":2:3: the name of a stream must not be empty"},
        {"sinks: {\"\": {to: jsonl, path: x}}\n", "the name of a sink must not be empty"},
        {"sinks: {a: {to: jsonl, path: \"\"}}\n", "'path' must not be empty"},
        {"sinks:\n  a: {to: jsonl, path: x}\n  b: {to: jsonl, path: ./x}\n",
         ":3:6: sink 'b': sink 'a' has that file already"},
        {"sinks:\n  a: {to: jsonl, path: watch.yaml}\nstreams: {s: {url: x.mp4, watch: "
         "watch.yaml}}\n",
         ":2:6: sink 'a': stream 's' has that file"},
        {"sinks:\n  a: {to: jsonl, path: service.yaml}\n",
         ":2:6: sink 'a': the file itself has that file already"},
        {"sinks:\n  a: {to: jsonl, path: x}\nservice: {outbox: x}\n",
         ":2:6: sink 'a': 'outbox' has that file already"},
        {"sinks: {a: {to: jsonl, path: x}}\nservice:\n  store: ../x/../y/z\n  outbox: "
         "../x/../y/z\n",
         ":3:10: 'store': 'outbox' has that file already"},
        {"sinks:\n  a: {to: mqtt, url: \"mqtt://h:99999/\"}\n", ":2:6: sink a: "},
        {"sinks: {a: {to: webhook, url: \"http://x\", timeout: 0s}}\n",
         ":1:52: sink 'a': 'timeout' must be at least 100ms"},
        {"sinks: {a: {to: webhook, url: \"https://x\", ca: none.pem}}\n",
         ":1:48: sink 'a': 'ca': there is no file"},
        {"streams:\n  \"a\\nb\": {url: x.mp4, watch: watch.yaml}\n",
         ":2:3: the name of a stream must be one line"},
        {"service: {store: \"\"}\n", "'service': 'store' must not be empty"},
        {"service: {workers: 0}\n", "'service': 'workers' must be between 1 and 1024"},
        {"service: {clips_ring: 15000000}\n", ":1:23: 'service': 'clips_ring' is of clips"},
        {"service: {clips: x, clips_bytes: 10}\n",
         ":1:34: 'service': 'clips_bytes' must be between"},
        {"service: {colour: 1}\n", "'service': unknown key 'colour'"},
        {"streams: {s: {url: x.mp4, watch: watch.yaml}}\nsinks:\n  a: {to: jsonl, path: x, events: "
         "[\"bl*\", \"stream.*\", blunk]}\n",
         ":3:55: sink 'a': 'events': no watch of these streams has an event 'blunk'; there are "
         "blink"},
        {"streams: {s: {url: x.mp4, watch: watch.yaml}}\nsinks:\n  a: {to: jsonl, path: x, events: "
         "[\"spot_*\"]}\n",
         ":3:36: sink 'a': 'events': no watch"},
        {"streams:\n  s: {url: x.mp4, watch: spot.yaml}\n  t: {url: x.mp4, watch: spot.yaml, "
         "offline: true}\n",
         ":3:6: stream 't': files that are read"},
        {"stream: {}\n", ":1:1: the file: unknown key 'stream'"},
        {WATCH "streams: {}\nsinks: {}\nservice: {}\nspeed: 1\n", "unknown key 'speed'"},
    };
    write_text("watch.yaml", WATCH);
    write_text("spot.yaml", WATCH "spotlight: {score: '1'}\n");
    write_text("bad.yaml", "event: {x: {when: nothing}}\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Service *s;
        Error e = {0};
        assert_true(try_read(cases[i].text, &s, &e) != 0);
        if (!strstr(e.message, cases[i].error))
            FAIL_MSG("%s gives: %s", cases[i].text, e.message);
    }
}

/* ---- running ---- */

typedef struct ServiceBench {
    EngineBench b;
    ServiceRun *run;
} ServiceBench;

static void bench_begin(ServiceBench *s)
{
    Error e;
    s->b = bench_new();
    const ServiceOptions opt = {.nets = &s->b.nets,
                                .event = bench_event,
                                .system = bench_system,
                                .sample = bench_sample,
                                .arg = &s->b};
    if (service_start(in_dir(s->b.arena, "service.yaml"), &opt, &s->run, &e) != 0)
        FAIL_MSG("%s", e.message);
    s->b.engine = service_engine(s->run);
}

static void bench_end(ServiceBench *s)
{
    service_stop(s->run, 2000000);
    s->b.engine = NULL;
    bench_close(&s->b);
}

/* The file again, and what comes of it: "added removed edited same failed". */
static const char *reload(ServiceBench *s, double *seconds)
{
    ServiceChange c;
    Error e = {0};
    assert_true(service_changed(s->run));
    const int code = service_reload(s->run, &c, &e);
    assert_false(service_changed(s->run));
    *seconds = code == 0 && c.seconds < *seconds ? c.seconds : *seconds;
    return arena_printf(s->b.arena, "%d %d %d %d %d%s%s", c.added, c.removed, c.edited, c.same,
                        c.failed, code ? " " : "", code ? e.message : "");
}

#define STREAMS 50

/* All streams with watch.yaml, but for `other`, which has other.yaml, and `without`, which is not
 * there. */
static void write_service(int n, int other, int without)
{
    Arena *const a = arena_new();
    Str s = str_new(a);
    str_add(&s, "streams:\n");
    for (int i = 0; i < n; i++)
        if (i != without)
            str_addf(&s, "  s%d: {url: clip.mp4, watch: %s.yaml, latency: 5s}\n", i,
                     i == other ? "other" : "watch");
    write_text("service.yaml", str_text(&s));
    arena_free(a);
}

/* One of fifty is edited, removed and added: the others go on and lose no sample. */
static void test_reload(void **state)
{
    (void)state;
    ServiceBench s;
    double quickest = 1e9;
    write_text("watch.yaml", WATCH);
    write_text("other.yaml", OTHER_WATCH);
    write_service(STREAMS, -1, -1);
    bench_begin(&s);
    bench_sleep(0.5);
    assert_false(service_changed(s.run));
    write_service(STREAMS, 7, -1);
    assert_string_equal(reload(&s, &quickest), "0 0 1 49 0");
    write_service(STREAMS, -1, -1);
    assert_string_equal(reload(&s, &quickest), "0 0 1 49 0");
    write_service(STREAMS, -1, 7);
    assert_string_equal(reload(&s, &quickest), "0 1 0 49 0");
    write_service(STREAMS, -1, -1);
    assert_string_equal(reload(&s, &quickest), "1 0 0 49 0");
    /* half written */
    write_text("service.yaml", "streams: {s0: {url: clip.mp4, watch: watch.yaml}\n");
    const char *const wrong = reload(&s, &quickest);
    assert_non_null(strstr(wrong, "0 0 0 0 0 "));
    assert_non_null(strstr(wrong, "service.yaml:"));
    print_message("reload of one of %d streams: %.1f ms\n", STREAMS, quickest * 1e3);
    assert_true(quickest < 2); /* 0.4 ms; all streams anew take far longer */
    bench_wait(&s.b, 30);
    for (int i = 0; i < STREAMS; i++) {
        const char *const name = arena_printf(s.b.arena, "s%d", i);
        const Told *const t = bench_told(&s.b, name);
        const StreamStatus status = bench_status(&s.b, name);
        if (i == 7)
            continue;
        assert_string_equal(t->system.at, "stream.up|stream.end/ended|");
        assert_int_equal(status.judged, 30);
        assert_int_equal(status.wanted, 30);
        for (int k = 0; k < t->samples; k++)
            assert_int_equal(t->number[k], k * 3);
    }
    bench_end(&s);
}

/* What a setting leads to names its place, at the start and when it changes. */
static void test_places(void **state)
{
    (void)state;
    static const struct { const char *text, *error;
    } cases[] = {
        {"service:\n  page: nonsense\n", "service.yaml:3:9: page: 'nonsense' is no address"},
        {"service:\n  page: \"127.0.0.1:99999\"\n", "service.yaml:3:9: page: "},
        {"service:\n  store: /nowhere/at/all.db\n", "service.yaml:3:10: /nowhere/at/all.db: "},
        {"service:\n  store: clip.mp4\n", "service.yaml:3:10: "},
        {"service:\n  evidence: clip.mp4\n", "service.yaml:3:13: "},
        {"sinks: {a: {to: jsonl, path: x}}\nservice:\n  outbox: /nowhere/at/all\n",
         "service.yaml:4:11: outbox /nowhere/at/all"},
    };
    Arena *const a = arena_new();
    EngineBench b = bench_new();
    write_text("watch.yaml", WATCH);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ServiceRun *run;
        Error e = {0};
        write_text("service.yaml",
                   arena_printf(a, "streams: {a: {url: other.mp4, watch: watch.yaml}}\n%s",
                                cases[i].text));
        assert_true(service_start(in_dir(a, "service.yaml"),
                                  &(ServiceOptions){
                                      .nets = &b.nets, .event = bench_event, .arg = &b},
                                  &run, &e) != 0);
        if (!strstr(e.message, cases[i].error))
            FAIL_MSG("%s gives: %s", cases[i].text, e.message);
    }
    bench_close(&b);
    arena_free(a);
    ServiceBench s;
    double seconds = 1e9;
    write_text(
        "service.yaml",
        "streams: {a: {url: clip.mp4, watch: watch.yaml}}\nservice: {workers: 1, page: \"0\"}\n");
    bench_begin(&s);
    write_text(
        "service.yaml",
        "streams: {a: {url: clip.mp4, watch: watch.yaml}}\nservice: {workers: 1,\n page: \"1\"}\n");
    assert_non_null(strstr(reload(&s, &seconds),
                           "service.yaml:3:8: 'page' cannot be changed while it runs"));
    write_text("service.yaml",
               "streams: {a: {url: clip.mp4, watch: watch.yaml}}\nservice: {workers: 1}\n");
    assert_non_null(strstr(reload(&s, &seconds),
                           "service.yaml: 'page' cannot be changed while it runs"));
    bench_end(&s);
}

/* What a watch names counts as well: another picture is another watch; and a watch that cannot be
 * used leaves the old one. */
static void test_watch_changes(void **state)
{
    (void)state;
    ServiceBench s;
    double seconds = 1e9;
    write_text("watch.yaml", WATCH);
    write_text("other.yaml", WATCH);
    write_text("service.yaml", "streams:\n  a: {url: clip.mp4, watch: watch.yaml, latency: 5s}\n"
                               "  b: {url: clip.mp4, watch: other.yaml, latency: 5s}\n");
    bench_begin(&s);
    bench_sleep(0.3);
    write_text("other.yaml", WATCH); /* the same again */
    assert_string_equal(reload(&s, &seconds), "0 0 0 2 0");
    write_text("other.yaml", OTHER_WATCH);
    assert_string_equal(reload(&s, &seconds), "0 0 1 1 0");
    write_text("other.yaml", "event: {x: {when: nothing}}\n");
    assert_non_null(strstr(reload(&s, &seconds), "0 0 0 0 0 "));
    setenv("LATHE_MODELS", "/nonexistent", 1); /* read well, but cannot be observed */
    write_text("other.yaml", "signal: {a: {from: text}}\nevent: {x: {when: \"a == 'b'\"}}\n");
    const char *const failed = reload(&s, &seconds);
    assert_non_null(strstr(failed, "0 0 0 1 1 stream 'b': "));
    /* what runs is this already, but the file was another meanwhile */
    write_text("other.yaml", OTHER_WATCH);
    assert_non_null(strstr(reload(&s, &seconds), "0 0 1 1 0"));
    bench_wait(&s.b, 20);
    assert_string_equal(bench_told(&s.b, "b")->system.at, "stream.up|stream.end/ended|");
    assert_int_equal(bench_status(&s.b, "b").judged, 30);
    assert_int_equal(bench_status(&s.b, "a").judged, 30);
    bench_end(&s);
}

/* `isolate` both ways, and how much memory: the stream begins anew, and the other goes on. */
static void test_isolate_changes(void **state)
{
    (void)state;
    ServiceBench s;
    double seconds = 1e9;
    static const char *const how[] = {", isolate: true",
                                      ", isolate: true, isolate_memory: 5e8", ""};
    static const char form[] = "streams:\n  a: {url: clip.mp4, watch: watch.yaml, latency: 5s}\n"
                               "  b: {url: clip.mp4, watch: watch.yaml, latency: 5s%s}\n";
    char text[200];
    write_text("watch.yaml", WATCH);
    snprintf(text, sizeof text, form, "");
    write_text("service.yaml", text);
    bench_begin(&s);
    for (int i = 0; i < 3; i++) {
        bench_sleep(0.3);
        snprintf(text, sizeof text, form, how[i]);
        write_text("service.yaml", text);
        assert_string_equal(reload(&s, &seconds), "0 0 1 1 0");
        /* processor time of other processes: only of one that is isolated, once it decodes */
        const double until = time_now() + 60;
        while (i < 2 && bench_status(&s.b, "b").live.isolated <= 0 && time_now() < until)
            bench_sleep(0.02);
        assert_true((bench_status(&s.b, "b").live.isolated > 0) == (i < 2));
    }
    bench_wait(&s.b, 60);
    assert_int_equal(bench_status(&s.b, "b").live.down[LIVE_CRASHED], 0);
    assert_int_equal(bench_status(&s.b, "b").judged, 30);
    assert_int_equal(bench_status(&s.b, "a").judged, 30);
    bench_end(&s);
}

/* Records reach a sink: all of them, in order, and what is active when the service stops. */
static void test_sink(void **state)
{
    (void)state;
    ServiceBench s;
    Arena *const a = arena_new();
    Error e;
    File f;
    write_text("watch.yaml", WATCH);
    write_text("service.yaml", "streams:\n  a: {url: clip.mp4, watch: watch.yaml}\n"
                               "sinks:\n  all: {to: jsonl, path: all.jsonl}\n");
    bench_begin(&s);
    bench_wait(&s.b, 20);
    service_drain(s.run, 2000000);
    const char *const told = arena_strdup(a, str_text(&bench_told(&s.b, "a")->events));
    bench_end(&s);
    assert_int_equal(file_read(a, in_dir(a, "all.jsonl"), &f, &e), 0);
    const char *const text = (const char *)f.at;
    assert_true(strlen(told) > 300);
    Str events = str_new(a);
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        const size_t n = strcspn(line, "\n") + 1;
        if (!strstr(arena_strndup(a, line, n), "\"kind\":\"state\""))
            str_addn(&events, line, n);
    }
    assert_string_equal(str_text(&events), told);
    int npicture = 0; /* each event has one */
    for (const char *at = told; (at = strstr(at, "\"evidence\":\"")) != NULL; npicture++) {
        at += strlen("\"evidence\":\"");
        Picture *p;
        const char *const name = arena_strndup(a, at, strcspn(at, "\""));
        if (!str_starts(name, "service.yaml.evidence/") ||
            picture_read(a, in_dir(a, name), &p, &e) != 0)
            FAIL_MSG("no picture %s", name);
        assert_in_range(p->width, 16, 64); /* the region and its margin, of a small clip */
    }
    int nline = 0;
    for (const char *at = told; (at = strchr(at, '\n')) != NULL; at++)
        nline++;
    assert_int_equal(npicture, nline);
    assert_non_null(strstr(text, "\"event\":\"stream.up\""));
    assert_non_null(strstr(text, "\"event\":\"stream.end\""));
    arena_free(a);
}

/* Streams of a spotlight that go by the clock from now on, or no more: none is lost, and a change
 * that cannot be leaves all. */
static void test_offline_changes(void **state)
{
    (void)state;
    static const char *const offline[][2] = {
        {"true", "true"}, {"false", "true"}, {"false", "false"}, {"true", "true"}};
    ServiceBench s;
    Arena *const a = arena_new();
    Error e;
    ServiceChange c;
    write_text("spot.yaml", WATCH "spotlight: {score: '1'}\n");
    for (int i = 0; i < 4; i++) {
        write_text(
            "service.yaml",
            arena_printf(
                a,
                "streams:\n  a: {url: clip.mp4, watch: spot.yaml, latency: 5s, offline: %s}\n"
                "  b: {url: clip.mp4, watch: spot.yaml, latency: 5s, offline: %s}\n",
                offline[i][0], offline[i][1]));
        if (i == 0)
            bench_begin(&s);
        else
            assert_int_equal(service_reload(s.run, &c, &e), i == 1 ? ERR_INVALID : 0);
        assert_int_equal(engine_status(service_engine(s.run), a).nstream, 2);
    }
    bench_end(&s);
    arena_free(a);
}

/* Sinks come, change and go while it runs; records that came before the first of them are not
 * sent. */
static void test_sinks_change(void **state)
{
    (void)state;
    ServiceBench s;
    Arena *const a = arena_new();
    Error e;
    File f;
    ServiceChange c;
    static const char *const sinks[] = {
        "",
        "sinks: {one: {to: jsonl, path: one.jsonl}}\n",
        "sinks: {one: {to: jsonl, path: two.jsonl}, three: {to: jsonl, path: three.jsonl, events: "
        "[overload]}}\n",
        "sinks: {three: {to: jsonl, path: three.jsonl, events: [overload]}}\n",
        "sinks: {}\n",
    };
    static const char *const counts[] = {NULL, "1 0 0", "1 0 1", "0 1 0", "0 1 0"};
    write_text("watch.yaml", WATCH);
    for (int i = 0; i < 5; i++) {
        write_text("service.yaml",
                   arena_printf(a,
                                "streams: {a: {url: clip.mp4, watch: watch.yaml, latency: 5s}}\n%s",
                                sinks[i]));
        if (i == 0) {
            bench_begin(&s);
            continue;
        }
        if (service_reload(s.run, &c, &e) != 0)
            FAIL_MSG("%s", e.message);
        assert_string_equal(arena_printf(a, "%d %d %d", c.sinks_added, c.sinks_removed,
                                         c.sinks_edited),
                            counts[i]);
        assert_int_equal(c.same, 1);
        if (i == 2)
            bench_wait(&s.b, 20);
        bench_sleep(0.2);
    }
    bench_end(&s);
    assert_int_equal(file_read(a, in_dir(a, "two.jsonl"), &f, &e), 0);
    assert_non_null(strstr((const char *)f.at, "\"event\":\"stream.end\""));
    assert_null(strstr((const char *)f.at, "stream.up"));
    arena_free(a);
}

static void test_url_shown(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"clip.mp4", "clip.mp4"},
        {"rtsp://host/x", "rtsp://host/x"},
        {"rtsp://me:secret@host:554/x", "rtsp://host:554/x"},
        {"rtsp://me:sec@ret@host/x", "rtsp://host/x"},
        {"rtsp://me:sec?ret@host/x", "rtsp://host/x"},
        {"srt://host:1?passphrase=secret", "srt://host:1?.."},
        {"https://host/a.m3u8#secret", "https://host/a.m3u8?.."},
        {"http://host/x?mail=secret@y", "http://y"},
        {"a@b.mp4", "a@b.mp4"},
    };
    Arena *const a = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(url_shown(a, cases[i][0]), cases[i][1]);
    arena_free(a);
}

int main(int argc, char **argv)
{
    if (isolated_asked(argc, argv))
        return isolated_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),          cmocka_unit_test(test_refused),
        cmocka_unit_test(test_watch_changes), cmocka_unit_test(test_reload),
        cmocka_unit_test(test_sink),          cmocka_unit_test(test_url_shown),
        cmocka_unit_test(test_places),        cmocka_unit_test(test_offline_changes),
        cmocka_unit_test(test_sinks_change),  cmocka_unit_test(test_isolate_changes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
