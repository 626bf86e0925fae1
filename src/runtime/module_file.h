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

/* `target`: level that the code needs, e.g. "avx2". */
int module_save(const char *path, const Program *p, const Image *image, const char *target, Error *e);
int module_load(const char *path, Module **out, Error *e);

#endif
