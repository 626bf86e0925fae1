/* From a text recogniser's output to text: greedy CTC decoding ("Connectionist Temporal
 * Classification", Graves et al. 2006), and the shape of what the recogniser reads. */
#ifndef LATHE_VISION_OCR_TEXT_H
#define LATHE_VISION_OCR_TEXT_H

#include "vision/picture.h"

/* Class 0 is CTC's blank, classes 1 .. n - 2 the characters of the list, n - 1 the space. */
typedef struct OcrAlphabet {
    int n;              /* classes */
    const char **class; /* UTF-8; "" for the blank */
} OcrAlphabet;

/* `lines`: one character a line. */
OcrAlphabet ocr_alphabet(Arena *a, const char *lines);

typedef struct OcrText {
    const char *text; /* UTF-8 */
    float confidence; /* mean probability of the characters kept; 0 if none */
} OcrText;

/* prob (steps, alphabet->n). A class is kept where it is the most probable of its step, no blank,
 * and another than the step before's. Spaces at the ends of the text, which come from the margins
 * of its box, are cut off.
 *
 * With `allowed` (alphabet->n flags; NULL: all) only these classes count, and their probabilities
 * are divided by their sum, as if the softmax had been over them alone. Where the sum is below
 * OCR_TEXT_ELSE something else is written there, and the confidence stays low: it is divided by
 * that. */
#define OCR_TEXT_ELSE 0.2f
OcrText ocr_text_decode(Arena *a, const float *prob, int steps, const OcrAlphabet *alphabet,
                        const bool *allowed);

/* The box as one reads it: upright text of boxes that stand on end (height at least 1.5 widths) is
 * taken to run upwards. */
Quad ocr_text_quad(const Quad *box);
/* Width of the box at a height of `height` pixels, at least 1. */
int ocr_text_width(const Quad *box, int height);

#endif
