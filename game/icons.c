/* The shapes of the icons: see icons.h. Coordinates in a square of side 1, y downwards. */
#include "game/icons.h"

#define BONE {236, 232, 220}
#define DARK {24, 22, 30}
#define STEEL {92, 150, 224}
#define PALE {226, 240, 255}
#define GOLD {240, 190, 60}
#define GREEN {70, 200, 96}
#define RED {222, 54, 48}

#define DISC(c, x, y, r)                                                                           \
    {                                                                                              \
        .kind = SHAPE_DISC, .colour = c, .radius = r, .npoint = 1, .point = { {x, y} }             \
    }
#define POLYGON(c, n, ...) {.kind = SHAPE_POLYGON, .colour = c, .npoint = n, .point = {__VA_ARGS__}}
#define END {.kind = SHAPE_END}

static const Shape skull[] = {
    DISC(DARK, .5f, .42f, .42f),
    POLYGON(DARK, 4, {.22f, .55f}, {.78f, .55f}, {.76f, .98f}, {.24f, .98f}),
    DISC(BONE, .5f, .42f, .36f),
    POLYGON(BONE, 4, {.29f, .6f}, {.71f, .6f}, {.69f, .92f}, {.31f, .92f}),
    DISC(DARK, .34f, .44f, .12f),
    DISC(DARK, .66f, .44f, .12f),
    POLYGON(DARK, 3, {.5f, .54f}, {.57f, .68f}, {.43f, .68f}),
    POLYGON(DARK, 4, {.4f, .76f}, {.44f, .76f}, {.44f, .94f}, {.4f, .94f}),
    POLYGON(DARK, 4, {.56f, .76f}, {.6f, .76f}, {.6f, .94f}, {.56f, .94f}),
    END,
};

static const Shape mask[] = {
    POLYGON(DARK, 6, {.04f, .16f}, {.96f, .16f}, {.94f, .6f}, {.66f, .84f}, {.34f, .84f},
            {.06f, .6f}),
    POLYGON(BONE, 6, {.1f, .22f}, {.9f, .22f}, {.88f, .56f}, {.64f, .78f}, {.36f, .78f},
            {.12f, .56f}),
    POLYGON(DARK, 4, {.18f, .36f}, {.44f, .44f}, {.4f, .56f}, {.22f, .52f}),
    POLYGON(DARK, 4, {.82f, .36f}, {.56f, .44f}, {.6f, .56f}, {.78f, .52f}),
    POLYGON(DARK, 4, {.34f, .64f}, {.66f, .64f}, {.6f, .7f}, {.4f, .7f}),
    END,
};

/* The outline of a shield, m from the edge of the square. */
#define ESCUTCHEON(c, m)                                                                           \
    {                                                                                              \
        .kind = SHAPE_POLYGON, .colour = c, .npoint = 7, .point = {                                \
            {.08f + m, .08f + m},                                                                  \
            {.5f, .02f + m},                                                                       \
            {.92f - m, .08f + m},                                                                  \
            {.9f - m, .54f},                                                                       \
            {.74f - m, .78f - m},                                                                  \
            {.5f, .98f - m},                                                                       \
            {.1f + m, .54f}                                                                        \
        }                                                                                          \
    }

static const Shape shield[] = {
    ESCUTCHEON(DARK, 0.f),
    ESCUTCHEON(PALE, .06f),
    POLYGON(STEEL, 5, {.5f, .08f}, {.84f, .14f}, {.82f, .52f}, {.68f, .72f}, {.5f, .9f}),
    POLYGON(DARK, 4, {.46f, .1f}, {.54f, .1f}, {.54f, .88f}, {.46f, .88f}),
    POLYGON(DARK, 4, {.16f, .38f}, {.84f, .38f}, {.84f, .46f}, {.16f, .46f}),
    END,
};

static const Shape badge[] = {
    ESCUTCHEON(DARK, 0.f),
    ESCUTCHEON(GOLD, .06f),
    POLYGON(DARK, 10, {.5f, .2f}, {.57f, .4f}, {.78f, .4f}, {.61f, .53f}, {.67f, .74f}, {.5f, .61f},
            {.33f, .74f}, {.39f, .53f}, {.22f, .4f}, {.43f, .4f}),
    END,
};

static const Shape health[] = {
    DISC(DARK, .5f, .5f, .48f),
    DISC(PALE, .5f, .5f, .42f),
    POLYGON(RED, 4, {.4f, .18f}, {.6f, .18f}, {.6f, .82f}, {.4f, .82f}),
    POLYGON(RED, 4, {.18f, .4f}, {.82f, .4f}, {.82f, .6f}, {.18f, .6f}),
    END,
};

#define ROUND(x)                                                                                   \
    POLYGON(DARK, 5, {x - .13f, .95f}, {x - .13f, .32f}, {x, .06f}, {x + .13f, .32f},              \
            {x + .13f, .95f}),                                                                     \
        POLYGON(GOLD, 4, {x - .08f, .9f}, {x - .08f, .44f}, {x + .08f, .44f}, {x + .08f, .9f}),    \
        POLYGON(RED, 3, {x - .08f, .38f}, {x, .16f}, {x + .08f, .38f})

static const Shape ammo[] = {ROUND(.2f), ROUND(.5f), ROUND(.8f), END};

static const Shape arrow[] = {
    POLYGON(DARK, 4, {.5f, .0f}, {.96f, .96f}, {.5f, .74f}, {.04f, .96f}),
    POLYGON(GREEN, 3, {.5f, .16f}, {.82f, .82f}, {.5f, .66f}),
    POLYGON(PALE, 3, {.5f, .16f}, {.5f, .66f}, {.18f, .82f}),
    END,
};

const Shape *const icon_shape[ICON_COUNT] = {
    [ICON_SKULL] = skull, [ICON_MASK] = mask, [ICON_SHIELD] = shield, [ICON_BADGE] = badge,
    [ICON_HEALTH] = health, [ICON_AMMO] = ammo, [ICON_ARROW] = arrow,
};

const char *const icon_name[ICON_COUNT] = {
    [ICON_SKULL] = "skull", [ICON_MASK] = "mask", [ICON_SHIELD] = "shield", [ICON_BADGE] = "badge",
    [ICON_HEALTH] = "health", [ICON_AMMO] = "ammo", [ICON_ARROW] = "arrow",
};
