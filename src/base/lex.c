/* Lexer. A token's text lives in the context's arena, so tokens may be kept. */
#include "base/lex.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static _Noreturn void fail_at(const Lexer *l, int line, int column, const char *message)
{
    fail(l->ctx, ERR_INVALID, "%s:%d:%d: %s", l->name, line, column, message);
}

void lex_fail(Lexer *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(l->ctx->arena, format, args);
    va_end(args);
    fail_at(l, l->tok.line, l->tok.column, message);
}

static int peek(const Lexer *l, int ahead)
{
    return l->end - l->at > ahead ? (unsigned char)l->at[ahead] : -1;
}

static void end_line(Lexer *l)
{
    l->at++;
    l->line++;
    l->line_start = l->at;
}

/* White space and comments; newlines too unless they are tokens. */
static void skip(Lexer *l)
{
    for (;;) {
        const int c = peek(l, 0);
        if (c == '#') {
            while (peek(l, 0) >= 0 && peek(l, 0) != '\n')
                l->at++;
        } else if (c == '\n' && !l->newlines) {
            end_line(l);
        } else if (c == ' ' || c == '\t' || c == '\r') {
            l->at++;
        } else {
            return;
        }
    }
}

static bool ident_char(int c)
{
    return c >= 0 && (isalnum(c) || c == '_' || c == '.');
}

/* Digits, then a fraction or an exponent if it is a float. "1.." is not a float: ranges may be
 * written 0..3; nor is "1.x", which is an index of a field. */
static void lex_digits(Lexer *l)
{
    const char *start = l->at;
    bool real = false;
    while (isdigit(peek(l, 0)))
        l->at++;
    if (peek(l, 0) == '.' && peek(l, 1) != '.' && !isalpha(peek(l, 1)) && peek(l, 1) != '_') {
        real = true;
        l->at++;
        while (isdigit(peek(l, 0)))
            l->at++;
    }
    const int sign = peek(l, 1) == '+' || peek(l, 1) == '-';
    if ((peek(l, 0) == 'e' || peek(l, 0) == 'E') && isdigit(peek(l, 1 + sign))) {
        real = true;
        l->at += 1 + sign;
        while (isdigit(peek(l, 0)))
            l->at++;
    }
    l->tok.text = arena_strndup(l->ctx->arena, start, (size_t)(l->at - start));
    l->tok.f = strtod(l->tok.text, NULL);
    l->tok.kind = real ? TOK_FLOAT : TOK_INT;
    if (real)
        return;
    errno = 0;
    const unsigned long long v = strtoull(l->tok.text, NULL, 10);
    /* 2^63 may stand after a '-'; lex_int undoes the wrap. */
    if (errno == ERANGE || v > (unsigned long long)INT64_MAX + 1)
        lex_fail(l, "the number %s does not fit 64 bits", l->tok.text);
    l->tok.i = (int64_t)v;
}

static int hex_digit(int c)
{
    return isdigit(c)             ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static void lex_quoted(Lexer *l)
{
    Str s = str_new(l->ctx->arena);
    l->at++;
    for (;;) {
        int c = peek(l, 0);
        if (c < 0 || c == '\n')
            lex_fail(l, "a string is not closed");
        l->at++;
        if (c == '"')
            break;
        if (c == '\\') {
            c = peek(l, 0);
            l->at++;
            if (c == 'n') {
                c = '\n';
            } else if (c == 'x') {
                const int high = hex_digit(peek(l, 0)), low = high < 0 ? -1 : hex_digit(peek(l, 1));
                if (low < 0)
                    lex_fail(l, "\\x needs two hexadecimal digits");
                c = high * 16 + low;
                l->at += 2;
            } else if (c != '"' && c != '\\') {
                lex_fail(l, "unknown escape in a string");
            }
        }
        if (c == 0)
            lex_fail(l, "a string holds a zero byte");
        str_addc(&s, (char)c);
    }
    l->tok.kind = TOK_STRING;
    l->tok.text = str_text(&s);
}

static void lex_punct(Lexer *l)
{
    static const char pairs[][3] = {"<=", ">=", "==", "!=", "&&", "||", "<<", ">>", "->", "//"};
    size_t n = 1;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (peek(l, 0) == pairs[i][0] && peek(l, 1) == pairs[i][1])
            n = 2;
    const int c = peek(l, 0);
    if (c < 0x20 || c >= 0x7f)
        lex_fail(l, "unexpected byte 0x%02x", (unsigned)c);
    l->tok.kind = TOK_PUNCT;
    l->tok.text = arena_strndup(l->ctx->arena, l->at, n);
    l->at += n;
}

void lex_next(Lexer *l)
{
    skip(l);
    l->column = (int)(l->at - l->line_start) + 1;
    l->tok = (Token){.kind = TOK_END, .text = "", .line = l->line, .column = l->column};
    const int c = peek(l, 0);
    if (c < 0)
        return;
    if (c == '\n') {
        l->tok.kind = TOK_NEWLINE;
        end_line(l);
    } else if (isalpha(c) || c == '_') {
        const char *start = l->at;
        while (ident_char(peek(l, 0)))
            l->at++;
        l->tok.kind = TOK_IDENT;
        l->tok.text = arena_strndup(l->ctx->arena, start, (size_t)(l->at - start));
    } else if (isdigit(c)) {
        lex_digits(l);
    } else if (c == '"') {
        lex_quoted(l);
    } else {
        lex_punct(l);
    }
}

Lexer lex_new(Context *ctx, const char *name, const char *text, size_t size, bool newlines)
{
    Lexer l = {
        .ctx = ctx,
        .name = name,
        .at = text,
        .end = text + size,
        .line_start = text,
        .line = 1,
        .column = 1,
        .newlines = newlines,
    };
    lex_next(&l);
    return l;
}

bool lex_is(const Lexer *l, const char *text)
{
    return (l->tok.kind == TOK_IDENT || l->tok.kind == TOK_PUNCT) && strcmp(l->tok.text, text) == 0;
}

bool lex_accept(Lexer *l, const char *text)
{
    if (!lex_is(l, text))
        return false;
    lex_next(l);
    return true;
}

/* The current token, for messages. */
static const char *describe(const Lexer *l)
{
    if (l->tok.kind == TOK_END)
        return "the end";
    if (l->tok.kind == TOK_NEWLINE)
        return "the end of the line";
    return arena_printf(l->ctx->arena, "'%s'", l->tok.text);
}

void lex_expect(Lexer *l, const char *text)
{
    if (!lex_accept(l, text))
        lex_fail(l, "expected '%s', found %s", text, describe(l));
}

const char *lex_ident(Lexer *l)
{
    if (l->tok.kind != TOK_IDENT)
        lex_fail(l, "expected a name, found %s", describe(l));
    const char *text = l->tok.text;
    lex_next(l);
    return text;
}

const char *lex_string(Lexer *l)
{
    if (l->tok.kind != TOK_STRING)
        lex_fail(l, "expected a string, found %s", describe(l));
    const char *text = l->tok.text;
    lex_next(l);
    return text;
}

int64_t lex_int(Lexer *l)
{
    const bool negative = lex_accept(l, "-");
    if (l->tok.kind != TOK_INT)
        lex_fail(l, "expected an integer, found %s", describe(l));
    const int64_t i = l->tok.i;
    if (i == INT64_MIN && !negative)
        lex_fail(l, "the number %s does not fit 64 bits", l->tok.text);
    lex_next(l);
    return negative && i != INT64_MIN ? -i : i;
}

double lex_number(Lexer *l)
{
    const bool negative = lex_accept(l, "-");
    double v;
    if (l->tok.kind == TOK_INT || l->tok.kind == TOK_FLOAT)
        v = l->tok.f;
    else if (lex_is(l, "inf"))
        v = INFINITY;
    else if (lex_is(l, "nan"))
        v = NAN;
    else
        lex_fail(l, "expected a number, found %s", describe(l));
    lex_next(l);
    return negative ? -v : v;
}
