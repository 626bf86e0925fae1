/* A WAV file, where it is heard, and the track that is made of it. */
#include "game/sound.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "game/dice.h"

#define WINDOW 0.03 /* seconds over which loudness is taken */
#define QUIET 0.01  /* root of the mean square below which nothing is heard */
#define NOISE 0.004

typedef struct Wav {
    int rate, n;
    const uint8_t *at; /* 16 bits, little end first */
} Wav;

static uint32_t word(const uint8_t *p, int bytes)
{
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint32_t)p[i] << 8 * i;
    return v;
}

/* RIFF: chunks of a name, a size, and so many bytes. */
static int wav_read(Arena *a, const char *path, Wav *out, Error *e)
{
    File f;
    const int code = file_map(a, path, &f, e);
    if (code != 0)
        return code;
    *out = (Wav){0};
    size_t at = 12;
    while (f.size >= 12 && memcmp(f.at, "RIFF", 4) == 0 && at + 8 <= f.size) {
        const uint8_t *const p = (const uint8_t *)f.at + at;
        size_t size = word(p + 4, 4);
        size = size < f.size - at - 8 ? size : f.size - at - 8;
        if (memcmp(p, "fmt ", 4) == 0 && size >= 16 && word(p + 8, 2) == 1 &&
            word(p + 10, 2) == 1 && word(p + 22, 2) == 16)
            out->rate = (int)word(p + 12, 4);
        if (memcmp(p, "data", 4) == 0) {
            out->at = p + 8;
            out->n = (int)(size / 2);
        }
        at += 8 + size + size % 2;
    }
    if (out->rate < 8000 || out->rate > 48000 || out->n < out->rate / 10)
        return error_set(e, ERR_INVALID, "%s: no WAV of one channel, 16 bits and 8 to 48 kHz",
                         path);
    return 0;
}

static float sample_of(const Wav *w, int i)
{
    return (float)(int16_t)word(w->at + 2 * i, 2) / 32768;
}

/* Where one saying of it is heard, seconds from its beginning. */
static void find_spoken(Arena *a, const Wav *w, Sound *s)
{
    const int step = (int)(WINDOW * w->rate);
    for (int i = 0; i + step <= w->n; i += step) {
        double sum = 0;
        for (int k = 0; k < step; k++)
            sum += (double)(sample_of(w, i + k) * sample_of(w, i + k));
        if (sqrt(sum / step) < QUIET)
            continue;
        const double from = (double)i / w->rate, to = (double)(i + step) / w->rate;
        if (s->spoken.len > 0 && from - vec_last(&s->spoken).to < SOUND_PAUSE)
            vec_last(&s->spoken).to = to;
        else
            vec_push(a, &s->spoken, ((Spoken){from, to}));
    }
}

int sound_new(Arena *a, const char *wav, uint64_t seed, double seconds, Sound **out, Error *e)
{
    Wav w;
    const int code = wav_read(a, wav, &w, e);
    if (code != 0)
        return code;
    Sound once = {0};
    find_spoken(a, &w, &once);
    Sound *const s = arena_new_of(a, Sound);
    *s = (Sound){.rate = w.rate, .n = (int)(seconds * w.rate)};
    s->at = arena_array_of(a, s->n, float);
    Dice d = dice_new(seed, "sound");
    for (int i = 0; i < s->n; i++)
        s->at[i] = (float)(NOISE * (2 * dice_unit(&d) - 1));
    const double length = (double)w.n / w.rate;
    for (double t = 1.5 + dice_unit(&d); t + length < seconds - 1;
         t += length + 4 + 3 * dice_unit(&d)) {
        const int first = (int)(t * w.rate);
        for (int i = 0; i < w.n; i++)
            s->at[first + i] += sample_of(&w, i);
        for (int i = 0; i < once.spoken.len; i++)
            vec_push(a, &s->spoken,
                     ((Spoken){t + once.spoken.at[i].from, t + once.spoken.at[i].to}));
    }
    *out = s;
    return 0;
}

void sound_truth(Str *out, const Sound *s)
{
    for (int i = 0; i < s->spoken.len; i++)
        str_addf(
            out,
            "{\"event\":\"voice\",\"key\":null,\"t_start\":%.6f,\"t_end\":%.6f,\"value\":null}\n",
            s->spoken.at[i].from, s->spoken.at[i].to);
}
