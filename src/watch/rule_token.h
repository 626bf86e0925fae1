/* The words of a rule, and messages that name a place in the watch's file. */
#ifndef LATHE_WATCH_RULE_TOKEN_H
#define LATHE_WATCH_RULE_TOKEN_H

#include "watch/rule.h"

typedef enum RuleTokenKind {
    WORD_END,
    WORD_NUMBER,
    WORD_DURATION,
    WORD_STRING,
    WORD_NAME,
    WORD_SIGN
} RuleTokenKind;

typedef struct RuleToken {
    RuleTokenKind kind;
    int start;        /* byte of the rule's text */
    const char *text; /* decoded string, name, sign: in the arena */
    double number;    /* seconds of a duration */
} RuleToken;

typedef struct RuleLexer {
    Context *ctx;
    const char *name; /* of the file */
    Place at;         /* of the rule in it */
    const char *text;
    int pos;
    RuleToken tok;    /* the current one */
} RuleLexer;

/* Starts at the first token. Text that is not UTF-8 is refused. */
RuleLexer rule_lexer(Context *ctx, const char *name, Place at, const char *text);
void rule_next(RuleLexer *l);
bool rule_is(const RuleLexer *l, const char *sign);
bool rule_accept(RuleLexer *l, const char *sign);
/* "file:line:column: message" of the byte `start`. */
_Noreturn void rule_fail(const RuleLexer *l, int start, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The current token as messages call it. */
const char *rule_describe(const RuleLexer *l);

#endif
