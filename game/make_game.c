/* game --seed S --seconds 30 -o DIR: a video of a game that never was, with the list of what
 * happens in it. */
#include <libavutil/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "game/game.h"

static const char usage[] =
    "game [OPTIONS] -o DIR\n"
    "\n"
    "Makes DIR/game.mp4, a game that never was; events.jsonl: what happens in it; game.yaml and "
    "refs/: a watch for it.\n"
    "\n"
    "    --seed N                which game: other seeds have other fonts, colours, layouts, "
    "scripts (1)\n"
    "    --seconds N             how long (30)\n"
    "    --size WxH              16:9, even (1280x720)\n"
    "    --fps N, N/D            frames a second (30)\n"
    "    --bitrate N[k|M]        bits a second (2M)\n"
    "    --gop Ns                a key frame at least each N seconds (2s)\n"
    "    --layout 0..3|auto      where the HUD's parts stand (auto)\n"
    "    --font NAME|FILE        of all texts, e.g. DejaVuSerif-Bold, in place of the seed's\n"
    "    --noise N               Gaussian noise of N levels on luma (0)\n"
    "    --over CLIP             draws the game over a video, in place of its own background\n"
    "    --preset NAME           of x264 (veryfast)\n"
    "    --recogniser FILE       model that reads text, written into game.yaml\n"
    "    --voice FILE            speech, a WAV of one channel and 16 bits, that is said now and "
    "then\n"
    "    --name FILE             of the video in DIR; its ending chooses the container: mp4, mkv, "
    "ts (game.mp4)\n";

static bool number(const char *text, double low, double high, const char *unit, double *out)
{
    char *end = NULL;
    *out = strtod(text, &end);
    return end != text && (*end == 0 || strcmp(end, unit) == 0) && *out >= low && *out <= high;
}

static bool integer(const char *text, int low, int high, int *out)
{
    double v = 0;
    const bool ok = number(text, low, high, "", &v) && v == (double)(int)v;
    *out = ok ? (int)v : 0;
    return ok;
}

static bool take_seed(GameOptions *o, const char *v)
{
    char *end = NULL;
    o->seed = strtoull(v, &end, 10);
    return v[0] >= '0' && v[0] <= '9' && *end == 0;
}

static bool take_seconds(GameOptions *o, const char *v)
{
    return number(v, 0, 1e9, "s", &o->seconds);
}

static bool take_size(GameOptions *o, const char *v)
{
    int used = 0;
    return sscanf(v, "%5dx%5d%n", &o->width, &o->height, &used) == 2 && v[used] == 0;
}

static bool take_fps(GameOptions *o, const char *v)
{
    int used = 0;
    if (sscanf(v, "%7d/%7d%n", &o->fps_num, &o->fps_den, &used) == 2)
        return v[used] == 0 && o->fps_num > 0 && o->fps_den > 0;
    o->fps_den = 1;
    return integer(v, 1, 240, &o->fps_num);
}

static bool take_bitrate(GameOptions *o, const char *v)
{
    double n = 0;
    bool ok = number(v, 0, 1e12, "k", &n);
    const double unit = ok && strchr(v, 'k') ? 1e3 : 1;
    if (ok) {
        o->bitrate = (int64_t)(n * unit);
        return true;
    }
    ok = number(v, 0, 1e6, "M", &n);
    o->bitrate = (int64_t)(n * 1e6);
    return ok;
}

static bool take_gop(GameOptions *o, const char *v) { return number(v, 0, 1e6, "s", &o->gop); }

static bool take_layout(GameOptions *o, const char *v)
{
    o->layout = -1;
    return strcmp(v, "auto") == 0 || integer(v, 0, LOOK_LAYOUTS - 1, &o->layout);
}

static bool take_noise(GameOptions *o, const char *v) { return number(v, 0, 1e6, "", &o->noise); }

#define TEXT_OPTION(field)                                                                         \
    static bool take_##field(GameOptions *o, const char *v)                                        \
    {                                                                                              \
        o->field = v;                                                                              \
        return v[0] != 0;                                                                          \
    }
TEXT_OPTION(font)
TEXT_OPTION(over)
TEXT_OPTION(preset)
TEXT_OPTION(recogniser)
TEXT_OPTION(voice)
TEXT_OPTION(name)
TEXT_OPTION(dir)

static const struct {
    const char *name;
    bool (*take)(GameOptions *o, const char *value);
} option[] = {
    {"--seed", take_seed},     {"--seconds", take_seconds}, {"--size", take_size},
    {"--fps", take_fps},       {"--bitrate", take_bitrate}, {"--gop", take_gop},
    {"--layout", take_layout}, {"--font", take_font},       {"--noise", take_noise},
    {"--over", take_over},     {"--preset", take_preset},   {"--recogniser", take_recogniser},
    {"--voice", take_voice},   {"--name", take_name},       {"-o", take_dir},
};
#define OPTIONS (int)(sizeof option / sizeof *option)

static int parse(int argc, char **argv, GameOptions *o)
{
    o->dir = NULL;
    for (int i = 1; i < argc; i += 2) {
        int k = 0;
        while (k < OPTIONS && strcmp(argv[i], option[k].name) != 0)
            k++;
        if (k == OPTIONS || i + 1 == argc) {
            fprintf(stderr, "game: '%s' %s; see game --help\n", argv[i],
                    k == OPTIONS ? "is no option" : "needs a value");
            return 2;
        }
        if (!option[k].take(o, argv[i + 1])) {
            fprintf(stderr, "game: %s %s: see game --help\n", argv[i], argv[i + 1]);
            return 2;
        }
    }
    if (!o->dir)
        fprintf(stderr, "game: where to? -o DIR\n");
    return o->dir ? 0 : 2;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    GameOptions o = game_defaults;
    int code = parse(argc, argv, &o);
    if (code != 0)
        return code;
    av_log_set_level(AV_LOG_WARNING); /* libx264 is talkative */
    Arena *const a = arena_new();
    Error e = {0};
    code = game_write(a, &o, &e);
    if (code == 0)
        printf("%s/%s: %g s, seed %llu; what happens in it: %s/events.jsonl; the watch for it: "
               "%s/game.yaml\n",
               o.dir, o.name, o.seconds, (unsigned long long)o.seed, o.dir, o.dir);
    else
        fprintf(stderr, "game: %s\n", e.message);
    arena_free(a);
    return code == 0 ? 0 : 1;
}
