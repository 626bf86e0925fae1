/* The service's side of cutting: what is asked, what is given, and how long that may take. */
#include "watch/isolated_cut.h"

#include <string.h>
#include <sys/stat.h>

#include "sched/clock.h"

#define LOOK 50000              /* us after which it is looked how it does */
#define STANDS 30000000         /* us without computing, saying or writing anything: it hangs */
#define CPU_LEAST 30.0          /* seconds of processor time of any work .. */
#define CPU_EACH 5.0            /* .. and for each second of a part: all of it encoded anew */
#define BYTES_LEAST (256 << 20) /* of what is written, and four times what it is cut of */
#define FAR (INT64_C(1) << 60)  /* us: no time is further away */

typedef struct Cutter {
    Isolated *process;
    const char *path;    /* for messages */
    int file;
    double busy;         /* seconds of processor time that it may take */
    int64_t most;        /* bytes that it may write */
    double cpu;          /* as it was when .. */
    int64_t bytes;
    int64_t moved;       /* .. something changed, us */
    int n, next;         /* packets, and the one that is given next */
    const Packet *const *packet;
    const StreamInfo *told[2]; /* whose packets they are: of pictures, of sound */
} Cutter;

static int64_t file_bytes(int file)
{
    struct stat st;
    return fstat(file, &st) == 0 ? st.st_size : 0;
}

static int64_t path_bytes(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : 0;
}

/* ---- what it is to do ---- */

static int start(Cutter *c, IsolatedRole role, int64_t memory, Error *e)
{
    const int code = isolated_start(role, c->path, memory, c->file, &c->process, e);
    c->moved = machine_now();
    return code;
}

static Wire *ask_for_part(Cutter *c, CutKind kind, const CutPart *part)
{
    Wire *const w = isolated_message(c->process, WIRE_CUT);
    wire_int(w, kind);
    wire_text(w, part->path);
    wire_int(w, part->from);
    wire_int(w, part->to);
    wire_int(w, part->at);
    wire_int(w, part->mode);
    return w;
}

/* The next packet, and before the first of its kind what it is of. */
static void give_packet(Cutter *c)
{
    while (c->next < c->n && !c->packet[c->next]->av)
        c->next++;
    if (c->next >= c->n) {
        isolated_message(c->process, WIRE_END);
        isolated_post(c->process);
        return;
    }
    const Packet *const p = c->packet[c->next++];
    const bool sound = packet_sound(p);
    if (c->told[sound] != p->info) {
        c->told[sound] = p->info;
        wire_info(isolated_message(c->process, WIRE_STREAM), p->info);
        isolated_post(c->process);
    }
    Wire *const w = isolated_message(c->process, WIRE_PACKET);
    wire_int(w, sound);
    wire_int(w, p->pts);
    wire_int(w, p->dts);
    wire_packet(w, p->av);
    isolated_post(c->process);
}

/* ---- how it does ---- */

static bool is_path(const char *path) { return strlen(path) < CUT_PATH; }

static int too_long(const char *path, Error *e)
{
    return error_set(e, ERR_INVALID, "%.200s..: the name is too long", path);
}

/* Whether it goes on: processor time, or bytes. */
static void watch_it(Cutter *c)
{
    const int64_t now = machine_now(), bytes = file_bytes(c->file);
    const double cpu = isolated_cpu(c->process);
    if (cpu > c->cpu + 1e-3 || bytes != c->bytes) {
        c->moved = now;
        c->cpu = cpu;
        c->bytes = bytes;
    }
    if (now - c->moved > STANDS)
        isolated_kill(c->process, "it hangs");
    if (cpu > c->busy)
        isolated_kill(c->process, "it computes for too long");
    if (bytes > c->most)
        isolated_kill(c->process, "it writes too much");
}

static int get_report(WireIn *in, const char *path, CutReport *out, Error *e)
{
    char text[WIRE_TEXT];
    const int code = (int)wire_get_in(in, ERR_INTERNAL, ERR_OK);
    wire_get_text(in, text, sizeof text);
    out->from = wire_get_in(in, -FAR, FAR);
    out->duration = wire_get_in(in, 0, FAR);
    out->copied = wire_get_in(in, 0, INT32_MAX);
    out->encoded = wire_get_in(in, 0, INT32_MAX);
    out->mode = (CutMode)wire_get_in(in, CUT_COPY, CUT_EXACT);
    wire_get_text(in, out->note, sizeof out->note);
    if (!wire_done(in))
        return error_set(e, ERR_IO, "%s: the process that cuts it: what it says cannot be", path);
    return code == 0 ? 0 : error_set(e, code, "%s", text);
}

/* Until it is done, or over. */
static int serve(Cutter *c, CutReport *out, Error *e)
{
    for (;;) {
        WireIn in;
        const IsolatedNews news = isolated_poll(c->process, LOOK, &in);
        if (news == ISOLATED_DEAD)
            return error_set(e, ERR_IO, "%s: the process that cuts it: %s", c->path,
                             isolated_why(c->process));
        if (news == ISOLATED_MESSAGE && in.kind == WIRE_CUT_DONE)
            return get_report(&in, c->path, out, e);
        if (news == ISOLATED_MESSAGE && in.kind == WIRE_GIVE && wire_done(&in) && c->next <= c->n) {
            c->moved = machine_now();
            give_packet(c);
        } else if (news == ISOLATED_MESSAGE) {
            isolated_kill(c->process, "what it says cannot be");
        }
        if (news == ISOLATED_NOTHING)
            watch_it(c);
    }
}

static int run(Cutter *c, CutReport *out, Error *e)
{
    isolated_post(c->process);
    const int code = serve(c, out, e);
    isolated_close(c->process, 0);
    if (code != 0)
        *out = (CutReport){0};
    return code;
}

/* ---- as cut_parts.h has it ---- */

static double time_for(int64_t us) { return CPU_LEAST + CPU_EACH * 1e-6 * (double)us; }

int isolated_cut_packets(int file, int n, const Packet *const *packet, int64_t isolate,
                         const CutPart *part, CutReport *out, Error *e)
{
    int64_t bytes = 0;
    for (int i = 0; i < n; i++)
        bytes += packet[i]->av ? packet[i]->av->size : 0;
    Cutter c = {.path = part->path,
                .file = file,
                .busy = time_for(part->to - part->from),
                .most = BYTES_LEAST + 4 * bytes,
                .n = n,
                .packet = packet};
    *out = (CutReport){0};
    if (!is_path(part->path))
        return too_long(part->path, e);
    const int code = start(&c, ISOLATED_CUTTER, isolate, e);
    if (code != 0)
        return code;
    ask_for_part(&c, CUT_OF_PACKETS, part);
    return run(&c, out, e);
}

int isolated_cut_file(int file, const char *video, const CutPart *part, CutReport *out, Error *e)
{
    Cutter c = {.path = part->path,
                .file = file,
                .busy = time_for(part->to - part->from),
                .most = BYTES_LEAST + 4 * path_bytes(video)};
    *out = (CutReport){0};
    if (!is_path(part->path) || !is_path(video))
        return too_long(is_path(video) ? part->path : video, e);
    const int code = start(&c, ISOLATED_FILE_CUTTER, part->isolate, e);
    if (code != 0)
        return code;
    wire_text(ask_for_part(&c, CUT_OF_FILE, part), video);
    return run(&c, out, e);
}

int isolated_cut_reel(int file, int n, const ReelPart *part, const char *path, int64_t isolate,
                      CutReport *out, Error *e)
{
    Cutter c = {.path = path, .file = file, .busy = CPU_LEAST, .most = BYTES_LEAST};
    *out = (CutReport){0};
    for (int i = 0; i < n; i++) {
        const int64_t bytes = path_bytes(part[i].path);
        c.most += 4 * bytes;
        c.busy += CPU_EACH + 1e-6 * (double)bytes;
        if (!is_path(part[i].path) || (part[i].title && !is_path(part[i].title)))
            return too_long(part[i].path, e);
    }
    const int code =
        is_path(path) ? start(&c, ISOLATED_FILE_CUTTER, isolate, e) : too_long(path, e);
    if (code != 0)
        return code;
    Wire *const w = isolated_message(c.process, WIRE_CUT);
    wire_int(w, CUT_OF_PARTS);
    wire_text(w, path);
    wire_int(w, n);
    for (int i = 0; i < n; i++) {
        wire_text(w, part[i].path);
        wire_text(w, part[i].title ? part[i].title : "");
    }
    return run(&c, out, e);
}
