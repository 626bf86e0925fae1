/* One connection to the test server: requests in, packets out, over the same TCP (RFC 2326 10.12).
 *
 * Loops over the file; times go on. Faults come at their times (faults.h). */
#ifndef LATHE_TESTS_SESSION_H
#define LATHE_TESTS_SESSION_H

#include "rtsp/faults.h"

typedef struct SessionOptions {
    const Media *media;
    /* seconds that sound comes after the pictures it belongs to; below 0: before */
    double late;
    bool middle;     /* begin in the middle of a group of pictures */
    double speed;    /* 1: as fast as life */
    /* us since 1970 that sender reports give to media time 0; 0: the clock of the machine at
     * PLAY */
    int64_t wall;
    int nfault;
    const Fault *fault; /* in the order of their time */
    bool verbose;    /* a line to stderr for what happens */
} SessionOptions;

/* Until either side ends it; closes fd. */
void session_run(const SessionOptions *opt, int fd, int number);

#endif
