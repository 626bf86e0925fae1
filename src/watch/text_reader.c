/* The two models of a TextReader, and the shapes they get. */
#include "watch/text_reader.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "vision/draw.h"

#define LINE_WIDTH_STEP 32 /* shapes that a run plans its memory for: not too many */
#define LINE_MAX_WIDTH 3200

struct TextReader {
    Net *det, *rec;
    OcrAlphabet alphabet;
    TextTimes times;
};

int text_reader_open(Arena *a, const NetHost *host, const char *detector, const char *recogniser, TextReader **out,
                     Error *e)
{
    TextReader *const r = arena_new_of(a, TextReader);
    int code = detector ? net_open(a, host, detector, false, &r->det, e) : 0;
    if (code == 0)
        code = net_open(a, host, recogniser, true, &r->rec, e);
    if (code != 0)
        return code;
    const char *const characters = net_metadata(r->rec, "character");
    if (!characters)
        return error_set(e, ERR_INVALID, "%s: no recogniser: its metadata has no list 'character'", recogniser);
    r->alphabet = ocr_alphabet(a, characters);
    *out = r;
    return 0;
}

static int round_to_32(float v)
{
    const int n = (int)lrintf(v / 32) * 32;
    return n < 32 ? 32 : n;
}

int text_reader_find(TextReader *r, Arena *a, const TextSource *s, int side, OcrBox **box, int *n, Error *e)
{
    const int longest = s->width > s->height ? s->width : s->height;
    const float scale = longest > side ? (float)side / (float)longest : 1;
    const int w = round_to_32((float)s->width * scale), h = round_to_32((float)s->height * scale);
    float *planes;
    int code = net_input(r->det, h, w, &planes, e);
    if (code != 0)
        return code;
    const double start = time_now();
    const float right = (float)s->width, bottom = (float)s->height;
    const Quad all = {.corner = {{0, 0}, {right, 0}, {right, bottom}, {0, bottom}}};
    s->sample(s->arg, &all, w, h, w, planes);
    const Tensor *map;
    code = net_execute(r->det, 0, &map, e);
    if (code != 0)
        return code;
    if (map->dtype != DT_F32 || tensor_elements(map) != (int64_t)w * h)
        return error_set(e, ERR_INVALID, "%s: no text detector: its output is %s", net_path(r->det),
                         tensor_describe(a, map));
    const double found = time_now();
    const OcrDetectOptions opt = OCR_DETECT_DEFAULTS;
    *n = ocr_detect(a, map->data, w, h, s->width, s->height, &opt, box);
    r->times.detect += found - start;
    r->times.boxes += time_now() - found;
    return 0;
}

int text_reader_line(TextReader *r, Arena *a, const TextSource *s, const Quad *box, int min_width, const bool *classes,
                     OcrText *out, Error *e)
{
    const Quad quad = ocr_text_quad(box);
    int text = ocr_text_width(&quad, TEXT_LINE_HEIGHT);
    text = text < LINE_MAX_WIDTH ? text : LINE_MAX_WIDTH;
    const int at_least = text > min_width ? text : min_width;
    const int width = (at_least + LINE_WIDTH_STEP - 1) / LINE_WIDTH_STEP * LINE_WIDTH_STEP;
    float *planes;
    int code = net_input(r->rec, TEXT_LINE_HEIGHT, width, &planes, e);
    if (code != 0)
        return code;
    const double start = time_now();
    memset(planes, 0, sizeof *planes * 3 * TEXT_LINE_HEIGHT * (size_t)width);
    s->sample(s->arg, &quad, text, TEXT_LINE_HEIGHT, width, planes);
    const Tensor *prob;
    code = net_execute(r->rec, 0, &prob, e);
    if (code != 0)
        return code;
    if (prob->dtype != DT_F32 || prob->rank != 3 || prob->dim[2] != r->alphabet.n)
        return error_set(e, ERR_INVALID, "%s: no recogniser of %d classes: its output is %s", net_path(r->rec),
                         r->alphabet.n, tensor_describe(a, prob));
    *out = ocr_text_decode(a, prob->data, (int)prob->dim[1], &r->alphabet, classes);
    r->times.read += time_now() - start;
    return 0;
}

const bool *text_reader_classes(const TextReader *r, Arena *a, const char *charset, const char **unknown)
{
    bool *const out = arena_array_of(a, r->alphabet.n, bool);
    out[0] = true; /* the blank */
    *unknown = NULL;
    while (*charset != '\0') {
        const char *const start = charset;
        utf8_next(&charset);
        const char *const character = arena_strndup(a, start, (size_t)(charset - start));
        bool known = false;
        for (int i = 1; i < r->alphabet.n; i++) {
            if (strcmp(r->alphabet.class[i], character) != 0)
                continue;
            out[i] = known = true;
        }
        if (!known)
            *unknown = character;
    }
    return out;
}

TextTimes text_reader_times(const TextReader *r)
{
    TextTimes t = r->times;
    t.compile = net_compile_seconds(r->rec) + (r->det ? net_compile_seconds(r->det) : 0);
    return t;
}
