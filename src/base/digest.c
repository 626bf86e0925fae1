/* Four lanes, 16 bytes each a step, folded by 64 x 64 -> 128 bit multiplies (the wyhash idea). */
#include "base/digest.h"

#include <stdio.h>
#include <string.h>

static const uint64_t k[5] = {0x9e3779b97f4a7c15u, 0xd6e8feb86659fd93u, 0xa0761d6478bd642fu,
                              0xe7037ed1a0b428dbu, 0x8ebc6af09c88c6e3u};

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    const unsigned __int128 p = (unsigned __int128)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static void step(uint64_t lane[4], const uint8_t *p)
{
    for (int i = 0; i < 4; i++)
        lane[i] = mix(load64(p + 16 * i) ^ k[i], load64(p + 16 * i + 8) ^ lane[i]) + lane[i];
}

void digest_add(Digest *d, const void *at, size_t size)
{
    const uint8_t *p = at;
    uint64_t lane[4];
    uint8_t last[64] = {0};
    for (int i = 0; i < 4; i++)
        lane[i] = mix(d->h[i & 1] ^ k[i], size ^ k[4]) + d->h[~i & 1];
    size_t left = size;
    for (; left >= 64; left -= 64, p += 64)
        step(lane, p);
    if (left > 0)
        memcpy(last, p, left);
    step(lane, last);
    d->h[0] = mix(lane[0] ^ k[4], lane[1] ^ k[0]) ^ mix(lane[2] ^ k[1], lane[3] ^ k[2]);
    d->h[1] = mix(lane[0] ^ k[3], lane[2] ^ k[1]) + mix(lane[1] ^ k[4], lane[3] ^ k[0]);
}

void digest_add_text(Digest *d, const char *text)
{
    digest_add(d, text, strlen(text));
}

void digest_add_int(Digest *d, int64_t v)
{
    digest_add(d, &v, sizeof v);
}

void digest_print(const Digest *d, char text[DIGEST_TEXT])
{
    snprintf(text, DIGEST_TEXT, "%016llx%016llx", (unsigned long long)d->h[0],
             (unsigned long long)d->h[1]);
}
