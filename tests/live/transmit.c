#include "live/transmit.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_FILMS 4

const char *const transmit_names = "rtsp|rtsp_middle|rtmp|srt|udp|hls";

/* A port that nobody has; held until *hold is closed. */
static int hold_port(int type, int *hold)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &size) != 0)
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

static void start_relay(Transmission *t, const char *kind, int port)
{
    char number[16];
    snprintf(number, sizeof number, "%d", port);
    t->relay = child_start((const char *const[]){RELAY_PROGRAM, kind, number, NULL}, NULL);
}

static void start_sender(Transmission *t, const char *url, const char *format, int nfilm,
                         const char *const *film)
{
    const char *word[4 + MOST_FILMS] = {SENDER_PROGRAM, url, format};
    assert(nfilm <= MOST_FILMS);
    memcpy(word + 3, film, (size_t)nfilm * sizeof *film);
    t->sender = child_start(word, NULL);
}

/* The server's own faults come in each connection, so long after it begins: between those that the
 * relay makes. */
static void start_rtsp(Transmission *t, const char *const *film, bool faults)
{
    char change[2][512];
    const bool middle = strcmp(t->name, "rtsp_middle") == 0;
    int port = 0;
    if (faults && !middle) {
        snprintf(change[0], sizeof change[0], "change@11:%s", film[1]);
        snprintf(change[1], sizeof change[1], "change@14:%s", film[0]);
        t->server = child_start((const char *const[]){RTSP_SERVER, film[0], "--fault", "jump@5:9",
                                                      "--fault", "jump@8:-30", "--fault", change[0],
                                                      "--fault", change[1], "--fault",
                                                      "jump@17:102", "--fault", "loss@20:5", NULL},
                                NULL);
    } else {
        t->server = child_start((const char *const[]){RTSP_SERVER, film[0],
                                                      middle ? "--middle" : NULL, NULL},
                                NULL);
    }
    sscanf(t->server.said, "rtsp://127.0.0.1:%d", &port);
    start_relay(t, "tcp", port);
    snprintf(t->url, sizeof t->url, "rtsp://127.0.0.1:%s/test", t->relay.said);
}

static void start_rtmp(Transmission *t, int nfilm, const char *const *film)
{
    char url[192];
    const int port = free_port(SOCK_STREAM);
    snprintf(url, sizeof url, "rtmp://127.0.0.1:%d/live/x", port);
    start_sender(t, url, "flv", nfilm, film);
    start_relay(t, "tcp", port);
    snprintf(t->url, sizeof t->url, "rtmp://127.0.0.1:%s/live/x", t->relay.said);
}

static void start_srt(Transmission *t, int nfilm, const char *const *film)
{
    char url[192];
    const int port = free_port(SOCK_DGRAM);
    snprintf(url, sizeof url, "srt://127.0.0.1:%d?mode=listener", port);
    start_sender(t, url, "mpegts", nfilm, film);
    start_relay(t, "udp", port);
    snprintf(t->url, sizeof t->url, "srt://127.0.0.1:%s?mode=caller", t->relay.said);
}

static void start_udp(Transmission *t, int nfilm, const char *const *film)
{
    char url[192];
    int hold;
    const int port = hold_port(SOCK_DGRAM, &hold);
    start_relay(t, "push", port); /* which takes ports of its own */
    close(hold);
    snprintf(url, sizeof url, "udp://127.0.0.1:%s?pkt_size=1316", t->relay.said);
    start_sender(t, url, "mpegts", nfilm, film);
    snprintf(t->url, sizeof t->url, "udp://127.0.0.1:%d", port);
}

static void start_hls(Transmission *t, int nfilm, const char *const *film)
{
    char url[192], port[16];
    snprintf(url, sizeof url, "%s/live.m3u8", t->folder);
    start_sender(t, url, "hls", nfilm, film);
    snprintf(port, sizeof port, "%d", free_port(SOCK_STREAM));
    t->server = child_start((const char *const[]){"python3", "-u", "-c",
        "import http.server, sys\n"
        "class Quiet(http.server.SimpleHTTPRequestHandler):\n"
        "    def log_message(self, *a): pass\n"
        "s = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Quiet)\n"
        "s.handle_error = lambda *a: None\n"
        "print('ready', flush=True)\n"
        "s.serve_forever()\n", port, NULL}, t->folder);
    start_relay(t, "tcp", atoi(port));
    snprintf(t->url, sizeof t->url, "http://127.0.0.1:%s/live.m3u8", t->relay.said);
}

bool transmit_new(const char *name, Transmission *out)
{
    static const struct {
        const char *name;
        char letter;
    } row[] = {{"rtsp", 'r'}, {"rtsp_middle", 'r'}, {"rtmp", 'm'},
               {"srt", 's'},  {"udp", 'u'},         {"hls", 'h'}};
    *out = (Transmission){.folder = "/tmp/lathe_live_XXXXXX"};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        if (strcmp(row[i].name, name) == 0) {
            out->name = row[i].name;
            out->letter = row[i].letter;
        }
    }
    return out->name && mkdtemp(out->folder);
}

void transmit_start(Transmission *t, int nfilm, const char *const *film, bool faults)
{
    switch (t->letter) {
    case 'r': start_rtsp(t, film, faults); break;
    case 'm': start_rtmp(t, nfilm, film); break;
    case 's': start_srt(t, nfilm, film); break;
    case 'u': start_udp(t, nfilm, film); break;
    case 'h': start_hls(t, nfilm, film); break;
    }
}

void transmit_stop(Transmission *t)
{
    child_stop(&t->relay);
    child_stop(&t->sender);
    child_stop(&t->server);
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", t->folder);
    if (system(command) != 0)
        fprintf(stderr, "%s is left\n", t->folder);
}

/* ---- faults ---- */

/* (A playlist with a segment of 102 s tells its reader to come back after 51 s: clocks of HLS do
 * not jump here.) */
const LiveFault live_fault[LIVE_FAULTS] = {
    {"none", "rmsuh", FAULT_NOBODY, "", 0, 0},
    {"cut", "rmh", FAULT_RELAY, "cut", 0, 0},
    {"away 1 s", "rmsuh", FAULT_RELAY, "cut", 1, 1},
    {"away 4 s", "rmsuh", FAULT_RELAY, "cut", 4, 4},
    {"stall 1.5 s", "rmsuh", FAULT_RELAY, "stall", 1.5, 1.5},
    {"stall 7 s", "rmsuh", FAULT_RELAY, "stall", 7, 7},
    {"garbage", "rmsuh", FAULT_RELAY, "garbage", 3000, 0},
    {"corrupt", "rmsuh", FAULT_RELAY, "corrupt", 10, 0},
    {"loss", "su", FAULT_RELAY, "lose", 20, 0},
    {"closed", "ms", FAULT_SENDER, "cut 0.5", 0, 0.5},
    {"mid-GOP", "msu", FAULT_SENDER, "middle 0.3", 0, 0.3},
    {"late", "msu", FAULT_SENDER, "stall", 1.2, 1.2},
    {"jump +9 s", "msu", FAULT_SENDER, "jump", 9, 0},
    {"jump +102 s", "msu", FAULT_SENDER, "jump", 102, 0},
    {"jump -30 s", "su", FAULT_SENDER, "jump", -30, 0},
    {"other size", "msuh", FAULT_SENDER, "change", 0, 0},
};

int fault_draw(const Transmission *t, Dice *dice)
{
    for (;;) {
        const int kind = dice_int(dice, 0, LIVE_FAULTS - 1);
        if (strchr(live_fault[kind].transports, t->letter))
            return kind;
    }
}

void fault_inject(const Transmission *t, int kind)
{
    const LiveFault *const f = &live_fault[kind];
    if (f->who != FAULT_NOBODY)
        child_say(f->who == FAULT_RELAY ? &t->relay : &t->sender,
                  f->amount != 0 || !strchr(f->verb, ' ') ? "%s %g" : "%s", f->verb, f->amount);
}
