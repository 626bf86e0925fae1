/* Reading text: a detector that finds lines and a recogniser that reads them, PP-OCR's way.
 *
 *     source -> detector -> probability map -> boxes -> each straightened -> recogniser -> text
 *
 * A source gives pixels of any part of itself in any size: a picture (`lathe read`) or the region
 * of a frame. The detector is compiled for each size of source: with sizes left open it would take
 * a quarter longer. The recogniser is compiled once for all widths of lines, which costs a sixth
 * (where products go by tiles, which want to know how many columns there are, five times as much),
 * but long lines need not be filled up to one of a few widths; and once more for each width that
 * short lines are filled up to.
 *
 * Either all at once (text_reader_find, text_reader_line; one thread at a time), or question and
 * answer apart (.._ask_.., any thread):
 *
 *     text_reader_ask_line(r, a, &source, &quad, 96, &q);    // q: what to ask the model (watch/inference.h)
 *     ...
 *     text_reader_take_line(r, a, &q, classes, &text, &e);   // q was answered */
#ifndef LATHE_WATCH_TEXT_READER_H
#define LATHE_WATCH_TEXT_READER_H

#include "vision/ocr_detect.h"
#include "vision/ocr_text.h"
#include "watch/inference.h"

#define TEXT_LINE_HEIGHT 48     /* of the recogniser's input */
#define TEXT_MIN_CONFIDENCE 0.5f /* of lines worth telling */

typedef struct TextSource {
    int width, height;
    /* Writes `quad` of it, straightened to width x height, as planes (3, height, stride) of B, G, R
     * in -1 to 1. */
    void (*sample)(void *arg, const Quad *quad, int width, int height, int stride, float *planes);
    void *arg;
} TextSource;

typedef struct TextReader TextReader;

/* Freed with the arena, before `infer`. detector: NULL if only lines will be read. */
int text_reader_open(Arena *a, Infer *infer, const char *detector, const char *recogniser,
                     ModelPrecision precision, TextReader **out, Error *e);
/* The lines' boxes in reading order, in `a`. `side`: the source is made at most so long for the
 * detector. */
int text_reader_find(TextReader *r, Arena *a, const TextSource *s, int side, OcrBox **box, int *n,
                     Error *e);
/* `classes`: of text_reader_classes; NULL: all. `min_width`: what is shorter is filled up, at a
 * height of 48; the model was trained with 320, 96 is good enough for the few characters of a
 * cell. */
int text_reader_line(TextReader *r, Arena *a, const TextSource *s, const Quad *quad, int min_width,
                     const bool *classes, OcrText *out, Error *e);
/* Compiles what lines need, and boxes of a source of this size (width 0: none). */
int text_reader_prepare(TextReader *r, int width, int height, int side, Error *e);

/* Sets the model, its input (in `a`, until the answer) and the size. `now`: by a detector of
 * another size, as long as that for a source of this one is being compiled (infer_size_now). */
void text_reader_ask_boxes(const TextReader *r, Arena *a, const TextSource *s, int side, bool now,
                           InferRequest *q);
int text_reader_take_boxes(const TextReader *r, Arena *a, const TextSource *s,
                           const InferRequest *q, OcrBox **box, int *n, Error *e);
void text_reader_ask_line(const TextReader *r, Arena *a, const TextSource *s, const Quad *quad,
                          int min_width, InferRequest *q);
int text_reader_take_line(const TextReader *r, Arena *a, const InferRequest *q, const bool *classes,
                          OcrText *out, Error *e);

/* Which classes write these characters (and the blank): one flag a class, in `a`. *unknown: a
 * character that the recogniser cannot write, else NULL. */
const bool *text_reader_classes(const TextReader *r, Arena *a, const char *charset,
                                const char **unknown);

typedef struct TextTimes { /* seconds, added up */
    double compile, detect, boxes, read;
} TextTimes;
TextTimes text_reader_times(const TextReader *r);

#endif
