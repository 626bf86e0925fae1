/* How much of what is asked for is begun. Where that is more than can be done, all streams have fewer samples, evenly.
 *
 *     while (governor_grants(&g, &share, 0)) { .. ; governor_close(&g, &share, !late); governor_report(&g, late); }
 *
 * Told of each sample whether it was in time, it goes by periods. As long as they are, all is granted. Where workers
 * have no time left (GOVERNOR_FULL) and more than GOVERNOR_LATE of what is finished was late, there is overload. (What is
 * late although workers have time is so for a reason of its own, and all others need not wait for it.)
 *
 * **In overload** a sample is granted by how many are under way beside a *window*, and by what its stream had so far:
 *
 *     credit of the stream, + factor for each sample that it asks for, - 1 for each that it is granted
 *     need:  1 where the window is full, less where fewer are under way (by GOVERNOR_SPAN at most), more beyond it
 *
 * So no worker waits while somebody wants a sample, whatever comes in bursts, and what there is time for goes to who had
 * least; a credit that went up in vain for a while is worth GOVERNOR_CREDIT at most. The *factor* is the share that
 * was granted of late, so that all credits together rise by what they are spent, less where they are high: a stream
 * whose credit is as high as it goes would lose what others do not. Overload is over when it is nearly all.
 * The window begins with what is done in GOVERNOR_BEGIN; it grows while workers have time left, and shrinks by what is late.
 *
 * (TCP's congestion control is the same thought; a rate that is raised and lowered instead follows bursts
 * too late: workers had a fifth of their time left, or a fifth of the samples were late.) */
#ifndef LATHE_SCHED_GOVERNOR_H
#define LATHE_SCHED_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#define GOVERNOR_MIN 0.01       /* the least factor; the most is 1 */
#define GOVERNOR_PERIOD 1000000 /* us */
#define GOVERNOR_LATE 0.03      /* share of samples */
#define GOVERNOR_FULL 0.9       /* so much of their time taken, workers have none left */
#define GOVERNOR_BEGIN 0.2      /* seconds */
#define GOVERNOR_SPAN 4.0       /* of credits, between a full window and an empty one */
#define GOVERNOR_CREDIT 2.0     /* the most, besides what is put off */

typedef struct Governor {
    double factor;       /* 1: no overload */
    double window;       /* samples */
    int64_t open, most;  /* under way, of those granted in overload; the most in this period */
    int64_t since;       /* of the period that is counted now, us */
    int64_t done, late;  /* in it; late ones are among those done */
    int64_t asked, granted; /* in it, in overload */
    double credits;      /* of those that asked, added up */
    double busy_then;    /* busy seconds when it began */
    double busy;         /* share of the workers' time, of the last period */
} Governor;

typedef struct GovernorShare { /* a stream's; begins with the credit of governor_phase */
    double credit;
    bool open; /* its sample counts as under way */
} GovernorShare;

Governor governor_new(int64_t now);
/* One sample was finished (late: after its deadline, or given up). */
void governor_report(Governor *g, bool late);
/* One was not even asked for, because the one before was under way: that counts as late, or in overload as not granted. */
void governor_miss(Governor *g, GovernorShare *s);
/* May a stream take the sample that is due? put_off: 0, or the sample is dear, and cheaper ones are due within so many: then
 * it takes as much credit more as the stream gets until then. */
bool governor_grants(Governor *g, GovernorShare *s, double put_off);
/* What was granted is not under way any more, or never will be. Not used: it came to nothing, and the stream has its credit again. */
void governor_close(Governor *g, GovernorShare *s, bool used);
double governor_phase(int stream); /* 0 to 1: streams of one rate do not all ask for theirs with the same credit */
/* Called now and then, with the busy seconds of a worker so far (of all of them, divided by their number): at the end of a
 * period sets what the next one goes by. True: the factor changed. */
bool governor_tick(Governor *g, int64_t now, double busy_seconds);

#endif
