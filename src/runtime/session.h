/* Behind the public API: what a session is. */
#ifndef LATHE_RUNTIME_SESSION_H
#define LATHE_RUNTIME_SESSION_H

#include <lathe.h>

#include "runtime/module.h"

/* An input has two headers that take turns: the next is filled and checked while the last is still
 * in place, and setting an input allocates nothing. */
typedef struct SessionInput {
    Tensor header[2]; /* the session's reference to them never goes */
    int turn;         /* the one to fill next */
    void (*free)(void *arg); /* of the one in place; NULL: nobody wants to know */
    void *arg;
} SessionInput;

struct lathe_session {
    Pool *pool;
    Run *run;
    Module *module;
    bool ran; /* the last lathe_run succeeded */
    int ninput;
    SessionInput input[];
};

/* Borrowed; NULL and ERR_INVALID: there is none of this number, or the last run failed. */
Tensor *session_output(const lathe_session *s, int index, Error *e);

#endif
