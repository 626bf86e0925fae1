/* The spotlight: which one of many streams is worth showing now. It follows the stream with the
 * best score, without nervousness.
 *
 *     Spotlight *s = spotlight_new(on_change, arg);
 *     SpotlightSeat *cam1 = spotlight_join(s, "cam1", by);
 *     spotlight_see(s, cam1, t, &(SpotlightVerdict){.require = 1, .scored = true, .score = 91});
 *     spotlight_quiet(s, t_now);       // nobody has anything more to say of what was before
 *
 * **Verdicts.** Of each sample a stream says whether it may be shown (`require`: 1, 0, or -1:
 * unknown) and how worthwhile that is (score, or unknown). What is unknown leaves what was known
 * before as it is; `require` 0 takes the score with it, so that a new round does not begin with the
 * end of the last one.
 *
 * **Eligible** at t is a stream whose last known `require` is 1 and that has a score, neither older
 * than `stale`.
 *
 * **The choice** at an instant t, after all that was said of t:
 *   - is the present stream eligible, it stays, but for one that is better by `margin`, once it was there
 *     for `min_dwell`;
 *   - is it not, or is there none: the best that is eligible, or none.
 * Better: a higher score; of equal ones the first by name (bytes). Another stream is better by the
 * margin if its score is above the present one's, and at least `margin` above. `min_dwell` and
 * `margin` are those of the stream that is there, `stale` is each one's own. Scores of different
 * watches are compared as they are.
 *
 * Time is in microseconds, of whatever clock all agree on, and never goes back: what is said of an
 * earlier time than another thing was is taken as said then. What time alone brings (stale, the end
 * of a dwell) is decided at that very microsecond, however late somebody asks. So changes depend on
 * nothing but the verdicts, their times, and names: not on the order of what is said of one
 * instant, nor on questions in between. (Of two verdicts of one stream at one instant the later
 * call counts.)
 *
 * Owner: whoever made it; one thread at a time. Each instant costs a look at all seats. Out of
 * memory: as arenas do. */
#ifndef LATHE_WATCH_SPOTLIGHT_H
#define LATHE_WATCH_SPOTLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

typedef struct SpotlightBy { /* of a watch */
    int64_t min_dwell, stale; /* us */
    double margin;            /* not below 0 */
} SpotlightBy;

typedef struct SpotlightVerdict {
    int require;              /* 1, 0, -1: unknown */
    bool scored;              /* else the score is unknown */
    double score;             /* finite */
} SpotlightVerdict;

typedef enum SpotlightCause {
    SPOTLIGHT_FIRST,          /* there was none */
    SPOTLIGHT_BETTER,         /* than the one before, by its margin */
    SPOTLIGHT_REQUIRE,        /* the one before: may not be shown any more .. */
    SPOTLIGHT_STALE,          /* .. nothing known of it for too long .. */
    SPOTLIGHT_GONE            /* .. left */
} SpotlightCause;

typedef struct SpotlightChange { /* valid during the call */
    int64_t t;
    const char *stream;       /* NULL: none is shown now */
    const char *previous;     /* NULL: none was */
    double score;             /* of `stream`; else 0 */
    SpotlightCause cause;
} SpotlightChange;

typedef void (*SpotlightFn)(void *arg, const SpotlightChange *c);

typedef struct Spotlight Spotlight;
typedef struct SpotlightSeat SpotlightSeat; /* of one stream; the spotlight's own */

Spotlight *spotlight_new(SpotlightFn fn, void *arg);
void spotlight_free(Spotlight *s); /* NULL is allowed */

/* Names differ. The seat lasts until spotlight_leave. */
SpotlightSeat *spotlight_join(Spotlight *s, const char *name, const SpotlightBy *by);
/* Other rules from t on; what was said stays. */
void spotlight_rules(Spotlight *s, SpotlightSeat *seat, int64_t t, const SpotlightBy *by);
void spotlight_see(Spotlight *s, SpotlightSeat *seat, int64_t t, const SpotlightVerdict *v);
/* Not eligible from t on; the seat is not the caller's any more. */
void spotlight_leave(Spotlight *s, SpotlightSeat *seat, int64_t t);
/* All before t was said: what follows from it is told. */
void spotlight_quiet(Spotlight *s, int64_t t);

typedef enum SpotlightStanding {
    SPOTLIGHT_CAN,            /* eligible */
    SPOTLIGHT_UNKNOWN,        /* never judged so far */
    SPOTLIGHT_MAY_NOT,        /* `require` is 0 */
    SPOTLIGHT_TOO_OLD         /* stale */
} SpotlightStanding;

typedef struct SpotlightRank {
    const char *name;
    bool shown, scored;
    double score;             /* the last that was known; 0 if none is */
    SpotlightStanding standing;
} SpotlightRank;

/* All seats as of the last instant that was told, in `a`: the eligible ones first, then by score,
 * then by name. */
int spotlight_ranking(const Spotlight *s, Arena *a, const SpotlightRank **out);
/* Which seat is shown, since when: false if none is. The name lasts until the next call that
 * changes anything. */
bool spotlight_shown(const Spotlight *s, const char **name, int64_t *since);

/* "first", "better", "require", "stale", "gone" */
const char *spotlight_cause_text(SpotlightCause c);
const char *spotlight_standing_text(SpotlightStanding s); /* "can", "unknown", "may not", "stale" */

#endif
