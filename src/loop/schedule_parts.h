/* What the files schedule_check.c and schedule_stage.c share. */
#ifndef LATHE_LOOP_SCHEDULE_PARTS_H
#define LATHE_LOOP_SCHEDULE_PARTS_H

#include "loop/schedule.h"

typedef struct Check {
    const Schedule *sc;
    const Stages *s;
    const Target *t;
    Str *why;
} Check;

/* ---- schedule_stage.c: the loops of one stage by themselves ---- */

/* Says what is wrong with a stage, and gives v. */
ScheduleVerdict check_no(const Check *c, ScheduleVerdict v, const StageSchedule *ss,
                         const char *what);
/* The layout that the record leaves a tensor with. */
const Layout *check_layout(const Schedule *sc, const Stages *s, int tensor);
bool check_loop_exists(const Stage *st, const StageSchedule *ss, LoopRef r);
int check_first_reduction(const Stage *st, const LoopRef *order, int n);
int check_position(const LoopRef *order, int n, LoopRef r);
/* Is it a phase of each step of another stage? */
bool check_is_step_phase(const Check *c, const StageSchedule *ss);
ScheduleVerdict check_order(const Check *c, const Stage *st, const StageSchedule *ss);
ScheduleVerdict check_tails(const Check *c, const Stage *st, const StageSchedule *ss);
ScheduleVerdict check_marks(const Check *c, const Stage *st, const StageSchedule *ss);
/* A scan whose elements read other places of the axes beside: nothing may run ahead of the
 * order. */
ScheduleVerdict check_scan(const Check *c, const Stage *st, const StageSchedule *ss);

#endif
