/* Clips of one stream: packets are kept, parts gathered, until who cuts takes them. */
#include <stdio.h>
#include <string.h>

#include "base/heap.h"
#include "sched/clock.h"
#include "watch/clip_parts.h"
#include "watch/source.h"

#define SILENT                                                                                     \
    5000000 /* us without a packet, besides what events may need: the part is what there is */

/* ---- a part's packets ---- */

static bool job_grow(ClipJob *j, int extra)
{
    if (j->n + extra <= j->cap)
        return true;
    int cap = j->cap ? 2 * j->cap : 256;
    cap = cap < j->n + extra ? j->n + extra : cap;
    Packet *const at = heap_alloc((size_t)cap * sizeof *at, 16);
    if (!at)
        return false;
    if (j->n > 0)
        memcpy(at, j->at, (size_t)j->n * sizeof *at);
    heap_free(j->at);
    j->at = at;
    j->cap = cap;
    return true;
}

/* The part ends with what it has. */
static void end_early(ClipJob *j, const char *why)
{
    int64_t last = j->part->from;
    for (int i = 0; i < j->n; i++)
        last = j->at[i].pts - j->origin > last ? j->at[i].pts - j->origin : last;
    clip_plan_close(j->part, last);
    j->note = why;
}

static bool job_put(ClipStream *s, ClipJob *j, Packet *slot, const RunPacket *p)
{
    const int64_t cost = packet_cost(&p->packet);
    if (!clips_reserve_bytes(s->clips, cost)) {
        end_early(j, "ends early: parts that wait take all the memory they may (clips_pending)");
        return false;
    }
    if (!packet_copy(slot, &p->packet)) {
        clips_reserve_bytes(s->clips, -cost);
        end_early(j, "ends early: no memory");
        return false;
    }
    j->bytes += cost;
    return true;
}

static void job_append(ClipStream *s, ClipJob *j, const RunPacket *p)
{
    if (p->run != j->run || j->part->over)
        return;
    if (!job_grow(j, 1)) {
        end_early(j, "ends early: no memory");
        return;
    }
    if (!job_put(s, j, &j->at[j->n], p))
        return;
    j->first = j->n == 0 ? p->number : j->first;
    j->n++;
}

/* What the ring has before the first packet. */
static void job_prepend(ClipStream *s, ClipJob *j, int from)
{
    int n = 0;
    for (int i = from; i < s->ring.n && ring_at(&s->ring, i)->number < j->first; i++)
        n += ring_at(&s->ring, i)->run == j->run;
    if (n == 0 || !job_grow(j, n))
        return;
    Packet *const fresh = heap_alloc((size_t)n * sizeof *fresh, 16);
    int k = 0;
    for (int i = from; fresh && k < n; i++) {
        const RunPacket *const p = ring_at(&s->ring, i);
        if (p->run == j->run && !job_put(s, j, &fresh[k++], p))
            break;
    }
    if (fresh && k == n && !j->part->over) {
        memmove(j->at + n, j->at, (size_t)j->n * sizeof *j->at);
        memcpy(j->at, fresh, (size_t)n * sizeof *fresh);
        j->n += n;
        j->first = ring_at(&s->ring, from)->number;
    } else {
        for (int i = 0; fresh && i < k; i++) {
            clips_reserve_bytes(s->clips, fresh[i].av ? -packet_cost(&fresh[i]) : 0);
            j->bytes -= packet_cost(&fresh[i]);
            packet_free(&fresh[i]);
        }
    }
    heap_free(fresh);
}

/* From where the part begins, as far as it is still there. */
static void job_gather(ClipStream *s, ClipJob *j)
{
    const int from = ring_find(&s->ring, j->run, j->origin + j->part->from);
    if (from < 0)
        return;
    if (j->n > 0) {
        job_prepend(s, j, from);
        return;
    }
    for (int i = from; i < s->ring.n; i++)
        job_append(s, j, ring_at(&s->ring, i));
}

void clip_job_free(ClipJob *j)
{
    for (int i = 0; i < j->n; i++)
        packet_free(&j->at[i]);
    heap_free(j->at);
    arena_free(j->part->arena);
}

/* ---- the reader ---- */

static void count_ring(ClipStream *s)
{
    clips_count_ring(s->clips, s->ring.bytes - s->counted);
    s->counted = s->ring.bytes;
}

void clip_stream_packet(ClipStream *s, const Packet *p)
{
    if (!s || s->file)
        return;
    RunPacket fresh[2];
    pthread_mutex_lock(&s->lock);
    const int n = s->wanted || s->njob > 0 ? runs_push(&s->runs, p, fresh) : 0;
    s->arrival = p->arrival;
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < s->njob; k++)
            job_append(s, s->job[k], &fresh[i]);
        if (s->wanted)
            ring_add(&s->ring, &fresh[i]);
        else
            packet_free(&fresh[i].packet);
    }
    count_ring(s);
    pthread_mutex_unlock(&s->lock);
}

bool clip_stream_keeps(ClipStream *s)
{
    if (!s || s->file)
        return false;
    pthread_mutex_lock(&s->lock);
    const bool wanted = s->wanted;
    pthread_mutex_unlock(&s->lock);
    return wanted;
}

/* ---- the stream's task ---- */

/* Parts that began when no packet of their epoch was kept: from now on it is known which are
 * theirs. */
static void find_runs(ClipStream *s)
{
    for (int i = 0; i < s->njob && s->run != 0; i++) {
        ClipJob *const j = s->job[i];
        if (j->run != 0 || j->part->epoch != s->epoch)
            continue;
        j->run = s->run;
        j->origin = s->origin;
        job_gather(s, j);
    }
}

void clip_stream_frame(ClipStream *s, const LiveFrame *f)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    const int run = s->file ? 1 : ring_run_of(&s->ring, f->arrival);
    s->run = run || f->frame.epoch != s->epoch ? run : s->run;
    s->epoch = f->frame.epoch;
    s->origin = f->frame.origin;
    if (!s->file)
        find_runs(s);
    clip_plan_seen(s->plan, f->frame.epoch, f->frame.t);
    pthread_mutex_unlock(&s->lock);
}

static ClipJob *find_job(const ClipStream *s, const ClipPart *part)
{
    for (int i = 0; i < s->njob; i++)
        if (s->job[i]->part == part)
            return s->job[i];
    return NULL;
}

static ClipJob *begin_job(ClipStream *s, ClipPart *part)
{
    if (!clips_reserve_part(s->clips))
        return NULL;
    ClipJob *const j = s->job[s->njob++] = arena_new_of(part->arena, ClipJob);
    *j = (ClipJob){.part = part,
                   .stream = arena_strdup(part->arena, s->name),
                   .file = s->file ? arena_strdup(part->arena, s->file) : NULL,
                   .isolate = s->isolate,
                   .run = part->epoch == s->epoch ? s->run : 0,
                   .origin = s->origin,
                   .no_key = !s->file && s->arrival != 0 && s->ring.wait_key};
    return j;
}

/* False: there is no room for another one. */
static bool follow_part(ClipStream *s, ClipPart *part)
{
    ClipJob *j = find_job(s, part);
    if (!j)
        j = begin_job(s, part);
    if (!j) {
        clip_plan_drop(s->plan, part);
        arena_free(part->arena);
        return false;
    }
    if (!s->file && j->run != 0)
        job_gather(s, j);
    return true;
}

const char *clip_stream_record(ClipStream *s, const EventRecord *r)
{
    if (!s || !r->rule->clip.given)
        return NULL;
    const bool elsewhere = s->file && r->epoch > 0; /* its place in the file is not known */
    /* the same whenever a file is played: its clips are then the same, too */
    const int64_t now = s->written > 0 ? s->written + r->t_start : wall_now();
    pthread_mutex_lock(&s->lock);
    ClipPart *part = NULL;
    const char *name = elsewhere ? NULL : clip_plan_record(s->plan, r, now, &part);
    if (name)
        snprintf(s->path, sizeof s->path, "%s/%s.mp4", clips_folder_name(s->clips), name);
    if (part && !follow_part(s, part))
        name = NULL;
    pthread_mutex_unlock(&s->lock);
    if (!name && r->kind != RECORD_END)
        clips_count_dropped(s->clips);
    return name ? s->path : NULL;
}

void clip_stream_watch(ClipStream *s, const Watch *w)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->wanted = clip_plan_wanted(w);
    s->reach = clip_plan_reach(w);
    clip_plan_watch(s->plan, w);
    ring_set_span(&s->ring, s->reach);
    if (!s->wanted)
        ring_clear(&s->ring);
    count_ring(s);
    pthread_mutex_unlock(&s->lock);
}

void clip_stream_end(ClipStream *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    clip_plan_end(s->plan);
    s->ended = true;
    s->wanted = false;
    ring_clear(&s->ring);
    count_ring(s);
    pthread_mutex_unlock(&s->lock);
}

/* ---- who cuts ---- */

static bool is_active(const ClipPart *part)
{
    for (int i = 0; i < part->nevent; i++)
        if (part->event[i].active)
            return true;
    return false;
}

/* Over, or nothing came for so long that nothing of it will. */
static bool is_ready(const ClipStream *s, const ClipJob *j, int64_t now)
{
    if (j->part->over || s->ended)
        return true;
    const int64_t silent = s->file || s->arrival == 0 ? 0 : now - s->arrival;
    return silent > s->reach + SILENT && (!is_active(j->part) || silent > CLIP_LONGEST);
}

ClipJob *clip_stream_take(ClipStream *s, int64_t now)
{
    ClipJob *out = NULL;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->njob && !out; i++)
        if (is_ready(s, s->job[i], now)) {
            out = s->job[i];
            memmove(s->job + i, s->job + i + 1, (size_t)(--s->njob - i) * sizeof *s->job);
            clip_plan_take(s->plan, out->part);
        }
    pthread_mutex_unlock(&s->lock);
    return out;
}

void clip_stream_destroy(ClipStream *s)
{
    for (int i = 0; i < s->njob; i++) {
        clip_plan_take(s->plan, s->job[i]->part);
        clip_job_free(s->job[i]);
    }
    ring_clear(&s->ring);
    count_ring(s);
    runs_free(&s->runs);
    pthread_mutex_destroy(&s->lock);
    arena_free(s->arena);
}
