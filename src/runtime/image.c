/* Loading images: fresh pages, copied, then read-execute. Nothing is writable and executable at
 * once. */
#include "runtime/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The mapping starts with this page-sized-or-less header, then the code: one mmap, no malloc. */
struct LoadedImage {
    size_t mapped;
    uint8_t *code;
    size_t size;
};

/* Tells `perf` where the functions are (its documented JIT interface: one line a symbol). */
static void write_perf_map(const Image *image, const uint8_t *code)
{
    const char *on = getenv("LATHE_PERF");
    if (!on || strcmp(on, "1") != 0)
        return;
    char path[64];
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    FILE *f = fopen(path, "a");
    if (!f)
        return; /* a profile without names is no reason to fail */
    for (int k = 0; k < image->nentries; k++)
        fprintf(f, "%llx %x %s\n", (unsigned long long)(uintptr_t)(code + image->entry[k].offset),
                image->entry[k].size, image->entry[k].name);
    fclose(f);
}

int image_load(const Image *image, LoadedImage **out, Error *e)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int k = 0; k < image->nentries; k++)
        if (image->entry[k].offset >= image->size)
            return error_set(e, ERR_INVALID, "image: entry '%s' lies outside of the code",
                             image->entry[k].name);
    if (image->size == 0 || image->size > SIZE_MAX / 2)
        return error_set(e, ERR_INVALID, "image: %zu bytes of code", image->size);
    const size_t mapped = page + (image->size + page - 1) / page * page;
    uint8_t *at = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return error_set(e, ERR_MEMORY, "image: no memory for %zu bytes of code: %s", mapped,
                         strerror(errno));
    LoadedImage *l = (LoadedImage *)at;
    *l = (LoadedImage){.mapped = mapped, .code = at + page, .size = image->size};
    memcpy(l->code, image->code, image->size);
    if (mprotect(l->code, mapped - page, PROT_READ | PROT_EXEC) != 0) {
        munmap(at, mapped);
        return error_set(e, ERR_UNSUPPORTED, "image: this system refuses executable memory: %s",
                         strerror(errno));
    }
    write_perf_map(image, l->code);
    *out = l;
    return ERR_OK;
}

void image_unload(LoadedImage *l)
{
    if (l)
        munmap(l, l->mapped);
}

KernelPhase image_entry(const LoadedImage *l, uint32_t offset)
{
    /* ISO C has no cast from data to code; POSIX does. */
    KernelPhase phase = NULL;
    if (offset < l->size) {
        const uint8_t *at = l->code + offset;
        memcpy(&phase, &at, sizeof phase);
    }
    return phase;
}
