/* How much work a step of the parallel loop has. Each divides to know where it is, so steps of
 * little work leave their loops to the inside:
 *
 *     parallel n0 k0 p0     1 x 1024 x 7 steps of a row of 7 points
 *     parallel n0 k0        not `parallel n0`, which is one step: k in twos, 512 steps of 14 rows
 */
#include <math.h>

#include "loop/access.h"
#include "record/templates.h"

#define STEP_POINTS 512 /* of a step of the parallel loop, which divides to know where it is */
/* what an open extent counts for: with 1 nothing would be left to share out */
#define OPEN_POINTS 32

#define FEW_STEPS 8 /* leave threads with unequal parts, or all to one */

static double outer_steps(const Choice *c, const Stage *st, const StageSchedule *ss, int loop)
{
    const int axis = ss->order[loop].axis;
    const int64_t tile = ss->tile[axis].n > 0 ? ss->tile[axis].factor[0] : 1;
    return (double)((axis_extent(c->s, st, axis, OPEN_POINTS) + tile - 1) / tile);
}

/* Some steps of the last parallel loop are one: its axis is tiled, if it is not, and they divide
 * it. `points` are those of a step. */
static bool join_steps(const Choice *c, const Stage *st, StageSchedule *ss, double points)
{
    const int loop = ss->nparallel - 1, axis = ss->order[loop].axis;
    const int64_t extent = axis_extent(c->s, st, axis, 0);
    int64_t steps = (int64_t)ceil(STEP_POINTS / points);
    while (steps < extent && extent % steps != 0) {
        steps++;
    }
    if (ss->tile[axis].n > 0 || 2 * steps > extent || ss->norder == MAX_LOOPS) {
        return false;
    }
    ss->tile[axis] = (AxisTile){.n = 1, .factor = {(int32_t)steps}, .tail = TAIL_PEEL};
    for (int k = ss->norder++; k > loop + 1; k--) {
        ss->order[k] = ss->order[k - 1];
    }
    ss->order[loop + 1] = (LoopRef){.axis = (int8_t)axis, .level = 1};
    const uint64_t outer = ((uint64_t)1 << ss->nparallel) - 1;
    ss->unroll = (ss->unroll & outer) | (ss->unroll & ~outer) << 1;
    ss->vector += ss->vector > loop;
    return true;
}

/* Inner loops leave the parallel loop until each of its steps has some work, `each` a point; where
 * too few steps would be left to share out, some are joined. */
void widen_steps(const Choice *c, const Stage *st, StageSchedule *ss, double each)
{
    double points = each;
    for (int k = ss->nparallel; k < ss->norder; k++) {
        const LoopRef r = ss->order[k];
        points *= r.level > 0 ? ss->tile[r.axis].factor[r.level - 1]
                              : (double)axis_extent(c->s, st, r.axis, OPEN_POINTS);
    }
    while (ss->nparallel > 1 && points < STEP_POINTS) {
        double left = 1;
        for (int k = 0; k < ss->nparallel - 1; k++) {
            left *= outer_steps(c, st, ss, k);
        }
        if (left < FEW_STEPS && join_steps(c, st, ss, points)) {
            return;
        }
        points *= outer_steps(c, st, ss, --ss->nparallel);
    }
}
