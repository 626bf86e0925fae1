/* The words of a rule. Not base/lex.h: strings are raw here (patterns are full of backslashes),
 * numbers have units, and places count from where the rule stands in a file. */
#include "watch/rule_token.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "watch/pattern.h"

#define MAX_DURATION 1e9 /* seconds */

void rule_fail(const RuleLexer *l, int start, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *const message = arena_vprintf(l->ctx->arena, format, args);
    va_end(args);
    Place p = l->at;
    for (int i = 0; i < start; i++) {
        const unsigned char c = (unsigned char)l->text[i];
        if (c == '\n')
            p = (Place){p.line + 1, 1};
        else
            p.column += c >> 6 != 2; /* characters, not bytes */
    }
    fail(l->ctx, ERR_INVALID, "%s:%d:%d: %s", l->name, p.line, p.column, message);
}

const char *rule_describe(const RuleLexer *l)
{
    const RuleToken *const t = &l->tok;
    if (t->kind == WORD_END)
        return "the end";
    return arena_printf(l->ctx->arena, "'%.*s'", l->pos - t->start, l->text + t->start);
}

/* A number, perhaps with a unit behind it. */
static void lex_number(RuleLexer *l)
{
    static const struct { const char *unit; double seconds; } units[] = {
        {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600},
    };
    const char *const start = l->text + l->pos, *p = start;
    while (isdigit((unsigned char)*p))
        p++;
    if (*p == '.' && isdigit((unsigned char)p[1]))
        for (p++; isdigit((unsigned char)*p);)
            p++;
    const int sign = (*p == 'e' || *p == 'E') && (p[1] == '+' || p[1] == '-');
    if ((*p == 'e' || *p == 'E') && isdigit((unsigned char)p[1 + sign]))
        for (p += 1 + sign; isdigit((unsigned char)*p);)
            p++;
    l->tok.kind = WORD_NUMBER;
    l->tok.number = strtod(arena_strndup(l->ctx->arena, start, (size_t)(p - start)), NULL);
    const char *const unit = p;
    while (isalnum((unsigned char)*p) || *p == '_')
        p++;
    l->pos += (int)(p - start);
    const size_t len = (size_t)(p - unit);
    for (size_t i = 0; len > 0 && i < sizeof units / sizeof *units; i++) {
        if (strlen(units[i].unit) == len && memcmp(units[i].unit, unit, len) == 0) {
            l->tok.kind = WORD_DURATION;
            /* By division where that is exact: 300ms is the same double as 0.3s. */
            l->tok.number = units[i].seconds < 1 ? l->tok.number / round(1 / units[i].seconds) :
                                                   l->tok.number * units[i].seconds;
        }
    }
    if (len > 0 && l->tok.kind != WORD_DURATION)
        rule_fail(l, l->tok.start,
                  "'%.*s' is no duration: us, ms, s, m or h may stand behind a number",
                  (int)(p - start), start);
    if (!isfinite(l->tok.number) || (l->tok.kind == WORD_DURATION && l->tok.number > MAX_DURATION))
        rule_fail(l, l->tok.start, "%.*s is too large", (int)(p - start), start);
}

static void lex_string(RuleLexer *l)
{
    const char quote = l->text[l->pos];
    Str s = str_new(l->ctx->arena);
    for (l->pos++; l->text[l->pos] != quote || l->text[l->pos + 1] == quote; l->pos++) {
        if (l->text[l->pos] == 0)
            rule_fail(l, l->tok.start, "the text that begins here is not closed");
        str_addc(&s, l->text[l->pos]);
        l->pos += l->text[l->pos] == quote; /* doubled: itself */
    }
    l->pos++;
    l->tok.kind = WORD_STRING;
    l->tok.text = str_text(&s);
}

static bool name_char(unsigned char c)
{
    return isalnum(c) || c == '_' || c >= 0x80;
}

void rule_next(RuleLexer *l)
{
    static const char pairs[][3] = {"||", "&&", "<=", ">=", "==", "!=", "=~"};
    while (isspace((unsigned char)l->text[l->pos]))
        l->pos++;
    const char *const p = l->text + l->pos;
    l->tok = (RuleToken){.kind = WORD_END, .start = l->pos, .text = ""};
    if (*p == 0)
        return;
    if (isdigit((unsigned char)*p)) {
        lex_number(l);
        return;
    }
    if (*p == '\'' || *p == '"') {
        lex_string(l);
        return;
    }
    size_t len = 0;
    while (name_char((unsigned char)p[len]))
        len++;
    l->tok.kind = len > 0 ? WORD_NAME : WORD_SIGN;
    for (size_t i = 0; len == 0 && i < sizeof pairs / sizeof *pairs; i++)
        if (p[0] == pairs[i][0] && p[1] == pairs[i][1])
            len = 2;
    if (len == 0)
        len = 1;
    l->tok.text = arena_strndup(l->ctx->arena, p, len);
    l->pos += (int)len;
}

RuleLexer rule_lexer(Context *ctx, const char *name, Place at, const char *text)
{
    RuleLexer l = {.ctx = ctx, .name = name, .at = at, .text = text};
    if (strlen(text) > 1 << 16)
        rule_fail(&l, 0, "a rule of more than 64 KiB");
    for (size_t i = 0, n; text[i]; i += n)
        if ((n = utf8_size(text + i)) == 0)
            rule_fail(&l, (int)i, "the text is not UTF-8");
    rule_next(&l);
    return l;
}

bool rule_is(const RuleLexer *l, const char *sign)
{
    return l->tok.kind == WORD_SIGN && strcmp(l->tok.text, sign) == 0;
}

bool rule_accept(RuleLexer *l, const char *sign)
{
    if (!rule_is(l, sign))
        return false;
    rule_next(l);
    return true;
}
