/* Writes the game's icons as pictures with transparent ground, for tests/models/icons.py:
 * icon-pictures DIR SIDE. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "game/icons.h"

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    Arena *const a = arena_new();
    Error e = {0};
    int code = 0;
    for (int i = 0; i < ICON_COUNT && code == 0; i++) {
        const Sprite *const s = paint_shapes(a, icon_shape[i], atoi(argv[2]), 0);
        code =
            paint_write_png(path_join(a, argv[1], arena_printf(a, "%s.png", icon_name[i])), s, &e);
    }
    if (code != 0)
        fprintf(stderr, "%s\n", e.message);
    arena_free(a);
    return code != 0;
}
