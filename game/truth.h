/* The truth of a script: which events there are, as whoever sees every frame perfectly would say.
 *
 *     {"event":"alive_change","key":null,"t_start":7.333333,"t_end":null,"value":88,"prev":93}
 *
 * Each frame gives facts, of which some are unknown: behind a cover, on a black or white frame, in
 * the dark half of a fade, on a frame with a glitch. From facts, events follow by the rules of the
 * watch that goes with the game (profile.h):
 *
 *     match         the play screen                                        span
 *     final_ten     at most ten alive on the play screen                   span
 *     alive_change  the number of those alive is another than before       point, value and prev
 *     score_change  likewise the score                                     point, value and prev
 *     kill          a skull in the feed, where none was                    point
 *     shield        the shield among the states                            span
 *     in_AREA       the player in this area of the map                     span
 *     victory       the victory screen                                     span
 *     win           it follows within 20 s upon at most two alive          point
 *
 * Times are seconds from the first frame of the video, those of frames: t_start of the first on
 * which it is seen, t_end of the last. Unknown frames neither begin nor end anything. */
#ifndef LATHE_GAME_TRUTH_H
#define LATHE_GAME_TRUTH_H

#include "base/str.h"
#include "base/vec.h"
#include "game/scene.h"

typedef enum Fact { FACT_NO, FACT_YES, FACT_UNKNOWN } Fact;

#define FACT_NONE -1 /* a number, screen or area that is unknown */

typedef struct Facts {
    int screen;
    int alive, score;
    Fact skull, shield;
    Fact in[SCRIPT_AREAS];
} Facts;

Facts truth_facts(const Script *s, int frame);

typedef struct Truth {
    const char *event;
    bool point;
    int from, last;      /* frames; of spans the last on which it is seen */
    bool change;         /* has value and prev */
    int value, prev;
} Truth;

typedef VEC(Truth) TruthList;

/* In the order of from. */
TruthList truth_new(Arena *a, const Script *s);
/* One line each, with newlines. */
void truth_print(Str *out, const Script *s, const TruthList *list);

#endif
