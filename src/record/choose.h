/* Which schedule a group gets when the database has none: templates with an analytic choice. */
#ifndef LATHE_RECORD_CHOOSE_H
#define LATHE_RECORD_CHOOSE_H

#include "loop/schedule.h"

/* A legal schedule for s on t; never fails. `source` gets the template's name, for reports. */
Schedule *schedule_choose(Context *ctx, const Stages *s, const Target *t, const char **source);

#endif
