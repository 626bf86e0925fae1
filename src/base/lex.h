/* One lexer for all text forms: graph, stages, records, loops.
 *
 * Tokens: identifier ([A-Za-z_][A-Za-z0-9_.]*), integer, float, "string" with \" \\ \n \xHH,
 * and punctuation (one of the multi-character operators <= >= == != && || << >> -> // or one
 * character). '#' starts a comment to the end of the line. Newlines are tokens only when
 * `newlines` is set. Errors name file, line and column through fail(). */
#ifndef LATHE_BASE_LEX_H
#define LATHE_BASE_LEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef enum TokenKind {
    TOK_END,
    TOK_NEWLINE,
    TOK_IDENT,
    TOK_INT,
    TOK_FLOAT,
    TOK_STRING,
    TOK_PUNCT
} TokenKind;

typedef struct Token {
    TokenKind kind;
    const char *text; /* identifier, punctuation, or decoded string; NUL-terminated, in the arena */
    int64_t i;        /* TOK_INT */
    double f;         /* TOK_INT and TOK_FLOAT */
    int line, column; /* from 1 */
} Token;

typedef struct Lexer {
    Context *ctx;
    const char *name, *at, *end, *line_start;
    int line, column;
    bool newlines;
    Token tok; /* the current token */
} Lexer;

/* Starts at the first token of text[0..size). */
Lexer lex_new(Context *ctx, const char *name, const char *text, size_t size, bool newlines);
void lex_next(Lexer *l);
bool lex_is(const Lexer *l, const char *text);     /* current is this identifier or punctuation */
bool lex_accept(Lexer *l, const char *text);       /* if so, step over it */
void lex_expect(Lexer *l, const char *text);       /* or fail */
const char *lex_ident(Lexer *l);                   /* take an identifier, or fail */
const char *lex_string(Lexer *l);
int64_t lex_int(Lexer *l);                         /* accepts a leading '-' */
double lex_number(Lexer *l);                       /* accepts '-', inf, nan */
_Noreturn void lex_fail(Lexer *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
