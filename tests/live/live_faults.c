/* Faults on live streams, many of them, and how long each takes to get over: what `live`
 * (src/watch/live.h) is judged by.
 *
 *     live_faults rtsp --faults 100
 *
 * Sends a film whose frames are numbered through the transport (rtsp, rtmp, srt, udp, hls;
 * rtsp_middle: every connection begins in the middle of a group of pictures), with a relay between,
 * and does something wrong again and again, in an order drawn by a seed. For each kind it prints
 * how long after the other side was back frames came again (the longest gap between two frames,
 * less the time that nothing could come), and how many frames were lost. Frames that come out must
 * be the ones their time says: `wrong` has to be 0.
 *
 * --only garbage: that fault alone (names: transmit.c). --csv FILE: the table is added to FILE,
 * too, a line a kind (bench/results/live_faults_*.csv).
 *
 * Returns 1 if a frame was wrong, a stream did not come back, or memory grew. */
#include <libavutil/log.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "live/film.h"
#include "live/transmit.h"
#include "watch/live.h"

#define STEP (1000000.0 / 30)
#define STEADY 2.0  /* seconds of frames between faults */
#define PATIENCE 45 /* seconds within which a stream is to come back */

typedef struct Result { /* of one kind */
    double gap[1000];
    int n;
    int64_t lost;
} Result;

typedef struct Run {
    Transmission send;
    char film[2][80];
    Live *live;
    pthread_mutex_t lock; /* guards: rung */
    pthread_cond_t bell;
    bool rung;
    int64_t t;
    int epoch, width;
    int64_t number;      /* of the frame before; -1: none in this epoch */
    int64_t before;      /* its time */
    double last;         /* when its packet came */
    double longest;      /* gap, since it was set to 0 */
    int64_t frames, lost, unread, wrong;
    Result result[LIVE_FAULTS];
    Dice dice;
} Run;

/* ---- looking ---- */

static void ring(void *arg)
{
    Run *const r = arg;
    pthread_mutex_lock(&r->lock);
    r->rung = true;
    pthread_cond_signal(&r->bell);
    pthread_mutex_unlock(&r->lock);
}

static void wait_for(Run *r)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += 20000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_mutex_lock(&r->lock);
    while (!r->rung && pthread_cond_timedwait(&r->bell, &r->lock, &t) == 0)
        ;
    r->rung = false;
    pthread_mutex_unlock(&r->lock);
}

/* Whether a frame is the one that its time says. */
static void check(Run *r, const VideoFrame *f)
{
    uint32_t number;
    r->frames++;
    if (!film_number(&f->picture, &number) || number >= FILM_FRAMES) {
        r->unread++;
        return;
    }
    const bool begins = f->epoch != r->epoch || f->picture.width != r->width || r->number < 0;
    if (!begins) {
        const int64_t passed = llrint((double)(f->t - r->before) / STEP);
        const int64_t expected = (r->number + passed) % FILM_FRAMES;
        if (expected != number || fabs((double)(f->t - r->before) - (double)passed * STEP) > 5000) {
            r->wrong++;
            printf("  wrong: frame %u at %.3f s, after %lld at %.3f s\n", number,
                   (double)f->t * 1e-6, (long long)r->number, (double)r->before * 1e-6);
        }
        r->lost += (number - r->number - 1 + FILM_FRAMES) % FILM_FRAMES;
    }
    r->epoch = f->epoch;
    r->width = f->picture.width;
    r->number = number;
    r->before = f->t;
}

static void look(Run *r, double seconds)
{
    const double until = time_now() + seconds;
    while (time_now() < until) {
        LiveFrame f;
        const LiveResult got = live_frame(r->live, r->t, false, &f);
        if (got == LIVE_FRAME) {
            check(r, &f.frame);
            r->t = f.frame.t + 1;
            r->longest = fmax(r->longest, (double)f.arrival * 1e-6 - r->last);
            r->last = (double)f.arrival * 1e-6;
        } else if (got == LIVE_BUSY) {
            usleep(500);
        } else if (got != LIVE_MORE) {
            wait_for(r);
        }
    }
}

/* Until frames have come without a pause for a while. False: they do not come back. */
static bool look_until_steady(Run *r)
{
    const double start = time_now(), pause = r->send.letter == 'h' ? 1.9 : 0.4;
    for (double well = start; time_now() - start < PATIENCE;) {
        look(r, 0.05);
        if (time_now() - r->last > pause)
            well = time_now();
        if (time_now() - well > STEADY)
            return true;
    }
    return false;
}

/* ---- the run ---- */

static long resident_kb(void)
{
    FILE *const f = fopen("/proc/self/statm", "r");
    long pages = 0, resident = 0;
    if (!f || fscanf(f, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static bool inject(Run *r, int kind, bool verbose)
{
    const LiveFault *const f = &live_fault[kind];
    Result *const to = &r->result[kind];
    const int64_t lost = r->lost;
    r->longest = 0;
    fault_inject(&r->send, kind);
    look(r, f->away + 0.5);
    const bool back = look_until_steady(r);
    if (to->n < 1000)
        to->gap[to->n++] = fmax(0, r->longest - f->away);
    to->lost += r->lost - lost;
    if (verbose || !back) {
        LiveCause cause;
        live_state(r->live, &cause);
        printf("  %-12s %.3f s%s, last down by %s\n", f->name, r->longest - f->away,
               back ? "" : " DID NOT COME BACK", live_cause_text(cause));
        fflush(stdout);
    }
    return back;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(Run *r, int n, long before, long after)
{
    printf("%s: %d faults, %lld frames, %lld lost, %lld not readable, %lld wrong; memory %ld -> "
           "%ld kB\n",
           r->send.name, n, (long long)r->frames, (long long)r->lost, (long long)r->unread,
           (long long)r->wrong, before, after);
    const LiveCounts c = live_counts(r->live);
    int late = 0;
    printf("  %lld connections, %lld epochs, down:", (long long)c.connections,
           (long long)c.video.epochs);
    for (int i = 1; i < LIVE_CAUSES; i++)
        printf(" %s %lld", live_cause_text((LiveCause)i), (long long)c.down[i]);
    printf("; %lld packets damaged\n  fault            n   p50 s   max s   frames lost\n",
           (long long)c.video.errors);
    for (int k = 0; k < LIVE_FAULTS; k++) {
        Result *const t = &r->result[k];
        if (t->n == 0)
            continue;
        qsort(t->gap, (size_t)t->n, sizeof *t->gap, by_value);
        printf("  %-13s %4d  %6.3f  %6.3f  %8lld\n", live_fault[k].name, t->n, t->gap[t->n / 2],
               t->gap[t->n - 1], (long long)t->lost);
        for (int i = 0; i < t->n; i++)
            late += t->gap[i] > 2;
    }
    printf("  %d of %d took more than 2 s\n", late, n);
}

/* What `report` has sorted, a line a kind. */
static void add_csv(const Run *r, const char *path)
{
    FILE *const f = fopen(path, "a");
    if (!f) {
        perror(path);
        return;
    }
    if (ftell(f) == 0)
        fprintf(f, "transport,fault,times,p50_s,max_s,frames_lost\n");
    for (int k = 0; k < LIVE_FAULTS; k++) {
        const Result *const t = &r->result[k];
        if (t->n > 0)
            fprintf(f, "%s,%s,%d,%.3f,%.3f,%lld\n", r->send.name, live_fault[k].name, t->n,
                    t->gap[t->n / 2], t->gap[t->n - 1], (long long)t->lost);
    }
    fclose(f);
}

/* -1: there is none of that name on this transport. */
static int fault_named(const Transmission *t, const char *name)
{
    for (int k = 0; k < LIVE_FAULTS; k++)
        if (strcmp(live_fault[k].name, name) == 0 && strchr(live_fault[k].transports, t->letter))
            return k;
    return -1;
}

static int run(Run *r, int n, int only, bool verbose)
{
    Error e;
    if (live_open(r->send.url, &(LiveOptions){.notify = ring, .arg = r}, &r->live, &e) != 0)
        return 2;
    r->last = time_now();
    r->number = -1;
    bool well = look_until_steady(r);
    long before = 0;
    int done = 0;
    for (; well && done < n; done++) {
        if (done == n / 4)
            before = resident_kb();
        well = inject(r, only >= 0 ? only : fault_draw(&r->send, &r->dice), verbose);
    }
    const long after = resident_kb();
    report(r, done, before, after);
    return !well || r->wrong > 0 || (double)after > 1.1 * (double)before + 4096;
}

int main(int argc, char **argv)
{
    Run *const r = &(Run){.lock = PTHREAD_MUTEX_INITIALIZER, .bell = PTHREAD_COND_INITIALIZER};
    int n = 20;
    uint64_t seed = 1;
    bool verbose = false;
    const char *csv = NULL, *only = NULL;
    for (int i = 2; i < argc; i++) {
        verbose |= strcmp(argv[i], "--verbose") == 0;
        if (i + 1 < argc && strcmp(argv[i], "--faults") == 0)
            n = atoi(argv[i + 1]);
        if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
        if (i + 1 < argc && strcmp(argv[i], "--csv") == 0)
            csv = argv[i + 1];
        if (i + 1 < argc && strcmp(argv[i], "--only") == 0)
            only = argv[i + 1];
    }
    if (argc < 2 || n < 1 || !transmit_new(argv[1], &r->send) ||
        (only && fault_named(&r->send, only) < 0)) {
        fprintf(stderr,
                "live_faults %s [--faults N] [--only FAULT] [--seed S] [--verbose] [--csv FILE]\n",
                transmit_names);
        return 2;
    }
    av_log_set_level(AV_LOG_QUIET);
    r->dice = dice_new(seed, "faults");
    for (int i = 0; i < 2; i++) {
        snprintf(r->film[i], sizeof r->film[i], "%.63s/film%d.ts", r->send.folder, i);
        film_make(r->film[i], i ? 640 : 320, i ? 360 : 180);
    }
    transmit_start(&r->send, 2, (const char *const[]){r->film[0], r->film[1]}, true);
    if (r->send.letter == 'h')
        sleep(3); /* the first segments */
    const int code = run(r, n, only ? fault_named(&r->send, only) : -1, verbose);
    if (csv)
        add_csv(r, csv);
    live_close(r->live);
    transmit_stop(&r->send);
    return code;
}
