/* Areas of the map and the player's way: see path.h. The way is straight from waypoint to waypoint;
 * ways that stay too shortly somewhere are drawn anew. */
#include "game/path.h"

#include <math.h>

#include "game/dice.h"

#define MOST_LEGS 64
#define TURN 0.35 /* seconds that a change of direction takes */

static const char *const area_name[] = {"harbour",  "mill",   "quarry", "airfield",
                                        "old_town", "forest", "castle", "dam"};
#define NAMES (int)(sizeof area_name / sizeof *area_name)

/* Five of the six cells of a 3 x 2 grid have an area, with a strip of no area around it. */
void path_areas(uint64_t seed, Area area[SCRIPT_AREAS])
{
    Dice d = dice_new(seed, "areas");
    const int first = dice_int(&d, 0, NAMES - 1), hole = dice_int(&d, 0, 5);
    int n = 0;
    for (int k = 0; k < 6; k++) {
        if (k == hole)
            continue;
        const float x = 8 + 64 * (float)(k % 3), y = 10 + 96 * (float)(k / 3);
        const float wide = 46, tall = 70;
        float j[8];
        for (int i = 0; i < 8; i++)
            j[i] = (float)dice_real(&d, 0, 8);
        area[n] = (Area){.name = area_name[(first + n) % NAMES],
                         .corner = {{x + j[0], y + j[1]},
                                    {x + wide + j[2], y + j[3]},
                                    {x + wide + j[4], y + tall + j[5]},
                                    {x + j[6], y + tall + j[7]}}};
        n++;
    }
}

static bool inside(const Area *area, Point p)
{
    bool in = false;
    for (int i = 0, j = 3; i < 4; j = i++) {
        const Point a = area->corner[i], b = area->corner[j];
        if ((a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x)
            in = !in;
    }
    return in;
}

int path_area(const Script *s, Point at)
{
    for (int i = 0; i < SCRIPT_AREAS; i++) {
        if (inside(&s->area[i], at))
            return i;
    }
    return -1;
}

static Point middle(const Area *a)
{
    Point m = {0, 0};
    for (int i = 0; i < 4; i++) {
        m.x += a->corner[i].x / 4;
        m.y += a->corner[i].y / 4;
    }
    return m;
}

static Point between(Waypoint a, Waypoint b, int frame)
{
    if (frame <= a.frame || a.frame >= b.frame)
        return a.at;
    const float t = frame >= b.frame ? 1 : (float)(frame - a.frame) / (float)(b.frame - a.frame);
    return (Point){a.at.x + t * (b.at.x - a.at.x), a.at.y + t * (b.at.y - a.at.y)};
}

static int draw_way(Dice *d, const Script *s, Span play, Waypoint *way)
{
    int n = 0, here = dice_int(d, 0, SCRIPT_AREAS - 1);
    way[n++] = (Waypoint){play.from, middle(&s->area[here])};
    while (way[n - 1].frame < play.to && n < MOST_LEGS) {
        const int next = (here + dice_int(d, 1, SCRIPT_AREAS - 1)) % SCRIPT_AREAS;
        Point to = middle(&s->area[next]);
        to.x += (float)dice_real(d, -8, 8);
        to.y += (float)dice_real(d, -12, 12);
        const double length =
            hypot((double)(to.x - way[n - 1].at.x), (double)(to.y - way[n - 1].at.y));
        const int take = (int)lrint(length / dice_real(d, 16, 26) * s->fps);
        way[n] = (Waypoint){way[n - 1].frame + take, to};
        n++;
        here = next;
    }
    return n;
}

/* No stay is short; the last may be cut by the end of the play, but not shorter than that
 * either. */
static bool way_good(const Script *s, Span play, const Waypoint *way, int n)
{
    const int dwell = (int)lrint(SCRIPT_DWELL * s->fps);
    int leg = 0, area = -2, since = play.from;
    for (int f = play.from; f <= play.to; f++) {
        while (leg + 2 < n && f >= way[leg + 1].frame)
            leg++;
        const int now = f == play.to ? -2 : path_area(s, between(way[leg], way[leg + 1], f));
        if (now == area)
            continue;
        if (area != -2 && f - since < dwell)
            return false;
        area = now;
        since = f;
    }
    return true;
}

void path_write(Arena *a, Script *s, uint64_t seed, Span play)
{
    Dice d = dice_new(seed, "path");
    Waypoint way[MOST_LEGS];
    int n = 0;
    for (int k = 0; k < 500; k++) {
        n = draw_way(&d, s, play, way);
        if (way_good(s, play, way, n))
            break;
        n = 0;
    }
    if (n == 0) { /* a play too short for any way: stand still */
        way[n++] = (Waypoint){play.from, middle(&s->area[0])};
        way[n++] = (Waypoint){play.to, way[0].at};
    }
    if (way[n - 1].frame > play.to) /* the next match has a way of its own */
        way[n - 1] = (Waypoint){play.to, between(way[n - 2], way[n - 1], play.to)};
    for (int i = 0; i < n; i++)
        vec_push(a, &s->way, way[i]);
}

static float heading(Waypoint a, Waypoint b)
{
    return atan2f(b.at.x - a.at.x, a.at.y - b.at.y) * 180 / 3.14159265f;
}

Point path_at(const Script *s, int frame, float *degrees)
{
    const Waypoint *const way = s->way.at;
    int i = 0;
    while (i + 1 < s->way.len && frame >= way[i + 1].frame)
        i++;
    const int next = i + 1 < s->way.len ? i + 1 : i;
    const bool moving = next != i && way[next].frame > way[i].frame;
    float turn = moving ? heading(way[i], way[next]) : 0;
    if (moving && i > 0 && way[i].frame > way[i - 1].frame) {
        const float t = (float)((frame - way[i].frame) / (TURN * s->fps));
        const float was = heading(way[i - 1], way[i]), by = remainderf(turn - was, 360);
        turn = t < 1 ? was + by * t : turn;
    }
    *degrees = turn;
    return between(way[i], way[next], frame);
}
