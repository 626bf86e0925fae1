/* The game's icons, as shapes (paint.h). Two look like others and are not: what searches for a
 * skull or a shield has to tell them apart. */
#ifndef LATHE_GAME_ICONS_H
#define LATHE_GAME_ICONS_H

#include "game/paint.h"

typedef enum Icon {
    ICON_SKULL,  /* in a line of the feed: a kill */
    ICON_MASK,   /* nearly a skull: somebody was revived */
    ICON_SHIELD, /* in the row of states */
    ICON_BADGE,  /* nearly a shield: a rank */
    ICON_HEALTH,
    ICON_AMMO,
    ICON_ARROW,  /* on the map: the player */
    ICON_COUNT
} Icon;

extern const Shape *const icon_shape[ICON_COUNT];
extern const char *const icon_name[ICON_COUNT];

#endif
