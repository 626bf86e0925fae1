/* What is to be seen at one frame of a script. All that paints the picture reads this, and so does
 * what writes the truth: the two cannot drift apart. */
#ifndef LATHE_GAME_SCENE_H
#define LATHE_GAME_SCENE_H

#include "game/script.h"

typedef struct Scene {
    int frame;
    double t;            /* seconds of the video */
    int act;
    Screen screen;
    double since;        /* seconds since the act began */
    float light;         /* of the screen: 1, towards 0 while it fades to or from black */
    float white;         /* of a flash over it: 0 to 1 */
    bool glitch_screen;  /* for this frame a screen that is not so */
    /* in play: */
    int alive, score, clock;          /* as shown */
    bool glitch_alive, glitch_score, glitch_shield;
    bool state[STATE_COUNT];          /* as shown */
    bool covered[CELL_COUNT];
    Point player;                     /* on the map */
    float turn;                       /* of the arrow, degrees clockwise from the top */
} Scene;

Scene scene_at(const Script *s, int frame);

/* Where a line of the feed stands: lines from the bottom, 0 for the newest, not whole while it
 * moves. Opacity 0: it is not seen. */
typedef struct FeedPlace {
    float up, opacity;
} FeedPlace;
FeedPlace scene_feed(const Script *s, int line, int frame);

#endif
