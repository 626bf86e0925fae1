/* lathe read: text in pictures, with a text detector and a recogniser.
 *
 *     picture -> detector -> probability map -> boxes -> each straightened -> recogniser -> text
 * (watch/text_reader.h: how.) */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "compile/cache.h"
#include "tools/demo_pictures.h"
#include "tools/tool.h"
#include "vision/draw.h"
#include "watch/text_reader.h"

const char help_read[] =
    "lathe read IMAGE.. --det MODEL --rec MODEL [options]\n"
    "lathe read --demo DIR --det MODEL --rec MODEL [options]\n"
    "\n"
    "Reads text from PNG and JPEG pictures with PP-OCR's models (ONNX): one that finds lines of "
    "text,\n"
    "one that reads them. Prints place, confidence and text, and the time of each stage.\n"
    "\n"
    "    --det MODEL      the detector: f32[1,3,H,W] to f32[1,1,H,W]\n"
    "    --rec MODEL      the recogniser: f32[1,3,48,W] to f32[1,W/8,classes]; its characters are "
    "in\n"
    "                     its metadata ('character')\n"
    "    --out DIR        writes DIR/IMAGE.read.png: the picture with boxes and what was read\n"
    "    --font FILE      for these (default: DejaVu Sans)\n"
    "    --side N         pictures are made at most N pixels long for the detector (default 960)\n"
    "    --demo DIR       draws pictures with known text into DIR and prints the truth beside\n"
    "    --threads N      (default: all CPUs)\n"
    "    --no-cache       compile even if the disk cache ($LATHE_CACHE, ~/.cache/lathe) has the "
    "models\n"
    "\n"
    "    lathe read menu.jpg --det det.onnx --rec rec.onnx --out .\n";

#define LINE_MIN_WIDTH 320 /* that the recogniser was trained with */

typedef struct Reader {
    Arena *arena;
    TextReader *text;
    int side;
    const char *out, *font;
} Reader;

typedef struct Line {
    Quad quad;
    float score;
    OcrText text;
    double seconds; /* of the recogniser */
} Line;

typedef struct Page {
    int nline;
    Line *line;
} Page;

static void sample_picture(void *arg, const Quad *quad, int width, int height, int stride,
                           float *planes)
{
    static const SampleOptions network_input = {.scale = 1 / 127.5f, .shift = -1, .bgr = true};
    picture_sample(arg, quad, width, height, stride, &network_input, planes);
}

/* ---- one picture ---- */

static int read_page(Reader *r, Picture *p, Arena *a, Page *page, Error *e)
{
    *page = (Page){0};
    const TextSource source = {p->width, p->height, sample_picture, p};
    OcrBox *box = NULL;
    int nbox = 0;
    int code = text_reader_find(r->text, a, &source, r->side, &box, &nbox, e);
    page->line = arena_array_of(a, nbox + 1, Line);
    for (int i = 0; i < nbox && code == 0; i++) {
        Line line = {.quad = box[i].quad, .score = box[i].score};
        const double before = text_reader_times(r->text).read;
        code = text_reader_line(r->text, a, &source, &box[i].quad, LINE_MIN_WIDTH, NULL, &line.text,
                                e);
        line.seconds = text_reader_times(r->text).read - before;
        if (code == 0 && line.text.confidence >= TEXT_MIN_CONFIDENCE)
            page->line[page->nline++] = line;
    }
    return code;
}

/* ---- showing ---- */

static void print_line(const Line *l, const char *truth)
{
    const Point c = l->quad.corner[0];
    printf("  %5.0f %5.0f  %.3f  %7.2f ms  %s", (double)c.x, (double)c.y,
           (double)l->text.confidence, l->seconds * 1e3, l->text.text);
    if (truth)
        printf("%s", strcmp(truth, l->text.text) == 0 ? "  = truth" : "");
    if (truth && strcmp(truth, l->text.text) != 0)
        printf("  != \"%s\"", truth);
    printf("\n");
}

static int annotate(Reader *r, Picture *p, const Page *page, const char *name, Error *e)
{
    Arena *const a = arena_new();
    Font *font = NULL;
    int code = font_open(a, r->font, &font, e);
    const Colour red = {220, 30, 30}, white = {255, 255, 255};
    for (int i = 0; i < page->nline && code == 0; i++) {
        const Line *const l = &page->line[i];
        const Point *const c = l->quad.corner; /* the label stands above the higher end */
        const Point at = {c[0].x, fminf(c[0].y, c[1].y)};
        const char *const label =
            arena_printf(a, "%s %.2f", l->text.text, (double)l->text.confidence);
        draw_quad(p, &l->quad, 2, red);
        const int width = (int)font_text_width(font, 12, label) + 6;
        draw_rectangle(p, (int)at.x, (int)at.y - 16, width, 15, red);
        draw_text(p, font, 12, (Point){at.x + 3, at.y - 5}, 0, white, label);
    }
    const char *const base = strrchr(name, '/');
    if (code == 0)
        code = file_make_dirs(r->out, e);
    const char *const path =
        path_join(a, r->out, arena_printf(a, "%s.read.png", base ? base + 1 : name));
    if (code == 0)
        code = picture_write_png(path, p, e);
    if (code == 0)
        printf("  written: %s\n", path);
    arena_free(a);
    return code;
}

/* Levenshtein's: insertions, deletions and replacements (of bytes). */
static int edit_distance(Arena *a, const char *s, const char *t)
{
    const int n = (int)strlen(t);
    int *const row = arena_array_of(a, n + 1, int);
    for (int k = 0; k <= n; k++)
        row[k] = k;
    for (int i = 0; s[i] != '\0'; i++) {
        int diagonal = row[0];
        row[0] = i + 1;
        for (int k = 1; k <= n; k++) {
            const int replace = diagonal + (s[i] != t[k - 1]);
            const int other = (row[k] < row[k - 1] ? row[k] : row[k - 1]) + 1;
            diagonal = row[k];
            row[k] = replace < other ? replace : other;
        }
    }
    return row[n];
}

typedef struct Score {
    int lines, characters; /* of the truth */
    int exact, missed;     /* lines read exactly; characters read wrongly, or not */
} Score;

/* With a truth: adds to *score. Both may be NULL. */
static int show(Reader *r, Picture *p, const char *name, const DemoPicture *truth, Score *score,
                Error *e)
{
    Arena *const a = arena_new();
    Page page;
    const TextTimes before = text_reader_times(r->text);
    int code = read_page(r, p, a, &page, e);
    if (code == 0) {
        const TextTimes t = text_reader_times(r->text);
        printf("%s (%d x %d): %d lines; models ready in %.2f s, detector %.2f ms, boxes %.2f ms, "
               "recogniser %.2f ms\n",
               name, p->width, p->height, page.nline, t.compile - before.compile,
               (t.detect - before.detect) * 1e3, (t.boxes - before.boxes) * 1e3,
               (t.read - before.read) * 1e3);
        for (int i = 0; i < page.nline; i++) {
            const char *const want = truth ? demo_truth(truth, &page.line[i].quad) : NULL;
            if (want) {
                const int missed = edit_distance(a, page.line[i].text.text, want);
                score->missed += missed - (int)strlen(want); /* demo counted it as missed */
                score->exact += missed == 0;
            }
            print_line(&page.line[i], truth ? want ? want : "(nothing there)" : NULL);
        }
        if (r->out)
            code = annotate(r, p, &page, name, e);
    }
    arena_free(a);
    return code;
}

static int demo(Reader *r, const char *dir, Error *e)
{
    Score score = {0};
    int code = file_make_dirs(dir, e);
    for (int i = 0; i < demo_picture_count && code == 0; i++) {
        const DemoPicture *const d = &demo_picture[i];
        for (int k = 0; k < d->nline; k++) {
            const int n = (int)strlen(d->line[k].text);
            score.lines++;
            score.characters += n;
            score.missed += n;
        }
        Arena *const a = arena_new();
        Picture *p = NULL;
        code = demo_draw(a, d, &p, e);
        const char *const path = path_join(a, dir, arena_printf(a, "%s.png", d->name));
        if (code == 0)
            code = picture_write_png(path, p, e);
        if (code == 0)
            code = show(r, p, path, d, &score, e);
        arena_free(a);
    }
    if (code == 0)
        printf("%d of %d lines read exactly; %d of %d characters wrong\n", score.exact, score.lines,
               score.missed, score.characters);
    return code;
}

/* ---- the command ---- */

int cmd_read(int argc, char **argv)
{
    Args a = args_begin(argc, argv);
    Error e = {0};
    Arena *const arena = arena_new();
    Reader r = {.arena = arena};
    NetHost host = {.progress = tool_progress};
    const char *const detector = args_value(&a, "--det", NULL), *const recogniser =
                                                                    args_value(&a, "--rec", NULL);
    r.out = args_value(&a, "--out", NULL);
    r.font = args_value(&a, "--font", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf");
    r.side = (int)args_int(&a, "--side", 960, 32, PICTURE_MAX_SIDE);
    const char *const dir = args_value(&a, "--demo", NULL);
    host.threads = tool_threads(&a);
    host.cache = args_flag(&a, "--no-cache") ? NULL : cache_directory(arena);
    if (!args_done(&a, dir ? 0 : 1, dir ? 0 : 4096, dir ? "no pictures" : "pictures")) {
        arena_free(arena);
        return EXIT_ERROR;
    }
    int code = 0;
    if (!detector || !recogniser)
        code = error_set(&e, ERR_INVALID, "read: --det and --rec name the two models");
    if (code == 0)
        code = pool_new(host.threads, &host.pool, &e);
    if (code == 0)
        code = text_reader_open(arena, infer_new(arena, &host, NULL), detector, recogniser,
                                MODEL_F32, &r.text, &e);
    if (code == 0 && dir)
        code = demo(&r, dir, &e);
    for (int i = 1; i < a.argc && code == 0; i++) {
        Arena *const one = arena_new();
        Picture *p = NULL;
        code = picture_read(one, argv[i], &p, &e);
        if (code == 0)
            code = show(&r, p, argv[i], NULL, NULL, &e);
        arena_free(one);
    }
    arena_free(arena); /* and the models in it, before the pool */
    pool_free(host.pool);
    return code == 0 ? EXIT_OK : tool_fail(&e);
}
