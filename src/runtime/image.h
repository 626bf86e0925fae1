/* Image: the machine code of one or more kernels, flat and position independent.
 *
 * codegen links its own object into an image (codegen/link.c); this loader is the only way code
 * becomes executable: for JIT, disk cache, module file and the tuner's children. It copies the
 * bytes into fresh memory, applies nothing (there are no relocations left), and makes it
 * read-execute. Entry points are byte offsets. */
#ifndef LATHE_RUNTIME_IMAGE_H
#define LATHE_RUNTIME_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime/abi.h"

typedef struct ImageEntry {
    const char *name; /* symbol, for perf */
    uint32_t offset;
    uint32_t size;
} ImageEntry;

typedef struct Image {
    const uint8_t *code; /* constants (.rodata) included, so loads of constants are pc-relative */
    size_t size;
    int nentries;
    const ImageEntry *entry;
} Image;

typedef struct LoadedImage LoadedImage;
/* Maps, copies, protects. With LATHE_PERF=1 writes /tmp/perf-PID.map lines. */
int image_load(const Image *image, LoadedImage **out, Error *e);
void image_unload(LoadedImage *l);
KernelPhase image_entry(const LoadedImage *l, uint32_t offset);

#endif
