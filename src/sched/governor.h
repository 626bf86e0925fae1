/* How much of what is asked for is begun. Where that is more than can be done, all streams have
 * fewer samples, evenly.
 *
 *     if (governor_ask(&g, &share, dear))   granted; else it waits for its turn
 *     while ((s = governor_next(&g)))       the turn of s has come
 *     governor_close(&g, &share, !late); governor_report(&g, late);     its sample has ended
 *
 * Told of each sample whether it was in time, it goes by periods. As long as they are, all is
 * granted. Where workers have no time left (GOVERNOR_FULL) and more than GOVERNOR_LATE of what is
 * finished was late, there is overload. (What is late although workers have time is so for a reason
 * of its own, and all others need not wait for it.)
 *
 * **In overload** as many samples are under way as fit into a *window*: what can be done in
 * GOVERNOR_SPAN, by what was done beside how busy workers were. Those that are due beyond that
 * wait. Whenever one ends, the next is the one with the most
 *
 *     credit of its stream - what it costs more than others
 *
 * so that no worker waits while somebody wants a sample, and yet the cheap ones of many are taken,
 * not the first that comes. Each sample that is granted costs its stream a credit, which all that
 * ask share by how often they do: credits are about zero on the average, and rates are lowered by
 * the same *factor*, which is what was granted of what was asked of late. Overload is over when
 * that is nearly all.
 *
 * (Deficit round robin, Shreedhar and Varghese, SIGCOMM 1995, with what is dear put off; the
 * window is Little's law. Deciding at once, when a sample comes to be due, by credit and window
 * alone took dear samples wherever credits were high: two thirds of what can be done. A rate
 * that is raised and lowered follows bursts too late: a fifth of workers' time was left, or a
 * fifth of the samples was late.) */
#ifndef LATHE_SCHED_GOVERNOR_H
#define LATHE_SCHED_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#define GOVERNOR_MIN 0.01       /* the least factor; the most is 1 */
#define GOVERNOR_PERIOD 1000000 /* us */
#define GOVERNOR_LATE 0.03      /* share of samples */
#define GOVERNOR_FULL 0.9       /* so much of their time taken, workers have none left */
#define GOVERNOR_SPAN 0.1       /* seconds */
#define GOVERNOR_CREDIT 4.0     /* the most */
/* who has so much less than others waits, though there may be time */
#define GOVERNOR_DEBT 1.0

typedef struct GovernorShare GovernorShare;
struct GovernorShare { /* a stream's */
    double credit;
    double dear;        /* what it waits for costs so many samples more than the cheapest .. */
    bool open;          /* its sample counts as under way */
    bool asked;         /* the one that is due has its part of what others were granted */
    bool waits;
    GovernorShare *next, *prev; /* of those that wait */
};

typedef struct Governor {
    double factor;      /* 1: no overload */
    double window;      /* samples */
    double narrow;      /* what is late makes it narrower: 1, or less */
    double rate;        /* samples a second that can be done, of late */
    int64_t open;       /* under way, of those granted in overload */
    int64_t since;      /* of the period that is counted now, us */
    int64_t done, late; /* in it; late ones are among those done */
    int64_t asked, granted; /* in it, in overload */
    double pot;         /* credits that were paid and not given yet; less than 0: more was given */
    double credits;     /* of those that asked in this period, added up .. */
    double usual;       /* .. on the average, of the last period */
    double each;        /* credit that is given for each sample that is asked for */
    double busy_then;   /* busy seconds when it began */
    double busy;        /* share of the workers' time, of the last period */
    GovernorShare *first; /* of those that wait, in no order */
} Governor;

Governor governor_new(int64_t now);
/* A stream comes, and goes. number: streams of one rate do not all begin with the same credit. */
void governor_join(Governor *g, GovernorShare *s, int number);
void governor_leave(Governor *g, GovernorShare *s);
/* One sample was finished (late: after its deadline, or given up). */
void governor_report(Governor *g, bool late);
/* One was not even asked for, because the one before was under way: that counts as late, or in
 * overload as not granted. */
void governor_miss(Governor *g, GovernorShare *s);
/* May a stream take the sample that is due? False: it waits, and may ask again (dear: as it is
 * now). */
bool governor_ask(Governor *g, GovernorShare *s, double dear);
/* It does not wait any more, and gives back a turn that it has not taken, but may ask for the same
 * sample again. */
void governor_withdraw(Governor *g, GovernorShare *s);
/* The one that may begin now: its sample is under way, and whoever calls tells it. NULL: none. */
GovernorShare *governor_next(Governor *g);
/* What was granted, or is waited for, is over, or never will be. Not used: it came to nothing, and
 * the stream has its credit again. */
void governor_close(Governor *g, GovernorShare *s, bool used);
/* Called now and then, with the busy seconds of a worker so far (of all of them, divided by their
 * number): at the end of a period sets what the next one goes by. True: the factor changed. */
bool governor_tick(Governor *g, int64_t now, double busy_seconds);

#endif
