/* String builder in an arena, and small string helpers. */
#ifndef LATHE_BASE_STR_H
#define LATHE_BASE_STR_H

#include <stdbool.h>

#include "base/arena.h"

typedef struct Str {
    Arena *arena;
    char *at; /* always NUL-terminated once something was added; NULL before */
    size_t len, cap;
} Str;

static inline Str str_new(Arena *a) { return (Str){.arena = a}; }
void str_add(Str *s, const char *text);
void str_addn(Str *s, const char *text, size_t n);
void str_addc(Str *s, char c);
void str_addf(Str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Shortest decimal text that reads back to the same double; "inf", "-inf", "nan". */
void str_add_double(Str *s, double v);
/* In quotes, as the lexer reads strings (base/lex.h). */
void str_add_quoted(Str *s, const char *text);
const char *str_text(Str *s); /* never NULL */

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

#endif
