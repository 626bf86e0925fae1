/* A small RTSP server for tests: sends the H.264 of a file, and its AAC to who asks for it, over
 * and over, with faults on demand.
 *
 *     rtsp_server game.mp4 --port 8554 --fault stall@3:2 --fault cut@8
 *
 * Prints its address on one line when it is ready (--port 0: any free one), and serves until it
 * is ended. Loopback only. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/heap.h"
#include "rtsp/session.h"

static const char usage[] =
    "rtsp_server FILE [OPTIONS]\n"
    "\n"
    "    --port N        0: any that is free (0)\n"
    "    --fault F       stall@3:2, rest@3:2, cut@3, tear@3, end@3, garbage@3:500, slip@3,\n"
    "                    corrupt@3:20, loss@3:20, jump@3:-7, change@3:FILE; each in every\n"
    "                    connection, so many seconds after PLAY\n"
    "    --late S        sound comes S seconds after the pictures it belongs to (0)\n"
    "    --middle        begins in the middle of a group of pictures\n"
    "    --speed N       times as fast as life (1)\n"
    "    --wall S        seconds since 1970 that sender reports give to media time 0 (the "
    "machine's clock)\n"
    "    --refuse N      the first N connections are reset at once (0)\n"
    "    --verbose       tells what happens\n";

typedef struct Server {
    SessionOptions session;
    int port, refuse, listener;
    Fault fault[FAULTS_MAX];
} Server;

typedef struct Connection {
    const Server *server;
    int fd, number;
} Connection;

static void *serve(void *arg)
{
    Connection *const c = arg;
    session_run(&c->server->session, c->fd, c->number);
    heap_free(c);
    return NULL;
}

static int listen_at(Server *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    const int yes = 1;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&at, sizeof at) < 0 ||
        listen(s->listener, 16) < 0 ||
        getsockname(s->listener, (struct sockaddr *)&at, &size) < 0) {
        perror("rtsp_server");
        return 1;
    }
    printf("rtsp://127.0.0.1:%d/test\n", ntohs(at.sin_port));
    fflush(stdout);
    return 0;
}

static void accept_one(const Server *s, int number)
{
    const int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    const int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (number < s->refuse) {
        const struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(fd);
        return;
    }
    Connection *const c = heap_alloc(sizeof *c, 16);
    pthread_t thread;
    if (!c) {
        close(fd);
        return;
    }
    *c = (Connection){s, fd, number};
    if (pthread_create(&thread, NULL, serve, c) != 0) {
        close(fd);
        heap_free(c);
        return;
    }
    pthread_detach(thread);
}

static int by_time(const void *a, const void *b)
{
    const int64_t x = ((const Fault *)a)->at, y = ((const Fault *)b)->at;
    return (x > y) - (x < y);
}

/* Returns what main does; 0: go on. */
static int parse(Arena *a, int argc, char **argv, Server *s, Error *e)
{
    SessionOptions *const o = &s->session;
    o->speed = 1;
    o->fault = s->fault;
    for (int i = 2; i < argc; i++) {
        const char *const name = argv[i], *const value = i + 1 < argc ? argv[i + 1] : "";
        int code = 0;
        if (strcmp(name, "--middle") == 0)
            o->middle = true;
        else if (strcmp(name, "--verbose") == 0)
            o->verbose = true;
        else if (i + 1 == argc)
            return error_set(e, ERR_INVALID, "'%s' is no option, or needs a value", name);
        else if (strcmp(name, "--port") == 0)
            s->port = atoi(value);
        else if (strcmp(name, "--late") == 0)
            o->late = atof(value);
        else if (strcmp(name, "--speed") == 0)
            o->speed = atof(value);
        else if (strcmp(name, "--wall") == 0)
            o->wall = (int64_t)(atof(value) * 1e6);
        else if (strcmp(name, "--refuse") == 0)
            s->refuse = atoi(value);
        else if (strcmp(name, "--fault") == 0 && o->nfault < FAULTS_MAX)
            code = fault_parse(a, value, &s->fault[o->nfault++], e);
        else
            return error_set(e, ERR_INVALID, "what is '%s'?", name);
        if (code != 0)
            return code;
        i += name[2] != 'm' && name[2] != 'v';
    }
    if (!(o->speed > 0 && o->speed <= 1000) || s->port < 0 || s->port > 65535)
        return error_set(e, ERR_INVALID, "a speed of up to 1000, a port of up to 65535");
    qsort(s->fault, (size_t)o->nfault, sizeof *s->fault, by_time);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    Arena *const a = arena_new();
    Error e = {0};
    Media media;
    Server server = {.session.media = &media};
    int code = parse(a, argc, argv, &server, &e);
    if (code == 0)
        code = media_read(a, argv[1], &media, &e);
    if (code != 0) {
        fprintf(stderr, "rtsp_server: %s\n", e.message);
        return 2;
    }
    if (listen_at(&server) != 0)
        return 1;
    for (int number = 0;; number++)
        accept_one(&server, number);
}
