/* Faults on live streams, many of them, and how long each takes to get over: what `live` (src/watch/live.h) is judged
 * by.
 *
 *     live_faults rtsp --faults 100
 *
 * Sends a film whose frames are numbered through the transport (rtsp, rtmp, srt, udp, hls; rtsp_middle: every
 * connection begins in the middle of a group of pictures), with a relay between, and does something wrong again and
 * again, in an order drawn by a seed. For each kind it prints how long after the other side was back frames came
 * again (the longest gap between two frames, less the time that nothing could come), and how many frames were lost.
 * Frames that come out must be the ones their time says: `wrong` has to be 0.
 *
 * Returns 1 if a frame was wrong, a stream did not come back, or memory grew. */
#include <arpa/inet.h>
#include <libavutil/log.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "game/dice.h"
#include "live/child.h"
#include "live/film.h"
#include "watch/live.h"

#define STEP (1000000.0 / 30)
#define STEADY 2.0  /* seconds of frames between faults */
#define PATIENCE 45 /* seconds within which a stream is to come back */

typedef enum Who { NOBODY, RELAY, SENDER } Who;

typedef struct FaultRow {
    const char *name, *transports; /* by their first letters: r(tsp) m (rtmp) s u h */
    Who who;
    const char *verb;
    double amount, away; /* away: seconds in which nothing can come */
} FaultRow;

/* (A playlist with a segment of 102 s tells its reader to come back after 51 s: clocks of HLS do not jump here.) */
static const FaultRow faults[] = {
    {"none", "rmsuh", NOBODY, "", 0, 0},
    {"cut", "rmh", RELAY, "cut", 0, 0},
    {"away 1 s", "rmsuh", RELAY, "cut", 1, 1},
    {"away 4 s", "rmsuh", RELAY, "cut", 4, 4},
    {"stall 1.5 s", "rmsuh", RELAY, "stall", 1.5, 1.5},
    {"stall 7 s", "rmsuh", RELAY, "stall", 7, 7},
    {"garbage", "rmsuh", RELAY, "garbage", 3000, 0},
    {"corrupt", "rmsuh", RELAY, "corrupt", 10, 0},
    {"loss", "su", RELAY, "lose", 20, 0},
    {"closed", "ms", SENDER, "cut 0.5", 0, 0.5},
    {"mid-GOP", "msu", SENDER, "middle 0.3", 0, 0.3},
    {"late", "msu", SENDER, "stall", 1.2, 1.2},
    {"jump +9 s", "msu", SENDER, "jump", 9, 0},
    {"jump +102 s", "msu", SENDER, "jump", 102, 0},
    {"jump -30 s", "su", SENDER, "jump", -30, 0},
    {"other size", "msuh", SENDER, "change", 0, 0},
};
enum { NFAULT = sizeof faults / sizeof *faults };

typedef struct Result { /* of one kind */
    double gap[1000];
    int n;
    int64_t lost;
} Result;

typedef struct Run {
    char letter;
    const char *transport;
    char folder[64], film[2][96], url[256];
    Child sender, relay, server;
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
    Result result[NFAULT];
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
            printf("  wrong: frame %u at %.3f s, after %lld at %.3f s\n", number, (double)f->t * 1e-6,
                   (long long)r->number, (double)r->before * 1e-6);
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
        } else if (got != LIVE_MORE)
            wait_for(r);
    }
}

/* Until frames have come without a pause for a while. False: they do not come back. */
static bool look_until_steady(Run *r)
{
    const double start = time_now(), pause = r->letter == 'h' ? 1.9 : 0.4;
    for (double well = start; time_now() - start < PATIENCE;) {
        look(r, 0.05);
        if (time_now() - r->last > pause)
            well = time_now();
        if (time_now() - well > STEADY)
            return true;
    }
    return false;
}

/* ---- sending ---- */

/* A port that nobody has; held until *hold is closed. */
static int hold_port(int type, int *hold)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || getsockname(fd, (struct sockaddr *)&at, &size) != 0)
        abort();
    *hold = fd;
    return ntohs(at.sin_port);
}

static int free_port(int type)
{
    int fd;
    const int port = hold_port(type, &fd);
    close(fd);
    return port;
}

static void start_relay(Run *r, const char *kind, int port)
{
    char number[16];
    snprintf(number, sizeof number, "%d", port);
    r->relay = child_start((const char *const[]){RELAY_PROGRAM, kind, number, NULL}, NULL);
}

static void start_sender(Run *r, const char *url, const char *format)
{
    r->sender = child_start((const char *const[]){SENDER_PROGRAM, url, format, r->film[0], r->film[1], NULL}, NULL);
}

/* The server's own faults come in each connection, so long after it begins: between those that the relay makes. */
static void start_rtsp(Run *r)
{
    int port = 0;
    char change[2][128];
    snprintf(change[0], sizeof change[0], "change@11:%s", r->film[1]);
    snprintf(change[1], sizeof change[1], "change@14:%s", r->film[0]);
    r->server =
        child_start((const char *const[]){RTSP_SERVER, r->film[0], "--fault", "jump@5:9", "--fault",
                                          "jump@8:-30", "--fault", change[0], "--fault", change[1],
                                          "--fault", "jump@17:102", "--fault", "loss@20:5", NULL},
                    NULL);
    sscanf(r->server.said, "rtsp://127.0.0.1:%d", &port);
    start_relay(r, "tcp", port);
    snprintf(r->url, sizeof r->url, "rtsp://127.0.0.1:%s/test", r->relay.said);
}

static void start_rtsp_middle(Run *r)
{
    int port = 0;
    r->server = child_start((const char *const[]){RTSP_SERVER, r->film[0], "--middle", NULL}, NULL);
    sscanf(r->server.said, "rtsp://127.0.0.1:%d", &port);
    start_relay(r, "tcp", port);
    snprintf(r->url, sizeof r->url, "rtsp://127.0.0.1:%s/test", r->relay.said);
}

static void start_rtmp(Run *r)
{
    char url[192];
    const int port = free_port(SOCK_STREAM);
    snprintf(url, sizeof url, "rtmp://127.0.0.1:%d/live/x", port);
    start_sender(r, url, "flv");
    start_relay(r, "tcp", port);
    snprintf(r->url, sizeof r->url, "rtmp://127.0.0.1:%s/live/x", r->relay.said);
}

static void start_srt(Run *r)
{
    char url[192];
    const int port = free_port(SOCK_DGRAM);
    snprintf(url, sizeof url, "srt://127.0.0.1:%d?mode=listener", port);
    start_sender(r, url, "mpegts");
    start_relay(r, "udp", port);
    snprintf(r->url, sizeof r->url, "srt://127.0.0.1:%s?mode=caller", r->relay.said);
}

static void start_udp(Run *r)
{
    char url[192];
    int hold;
    const int port = hold_port(SOCK_DGRAM, &hold);
    start_relay(r, "push", port); /* which takes ports of its own */
    close(hold);
    snprintf(url, sizeof url, "udp://127.0.0.1:%s?pkt_size=1316", r->relay.said);
    start_sender(r, url, "mpegts");
    snprintf(r->url, sizeof r->url, "udp://127.0.0.1:%d", port);
}

static void start_hls(Run *r)
{
    char url[192], port[16];
    snprintf(url, sizeof url, "%s/live.m3u8", r->folder);
    start_sender(r, url, "hls");
    snprintf(port, sizeof port, "%d", free_port(SOCK_STREAM));
    r->server = child_start((const char *const[]){"python3", "-u", "-c",
        "import http.server, sys\n"
        "class Quiet(http.server.SimpleHTTPRequestHandler):\n"
        "    def log_message(self, *a): pass\n"
        "s = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Quiet)\n"
        "s.handle_error = lambda *a: None\n"
        "print('ready', flush=True)\n"
        "s.serve_forever()\n", port, NULL}, r->folder);
    start_relay(r, "tcp", atoi(port));
    snprintf(r->url, sizeof r->url, "http://127.0.0.1:%s/live.m3u8", r->relay.said);
    sleep(3); /* the first segments */
}

static const struct {
    const char *name;
    char letter;
    void (*start)(Run *r);
} transports[] = {{"rtsp", 'r', start_rtsp}, {"rtsp_middle", 'r', start_rtsp_middle},
                  {"rtmp", 'm', start_rtmp}, {"srt", 's', start_srt},
                  {"udp", 'u', start_udp},   {"hls", 'h', start_hls}};

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
    const FaultRow *const f = &faults[kind];
    Result *const to = &r->result[kind];
    const int64_t lost = r->lost;
    r->longest = 0;
    if (f->who != NOBODY)
        child_say(f->who == RELAY ? &r->relay : &r->sender, f->amount != 0 || !strchr(f->verb, ' ') ? "%s %g" : "%s",
                  f->verb, f->amount);
    look(r, f->away + 0.5);
    const bool back = look_until_steady(r);
    if (to->n < 1000)
        to->gap[to->n++] = fmax(0, r->longest - f->away);
    to->lost += r->lost - lost;
    if (verbose || !back) {
        LiveCause cause;
        live_state(r->live, &cause);
        printf("  %-12s %.3f s%s, last down by %s\n", f->name, r->longest - f->away, back ? "" : " DID NOT COME BACK",
               live_cause_text(cause));
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
           r->transport, n, (long long)r->frames, (long long)r->lost, (long long)r->unread,
           (long long)r->wrong, before, after);
    const LiveCounts c = live_counts(r->live);
    int late = 0;
    printf("  %lld connections, %lld epochs, down:", (long long)c.connections, (long long)c.video.epochs);
    for (int i = 1; i < LIVE_CAUSES; i++)
        printf(" %s %lld", live_cause_text((LiveCause)i), (long long)c.down[i]);
    printf("; %lld packets damaged\n  fault            n   p50 s   max s   frames lost\n", (long long)c.video.errors);
    for (int k = 0; k < NFAULT; k++) {
        Result *const t = &r->result[k];
        if (t->n == 0)
            continue;
        qsort(t->gap, (size_t)t->n, sizeof *t->gap, by_value);
        printf("  %-13s %4d  %6.3f  %6.3f  %8lld\n", faults[k].name, t->n, t->gap[t->n / 2], t->gap[t->n - 1],
               (long long)t->lost);
        for (int i = 0; i < t->n; i++)
            late += t->gap[i] > 2;
    }
    printf("  %d of %d took more than 2 s\n", late, n);
}

static void finish(Run *r)
{
    live_close(r->live);
    child_stop(&r->relay);
    child_stop(&r->sender);
    child_stop(&r->server);
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", r->folder);
    if (system(command) != 0)
        fprintf(stderr, "%s is left\n", r->folder);
}

static int run(Run *r, int n, bool verbose)
{
    Error e;
    if (live_open(r->url, &(LiveOptions){.notify = ring, .arg = r}, &r->live, &e) != 0)
        return 2;
    r->last = time_now();
    r->number = -1;
    bool well = look_until_steady(r);
    long before = 0;
    int done = 0, kind = 0;
    for (; well && done < n; done++) {
        if (done == n / 4)
            before = resident_kb();
        for (kind = dice_int(&r->dice, 0, NFAULT - 1); !strchr(faults[kind].transports, r->letter);)
            kind = dice_int(&r->dice, 0, NFAULT - 1);
        well = inject(r, kind, verbose);
    }
    const long after = resident_kb();
    report(r, done, before, after);
    return !well || r->wrong > 0 || (double)after > 1.1 * (double)before + 4096;
}

int main(int argc, char **argv)
{
    Run *const r = &(Run){.lock = PTHREAD_MUTEX_INITIALIZER, .bell = PTHREAD_COND_INITIALIZER};
    int n = 20, which = 0;
    uint64_t seed = 1;
    bool verbose = false;
    const int count = sizeof transports / sizeof *transports;
    while (argc > 1 && which < count && strcmp(transports[which].name, argv[1]) != 0)
        which++;
    for (int i = 2; i < argc; i++) {
        verbose |= strcmp(argv[i], "--verbose") == 0;
        if (i + 1 < argc && strcmp(argv[i], "--faults") == 0)
            n = atoi(argv[i + 1]);
        if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
    }
    if (argc < 2 || which == count || n < 1) {
        fprintf(stderr, "live_faults rtsp|rtsp_middle|rtmp|srt|udp|hls [--faults N] [--seed S] [--verbose]\n");
        return 2;
    }
    av_log_set_level(AV_LOG_QUIET);
    r->dice = dice_new(seed, "faults");
    r->transport = transports[which].name;
    r->letter = transports[which].letter;
    strcpy(r->folder, "/tmp/lathe_faults_XXXXXX");
    if (!mkdtemp(r->folder))
        return 2;
    for (int i = 0; i < 2; i++) {
        snprintf(r->film[i], sizeof r->film[i], "%s/film%d.ts", r->folder, i);
        film_make(r->film[i], i ? 640 : 320, i ? 360 : 180);
    }
    transports[which].start(r);
    const int code = run(r, n, verbose);
    finish(r);
    return code;
}
