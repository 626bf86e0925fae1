/* The disk cache: compiled models, by everything that they were made from.
 *
 * The key is a digest (base/digest.h) of the model file's bytes, the target, the options, the
 * version of module files and the compiler itself (its binary's size and time). Bytes rather than
 * time stamps, because a wrong answer costs more than reading: 100 MB take about 10 ms. What only
 * an import can tell, files of weights outside the model and inputs whose values were bound, is
 * listed in KEY.needs; the key proper is then a digest of their contents too.
 *
 *     KEY.needs       "file weights.bin", "input 2": lines; there is none if nothing is needed
 *     KEY.lathe       a module file, mapped and used in place
 *
 * Files appear by rename, so processes may share a folder. What is damaged is compiled again.
 * Entries that were not used for longest go when the folder grows over its limit. A folder or a
 * file that others could write is not trusted, since what it holds will run. Where the cache
 * cannot be used or written, there is no cache: nothing is reported. */
#ifndef LATHE_COMPILE_CACHE_H
#define LATHE_COMPILE_CACHE_H

#include "base/digest.h"
#include "compile/model.h"

#define CACHE_LIMIT ((int64_t)4 << 30)

/* $LATHE_CACHE; else $XDG_CACHE_HOME/lathe; else ~/.cache/lathe; NULL: nowhere, or LATHE_CACHE is
 * empty. */
const char *cache_directory(Arena *a);

/* model_compile, by way of the cache in `directory` (NULL: without), which may grow to `limit`
 * bytes. Model.cached says whether it came from there; report->seconds is the whole time until the
 * module was ready, without loading it.
 *
 * With module_only a model that was compiled and stored is taken from there at once, too: its
 * weights and code are pages of the file, and all that the compile made is freed. Pages of that
 * stay with the C library, as with all that is freed: a process of our own gives them back
 * (heap_trim) after a compile, a library leaves its host's memory alone. */
int cache_compile(const char *path, const ModelOptions *opt, const char *directory, int64_t limit,
                  Model *out, Error *e);

/* ---- cache_store.c: the folder ---- */

/* Makes it if need be; false: it is not ours alone, or cannot be. */
bool cache_open(const char *directory);
/* Its module, if it is ours and whole; a damaged one is removed. Marks it as used now. */
Module *cache_load(Arena *a, const char *directory, const Digest *key);
void cache_store(Arena *a, const char *directory, const Digest *key, const Model *m,
                 const char *target);
/* The lines of KEY.needs; NULL: there is none. */
const char *cache_needs(Arena *a, const char *directory, const Digest *key);
void cache_store_needs(Arena *a, const char *directory, const Digest *key, const char *needs);
/* Removes what was not used for longest until the rest fits; and temporary files that were left
 * behind. */
void cache_trim(Arena *a, const char *directory, int64_t limit);

#endif
