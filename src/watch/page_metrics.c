/* Metrics of a service: one family after another, each over all streams. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "net/metrics.h"
#include "watch/page_parts.h"

typedef struct Column { /* a number of StreamStatus */
    const char *name, *type, *help;
    double (*of)(const StreamStatus *s);
} Column;

#define OF(field) \
    static double of_##field(const StreamStatus *s) { return (double)s->field; }
OF(wanted)
OF(judged)
OF(events)
OF(fps)
OF(cpu)
OF(decode)
static double of_up(const StreamStatus *s) { return s->state == LIVE_UP; }
static double of_packets(const StreamStatus *s) { return (double)s->live.video.packets; }
static double of_bytes(const StreamStatus *s) { return (double)s->live.video.bytes; }
static double of_decoded(const StreamStatus *s) { return (double)s->live.video.decoded; }
static double of_errors(const StreamStatus *s) { return (double)s->live.video.errors; }
static double of_unheard(const StreamStatus *s) { return (double)s->live.unheard; }
static double of_epochs(const StreamStatus *s) { return (double)s->live.video.epochs; }
static double of_connections(const StreamStatus *s) { return (double)s->live.connections; }

static const Column column[] = {
    {"lathe_watch_stream_up", "gauge", "1 while the stream is connected and gives pictures.",
     of_up},
    {"lathe_watch_packets_total", "counter", "Packets of video that came.", of_packets},
    {"lathe_watch_bytes_total", "counter", "Their bytes.", of_bytes},
    {"lathe_watch_frames_decoded_total", "counter", "Frames that came out of the decoder.",
     of_decoded},
    {"lathe_watch_decode_errors_total", "counter", "Packets that could not be decoded.", of_errors},
    {"lathe_watch_epochs_total", "counter", "Times at which the stream's clock began anew.",
     of_epochs},
    {"lathe_watch_connections_total", "counter", "Connections made.", of_connections},
    {"lathe_watch_sound_unheard_total", "counter",
     "Packets of sound that came and that there was no time for.", of_unheard},
    {"lathe_watch_samples_wanted_total", "counter", "Samples that the watch asks for.", of_wanted},
    {"lathe_watch_samples_total", "counter", "Samples that were judged.", of_judged},
    {"lathe_watch_samples_per_second", "gauge", "Samples judged a second, of late.", of_fps},
    {"lathe_watch_events_total", "counter", "Events that started.", of_events},
    {"lathe_watch_cpu_seconds_total", "counter", "Time of processors for this stream.", of_cpu},
    {"lathe_watch_decode_seconds_total", "counter", "Of that, decoding.", of_decode},
};

static void add_columns(Str *out, const EngineStatus *g)
{
    for (size_t i = 0; i < sizeof column / sizeof column[0]; i++) {
        metrics_family(out, column[i].name, column[i].type, column[i].help);
        for (int k = 0; k < g->nstream; k++)
            metrics_value(out, column[i].name, 1, (MetricLabel[]){{"stream", g->stream[k].name}},
                          column[i].of(&g->stream[k]));
    }
}

static void add_skipped(Str *out, const EngineStatus *g)
{
    static const char name[] = "lathe_watch_samples_skipped_total";
    metrics_family(out, name, "counter", "Samples that were not judged, by cause.");
    for (int k = 0; k < g->nstream; k++) {
        const StreamStatus *const s = &g->stream[k];
        const struct {
            const char *cause;
            int64_t n;
        } row[] = {{"busy", s->busy}, {"late", s->late}, {"rate", s->rate}, {"lost", s->lost}};
        for (int i = 0; i < 4; i++)
            metrics_value(out, name, 2,
                          (MetricLabel[]){{"stream", s->name}, {"cause", row[i].cause}},
                          (double)row[i].n);
    }
}

static void add_latency(Str *out, const EngineStatus *g)
{
    static const char name[] = "lathe_watch_latency_seconds",
                      down[] = "lathe_watch_disconnections_total";
    metrics_family(out, name, "gauge", "From the arrival of a frame to its judgement, of late.");
    for (int k = 0; k < g->nstream; k++) {
        const StreamStatus *const s = &g->stream[k];
        metrics_value(out, name, 2, (MetricLabel[]){{"stream", s->name}, {"quantile", "0.5"}},
                      s->latency_p50);
        metrics_value(out, name, 2, (MetricLabel[]){{"stream", s->name}, {"quantile", "0.95"}},
                      s->latency_p95);
    }
    metrics_family(out, down, "counter", "Connections that went down, by cause.");
    for (int k = 0; k < g->nstream; k++)
        for (int c = LIVE_NONE + 1; c < LIVE_CAUSES; c++)
            metrics_value(out, down, 2,
                          (MetricLabel[]){{"stream", g->stream[k].name},
                                          {"cause", live_cause_text((LiveCause)c)}},
                          (double)g->stream[k].live.down[c]);
}

typedef struct Single { /* a family of one value */
    const char *name, *type, *help;
    double value;
} Single;

static void add_singles(Str *out, size_t n, const Single *row)
{
    for (size_t i = 0; i < n; i++) {
        metrics_family(out, row[i].name, row[i].type, row[i].help);
        metrics_value(out, row[i].name, 0, NULL, row[i].value);
    }
}

#define ADD_SINGLES(out, row) add_singles(out, sizeof(row) / sizeof *(row), row)

typedef struct SinkColumn {
    const char *name, *type, *help;
    size_t at; /* of an int64_t in SinkCounts */
} SinkColumn;

static void add_sinks(Str *out, const PageSinks *sinks)
{
    static const SinkColumn row[] = {
        {"lathe_watch_outbox_depth", "gauge", "Records that wait for a sink.",
         offsetof(SinkCounts, waiting)},
        {"lathe_watch_sink_delivered_total", "counter", "Records that a sink has acknowledged.",
         offsetof(SinkCounts, delivered)},
        {"lathe_watch_sink_attempts_total", "counter", "Attempts to deliver.",
         offsetof(SinkCounts, attempts)},
        {"lathe_watch_sink_failures_total", "counter", "Attempts that failed.",
         offsetof(SinkCounts, failures)},
        {"lathe_watch_sink_dead", "gauge", "Records that were given up.",
         offsetof(SinkCounts, dead)},
    };
    for (size_t i = 0; sinks->all && i < sizeof row / sizeof row[0]; i++) {
        metrics_family(out, row[i].name, row[i].type, row[i].help);
        for (int k = 0; k < sinks->n; k++) {
            const SinkCounts c = sinks_counts(sinks->all, k);
            int64_t v;
            memcpy(&v, (const char *)&c + row[i].at, sizeof v);
            metrics_value(out, row[i].name, 1, (MetricLabel[]){{"sink", sinks->name[k]}},
                          (double)v);
        }
    }
}

static void add_outbox(Str *out, const PageSinks *sinks)
{
    if (!sinks->all)
        return;
    const SinksTrouble t = sinks_trouble(sinks->all);
    const OutboxCounts c = sinks_outbox(sinks->all);
    const Single row[] = {
        {"lathe_watch_outbox_added_total", "counter", "Records that the outbox took.",
         (double)c.added},
        {"lathe_watch_outbox_lost_total", "counter",
         "Records that the outbox could not take (a full disk): lost for the sinks.",
         (double)t.lost},
        {"lathe_watch_outbox_renewed_total", "counter", "Times at which its file had been removed.",
         (double)t.renewed},
        {"lathe_watch_outbox_displaced", "gauge", "1 while another file stands in its place.",
         t.displaced},
        {"lathe_watch_outbox_bytes", "gauge", "Size of the outbox.", (double)c.bytes},
        {"lathe_watch_outbox_orphans", "gauge", "Records of sinks that are no more named.",
         (double)c.rows},
    };
    ADD_SINGLES(out, row);
}

static void add_telling(Str *out, Telling *telling)
{
    const TellingCounts c = telling_counts(telling);
    const Single row[] = {
        {"lathe_watch_records_told_total", "counter",
         "Records that were told, once the outbox had them.", (double)c.told},
        {"lathe_watch_records_waiting", "gauge", "Records on their way to the outbox.",
         (double)c.waiting},
        {"lathe_watch_records_full_total", "counter", "Records that found too many before them.",
         (double)c.full},
        {"lathe_watch_records_dropped_total", "counter",
         "Records for which there was no room at all.", (double)c.dropped},
    };
    ADD_SINGLES(out, row);
}

/* Of this process, by /proc; 0: not known. */
static double resident_bytes(Arena *a)
{
    File f;
    Error e;
    long long pages = 0;
    if (file_read(a, "/proc/self/statm", &f, &e) == 0)
        sscanf((const char *)f.at, "%*s %lld", &pages);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void add_clips(Str *out, Clips *clips)
{
    const ClipsCounts c = clips_counts(clips);
    const Single row[] = {
        {"lathe_watch_clips", "gauge", "Clips that are there.", (double)c.files},
        {"lathe_watch_clips_bytes", "gauge", "Their bytes.", (double)c.bytes},
        {"lathe_watch_clips_total", "counter", "Clips that were cut.", (double)c.written},
        {"lathe_watch_clips_shortened_total", "counter",
         "Of these, what does not show all that was asked for.", (double)c.shortened},
        {"lathe_watch_clips_removed_total", "counter", "Clips that were removed to make room.",
         (double)c.removed},
        {"lathe_watch_clips_failures_total", "counter", "Clips that could not be cut.",
         (double)c.failures},
        {"lathe_watch_clips_dropped_total", "counter",
         "Events whose clip was not begun, or given up at the end.", (double)c.dropped},
        {"lathe_watch_clips_pending", "gauge", "Parts that wait for their end, or for being cut.",
         (double)c.pending},
        {"lathe_watch_clips_pending_bytes", "gauge", "Packets that they hold.",
         (double)c.pending_bytes},
        {"lathe_watch_clips_ring_bytes", "gauge", "Packets that streams hold for clips to come.",
         (double)c.ring_bytes},
    };
    ADD_SINGLES(out, row);
}

static void add_evidence(Str *out, Evidence *evidence)
{
    const EvidenceCounts c = evidence_counts(evidence);
    const Single row[] = {
        {"lathe_watch_evidence", "gauge", "Pictures of events that are there.", (double)c.files},
        {"lathe_watch_evidence_bytes", "gauge", "Their bytes.", (double)c.bytes},
        {"lathe_watch_evidence_total", "counter", "Pictures that were written.",
         (double)c.written},
        {"lathe_watch_evidence_removed_total", "counter", "Pictures removed to make room.",
         (double)c.removed},
        {"lathe_watch_evidence_missing_total", "counter",
         "Records without one: nothing of their best sample was held.", (double)c.missing},
        {"lathe_watch_evidence_failures_total", "counter", "Pictures that could not be written.",
         (double)c.failures},
    };
    ADD_SINGLES(out, row);
}

static void add_engine(Str *out, const EngineStatus *engine)
{
    const Single row[] = {
        {"lathe_watch_rate_factor", "gauge",
         "Share of the sampling rates asked for; below 1 under overload.", engine->factor},
        {"lathe_watch_workers_busy", "gauge", "Share of the workers' time in use, of late.",
         engine->busy},
    };
    ADD_SINGLES(out, row);
}

static void add_store(Str *out, Store *store)
{
    const StoreCounts c = store_counts(store);
    const Single row[] = {
        {"lathe_watch_store_spans_total", "counter",
         "Runs of text, screens and objects that were kept.", (double)c.spans},
        {"lathe_watch_store_failures_total", "counter",
         "Times at which the store could not be written.", (double)c.failures},
        {"lathe_watch_store_renewed_total", "counter",
         "Times at which the store had been removed or replaced.", (double)c.renewed},
        {"lathe_watch_store_waiting", "gauge",
         "Spans, records and facts that the last commit failed to write.", (double)c.waiting},
        {"lathe_watch_store_dropped_total", "counter", "What was not kept for want of room.",
         (double)c.dropped},
    };
    ADD_SINGLES(out, row);
}

static void add_process(Str *out, const HttpCounts *http)
{
    const Single row[] = {
        {"lathe_watch_http_requests_total", "counter", "Requests to the page.",
         (double)http->requests},
        {"lathe_watch_http_refused_total", "counter", "Malformed ones.", (double)http->refused},
        {"lathe_watch_http_evicted_total", "counter", "Connections that made room for others.",
         (double)http->evicted},
        {"process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes(out->arena)},
    };
    ADD_SINGLES(out, row);
}

void page_metrics(Str *out, const PageOptions *opt, const EngineStatus *engine,
                  const PageSinks *sinks, const HttpCounts *http)
{
    add_columns(out, engine);
    add_skipped(out, engine);
    add_latency(out, engine);
    add_sinks(out, sinks);
    add_outbox(out, sinks);
    if (opt->telling)
        add_telling(out, opt->telling);
    const SpotlightStatus spotlight = engine_spotlight(opt->engine, out->arena);
    page_spotlight_metrics(out, &spotlight);
    add_engine(out, engine);
    if (opt->store)
        add_store(out, opt->store);
    if (opt->cutting)
        add_clips(out, opt->cutting);
    if (opt->picturing)
        add_evidence(out, opt->picturing);
    add_process(out, http);
}
