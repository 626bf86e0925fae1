/* Formats of pixels, matrix and range. What a stream does not say is taken as everyone takes it:
 * BT.709 from 720 lines on, else BT.601; limited range. */
#include "watch/video_frame.h"

#include <libavutil/frame.h>
#include <libavutil/pixdesc.h>
#include <string.h>

#include "base/heap.h"

typedef struct FormatRow {
    enum AVPixelFormat av;
    FrameFormat format;
    int nplane;
    bool full; /* whatever the range says */
    int shift; /* bits beyond 8, in 16-bit samples; P010 has its ten bits on top */
} FormatRow;

static const FormatRow formats[] = {
    {AV_PIX_FMT_YUV420P, FRAME_I420, 3, false, 0},
    {AV_PIX_FMT_YUVJ420P, FRAME_I420, 3, true, 0},
    {AV_PIX_FMT_YUV422P, FRAME_I422, 3, false, 0},
    {AV_PIX_FMT_YUVJ422P, FRAME_I422, 3, true, 0},
    {AV_PIX_FMT_YUV444P, FRAME_I444, 3, false, 0},
    {AV_PIX_FMT_YUVJ444P, FRAME_I444, 3, true, 0},
    {AV_PIX_FMT_NV12, FRAME_NV12, 2, false, 0},
    {AV_PIX_FMT_GRAY8, FRAME_GRAY, 1, false, 0},
    {AV_PIX_FMT_RGB24, FRAME_RGB24, 1, true, 0},
    {AV_PIX_FMT_BGR24, FRAME_BGR24, 1, true, 0},
    {AV_PIX_FMT_YUV420P10LE, FRAME_I420, 3, false, 2},
    {AV_PIX_FMT_YUV422P10LE, FRAME_I422, 3, false, 2},
    {AV_PIX_FMT_YUV444P10LE, FRAME_I444, 3, false, 2},
    {AV_PIX_FMT_YUV420P12LE, FRAME_I420, 3, false, 4},
    {AV_PIX_FMT_P010LE, FRAME_NV12, 2, false, 8},
};

typedef struct PackedRow { /* pixels in other bytes than ours: of files of pictures. Transparency is
                              passed over */
    enum AVPixelFormat av;
    /* bytes from pixel to pixel; where red, green, blue are; a second one of 0: gray */
    int step, at[3];
} PackedRow;

static const PackedRow packed[] = {
    {AV_PIX_FMT_RGBA, 4, {0, 1, 2}},     {AV_PIX_FMT_BGRA, 4, {2, 1, 0}},
    {AV_PIX_FMT_RGB0, 4, {0, 1, 2}},     {AV_PIX_FMT_BGR0, 4, {2, 1, 0}},
    {AV_PIX_FMT_ARGB, 4, {1, 2, 3}},     {AV_PIX_FMT_RGB48BE, 6, {0, 2, 4}},
    {AV_PIX_FMT_RGBA64BE, 8, {0, 2, 4}}, {AV_PIX_FMT_PAL8, 1, {0, 1, 2}},
    {AV_PIX_FMT_GRAY16BE, 2, {0}},       {AV_PIX_FMT_YA8, 2, {0}},
    {AV_PIX_FMT_YA16BE, 4, {0}},
};

static const PackedRow *find_packed(int av)
{
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++)
        if ((int)packed[i].av == av)
            return &packed[i];
    return NULL;
}

static const FormatRow *find_format(int av)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if ((int)formats[i].av == av)
            return &formats[i];
    return NULL;
}

static FrameMatrix matrix_of(const AVFrame *f)
{
    switch (f->colorspace) {
    case AVCOL_SPC_BT709: return FRAME_BT709;
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
    case AVCOL_SPC_FCC: return FRAME_BT601;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL: return FRAME_BT2020;
    default: return f->height >= 720 ? FRAME_BT709 : FRAME_BT601;
    }
}

/* Bytes or 16-bit samples of a row, and rows, of a plane. */
static int plane_width(const FormatRow *r, int plane, int width)
{
    const int half = (width + 1) / 2;
    if (r->format == FRAME_NV12 && plane == 1)
        return 2 * half;
    return plane > 0 && (r->format == FRAME_I420 || r->format == FRAME_I422) ? half : width;
}

static int plane_height(const FormatRow *r, int plane, int height)
{
    return plane > 0 && (r->format == FRAME_I420 || r->format == FRAME_NV12) ? (height + 1) / 2
                                                                             : height;
}

static int reserve(PixelStore *p, size_t size, const AVFrame *f, const char *name, Error *e)
{
    if (p->size >= size)
        return 0;
    pixel_store_free(p);
    p->at = heap_alloc(size, 64);
    if (!p->at)
        return error_set(e, ERR_MEMORY, "%s: no memory for a picture of %d x %d", name, f->width,
                         f->height);
    p->size = size;
    return 0;
}

/* Packed pixels of other kinds -> three bytes, or one. */
static int repack(PixelStore *p, const PackedRow *r, const AVFrame *f, const char *name, Frame *out,
                  Error *e)
{
    const int n = r->at[1] == 0 ? 1 : 3;
    const int code = reserve(p, (size_t)f->width * (size_t)f->height * (size_t)n, f, name, e);
    if (code != 0)
        return code;
    uint8_t *to = p->at;
    *out = (Frame){.format = n == 1 ? FRAME_GRAY : FRAME_RGB24,
                   .width = f->width,
                   .height = f->height,
                   .full = true,
                   .matrix = matrix_of(f),
                   .plane = {to},
                   .stride = {f->width * n}};
    for (int y = 0; y < f->height; y++) {
        const uint8_t *from = f->data[0] + (ptrdiff_t)y * f->linesize[0];
        for (int x = 0; x < f->width; x++, from += r->step, to += n) {
            uint32_t colour = 0;
            if (r->av == AV_PIX_FMT_PAL8)
                memcpy(&colour, f->data[1] + 4 * *from, 4); /* 0xAARRGGBB */
            for (int k = 0; k < n; k++)
                to[k] =
                    r->av == AV_PIX_FMT_PAL8 ? (uint8_t)(colour >> (16 - 8 * k)) : from[r->at[k]];
        }
    }
    return 0;
}

/* 16-bit samples -> 8, rounded down as a decoder of 8 bits would have it. */
static int narrow(PixelStore *p, const FormatRow *r, const AVFrame *f, const char *name, Frame *out,
                  Error *e)
{
    size_t size = 0;
    for (int k = 0; k < r->nplane; k++)
        size += (size_t)plane_width(r, k, f->width) * (size_t)plane_height(r, k, f->height);
    const int code = reserve(p, size, f, name, e);
    if (code != 0)
        return code;
    uint8_t *to = p->at;
    for (int k = 0; k < r->nplane; k++) {
        const int width = plane_width(r, k, f->width), height = plane_height(r, k, f->height);
        out->plane[k] = to;
        out->stride[k] = width;
        for (int y = 0; y < height; y++, to += width) {
            const uint8_t *const row = f->data[k] + (ptrdiff_t)y * f->linesize[k];
            for (int x = 0; x < width; x++)
                to[x] = (uint8_t)((row[2 * x] | row[2 * x + 1] << 8) >> r->shift);
        }
    }
    return 0;
}

int pixel_store_view(PixelStore *p, const AVFrame *f, const char *name, Frame *out, Error *e)
{
    if (f->width > 16384 || f->height > 16384)
        return error_set(e, ERR_UNSUPPORTED, "%s: pictures of %d x %d", name, f->width, f->height);
    const PackedRow *const other = find_packed(f->format);
    if (other)
        return repack(p, other, f, name, out, e);
    const FormatRow *const r = find_format(f->format);
    if (!r) {
        const char *const format = av_get_pix_fmt_name(f->format);
        return error_set(e, ERR_UNSUPPORTED,
                         "%s: pixels of format %s are not supported; convert it, as by "
                         "ffmpeg -i IN -pix_fmt yuv420p OUT",
                         name, format ? format : "?");
    }
    *out = (Frame){
        .format = r->format, .width = f->width, .height = f->height, .matrix = matrix_of(f)};
    out->full = r->full || f->color_range == AVCOL_RANGE_JPEG;
    out->centre = f->chroma_location == AVCHROMA_LOC_CENTER;
    if (r->shift > 0)
        return narrow(p, r, f, name, out, e);
    for (int k = 0; k < r->nplane; k++) {
        out->plane[k] = f->data[k];
        out->stride[k] = f->linesize[k];
    }
    return 0;
}

void pixel_store_free(PixelStore *p)
{
    heap_free(p->at);
    *p = (PixelStore){0};
}
