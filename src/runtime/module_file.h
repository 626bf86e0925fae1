/* Module files: a program, its code and its constants in one file.
 *
 *     magic "LATHEMOD", format, ABI, target level; a table of sections (kind, place, size, hash); the sections, each at a
 *     multiple of 64 bytes, constants last. Little endian.
 *
 * Constants are used where they lie in the mapped file. Everything is checked before use: hashes, ranges, then
 * program_verify. (The code itself is trusted as any program's is: load only files that you trust to run.) */
#ifndef LATHE_RUNTIME_MODULE_FILE_H
#define LATHE_RUNTIME_MODULE_FILE_H

#include "runtime/run.h"

/* `target`: level that the code needs, e.g. "avx2". `sync`: safe on the disk when this returns. */
int module_save(const char *path, const Program *p, const Image *image, const char *target, bool sync, Error *e);
int module_load(const char *path, Module **out, Error *e);
/* From 64-byte aligned memory, which must stay until `done(arg)` says that it is not needed any more (NULL: nobody
 * cares). A failure leaves it to the caller: `done` is not called. `name` is for messages. */
int module_load_bytes(const char *name, const void *at, size_t size, void (*done)(void *arg), void *arg, Module **out,
                      Error *e);

#endif
