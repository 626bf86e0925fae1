/* Ranks, cuts, and puts in a row. */
#include "tools/watch_clips.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "watch/clip_plan.h"
#include "watch/cut.h"
#include "watch/json_write.h"

void clip_moments_add(ClipMoments *m, const EventRecord *r)
{
    if (!r->rule->clip.given)
        return;
    for (int i = 0; i < m->id.len; i++)
        if (m->id.at[i] == r->id) {
            m->at.at[i].t_end = r->kind == RECORD_END ? r->t_end : m->at.at[i].t_end;
            return;
        }
    if (r->epoch > 0) {
        m->elsewhere++;
        return;
    }
    vec_push(m->arena, &m->id, r->id);
    vec_push(m->arena, &m->at,
             ((Moment){.event = r->rule->name,
                       .t_start = r->t_start,
                       .t_end = r->kind == RECORD_END ? r->t_end : r->t_start,
                       .pre = r->rule->clip.pre,
                       .post = r->rule->clip.post,
                       .weight = r->rule->clip.weight}));
}

typedef struct Clip {
    const Highlight *of;
    const char *name, *path;
    CutReport report;
} Clip;

static int cut_all(const WatchClips *w, Arena *a, const char *folder, int n, const Highlight *h,
                   Clip *clip, Error *e)
{
    int code = 0;
    for (int i = 0; i < n && code == 0; i++) {
        clip[i].of = &h[i];
        clip[i].name =
            arena_printf(a, "%02d-%s-%.1fs.mp4", i + 1, h[i].event, (double)h[i].from * 1e-6);
        clip[i].path = path_join(a, folder, clip[i].name);
        const CutPart part = {.from = h[i].from,
                              .to = h[i].to,
                              .at = h[i].at,
                              .mode = CUT_EXACT,
                              .path = clip[i].path,
                              .isolate = w->isolate};
        code = cut_file(w->video, &part, &clip[i].report, e);
        const CutReport *const r = &clip[i].report;
        if (code == 0)
            fprintf(
                stderr,
                "clip %s: %.3f to %.3f s, %d events, %lld pictures copied, %lld encoded anew%s%s\n",
                clip[i].path, (double)r->from * 1e-6, (double)(r->from + r->duration) * 1e-6,
                h[i].n, (long long)r->copied, (long long)r->encoded, r->note[0] ? ": " : "",
                r->note);
    }
    return code;
}

static int write_list(Arena *a, const char *folder, const char *video, int n, const Clip *clip,
                      Error *e)
{
    Str out = str_new(a);
    str_add(&out, "{\"video\":");
    json_add_string(&out, video);
    str_add(&out, ",\"clips\":[");
    for (int i = 0; i < n; i++) {
        str_add(&out, i ? ",\n{\"file\":" : "\n{\"file\":");
        json_add_string(&out, clip[i].name);
        str_add(&out, ",\"event\":");
        json_add_string(&out, clip[i].of->event);
        str_addf(&out, ",\"events\":%d,\"score\":", clip[i].of->n);
        json_add_number(&out, clip[i].of->score);
        str_add(&out, ",\"t_start\":");
        json_add_seconds(&out, clip[i].report.from);
        str_add(&out, ",\"duration\":");
        json_add_seconds(&out, clip[i].report.duration);
        if (clip[i].report.note[0]) {
            str_add(&out, ",\"note\":");
            json_add_string(&out, clip[i].report.note);
        }
        str_addc(&out, '}');
    }
    str_add(&out, "]}\n");
    return file_write(path_join(a, folder, "clips.json"), str_text(&out), out.len, e);
}

static int by_time(const void *x, const void *y)
{
    const Clip *const a = x, *const b = y;
    return (a->of->from > b->of->from) - (a->of->from < b->of->from);
}

/* As it happened, not as it is ranked. */
static int make_reel(const WatchClips *w, Arena *a, int n, Clip *clip, Error *e)
{
    ReelPart *const part = arena_array_of(a, n + 1, ReelPart);
    CutReport report;
    qsort(clip, (size_t)n, sizeof *clip, by_time);
    for (int i = 0; i < n; i++)
        part[i] = (ReelPart){clip[i].path, clip[i].of->event};
    const int code = cut_reel(n, part, w->reel, w->isolate, &report, e);
    if (code == 0)
        fprintf(stderr, "reel %s: %d clips, %.1f s\n", w->reel, n, (double)report.duration * 1e-6);
    return code;
}

static void remove_folder(const char *folder, int n, const Clip *clip)
{
    for (int i = 0; i < n; i++)
        if (clip[i].path)
            unlink(clip[i].path);
    rmdir(folder);
}

int watch_clips(const WatchClips *w, const ClipMoments *m, Error *e)
{
    Arena *const a = arena_new();
    const Highlight *h;
    const int n = highlights(a, m->at.len, m->at.at, w->top, CLIP_LONGEST, &h);
    Clip *const clip = arena_array_of(a, n + 1, Clip);
    const char *const folder = w->folder ? w->folder : arena_printf(a, "%s.parts", w->reel);
    const bool made = !file_exists(folder);
    if (m->elsewhere > 0)
        fprintf(stderr,
                "  warning: %d events lie behind a jump of the video's clock: no clips of them\n",
                m->elsewhere);
    int code = n > 0 ? file_make_dirs(folder, e)
                     : error_set(e, ERR_INVALID,
                                 "no clips: no event with a 'clip' (as clip: {pre: 5s, post: 3s, "
                                 "weight: 2}) came");
    if (code == 0 && made && w->folder)
        fprintf(stderr, "made the folder %s\n", folder);
    if (code == 0)
        code = cut_all(w, a, folder, n, h, clip, e);
    if (code == 0 && w->folder)
        code = write_list(a, folder, w->video, n, clip, e);
    if (code == 0 && w->reel)
        code = make_reel(w, a, n, clip, e);
    if (!w->folder && n > 0)
        remove_folder(folder, n, clip);
    arena_free(a);
    return code;
}
