/* Layouts, fonts and colours to choose from: see look.h. The bar of the frame's number lies at the
 * top left, up to (576, 16), and nothing of the HUD stands there. */
#include "game/look.h"

#include "base/file.h"
#include "game/dice.h"

#define FONTS "/usr/share/fonts/truetype/"
#define COUNT(x) (int)(sizeof(x) / sizeof *(x))

const char *const cell_name[CELL_COUNT] = {"score",  "clock", "alive", "feed",
                                           "states", "map",   "band"};

/* By enum Cell. The band is where screens are told apart: in play it is the row of weapons. */
static const Rect layout[LOOK_LAYOUTS][CELL_COUNT] = {
    {{1172, 252, 92, 40}, {592, 26, 96, 40}, {1064, 252, 80, 40}, {20, 330, 400, 150},
     {24, 560, 196, 52}, {1064, 24, 200, 200}, {240, 640, 800, 72}},
    {{132, 252, 92, 40}, {1168, 26, 96, 40}, {24, 252, 80, 40}, {860, 90, 400, 150},
     {1064, 560, 196, 52}, {16, 24, 200, 200}, {240, 640, 800, 72}},
    {{700, 44, 92, 40}, {592, 44, 96, 40}, {500, 44, 80, 40}, {20, 60, 400, 150},
     {24, 640, 196, 52}, {1064, 420, 200, 200}, {240, 640, 800, 72}},
    {{1172, 96, 92, 40}, {24, 40, 96, 40}, {1180, 26, 80, 40}, {860, 400, 400, 150},
     {542, 572, 196, 52}, {16, 424, 200, 200}, {240, 640, 800, 72}},
};

static const char *const title_face[] = {
    "dejavu/DejaVuSans-Bold.ttf",
    "dejavu/DejaVuSerif-Bold.ttf",
    "liberation/LiberationSans-Bold.ttf",
    "liberation/LiberationSerif-Bold.ttf",
};
static const char *const hud_face[] = {
    "dejavu/DejaVuSans-Bold.ttf",
    "dejavu/DejaVuSansMono-Bold.ttf",
    "liberation/LiberationSans-Bold.ttf",
    "liberation/LiberationMono-Bold.ttf",
    "liberation/LiberationSans-Regular.ttf",
    "dejavu/DejaVuSans.ttf",
};
static const char *const feed_face[] = {
    "dejavu/DejaVuSans.ttf",
    "liberation/LiberationSans-Regular.ttf",
    "liberation/LiberationSans-Bold.ttf",
    "dejavu/DejaVuSans-Bold.ttf",
};

static const Colour text_colour[] = {
    {255, 255, 255}, {255, 244, 200}, {210, 255, 220}, {220, 236, 255}};
static const Colour accent_colour[] = {
    {255, 180, 40}, {70, 190, 255}, {240, 90, 110}, {120, 230, 110}};
static const Colour panel_colour[] = {{10, 12, 20}, {30, 18, 40}, {14, 36, 34}, {40, 30, 16}};
static const Colour sky_colour[] = {
    {120, 170, 220}, {220, 150, 110}, {90, 100, 130}, {170, 200, 190}};
static const Colour ground_colour[] = {
    {96, 120, 60}, {150, 120, 80}, {110, 110, 115}, {170, 175, 180}};
static const char *const alive_label[] = {"ALIVE", "LEFT", "PLAYERS"};
static const char *const score_label[] = {"SCORE", "POINTS", "XP"};
static const char *const victory[] = {"VICTORY", "WINNER", "CHAMPION"};
static const char *const defeat[] = {"DEFEATED", "ELIMINATED", "GAME OVER"};

#define PICK(d, list) (list)[dice_int(d, 0, COUNT(list) - 1)]

static int face_open(Arena *a, const char *name, Face *out, Error *e)
{
    out->name = name;
    const bool whole = name[0] == '/' || file_exists(name);
    return font_open(a, whole ? name : arena_printf(a, "%s%s", FONTS, name), &out->font, e);
}

/* "DejaVuSans-Bold" -> the file of that name below the folder of fonts. */
static const char *find_face(Arena *a, const char *name)
{
    static const char *const folder[] = {"dejavu", "liberation"};
    for (int i = 0; i < COUNT(folder); i++) {
        const char *const path = arena_printf(a, "%s%s/%s.ttf", FONTS, folder[i], name);
        if (file_exists(path))
            return path;
    }
    return name;
}

int look_new(Arena *a, uint64_t seed, int which, const char *font, Look *out, Error *e)
{
    Dice d = dice_new(seed, "look");
    Look l = {.layout = dice_int(&d, 0, LOOK_LAYOUTS - 1)};
    const char *const face[3] = {PICK(&d, title_face), PICK(&d, hud_face), PICK(&d, feed_face)};
    l.digits = (float)dice_int(&d, 24, 30);
    l.line = (float)dice_int(&d, 28, 32);
    l.icon = (float)dice_int(&d, 34, 42);
    l.text = PICK(&d, text_colour);
    l.accent = PICK(&d, accent_colour);
    l.panel = PICK(&d, panel_colour);
    l.sky = PICK(&d, sky_colour);
    l.ground = PICK(&d, ground_colour);
    l.panel_opacity = (float)dice_real(&d, 0.45, 0.8);
    l.label_below = dice_chance(&d, 0.5);
    l.shield_slot = dice_int(&d, 0, 2);
    l.alive_label = PICK(&d, alive_label);
    l.score_label = PICK(&d, score_label);
    l.victory = PICK(&d, victory);
    l.defeat = PICK(&d, defeat);
    if (which >= 0)
        l.layout = which;
    for (int i = 0; i < CELL_COUNT; i++)
        l.cell[i] = layout[l.layout][i];
    const char *const all = font ? find_face(a, font) : NULL;
    Face *const open[3] = {&l.title, &l.hud, &l.feed};
    for (int i = 0; i < 3; i++) {
        const int code = face_open(a, all ? all : face[i], open[i], e);
        if (code != 0)
            return code;
    }
    *out = l;
    return 0;
}
