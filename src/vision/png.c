/* PNG in and out, through libpng's simplified interface, which reports errors by return value. */
#include "vision/picture.h"

#if HAVE_PNG

#include <png.h>

#include "base/file.h"

static int begin(const char *name, const uint8_t *at, size_t size, png_image *image, Error *e)
{
    *image = (png_image){.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(image, at, size))
        return error_set(e, ERR_INVALID, "%s: %s", name, image->message);
    const int code = picture_check_size(image->width, image->height, name, e);
    if (code != 0)
        png_image_free(image);
    return code;
}

int png_decode_alpha(Arena *a, const char *name, const uint8_t *at, size_t size, Picture **out,
                     uint8_t **alpha, Error *e)
{
    png_image image;
    const int code = begin(name, at, size, &image, e);
    if (code != 0)
        return code;
    image.format = PNG_FORMAT_RGBA;
    Picture *const p = picture_new(a, (int)image.width, (int)image.height);
    const size_t n = (size_t)p->width * (size_t)p->height;
    uint8_t *const rgba = arena_alloc(a, 4 * n);
    if (!png_image_finish_read(&image, NULL, rgba, 0, NULL))
        return error_set(e, ERR_INVALID, "%s: %s", name, image.message);
    *alpha = arena_alloc(a, n);
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < 3; k++)
            p->rgb[3 * i + (size_t)k] = rgba[4 * i + (size_t)k];
        (*alpha)[i] = rgba[4 * i + 3];
    }
    *out = p;
    return 0;
}

int png_decode(Arena *a, const char *name, const uint8_t *at, size_t size, Picture **out, Error *e)
{
    png_image image;
    const int code = begin(name, at, size, &image, e);
    if (code != 0)
        return code;
    image.format = PNG_FORMAT_RGB;
    Picture *const p = picture_new(a, (int)image.width, (int)image.height);
    const png_color white = {255, 255, 255};
    if (!png_image_finish_read(&image, &white, p->rgb, 0, NULL))
        return error_set(e, ERR_INVALID, "%s: %s", name, image.message);
    *out = p;
    return 0;
}

/* Whole or not at all: who reads the file meanwhile has the one before, which also stays if the
 * disk is full. */
static int write_image(const char *path, png_image *image, const uint8_t *at, Error *e)
{
    Arena *const a = arena_new();
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(*image);
    void *const png = arena_alloc(a, size);
    const int code = png_image_write_to_memory(image, png, &size, 0, at, 0, NULL)
                         ? file_write(path, png, size, e)
                         : error_set(e, ERR_IO, "%s: %s", path, image->message);
    arena_free(a);
    return code;
}

int picture_write_png(const char *path, const Picture *p, Error *e)
{
    png_image image = {
        .version = PNG_IMAGE_VERSION,
        .width = (png_uint_32)p->width,
        .height = (png_uint_32)p->height,
        .format = PNG_FORMAT_RGB,
    };
    return write_image(path, &image, p->rgb, e);
}

int picture_write_png_alpha(const char *path, const Picture *p, const uint8_t *alpha, Error *e)
{
    if (!alpha)
        return picture_write_png(path, p, e);
    const size_t n = (size_t)p->width * (size_t)p->height;
    png_image image = {
        .version = PNG_IMAGE_VERSION,
        .width = (png_uint_32)p->width,
        .height = (png_uint_32)p->height,
        .format = PNG_FORMAT_RGBA,
    };
    Arena *const a = arena_new();
    uint8_t *const rgba = arena_alloc(a, 4 * n);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < 3; k++)
            rgba[4 * i + k] = p->rgb[3 * i + k];
        rgba[4 * i + 3] = alpha[i];
    }
    const int code = write_image(path, &image, rgba, e);
    arena_free(a);
    return code;
}

#else

int png_decode(Arena *a, const char *name, const uint8_t *at, size_t size, Picture **out, Error *e)
{
    (void)a, (void)at, (void)size, (void)out;
    return error_set(e, ERR_UNSUPPORTED, "%s: this build has no libpng", name);
}

int png_decode_alpha(Arena *a, const char *name, const uint8_t *at, size_t size, Picture **out,
                     uint8_t **alpha, Error *e)
{
    (void)alpha;
    return png_decode(a, name, at, size, out, e);
}

int picture_write_png(const char *path, const Picture *p, Error *e)
{
    (void)p;
    return error_set(e, ERR_UNSUPPORTED, "%s: this build has no libpng", path);
}

int picture_write_png_alpha(const char *path, const Picture *p, const uint8_t *alpha, Error *e)
{
    (void)alpha;
    return picture_write_png(path, p, e);
}

#endif
