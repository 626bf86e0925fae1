/* Two passes over the video: frames to cut from, and samples to score. */
#include "watch/learn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/vec.h"
#include "vision/picture.h"
#include "watch/learn_mask.h"
#include "watch/observe_parts.h"
#include "watch/source.h"
#include "watch/video.h"

#define JUDGE_STEP 500000   /* us between samples that are scored .. */
#define JUDGE_SAMPLES 1200  /* .. more, if they were more than so many */

typedef struct Wish { /* a frame that an item wants */
    int64_t t;
    int item;
} Wish;

typedef struct Cut { /* of an item, as it goes on */
    VEC(const Picture *) frame;
    VEC(int64_t) at;   /* times of these */
    const Picture *picture;
    const uint8_t *alpha; /* NULL: opaque */
} Cut;

typedef struct Learning {
    Arena *arena;
    const LearnOptions *opt;
    LearnResult *result;
    Cut *cut;
    int width, height;  /* reference size */
} Learning;

/* ---- pictures ---- */

static Picture *cut_box(Arena *a, const Learning *l, const Frame *f, Box b)
{
    const double sx = (double)f->width / l->width, sy = (double)f->height / l->height;
    const FrameBox box = {(double)b.x * sx, (double)b.y * sy, (double)b.width * sx,
                          (double)b.height * sy};
    Picture *const p = picture_new(a, (int)b.width, (int)b.height);
    const FrameTensor t = {.data = p->rgb,
                           .dtype = DT_U8,
                           .order = FRAME_NHWC,
                           .width = p->width,
                           .height = p->height,
                           .channels = 3,
                           .row = (int64_t)p->width * 3,
                           .scale = {1, 1, 1}};
    const FrameFilter filter = frame_filter(&box, p->width, p->height);
    Arena *const tmp = arena_new();
    frame_to_tensor(f, &box, filter, &t, simd_level(),
                    arena_alloc_aligned(tmp, (size_t)frame_scratch(f, &box, filter, &t), 64));
    arena_free(tmp);
    return p;
}

/* ---- the first pass ---- */

static double frame_bytes(const LearnItem *item)
{
    return 3.0 * (double)item->box.width * (double)item->box.height;
}

static int wish_count(const LearnItem *item)
{
    return item->from == item->last
               ? 1
               : (int)fmax(LEARN_LEAST + 4, fmin(LEARN_FRAMES, LEARN_BYTES / frame_bytes(item)));
}

/* All frames are kept until the video has been read. */
static int check_size(const LearnOptions *opt, Error *e)
{
    double bytes = 0;
    for (int i = 0; i < opt->nitem; i++)
        bytes += wish_count(&opt->item[i]) * frame_bytes(&opt->item[i]);
    return bytes <= LEARN_MAX_BYTES ? 0
                                    : error_set(e, ERR_INVALID,
                                                "%d pictures at once would take %.1f GB: learn "
                                                "fewer at a time, or from single frames ('at')",
                                                opt->nitem, bytes * 1e-9);
}

static int by_time(const void *x, const void *y)
{
    const Wish *const a = x, *const b = y;
    return a->t != b->t ? (a->t > b->t) - (a->t < b->t) : a->item - b->item;
}

static Wish *make_wishes(Arena *a, const LearnOptions *opt, int *n)
{
    VEC(Wish) wish = {0};
    for (int i = 0; i < opt->nitem; i++) {
        const LearnItem *const item = &opt->item[i];
        const int count = wish_count(item);
        for (int k = 0; k < count; k++)
            vec_push(a, &wish,
                     ((Wish){item->from +
                                 (item->last - item->from) * k / (count > 1 ? count - 1 : 1),
                             i}));
    }
    qsort(wish.at, (size_t)wish.len, sizeof *wish.at, by_time);
    *n = wish.len;
    return wish.at;
}

static const char *seconds(Arena *a, int64_t t)
{
    return arena_printf(a, "%.3f s", (double)t * 1e-6);
}

static int check_frame(const Learning *l, const Video *v, const LearnItem *item, int64_t t,
                       int code, const VideoFrame *f, Error *e)
{
    if (code == 0 && item->last > item->from &&
        t <= video_end(v)) /* its last frame is shown until then */
        return 0;
    if (code == 0)
        return error_set(e, ERR_INVALID, "%s: there is no frame at %s: %s ends at %s", item->name,
                         seconds(l->arena, t), l->opt->url, seconds(l->arena, video_end(v)));
    if (code > 0 && f->epoch > 0)
        return error_set(e, ERR_INVALID, "%s: %s lies behind a jump of the video's clock",
                         item->name, seconds(l->arena, t));
    return code < 0 ? code : 0;
}

static int stopped(const Learning *l, Error *e)
{
    return l->opt->stop && *l->opt->stop ? error_set(e, ERR_IO, "stopped") : 0;
}

/* The same frame is taken once. Behind the end of its span nothing is. */
static void take_frame(const Learning *l, const Wish *w, const VideoFrame *f)
{
    const LearnItem *const item = &l->opt->item[w->item];
    Cut *const c = &l->cut[w->item];
    const bool again = c->at.len > 0 && vec_last(&c->at) == f->t;
    if (again || (item->last > item->from && f->t > item->last))
        return;
    vec_push(l->arena, &c->at, f->t);
    vec_push(l->arena, &c->frame, cut_box(l->arena, l, &f->picture, item->box));
}

static int read_frames(Learning *l, Video *v, Error *e)
{
    int n;
    const Wish *const wish = make_wishes(l->arena, l->opt, &n);
    VideoFrame f;
    /* the first begins the epoch */
    int code = check_frame(l, v, &l->opt->item[0], 0, video_sample(v, 0, &f, e), &f, e);
    for (int i = 0; i < n && code == 0; i++) {
        if (f.t < wish[i].t) /* else this frame is the first at or after it */
            code = check_frame(l, v, &l->opt->item[wish[i].item], wish[i].t,
                               video_sample(v, wish[i].t, &f, e), &f, e);
        if (code == 0)
            code = stopped(l, e);
        if (code == 0 && f.t >= wish[i].t)
            take_frame(l, &wish[i], &f);
    }
    return code;
}

/* ---- references ---- */

static int cut_still(Learning *l, int i, Error *e)
{
    const LearnItem *const item = &l->opt->item[i];
    Cut *const c = &l->cut[i];
    LearnResult *const r = &l->result[i];
    if (c->frame.len < LEARN_LEAST)
        return error_set(
            e, ERR_INVALID,
            "%s: frames from %s to %s: %d; at least %d are needed to tell what stays the same",
            item->name, seconds(l->arena, item->from), seconds(l->arena, item->last), c->frame.len,
            LEARN_LEAST);
    const Masked m = mask_still(l->arena, c->frame.len, c->frame.at);
    if (m.width == 0 || m.opaque * (float)m.width * (float)m.height < 16)
        return error_set(e, ERR_INVALID, "%s: nothing in the box stays the same from %s to %s",
                         item->name, seconds(l->arena, item->from), seconds(l->arena, item->last));
    c->picture = m.picture;
    if (item->signal.kind == SIGNAL_SCREEN)
        return 0; /* a screen is all of its region */
    Picture *const p = picture_new(l->arena, m.width, m.height);
    uint8_t *const alpha = arena_alloc(l->arena, (size_t)m.width * (size_t)m.height);
    for (int y = 0; y < m.height; y++) {
        const size_t from = (size_t)(m.top + y) * (size_t)m.picture->width + (size_t)m.left,
                     to = (size_t)y * (size_t)m.width;
        memcpy(p->rgb + 3 * to, m.picture->rgb + 3 * from, 3 * (size_t)m.width);
        memcpy(alpha + to, m.alpha + from, (size_t)m.width);
    }
    c->picture = p;
    c->alpha = alpha;
    r->opaque = m.opaque;
    r->box = (Box){item->box.x + (float)m.left, item->box.y + (float)m.top, (float)m.width,
                   (float)m.height};
    return 0;
}

static bool is_flat(Arena *a, const Cut *c)
{
    const size_t n = (size_t)c->picture->width * (size_t)c->picture->height;
    const Gray g = {c->picture->width, c->picture->height, arena_alloc(a, n), arena_alloc(a, n)};
    for (size_t i = 0; i < n; i++) {
        const uint8_t *const rgb = c->picture->rgb + 3 * i;
        g.luma[i] = (uint8_t)lrint(0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]);
        g.mask[i] = c->alpha ? c->alpha[i] : 255;
    }
    return gray_is_flat(&g);
}

static int make_picture(Learning *l, int i, Error *e)
{
    const LearnItem *const item = &l->opt->item[i];
    Cut *const c = &l->cut[i];
    int code = 0;
    l->result[i] = (LearnResult){.box = item->box, .opaque = 1};
    if (item->from == item->last)
        c->picture = c->frame.at[0];
    else
        code = cut_still(l, i, e);
    if (code != 0)
        return code;
    l->result[i].frames = c->at.len;
    l->result[i].first = c->at.at[0];
    l->result[i].last = vec_last(&c->at);
    if (item->judged && is_flat(l->arena, c))
        return error_set(e, ERR_INVALID,
                         "%s: what the box shows is of one colour: it would be found nowhere",
                         item->name);
    return 0;
}

static int write_picture(const Learning *l, int i, Error *e)
{
    const char *const to = l->opt->item[i].to;
    const int code = file_make_dirs(path_dir(l->arena, to), e);
    return code == 0 ? picture_write_png_alpha(to, l->cut[i].picture, l->cut[i].alpha, e) : code;
}

/* ---- the second pass ---- */

/* What looks: for each item that is judged a signal with the new reference alone, none of whose
 * looks is spared. */
static const Watch *make_watch(Arena *a, const Learning *l, int *item)
{
    Watch *const w = arena_new_of(a, Watch);
    Region *const region = arena_array_of(a, l->opt->nitem + 1, Region);
    Signal *const signal = arena_array_of(a, l->opt->nitem + 1, Signal);
    *w = (Watch){.name = "learn",
                 .path = "learn",
                 .dir = ".",
                 .width = l->width,
                 .height = l->height,
                 .fps = 2,
                 .max_fps = 2,
                 .region = region,
                 .signal = signal};
    for (int i = 0; i < l->opt->nitem; i++) {
        const LearnItem *const from = &l->opt->item[i];
        if (!from->judged)
            continue;
        Reference *const ref = arena_new_of(a, Reference);
        *ref = (Reference){.path = from->to, .label = "it"};
        Signal *const s = &signal[w->nsignal];
        *s = from->signal;
        s->region = w->nsignal;
        s->max_age = 0;
        switch (s->kind) {
        case SIGNAL_ICON: s->icon.nref = 1, s->icon.ref = ref, s->icon.nother = 0; break;
        case SIGNAL_POSITION: s->position.nref = 1, s->position.ref = ref; break;
        default: s->screen.nref = 1, s->screen.ref = ref; break;
        }
        region[w->nsignal] = (Region){from->name, from->region};
        item[w->nsignal++] = i;
    }
    w->nregion = w->nsignal;
    return w;
}

static bool within(const LearnSpan *s, int n, int64_t t)
{
    for (int i = 0; i < n; i++)
        if (t >= s[i].from && t <= s[i].to)
            return true;
    return false;
}

static bool was_taken(const Cut *c, int64_t t)
{
    for (int i = 0; i < c->at.len; i++)
        if (c->at.at[i] == t)
            return true;
    return false;
}

static SampleShows shows(const LearnItem *item, const Cut *c, int64_t t)
{
    if (was_taken(c, t) || (item->last > item->from && t >= item->from && t <= item->last))
        return SHOWS_IT;
    return within(item->absent, item->nabsent, t) ? SHOWS_NOT : SHOWS_OPEN;
}

typedef VEC(SampleScore) Scores;

static int score_frames(Learning *l, Video *v, Observer *o, const Watch *w, const int *item,
                        Scores *scores, Error *e)
{
    int nwish;
    const Wish *const wish = make_wishes(l->arena, l->opt, &nwish); /* those frames, too */
    bool *const need = arena_array_of(l->arena, w->nsignal + 1, bool);
    Observation *const seen = arena_array_of(l->arena, w->nsignal + 1, Observation);
    memset(need, true, (size_t)w->nsignal * sizeof *need);
    const int64_t step = (int64_t)fmax(JUDGE_STEP, (double)video_duration(v) / JUDGE_SAMPLES);
    VideoFrame f = {.t = -1};
    for (int64_t grid = 0, i = 0;;) {
        while (i < nwish && wish[i].t <= f.t)
            i++;
        const bool soon = i < nwish && wish[i].t < grid;
        const int code = video_sample(v, soon ? wish[i].t : grid, &f, e);
        if (code <= 0 || f.epoch > 0)
            return code < 0 ? code : 0;
        if (stopped(l, e) != 0)
            return e->code;
        while (grid <= f.t)
            grid += step;
        observer_look(o, &f.picture, f.t, need, seen);
        for (int k = 0; k < w->nsignal; k++) {
            const bool known = seen[k].state == OBSERVE_SEEN && isfinite(seen[k].score);
            vec_push(l->arena, &scores[k],
                     ((SampleScore){f.t, shows(&l->opt->item[item[k]], &l->cut[item[k]], f.t),
                                    known ? seen[k].score : -1}));
        }
    }
}

static int judge(Learning *l, ObserveHost *host, Error *e)
{
    int *const item = arena_array_of(l->arena, l->opt->nitem + 1, int);
    const Watch *const w = make_watch(l->arena, l, item);
    Scores *const scores = arena_array_of(l->arena, w->nsignal + 1, Scores);
    Arena *const a = arena_new(); /* the observer ends before its host */
    Observer *o = NULL;
    Video *v = NULL;
    int code = w->nsignal > 0 ? observer_new(a, host, w, &o, e) : 0;
    if (code == 0 && o)
        code = video_open(l->opt->url, &(VideoOptions){0}, &v, e);
    if (code == 0 && o)
        code = score_frames(l, v, o, w, item, scores, e);
    for (int k = 0; k < w->nsignal && code == 0; k++) {
        if (observer_error(o, k)[0] != '\0')
            code = error_set(e, ERR_INVALID, "%s: %s", l->opt->item[item[k]].name,
                             observer_error(o, k));
        else
            l->result[item[k]].judged = separate_scores(l->arena, scores[k].len, scores[k].at);
    }
    video_close(v);
    arena_free(a);
    return code;
}

/* ---- all of it ---- */

static bool whole(float v) { return v == roundf(v); }

static int check_item(const Learning *l, int i, Error *e)
{
    const LearnItem *const item = &l->opt->item[i];
    const Box b = item->box, r = item->region;
    if (!(whole(b.x) && whole(b.y) && whole(b.width) && whole(b.height) && b.width >= 1 &&
          b.height >= 1))
        return error_set(e, ERR_INVALID, "%s: the box must be x,y,width,height in whole pixels",
                         item->name);
    if (b.x < 0 || b.y < 0 || b.x + b.width > (float)l->width || b.y + b.height > (float)l->height)
        return error_set(e, ERR_INVALID,
                         "%s: the box %g,%g,%g,%g lies outside the picture of %d x %d", item->name,
                         (double)b.x, (double)b.y, (double)b.width, (double)b.height, l->width,
                         l->height);
    const bool inside = b.x >= r.x && b.y >= r.y && b.x + b.width <= r.x + r.width &&
                        b.y + b.height <= r.y + r.height;
    if (item->judged && !inside)
        return error_set(e, ERR_INVALID,
                         "%s: the box %g,%g,%g,%g lies outside the region %g,%g,%g,%g where it "
                         "will be looked for",
                         item->name, (double)b.x, (double)b.y, (double)b.width, (double)b.height,
                         (double)r.x, (double)r.y, (double)r.width, (double)r.height);
    if (item->judged && item->signal.kind != SIGNAL_SCREEN &&
        (b.width > NCC_MAX_SIDE || b.height > NCC_MAX_SIDE))
        return error_set(e, ERR_UNSUPPORTED, "%s: an icon of %g x %g: at most %d pixels each way",
                         item->name, (double)b.width, (double)b.height, NCC_MAX_SIDE);
    if (item->from < 0 || item->last < item->from)
        return error_set(e, ERR_INVALID, "%s: the times must be from the first to the last",
                         item->name);
    if (!l->opt->replace && file_exists(item->to))
        return error_set(e, ERR_INVALID, "%s: %s is there already (--replace writes over it)",
                         item->name, item->to);
    for (int k = 0; k < i; k++)
        if (strcmp(l->opt->item[k].to, item->to) == 0)
            return error_set(e, ERR_INVALID, "%s: %s is named twice", item->name, item->to);
    return 0;
}

static int take_size(Learning *l, Video *v, Error *e)
{
    VideoFrame f;
    if (l->width > 0)
        return 0;
    const int code = video_sample(v, 0, &f, e);
    if (code <= 0)
        return code < 0 ? code : error_set(e, ERR_INVALID, "%s: no frame in it", l->opt->url);
    l->width = f.picture.width;
    l->height = f.picture.height;
    return 0;
}

int learn_size(const char *url, int *width, int *height, Error *e)
{
    Learning l = {.opt = &(LearnOptions){.url = url}};
    Video *v = NULL;
    if (!source_is_file(url))
        return error_set(e, ERR_INVALID, "%s: learning needs a stored video", url);
    int code = video_open(url, &(VideoOptions){0}, &v, e);
    if (code == 0)
        code = take_size(&l, v, e);
    video_close(v);
    *width = l.width;
    *height = l.height;
    return code;
}

int learn_run(Arena *a, ObserveHost *host, const LearnOptions *opt, LearnResult *out, Error *e)
{
    Learning l = {.arena = a,
                  .opt = opt,
                  .result = out,
                  .cut = arena_array_of(a, opt->nitem + 1, Cut),
                  .width = opt->width,
                  .height = opt->height};
    Video *v = NULL;
    int code = l.width > 0 ? 0 : learn_size(opt->url, &l.width, &l.height, e);
    if (code == 0 && !source_is_file(opt->url))
        code = error_set(e, ERR_INVALID, "%s: learning needs a stored video", opt->url);
    for (int i = 0; i < opt->nitem && code == 0; i++)
        code = check_item(&l, i, e);
    if (code == 0)
        code = check_size(opt, e);
    if (code == 0)
        code = video_open(opt->url, &(VideoOptions){0}, &v, e);
    if (code == 0)
        code = read_frames(&l, v, e);
    video_close(v);
    for (int i = 0; i < opt->nitem && code == 0; i++)
        code = make_picture(&l, i, e);
    for (int i = 0; i < opt->nitem && code == 0; i++)
        code = write_picture(&l, i, e);
    return code == 0 ? judge(&l, host, e) : code;
}
