/* The watch that goes with a game: DIR/game.yaml and the pictures it compares with, DIR/refs. All
 * are made from the same look and shapes as the frames, painted clean: nothing is cut from the
 * compressed video. */
#ifndef LATHE_GAME_PROFILE_H
#define LATHE_GAME_PROFILE_H

#include "base/str.h"
#include "game/painter.h"

/* Text of the watch file; its events are those of truth.h. `recogniser`: model that reads text, a
 * path as seen from the watch file; NULL: none is named. */
void profile_yaml(Str *out, const Look *look, const Script *script, const char *recogniser,
                  bool voice);
/* DIR/refs: skull.png, shield.png and arrow.png with alpha, SCREEN-N.png: the band of each screen.
 * The painter has the reference size. */
int profile_refs(Arena *a, const char *dir, Painter *p, Error *e);

#endif
