/* A parsed rule: nodes in an array, arguments before what uses them, so that a walk upwards by
 * index meets everything after its arguments. For the parser, the printer and the evaluator alone.
 *
 *     changed(alive) && screen == 'play'
 *
 *     0 signal alive   1 changed 0   2 signal screen   3 string 'play'   4 == 2 3   5 && 1 4 */
#ifndef LATHE_WATCH_RULE_TREE_H
#define LATHE_WATCH_RULE_TREE_H

#include "watch/rule.h"

typedef enum RuleOp {
    RULE_NUMBER,
    RULE_DURATION,
    RULE_STRING, /* constants; a duration's number is in seconds */
    RULE_SIGNAL,
    RULE_EVENT,   /* `index`, `field` */
    RULE_ITEM,    /* the one object or line of `each`, `field` */
    RULE_ELEMENT, /* the object or line that count looks at, `field` */
    RULE_NOT,
    RULE_NEGATE,
    RULE_OR,
    RULE_AND,
    RULE_LT,
    RULE_LE,
    RULE_GT,
    RULE_GE,
    RULE_EQ,
    RULE_NE,
    RULE_ADD,
    RULE_SUB,
    RULE_MUL,
    RULE_DIV,
    RULE_LIKE,  /* a =~ text: `pattern` */
    RULE_NEAR,  /* a ~ text / edits */
    RULE_COUNT, /* of list a; those for which b */
    RULE_CHANGED,
    RULE_RISES,
    RULE_SEQ,
    RULE_RATE /* functions that remember: `memory`; `number`: within, seconds */
} RuleOp;

typedef enum RuleField {
    FIELD_VALUE, /* the thing itself */
    FIELD_PREV,
    FIELD_SCORE,
    FIELD_AGE,
    FIELD_TEXT,
    FIELD_LABEL,
    FIELD_X,
    FIELD_Y,
    FIELD_WIDTH,
    FIELD_HEIGHT,
    FIELD_AREA,
    FIELD_DELTA,
    FIELD_COUNT
} RuleField;

typedef struct RuleNode {
    RuleOp op;
    RuleField field;
    ValueKind type;    /* what it gives where it is known */
    int a, b;          /* arguments; -1: none */
    int index;         /* of the signal or the event; of RULE_ELEMENT the signal whose list it is */
    int edits;
    int memory;        /* number among the rule's functions that remember; -1: none */
    bool instant;      /* true at single samples alone */
    double number;
    const char *text;  /* string, pattern */
    void *pattern;     /* compiled (pattern.h) */
} RuleNode;

struct Rule {
    const char *text;
    int n, root, nmemory;
    const RuleNode *at;
    int each;
};

static inline const RuleNode *rule_root(const Rule *r) { return &r->at[r->root]; }

const char *rule_field_name(RuleField f);
/* Of what a signal gives, its `field`: VALUE_UNKNOWN if there is no such field. */
ValueKind rule_signal_type(const Signal *s, RuleField f);

#endif
