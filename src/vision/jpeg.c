/* JPEG in and out, through libjpeg. Its errors leave by longjmp, which stays inside this file. */
#include "vision/picture.h"

#if HAVE_JPEG

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

typedef struct JpegErrors {
    struct jpeg_error_mgr base; /* first: libjpeg hands this pointer back */
    jmp_buf entry;
    char text[JMSG_LENGTH_MAX];
} JpegErrors;

static void on_error(j_common_ptr info)
{
    JpegErrors *const errors = (JpegErrors *)info->err;
    errors->base.format_message(info, errors->text);
    longjmp(errors->entry, 1);
}

/* Warnings: a damaged picture is shown as far as it goes. */
static void on_message(j_common_ptr info, int level)
{
    (void)info, (void)level;
}

int jpeg_decode(Arena *a, const char *name, const uint8_t *at, size_t size, Picture **out, Error *e)
{
    struct jpeg_decompress_struct info;
    JpegErrors errors;
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = on_error;
    errors.base.emit_message = on_message;
    if (setjmp(errors.entry)) {
        jpeg_destroy_decompress(&info);
        return error_set(e, ERR_INVALID, "%s: %s", name, errors.text);
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, at, (unsigned long)size);
    jpeg_read_header(&info, TRUE);
    const int code = picture_check_size(info.image_width, info.image_height, name, e);
    if (code != 0) {
        jpeg_destroy_decompress(&info);
        return code;
    }
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    Picture *const p = picture_new(a, (int)info.output_width, (int)info.output_height);
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = p->rgb + (size_t)info.output_scanline * (size_t)p->width * 3;
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    *out = p;
    return 0;
}

/* ---- out ---- */

typedef struct JpegTarget { /* a buffer that is large enough, or it is an error */
    struct jpeg_destination_mgr base; /* first: libjpeg hands this pointer back */
    uint8_t *at;
    size_t size;
} JpegTarget;

static void begin_target(j_compress_ptr info)
{
    JpegTarget *const t = (JpegTarget *)info->dest;
    t->base.next_output_byte = t->at;
    t->base.free_in_buffer = t->size;
}

static boolean target_full(j_compress_ptr info)
{
    JpegErrors *const errors = (JpegErrors *)info->err;
    snprintf(errors->text, sizeof errors->text, "more than %zu bytes",
             ((JpegTarget *)info->dest)->size);
    longjmp(errors->entry, 1);
}

static void end_target(j_compress_ptr info)
{
    (void)info;
}

bool jpeg_can_encode(void)
{
    return true;
}

int jpeg_encode(Arena *a, const Picture *p, int quality, const uint8_t **at, size_t *size, Error *e)
{
    struct jpeg_compress_struct info;
    JpegErrors errors;
    JpegTarget target = {.base = {.init_destination = begin_target,
                                  .empty_output_buffer = target_full,
                                  .term_destination = end_target},
                         .size = (size_t)p->width * (size_t)p->height * 3 + 4096};
    target.at = arena_alloc(a, target.size);
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = on_error;
    errors.base.emit_message = on_message;
    if (setjmp(errors.entry)) {
        jpeg_destroy_compress(&info);
        return error_set(e, ERR_INVALID, "JPEG of %d x %d: %s", p->width, p->height, errors.text);
    }
    jpeg_create_compress(&info);
    info.dest = &target.base;
    info.image_width = (JDIMENSION)p->width;
    info.image_height = (JDIMENSION)p->height;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        JSAMPROW row = p->rgb + (size_t)info.next_scanline * (size_t)p->width * 3;
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    *at = target.at;
    *size = target.size - target.base.free_in_buffer;
    jpeg_destroy_compress(&info);
    return 0;
}

#else

bool jpeg_can_encode(void)
{
    return false;
}

int jpeg_encode(Arena *a, const Picture *p, int quality, const uint8_t **at, size_t *size, Error *e)
{
    (void)a, (void)p, (void)quality, (void)at, (void)size;
    return error_set(e, ERR_UNSUPPORTED, "this build has no libjpeg");
}

int jpeg_decode(Arena *a, const char *name, const uint8_t *at, size_t size, Picture **out, Error *e)
{
    (void)a, (void)at, (void)size, (void)out;
    return error_set(e, ERR_UNSUPPORTED, "%s: this build has no libjpeg", name);
}

#endif
