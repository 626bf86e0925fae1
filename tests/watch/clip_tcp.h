/* A server of a transport stream over TCP, for tests: a process of its own. */
#ifndef LATHE_TESTS_WATCH_CLIP_TCP_H
#define LATHE_TESTS_WATCH_CLIP_TCP_H

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

typedef struct Server {
    pid_t pid;
    char url[64];
} Server;

/* A transport stream over TCP, each connection from its beginning, as fast as life. */
static inline void send_file(int to, const File *f, double seconds)
{
    const double start = time_now();
    for (size_t sent = 0; sent < f->size;) {
        const double due = (time_now() - start) / seconds * (double)f->size + 188 * 40;
        const size_t until = due < (double)f->size ? (size_t)due : f->size;
        if (until > sent) {
            const ssize_t n = send(to, f->at + sent, until - sent, MSG_NOSIGNAL);
            if (n <= 0)
                return;
            sent += (size_t)n;
        }
        usleep(5000);
    }
}

static inline void serve_all(int listener, const char *path, double seconds)
{
    Arena *const a = arena_new();
    File f;
    Error e;
    if (file_map(a, path, &f, &e) != 0)
        _exit(1);
    for (;;) {
        const int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            _exit(0);
        send_file(fd, &f, seconds);
        close(fd);
    }
}

static inline Server serve(const char *path, double seconds)
{
    Server s;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    snprintf(s.url, sizeof s.url, "tcp://127.0.0.1:%d", ntohs(at.sin_port));
    s.pid = fork();
    if (s.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails ends it */
        serve_all(fd, path, seconds);
    }
    close(fd);
    return s;
}

static inline void end_server(const Server *s)
{
    kill(s->pid, SIGTERM);
    waitpid(s->pid, NULL, 0);
}

#endif
