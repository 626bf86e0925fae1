/* Scan, boxes, suppression. */
#include "vision/yolo.h"

#include <math.h>
#include <string.h>

#include "base/vec.h"
#include "kernel/host.h"
#include "kernel/order.h"

typedef VEC(YoloBox) Boxes;

bool yolo_shape(int rank, const int64_t *dim, int nlabel, YoloShape *out)
{
    if (rank != 3 || dim[0] != 1 || dim[1] < 1 || dim[2] < 1 || dim[1] > INT32_MAX ||
        dim[2] > INT32_MAX / dim[1])
        return false;
    const int rows = (int)dim[1], columns = (int)dim[2];
    const struct { YoloHead head; int width, places, other; } form[] = {
        {YOLO_V8, rows, columns, 4}, {YOLO_V8_ROWS, columns, rows, 4}, {YOLO_V5, columns, rows, 5}};
    for (int i = 0; i < 3 && nlabel > 0; i++) {
        if (form[i].width != form[i].other + nlabel)
            continue;
        *out = (YoloShape){form[i].head, form[i].places, nlabel};
        return true;
    }
    *out = columns == 6 && rows <= YOLO_MOST ? (YoloShape){YOLO_END_TO_END, rows, 0}
           : columns > rows                  ? (YoloShape){YOLO_V8, columns, rows - 4}
                                             : (YoloShape){YOLO_V5, rows, columns - 5};
    return out->head == YOLO_END_TO_END || (nlabel == 0 && out->classes > 0);
}

/* ---- candidates ---- */

static int bad(Error *e, const char *what)
{
    return error_set(e, ERR_INVALID, "the model's output holds %s", what);
}

/* As box and score come out of the model. */
static int add(Arena *a, Boxes *v, YoloBox b, const YoloOptions *opt, Error *e)
{
    if (!isfinite(b.score) || !isfinite(b.x) || !isfinite(b.y) || !isfinite(b.width) ||
        !isfinite(b.height))
        return bad(e, "what is no finite number");
    if (b.score > 1.001f)
        return bad(
            e, "scores above 1: a detector's are wanted as probabilities, behind its last sigmoid");
    double x = b.x * opt->scale_x + opt->shift_x, y = b.y * opt->scale_y + opt->shift_y;
    double right = x + b.width * opt->scale_x, bottom = y + b.height * opt->scale_y;
    const double x0 = fmin(fmax(x, 0), opt->width), y0 = fmin(fmax(y, 0), opt->height);
    if (opt->keep_size) {
        right += x0 - x;
        bottom += y0 - y;
    }
    const YoloBox out = {.x = (float)x0,
                         .y = (float)y0,
                         .width = (float)(fmin(right, opt->width) - x0),
                         .height = (float)(fmin(bottom, opt->height) - y0),
                         .score = b.score,
                         .label = b.label};
    if (out.width > 0 && out.height > 0)
        vec_push(a, v, out);
    return 0;
}

static YoloBox centred(float cx, float cy, float width, float height, float score, int label)
{
    return (YoloBox){cx - width / 2, cy - height / 2, width, height, score, label};
}

/* The first of the largest; a NaN is the largest. */
static int best_class(const float *score, int64_t stride, int n)
{
    int best = 0;
    for (int c = 1; c < n; c++)
        if (!(score[c * stride] <= score[best * stride]) && !isnan(score[best * stride]))
            best = c;
    return best;
}

/* (4+C,A): classes are scanned one after the other, as memory has them. `!(x < y)` is true of a
 * NaN. */
static int scan_columns(Arena *a, const float *at, const YoloShape *s, const YoloOptions *opt,
                        Boxes *v, Error *e)
{
    const int64_t n = s->places;
    const float *const score = at + 4 * n, least = opt->min_score;
    int32_t *const sure = arena_array_of(a, n, int32_t);
    for (int c = 0; c < s->classes; c++)
        for (int64_t i = 0; i < n; i++)
            sure[i] |= !(score[c * n + i] < least);
    int code = 0;
    for (int64_t i = 0; i < n && code == 0; i++) {
        if (!sure[i])
            continue;
        const int c = best_class(score + i, n, s->classes);
        code =
            add(a, v, centred(at[i], at[n + i], at[2 * n + i], at[3 * n + i], score[c * n + i], c),
                opt, e);
    }
    return code;
}

/* (A,4+C), (A,5+C) */
static int scan_rows(Arena *a, const float *at, const YoloShape *s, const YoloOptions *opt,
                     Boxes *v, Error *e)
{
    const int first = s->head == YOLO_V5 ? 5 : 4;
    const int64_t width = first + s->classes;
    int code = 0;
    for (int64_t i = 0; i < s->places && code == 0; i++) {
        const float *const row = at + i * width;
        const float any = s->head == YOLO_V5 ? row[4] : 1;
        if (any < opt->min_score)
            continue;
        const int c = best_class(row + first, 1, s->classes);
        const float score = any * row[first + c];
        if (!(score < opt->min_score))
            code = add(a, v, centred(row[0], row[1], row[2], row[3], score, c), opt, e);
    }
    return code;
}

static int scan_end_to_end(Arena *a, const float *at, const YoloShape *s, const YoloOptions *opt,
                           Boxes *v, Error *e)
{
    int code = 0;
    for (int64_t i = 0; i < s->places && code == 0; i++) {
        const float *const row = at + 6 * i;
        if (row[4] < opt->min_score)
            continue;
        if (!(row[5] >= 0 && row[5] < 65536)) {
            code = bad(e, "a class that there is not");
            continue;
        }
        code = add(a, v,
                   (YoloBox){row[0], row[1], row[2] - row[0], row[3] - row[1], row[4], (int)row[5]},
                   opt, e);
    }
    return code;
}

/* ---- suppression ---- */

static bool better(const void *arg, int64_t p, int64_t q)
{
    const YoloBox *const b = arg;
    return b[p].score > b[q].score;
}

/* From the best down, YOLO_MOST at most. */
static void sort(Arena *a, Boxes *v)
{
    int64_t *const order = arena_array_of(a, v->len + 1, int64_t), *const tmp =
                                                                       arena_array_of(a, v->len + 1,
                                                                                      int64_t);
    for (int i = 0; i < v->len; i++)
        order[i] = i;
    order_sort(v->len, order, tmp, better, v->at);
    const int n = v->len < YOLO_MOST ? v->len : YOLO_MOST;
    YoloBox *const sorted = arena_array_of(a, n + 1, YoloBox);
    for (int i = 0; i < n; i++)
        sorted[i] = v->at[order[i]];
    v->at = sorted;
    v->len = n;
}

/* Marks in `kept` what stays of box[of[i]], which are sorted. */
static int suppress(Arena *a, const YoloBox *box, const int *of, int n, float iou, bool *kept,
                    Error *e)
{
    float *const corner = arena_array_of(a, 4 * n, float), *const score =
                                                               arena_array_of(a, n, float);
    for (int i = 0; i < n; i++) {
        const YoloBox *const b = &box[of[i]];
        memcpy(corner + 4 * i, (float[]){b->y, b->x, b->y + b->height, b->x + b->width},
               4 * sizeof *corner);
        score[i] = b->score;
    }
    int64_t most = n;
    HostCall call = {.phase = HOST_PLAN, .nin = 4, .nout = 1, .error = e};
    call.in[0] = (HostTensor){DT_F32, 3, {1, n, 4}, corner};
    call.in[1] = (HostTensor){DT_F32, 3, {1, 1, n}, score};
    call.in[2] = (HostTensor){DT_I64, 1, {1}, &most};
    call.in[3] = (HostTensor){DT_F32, 1, {1}, &iou};
    call.out[0].dtype = DT_I64;
    int code = host_non_max_suppression(&call);
    if (code != 0)
        return code;
    call.scratch = arena_alloc_aligned(a, call.scratch_bytes, 64);
    call.phase = HOST_SIZE;
    code = host_non_max_suppression(&call);
    if (code != 0)
        return code;
    int64_t *const index = arena_array_of(a, 3 * call.out[0].dim[0] + 1, int64_t);
    call.out[0].data = index;
    call.phase = HOST_RUN;
    code = host_non_max_suppression(&call);
    for (int64_t i = 0; i < call.out[0].dim[0] && code == 0; i++)
        kept[of[index[3 * i + 2]]] = true;
    return code;
}

static int suppress_all(Arena *a, const Boxes *v, const YoloOptions *opt, bool *kept, Error *e)
{
    int *const of = arena_array_of(a, v->len + 1, int);
    bool *const done = arena_array_of(a, v->len + 1, bool);
    int code = 0;
    for (int i = 0; i < v->len && code == 0; i++) {
        int n = 0;
        for (int k = i; k < v->len && !done[i]; k++)
            if (!opt->by_class || v->at[k].label == v->at[i].label)
                of[n++] = k;
        for (int k = 0; k < n; k++)
            done[of[k]] = true;
        code = n > 0 ? suppress(a, v->at, of, n, opt->iou, kept, e) : 0;
    }
    return code;
}

int yolo_decode(Arena *a, const float *at, const YoloShape *s, const YoloOptions *opt,
                YoloBox **out, int *n, Error *e)
{
    static int (*const scan[])(Arena *, const float *, const YoloShape *, const YoloOptions *,
                               Boxes *, Error *) = {[YOLO_V8] = scan_columns,
                                                    [YOLO_V8_ROWS] = scan_rows,
                                                    [YOLO_V5] = scan_rows,
                                                    [YOLO_END_TO_END] = scan_end_to_end};
    Arena *const tmp = arena_new();
    Boxes v = {0};
    *n = 0;
    int code = scan[s->head](tmp, at, s, opt, &v, e);
    sort(tmp, &v);
    bool *const kept = arena_array_of(tmp, v.len + 1, bool);
    memset(kept, s->head == YOLO_END_TO_END, (size_t)v.len);
    if (code == 0 && s->head != YOLO_END_TO_END)
        code = suppress_all(tmp, &v, opt, kept, e);
    *out = arena_array_of(a, v.len + 1, YoloBox);
    for (int i = 0; i < v.len && code == 0; i++)
        if (kept[i])
            (*out)[(*n)++] = v.at[i];
    arena_free(tmp);
    return code;
}
