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
 * A NAME is a signal or an event of the watch. Strings stand in single or double quotes; a duration is a number and
 * us, ms, s, m or h behind it, in seconds where it is a number.
 *
 * **Values** are unknown, true or false, a number, a text, or a list of what was found. `&&`, `||` and `!` are Kleene's:
 * false && unknown is false, true || unknown is true, else unknown stays unknown. Comparisons and arithmetic with unknown
 * are unknown; division by zero is. A signal's value by its kind (reading.h):
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
 * Inside an event with `each`, the name of that signal is the one object or line: true, with .label .score .x .y .width
 * .height .age (seconds since it was first seen) and .text. A list where a truth is wanted is true unless it is empty.
 * `.age` without `each`: seconds since the value is what it is.
 *
 * `=~` is a PCRE2 pattern found in the text (in any line of a list), with limits on its steps: reaching them is unknown.
 * `~` is the text, case and look-alikes folded (O 0, I l 1, S 5), at most INT (0) edits away, in any line of a list.
 *
 * **Functions**
 *     changed(x)         x, once confirmed, differs from what was confirmed before; true at that sample alone. .prev .delta
 *     rises(c)           c became true, having been false; unknown between the two does not count. True at that sample alone
 *     count(list)        its length; count(list, c): of those for which c is true (fields without a name: score > 0.5)
 *     seq(a, b, within)  b begins, at most `within` after a began; each may be an event. One a serves one b. True at that
 *                        sample alone
 *     rate(e, within)    starts of an event, or times c became true, in the last `within`, each second
 *
 * What they remember is kept by the engine (event.h), for each place in the text of a watch. */
#ifndef LATHE_WATCH_RULE_H
#define LATHE_WATCH_RULE_H

#include "watch/watch.h"

typedef struct Rule Rule;

/* Text at a place of the watch's file `name`. The watch has its signals and the names of its events; `each` as EventRule's.
 * Everything is checked here: names, fields, types (a text is not compared with a number), patterns, durations. Does not
 * return on errors: "royale.yaml:12:9: ...". */
const Rule *rule_parse(Context *ctx, const Watch *w, const char *name, Place at, const char *text, int each);
/* Canonical text, fully bracketed: parse(print(x)) prints the same. */
void rule_print(Str *out, const Watch *w, const Rule *r);
/* Is it true at single samples alone (changed, rises, seq)? Then an event of it is a point. */
bool rule_is_instant(const Rule *r);
/* Signals whose values this rule can need: sets need[signal]. */
void rule_needs(const Rule *r, const Watch *w, bool *need);

#endif
