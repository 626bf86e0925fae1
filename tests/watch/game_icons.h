/* A generated game of 640 x 360 in a folder, and where its icons are: what the truth says, without
 * the names of game/, which src/watch has, too. */
#ifndef LATHE_TESTS_WATCH_GAME_ICONS_H
#define LATHE_TESTS_WATCH_GAME_ICONS_H

#include "watch/observation.h"

#define GAME_ICONS_FPS 30
#define GAME_ICONS_SECONDS 20
#define GAME_ICONS_WIDTH 640
#define GAME_ICONS_HEIGHT 360

typedef struct GameIcons GameIcons;
/* Writes game.mp4, events.jsonl, game.yaml and refs into dir. Freed with the arena. */
GameIcons *game_icons_make(Arena *a, const char *dir, uint64_t seed, double noise);
/* Of the shield or of skulls in a frame: 1, 0, or -1 where it cannot be said. */
int game_icons_shown(const GameIcons *g, bool skull, int frame);
/* Pixels of the video. */
Box game_icons_region(const GameIcons *g, bool skull);
Box game_icons_shield(const GameIcons *g); /* and a pixel around it */
/* Of 1280 x 720: the map, and the band of weapons. */
Box game_icons_map(const GameIcons *g);
Box game_icons_band(const GameIcons *g);
/* First and last frame of the first play. */
void game_icons_play(const GameIcons *g, int *from, int *last);
/* Pixels of a frame (height, width, 3), as painted; valid until the next. */
const uint8_t *game_icons_frame(GameIcons *g, int frame);

#endif
