#include "watch/clip_plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TOLD 64       /* events whose part is gone, but whose end is not told */
#define SLACK 1000000 /* us between a frame and its judgement, and between frames */

typedef struct Told {
    uint64_t id;
    char name[CLIP_NAME];
} Told;

struct ClipPlan {
    const char *stream;
    int64_t reach;
    int epoch;
    int64_t seen; /* us of that epoch; -1: nothing */
    int npart;
    ClipPart *part[CLIP_MAX_PARTS];
    int gone_epoch; /* of the last part that was taken, and where it ended */
    int64_t gone_to;
    char gone_name[CLIP_NAME];
    int ntold; /* ever: told[i % TOLD] */
    Told told[TOLD];
};

bool clip_plan_wanted(const Watch *w)
{
    for (int i = 0; i < w->nevent; i++)
        if (w->event[i].clip.given)
            return true;
    return false;
}

/* A window forgets what is older than m * 2 / fps; an event with a `min` is told when it has lasted
 * so long (event.h). */
int64_t clip_plan_reach(const Watch *w)
{
    int64_t reach = 0;
    for (int i = 0; i < w->nevent; i++) {
        const EventRule *const r = &w->event[i];
        const int64_t told = llrint(2e6 * r->confirm.m / w->fps) + r->min, all = r->clip.pre + told;
        reach = r->clip.given && all > reach ? all : reach;
    }
    reach += SLACK;
    return reach < CLIP_LONGEST ? reach : CLIP_LONGEST;
}

static void free_parts(void *arg)
{
    ClipPlan *const p = arg;
    for (int i = 0; i < p->npart; i++)
        arena_free(p->part[i]->arena);
}

ClipPlan *clip_plan_new(Arena *a, const char *stream, const Watch *w)
{
    ClipPlan *const p = arena_new_of(a, ClipPlan);
    p->stream = arena_strdup(a, stream);
    p->seen = p->gone_epoch = -1;
    arena_defer(a, free_parts, p);
    clip_plan_watch(p, w);
    return p;
}

void clip_plan_watch(ClipPlan *p, const Watch *w)
{
    p->reach = clip_plan_reach(w);
}

/* ---- names ---- */

/* What any file system takes. */
static void add_safe(char *to, size_t size, const char *text, int most)
{
    size_t n = strlen(to);
    for (int i = 0; text[i] != '\0' && i < most && n + 1 < size; i++) {
        const char c = text[i];
        const bool safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '_' || c == '.';
        to[n++] = safe ? c : '_';
    }
    to[n] = '\0';
}

static void name_part(const ClipPlan *p, ClipPart *part, const EventRecord *r, int64_t now)
{
    const int64_t wall = r->wall ? r->wall : now;
    const time_t seconds = (time_t)(wall / 1000000);
    struct tm t;
    gmtime_r(&seconds, &t);
    const size_t n = strftime(part->name, sizeof part->name, "%Y%m%dT%H%M%S", &t);
    snprintf(part->name + n, sizeof part->name - n, ".%03dZ-", (int)(wall % 1000000 / 1000));
    add_safe(part->name, sizeof part->name, p->stream, 60);
    strcat(part->name, "-");
    add_safe(part->name, sizeof part->name, r->rule->name, 60);
    const size_t m = strlen(part->name);
    snprintf(part->name + m, sizeof part->name - m, "-%016llx", (unsigned long long)r->id);
}

/* ---- parts ---- */

static int64_t start_of(const ClipEvent *e)
{
    return e->t_start > e->pre ? e->t_start - e->pre : 0;
}

/* How long it is by what is known, and by what may come. */
static void set_end(ClipPart *part)
{
    const int64_t most = part->from + CLIP_LONGEST;
    int64_t to = part->from;
    for (int i = 0; i < part->nevent; i++) {
        const ClipEvent *const e = &part->event[i];
        const int64_t end = e->active ? most : e->t_end + e->post;
        to = end > to ? end : to;
    }
    part->to = to < most ? to : most;
}

static ClipEvent event_of(ClipPart *part, const EventRecord *r)
{
    const EventRule *const rule = r->rule;
    return (ClipEvent){
        .id = r->id,
        .event = arena_strdup(part->arena, rule->name),
        .key = r->key ? arena_strdup(part->arena, r->key) : NULL,
        .t_start = r->t_start,
        .t_end = r->kind == RECORD_END ? r->t_end : r->t_start,
        .pre = rule->clip.pre,
        .post = rule->clip.post,
        .wall = r->wall,
        .clock = r->clock,
        .weight = rule->clip.weight,
        .severity = rule->severity,
        .active = r->kind == RECORD_START,
    };
}

/* Where a part of this epoch may begin: behind those before. */
static int64_t free_from(const ClipPlan *p, int epoch, const ClipPart *but)
{
    int64_t from = p->gone_epoch == epoch ? p->gone_to : 0;
    for (int i = 0; i < p->npart; i++)
        if (p->part[i] != but && p->part[i]->epoch == epoch && p->part[i]->to > from)
            from = p->part[i]->to;
    return from;
}

/* The last one that overlaps it, and has room for its start. */
static ClipPart *find_room(const ClipPlan *p, const EventRecord *r)
{
    const int64_t from = r->t_start - r->rule->clip.pre, to = r->t_start + r->rule->clip.post;
    for (int i = p->npart - 1; i >= 0; i--) {
        ClipPart *const part = p->part[i];
        if (part->epoch == r->epoch && !part->over && from <= part->to && to >= part->from &&
            r->t_start < part->from + CLIP_LONGEST)
            return part;
    }
    return NULL;
}

/* A point that lies in what cannot be changed any more: that shows it. */
static const char *shown_by(const ClipPlan *p, const EventRecord *r)
{
    const int64_t end = r->t_start + r->rule->clip.post;
    for (int i = 0; i < p->npart; i++)
        if (p->part[i]->epoch == r->epoch && p->part[i]->from <= r->t_start &&
            end <= p->part[i]->to)
            return p->part[i]->name;
    return p->gone_epoch == r->epoch && end <= p->gone_to ? p->gone_name : NULL;
}

static ClipPart *begin_part(ClipPlan *p, const EventRecord *r, int64_t now)
{
    if (p->npart == CLIP_MAX_PARTS)
        return NULL;
    Arena *const a = arena_new();
    ClipPart *const part = p->part[p->npart] = arena_new_of(a, ClipPart);
    part->arena = a;
    part->epoch = r->epoch;
    part->event[part->nevent++] = event_of(part, r);
    const int64_t from = start_of(&part->event[0]), least = free_from(p, r->epoch, part);
    part->from = from > least ? from : least;
    name_part(p, part, r, now);
    set_end(part);
    p->npart++;
    return part;
}

/* The part may become longer at its front, if what it shows already still fits in. */
static void join(const ClipPlan *p, ClipPart *part, const EventRecord *r)
{
    if (part->nevent == CLIP_MAX_EVENTS) {
        part->more++;
        return;
    }
    const ClipEvent e = event_of(part, r);
    const int64_t least = free_from(p, part->epoch, part);
    const int64_t from = start_of(&e) > least ? start_of(&e) : least;
    const int64_t end = e.t_end + e.post > part->to ? e.t_end + e.post : part->to;
    part->event[part->nevent++] = e;
    if (from < part->from && end - from <= CLIP_LONGEST)
        part->from = from;
    set_end(part);
}

/* ---- records ---- */

static ClipEvent *find_event(const ClipPlan *p, uint64_t id, ClipPart **part)
{
    for (int i = 0; i < p->npart; i++)
        for (int k = 0; k < p->part[i]->nevent; k++)
            if (p->part[i]->event[k].id == id) {
                *part = p->part[i];
                return &p->part[i]->event[k];
            }
    return NULL;
}

static const char *find_told(const ClipPlan *p, uint64_t id)
{
    for (int i = 0; i < TOLD && i < p->ntold; i++)
        if (p->told[i].id == id)
            return p->told[i].name;
    return NULL;
}

const char *clip_plan_record(ClipPlan *p, const EventRecord *r, int64_t now, ClipPart **out)
{
    ClipPart *part = NULL;
    *out = NULL;
    if (!r->rule->clip.given)
        return NULL;
    ClipEvent *const known = find_event(p, r->id, &part);
    if (known) {
        known->active = known->active && r->kind != RECORD_END;
        known->t_end = r->kind == RECORD_END ? r->t_end : known->t_end;
        if (!part->over)
            set_end(part);
        return part->name;
    }
    if (r->kind == RECORD_END)
        return find_told(p, r->id);
    part = find_room(p, r);
    const char *const name = !part && r->kind == RECORD_POINT ? shown_by(p, r) : NULL;
    if (name)
        return name;
    if (part)
        join(p, part, r);
    else
        part = begin_part(p, r, now);
    *out = part;
    return part ? part->name : NULL;
}

void clip_plan_seen(ClipPlan *p, int epoch, int64_t t)
{
    p->epoch = epoch;
    p->seen = t;
    for (int i = 0; i < p->npart; i++) {
        ClipPart *const part = p->part[i];
        bool active = false;
        for (int k = 0; k < part->nevent; k++)
            active = active || part->event[k].active;
        /* events of an epoch end with it, but are told so with the next one's first sample */
        part->over = part->over || (part->epoch == epoch ? t >= part->to + p->reach : !active);
    }
}

void clip_plan_close(ClipPart *part, int64_t to)
{
    part->to = to < part->to ? to : part->to;
    part->over = true;
}

void clip_plan_end(ClipPlan *p)
{
    for (int i = 0; i < p->npart; i++)
        p->part[i]->over = true;
}

ClipPart *clip_plan_part(const ClipPlan *p, int i)
{
    return i < p->npart ? p->part[i] : NULL;
}

/* False: it is not there. */
static bool take_off(ClipPlan *p, const ClipPart *part)
{
    int at = 0;
    while (at < p->npart && p->part[at] != part)
        at++;
    if (at == p->npart)
        return false;
    memmove(p->part + at, p->part + at + 1, (size_t)(--p->npart - at) * sizeof *p->part);
    return true;
}

void clip_plan_drop(ClipPlan *p, ClipPart *part) { take_off(p, part); }

void clip_plan_take(ClipPlan *p, ClipPart *part)
{
    if (!take_off(p, part))
        return;
    if (p->gone_epoch != part->epoch || part->to > p->gone_to) {
        p->gone_to = part->to;
        memcpy(p->gone_name, part->name, sizeof p->gone_name);
    }
    p->gone_epoch = part->epoch;
    for (int k = 0; k < part->nevent; k++)
        if (part->event[k].active) {
            Told *const t = &p->told[p->ntold++ % TOLD];
            t->id = part->event[k].id;
            memcpy(t->name, part->name, sizeof t->name);
        }
}
