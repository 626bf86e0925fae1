/* Fuzz targets: bytes into one entrance of the program. What is to hold: no crash, no hang, no
 * memory beyond a limit, and for text forms that parse(print(x)) prints the same again.
 *
 * A target is one file fuzz_<name>.c and a folder corpus/<name>. In the ordinary test run replay.c
 * feeds it the corpus and reproducible mutations of it; built with -Dfuzz=true (clang) it is a
 * libFuzzer program: build-fuzz/tests/fuzz_<name> CORPUS. */
#ifndef LATHE_TESTS_FUZZ_H
#define LATHE_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"

#define FUZZ_MEMORY ((size_t)256 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct FuzzBytes {
    const uint8_t *at;
    size_t size;
} FuzzBytes;

/* Runs a job over the bytes, with a bounded arena. */
static inline int fuzz_job(JobFn fn, const uint8_t *at, size_t size)
{
    Arena *a = arena_new();
    arena_set_limit(a, FUZZ_MEMORY);
    FuzzBytes bytes = {at, size};
    job_run(a, fn, &bytes, NULL, NULL);
    arena_free(a);
    return 0;
}

/* A finding: unlike assert, in every build. */
static inline void fuzz_check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "fuzz: %s\n", what);
        abort();
    }
}

#endif
