/* Stands between a sender and a reader, and hands on what comes, with faults.
 *
 *     relay tcp 8001          connections to the port it prints go on to port 8001 of this machine
 *     relay udp 8001          datagrams likewise; answers find their way back. The faults are the answers'
 *     relay push 8001         likewise, but the stream is what comes to the port it prints
 *
 * Commands, a line each, on standard input:
 *
 *     cut S        connections are reset, and refused for S seconds (of UDP: all is lost so long)
 *     stall S      nothing goes through for S seconds; then what was held back (of UDP: what the kernel kept)
 *     garbage N    N bytes of noise go among the stream (of UDP: as datagrams)
 *     corrupt N    of the next N pieces some bytes are changed
 *     lose N       the next N pieces are not handed on (of UDP)
 *
 * What is to happen to the next pieces happens within 0.3 s, or not at all.
 * It ends with its standard input, or with who started it. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"

#define PAIRS 16
#define PIECE 65536

typedef struct Pair {   /* a connection: sockets to who came, and to the port we hand on to. UDP has
                           one */
    int client, target; /* -1: none */
} Pair;

typedef struct Relay {
    bool udp, push, known;       /* known: the client's address */
    int listener;
    struct sockaddr_in target, client;
    Pair pair[PAIRS];
    double refuse, stall;
    double harm;                 /* until then: garbage, corrupt, lose */        /* until then */
    int garbage, corrupt, lose;
    uint32_t dice;
    bool over;
    char line[256];
    int have;
} Relay;

static void drop_pair(Pair *p, bool reset)
{
    const struct linger now = {.l_onoff = reset, .l_linger = 0};
    if (p->client >= 0) {
        setsockopt(p->client, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(p->client);
    }
    if (p->target >= 0)
        close(p->target);
    *p = (Pair){-1, -1};
}

static void obey(Relay *r, const char *line)
{
    char verb[16] = "";
    double amount = 0;
    sscanf(line, "%15s %lf", verb, &amount);
    r->harm = time_now() + 0.3;
    if (strcmp(verb, "cut") == 0) {
        r->refuse = time_now() + amount;
        for (int i = 0; i < PAIRS && !r->udp; i++)
            drop_pair(&r->pair[i], true);
    } else if (strcmp(verb, "stall") == 0) {
        r->stall = time_now() + amount;
    } else if (strcmp(verb, "garbage") == 0) {
        r->garbage += (int)amount;
    } else if (strcmp(verb, "corrupt") == 0) {
        r->corrupt += (int)amount;
    } else if (strcmp(verb, "lose") == 0) {
        r->lose += (int)amount;
    }
}

static void hear(Relay *r)
{
    const ssize_t n = read(0, r->line + r->have, sizeof r->line - 1 - (size_t)r->have);
    r->over = n <= 0;
    r->have += n > 0 ? (int)n : 0;
    r->line[r->have] = 0;
    for (char *end; (end = strchr(r->line, '\n'));) {
        *end = 0;
        obey(r, r->line);
        r->have -= (int)(end + 1 - r->line);
        memmove(r->line, end + 1, (size_t)r->have + 1);
    }
}

static uint8_t roll(Relay *r)
{
    return (uint8_t)((r->dice = r->dice * 1664525 + 1013904223) >> 24);
}

static bool deliver(const Relay *r, int to, bool to_client, const uint8_t *at, size_t size)
{
    if (r->udp) { /* what is lost is lost */
        const struct sockaddr *const address =
            to_client ? (const struct sockaddr *)&r->client : NULL;
        sendto(to, at, size, MSG_NOSIGNAL, address, to_client ? sizeof r->client : 0);
        return true;
    }
    while (size > 0) {
        const ssize_t n = send(to, at, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static void add_garbage(Relay *r, int to, bool to_client)
{
    uint8_t noise[188];
    for (; r->garbage > 0; r->garbage -= (int)sizeof noise) {
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = roll(r);
        deliver(r, to, to_client, noise, sizeof noise);
    }
}

/* One piece from one side to the other. False: the connection is over. */
static bool hand_on(Relay *r, int from, int to, bool to_client)
{
    static uint8_t piece[PIECE];
    struct sockaddr_in who;
    socklen_t size = sizeof who;
    /* poll also tells of errors, which sending may have taken */
    const int flags = r->udp ? MSG_DONTWAIT : 0;
    const ssize_t n = recvfrom(from, piece, sizeof piece, flags, (struct sockaddr *)&who, &size);
    if (n <= 0)
        return r->udp;
    if (r->udp && !to_client) {
        r->client = who;
        r->known = true;
    }
    if (r->udp && (time_now() < r->refuse || (to_client && !r->known)))
        return true;
    if (to_client == r->push) /* not the stream */
        return deliver(r, to, to_client, piece, (size_t)n);
    if (time_now() > r->harm)
        r->garbage = r->corrupt = r->lose = 0;
    if (r->udp && r->lose > 0) {
        r->lose--;
        return true;
    }
    if (r->corrupt > 0) {
        r->corrupt--;
        for (int i = 0; i < 8; i++)
            piece[(size_t)(roll(r) << 8 | roll(r)) % (size_t)n] ^= roll(r);
    }
    add_garbage(r, to, to_client);
    return deliver(r, to, to_client, piece, (size_t)n);
}

static void accept_one(Relay *r)
{
    const int fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
    Pair p = {fd, -1};
    int free = 0;
    while (free < PAIRS && r->pair[free].client >= 0)
        free++;
    if (fd < 0)
        return;
    if (time_now() >= r->refuse && free < PAIRS) {
        p.target = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(p.target, (const struct sockaddr *)&r->target, sizeof r->target) == 0) {
            r->pair[free] = p;
            return;
        }
    }
    drop_pair(&p, true);
}

static void run(Relay *r)
{
    while (!r->over) {
        struct pollfd p[2 + 2 * PAIRS] = {{0, POLLIN, 0}, {r->udp ? -1 : r->listener, POLLIN, 0}};
        const bool stalled = time_now() < r->stall;
        for (int i = 0; i < PAIRS; i++) {
            p[2 + 2 * i] = (struct pollfd){stalled ? -1 : r->pair[i].client, POLLIN, 0};
            p[3 + 2 * i] = (struct pollfd){stalled ? -1 : r->pair[i].target, POLLIN, 0};
        }
        if (poll(p, 2 + 2 * PAIRS, stalled ? 5 : 1000) <= 0)
            continue;
        if (p[0].revents)
            hear(r);
        if (p[1].revents)
            accept_one(r);
        for (int i = 0; i < PAIRS; i++) {
            const Pair pair = r->pair[i];
            if ((p[2 + 2 * i].revents && pair.client >= 0 &&
                 !hand_on(r, pair.client, pair.target, false)) ||
                (p[3 + 2 * i].revents && pair.target >= 0 &&
                 !hand_on(r, pair.target, pair.client, true)))
                drop_pair(&r->pair[i], false);
        }
    }
}

static int open_port(const Relay *r, int *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    const int fd = socket(AF_INET, (r->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 ||
        (!r->udp && listen(fd, 16) < 0) || getsockname(fd, (struct sockaddr *)&at, &size) < 0)
        return -1;
    /* whatever else the machine does, nothing is lost but what is meant to be */
    const int much = 4 << 20;
    if (r->udp)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &much, sizeof much);
    *port = ntohs(at.sin_port);
    return fd;
}

static struct sockaddr_in loopback(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    Relay *const r = &(Relay){.udp = strcmp(argv[1], "tcp") != 0,
                              .push = strcmp(argv[1], "push") == 0,
                              .target = loopback(argv[2]),
                              .dice = 1};
    for (int i = 0; i < PAIRS; i++)
        r->pair[i] = (Pair){-1, -1};
    int port = 0;
    r->listener = open_port(r, &port);
    if (r->listener < 0)
        return 1;
    if (r->udp) {
        int own = 0;
        r->pair[0] = (Pair){r->listener, open_port(r, &own)};
        if (connect(r->pair[0].target, (const struct sockaddr *)&r->target, sizeof r->target) < 0)
            return 1;
    }
    printf("%d\n", port);
    fflush(stdout);
    run(r);
    return 0;
}
