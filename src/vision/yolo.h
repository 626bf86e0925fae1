/* What a YOLO-type detector's output says: boxes with a class and a score, each object once.
 *
 *     output -> columns whose best class is sure enough -> boxes of the source -> non-maximum suppression
 *
 * Heads, by their shape with C classes and A places (of a grid, or of several):
 *
 *     YOLO_V8         (1,4+C,A)  cx, cy, width, height in pixels of the input, then a probability a class
 *     YOLO_V8_ROWS    (1,A,4+C)  the same, a place a row
 *     YOLO_V5         (1,A,5+C)  a probability that there is anything comes between: the score is it times the class's
 *     YOLO_END_TO_END (1,A,6)    x0, y0, x1, y1, score, class: suppression has been done
 *
 * Of 2100 places times 18 classes few are sure: a scan that a compiler makes vectors of marks
 * them, boxes are looked at only there. Numbers that are none are an error, not a box. */
#ifndef LATHE_VISION_YOLO_H
#define LATHE_VISION_YOLO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

#define YOLO_MOST 1000 /* boxes that are compared: the best; more are noise */

typedef enum YoloHead { YOLO_V8, YOLO_V8_ROWS, YOLO_V5, YOLO_END_TO_END } YoloHead;

typedef struct YoloShape {
    YoloHead head;
    int places, classes; /* classes of YOLO_END_TO_END: 0, any */
} YoloShape;

/* What an output of these dims is. `nlabel`: classes that the model names, 0 if it does not;
 * without, more columns than rows are YOLO_V8, else YOLO_V5. False: none of these. */
bool yolo_shape(int rank, const int64_t *dim, int nlabel, YoloShape *out);

typedef struct YoloBox { /* top left and size */
    float x, y, width, height;
    float score;
    int label;
} YoloBox;

typedef struct YoloOptions {
    float min_score;
    float iou;          /* boxes that overlap by more are one object .. */
    bool by_class;      /* .. if they are of one class */
    double scale_x, scale_y, shift_x, shift_y; /* source = input * scale + shift */
    double width, height; /* of the source: boxes do not reach beyond */
    /* what begins before the edge is moved, not cut, there (as NudeNet's own code has it) */
    bool keep_size;
} YoloOptions;

/* `at`: dense, of the shape. In `a`, from the best score down. ERR_INVALID: a score or box is no
 * finite number, a score above 1, a class that there is not. */
int yolo_decode(Arena *a, const float *at, const YoloShape *s, const YoloOptions *opt,
                YoloBox **out, int *n, Error *e);

#endif
