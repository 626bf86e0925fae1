/* The map of the game: its areas, and the way of the player through them. */
#ifndef LATHE_GAME_PATH_H
#define LATHE_GAME_PATH_H

#include "game/script.h"

void path_areas(uint64_t seed, Area area[SCRIPT_AREAS]);
/* Waypoints for the frames of a match. Each stay in an area, and outside between two stays, lasts
 * SCRIPT_DWELL at least. */
void path_write(Arena *a, Script *s, uint64_t seed, Span play);
/* Where the player is; the arrow's turn in degrees, clockwise from the top. */
Point path_at(const Script *s, int frame, float *degrees);
/* The area that holds a place of the map; -1: none. */
int path_area(const Script *s, Point at);

#endif
