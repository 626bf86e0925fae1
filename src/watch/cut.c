/* A part: what is copied, and what is encoded anew.
 *
 * Pictures that are encoded anew carry their parameter sets in band, and so do copied keyframes
 * after them: a decoder follows from one to the other, whatever the head of the file says. */
#include "watch/cut.h"

#include <libavcodec/bsf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "watch/cut_parts.h"

static void cut_free(void *arg)
{
    Cut *const c = arg;
    CutPackets *const list[] = {&c->video.packet, &c->audio.packet, &c->fresh, &c->rest};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < list[i]->len; k++)
            av_packet_free(&list[i]->at[k]);
    avcodec_parameters_free(&c->video.par);
    avcodec_parameters_free(&c->audio.par);
}

/* Freed with its arena. */
static Cut *cut_new(int file, const CutPart *part, CutReport *out, Error *e)
{
    Arena *const a = arena_new();
    Cut *const c = arena_new_of(a, Cut);
    *out = (CutReport){0};
    *c = (Cut){.arena = a,
               .path = part->path,
               .file = file,
               .from = part->from,
               .to = part->to,
               .at = part->at,
               .report = out,
               .error = e};
    arena_defer(a, cut_free, c);
    return c;
}

int cut_out_of_memory(const Cut *c)
{
    return error_set(c->error, ERR_MEMORY, "%s: out of memory", c->path);
}

int cut_av_fail(const Cut *c, int code, int av, const char *what)
{
    char why[128];
    av_strerror(av, why, sizeof why);
    return error_set(c->error, code, "%s: %s: %s", c->path, what, why);
}

void cut_note(const Cut *c, const char *format, ...)
{
    char *const note = c->report->note;
    const size_t size = sizeof c->report->note, n = strlen(note);
    va_list args;
    va_start(args, format);
    char text[sizeof c->report->note];
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(note + n, size - n, "%s%s", n ? "; " : "", text);
}

int64_t cut_step(const Track *t)
{
    return t->rate.num > 0 && t->rate.den > 0 ? av_rescale(1000000, t->rate.den, t->rate.num)
                                              : 40000;
}

/* ---- what of it ---- */

int cut_key_before(const CutPackets *p, int64_t t)
{
    int found = -1;
    for (int i = 0; i < p->len; i++)
        if (cut_is_key(p->at[i]) && p->at[i]->pts <= t)
            found = i;
    return found;
}

void cut_drop_front(CutPackets *p, int n)
{
    if (n == 0)
        return;
    for (int i = 0; i < n; i++)
        av_packet_free(&p->at[i]);
    memmove(p->at, p->at + n, (size_t)(p->len - n) * sizeof *p->at);
    p->len -= n;
}

void cut_drop_behind(CutPackets *p, int n)
{
    while (p->len > n)
        av_packet_free(&p->at[--p->len]);
}

/* Decoding order: a picture before `to` may stand behind one after it. */
static void drop_end(CutPackets *p, int64_t to)
{
    while (p->len > 0 && p->at[p->len - 1]->pts >= to)
        av_packet_free(&p->at[--p->len]);
}

/* Leaves the packets from the keyframe on that the part begins with. */
static int choose(Cut *c)
{
    CutPackets *const p = &c->video.packet;
    int key = cut_key_before(p, c->from);
    for (int i = 0; i < p->len && key < 0; i++) /* the video begins within the part */
        if (cut_is_key(p->at[i]))
            key = i;
    cut_drop_front(p, key < 0 ? p->len : key);
    drop_end(p, c->to);
    bool shown = false;
    for (int i = 0; i < p->len; i++)
        shown = shown || (p->at[i]->pts >= c->from && p->at[i]->pts < c->to);
    if (!shown)
        return error_set(c->error, ERR_INVALID, "%s: no picture between %.3f and %.3f s", c->path,
                         (double)c->from * 1e-6, (double)c->to * 1e-6);
    CutPackets *const a = &c->audio.packet;
    int first = 0;
    while (first < a->len && a->at[first]->pts < c->from)
        first++;
    cut_drop_front(a, first);
    drop_end(a, c->to);
    return 0;
}

/* ---- the two ways ---- */

static int64_t end_of(const Cut *c, const CutPackets *p)
{
    int64_t end = c->from;
    for (int i = 0; i < p->len; i++) {
        const int64_t at =
            p->at[i]->pts + (p->at[i]->duration > 0 ? p->at[i]->duration : cut_step(&c->video));
        end = at > end && p->at[i]->pts < c->to ? at : end;
    }
    return end < c->to ? end : c->to;
}

static int write_part(const Cut *c, const AVCodecParameters *par, const CutPackets *video)
{
    c->report->from = c->from;
    c->report->duration = end_of(c, video) - c->from;
    return cut_write(c, par, video);
}

static int cut_copy(Cut *c)
{
    c->report->mode = CUT_COPY;
    c->report->copied = c->video.packet.len;
    return write_part(c, c->video.par, &c->video.packet);
}

/* Packets through a filter that puts parameter sets before each keyframe; *par: what they need
 * then. */
static int in_band(const Cut *c, const CutPackets *in, CutPackets *out, AVCodecParameters *par)
{
    const bool packed = c->video.par->extradata_size > 0 &&
                        c->video.par->extradata[0] == 1; /* avcC, hvcC: not as in a byte stream */
    const bool hevc = c->video.par->codec_id == AV_CODEC_ID_HEVC;
    AVBSFContext *filter = NULL;
    int code = av_bsf_alloc(av_bsf_get_by_name(!packed ? "dump_extra"
                                               : hevc  ? "hevc_mp4toannexb"
                                                       : "h264_mp4toannexb"),
                            &filter);
    if (code >= 0)
        code = avcodec_parameters_copy(filter->par_in, c->video.par);
    if (code >= 0) {
        filter->time_base_in = CUT_TICK;
        code = av_bsf_init(filter);
    }
    if (code >= 0)
        code = avcodec_parameters_copy(par, filter->par_out);
    for (int i = 0; i < in->len && code >= 0; i++) {
        AVPacket *p = av_packet_clone(in->at[i]);
        code = p ? av_bsf_send_packet(filter, p) : AVERROR(ENOMEM);
        if (code >= 0)
            code = av_bsf_receive_packet(filter, p);
        if (code >= 0)
            vec_push(c->arena, out, p);
        else
            av_packet_free(&p);
    }
    av_bsf_free(&filter);
    return code < 0 ? cut_av_fail(c, ERR_INVALID, code, "its parameter sets") : 0;
}

/* Where the copied ones begin: the first keyframe within the part; *behind: past the pictures that
 * come after it and are shown before it. Those refer to the GOP before, and are encoded anew, too.
 */
static int first_copied(const Cut *c, int *behind)
{
    const CutPackets *const p = &c->video.packet;
    int key = 0;
    while (key < p->len && !(cut_is_key(p->at[key]) && p->at[key]->pts >= c->from))
        key++;
    *behind = key < p->len ? key + 1 : key;
    while (*behind < p->len && p->at[*behind]->pts < p->at[key]->pts)
        ++*behind;
    return key;
}

/* Where the copied ones end: the last place that pictures do not cross, if behind it stands one
 * that is not in the part. Such a one is there because pictures of the part refer to it; these are
 * encoded anew, without it. */
static int end_copied(const Cut *c, int first)
{
    const CutPackets *const p = &c->video.packet;
    bool beyond = false;
    int64_t earliest = INT64_MAX;
    for (int i = p->len - 1; i > first; i--) {
        beyond = beyond || p->at[i]->pts >= c->to;
        earliest = p->at[i]->pts < earliest ? p->at[i]->pts : earliest;
        int64_t latest = INT64_MIN;
        for (int k = first; k < i && beyond; k++)
            latest = p->at[k]->pts > latest ? p->at[k]->pts : latest;
        if (beyond && latest < earliest)
            return i;
    }
    return beyond ? first : p->len;
}

static int encode(Cut *c, int n, int64_t from, int64_t to, int64_t delay)
{
    const int before = c->fresh.len;
    const CutEncode job = {.name = c->path,
                           .par = c->video.par,
                           .rate = c->video.rate,
                           .n = n,
                           .packet = c->video.packet.at,
                           .from = from,
                           .to = to,
                           .delay = delay};
    const int code = from < to ? cut_encode(c->arena, &job, &c->fresh, c->error) : 0;
    c->report->encoded += c->fresh.len - before;
    return code;
}

/* The copied packets, with parameter sets that put an end to those of what was encoded anew. */
static int copy_middle(Cut *c, int key, int behind, int end, AVCodecParameters *par)
{
    CutPackets copied = {0};
    for (int i = key; i < end; i++)
        if (i == key || i >= behind)
            vec_push(c->arena, &copied, c->video.packet.at[i]);
    c->report->copied = copied.len;
    const int code = in_band(c, &copied, &c->rest, par);
    for (int i = 0; i < c->rest.len; i++)
        vec_push(c->arena, &c->fresh, c->rest.at[i]);
    c->rest.len = 0; /* the other list's now */
    return code;
}

static int64_t earliest_from(const CutPackets *p, int i)
{
    int64_t t = INT64_MAX;
    for (; i < p->len; i++)
        t = p->at[i]->pts < t ? p->at[i]->pts : t;
    return t;
}

/* Encoded anew, copied, encoded anew: each of the three may be empty. */
static int write_exact(Cut *c, int key, int behind, AVCodecParameters *par)
{
    const CutPackets *const p = &c->video.packet;
    const int end = key < p->len ? end_copied(c, key) : key;
    const bool copies = end > key;
    int code = encode(c, behind, c->from, copies ? p->at[key]->pts : c->to,
                      copies ? p->at[key]->pts - p->at[key]->dts : 0);
    if (code == 0)
        code = copy_middle(c, key, behind, end, par);
    if (code == 0 && copies && end < p->len)
        code = encode(c, p->len, earliest_from(p, end), c->to,
                      earliest_from(p, end) - p->at[end]->dts);
    return code == 0 ? write_part(c, par, &c->fresh) : code;
}

static int cut_exact(Cut *c)
{
    int behind;
    const int key = first_copied(c, &behind);
    c->report->mode = CUT_EXACT;
    if (key == 0 && behind == 1 && end_copied(c, 0) == c->video.packet.len) { /* as it is */
        c->report->copied = c->video.packet.len;
        return write_part(c, c->video.par, &c->video.packet);
    }
    AVCodecParameters *par = avcodec_parameters_alloc();
    const int code = par ? write_exact(c, key, behind, par) : cut_out_of_memory(c);
    avcodec_parameters_free(&par);
    return code;
}

/* Once packets were gathered. */
static int cut(Cut *c, CutMode mode)
{
    int code = cut_keep_run(c);
    if (code == 0)
        code = choose(c);
    if (code != 0)
        return code;
    return mode == CUT_EXACT && cut_can_encode(c->video.par->codec_id) ? cut_exact(c) : cut_copy(c);
}

static int check_times(const Cut *c)
{
    if (c->to > c->from && c->to - c->from <= CUT_MAX_TIME)
        return 0;
    return error_set(c->error, ERR_INVALID, "%s: from %.3f to %.3f s is no part (an hour at most)",
                     c->path, (double)c->from * 1e-6, (double)c->to * 1e-6);
}

int cut_packets_to(int file, int n, const Packet *const *packet, const CutPart *part,
                   CutReport *out, Error *e)
{
    Cut *const c = cut_new(file, part, out, e);
    int code = check_times(c);
    if (code == 0)
        code = cut_read_packets(c, n, packet);
    if (code == 0)
        code = cut(c, part->mode);
    arena_free(c->arena);
    return code;
}

int cut_file_to(int file, const char *video, const CutPart *part, CutReport *out, Error *e)
{
    Cut *const c = cut_new(file, part, out, e);
    int code = check_times(c);
    if (code == 0)
        code = cut_read_file(c, video);
    if (code == 0)
        code = cut(c, part->mode);
    arena_free(c->arena);
    return code;
}
