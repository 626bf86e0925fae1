/* Text out of a recogniser's output: see ocr_text.h. */
#include "vision/ocr_text.h"

#include <math.h>
#include <string.h>

#include "base/str.h"
#include "base/vec.h"

OcrAlphabet ocr_alphabet(Arena *a, const char *lines)
{
    VEC(const char *) class = {0};
    vec_push(a, &class, "");
    while (*lines != '\0') {
        const size_t line = strcspn(lines, "\n");
        const size_t n = line > 0 && lines[line - 1] == '\r' ? line - 1 : line;
        vec_push(a, &class, arena_strndup(a, lines, n));
        lines += line + (lines[line] == '\n');
    }
    vec_push(a, &class, " ");
    return (OcrAlphabet){.n = class.len, .class = class.at};
}

static int most_probable(const float *prob, int n, const bool *allowed)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (prob[i] > prob[best] && (!allowed || allowed[i]))
            best = i;
    return best;
}

/* Of the classes allowed: what their probabilities are divided by. */
static float share(const float *prob, int n, const bool *allowed)
{
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += allowed[i] ? prob[i] : 0;
    return fmaxf(sum, OCR_TEXT_ELSE);
}

static const char *trimmed(Arena *a, const char *s)
{
    s += strspn(s, " ");
    size_t n = strlen(s);
    while (n > 0 && s[n - 1] == ' ')
        n--;
    return arena_strndup(a, s, n);
}

OcrText ocr_text_decode(Arena *a, const float *prob, int steps, const OcrAlphabet *alphabet,
                        const bool *allowed)
{
    Str text = str_new(a);
    double sum = 0;
    int kept = 0, before = 0;
    for (int t = 0; t < steps; t++) {
        const float *const p = prob + (size_t)t * (size_t)alphabet->n;
        const int k = most_probable(p, alphabet->n, allowed);
        if (k != 0 && k != before) {
            str_add(&text, alphabet->class[k]);
            sum += (double)(p[k] / (allowed ? share(p, alphabet->n, allowed) : 1));
            kept++;
        }
        before = k;
    }
    return (OcrText){.text = trimmed(a, str_text(&text)),
                     .confidence = kept > 0 ? (float)(sum / kept) : 0};
}

static float edge(const Quad *q, int i, int k)
{
    return hypotf(q->corner[k].x - q->corner[i].x, q->corner[k].y - q->corner[i].y);
}

Quad ocr_text_quad(const Quad *box)
{
    const float w = fmaxf(edge(box, 0, 1), edge(box, 3, 2));
    const float h = fmaxf(edge(box, 0, 3), edge(box, 1, 2));
    const Point *const c = box->corner;
    return h < 1.5f * w ? *box : (Quad){.corner = {c[1], c[2], c[3], c[0]}};
}

int ocr_text_width(const Quad *box, int height)
{
    const float w = fmaxf(edge(box, 0, 1), edge(box, 3, 2));
    const float h = fmaxf(edge(box, 0, 3), edge(box, 1, 2));
    const float width = h > 0 ? ceilf((float)height * w / h) : 1;
    return width < 1 ? 1 : width > PICTURE_MAX_SIDE ? PICTURE_MAX_SIDE : (int)width;
}
