/* Golden tests: input and expectation in one file, tests/golden/NAME.txt.
 *
 *     # run: pass fold_constants        the verb and its arguments
 *     ...input...
 *     ---
 *     ...what the verb must print, to the last byte...
 *
 * or, where the verb must fail, no `---` but a second line `# expect error: part of the message`.
 * `golden --update` writes what the verbs print now; the diff is read in git.
 *
 * A verb is a row of golden.def and a function in a file golden_<what>.c. */
#ifndef LATHE_TESTS_GOLDEN_H
#define LATHE_TESTS_GOLDEN_H

#include "base/error.h"
#include "base/str.h"

typedef struct GoldenCase {
    const char *file;  /* "tests/golden/x.txt", for messages */
    const char *args;  /* the rest of the `# run:` line, "" if none */
    const char *input; /* NUL-terminated; line 1 of it is line 2 or 3 of the file */
} GoldenCase;

/* Appends to `out` what it makes of the input; bad input is a fail(). */
typedef void GoldenVerb(Context *ctx, const GoldenCase *c, Str *out);

#define VERB(name) GoldenVerb golden_##name;
#include "golden.def"
#undef VERB

#endif
