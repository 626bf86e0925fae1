/* Which packets one file can hold: those of one size and one way of encoding, by a clock that goes
 * on.
 *
 *     640x360        | 320x180          a keyframe says what follows it is like:
 *     K . . . K . .  | K . . . .        by its own parameter sets, or by what the
 *          from^     ^ to               container hands on beside it
 *
 * One packet alone whose time is far from both its neighbours' is damage, and goes. */
#include <libavcodec/bsf.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "watch/cut_parts.h"
#include "watch/video.h"

typedef struct Run { /* packets first..end; pictures lo <= t < hi */
    int first, end;
    int64_t lo, hi;
    int width, height; /* 0: not known */
    const uint8_t *extra; /* the container's; NULL: what it said at its beginning */
    size_t extra_size;
    const char *why; /* it does not go on from the one before */
} Run;

typedef struct Scan {
    Cut *cut;
    AVCodecParserContext *parser; /* NULL: none for this codec: it is taken as one */
    AVCodecContext *codec;
    VEC(Run) run;
} Scan;

/* ---- what a keyframe says ---- */

static void close_parser(Scan *s)
{
    av_parser_close(s->parser);
    avcodec_free_context(&s->codec);
    s->parser = NULL;
}

static int open_parser(Scan *s, const uint8_t *extra, size_t size)
{
    const AVCodecParameters *const par = s->cut->video.par;
    close_parser(s);
    s->codec = avcodec_alloc_context3(NULL);
    if (!s->codec || avcodec_parameters_to_context(s->codec, par) < 0)
        return cut_out_of_memory(s->cut);
    if (extra) {
        av_freep(&s->codec->extradata);
        s->codec->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
        s->codec->extradata_size = s->codec->extradata ? (int)size : 0;
        if (!s->codec->extradata)
            return cut_out_of_memory(s->cut);
        memcpy(s->codec->extradata, extra, size);
    }
    s->parser = av_parser_init((int)par->codec_id);
    if (s->parser)
        s->parser->flags |= PARSER_FLAG_COMPLETE_FRAMES;
    return 0;
}

static void read_size(Scan *s, const AVPacket *p, int *width, int *height)
{
    uint8_t *out;
    int size;
    if (!s->parser)
        return;
    s->parser->width = s->parser->height = 0;
    av_parser_parse2(s->parser, s->codec, &out, &size, p->data, p->size, p->pts, p->dts, 0);
    *width = s->parser->width > 0 ? s->parser->width : *width;
    *height = s->parser->height > 0 ? s->parser->height : *height;
}

static const uint8_t *new_extra(const AVPacket *p, size_t *size)
{
    const uint8_t *const at = av_packet_get_side_data(p, AV_PKT_DATA_NEW_EXTRADATA, size);
    return at && *size > 0 && *size < INT_MAX / 2 ? at : NULL;
}

static bool same_extra(const Run *r, const Cut *c, const uint8_t *extra, size_t size)
{
    const uint8_t *const before = r->extra ? r->extra : c->video.par->extradata;
    const size_t n = r->extra ? r->extra_size : (size_t)c->video.par->extradata_size;
    return n == size && memcmp(before, extra, n) == 0;
}

/* ---- runs ---- */

static void begin_run(Scan *s, int first, const Run *like, const char *why)
{
    Run r = like ? *like : (Run){0};
    r.first = first;
    r.lo = INT64_MAX;
    r.hi = INT64_MIN;
    r.why = why;
    vec_push(s->cut->arena, &s->run, r);
}

/* A keyframe: another run, if it is of another kind. */
static int look_at_key(Scan *s, int i)
{
    Cut *const c = s->cut;
    const AVPacket *const p = c->video.packet.at[i];
    const Run now = vec_last(&s->run);
    Run next = now;
    size_t size;
    const uint8_t *const extra = new_extra(p, &size);
    const bool other = extra && !same_extra(&now, c, extra, size);
    if (other) {
        next.extra = extra;
        next.extra_size = size;
        const int code = open_parser(s, extra, size);
        if (code != 0)
            return code;
    }
    read_size(s, p, &next.width, &next.height);
    const bool resized = next.width != now.width || next.height != now.height;
    if (i == now.first || now.width == 0) {
        next.first = now.first;
        vec_last(&s->run) = next;
    } else if (resized) {
        begin_run(s, i, &next,
                  arena_printf(c->arena, "pictures of %dx%d become %dx%d", now.width, now.height,
                               next.width, next.height));
    } else if (other) {
        begin_run(s, i, &next, "pictures are encoded otherwise");
    }
    return 0;
}

static bool jumps(const Cut *c, const AVPacket *before, const AVPacket *p)
{
    return p->dts < before->dts - cut_step(&c->video) || p->dts > before->dts + VIDEO_JUMP;
}

/* Packets alone in their time. */
static void drop_damaged(const Cut *c, CutPackets *p)
{
    int n = 0;
    for (int i = 0; i < p->len; i++) {
        const bool alone = n > 0 && i + 1 < p->len && jumps(c, p->at[n - 1], p->at[i]) &&
                           !jumps(c, p->at[n - 1], p->at[i + 1]);
        if (alone)
            av_packet_free(&p->at[i]);
        else
            p->at[n++] = p->at[i];
    }
    p->len = n;
}

static int find_runs(Scan *s)
{
    Cut *const c = s->cut;
    CutPackets *const p = &c->video.packet;
    drop_damaged(c, p);
    int code = open_parser(s, NULL, 0);
    for (int i = 0; i < p->len && code == 0; i++) {
        if (i == 0)
            begin_run(s, 0, NULL, NULL);
        else if (jumps(c, p->at[i - 1], p->at[i]))
            begin_run(s, i, &vec_last(&s->run), "its clock jumps");
        if (cut_is_key(p->at[i]))
            code = look_at_key(s, i);
        Run *const r = &vec_last(&s->run);
        const int64_t end = p->at[i]->pts + cut_step(&c->video);
        r->end = i + 1;
        r->lo = p->at[i]->pts < r->lo ? p->at[i]->pts : r->lo;
        r->hi = end > r->hi ? end : r->hi;
    }
    return code;
}

/* The first one that holds `at`, else the first that holds anything of the part; -1: none does. */
static int choose_run(const Scan *s)
{
    const Cut *const c = s->cut;
    for (int i = 0; i < s->run.len; i++)
        if (s->run.at[i].lo <= c->at && c->at < s->run.at[i].hi)
            return i;
    for (int i = 0; i < s->run.len; i++)
        if (s->run.at[i].lo < c->to && c->from < s->run.at[i].hi)
            return i;
    return -1;
}

/* ---- what the file says of them ---- */

static int set_extra(Cut *c, const uint8_t *at, size_t size)
{
    uint8_t *const copy = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!copy)
        return cut_out_of_memory(c);
    memcpy(copy, at, size);
    av_freep(&c->video.par->extradata);
    c->video.par->extradata = copy;
    c->video.par->extradata_size = (int)size;
    return 0;
}

/* The parameter sets that stand in a keyframe. */
static int extract_extra(Cut *c, const AVPacket *key)
{
    AVBSFContext *filter = NULL;
    AVPacket *p = av_packet_clone(key);
    int code = p ? av_bsf_alloc(av_bsf_get_by_name("extract_extradata"), &filter) : AVERROR(ENOMEM);
    if (code >= 0)
        code = avcodec_parameters_copy(filter->par_in, c->video.par);
    if (code >= 0)
        code = av_bsf_init(filter);
    if (code >= 0)
        code = av_bsf_send_packet(filter, p);
    if (code >= 0)
        code = av_bsf_receive_packet(filter, p);
    size_t size = 0;
    const uint8_t *const extra = code >= 0 ? new_extra(p, &size) : NULL;
    code = extra ? set_extra(c, extra, size)
                 : 0; /* else none stand there: those of the container are good */
    av_packet_free(&p);
    av_bsf_free(&filter);
    return code;
}

static int describe(Cut *c, const Run *r)
{
    AVCodecParameters *const par = c->video.par;
    const bool resized = r->width > 0 && (r->width != par->width || r->height != par->height);
    if (resized) {
        par->width = r->width;
        par->height = r->height;
    }
    if (r->extra)
        return set_extra(c, r->extra, r->extra_size);
    for (int i = r->first; resized && i < r->end; i++)
        if (cut_is_key(c->video.packet.at[i]))
            return extract_extra(c, c->video.packet.at[i]);
    return 0;
}

static void narrow(Cut *c, const Scan *s, int at)
{
    const Run *const r = &s->run.at[at];
    const bool before = at > 0 && c->from < r->lo && s->run.at[at - 1].hi > c->from;
    const Run *const next = at + 1 < s->run.len && c->to > r->hi ? r + 1 : NULL;
    if (before)
        cut_note(c, "begins %.3f s later: %s there", (double)(r->lo - c->from) * 1e-6, r->why);
    if (next)
        cut_note(c, "ends %.3f s earlier: %s there", (double)(c->to - r->hi) * 1e-6, next->why);
    c->from = c->from > r->lo ? c->from : r->lo;
    c->to = next ? r->hi : c->to;
}

int cut_keep_run(Cut *c)
{
    Scan s = {.cut = c};
    int code = c->video.packet.len > 0 ? find_runs(&s) : 0;
    const int at = code == 0 ? choose_run(&s) : -1;
    if (at >= 0) {
        const Run r = s.run.at[at];
        code = describe(c, &r);
        narrow(c, &s, at);
        cut_drop_behind(&c->video.packet, r.end);
        cut_drop_front(&c->video.packet, r.first);
    }
    close_parser(&s);
    return code;
}
