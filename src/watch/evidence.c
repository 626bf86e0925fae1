/* Evidence: parts of frames that are kept for a while, and files that are kept for longer. */
#include "watch/evidence.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/heap.h"
#include "base/map.h"
#include "vision/picture.h"
#include "watch/align.h"
#include "watch/bounded_folder.h"

enum { QUALITY = 80, NAME = 64 };
static const float MARGIN = 0.25f; /* of each side, on each side */

struct Evidence {
    BoundedFolder *folder;
    pthread_mutex_t lock;  /* guards what follows */
    EvidenceCounts counts; /* but for what the folder counts */
};

typedef struct Held { /* a part of a frame, as JPEG */
    int event, epoch;
    uint64_t key;
    int64_t t;
    uint8_t *jpeg;             /* heap */
    size_t size;
    bool wanted;
} Held;

struct EvidenceHold {
    Evidence *evidence;
    const Watch *watch;
    const Frame *frame;        /* NULL: none is looked at */
    FramePlace place;          /* in it, of the reference picture */
    int epoch;
    int64_t t;
    int n;
    size_t bytes;
    Held held[EVIDENCE_HELD];
    char name[2 * NAME];
};

/* ---- files ---- */

static void note_failure(Evidence *ev, const char *what)
{
    pthread_mutex_lock(&ev->lock);
    ev->counts.failures++;
    snprintf(ev->counts.error, sizeof ev->counts.error, "%.*s", (int)sizeof ev->counts.error - 1,
             what);
    pthread_mutex_unlock(&ev->lock);
}

/* Pictures are named by the ids of events. */
static bool is_id(const char *name)
{
    return strlen(name) == 16 && strspn(name, "0123456789abcdef") == 16;
}

static const FolderKind pictures = {.what = "evidence", .ending = {".jpg"}, .is_name = is_id};

static bool write_file(Evidence *ev, uint64_t id, const uint8_t *jpeg, size_t size)
{
    char name[20], path[4096];
    Error e;
    snprintf(name, sizeof name, "%016" PRIx64, id);
    snprintf(path, sizeof path, "%s/%s.jpg", folder_path(ev->folder), name);
    const FilePart part = {jpeg, size};
    /* Not synced: a crash of the machine may cost a picture, which is no event. */
    if (file_write_parts(path, 1, &part, false, &e) != 0) {
        note_failure(ev, e.message);
        return false;
    }
    pthread_mutex_lock(&ev->lock);
    ev->counts.written++;
    pthread_mutex_unlock(&ev->lock);
    folder_add(ev->folder, name);
    return true;
}

int evidence_open(const char *folder, int64_t max_bytes, Evidence **out, Error *e)
{
    if (!jpeg_can_encode())
        return error_set(e, ERR_UNSUPPORTED, "evidence: this program was built without libjpeg");
    Evidence *const ev = heap_alloc(sizeof *ev, 8);
    if (ev == NULL)
        return error_set(e, ERR_MEMORY, "evidence: out of memory");
    *ev = (Evidence){.folder = NULL};
    pthread_mutex_init(&ev->lock, NULL);
    int code = folder_open(folder, max_bytes, &pictures, &ev->folder, e);
    if (code == 0 && strlen(folder_name(ev->folder)) >= NAME)
        code = error_set(e, ERR_INVALID, "evidence: the name of the folder is too long: %.100s",
                         folder);
    if (code != 0)
        evidence_close(ev);
    else
        *out = ev;
    return code;
}

void evidence_close(Evidence *ev)
{
    if (ev == NULL)
        return;
    pthread_mutex_destroy(&ev->lock);
    folder_close(ev->folder);
    heap_free(ev);
}

EvidenceCounts evidence_counts(Evidence *ev)
{
    pthread_mutex_lock(&ev->lock);
    EvidenceCounts c = ev->counts;
    pthread_mutex_unlock(&ev->lock);
    const FolderCounts f = folder_counts(ev->folder);
    c.files = f.files;
    c.bytes = f.bytes;
    c.removed = f.removed;
    return c;
}

/* ---- parts of frames ---- */

static void drop_held(EvidenceHold *h, int i)
{
    h->bytes -= h->held[i].size;
    heap_free(h->held[i].jpeg);
    h->held[i] = h->held[--h->n];
}

static void drop_all(void *arg)
{
    EvidenceHold *const h = arg;
    while (h->n > 0)
        drop_held(h, h->n - 1);
}

EvidenceHold *evidence_hold_new(Arena *a, Evidence *ev, const Watch *w)
{
    EvidenceHold *const h = arena_new_of(a, EvidenceHold);
    h->evidence = ev;
    h->watch = w;
    arena_defer(a, drop_all, h);
    return h;
}

/* The part of the frame to be shown, in whole pixels: the box and a margin; all of it where there
 * is no box in it. */
static FrameBox shown(const EvidenceHold *h, Box b)
{
    const Frame *const f = h->frame;
    const FrameBox all = {0, 0, f->width, f->height};
    if (!(b.width > 0) || !(b.height > 0))
        return all;
    const float mx = MARGIN * b.width + 8, my = MARGIN * b.height + 8; /* reference pixels */
    const FrameBox at =
        place_box(&h->place, (Box){b.x - mx, b.y - my, b.width + 2 * mx, b.height + 2 * my});
    const double x0 = fmax(floor(at.x), 0), x1 = fmin(ceil(at.x + at.width), f->width);
    const double y0 = fmax(floor(at.y), 0), y1 = fmin(ceil(at.y + at.height), f->height);
    return x1 - x0 >= 1 && y1 - y0 >= 1 ? (FrameBox){x0, y0, x1 - x0, y1 - y0} : all;
}

typedef struct Encoding {
    const EvidenceHold *hold;
    Box box;
    uint8_t *jpeg; /* out, heap */
    size_t size;
} Encoding;

static void encode_job(Context *ctx, void *arg)
{
    Encoding *const c = arg;
    const Frame *const f = c->hold->frame;
    const FrameBox box = shown(c->hold, c->box);
    const double most = fmax(box.width, box.height),
                 shrink = most > EVIDENCE_SIDE ? EVIDENCE_SIDE / most : 1;
    const int width = (int)fmax(round(box.width * shrink), 1),
              height = (int)fmax(round(box.height * shrink), 1);
    Picture *const p = picture_new(ctx->arena, width, height);
    const FrameTensor t = {.data = p->rgb,
                           .dtype = DT_U8,
                           .order = FRAME_NHWC,
                           .width = width,
                           .height = height,
                           .channels = 3,
                           .row = (int64_t)width * 3,
                           .scale = {1, 1, 1}};
    const FrameFilter filter = shrink < 1 ? FRAME_AREA : FRAME_BILINEAR;
    void *const scratch =
        arena_alloc_aligned(ctx->arena, (size_t)frame_scratch(f, &box, filter, &t), 64);
    frame_to_tensor(f, &box, filter, &t, simd_level(), scratch);
    const uint8_t *jpeg;
    Error e;
    if (jpeg_encode(ctx->arena, p, QUALITY, &jpeg, &c->size, &e) != 0)
        fail(ctx, e.code, "%s", e.message);
    c->jpeg = heap_alloc(c->size, 1);
    if (c->jpeg == NULL)
        fail(ctx, ERR_MEMORY, "out of memory");
    memcpy(c->jpeg, jpeg, c->size);
}

static bool encode(const EvidenceHold *h, Box box, Encoding *out)
{
    Arena *const a = arena_try_new();
    Error e;
    *out = (Encoding){.hold = h, .box = box};
    const bool done = a != NULL && job_run(a, encode_job, out, &e, NULL) == 0;
    if (!done)
        note_failure(h->evidence, a ? e.message : "out of memory");
    arena_free(a);
    return done;
}

/* ---- what is kept ---- */

static uint64_t key_of(const char *key)
{
    return key ? hash_bytes(key, strlen(key), 0) : 0;
}

static int find_held(const EvidenceHold *h, int event, uint64_t key, int epoch, int64_t t)
{
    for (int i = 0; i < h->n; i++) {
        const Held *const one = &h->held[i];
        if (one->event == event && one->key == key && one->epoch == epoch && one->t == t)
            return i;
    }
    return -1;
}

void evidence_look(EvidenceHold *h, const Frame *f, const FramePlace *place, int epoch, int64_t t)
{
    h->frame = f;
    h->place = *place;
    h->epoch = epoch;
    h->t = t;
}

void evidence_looked(EvidenceHold *h, const Events *v)
{
    EventBest best[EVIDENCE_HELD];
    const int n = events_best(v, EVIDENCE_HELD, best);
    for (int i = 0; i < h->n; i++)
        h->held[i].wanted = false;
    bool fresh[EVIDENCE_HELD];
    for (int i = 0; i < n; i++) {
        const int at = find_held(h, best[i].event, key_of(best[i].key), h->epoch, best[i].t);
        fresh[i] = at < 0 && best[i].t == h->t;
        if (at >= 0)
            h->held[at].wanted = true;
    }
    for (int i = h->n - 1; i >= 0; i--)
        if (!h->held[i].wanted)
            drop_held(h, i);
    for (int i = 0; i < n && h->frame; i++) {
        Encoding c;
        if (!fresh[i] || h->n == EVIDENCE_HELD || h->bytes >= EVIDENCE_HELD_BYTES ||
            !encode(h, best[i].box, &c))
            continue;
        h->held[h->n++] = (Held){.event = best[i].event,
                                 .epoch = h->epoch,
                                 .key = key_of(best[i].key),
                                 .t = h->t,
                                 .jpeg = c.jpeg,
                                 .size = c.size};
        h->bytes += c.size;
    }
    h->frame = NULL;
}

static bool is_there(Evidence *ev, uint64_t id)
{
    char name[20];
    snprintf(name, sizeof name, "%016" PRIx64, id);
    return folder_has(ev->folder, name);
}

static void count_missing(Evidence *ev)
{
    pthread_mutex_lock(&ev->lock);
    ev->counts.missing++;
    pthread_mutex_unlock(&ev->lock);
}

const char *evidence_of(EvidenceHold *h, const EventRecord *r)
{
    Evidence *const ev = h->evidence;
    const int at =
        find_held(h, (int)(r->rule - h->watch->event), key_of(r->key), r->epoch, r->t_best);
    bool there = false;
    if (at >= 0) {
        there = write_file(ev, r->id, h->held[at].jpeg, h->held[at].size);
    } else if (h->frame && r->epoch == h->epoch && r->t_best == h->t) {
        Encoding c;
        if (encode(h, r->box, &c)) {
            there = write_file(ev, r->id, c.jpeg, c.size);
            heap_free(c.jpeg);
        }
    }
    if (!there && !is_there(ev, r->id)) { /* the start's may be */
        count_missing(ev);
        return NULL;
    }
    snprintf(h->name, sizeof h->name, "%s/%016" PRIx64 ".jpg", folder_name(ev->folder), r->id);
    return h->name;
}
