/* Servers of others, and relays. */
#include "check.h"

#include "sinks/broker.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/heap.h"

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* -1: it is taken. */
static int listen_at(int port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    const struct sockaddr_in at = loopback(port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 64) == 0)
        return fd;
    close(fd);
    return -1;
}

static int port_of(int fd)
{
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    getsockname(fd, (struct sockaddr *)&at, &size);
    return ntohs(at.sin_port);
}

static int connect_to(int port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in at = loopback(port);
    if (connect(fd, (const struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    close(fd);
    return -1;
}

int port_free(void)
{
    const int fd = listen_at(0);
    const int port = port_of(fd);
    close(fd);
    return port;
}

pid_t broker_start(int port, const char *log, const char *const *argv)
{
    const pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        char path[4096];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127);
        const int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        snprintf(path, sizeof path, "%s:/usr/sbin", getenv("PATH"));
        setenv("PATH", path, 1);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        perror(argv[0]);
        _exit(127);
    }
    for (int i = 0; i < 1000; i++) {
        const int fd = connect_to(port);
        if (fd >= 0) {
            close(fd);
            return pid;
        }
        if (waitpid(pid, NULL, WNOHANG) == pid)
            break;
        usleep(10000);
    }
    FAIL_MSG("%s does not start: see %s (scripts/deps lists it)", argv[0], log);
    return -1;
}

void broker_stop(pid_t pid, int signal)
{
    kill(pid, signal);
    waitpid(pid, NULL, 0);
}

/* ---- relays ---- */

enum { PAIRS = 32 };

struct Relay {
    int to, port, listener; /* listener -1: cut */
    pthread_t thread;
    int order[2];           /* a pipe: 'c' cut, 'm' mend, 'q' quit */
    int done[2];            /* a byte for each */
    int npair, pair[PAIRS][2];
};

static void drop_pair(Relay *r, int i)
{
    close(r->pair[i][0]);
    close(r->pair[i][1]);
    r->npair--;
    memmove(r->pair + i, r->pair + i + 1, (size_t)(r->npair - i) * sizeof r->pair[0]);
}

static void obey(Relay *r, char order)
{
    if (order != 'm') {
        if (r->listener >= 0)
            close(r->listener);
        r->listener = -1;
        while (r->npair > 0)
            drop_pair(r, 0);
    } else if (r->listener < 0) {
        r->listener = listen_at(r->port);
    }
    (void)!write(r->done[1], &order, 1);
}

static bool hand_on(int from, int to)
{
    char at[16384];
    const ssize_t n = read(from, at, sizeof at);
    return n > 0 && send(to, at, (size_t)n, MSG_NOSIGNAL) == n;
}

static void accept_pair(Relay *r)
{
    const int here = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
    const int there = here >= 0 && r->npair < PAIRS ? connect_to(r->to) : -1;
    if (there >= 0) {
        r->pair[r->npair][0] = here;
        r->pair[r->npair++][1] = there;
    } else if (here >= 0) {
        close(here);
    }
}

static void *relaying(void *arg)
{
    Relay *const r = arg;
    for (char order = 0; order != 'q';) {
        struct pollfd p[2 + 2 * PAIRS] = {{.fd = r->order[0], .events = POLLIN},
                                          {.fd = r->listener, .events = POLLIN}};
        const int n = r->npair;
        for (int i = 0; i < 2 * n; i++)
            p[2 + i] = (struct pollfd){.fd = r->pair[i / 2][i % 2], .events = POLLIN};
        poll(p, (nfds_t)(2 + 2 * n), -1);
        for (int i = n - 1; i >= 0; i--) {
            bool good = true;
            for (int k = 0; k < 2 && good; k++)
                good = p[2 + 2 * i + k].revents == 0 || hand_on(r->pair[i][k], r->pair[i][1 - k]);
            if (!good)
                drop_pair(r, i);
        }
        if (p[1].revents & POLLIN)
            accept_pair(r);
        if (p[0].revents && read(r->order[0], &order, 1) == 1)
            obey(r, order);
    }
    return NULL;
}

static void tell(Relay *r, char order)
{
    (void)!write(r->order[1], &order, 1);
    (void)!read(r->done[0], &order, 1);
}

Relay *relay_start(int to)
{
    Relay *const r = heap_alloc(sizeof *r, 8);
    r->to = to;
    r->listener = listen_at(0);
    r->port = port_of(r->listener);
    assert_int_equal(pipe2(r->order, O_CLOEXEC) | pipe2(r->done, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&r->thread, NULL, relaying, r), 0);
    return r;
}

int relay_port(const Relay *r)
{
    return r->port;
}

void relay_cut(Relay *r)
{
    tell(r, 'c');
}

void relay_mend(Relay *r)
{
    tell(r, 'm');
}

void relay_break(Relay *r)
{
    relay_cut(r);
    relay_mend(r);
}

void relay_stop(Relay *r)
{
    tell(r, 'q');
    pthread_join(r->thread, NULL);
    for (int i = 0; i < 2; i++) {
        close(r->order[i]);
        close(r->done[i]);
    }
    heap_free(r);
}
