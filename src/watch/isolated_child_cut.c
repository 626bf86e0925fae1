/* One part, or one reel, cut in a process of its own; then it ends. */
#include <string.h>

#include "base/heap.h"
#include "watch/cut_parts.h"
#include "watch/isolated_child.h"
#include "watch/isolated_cut.h"

typedef struct ChildCut {
    Arena *arena;
    ChildInput input;
    VEC(Packet) packet;
    StreamInfo *info[2]; /* of pictures, of sound; references */
    CutReport report;
    Error error;
} ChildCut;

static const char *get_path(ChildCut *c, WireIn *in)
{
    size_t n;
    const uint8_t *const at = wire_get_bytes(in, CUT_PATH - 1, &n);
    char *const text = arena_alloc(c->arena, n + 1);
    memcpy(text, at, n);
    text[n] = '\0';
    return text;
}

static CutPart get_part(ChildCut *c, WireIn *in)
{
    CutPart part = {.path = get_path(c, in)};
    part.from = wire_get(in);
    part.to = wire_get(in);
    part.at = wire_get(in);
    part.mode = (CutMode)wire_get_in(in, CUT_COPY, CUT_EXACT);
    return part;
}

/* ---- packets ---- */

static bool take_info(ChildCut *c, WireIn *in)
{
    StreamInfo *const info = wire_get_info(in);
    if (!info)
        return false;
    stream_info_unref(c->info[info->sound]);
    c->info[info->sound] = info;
    return wire_done(in);
}

static bool take_packet(ChildCut *c, WireIn *in)
{
    StreamInfo *const info = c->info[wire_get_flag(in)];
    Packet p = {.pts = wire_get(in)};
    p.dts = wire_get(in);
    p.av = wire_get_packet(in);
    if (!info || !p.av || !wire_done(in))
        return false;
    p.info = stream_info_ref(info);
    vec_push(c->arena, &c->packet, p);
    return true;
}

static bool say_give(void)
{
    Wire w = {0};
    wire_begin(&w, WIRE_GIVE);
    const bool good = child_send(&w);
    wire_free(&w);
    return good;
}

/* One after another, so that none wait on the way. */
static bool gather(ChildCut *c)
{
    for (bool asks = true;;) {
        WireIn in;
        if ((asks && !say_give()) || !child_receive(&c->input, &in))
            return false;
        if (in.kind == WIRE_END)
            return wire_done(&in);
        if (in.kind == WIRE_PACKET ? !take_packet(c, &in)
                                   : in.kind != WIRE_STREAM || !take_info(c, &in))
            return false;
        asks = in.kind == WIRE_PACKET;
    }
}

static bool cut_of_packets(ChildCut *c, WireIn *in, int *code)
{
    const CutPart part = get_part(c, in);
    if (!wire_done(in) || !gather(c))
        return false;
    const Packet **const list = arena_array_of(c->arena, c->packet.len + 1, const Packet *);
    for (int i = 0; i < c->packet.len; i++)
        list[i] = &c->packet.at[i];
    *code = cut_packets_to(ISOLATED_SHARED, c->packet.len, list, &part, &c->report, &c->error);
    return true;
}

/* ---- files ---- */

static bool cut_of_file(ChildCut *c, WireIn *in, int *code)
{
    const CutPart part = get_part(c, in);
    const char *const video = get_path(c, in);
    if (!wire_done(in))
        return false;
    *code = cut_file_to(ISOLATED_SHARED, video, &part, &c->report, &c->error);
    return true;
}

static bool cut_of_parts(ChildCut *c, WireIn *in, int *code)
{
    const char *const path = get_path(c, in);
    const int n = (int)wire_get_in(in, 0, INT32_MAX / (int)sizeof(ReelPart));
    VEC(ReelPart) part = {0};
    for (int i = 0; i < n && !in->bad; i++) {
        ReelPart p = {.path = get_path(c, in)};
        p.title = get_path(c, in);
        vec_push(c->arena, &part, p);
    }
    if (!wire_done(in))
        return false;
    *code = cut_reel_to(ISOLATED_SHARED, n, part.at, path, &c->report, &c->error);
    return true;
}

/* ---- the process ---- */

static void say_done(const ChildCut *c, int code)
{
    const CutReport *const r = &c->report;
    Wire w = {0};
    wire_begin(&w, WIRE_CUT_DONE);
    wire_int(&w, code);
    wire_line(&w, code != 0 ? c->error.message : "");
    wire_int(&w, r->from);
    wire_int(&w, r->duration);
    wire_int(&w, r->copied);
    wire_int(&w, r->encoded);
    wire_int(&w, r->mode);
    wire_text(&w, r->note);
    child_send(&w);
    wire_free(&w);
}

int child_cutter(void)
{
    ChildCut c = {.arena = arena_new()};
    WireIn in;
    int code = 0;
    av_log_set_level(AV_LOG_QUIET);
    if (!child_receive(&c.input, &in) || in.kind != WIRE_CUT)
        return 2;
    bool good = false;
    switch ((CutKind)wire_get_in(&in, CUT_OF_PACKETS, CUT_OF_PARTS)) {
    case CUT_OF_PACKETS: good = cut_of_packets(&c, &in, &code); break;
    case CUT_OF_FILE: good = cut_of_file(&c, &in, &code); break;
    case CUT_OF_PARTS: good = cut_of_parts(&c, &in, &code); break;
    }
    if (good)
        say_done(&c, code);
    return good ? 0 : 2;
}
