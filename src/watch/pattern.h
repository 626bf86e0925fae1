/* Texts compared: PCRE2 patterns under limits, edit distance over folded characters, and copies
 * that are cut and clean. */
#ifndef LATHE_WATCH_PATTERN_H
#define LATHE_WATCH_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/arena.h"

#define PATTERN_MAX_LENGTH 2000 /* bytes of a pattern */

/* A pcre2_code, freed with the arena; NULL: `why` and the byte where. */
void *pattern_compile(Arena *a, const char *text, const char **why, size_t *where);

/* What matching needs besides the pattern; one for each engine, as it is written to. Freed with the
 * arena. */
typedef struct Matcher Matcher;
Matcher *matcher_new(Arena *a);

typedef struct Span {
    size_t start, end; /* bytes */
} Span;

/* 1: found; `all` (may be NULL) is the match, `group` its first group, or all of it if the pattern
 * has none (an unset group: start > end). 0: not found. -1: unknown: a limit was reached, or the
 * text is not UTF-8. No pattern, whatever it is, takes more than a few milliseconds, and the same
 * text gives the same answer on any machine. */
int pattern_find(Matcher *m, const void *code, const char *text, Span *all, Span *group);

/* Is `text` at most `edits` insertions, removals and replacements of characters away from `want`?
 * Case and look-alikes (O 0, I l 1, S 5) count as equal; so do runs of white space, and white space
 * at the ends. */
bool text_near(const char *text, const char *want, int edits);

/* Equal to the byte; nothing (NULL) equals nothing alone. */
static inline bool text_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Copies at most `size` - 1 bytes and a NUL: whole characters alone, malformed ones become U+FFFD.
 * Gives the length. */
size_t text_copy(char *out, size_t size, const char *text);
/* The bytes of the character at `text`, 1 to 4; 0: malformed, or the end. */
size_t utf8_size(const char *text);

#endif
