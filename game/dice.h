/* Chance, the same on every machine: splitmix64 (Steele, Lea, Flood 2014). Each part of the game
 * draws from dice of its own, named after it, so that a change in one leaves the others as they
 * were. */
#ifndef LATHE_GAME_DICE_H
#define LATHE_GAME_DICE_H

#include <stdbool.h>
#include <string.h>

#include "base/map.h"

typedef struct Dice {
    uint64_t state;
} Dice;

static inline Dice dice_new(uint64_t seed, const char *part)
{
    return (Dice){hash_bytes(part, strlen(part), seed)};
}

static inline uint64_t dice_next(Dice *d)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline int dice_int(Dice *d, int low, int high) /* both may come */
{
    return high <= low ? low : low + (int)(dice_next(d) % (uint64_t)(high - low + 1));
}

static inline double dice_unit(Dice *d) /* [0, 1) */
{
    return (double)(dice_next(d) >> 11) * 0x1p-53;
}

static inline double dice_real(Dice *d, double low, double high)
{
    return low + (high - low) * dice_unit(d);
}

static inline bool dice_chance(Dice *d, double p)
{
    return dice_unit(d) < p;
}

#endif
