/* What the files isolated_child*.c share: this process is a child of isolated.h. */
#ifndef LATHE_WATCH_ISOLATED_CHILD_H
#define LATHE_WATCH_ISOLATED_CHILD_H

#include "watch/isolated.h"

#define ISOLATED_SOCKET 3
#define ISOLATED_SHARED 4

typedef struct ChildInput { /* zero at first */
    uint8_t *at;
    size_t room;
} ChildInput;

/* False: who asked is gone. *in: valid until the next call. */
bool child_receive(ChildInput *c, WireIn *in);
bool child_send(Wire *w);
const _Atomic int *child_over(void); /* not 0: who asked is gone */

/* Threads that the role needs are there. Until the process ends it may do no more than that. */
void isolated_confine(IsolatedRole role, int64_t memory);

/* The roles, until there is nothing more to do. */
int child_source(void);
int child_codec(void);
int child_cutter(void);

#endif
