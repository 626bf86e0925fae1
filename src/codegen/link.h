/* The linker: one relocatable ELF object, made by LLVM for one kernel, becomes flat code. */
#ifndef LATHE_CODEGEN_LINK_H
#define LATHE_CODEGEN_LINK_H

#include "runtime/image.h"

/* Sections and entries of the image are copied into `a`. An undefined symbol, a variable or an
 * absolute relocation is ERR_INTERNAL and named: a kernel imports nothing and keeps no state. */
int link_image(Arena *a, const uint8_t *object, size_t size, int nentries,
               const char *const *entries, Image *out, Error *e);

#endif
