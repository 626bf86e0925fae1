/* Module files: a program, its code and its constants in one file.
 *
 *     magic "LATHEMOD", format, ABI, target level; a table of sections (kind, place, size, hash); the sections, each at a
 *     multiple of 64 bytes, constants last. Little endian.
 *
 * Constants are used where they lie in the mapped file. Everything is checked before use: hashes,
 * ranges, then program_verify.
 *
 * What that protects from. The hashes find damage: a bad disk, a file cut short, a crash while
 * it was written. They are no signature: whoever can write the file can make them right. The
 * verifier and the checks of a run make the tables safe whatever they say
 * (tests/fuzz/fuzz_module.c): no index, offset, jump or copy leaves its place. The machine code
 * is not checked at all and may do what the process may: load only what you would also start as
 * a program. */
#ifndef LATHE_RUNTIME_MODULE_FILE_H
#define LATHE_RUNTIME_MODULE_FILE_H

#include "runtime/run.h"

/* `target`: level that the code needs, e.g. "avx2". `sync`: safe on the disk when this returns. */
int module_save(const char *path, const Program *p, const Image *image, const char *target,
                bool sync, Error *e);
/* The same with `sync`, by whoever does not run the program any more: memory of its constants goes
 * back as they are written (file_write_spent). */
int module_save_spent(const char *path, const Program *p, const Image *image, const char *target,
                      Error *e);
int module_load(const char *path, Module **out, Error *e);
/* From 64-byte aligned memory, which must stay until `done(arg)` says that it is not needed any
 * more (NULL: nobody cares). A failure leaves it to the caller: `done` is not called. `name` is for
 * messages. */
int module_load_bytes(const char *name, const void *at, size_t size, void (*done)(void *arg),
                      void *arg, Module **out, Error *e);

#endif
