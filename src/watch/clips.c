/* The thread that cuts, for all streams, and what streams share. */
#include "watch/clips.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "sched/clock.h"
#include "sched/cond.h"
#include "watch/bounded_folder.h"
#include "watch/clip_parts.h"
#include "watch/cut.h"
#include "watch/json_write.h"
#include "watch/source.h"

#define TICK 200000   /* us between looks at what is over */
#define MISSED 200000 /* us that a clip may lack before it says so */

struct Clips {
    Arena *arena;
    ClipsOptions opt;
    BoundedFolder *folder; /* of the thread */
    const char *folder_name;
    pthread_t thread;
    _Atomic int64_t pending, pending_bytes, ring_bytes, dropped;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;  /* for the thread: it is time to go */
    ClipStream *stream;   /* a list */
    bool closing;
    int64_t deadline; /* of closing, us of clock_machine */

    pthread_mutex_t counting; /* guards: */
    ClipsCounts counts;       /* but what is above */
};

/* ---- what streams ask ---- */

/* # a digit, x one in hexadecimal, others themselves. */
static bool fits(const char *text, const char *pattern)
{
    for (; *pattern; text++, pattern++) {
        const bool digit = *text >= '0' && *text <= '9';
        const bool hex = digit || (*text >= 'a' && *text <= 'f');
        if (*pattern == '#' ? !digit : *pattern == 'x' ? !hex : *text != *pattern)
            return false;
    }
    return true;
}

/* As clip_plan.h names them: 20261122T005712.345Z-..-0123456789abcdef. */
static bool is_clip_name(const char *name)
{
    const size_t n = strlen(name);
    return n >= 40 && fits(name, "########T######.###Z-") &&
           fits(name + n - 17, "-xxxxxxxxxxxxxxxx");
}

static const FolderKind clip_files = {.what = "clips",
                                      .ending = {".mp4", ".json"},
                                      .unfinished = ".mp4.part",
                                      .is_name = is_clip_name};

const char *clips_folder_name(const Clips *c)
{
    return c->folder_name;
}
bool clips_reserve_part(Clips *c)
{
    if (atomic_fetch_add(&c->pending, 1) < CLIPS_MAX_PENDING)
        return true;
    atomic_fetch_sub(&c->pending, 1);
    return false;
}

bool clips_reserve_bytes(Clips *c, int64_t bytes)
{
    if (atomic_fetch_add(&c->pending_bytes, bytes) + bytes <= c->opt.pending_bytes || bytes <= 0)
        return true;
    atomic_fetch_sub(&c->pending_bytes, bytes);
    return false;
}

void clips_count_ring(Clips *c, int64_t bytes)
{
    atomic_fetch_add(&c->ring_bytes, bytes);
}
void clips_count_dropped(Clips *c)
{
    atomic_fetch_add(&c->dropped, 1);
}

/* ---- what is told ---- */

static void tell(const Clips *c, const char *line)
{
    if (c->opt.told)
        c->opt.told(c->opt.arg, line);
}

static void tell_failure(Clips *c, const ClipJob *j, const char *why)
{
    char line[600];
    snprintf(line, sizeof line, "clip %s/%s.mp4: %.300s", c->folder_name, j->part->name, why);
    pthread_mutex_lock(&c->counting);
    c->counts.failures++;
    snprintf(c->counts.error, sizeof c->counts.error, "%.255s", line);
    pthread_mutex_unlock(&c->counting);
    tell(c, line);
}

static void count_written(Clips *c, bool shortened)
{
    const FolderCounts now = folder_counts(c->folder);
    pthread_mutex_lock(&c->counting);
    c->counts.written++;
    c->counts.shortened += shortened;
    c->counts.files = now.files;
    c->counts.bytes = now.bytes;
    c->counts.removed = now.removed;
    pthread_mutex_unlock(&c->counting);
}

/* ---- the list beside a video ---- */

static void add_event(Str *out, const ClipEvent *e, const ClipPart *part)
{
    str_addf(out, "{\"id\":\"%016llx\",\"event\":", (unsigned long long)e->id);
    json_add_string(out, e->event);
    str_add(out, ",\"key\":");
    json_add_string(out, e->key);
    str_add(out, ",\"t_start\":");
    json_add_seconds(out, e->t_start);
    str_add(out, ",\"t_end\":");
    if (e->active) /* it went on when this was cut */
        str_add(out, "null");
    else
        json_add_seconds(out, e->t_end);
    str_add(out, ",\"at\":"); /* in the clip */
    json_add_seconds(out, e->t_start - part->from);
    str_add(out, ",\"wall\":");
    if (e->wall)
        json_add_wall(out, e->wall);
    else
        str_add(out, "null");
    str_addf(out, ",\"severity\":%d,\"weight\":", e->severity);
    json_add_number(out, e->weight);
    str_addc(out, '}');
}

/* Once part->from is where the clip begins. */
static void add_list(Str *out, const ClipJob *j, const CutReport *r)
{
    const ClipPart *const part = j->part;
    const ClipEvent *const e = &part->event[0];
    str_add(out, "{\"v\":1,\"clip\":");
    json_add_string(out, arena_printf(out->arena, "%s.mp4", part->name));
    str_add(out, ",\"stream\":");
    json_add_string(out, j->stream);
    str_addf(out, ",\"epoch\":%d,\"t_start\":", part->epoch);
    json_add_seconds(out, part->from);
    str_add(out, ",\"duration\":");
    json_add_seconds(out, r->duration);
    str_add(out, ",\"wall\":");
    if (e->wall)
        json_add_wall(out, e->wall - (e->t_start - part->from));
    else
        str_add(out, "null");
    str_addf(out, ",\"clock\":\"%s\",\"note\":", clock_text(e->clock));
    json_add_string(out, r->note[0] ? r->note : NULL);
    str_add(out, ",\"events\":[");
    for (int i = 0; i < part->nevent; i++) {
        str_add(out, i ? ",\n" : "\n");
        add_event(out, &part->event[i], part);
    }
    str_addf(out, "],\"more\":%d}\n", part->more);
}

/* ---- cutting ---- */

/* What matters most of it stays where something has to go. */
static int64_t moment_of(const ClipPart *part)
{
    const ClipEvent *best = &part->event[0];
    for (int i = 1; i < part->nevent; i++)
        best = part->event[i].weight > best->weight ? &part->event[i] : best;
    const int64_t t = best->t_start;
    return t < part->from ? part->from : t >= part->to ? part->to - 1 : t;
}

static int cut_job(const ClipJob *j, const char *path, CutReport *r, Error *e)
{
    const ClipPart *const p = j->part;
    const int64_t origin = j->file ? 0 : j->origin;
    const CutPart part = {.from = origin + p->from,
                          .to = origin + p->to,
                          .at = origin + moment_of(p),
                          .mode = CUT_EXACT,
                          .path = path,
                          .isolate = j->isolate};
    if (j->file)
        return cut_file(j->file, &part, r, e);
    Arena *const a = arena_new();
    const Packet **const packet = arena_array_of(a, j->n + 1, const Packet *);
    for (int i = 0; i < j->n; i++)
        packet[i] = &j->at[i];
    const int code = cut_packets(j->n, packet, &part, r, e);
    r->from -= origin;
    arena_free(a);
    return code;
}

/* What is missing of it, besides what cutting has said. True: something is. */
static bool add_notes(const ClipJob *j, CutReport *r)
{
    char said[sizeof r->note];
    const int64_t late = r->from - j->part->from, early = j->part->to - (r->from + r->duration);
    memcpy(said, r->note, sizeof said);
    if (j->note)
        snprintf(r->note, sizeof r->note, "%s%s%.100s", j->note, said[0] ? "; " : "", said);
    else if (!said[0] && late > MISSED)
        snprintf(r->note, sizeof r->note, "begins %.3f s later: the pictures before are not there",
                 (double)late * 1e-6);
    else if (!said[0] && early > MISSED)
        snprintf(r->note, sizeof r->note, "ends %.3f s earlier: the pictures behind are not there",
                 (double)early * 1e-6);
    return r->note[0] != '\0';
}

static int cut_and_list(Clips *c, ClipJob *j, CutReport *r, Error *e)
{
    Arena *const a = arena_new();
    const char *const folder = folder_path(c->folder);
    int code = cut_job(j, arena_printf(a, "%s/%s.mp4", folder, j->part->name), r, e);
    if (code == 0) {
        Str list = str_new(a);
        const bool shortened = add_notes(j, r);
        j->part->from = r->from;
        add_list(&list, j, r);
        code = file_write(arena_printf(a, "%s/%s.json", folder, j->part->name), str_text(&list),
                          list.len, e);
        if (code == 0) {
            folder_add(c->folder, j->part->name);
            count_written(c, shortened);
        } else { /* a clip without its list is none */
            unlink(arena_printf(a, "%s/%s.mp4", folder, j->part->name));
        }
    }
    arena_free(a);
    return code;
}

static bool has_key(const ClipJob *j)
{
    for (int i = 0; i < j->n; i++)
        if (packet_key(&j->at[i]) && !packet_sound(&j->at[i]))
            return true;
    return false;
}

static void run_job(Clips *c, ClipJob *j)
{
    Error e = {0};
    CutReport r = {0};
    char line[600];
    const int64_t left = folder_free(c->folder), wanted = c->opt.spare + j->bytes;
    if (left < wanted) {
        snprintf(line, sizeof line, "not cut: the disk has %.0f MB left", (double)left * 1e-6);
        tell_failure(c, j, line);
        return;
    }
    if (j->no_key && !has_key(j)) {
        tell_failure(c, j, "not cut: its stream had no keyframe within what is kept (clips_ring)");
        return;
    }
    if (cut_and_list(c, j, &r, &e) != 0) {
        tell_failure(c, j, e.message);
        return;
    }
    snprintf(line, sizeof line, "clip %s/%s.mp4: %.1f s, %d event%s%s%.200s", c->folder_name,
             j->part->name, (double)r.duration * 1e-6, j->part->nevent + j->part->more,
             j->part->nevent + j->part->more == 1 ? "" : "s", r.note[0] ? ": " : "", r.note);
    tell(c, line);
}

static void end_job(Clips *c, ClipJob *j)
{
    clips_reserve_bytes(c, -j->bytes);
    clip_job_free(j);
    atomic_fetch_sub(&c->pending, 1);
}

/* ---- the thread ---- */

/* Under the lock. Streams that are gone, with nothing left to cut, go. */
static ClipJob *find_job(Clips *c, int64_t now)
{
    ClipStream **at = &c->stream;
    while (*at) {
        ClipStream *const s = *at;
        ClipJob *const j = clip_stream_take(s, now);
        if (j) {
            *at = s->next; /* to the end: each stream has its turn */
            s->next = NULL;
            ClipStream **last = &c->stream;
            while (*last)
                last = &(*last)->next;
            *last = s;
            return j;
        }
        if (s->freed) {
            *at = s->next;
            clip_stream_destroy(s);
        } else {
            at = &s->next;
        }
    }
    return NULL;
}

static void wait_a_tick(Clips *c)
{
    cond_wait_until(&c->wake, &c->lock, machine_now() + TICK);
}

static void drop_job(Clips *c, ClipJob *j)
{
    clips_count_dropped(c);
    tell_failure(c, j, "not cut: there was no time at the end");
}

static void *cut_all(void *arg)
{
    Clips *const c = arg;
    setpriority(PRIO_PROCESS, 0, 10); /* this thread's alone: streams go first */
    pthread_mutex_lock(&c->lock);
    for (;;) {
        const int64_t now = machine_now();
        ClipJob *const j = find_job(c, now);
        const bool late = c->closing && now > c->deadline;
        if (!j && c->closing)
            break;
        if (!j) {
            wait_a_tick(c);
            continue;
        }
        pthread_mutex_unlock(&c->lock);
        if (late)
            drop_job(c, j);
        else
            run_job(c, j);
        end_job(c, j);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- streams ---- */

ClipStream *clip_stream_new(Clips *c, const char *name, const char *url, int64_t isolate,
                            const Watch *w)
{
    Arena *const a = arena_new();
    ClipStream *const s = arena_new_of(a, ClipStream);
    s->clips = c;
    s->arena = a;
    s->name = arena_strdup(a, name);
    s->file = source_is_file(url) ? arena_strdup(a, url) : NULL;
    if (s->file)
        s->written = file_written(s->file + (strncmp(s->file, "file:", 5) == 0 ? 5 : 0));
    s->isolate = isolate;
    s->plan = clip_plan_new(a, name, w);
    pthread_mutex_init(&s->lock, NULL);
    ring_init(&s->ring, 0, c->opt.ring_bytes);
    clip_stream_watch(s, w);
    pthread_mutex_lock(&c->lock);
    s->next = c->stream;
    c->stream = s;
    pthread_mutex_unlock(&c->lock);
    return s;
}

void clip_stream_free(ClipStream *s)
{
    if (!s)
        return;
    Clips *const c = s->clips;
    clip_stream_end(s);
    pthread_mutex_lock(&c->lock);
    s->freed = true;
    pthread_mutex_unlock(&c->lock);
}

/* ---- the whole ---- */

static ClipsOptions with_defaults(const ClipsOptions *opt)
{
    ClipsOptions o = *opt;
    o.max_bytes = o.max_bytes ? o.max_bytes : CLIPS_MAX_BYTES;
    o.ring_bytes = o.ring_bytes ? o.ring_bytes : CLIPS_RING_BYTES;
    o.pending_bytes = o.pending_bytes ? o.pending_bytes : CLIPS_PENDING_BYTES;
    o.spare = o.spare ? o.spare : CLIPS_SPARE;
    return o;
}

int clips_open(const ClipsOptions *opt, Clips **out, Error *e)
{
    const ClipsOptions o = with_defaults(opt);
    const bool made = !file_exists(o.folder);
    BoundedFolder *folder;
    const int code = folder_open(o.folder, o.max_bytes, &clip_files, &folder, e);
    if (code != 0)
        return code;
    Arena *const a = arena_new();
    Clips *const c = arena_new_of(a, Clips);
    c->arena = a;
    c->opt = o;
    c->folder = folder;
    c->folder_name = folder_name(folder);
    const FolderCounts now = folder_counts(folder);
    c->counts = (ClipsCounts){.files = now.files, .bytes = now.bytes, .removed = now.removed};
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->counting, NULL);
    cond_init(&c->wake);
    if (pthread_create(&c->thread, NULL, cut_all, c) != 0) {
        folder_close(folder);
        arena_free(a);
        return error_set(e, ERR_MEMORY, "clips: no thread to cut them");
    }
    if (made)
        tell(c, arena_printf(a, "clips: made the folder %s", o.folder));
    *out = c;
    return 0;
}

void clips_close(Clips *c, int64_t timeout)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    c->deadline = machine_now() + timeout;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    while (c->stream) {
        ClipStream *const s = c->stream;
        c->stream = s->next;
        clip_stream_destroy(s);
    }
    folder_close(c->folder);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->counting);
    pthread_cond_destroy(&c->wake);
    arena_free(c->arena);
}

ClipsCounts clips_counts(Clips *c)
{
    pthread_mutex_lock(&c->counting);
    ClipsCounts out = c->counts;
    pthread_mutex_unlock(&c->counting);
    out.pending = atomic_load(&c->pending);
    out.pending_bytes = atomic_load(&c->pending_bytes);
    out.ring_bytes = atomic_load(&c->ring_bytes);
    out.dropped = atomic_load(&c->dropped);
    return out;
}
