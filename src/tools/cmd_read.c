/* lathe read: text in pictures, with a text detector and a recogniser.
 *
 *     picture -> detector -> probability map -> boxes -> each straightened -> recogniser -> text
 *
 * The detector is compiled for each size of picture: with sizes left open it would take a quarter longer. The
 * recogniser is compiled once for all widths of lines. That costs an eighth, which lines get back because they need
 * not be filled up to one of a few widths. Both go through the disk cache. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "compile/cache.h"
#include "import/onnx.h"
#include "tools/demo_pictures.h"
#include "tools/tool.h"
#include "vision/draw.h"
#include "vision/ocr_detect.h"
#include "vision/ocr_text.h"

const char help_read[] =
    "lathe read IMAGE.. --det MODEL --rec MODEL [options]\n"
    "lathe read --demo DIR --det MODEL --rec MODEL [options]\n"
    "\n"
    "Reads text from PNG and JPEG pictures with PP-OCR's models (ONNX): one that finds lines of text,\n"
    "one that reads them. Prints place, confidence and text, and the time of each stage.\n"
    "\n"
    "    --det MODEL      the detector: f32[1,3,H,W] to f32[1,1,H,W]\n"
    "    --rec MODEL      the recogniser: f32[1,3,48,W] to f32[1,W/8,classes]; its characters are in\n"
    "                     its metadata ('character')\n"
    "    --out DIR        writes DIR/IMAGE.read.png: the picture with boxes and what was read\n"
    "    --font FILE      for these (default: DejaVu Sans)\n"
    "    --side N         pictures are made at most N pixels long for the detector (default 960)\n"
    "    --demo DIR       draws pictures with known text into DIR and prints the truth beside\n"
    "    --threads N      (default: all CPUs)\n"
    "    --no-cache       compile even if the disk cache ($LATHE_CACHE, ~/.cache/lathe) has the models\n"
    "\n"
    "    lathe read menu.jpg --det det.onnx --rec rec.onnx --out .\n";

#define LINE_HEIGHT 48     /* of the recogniser's input */
#define LINE_MIN_WIDTH 320 /* that it was trained with */
#define LINE_WIDTH_STEP 32 /* shapes that a run plans its memory for: not too many */
#define LINE_MAX_WIDTH 3200
#define MIN_CONFIDENCE 0.5f

/* A model compiled for a shape of input, ready to run. */
typedef struct ShapedNet {
    int height, width;
    Module *module;
    Run *run;
    Tensor *input; /* (1,3,height,width): of the next run, if the module takes any width */
} ShapedNet;

typedef struct Net {
    const char *path;
    const char *any_width; /* the input's name: compiled for one height and all widths. NULL: for each shape */
    VEC(ShapedNet) shape;
} Net;

typedef struct Reader {
    Arena *arena;
    Pool *pool;
    int threads, side;
    const char *cache; /* folder; NULL: none */
    Net det, rec;
    OcrAlphabet alphabet;
    const char *out, *font;
    double compile_seconds;
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
    double detect, boxes, read; /* seconds */
} Page;

/* ---- models ---- */

static int net_resize(ShapedNet *c, int height, int width, Error *e)
{
    const int64_t dim[] = {1, 3, height, width};
    Tensor *const input = tensor_new(DT_F32, 4, dim, e);
    if (!input)
        return e->code;
    tensor_unref(c->input);
    c->input = input;
    c->height = height;
    c->width = width;
    return c->run ? run_set_input(c->run, 0, input, e) : 0;
}

static int net_compile(const Reader *r, const Net *net, ShapedNet *c, Error *e)
{
    double start = time_now();
    const OnnxShape shape = {net->any_width, 4, {1, 3, c->height, -1}};
    ModelOptions opt = {.static_shapes = !net->any_width, .ninput = 1, .input = &c->input};
    if (net->any_width) {
        opt.onnx.nshape = 1;
        opt.onnx.shape = &shape;
    }
    opt.compile = (CompileOptions){.target = target_native(), .threads = r->threads, .progress = tool_progress,
                                   .progress_arg = &start};
    Model model = {0};
    int code = cache_compile(net->path, &opt, r->cache, CACHE_LIMIT, &model, e);
    c->module = model.module;
    if (code == 0)
        code = run_new(model.module, r->pool, r->threads, &c->run, e);
    if (code == 0)
        code = run_set_input(c->run, 0, c->input, e);
    return code;
}

/* The model for this shape, compiled if it is the first that needs it. */
static int net_for(Reader *r, Net *net, int height, int width, ShapedNet **out, Error *e)
{
    for (int i = 0; i < net->shape.len; i++) {
        *out = &net->shape.at[i];
        if ((*out)->height != height || ((*out)->width != width && !net->any_width))
            continue;
        return (*out)->width == width ? 0 : net_resize(*out, height, width, e);
    }
    const double start = time_now();
    ShapedNet c = {0};
    int code = net_resize(&c, height, width, e);
    if (code == 0)
        code = net_compile(r, net, &c, e);
    vec_push(r->arena, &net->shape, c);
    *out = &vec_last(&net->shape);
    r->compile_seconds += time_now() - start;
    return code;
}

static void net_free(Net *net)
{
    for (int i = 0; i < net->shape.len; i++) {
        run_free(net->shape.at[i].run);
        module_unref(net->shape.at[i].module);
        tensor_unref(net->shape.at[i].input);
    }
}

/* PP-OCR wants B, G, R planes in -1 to 1. */
static const SampleOptions network_input = {.scale = 1 / 127.5f, .shift = -1, .bgr = true};

/* ---- one picture ---- */

static int round_to_32(float v)
{
    const int n = (int)lrintf(v / 32) * 32;
    return n < 32 ? 32 : n;
}

static int find_boxes(Reader *r, const Picture *p, Arena *a, Page *page, OcrBox **box, int *nbox,
                      Error *e)
{
    const int longest = p->width > p->height ? p->width : p->height;
    const float scale = longest > r->side ? (float)r->side / (float)longest : 1;
    const int w = round_to_32((float)p->width * scale), h = round_to_32((float)p->height * scale);
    ShapedNet *net;
    int code = net_for(r, &r->det, h, w, &net, e);
    if (code != 0)
        return code;
    const double start = time_now();
    const Quad all = picture_quad(p);
    picture_sample(p, &all, w, h, w, &network_input, net->input->data);
    code = run_execute(net->run, e);
    if (code != 0)
        return code;
    const Tensor *const map = run_output(net->run, 0);
    if (map->dtype != DT_F32 || tensor_elements(map) != (int64_t)w * h)
        return error_set(e, ERR_INVALID, "%s: no text detector: its output is %s", r->det.path,
                         tensor_describe(a, map));
    page->detect = time_now() - start;
    const OcrDetectOptions opt = OCR_DETECT_DEFAULTS;
    *nbox = ocr_detect(a, map->data, w, h, p->width, p->height, &opt, box);
    page->boxes = time_now() - start - page->detect;
    return 0;
}

static int read_line(Reader *r, const Picture *p, Arena *a, const OcrBox *box, Line *line, Error *e)
{
    const Quad quad = ocr_text_quad(&box->quad);
    int text = ocr_text_width(&quad, LINE_HEIGHT);
    text = text < LINE_MAX_WIDTH ? text : LINE_MAX_WIDTH;
    const int at_least = text > LINE_MIN_WIDTH ? text : LINE_MIN_WIDTH;
    const int width = (at_least + LINE_WIDTH_STEP - 1) / LINE_WIDTH_STEP * LINE_WIDTH_STEP;
    ShapedNet *net;
    int code = net_for(r, &r->rec, LINE_HEIGHT, width, &net, e);
    if (code != 0)
        return code;
    const double start = time_now();
    memset(net->input->data, 0, net->input->bytes);
    picture_sample(p, &quad, text, LINE_HEIGHT, width, &network_input, net->input->data);
    code = run_execute(net->run, e);
    if (code != 0)
        return code;
    const Tensor *const prob = run_output(net->run, 0);
    if (prob->dtype != DT_F32 || prob->rank != 3 || prob->dim[2] != r->alphabet.n)
        return error_set(e, ERR_INVALID, "%s: no recogniser of %d classes: its output is %s",
                         r->rec.path, r->alphabet.n, tensor_describe(a, prob));
    *line = (Line){.quad = box->quad, .score = box->score};
    line->text = ocr_text_decode(a, prob->data, (int)prob->dim[1], &r->alphabet);
    line->seconds = time_now() - start;
    return 0;
}

static int read_page(Reader *r, const Picture *p, Arena *a, Page *page, Error *e)
{
    *page = (Page){0};
    OcrBox *box = NULL;
    int nbox = 0;
    int code = find_boxes(r, p, a, page, &box, &nbox, e);
    page->line = arena_array_of(a, nbox + 1, Line);
    for (int i = 0; i < nbox && code == 0; i++) {
        Line line = {0};
        code = read_line(r, p, a, &box[i], &line, e);
        page->read += line.seconds;
        if (code == 0 && line.text.confidence >= MIN_CONFIDENCE)
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
    const double compiled = r->compile_seconds;
    int code = read_page(r, p, a, &page, e);
    if (code == 0) {
        printf("%s (%d x %d): %d lines; models ready in %.2f s, detector %.2f ms, boxes %.2f ms, "
               "recogniser %.2f ms\n",
               name, p->width, p->height, page.nline, r->compile_seconds - compiled,
               page.detect * 1e3, page.boxes * 1e3, page.read * 1e3);
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

typedef struct MetadataJob {
    const char *path, *value;
} MetadataJob;

static void metadata_job(Context *ctx, void *arg)
{
    MetadataJob *const j = arg;
    j->value = onnx_metadata(ctx, j->path, "character");
    if (!j->value)
        fail(ctx, ERR_INVALID, "%s: no recogniser: its metadata has no list 'character'", j->path);
}

/* What the shape of its input is said of. */
static int find_input(Reader *r, Net *net, Error *e)
{
    Arena *const a = arena_new();
    Graph *g = NULL;
    int code = model_import(a, net->path, &(OnnxOptions){0}, &g, e);
    if (code == 0 && g->block.at[0].input.len != 1)
        code = error_set(e, ERR_INVALID, "%s: no recogniser: it has %d inputs", net->path, g->block.at[0].input.len);
    if (code == 0)
        net->any_width = arena_strdup(r->arena, g->value.at[g->block.at[0].input.at[0]].name);
    arena_free(a);
    return code;
}

static int reader_open(Reader *r, Error *e)
{
    MetadataJob j = {.path = r->rec.path};
    int code = job_run(r->arena, metadata_job, &j, e, NULL);
    if (code == 0)
        code = find_input(r, &r->rec, e);
    if (code == 0) {
        r->alphabet = ocr_alphabet(r->arena, j.value);
        code = pool_new(r->threads, &r->pool, e);
    }
    return code;
}

int cmd_read(int argc, char **argv)
{
    Args a = args_begin(argc, argv);
    Error e = {0};
    Arena *const arena = arena_new();
    Reader r = {.arena = arena};
    r.det.path = args_value(&a, "--det", NULL);
    r.rec.path = args_value(&a, "--rec", NULL);
    r.out = args_value(&a, "--out", NULL);
    r.font = args_value(&a, "--font", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf");
    r.side = (int)args_int(&a, "--side", 960, 32, PICTURE_MAX_SIDE);
    const char *const dir = args_value(&a, "--demo", NULL);
    r.threads = tool_threads(&a);
    r.cache = args_flag(&a, "--no-cache") ? NULL : cache_directory(arena);
    if (!args_done(&a, dir ? 0 : 1, dir ? 0 : 4096, dir ? "no pictures" : "pictures")) {
        arena_free(arena);
        return EXIT_ERROR;
    }
    int code = 0;
    if (!r.det.path || !r.rec.path)
        code = error_set(&e, ERR_INVALID, "read: --det and --rec name the two models");
    if (code == 0)
        code = reader_open(&r, &e);
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
    net_free(&r.det);
    net_free(&r.rec);
    pool_free(r.pool);
    arena_free(arena);
    return code == 0 ? EXIT_OK : tool_fail(&e);
}
