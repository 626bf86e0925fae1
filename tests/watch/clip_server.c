#include "check.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "watch/clip_server.h"

static bool send_slowly(const Server *s, int to, size_t from, size_t until)
{
    const double start = time_now();
    for (size_t sent = from; sent < until && !atomic_load(&s->over);) {
        const size_t due = from + (size_t)((time_now() - start) * s->rate) + 188;
        if (due > sent) {
            const ssize_t n =
                send(to, s->file.at + sent, (due < until ? due : until) - sent, MSG_NOSIGNAL);
            if (n <= 0)
                return false;
            sent += (size_t)n;
        }
        usleep(2000);
    }
    return true;
}

static void idle(const Server *s, int fd, double seconds)
{
    const double until = time_now() + seconds;
    char byte;
    while (!atomic_load(&s->over) && time_now() < until && recv(fd, &byte, 1, MSG_DONTWAIT) != 0)
        usleep(5000);
}

static void noise(const Server *s, int to)
{
    uint8_t packet[188];
    uint32_t dice = 1;
    do
        for (size_t i = 0; i < sizeof packet; i++)
            packet[i] = (uint8_t)((dice = dice * 1664525 + 1013904223) >> 24);
    while (!atomic_load(&s->over) && send(to, packet, sizeof packet, MSG_NOSIGNAL) > 0 &&
           usleep(500) == 0);
}

/* More than libav looks at before it gives up. */
static void rubbish(int to)
{
    static uint8_t noise[4 << 20];
    uint32_t dice = 1;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)((dice = dice * 1664525 + 1013904223) >> 24);
    for (size_t sent = 0; sent < sizeof noise;) {
        const ssize_t n = send(to, noise + sent, sizeof noise - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        sent += (size_t)n;
    }
}

static void serve(Server *s, int to, Manner m)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    switch (m) {
    case SERVE: send_slowly(s, to, 0, s->file.size); break;
    case CUT:
        send_slowly(s, to, 0, s->file.size / 2);
        setsockopt(to, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        break;
    case SILENT: idle(s, to, 60); break;
    case HEAD:
        send_slowly(s, to, 0, s->file.size / 2);
        idle(s, to, 60);
        break;
    case NOISE: noise(s, to); break;
    case RUBBISH: rubbish(to); break;
    case FLOOD: send(to, s->file.at, s->file.size, MSG_NOSIGNAL); idle(s, to, 60); break;
    case REFUSE: setsockopt(to, SOL_SOCKET, SO_LINGER, &reset, sizeof reset); break;
    }
    close(to);
}

static void *run_server(void *arg)
{
    Server *const s = arg;
    while (!atomic_load(&s->over)) {
        const int to = accept(s->listener, NULL, NULL);
        if (to < 0)
            break;
        const int n = atomic_fetch_add(&s->connections, 1);
        serve(s, to, s->manner[n < s->nmanner ? n : s->nmanner - 1]);
    }
    return NULL;
}

Server *clip_server_start(const ClipOptions *o, double rate, int n, const Manner *manner)
{
    Server *const s = test_calloc(1, sizeof *s);
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof at;
    assert_int_equal(bind(s->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(s->listener, 16), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&at, &size), 0);
    snprintf(s->url, sizeof s->url, "tcp://127.0.0.1:%d", ntohs(at.sin_port));
    Error e;
    char path[64];
    snprintf(path, sizeof path, "/tmp/lathe_server_%d.ts", (int)getpid());
    clip_write(path, o);
    s->arena = arena_new();
    assert_int_equal(file_read(s->arena, path, &s->file, &e), 0);
    unlink(path);
    s->rate = rate > 0 ? rate * (double)s->file.size * o->fps / o->frames : 1e9;
    s->manner = manner;
    s->nmanner = n;
    assert_int_equal(pthread_create(&s->thread, NULL, run_server, s), 0);
    return s;
}

void clip_server_stop(Server *s)
{
    atomic_store(&s->over, true);
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
    arena_free(s->arena);
    test_free(s);
}
