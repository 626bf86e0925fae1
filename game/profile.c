/* Writes the watch file and its pictures: see profile.h. */
#include "game/profile.h"

#include <string.h>

#include "base/file.h"

static const char head[] =
    "# A watch for the generated game of this folder; its truth is events.jsonl.\n"
    "watch:\n"
    "  name: royale\n"
    "  reference_size: [1280, 720]\n"
    "  sample: {fps: 2, max_fps: 10, policy: newest}\n"
    "  gap: 2s\n"
    "\n";

static const char numbers[] =
    "\n"
    "signal:\n"
    "  alive: {from: text, region: alive, mode: line, charset: \"0123456789\", min_conf: 0.6, "
    "parse: '^(\\d{1,3})$', type: int,\n"
    "          range: [1, 100],\n"
    "          guard: {max_up_per_s: 0, rebaseline_after: 5, reset_on: \"screen == 'lobby'\"}}\n"
    "  score: {from: text, region: score, mode: line, charset: \"0123456789\", min_conf: 0.6, "
    "parse: '^(\\d{1,5})$', type: int,\n"
    "          range: [0, 99999],\n"
    "          guard: {max_down_per_s: 0, rebaseline_after: 5, reset_on: \"screen == 'lobby'\"}}\n"
    "  clock: {from: text, region: clock, mode: line, charset: \"0123456789:\", min_conf: 0.6, "
    "parse: '^(\\d{2}:\\d{2})$'}\n"
    "  skull: {from: icon, region: feed, template: refs/skull.png, mask: alpha, on: 0.8, off: "
    "0.7}\n"
    "  shield_icon: {from: icon, region: states, template: refs/shield.png, mask: alpha, on: 0.8, "
    "off: 0.7}\n"
    "  screen: {from: screen, region: band, unknown_below: 0.6, classes: {";

/* What changed has to be seen twice in three samples; its record is dated back to the first. A
 * shield is gone when it has been away for eight samples, which are 0.8 s by then: for less it may
 * be covered. */
static const char events[] =
    "\n"
    "event:\n"
    "  match: {when: \"screen == 'play'\", confirm: [2, 3], release: [2, 3], data: [clock]}\n"
    "  final_ten: {when: \"screen == 'play' && alive <= 10\", confirm: [2, 3], release: [2, 3], "
    "severity: 2, data: [alive]}\n"
    "  alive_change: {when: \"changed(alive)\", within: \"screen == 'play'\", emit: point, "
    "confirm: [2, 3], data: [alive, alive.prev]}\n"
    "  score_change: {when: \"changed(score)\", within: \"screen == 'play'\", emit: point, "
    "confirm: [2, 3], data: [score, score.prev]}\n"
    "  kill: {when: \"screen == 'play' && skull\", confirm: [2, 3], release: [3, 3], emit: point}\n"
    "  shield: {when: \"screen == 'play' && shield_icon\", confirm: [2, 3], release: [8, 8]}\n"
    "  victory: {when: \"screen == 'victory'\", confirm: [2, 3], release: [2, 3]}\n"
    "  win: {when: \"seq(alive <= 2, victory, 20s)\", emit: point}\n";

#define MAP_UNIT 5 /* map coordinates to a pixel of the map: the map is 1000 wide */

static void add_map(Str *out, const Script *script)
{
    str_addf(out,
             "  player: {from: position, region: map, template: refs/arrow.png, rotations: 36, on: "
             "0.78, map: [%d, 0, 0, 0, %d, 0], areas: {",
             MAP_UNIT, MAP_UNIT);
    for (int i = 0; i < SCRIPT_AREAS; i++) {
        str_addf(out, "%s\n    %s: [", i ? "," : "", script->area[i].name);
        for (int k = 0; k < 4; k++) {
            const Point at = script->area[i].corner[k];
            str_addf(out, "%s[%.1f, %.1f]", k ? ", " : "", (double)(MAP_UNIT * at.x),
                     (double)(MAP_UNIT * at.y));
        }
        str_addf(out, "]");
    }
    str_addf(out, "}}\n");
}

void profile_yaml(Str *out, const Look *look, const Script *script, const char *recogniser,
                  bool voice)
{
    str_add(out, head);
    if (recogniser) {
        str_add(out, "model: {recogniser: ");
        str_add_quoted(out, recogniser);
        str_add(out, "}\n\n");
    }
    str_add(out, "region:\n");
    for (int i = 0; i < CELL_COUNT; i++) {
        const Rect r = look->cell[i];
        str_addf(out, "  %s: [%g, %g, %g, %g]\n", cell_name[i], (double)r.x, (double)r.y,
                 (double)r.width, (double)r.height);
    }
    str_add(out, numbers);
    for (int i = 0; i < SCREEN_COUNT; i++)
        str_addf(out, "%s%s: refs/%s-*.png", i ? ", " : "", screen_name[i], screen_name[i]);
    str_add(out, "}}\n");
    add_map(out, script);
    if (voice)
        str_add(out, "  voice_heard: {from: audio, min_on: 0s, min_off: 0s}\n");
    str_add(out, events);
    if (voice) /* pauses of less than 0.9 s belong to it: at ten samples a second */
        str_add(out, "  voice: {when: voice_heard, confirm: [2, 3], release: [9, 9]}\n");
    for (int i = 0; i < SCRIPT_AREAS; i++)
        str_addf(out,
                 "  in_%s: {when: \"screen == 'play' && player.area == '%s'\", confirm: [2, 3], "
                 "release: [2, 3]}\n",
                 script->area[i].name, script->area[i].name);
}

static int write_band(Arena *a, const char *dir, Painter *p, Screen screen, int n, Error *e)
{
    const Rect r = p->look->cell[CELL_BAND];
    Picture *const frame = picture_new(a, p->width, p->height), *const band =
                                                                    picture_new(a, (int)r.width,
                                                                                (int)r.height);
    const Scene s = {.frame = -1,
                     .screen = screen,
                     .t = 7.3 * n,
                     .since = 2.7 * n + 0.5,
                     .light = 1,
                     .alive = 50,
                     .player = {SCRIPT_MAP / 2, SCRIPT_MAP / 2}};
    painter_draw(p, &s, NULL, frame);
    for (int y = 0; y < band->height; y++)
        memcpy(band->rgb + (size_t)y * (size_t)band->width * 3,
               frame->rgb + (((size_t)r.y + (size_t)y) * (size_t)frame->width + (size_t)r.x) * 3,
               (size_t)band->width * 3);
    return picture_write_png(arena_printf(a, "%s/%s-%d.png", dir, screen_name[screen], n + 1), band,
                             e);
}

#define PLAY_REFERENCES 5 /* one for each weapon that may be chosen */

int profile_refs(Arena *a, const char *dir, Painter *p, Error *e)
{
    const char *const refs = path_join(a, dir, "refs");
    int code = file_make_dirs(refs, e);
    const struct {
        const char *name;
        const Sprite *sprite;
    } icon[] = {{"skull", p->skull}, {"shield", p->state[STATE_SHIELD]}, {"arrow", p->arrow[0]}};
    for (size_t i = 0; i < sizeof icon / sizeof *icon && code == 0; i++)
        code = paint_write_png(arena_printf(a, "%s/%s.png", refs, icon[i].name), icon[i].sprite, e);
    for (int k = 0; k < SCREEN_COUNT; k++) {
        for (int n = 0; n < (k == SCREEN_PLAY ? PLAY_REFERENCES : 1) && code == 0; n++)
            code = write_band(a, refs, p, (Screen)k, n, e);
    }
    return code;
}
