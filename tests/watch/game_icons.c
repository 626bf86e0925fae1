#include "watch/game_icons.h"

#include <math.h>

#include "check.h"
#include "game/game.h"
#include "game/truth.h"

struct GameIcons {
    GameOptions opt;
    Game *game;
};

GameIcons *game_icons_make(Arena *a, const char *dir, uint64_t seed, double noise)
{
    GameIcons *const g = arena_new_of(a, GameIcons);
    Error e;
    g->opt = game_defaults;
    g->opt.seed = seed;
    g->opt.seconds = GAME_ICONS_SECONDS;
    g->opt.width = GAME_ICONS_WIDTH;
    g->opt.height = GAME_ICONS_HEIGHT;
    g->opt.fps_num = GAME_ICONS_FPS;
    g->opt.fps_den = 1;
    g->opt.noise = noise;
    g->opt.preset = "ultrafast";
    g->opt.dir = dir;
    if (game_write(a, &g->opt, &e) != 0 || game_new(a, &g->opt, &g->game, &e) != 0)
        FAIL_MSG("%s", e.message);
    return g;
}

int game_icons_shown(const GameIcons *g, bool skull, int frame)
{
    const Facts f = truth_facts(g->game->script, frame);
    const Fact fact = skull ? f.skull : f.shield;
    return fact == FACT_UNKNOWN ? -1 : fact == FACT_YES;
}

Box game_icons_region(const GameIcons *g, bool skull)
{
    const Rect r = g->game->look.cell[skull ? CELL_FEED : CELL_STATES];
    return (Box){r.x / 2, r.y / 2, r.width / 2, r.height / 2};
}

/* As hud.c places it. */
Box game_icons_shield(const GameIcons *g)
{
    const Look *const l = &g->game->look;
    const Rect r = l->cell[CELL_STATES];
    const float x = r.x + 4 + 47 * (float)l->shield_slot + (44 - l->icon) / 2,
                y = r.y + (r.height - l->icon) / 2;
    return (Box){floorf(x / 2) - 1, floorf(y / 2) - 1, ceilf(l->icon / 2) + 2,
                 ceilf(l->icon / 2) + 2};
}

static Box box_of(Rect r) { return (Box){r.x, r.y, r.width, r.height}; }
Box game_icons_map(const GameIcons *g) { return box_of(g->game->look.cell[CELL_MAP]); }
Box game_icons_band(const GameIcons *g) { return box_of(g->game->look.cell[CELL_BAND]); }

void game_icons_play(const GameIcons *g, int *from, int *last)
{
    const Script *const s = g->game->script;
    for (int i = 0; i < s->act.len; i++)
        if (s->act.at[i].screen == SCREEN_PLAY) {
            *from = s->act.at[i].at.from;
            *last = s->act.at[i].at.to - 1;
            return;
        }
    FAIL_MSG("no play in this game");
}

const uint8_t *game_icons_frame(GameIcons *g, int frame)
{
    Error e;
    assert_int_equal(game_frame(g->game, frame, &e), 0);
    return g->game->picture->rgb;
}
