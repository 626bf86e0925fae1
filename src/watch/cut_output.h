/* The file that a part or a reel becomes: written beside its name by a descriptor alone, which may
 * be another process's (isolated_cut.h), and renamed when it is whole.
 *
 *     cut_output_open(a, path, &o, e)          PATH.part
 *     cut_output_attach(format, o.file) .. write .. cut_output_detach(format)
 *     cut_output_close(&o, code, &bytes, e)    PATH, or nothing */
#ifndef LATHE_WATCH_CUT_OUTPUT_H
#define LATHE_WATCH_CUT_OUTPUT_H

#include <libavformat/avformat.h>

#include "base/arena.h"
#include "base/error.h"

typedef struct CutOutput {
    int file;
    const char *path, *partial;
} CutOutput;

int cut_output_open(Arena *a, const char *path, CutOutput *out, Error *e); /* ERR_IO */
/* code: how writing ended; what did not end well is removed. Returns it, or ERR_IO. */
int cut_output_close(CutOutput *o, int code, int64_t *bytes, Error *e);

/* What the muxer writes goes to the file, from its beginning on, and what it reads again comes from
 * there. Below 0: libav's error. */
int cut_output_attach(AVFormatContext *f, int *file);
/* All of it has been written; below 0: not. Nothing was attached: 0. */
int cut_output_detach(AVFormatContext *f);

#endif
