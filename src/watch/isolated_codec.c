/* The service's side of a codec in a process of its own: requests, each answered once and in order,
 * and what came of them. */
#include "watch/isolated_codec.h"

#include <errno.h>
#include <fcntl.h>
#include <libavutil/imgutils.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/heap.h"
#include "sched/clock.h"

#define SLOTS 3   /* frames that are referenced at once, and one to be written */
#define NEWS 16   /* that wait to be received: of the few requests under way */
#define ASKED 256 /* requests that are not answered yet */
#define ANSWERS 256 /* between two packets: no codec holds back as many frames */

typedef struct Area { /* of the shared memory: slots of one size */
    int refs;         /* the codec, and frames in it */
    int file;         /* a descriptor of its own */
    uint8_t *at;
    int64_t offset, slot;
    bool used[SLOTS];
} Area;

typedef struct Slot { /* what a frame holds of it */
    Area *area;
    int i;
} Slot;

typedef struct CodecNews {
    CodecResult what;
    AVFrame *frame;
} CodecNews;

struct IsolatedCodec {
    CodecOptions opt;
    bool sound;
    Isolated *process;
    int file;             /* the shared memory */
    int64_t end;          /* its size */
    Area *area;           /* NULL: no frame was brought yet */
    int asked, stale;     /* answers that are to come; of these, those that came to be of no use */
    uint8_t kind[ASKED];  /* what was asked, WireKind; the first one's place */
    int place;
    int answers;          /* since the last packet */
    int64_t since;        /* when the last one came, or the first of them was asked for, us */
    CodecNews news[NEWS];
    int first, n;
    CodecResult then;     /* behind all news; CODEC_FRAME: it has to be asked */
    int written;          /* answer about pixels: -1: not yet */
    bool failed, crashed;
    Error why;
};

/* ---- the shared memory ---- */

static void area_unref(Area *a)
{
    if (!a || --a->refs > 0)
        return;
    munmap(a->at, (size_t)(SLOTS * a->slot));
    (void)!fallocate(a->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, a->offset,
                     SLOTS * a->slot);
    close(a->file);
    heap_free(a);
}

static void slot_free(void *opaque, uint8_t *data)
{
    Slot *const s = opaque;
    (void)data;
    s->area->used[s->i] = false;
    area_unref(s->area);
    heap_free(s);
}

static int no_memory(const IsolatedCodec *c, int why, Error *e)
{
    return error_set(e, ERR_MEMORY, "%s: no memory for its pictures: %s", c->opt.name,
                     strerror(why));
}

/* An area with slots for so much, behind those that there are. */
static int grow(IsolatedCodec *c, int64_t bytes, Error *e)
{
    const int64_t page = 64 << 10, least = c->area ? 2 * c->area->slot : 0;
    /* behind a frame's last row there is as much as readers of whole vectors may touch */
    const int64_t room = (bytes > least ? bytes : least) + CODEC_ALIGN;
    const int64_t slot = (room + page - 1) / page * page;
    Area *const a = heap_alloc(sizeof *a, 16);
    if (!a)
        return no_memory(c, ENOMEM, e);
    *a = (Area){
        .refs = 1, .file = fcntl(c->file, F_DUPFD_CLOEXEC, 3), .offset = c->end, .slot = slot};
    void *at = MAP_FAILED;
    if (a->file >= 0 && ftruncate(c->file, c->end + SLOTS * slot) == 0)
        at = mmap(NULL, (size_t)(SLOTS * slot), PROT_READ, MAP_SHARED, c->file, c->end);
    if (at == MAP_FAILED) {
        const int why = errno;
        if (a->file >= 0)
            close(a->file);
        heap_free(a);
        return no_memory(c, why, e);
    }
    a->at = at;
    c->end += SLOTS * slot;
    area_unref(c->area);
    c->area = a;
    return 0;
}

/* A slot for the frame's pixels, referenced by it. */
static int take_slot(IsolatedCodec *c, AVFrame *f, int64_t bytes, int64_t *at, Error *e)
{
    int i = 0;
    *at = 0;
    while (c->area && i < SLOTS && c->area->used[i])
        i++;
    if (!c->area || c->area->slot < bytes || i == SLOTS) {
        const int code = grow(c, bytes, e);
        if (code != 0)
            return code;
        i = 0;
    }
    Area *const a = c->area;
    Slot *const s = heap_alloc(sizeof *s, 16);
    if (s)
        *s = (Slot){a, i};
    f->buf[0] = s ? av_buffer_create(a->at + i * a->slot, (size_t)bytes, slot_free, s,
                                     AV_BUFFER_FLAG_READONLY)
                  : NULL;
    if (!f->buf[0]) {
        heap_free(s);
        return error_set(e, ERR_MEMORY, "%s: out of memory", c->opt.name);
    }
    a->used[i] = true;
    a->refs++;
    *at = a->offset + i * a->slot;
    return 0;
}

/* ---- the process ---- */

static void fail_as(IsolatedCodec *c, int code, const char *what, bool crashed)
{
    if (!c->failed)
        error_set(&c->why, code, "%s", what);
    c->crashed = c->crashed || (crashed && !c->failed);
    c->failed = true;
}

static void crash(IsolatedCodec *c)
{
    char text[512];
    snprintf(text, sizeof text, "%.300s: the process that decodes its %s: %s", c->opt.name,
             c->sound ? "sound" : "pictures", isolated_why(c->process));
    fail_as(c, ERR_IO, text, true);
}

static void impossible(IsolatedCodec *c)
{
    isolated_kill(c->process, "what it says cannot be");
    crash(c);
}

static Wire *ask(IsolatedCodec *c, WireKind kind)
{
    if (c->asked == ASKED) {
        isolated_kill(c->process, "it does not keep up");
        crash(c);
    } else {
        if (c->asked == 0)
            c->since = machine_now();
        c->kind[(c->place + c->asked++) % ASKED] = (uint8_t)kind;
    }
    return isolated_message(c->process, kind);
}

static void push(IsolatedCodec *c, CodecResult what, AVFrame *frame)
{
    if (c->n == NEWS) {
        av_frame_free(&frame);
        impossible(c);
        return;
    }
    c->news[(c->first + c->n++) % NEWS] = (CodecNews){what, frame};
}

static void forget(IsolatedCodec *c)
{
    for (int i = 0; i < c->n; i++)
        av_frame_free(&c->news[(c->first + i) % NEWS].frame);
    c->n = 0;
}

/* What a codec says of itself is bounded by what it was given: it cannot keep a caller busy. */
static void take_result(IsolatedCodec *c, WireIn *in, WireKind asked, bool stale)
{
    const bool refused = wire_get_flag(in), some = wire_get_flag(in);
    AVFrame *frame = some ? av_frame_alloc() : NULL;
    int64_t number = 0;
    const bool good = !some || (frame && wire_get_frame(in, frame, c->sound, &number));
    const CodecResult then = (CodecResult)wire_get_in(in, CODEC_FRAME, CODEC_DAMAGED);
    const bool fits = (!refused || asked == WIRE_DECODE) && (frame || then != CODEC_FRAME);
    if (!good || !wire_done(in) || !fits || ++c->answers > ANSWERS) {
        av_frame_free(&frame);
        impossible(c);
        return;
    }
    if (stale) {
        av_frame_free(&frame);
        return;
    }
    if (refused)
        push(c, CODEC_REFUSED, NULL);
    if (frame) {
        frame->opaque = (void *)(intptr_t)number;
        push(c, CODEC_FRAME, frame);
    }
    if (then == CODEC_DAMAGED)
        push(c, CODEC_DAMAGED, NULL);
    c->then = then == CODEC_DAMAGED ? CODEC_FRAME : then;
}

static void take_opened(IsolatedCodec *c, WireIn *in)
{
    char text[WIRE_TEXT], line[WIRE_TEXT + 300];
    const int code = (int)wire_get_in(in, ERR_INTERNAL, ERR_OK);
    wire_get_text(in, text, sizeof text);
    snprintf(line, sizeof line, "%.250s: %s", c->opt.name, text);
    if (!wire_done(in))
        impossible(c);
    else if (code != 0)
        fail_as(c, code, line, false);
}

static WireKind answer_to(WireKind asked)
{
    return asked == WIRE_OPEN ? WIRE_OPENED : asked == WIRE_PICTURE ? WIRE_WRITTEN : WIRE_RESULT;
}

static void take_message(IsolatedCodec *c, WireIn *in)
{
    const WireKind asked = (WireKind)c->kind[c->place];
    c->since = machine_now();
    if (c->asked == 0 || in->kind != answer_to(asked)) {
        impossible(c);
        return;
    }
    const bool stale = c->stale > 0;
    c->asked--;
    c->place = (c->place + 1) % ASKED;
    c->stale -= stale;
    switch (asked) {
    case WIRE_OPEN: take_opened(c, in); break;
    case WIRE_PICTURE:
        c->written = wire_get_flag(in);
        if (!wire_done(in))
            impossible(c);
        break;
    default: take_result(c, in, asked, stale);
    }
}

/* Takes one message if there is one, waiting for us at most. False: there is none, or it failed. */
static bool pump(IsolatedCodec *c, int64_t us)
{
    WireIn in;
    if (c->failed)
        return false;
    switch (isolated_poll(c->process, us, &in)) {
    case ISOLATED_MESSAGE: take_message(c, &in); return !c->failed;
    case ISOLATED_DEAD: crash(c); return false;
    case ISOLATED_NOTHING: break;
    }
    if (c->asked > 0 && machine_now() - c->since > ISOLATED_ANSWER) {
        isolated_kill(c->process, "it hangs");
        crash(c);
    }
    return false;
}

/* ---- as codec.h has it ---- */

int isolated_codec_new(StreamInfo *info, const CodecOptions *opt, IsolatedCodec **out, Error *e)
{
    IsolatedCodec *const c = heap_alloc(sizeof *c, 16);
    if (!c)
        return error_set(e, ERR_MEMORY, "%s: out of memory", opt->name);
    *c = (IsolatedCodec){.opt = *opt, .sound = info->sound, .then = CODEC_NEEDS};
    c->file = memfd_create("lathe frames", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int code = 0;
    if (c->file < 0 || fcntl(c->file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        code = no_memory(c, errno, e);
    if (code == 0)
        code = isolated_start(ISOLATED_CODEC, opt->name, info->isolate, c->file, &c->process, e);
    if (code != 0) {
        isolated_codec_free(c);
        return code;
    }
    Wire *const w = ask(c, WIRE_OPEN);
    wire_int(w, opt->keyframes);
    wire_info(w, info);
    isolated_post(c->process);
    *out = c;
    return 0;
}

void isolated_codec_free(IsolatedCodec *c)
{
    if (!c)
        return;
    forget(c);
    isolated_close(c->process, 0);
    area_unref(c->area);
    if (c->file >= 0)
        close(c->file);
    heap_free(c);
}

static void decode(IsolatedCodec *c, const AVPacket *p, bool drain, int64_t number,
                   enum AVDiscard skip)
{
    Wire *const w = ask(c, WIRE_DECODE);
    c->answers = 0;
    wire_int(w, drain);
    wire_int(w, p != NULL);
    wire_int(w, skip);
    wire_int(w, number);
    if (p)
        wire_packet(w, p);
    isolated_post(c->process);
}

CodecTake isolated_codec_send(IsolatedCodec *c, const AVPacket *p, int64_t number,
                              enum AVDiscard skip)
{
    if (c->failed)
        return CODEC_TAKEN;
    if (c->n > 0 || c->asked > c->stale || c->then == CODEC_FRAME)
        return CODEC_FULL;
    decode(c, p, false, number, skip);
    return CODEC_TAKEN;
}

void isolated_codec_drain(IsolatedCodec *c)
{
    if (!c->failed)
        decode(c, NULL, true, 0, AVDISCARD_DEFAULT);
}

void isolated_codec_flush(IsolatedCodec *c)
{
    if (c->failed)
        return;
    forget(c);
    ask(c, WIRE_FLUSH);
    isolated_post(c->process);
    c->stale = c->asked;
    c->then = CODEC_NEEDS;
}

CodecResult isolated_codec_receive(IsolatedCodec *c, AVFrame *out, int64_t patience)
{
    const int64_t until = machine_now() + patience;
    av_frame_unref(out);
    while (c->n == 0 && !c->failed) {
        if (c->asked == 0 && c->then != CODEC_FRAME)
            return c->then;
        if (c->asked == 0) {
            ask(c, WIRE_NEXT);
            isolated_post(c->process);
        }
        const int64_t left = until - machine_now();
        const bool came = pump(c, left > 0 ? left : 0), wants = c->asked > 0 || c->then == CODEC_FRAME;
        if (left <= 0 && c->n == 0 && !c->failed && (wants || !came))
            return CODEC_BUSY;
    }
    if (c->failed)
        return CODEC_FAILED;
    CodecNews *const news = &c->news[c->first];
    c->first = (c->first + 1) % NEWS;
    c->n--;
    if (news->frame) {
        av_frame_move_ref(out, news->frame);
        av_frame_free(&news->frame);
    }
    return news->what;
}

/* Asks for the pixels of a frame, to this place, and waits for them. */
static int bring(IsolatedCodec *c, const AVFrame *f, int64_t at, int64_t bytes, Error *e)
{
    Wire *const w = ask(c, WIRE_PICTURE);
    wire_int(w, (intptr_t)f->opaque);
    wire_int(w, at);
    wire_int(w, bytes);
    isolated_post(c->process);
    c->written = -1;
    const int64_t until = machine_now() + ISOLATED_PIXELS;
    for (int64_t left = ISOLATED_PIXELS; c->written < 0 && !c->failed; left = until - machine_now()) {
        if (left > 0) {
            pump(c, left);
            continue;
        }
        isolated_kill(c->process, "it hangs");
        crash(c);
    }
    if (!c->failed && c->written == 0)
        impossible(c);
    if (c->failed)
        *e = c->why;
    return c->failed ? c->why.code : 0;
}

/* From where it came over into a frame of our own: of many channels each is a plane. */
static int take_sound(const IsolatedCodec *c, AVFrame *f, const AVBufferRef *from, Error *e)
{
    uint8_t *plane[64];
    int stride;
    if (av_frame_get_buffer(f, 0) < 0)
        return error_set(e, ERR_MEMORY, "%s: out of memory", c->opt.name);
    av_samples_fill_arrays(plane, &stride, from->data, f->ch_layout.nb_channels, f->nb_samples,
                           f->format, 1);
    av_samples_copy(f->extended_data, plane, 0, 0, f->nb_samples, f->ch_layout.nb_channels,
                    f->format);
    return 0;
}

static int bring_sound(IsolatedCodec *c, AVFrame *f, int64_t bytes, Error *e)
{
    int64_t at;
    AVFrame *holder = av_frame_alloc();
    int code = holder ? take_slot(c, holder, bytes, &at, e)
                      : error_set(e, ERR_MEMORY, "%s: out of memory", c->opt.name);
    if (code == 0)
        code = bring(c, f, at, bytes, e);
    if (code == 0)
        code = take_sound(c, f, holder->buf[0], e);
    av_frame_free(&holder);
    return code;
}

static int bring_picture(IsolatedCodec *c, AVFrame *f, int64_t bytes, Error *e)
{
    int64_t at;
    int code = take_slot(c, f, bytes, &at, e);
    if (code == 0)
        code = bring(c, f, at, bytes, e);
    if (code == 0)
        av_image_fill_arrays(f->data, f->linesize, f->buf[0]->data, f->format, f->width, f->height,
                             CODEC_ALIGN);
    else
        av_buffer_unref(&f->buf[0]);
    return code;
}

int isolated_codec_pixels(IsolatedCodec *c, AVFrame *f, Error *e)
{
    if (f->buf[0])
        return 0;
    if (c->failed) {
        *e = c->why;
        return e->code;
    }
    const int64_t bytes = frame_bytes(f, c->sound);
    if (bytes <= 0)
        return error_set(e, ERR_UNSUPPORTED, "%s: %s of format %d", c->opt.name,
                         c->sound ? "sound" : "pixels", f->format);
    return c->sound ? bring_sound(c, f, bytes, e) : bring_picture(c, f, bytes, e);
}

bool isolated_codec_crashed(const IsolatedCodec *c, Error *e)
{
    *e = c->why;
    return c->crashed;
}

double isolated_codec_cpu(const IsolatedCodec *c)
{
    return c->process ? isolated_cpu(c->process) : 0;
}
