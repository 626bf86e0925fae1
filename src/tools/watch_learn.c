/* Options -> items (watch/learn_list.h) -> pictures, and what their scores say, in words. */
#include "tools/watch_learn.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "compile/cache.h"
#include "tools/tool.h"
#include "watch/config.h"
#include "watch/learn_list.h"

const char help_watch_learn[] =
    "lathe watch learn VIDEO --at TIME|--over FROM..TO [--box X,Y,W,H] --to FILE.png [options]\n"
    "lathe watch learn VIDEO --watch WATCH.yaml --signal NAME --at TIME|--over FROM..TO [--box "
    "X,Y,W,H] [options]\n"
    "lathe watch learn VIDEO --list FILE.yaml [--watch WATCH.yaml] [options]\n"
    "lathe watch learn VIDEO --begin WATCH.yaml\n"
    "\n"
    "Cuts pictures out of a stored video for signals to compare with, looks for them in all of it, "
    "and proposes\n"
    "thresholds. Without a box: the whole picture, to measure in. TIME is 12.5, 12.5s or 1:02.5.\n"
    "\n"
    "    --at TIME        one frame, the first at or after it\n"
    "    --over FROM..TO  many frames: what stays the same in them is kept, the rest becomes "
    "transparent, so that\n"
    "                     an icon comes without what moves behind it\n"
    "    --box X,Y,W,H    where it is, in pixels of the reference size\n"
    "    --to FILE        a PNG\n"
    "    --absent A..B,.. where it is not to be seen: makes thresholds surer\n"
    "    --region X,Y,W,H where it is looked for (default: the box and 24 pixels around it)\n"
    "    --screen         the box, or the whole picture, is a screen's\n"
    "    --watch FILE     a watch: its reference size; its pictures need not be there yet\n"
    "    --signal NAME    .. and one of its signals: its region and method, and the file that it "
    "reads\n"
    "    --label NAME     .. which screen it is\n"
    "    --size WxH       reference size (default: the watch's, or the video's own)\n"
    "    --list FILE      many at once, a line each: refs/skull.png: {over: 12s..20s, box: [876, "
    "431, 40, 40]}\n"
    "    --replace        writes over files that are there\n"
    "    --begin FILE     writes the beginning of a watch for this video, with what to do next\n"
    "\n"
    "    lathe watch learn clip.mp4 --over 12s..20s --box 876,431,40,40 --to refs/skull.png "
    "--absent 30s..40s\n";

typedef struct Learn {
    Arena *arena;
    const char *video, *watch_path, *list, *size;
    LearnAsk one;
    NetHost nets;
    const Watch *watch;
    int n, width, height;
    const LearnItem *item;
} Learn;

static volatile sig_atomic_t stops;
static void ask_to_stop(int number)
{
    (void)number;
    stops = 1;
}

/* ---- what is asked ---- */

static void read_watch(Context *ctx, void *arg)
{
    Learn *const l = arg;
    l->watch = config_read_names(ctx, l->watch_path);
}

static void read_items(Context *ctx, void *arg)
{
    Learn *const l = arg;
    const LearnAsk *ask = &l->one;
    l->n = 1;
    if (l->list)
        ask = learn_list_read(ctx, l->list, &l->n);
    l->item = learn_plan(ctx, l->watch, l->width, l->height, l->n, ask);
}

static int take_size(Learn *l, Error *e)
{
    int used = 0;
    if (l->size &&
        (sscanf(l->size, "%5dx%5d%n", &l->width, &l->height, &used) != 2 || l->size[used] != '\0' ||
         l->width < 1 || l->height < 1 || l->width > 16384 || l->height > 16384))
        return error_set(e, ERR_INVALID, "--size: '%s' is no size, as 1280x720", l->size);
    if (l->size && l->watch)
        return error_set(e, ERR_INVALID, "--size: %s says it", l->watch_path);
    if (l->watch) {
        l->width = l->watch->width;
        l->height = l->watch->height;
    }
    int width, height;
    const int code = learn_size(l->video, &width, &height, e); /* also: it is a video */
    if (l->width == 0) {
        l->width = width;
        l->height = height;
    }
    return code;
}

/* ---- what came of it ---- */

static double seconds(int64_t us) { return (double)us * 1e-6; }

static void print_range(const char *what, const ScoreRange *r, bool least)
{
    if (r->n > 0)
        printf("    %-28s %5.2f at %s (%.2f s), %d sample%s\n", what,
               (double)(least ? r->least : r->best), least ? "least" : "most",
               seconds(least ? r->least_at : r->best_at), r->n, r->n == 1 ? "" : "s");
}

static void print_seen(const Separation *s)
{
    if (s->nseen == 0)
        return;
    printf("    by that also seen at         ");
    for (int i = 0; i < s->nseen && i < 6; i++)
        printf(s->seen[i].from == s->seen[i].to ? "%s%.2f" : "%s%.2f..%.2f", i ? ", " : "",
               seconds(s->seen[i].from), seconds(s->seen[i].to));
    printf(s->nseen > 6 ? " .. and %d times more (s)\n" : " s\n", s->nseen - 6);
}

/* A line for the watch. */
static void print_signal(const Learn *l, const LearnItem *item, const Separation *s)
{
    const char *const dir = l->watch ? l->watch->dir : "";
    const size_t skip =
        *dir && str_starts(item->to, dir) && item->to[strlen(dir)] == '/' ? strlen(dir) + 1 : 0;
    const Box r = item->region;
    if (item->signal.kind == SIGNAL_SCREEN)
        printf("    unknown_below: %.2f\n", s->on);
    else if (item->signal.kind == SIGNAL_POSITION)
        printf("    on: %.2f\n", s->on);
    else if (l->watch && item->signal.place.line > 0)
        printf("    on: %.2f, off: %.2f\n", s->on, s->off);
    else
        printf("    region: {NAME: [%g, %g, %g, %g]}   signal: {icon: {from: icon, region: NAME, "
               "template: %s, on: %.2f, off: %.2f}}\n",
               (double)r.x, (double)r.y, (double)r.width, (double)r.height, item->to + skip, s->on,
               s->off);
}

static void print_judged(const Learn *l, const LearnItem *item, const Separation *s)
{
    print_range("score where it was taken", &s->with, true);
    print_range("score where it is absent", &s->without, false);
    if (s->parts)
        print_range("elsewhere, with it", &s->above, true);
    print_range(s->parts ? "elsewhere, without it" : "elsewhere", &s->below, false);
    if (!s->parts) {
        printf("    it does not tell: nothing parts samples with it from those without. %s\n",
               item->signal.kind == SIGNAL_SCREEN
                   ? "Take a region that only this screen looks like that in"
                   : "Take it --over a span in which what is behind it moves, a box with more of "
                     "it, or method: embed");
        return;
    }
    print_seen(s);
    if (s->below.n + s->without.n == 0)
        printf("    no sample is without it: name a time that is, by --absent, or a video\n");
    print_signal(l, item, s);
}

static void print_result(const Learn *l, const LearnItem *item, const LearnResult *r)
{
    const Box b = r->box;
    printf("%s: %g x %g from %g,%g, ", item->to, (double)b.width, (double)b.height, (double)b.x,
           (double)b.y);
    if (r->frames == 1)
        printf("frame at %.3f s\n", seconds(r->first));
    else
        printf("%d frames of %.3f to %.3f s, %.0f %% of it stays the same\n", r->frames,
               seconds(r->first), seconds(r->last), (double)r->opaque * 100);
    if (item->judged)
        print_judged(l, item, &r->judged);
}

static int learn(Learn *l, bool replace, Error *e)
{
    int code = l->watch_path ? job_run(l->arena, read_watch, l, e, NULL) : 0;
    if (code == 0)
        code = take_size(l, e);
    if (code == 0)
        code = job_run(l->arena, read_items, l, e, NULL);
    if (code == 0)
        code = pool_new(l->nets.threads, &l->nets.pool, e);
    if (code != 0)
        return code;
    LearnResult *const result = arena_array_of(l->arena, l->n + 1, LearnResult);
    Arena *const a = arena_new(); /* the host ends before its pool */
    const LearnOptions opt = {.url = l->video,
                              .width = l->width,
                              .height = l->height,
                              .replace = replace,
                              .nitem = l->n,
                              .item = l->item,
                              .stop = &stops};
    code = learn_run(l->arena, observe_host_new(a, &l->nets, NULL), &opt, result, e);
    for (int i = 0; i < l->n && code == 0; i++)
        print_result(l, &l->item[i], &result[i]);
    arena_free(a);
    pool_free(l->nets.pool);
    return code;
}

/* ---- a watch begun ---- */

static const char *name_of(Arena *a, const char *path)
{
    const char *const slash = strrchr(path, '/'), *const file = slash ? slash + 1 : path;
    char *const name = arena_strndup(a, file, strcspn(file, "."));
    for (char *c = name; *c; c++)
        if (!((*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') ||
              *c == '-'))
            *c = '_';
    return *name ? name : "watch";
}

static int begin(const Learn *l, const char *path, bool replace, Error *e)
{
    int width, height;
    Str out = str_new(l->arena);
    const int code = learn_size(l->video, &width, &height, e);
    if (code != 0)
        return code;
    if (!str_ends(path, ".yaml") && !str_ends(path, ".yml"))
        return error_set(e, ERR_INVALID, "%s: a watch is a file .yaml", path);
    if (file_exists(path) && !replace)
        return error_set(e, ERR_INVALID, "%s is there already", path);
    str_addf(&out, "# A watch for %s. What all this means: doc/watch.md.\n", l->video);
    str_addf(&out,
             "watch:\n  name: %s\n  reference_size: [%d, %d]   # of the video; all coordinates are "
             "pixels of this size\n"
             "  sample: {fps: 2, max_fps: 10}   # samples a second while nothing happens, and "
             "while something may\n\n",
             name_of(l->arena, path), width, height);
    str_add(&out, "# Where: [x, y, width, height]. `lathe watch learn VIDEO --at 10s --to "
                  "shot.png` gives a picture to measure in;\n"
                  "# --over 10s..60s instead shows what stands still: the HUD.\n");
    str_addf(&out, "region:\n  middle: [%d, %d, %d, %d]\n", width / 4, height / 4,
             width / 2 > 0 ? width / 2 : 1, height / 2 > 0 ? height / 2 : 1);
    str_addf(&out, "  # alive: [%d, 8, 60, 26]\n\n", width > 80 ? width - 80 : 0);
    str_add(
        &out,
        "# What is read there. Pictures: `lathe watch learn VIDEO --watch THIS --signal skull "
        "--over 12s..20s --box X,Y,W,H`.\n"
        "signal:\n  moves: {from: motion, region: middle}\n"
        "  # alive: {from: text, region: alive, charset: \"0123456789\", type: int}\n"
        "  # skull: {from: icon, region: feed, template: refs/skull*.png}\n"
        "  # screen: {from: screen, classes: {lobby: refs/lobby*.png, play: refs/play*.png}}\n\n"
        "# What counts. `lathe watch THIS VIDEO` prints these as they come.\n"
        "event:\n  motion: {when: moves, confirm: [2, 3], release: [3, 3]}\n"
        "  # final_ten: {when: \"screen == 'play' && alive <= 10\", confirm: [2, 3], release: [3, "
        "3], data: [alive]}\n"
        "  # kill: {when: \"rises(skull)\", emit: point, merge: 1s}\n");
    if (file_write(path, str_text(&out), out.len, e) != 0)
        return e->code;
    printf("%s: for %d x %d; now: lathe watch %s %s\n", path, width, height, path, l->video);
    return 0;
}

/* ---- the command ---- */

static int check(const Learn *l, const char *begun, Error *e)
{
    const LearnAsk *const o = &l->one;
    const bool one = o->to || o->at || o->over || o->box || o->region || o->absent || o->signal ||
                     o->label || o->screen;
    if (begun && (one || l->list || l->watch_path || l->size))
        return error_set(e, ERR_INVALID, "--begin stands alone");
    if (l->one.to && !str_ends(l->one.to, ".png"))
        return error_set(e, ERR_INVALID, "--to %s: pictures are written as PNG: name it .png",
                         l->one.to);
    if (l->list && one)
        return error_set(e, ERR_INVALID, "--list: what is learnt stands there, not in options");
    return 0;
}

int watch_learn(int argc, char **argv)
{
    Args a = args_begin(argc, argv);
    Learn l = {.arena = arena_new(), .nets = {.progress = tool_progress}};
    Error e = {0};
    const char *const begun = args_value(&a, "--begin", NULL);
    l.list = args_value(&a, "--list", NULL);
    l.watch_path = args_value(&a, "--watch", NULL);
    l.size = args_value(&a, "--size", NULL);
    l.one = (LearnAsk){.to = args_value(&a, "--to", NULL),
                       .at = args_value(&a, "--at", NULL),
                       .over = args_value(&a, "--over", NULL),
                       .box = args_value(&a, "--box", NULL),
                       .region = args_value(&a, "--region", NULL),
                       .absent = args_value(&a, "--absent", NULL),
                       .signal = args_value(&a, "--signal", NULL),
                       .label = args_value(&a, "--label", NULL),
                       .screen = args_flag(&a, "--screen")};
    l.one.name = l.one.to ? l.one.to : l.one.signal ? l.one.signal : "learn";
    const bool replace = args_flag(&a, "--replace");
    l.nets.threads = tool_threads(&a);
    l.nets.cache = args_flag(&a, "--no-cache") ? NULL : cache_directory(l.arena);
    int code = EXIT_ERROR;
    if (argc == 1) {
        fputs(help_watch_learn, stdout);
        code = EXIT_OK;
    } else if (args_done(&a, 1, 1, "a video")) {
        l.video = a.argv[1];
        sigaction(SIGINT, &(struct sigaction){.sa_handler = ask_to_stop}, NULL);
        sigaction(SIGTERM, &(struct sigaction){.sa_handler = ask_to_stop}, NULL);
        code = check(&l, begun, &e);
        if (code == 0)
            code = begun ? begin(&l, begun, replace, &e) : learn(&l, replace, &e);
        code = code != 0 ? tool_fail(&e) : EXIT_OK;
    }
    arena_free(l.arena);
    return code;
}
