/* The expressions of rules: what is written behind `when`, `within`, `reset_on` and in `data`.
 *
 *     screen == 'play' && alive <= 10
 *     seq(alive <= 2, screen == 'victory', 20s)
 *
 *     or     : and ('||' and)*
 *     and    : not ('&&' not)*
 *     not    : '!' not | compare
 *     compare: sum (('<' | '<=' | '>' | '>=' | '==' | '!=') sum | '=~' STRING | '~' STRING ('/' INT)?)?
 *     sum    : term (('+' | '-') term)*       term: unary (('*' | '/') unary)*       unary: '-' unary | primary
 *     primary: NUMBER | DURATION | STRING | NAME ('.' FIELD)? | FUNCTION '(' arguments ')' | '(' or ')'
 *
 * A NAME is a signal or an event of the watch. Strings stand in single or double quotes; a duration
 * is a number and us, ms, s, m or h behind it, in seconds where it is a number. A quote inside a
 * string is doubled; a backslash is itself.
 *
 * **Values** are unknown, true or false, a number, a text, or a list of what was found. `&&`, `||`
 * and `!` are Kleene's: false && unknown is false, true || unknown is true, else unknown stays
 * unknown. Comparisons and arithmetic with unknown are unknown; so are division by zero and what is
 * not finite. A signal's value by its kind (reading.h):
 *
 *     text, line      number or text, as its `type` says     .prev .score .age
 *     text, page      list of lines                          .text: all lines, a line each
 *     icon            true or false                          .score .x .y
 *     screen, class   text: the label                        .score
 *     object          list                                   .score: of the best
 *     motion, audio   true or false                          .score
 *     position        true or false                          .x .y .area .score
 *     event           true while it is active                .age: seconds since it began
 *
 * Inside an event with `each`, the name of that signal is the one object or line: true, with .label
 * .score .x .y .width .height .age (seconds since it was first seen) and .text (the label again); x
 * and y are the box's top left; .area, if the signal has areas, is the first that holds the middle
 * of its lower edge, else ''. An object whose track is out of sight and not lost yet is unknown,
 * not false. A list where a truth is wanted is true unless it is empty. `.age` without `each`, of
 * all but lists: seconds since the value is what it is. `.prev`: the last reading that was another.
 *
 * An event that stands further up in the file is seen as it is after this sample, others as after
 * the one before.
 *
 * `=~` is a PCRE2 pattern found in the text (in any line of a list), with limits on its steps:
 * reaching them is unknown. `~` is the text, case and look-alikes folded (O 0, I l 1, S 5), at most
 * INT (0) edits away, in any line of a list.
 *
 * **Functions**
 *     changed(x)         x, once confirmed, differs from what was confirmed before; true at that sample alone. .prev .delta
 *     rises(c)           c became true, having been false; unknown between the two does not count. True at that sample alone
 *     count(list)        its length; count(list, c): of those for which c is true (fields without a name: score > 0.5)
 *     seq(a, b, within)  b begins after a began, at most `within` later; each may be an event. One a serves one b, the oldest
 *                        first. True at that sample alone
 *     rate(e, within)    starts of an event, or times a condition began, in the last `within`, each second
 *
 * What they remember is kept by the engine (event.h), for each place in the text of a watch.
 * They confirm what they are given by the windows of the event they stand in, in a spotlight's
 * rules at once (1 of 1): `changed` a value that n of the last m known samples had; the others
 * as an event of this condition starts and ends, `rises` only from a false that was confirmed
 * likewise by `release`. So an instant condition (changed, rises, seq) is not confirmed a second
 * time. What was unknown for longer than the watch's gap is forgotten, as is all at a new epoch. */
#ifndef LATHE_WATCH_RULE_H
#define LATHE_WATCH_RULE_H

#include "watch/watch.h"

#define RULE_MAX_NODES 400   /* names, constants, operators and functions of one rule */
#define RULE_MAX_EDITS 64
#define RULE_MAX_WAITING 32  /* what seq remembers of either side; older ones are forgotten */
#define RULE_MAX_STARTS 1024 /* what rate remembers */

typedef struct Rule Rule;

typedef enum ValueKind {
    VALUE_UNKNOWN,
    VALUE_TRUTH,
    VALUE_NUMBER,
    VALUE_TEXT,
    VALUE_LIST
} ValueKind;

typedef struct RuleValue {
    ValueKind kind;
    double number;    /* also of a truth, 0 or 1 */
    const char *text;
    int n;            /* of a list */
    const Found *list;
    /* of objects: confirmed tracks that are out of sight and not lost yet: not in the list, and not
     * gone .. */
    int naway;
    const int64_t *away; /* .. and their numbers */
} RuleValue;

/* Text at a place of the watch's file `name`. The watch has its signals and the names of its
 * events; `each` as EventRule's. Everything is checked here: names, fields, types (a text is not
 * compared with a number), patterns, durations. Does not return on errors: "royale.yaml:12:9:
 * ...". */
const Rule *rule_parse(Context *ctx, const Watch *w, const char *name, Place at, const char *text,
                       int each);
/* The same where something true or false is wanted (when, within, reset_on): a number or a text is
 * refused. */
const Rule *rule_parse_condition(Context *ctx, const Watch *w, const char *name, Place at,
                                 const char *text, int each);
/* The same where a number is wanted (score). */
const Rule *rule_parse_number(Context *ctx, const Watch *w, const char *name, Place at,
                              const char *text);
const char *rule_text(const Rule *r); /* as it was written */
ValueKind rule_kind(const Rule *r);   /* what it gives where it is known */
/* Canonical text, fully bracketed: parse(print(x)) prints the same. */
void rule_print(Str *out, const Watch *w, const Rule *r);
/* Is it true at single samples alone (changed, rises, seq)? Then an event of it is a point. */
bool rule_is_instant(const Rule *r);
/* Signals whose values this rule can need: sets need[signal]. */
void rule_needs(const Rule *r, const Watch *w, bool *need);

#endif
