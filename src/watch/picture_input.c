/* Where the picture goes in the input, and what is put around it. */
#include "watch/picture_input.h"

#include <math.h>

#include "base/file.h"
#include "vision/labels.h"

int picture_input_size(const PictureInput *in, const InferModel *model, int missing, int *width,
                       int *height, Error *e)
{
    int fixed_height, fixed_width;
    infer_input_size(model, &fixed_height, &fixed_width);
    *width = in->width ? in->width : fixed_width ? fixed_width : missing;
    *height = in->height ? in->height : fixed_height ? fixed_height : missing;
    if ((fixed_width && *width != fixed_width) || (fixed_height && *height != fixed_height))
        return error_set(e, ERR_INVALID, "%s: its input is %d x %d, 'size' says %d x %d",
                         infer_path(model), fixed_width, fixed_height, *width, *height);
    return 0;
}

typedef struct Fitted { /* the part of the input that shows something, and what: pixels of the
                           region */
    int x, y, width, height;
    FrameBox from;
    PicturePlace place;
} Fitted;

static PicturePlace place_of(const Fitted *f)
{
    const double sx = f->from.width / f->width, sy = f->from.height / f->height;
    return (PicturePlace){sx, sy, f->from.x - f->x * sx, f->from.y - f->y * sy};
}

static Fitted fit_centre(double w, double h, int width, int height)
{
    const double r = fmin(width / w, height / h);
    Fitted f = {.width = (int)fmin(width, fmax(1, round(w * r))),
                .height = (int)fmin(height, fmax(1, round(h * r))),
                .from = {0, 0, w, h}};
    /* of an odd rest the smaller half comes first, as in the models' own code */
    f.x = (int)round((width - f.width) / 2.0 - 0.1);
    f.y = (int)round((height - f.height) / 2.0 - 0.1);
    return f;
}

/* Of an axis resized from `side` to n: how many samples are centred within `size`. */
static int samples_within(double size, double side, int n)
{
    return (int)fmin(n, fmax(1, ceil(size * n / side - 0.5)));
}

static Fitted fit_corner(double w, double h, int width, int height)
{
    const double side = fmax(w, h);
    Fitted f = {.width = samples_within(w, side, width), .height = samples_within(h, side, height)};
    f.from = (FrameBox){0, 0, f.width * side / width, f.height * side / height};
    return f;
}

static Fitted fit_crop(double w, double h, int width, int height)
{
    const double r = fmin(w / width, h / height);
    return (Fitted){.width = width,
                    .height = height,
                    .from = {(w - width * r) / 2, (h - height * r) / 2, width * r, height * r}};
}

static Fitted fit(PictureFit how, double w, double h, int width, int height)
{
    Fitted f = how == FIT_CENTRE   ? fit_centre(w, h, width, height)
               : how == FIT_CORNER ? fit_corner(w, h, width, height)
               : how == FIT_CROP   ? fit_crop(w, h, width, height)
                                 : (Fitted){.width = width, .height = height, .from = {0, 0, w, h}};
    f.place = place_of(&f);
    return f;
}

/* How much of the last sample of an axis comes from behind the picture's end: it lies between the
 * last pixel and the first that was filled up. */
static float share_behind(double size, double step, int n)
{
    const double at = (n - 0.5) * step - 0.5; /* 0: the middle of pixel 0 */
    return (float)fmin(1, fmax(0, at - (size - 1)));
}

/* What was filled up before it was resized has a soft edge. */
static void soften(float *planes, int width, int height, const Fitted *f, double w, double h,
                   const float *fill)
{
    const float right = f->width < width ? share_behind(w, f->place.scale_x, f->width) : 0;
    const float bottom = f->height < height ? share_behind(h, f->place.scale_y, f->height) : 0;
    for (int c = 0; c < 3; c++) {
        float *const p = planes + (ptrdiff_t)c * width * height;
        float *const column = p + f->width - 1, *const row = p + (ptrdiff_t)(f->height - 1) * width;
        for (int y = 0; y < f->height && right > 0; y++)
            column[(ptrdiff_t)y * width] += right * (fill[c] - column[(ptrdiff_t)y * width]);
        for (int x = 0; x < f->width && bottom > 0; x++)
            row[x] += bottom * (fill[c] - row[x]);
    }
}

PicturePlace picture_input_fill(const Look *l, const FrameBox *box, const PictureInput *in,
                                int width, int height, bool area, float *planes)
{
    const Fitted f = fit(in->fit, box->width, box->height, width, height);
    const ptrdiff_t plane = (ptrdiff_t)width * height;
    FrameTensor t = {.data = planes + (ptrdiff_t)f.y * width + f.x,
                     .dtype = DT_F32,
                     .order = FRAME_NCHW,
                     .width = f.width,
                     .height = f.height,
                     .channels = 3,
                     .bgr = in->bgr,
                     .row = width,
                     .plane = plane};
    float fill[3];
    for (int c = 0; c < 3; c++) {
        t.scale[c] = (float)(1 / in->scale[c]);
        t.shift[c] = (float)(-in->mean[c] / in->scale[c]);
        fill[c] = (float)((in->fill - in->mean[c]) / in->scale[c]);
        for (ptrdiff_t i = 0; i < plane && (f.width < width || f.height < height); i++)
            planes[c * plane + i] = fill[c];
    }
    const FrameBox from = {box->x + f.from.x, box->y + f.from.y, f.from.width, f.from.height};
    look_tensor(l, &from, area ? frame_filter(&from, f.width, f.height) : FRAME_BILINEAR, &t);
    if (in->fit == FIT_CORNER)
        soften(planes, width, height, &f, box->width, box->height, fill);
    return f.place;
}

int picture_labels(Arena *a, const char *file, const InferModel *model, const char *const **out,
                   int *n, Error *e)
{
    const char *text = infer_metadata(model, a, "names");
    File f;
    *n = 0;
    *out = NULL;
    if (file) {
        const int code = file_map(a, file, &f, e);
        if (code != 0)
            return code;
        text = arena_strndup(a, (const char *)f.at, f.size);
    }
    if (!text)
        return 0;
    *out = labels_parse(a, text, n);
    return *out ? 0
                : error_set(e, ERR_INVALID, "%s: its %s is no list of labels",
                            file ? file : infer_path(model), file ? "text" : "metadata 'names'");
}
