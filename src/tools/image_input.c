/* Pictures as inputs of models. See image_input.h. */
#include "tools/image_input.h"

#include <math.h>
#include <stdlib.h>

#include "base/str.h"
#include "vision/picture.h"

/* ---- options ---- */

/* "0.5" or "0.485,0.456,0.406". */
static int parse_channels(const char *name, const char *text, double *out, Error *e)
{
    const char *p = text;
    int n = 0;
    for (; n < 3; n++) {
        char *end;
        out[n] = strtod(p, &end);
        if (end == p || !isfinite(out[n]) || (*end && *end != ','))
            return error_set(e, ERR_INVALID,
                             "%s: '%s' is neither a number nor three with commas between", name,
                             text);
        p = end + 1;
        if (!*end)
            break;
    }
    if (n == 0)
        out[1] = out[2] = out[0];
    else if (n != 2)
        return error_set(e, ERR_INVALID, "%s: '%s': one number, or three with commas between", name,
                         text);
    return 0;
}

int image_options(Args *a, ImageOptions *out, Error *e)
{
    const char *mean = args_value(a, "--mean", NULL), *scale = args_value(a, "--scale", NULL);
    *out = (ImageOptions){.bgr = args_flag(a, "--bgr"), .given = mean || scale};
    int code = parse_channels("--mean", mean ? mean : "0", out->mean, e);
    if (code == 0)
        /* 1 / 255 */
        code = parse_channels("--scale", scale ? scale : "0.00392156862745098", out->scale, e);
    return code;
}

bool image_is_file(const char *path)
{
    return str_ends(path, ".png") || str_ends(path, ".jpg") || str_ends(path, ".jpeg");
}

/* ---- shapes ---- */

typedef struct ImageDims { /* where the parts of an image are among an input's dims */
    int channel, row, column;
    int64_t channels, height, width; /* -1: open */
} ImageDims;

static bool is_colour(int64_t dim)
{
    return dim == 3 || dim == 1;
}

static bool find_frame(const struct Port *p, ImageDims *f)
{
    const int first = p->rank - 3;
    if (first < 0 || first > 1 || (first == 1 && p->dim[0] != 1 && p->dim[0] != -1))
        return false;
    const int64_t *d = &p->dim[first];
    if (is_colour(d[0]) && !(d[0] == 1 && d[2] == 3)) /* (1,1,w,3) is one row of colours */
        *f = (ImageDims){first, first + 1, first + 2, d[0], d[1], d[2]};
    else if (is_colour(d[2]))
        *f = (ImageDims){first + 2, first, first + 1, d[2], d[0], d[1]};
    else
        return false;
    return f->height != 0 && f->width != 0 && f->height <= PICTURE_MAX_SIDE &&
           f->width <= PICTURE_MAX_SIDE;
}

static const char *describe_port(Arena *a, const struct Port *p)
{
    Str s = str_new(a);
    str_addf(&s, "%s[", dtype_name(p->dtype));
    for (int k = 0; k < p->rank; k++)
        str_addf(&s, p->dim[k] < 0 ? "%s?" : "%s%lld", k > 0 ? "," : "", (long long)p->dim[k]);
    str_addc(&s, ']');
    return str_text(&s);
}

/* ---- pixels ---- */

static void write_pixel(DType t, void *p, double v, const ImageOptions *opt, int channel)
{
    if (t != DT_U8 || opt->given)
        v = (v - opt->mean[channel]) * opt->scale[channel];
    if (t == DT_U8)
        dtype_write_int(t, p, llrint(v < 0 ? 0 : v > 255 ? 255 : v));
    else
        dtype_write(t, p, v, false);
}

/* planes (3, height, width), of 0 .. 255 */
static void fill_tensor(const float *planes, const ImageDims *f, const ImageOptions *opt, Tensor *t)
{
    static const double grey[2][3] = {{0.299, 0.587, 0.114}, {0.114, 0.587, 0.299}}; /* BT.601 */
    const int64_t area = f->height * f->width;
    const bool planar = f->channel < f->row;
    const size_t size = (size_t)dtype_size(t->dtype);
    for (int64_t at = 0; at < area; at++) {
        for (int c = 0; c < f->channels; c++) {
            double v = (double)planes[c * area + at];
            for (int k = 0; f->channels == 1 && k < 3; k++)
                v = (k == 0 ? 0 : v) + grey[opt->bgr][k] * (double)planes[k * area + at];
            const int64_t to = planar ? c * area + at : at * f->channels + c;
            write_pixel(t->dtype, (char *)t->data + (size_t)to * size, v, opt, c);
        }
    }
}

static int make_tensor(Arena *a, const char *path, const struct Port *p, ImageDims f,
                       const ImageOptions *opt, Tensor **out, Error *e)
{
    Picture *picture;
    const int code = picture_read(a, path, &picture, e);
    if (code != 0)
        return code;
    f.height = f.height < 0 ? picture->height : f.height;
    f.width = f.width < 0 ? picture->width : f.width;
    int64_t dim[MAX_RANK] = {1};
    dim[f.channel] = f.channels;
    dim[f.row] = f.height;
    dim[f.column] = f.width;
    *out = tensor_new(p->dtype, p->rank, dim, e);
    if (!*out)
        return e->code;
    float *planes = arena_array_of(a, 3 * f.height * f.width, float);
    const Quad all = picture_quad(picture);
    const SampleOptions sample = {.scale = 1, .bgr = opt->bgr};
    picture_sample(picture, &all, (int)f.width, (int)f.height, (int)f.width, &sample, planes);
    fill_tensor(planes, &f, opt, *out);
    return 0;
}

int image_read(const char *path, const struct Port *p, const ImageOptions *opt, Tensor **out,
               Error *e)
{
    Arena *a = arena_new();
    ImageDims f;
    int code = 0;
    if ((!dtype_is_float(p->dtype) && p->dtype != DT_U8) || !find_frame(p, &f))
        code = error_set(e, ERR_INVALID,
                         "'%s': the input '%s' is %s, no image: that has the shape [1,3,H,W] or "
                         "[1,H,W,3] (or 1 channel) "
                         "of floats or u8",
                         path, p->name, describe_port(a, p));
    if (code == 0)
        code = make_tensor(a, path, p, f, opt, out, e);
    arena_free(a);
    return code;
}
