/* Poses are searched in reference pixels about the middle of the frame; anchors are sampled at
 * their own size, so that templates are made once. */
#include "watch/align.h"

#include <math.h>
#include <stdlib.h>

#include "base/vec.h"
#include "watch/observe_parts.h"
#include "watch/template.h"

#define SCALE_STEP 1.03
#define TRACK 3             /* pixels within which an anchor is still where it was */
#define FOLLOW 0.75         /* a shift by more is followed */
#define RETRY 500000        /* us between searches for what is lost */
/* an anchor that is followed may score so much less than one that is found */
#define FADED 0.1
#define SPREAD 100          /* pixels between anchors that a scale can be told from */
#define EXACT 4e6           /* work of a search; beyond that it is coarse */

typedef struct Mark { /* an anchor */
    NccTemplate *ncc;
    int width, height;
    double x, y;     /* of its middle, from the middle of the reference picture */
} Mark;

/* q = base * (scale * p + d), both from the middles: of the reference picture, of the frame. */
typedef struct Pose {
    double base_x, base_y;
    double scale, dx, dy;
} Pose;

typedef struct Hit { /* a mark in a frame */
    bool there;
    double score, dx, dy; /* off from where the pose has it, as d */
} Hit;

struct Aligner {
    const Watch *watch;
    int n, need;
    Mark *mark;
    Hit *hit, *best_hit;  /* n each */
    int width, height;    /* of frames */
    bool known, found;
    Pose pose;            /* known: where it was seen last */
    FramePlace told;
    int64_t seen_at, tried_at, searched_at; /* us; INT64_MIN */
    AlignCounts counts;
};

FramePlace frame_place(const Watch *w, const Frame *f)
{
    return (FramePlace){(double)f->width / w->width, (double)f->height / w->height, 0, 0};
}

FrameBox place_box(const FramePlace *p, Box b)
{
    return (FrameBox){(double)b.x * p->scale_x + p->shift_x, (double)b.y * p->scale_y + p->shift_y,
                      (double)b.width * p->scale_x, (double)b.height * p->scale_y};
}

static FramePlace place_of(const Aligner *g, const Frame *f, const Pose *p)
{
    const double sx = p->base_x * p->scale, sy = p->base_y * p->scale;
    return (FramePlace){sx, sy, 0.5 * f->width - 0.5 * sx * g->watch->width + p->base_x * p->dx,
                        0.5 * f->height - 0.5 * sy * g->watch->height + p->base_y * p->dy};
}

/* ---- anchors ---- */

static int open_mark(Arena *a, const Watch *w, const Anchor *from, Mark *out, Error *e)
{
    Arena *const tmp = arena_new();
    Gray g;
    int code = gray_read(tmp, from->path, true, &g, e);
    if (code == 0 && gray_is_flat(&g))
        code = error_set(e, ERR_INVALID,
                         "%s: an anchor of one colour, or all transparent, is found nowhere",
                         from->path);
    if (code == 0 && (g.width > NCC_MAX_SIDE || g.height > NCC_MAX_SIDE))
        code = error_set(e, ERR_UNSUPPORTED, "%s: an anchor of %d x %d; at most %d each way",
                         from->path, g.width, g.height, NCC_MAX_SIDE);
    if (code == 0 && (from->x + g.width > w->width || from->y + g.height > w->height))
        code =
            error_set(e, ERR_INVALID,
                      "%s: an anchor of %d x %d at %g, %g lies outside the reference size %d x %d",
                      from->path, g.width, g.height, from->x, from->y, w->width, w->height);
    if (code == 0)
        *out = (Mark){gray_template(a, &g), g.width, g.height,
                      from->x + 0.5 * g.width - 0.5 * w->width,
                      from->y + 0.5 * g.height - 0.5 * w->height};
    arena_free(tmp);
    return code;
}

int align_new(Arena *a, const Watch *w, Aligner **out, Error *e)
{
    const int n = w->align.nanchor;
    int code = 0;
    *out = NULL;
    if (n == 0)
        return 0;
    Aligner *const g = arena_new_of(a, Aligner);
    *g = (Aligner){.watch = w,
                   .n = n,
                   .need = (n + 1) / 2,
                   .mark = arena_array_of(a, n, Mark),
                   .hit = arena_array_of(a, n, Hit),
                   .best_hit = arena_array_of(a, n, Hit)};
    align_reset(g);
    for (int i = 0; i < n && code == 0; i++) {
        Error why = {0};
        code = open_mark(a, w, &w->align.anchor[i], &g->mark[i], &why);
        if (code != 0)
            error_set(e, code, "%s: 'align': %.900s", w->path, why.message);
    }
    *out = g;
    return code;
}

void align_reset(Aligner *g)
{
    g->known = g->found = false;
    g->seen_at = g->tried_at = g->searched_at = INT64_MIN;
}

/* ---- one look at the anchors ---- */

static void look_at(const Frame *f, const Pose *p, const Mark *m, int margin, Hit *out)
{
    const double sx = p->base_x * p->scale, sy = p->base_y * p->scale; /* frame pixels a sample */
    const int width = m->width + 2 * margin, height = m->height + 2 * margin;
    const double x = 0.5 * f->width + p->base_x * (p->scale * m->x + p->dx),
                 y = 0.5 * f->height + p->base_y * (p->scale * m->y + p->dy);
    const FrameBox box = {x - 0.5 * width * sx, y - 0.5 * height * sy, width * sx, height * sy};
    *out = (Hit){0};
    if (box.x >= f->width || box.y >= f->height || box.x + box.width <= 0 ||
        box.y + box.height <= 0)
        return;
    Arena *const tmp = arena_new();
    const NccImage image = {width, height, width, arena_alloc(tmp, (size_t)width * (size_t)height)};
    const FrameTensor t = {.data = (void *)image.at,
                           .dtype = DT_U8,
                           .order = FRAME_NCHW,
                           .width = width,
                           .height = height,
                           .channels = 1,
                           .scale = {1, 1, 1}};
    const FrameFilter filter = frame_filter(&box, width, height);
    frame_to_tensor(f, &box, filter, &t, simd_level(),
                    arena_alloc_aligned(tmp, (size_t)frame_scratch(f, &box, filter, &t), 64));
    void *const scratch = arena_alloc_aligned(tmp, (size_t)ncc_scratch(m->ncc, width, height), 64);
    const bool coarse = (2.0 * margin + 1) * (2.0 * margin + 1) * m->width * m->height > EXACT;
    const NccMatch r = coarse ? ncc_search_coarse(m->ncc, &image, simd_level(), scratch)
                              : ncc_search(m->ncc, &image, simd_level(), scratch);
    if (!r.flat)
        *out = (Hit){true, (double)r.score, (r.x + (double)r.dx - margin) * p->scale,
                     (r.y + (double)r.dy - margin) * p->scale};
    arena_free(tmp);
}

static bool agree(const Aligner *g, int i, int k, double tolerance, double per_pixel)
{
    const double x = fabs(g->hit[i].dx - g->hit[k].dx), y = fabs(g->hit[i].dy - g->hit[k].dy);
    const double apart = hypot(g->mark[i].x - g->mark[k].x, g->mark[i].y - g->mark[k].y);
    return fmax(x, y) <= tolerance + per_pixel * apart;
}

typedef struct Rating {
    int n;
    double sum;
} Rating;

static bool better(Rating a, Rating b) { return a.n != b.n ? a.n > b.n : a.sum > b.sum; }

/* The largest set of marks that score at least `on` and agree with one of them; the others are
 * taken to be away. */
static Rating rate(Aligner *g, double on, double tolerance, double per_pixel)
{
    Rating best = {0};
    int leader = -1;
    for (int i = 0; i < g->n; i++) {
        Rating r = {0};
        for (int k = 0; k < g->n && g->hit[i].there && g->hit[i].score >= on; k++)
            if (g->hit[k].there && g->hit[k].score >= on && agree(g, i, k, tolerance, per_pixel))
                r = (Rating){r.n + 1, r.sum + g->hit[k].score};
        if (better(r, best)) {
            best = r;
            leader = i;
        }
    }
    for (int k = 0; k < g->n; k++)
        g->hit[k].there = leader >= 0 && g->hit[k].there && g->hit[k].score >= on &&
                          agree(g, leader, k, tolerance, per_pixel);
    return best;
}

static Rating look_all(Aligner *g, const Frame *f, const Pose *p, int margin, double on,
                       double tolerance, double per_pixel)
{
    for (int i = 0; i < g->n; i++)
        look_at(f, p, &g->mark[i], margin, &g->hit[i]);
    return rate(g, on, tolerance, per_pixel);
}

/* The pose under which the marks that are there lie where they were found. */
static void fit(const Aligner *g, Pose *p)
{
    double n = 0, ux = 0, uy = 0, qx = 0, qy = 0, squares = 0, products = 0;
    for (int i = 0; i < g->n; i++) {
        if (!g->hit[i].there)
            continue;
        n++;
        ux += g->mark[i].x;
        uy += g->mark[i].y;
        qx += p->scale * g->mark[i].x + p->dx + g->hit[i].dx;
        qy += p->scale * g->mark[i].y + p->dy + g->hit[i].dy;
    }
    ux /= n, uy /= n, qx /= n, qy /= n;
    for (int i = 0; i < g->n; i++) {
        if (!g->hit[i].there)
            continue;
        const double x = g->mark[i].x - ux, y = g->mark[i].y - uy;
        squares += x * x + y * y;
        products += x * (p->scale * g->mark[i].x + p->dx + g->hit[i].dx - qx) +
                    y * (p->scale * g->mark[i].y + p->dy + g->hit[i].dy - qy);
    }
    if (squares > SPREAD * SPREAD)
        p->scale = fmin(g->watch->align.most, fmax(g->watch->align.least, products / squares));
    p->dx = qx - p->scale * ux;
    p->dy = qy - p->scale * uy;
}

/* ---- search ---- */

static int bases(const Aligner *g, const Frame *f, Pose *out)
{
    const double x = (double)f->width / g->watch->width, y = (double)f->height / g->watch->height,
                 whole = fmin(x, y);
    out[0] = (Pose){.base_x = x, .base_y = y};
    out[1] = (Pose){.base_x = whole, .base_y = whole};
    return fabs(x / y - 1) > 0.005 ? 2 : 1;
}

static double spread_of(const Aligner *g)
{
    double most = 0;
    for (int i = 0; i < g->n; i++)
        for (int k = 0; k < i; k++)
            if (g->hit[i].there && g->hit[k].there)
                most = fmax(most, hypot(g->mark[i].x - g->mark[k].x, g->mark[i].y - g->mark[k].y));
    return most;
}

/* Between samples every score is less: each scale is judged at its own best shift. */
static Rating settle(Aligner *g, const Frame *f, Pose *p, double on)
{
    const Rating r = look_all(g, f, p, TRACK, on, TRACK, 0);
    if (r.n == 0)
        return r;
    fit(g, p);
    return look_all(g, f, p, 1, on, TRACK, 0);
}

/* Where no two marks tell the scale, the best score does. */
static void climb(Aligner *g, const Frame *f, Pose *p, double on)
{
    Rating best = settle(g, f, p, on);
    for (double step = 0.02; step > 0.002; step /= 2) {
        const Pose from = *p;
        for (int side = -1; side <= 1; side += 2) {
            Pose other = from;
            other.scale *= 1 + side * step;
            if (other.scale < g->watch->align.least || other.scale > g->watch->align.most)
                continue;
            const Rating r = settle(g, f, &other, on);
            if (!better(r, best))
                continue;
            best = r;
            *p = other;
        }
    }
}

/* The pose as exactly as it can be told; false: it does not hold. */
static bool refine(Aligner *g, const Frame *f, Pose *p, double on, Rating *out)
{
    for (int round = 0; round < 2; round++) {
        fit(g, p);
        if (round == 0 && spread_of(g) <= SPREAD)
            climb(g, f, p, on);
        *out = look_all(g, f, p, TRACK + 1, on, 2, 0);
        if (out->n < g->need)
            return false;
    }
    fit(g, p);
    return true;
}

static bool search(Aligner *g, const Frame *f, double least, double most, Pose *out, Rating *rating)
{
    const Align *const al = &g->watch->align;
    Pose base[2], best = {0};
    Rating top = {0};
    const int nbase = bases(g, f, base),
              steps = (int)ceil(log(most / least) / log(SCALE_STEP) - 1e-9);
    g->counts.searches++;
    for (int b = 0; b < nbase; b++)
        for (int i = 0; i <= steps; i++) {
            Pose p = base[b];
            p.scale = steps > 0 ? least * pow(most / least, (double)i / steps) : least;
            const Rating r = look_all(g, f, &p, (int)ceil(al->search), al->on, 3, 0.02);
            if (!better(r, top))
                continue;
            top = r;
            best = p;
            for (int k = 0; k < g->n; k++)
                g->best_hit[k] = g->hit[k];
        }
    if (top.n < g->need)
        return false;
    for (int k = 0; k < g->n; k++)
        g->hit[k] = g->best_hit[k];
    *out = best;
    return refine(g, f, out, al->on, rating);
}

/* ---- from frame to frame ---- */

static void take(Aligner *g, const Pose *p)
{
    g->pose = *p;
    g->known = true;
}

/* What stays within FOLLOW stays as it was, so that nothing that stands still is looked at anew. */
static bool track(Aligner *g, const Frame *f, Rating *r)
{
    *r = look_all(g, f, &g->pose, TRACK, g->watch->align.on - FADED, TRACK, 0);
    double off = 0;
    for (int i = 0; i < g->n; i++)
        if (g->hit[i].there)
            off = fmax(off, hypot(g->hit[i].dx, g->hit[i].dy));
    if (r->n >= g->need && off > FOLLOW)
        fit(g, &g->pose);
    return r->n >= g->need;
}

/* Scale may have drifted, or a better place be near by. */
static void search_near(Aligner *g, const Frame *f, Rating now)
{
    const Align *const al = &g->watch->align;
    Pose p;
    Rating r;
    const double least = fmax(al->least, g->pose.scale / SCALE_STEP),
                 most = fmin(al->most, g->pose.scale * SCALE_STEP);
    if (least <= most && search(g, f, least, most, &p, &r) &&
        (r.n > now.n || (r.n == now.n && r.sum > now.sum + 0.02 * r.n)))
        take(g, &p);
}

static bool since(int64_t before, int64_t t, int64_t span)
{
    return before == INT64_MIN || t < before || t - before >= span;
}

static bool see(Aligner *g, const Frame *f, int64_t t)
{
    const Align *const al = &g->watch->align;
    Rating r;
    Pose p;
    const bool was = g->seen_at == g->tried_at && g->known; /* at the look before */
    if (g->known && track(g, f, &r)) {
        if (since(g->searched_at, t, al->every)) {
            search_near(g, f, r);
            g->searched_at = t;
        }
        g->tried_at = t;
        return true;
    }
    if (!was && !since(g->tried_at, t, RETRY))
        return false;
    g->tried_at = g->searched_at = t;
    if (!search(g, f, al->least, al->most, &p, &r))
        return false;
    take(g, &p);
    return true;
}

bool align_look(Aligner *g, const Frame *f, int64_t t)
{
    const bool before = g->found;
    if (f->width != g->width || f->height != g->height)
        align_reset(g);
    g->width = f->width;
    g->height = f->height;
    if (see(g, f, t)) {
        g->seen_at = t;
        g->found = true;
    } else if (since(g->seen_at, t, g->watch->align.hold + 1)) {
        g->found = false;
    }
    g->counts.looks++;
    g->counts.lost += !g->found;
    const FramePlace now = align_place(g, f), old = g->told;
    g->told = now;
    return g->found != before || now.scale_x != old.scale_x || now.scale_y != old.scale_y ||
           now.shift_x != old.shift_x || now.shift_y != old.shift_y;
}

bool align_found(const Aligner *g) { return g->found; }
FramePlace align_place(const Aligner *g, const Frame *f)
{
    return g->found ? place_of(g, f, &g->pose) : frame_place(g->watch, f);
}

AlignCounts align_counts(const Aligner *g)
{
    AlignCounts c = g->counts;
    c.scale = g->found ? g->pose.scale : 0;
    return c;
}
