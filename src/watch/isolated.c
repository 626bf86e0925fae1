/* The service's side of a child: starting it, its socket, its end. */
#include "watch/isolated_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/log.h"
#include "base/str.h"
#include "sched/clock.h"

#define DYING 200000        /* us that who was killed has; longer only where its disk hangs */
#define ANSWER (8 << 10)    /* bytes of a message of who says no more than how it went */
#define ROOM (64 << 10)     /* for what comes, at first .. */
#define KEEP_ROOM (2 << 20) /* .. and so much at most stays behind a message that took more */

struct Isolated {
    const char *name;
    IsolatedRole role;
    pid_t pid;
    int socket;
    clockid_t clock;   /* its processor time */
    double cpu;        /* as it was seen last */
    Wire out;          /* the message that is filled in */
    Wire queue;        /* what was posted and it has not taken: from `sent` on */
    size_t sent;
    /* what came, of `room` bytes; the message that was given stays until the next poll */
    uint8_t *in;
    size_t have, room, given;
    bool dead;
    char why[160];
};

/* ---- starting ---- */

/* What a child needs of our environment; the rest may be secret. */
static const char *const kept[] = {
    "http_proxy=",  "https_proxy=",   "no_proxy=",     "HTTP_PROXY=",      "HTTPS_PROXY=",
    "NO_PROXY=",    "SSL_CERT_FILE=", "SSL_CERT_DIR=", "LD_LIBRARY_PATH=", "TZ=",
    "PATH=",        "LC_ALL=",        "ASAN_OPTIONS=", "UBSAN_OPTIONS=",   "TSAN_OPTIONS=",
    "LSAN_OPTIONS="};
#define KEPT (sizeof kept / sizeof *kept)

static void keep_environment(char *out[KEPT + 1])
{
    size_t n = 0;
    for (char **at = environ; *at && n < KEPT; at++)
        for (size_t i = 0; i < KEPT; i++)
            if (str_starts(*at, kept[i])) {
                out[n++] = *at;
                break;
            }
    out[n] = NULL;
}

/* A signal for us (Ctrl-C) is none for it: it ends when we are done with it. */
static int spawn(Isolated *p, int64_t memory, int socket, int shared)
{
    char role[16], bytes[32], *environment[KEPT + 1];
    snprintf(role, sizeof role, "%d", (int)p->role);
    snprintf(bytes, sizeof bytes, "%lld", (long long)memory);
    char *const argv[] = {"lathe", ISOLATED_COMMAND, role, bytes, NULL};
    keep_environment(environment);
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    if (log_level() <= 0 &&
        !getenv("ASAN_OPTIONS")) /* what it says is for who looks for a fault in it */
        posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, socket, ISOLATED_SOCKET);
    if (shared >= 0)
        posix_spawn_file_actions_adddup2(&files, shared, ISOLATED_SHARED);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    const int code = posix_spawn(&p->pid, "/proc/self/exe", &files, &attr, argv, environment);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return code;
}

/* Files that are given to a child lie above those that they become there, so that none is written
 * over. */
static int above(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 16);
}

int isolated_start(IsolatedRole role, const char *name, int64_t memory, int shared, Isolated **out,
                   Error *e)
{
    Isolated *const p = heap_alloc(sizeof *p, 16);
    int pair[2];
    if (!p)
        return error_set(e, ERR_MEMORY, "%s: no memory for its process", name);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        heap_free(p);
        return error_set(e, ERR_IO, "%s: no socket for its process: %s", name, strerror(errno));
    }
    *p = (Isolated){.name = name, .role = role, .socket = pair[0]};
    const int socket = above(pair[1]), file = shared >= 0 ? above(shared) : -1;
    const int code =
        socket < 0 || (shared >= 0 && file < 0) ? errno : spawn(p, memory, socket, file);
    close(pair[1]);
    if (socket >= 0)
        close(socket);
    if (file >= 0)
        close(file);
    if (code != 0) {
        close(pair[0]);
        heap_free(p);
        return error_set(e, ERR_IO, "%s: no process for it: %s", name, strerror(code));
    }
    fcntl(p->socket, F_SETFL, O_NONBLOCK);
    if (clock_getcpuclockid(p->pid, &p->clock) != 0)
        p->clock = CLOCK_MONOTONIC;
    *out = p;
    return 0;
}

/* ---- its end ---- */

static void say_why(Isolated *p, const char *why)
{
    if (!p->dead)
        snprintf(p->why, sizeof p->why, "%s", why);
    p->dead = true;
}

static void say_status(Isolated *p, int status)
{
    char text[96];
    if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "it died of signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(text, sizeof text, "it ended with %d", WEXITSTATUS(status));
    say_why(p, text);
}

/* True: it is gone, and waited for. */
static bool reap(Isolated *p, int64_t us)
{
    const int64_t until = machine_now() + us;
    int status = 0;
    while (p->pid > 0) {
        isolated_cpu(p);
        const pid_t got = waitpid(p->pid, &status, WNOHANG);
        if (got == p->pid)
            say_status(p, status);
        if (got == p->pid || (got < 0 && errno != EINTR)) {
            p->pid = 0;
            break;
        }
        if (machine_now() >= until)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    return true;
}

static void *wait_for(void *arg)
{
    waitpid((pid_t)(intptr_t)arg, NULL, 0);
    return NULL;
}

/* It hangs in the system: somebody else has the time. */
static void leave(pid_t pid)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for, (void *)(intptr_t)pid) == 0)
        pthread_detach(thread);
}

void isolated_close(Isolated *p, int64_t grace)
{
    if (!p)
        return;
    shutdown(p->socket, SHUT_RDWR);
    if (p->pid > 0 && (grace <= 0 || !reap(p, grace))) {
        kill(p->pid, SIGKILL);
        if (!reap(p, DYING))
            leave(p->pid);
    }
    close(p->socket);
    wire_free(&p->out);
    wire_free(&p->queue);
    heap_free(p->in);
    heap_free(p);
}

void isolated_kill(Isolated *p, const char *why)
{
    say_why(p, why);
    if (p->pid > 0)
        kill(p->pid, SIGKILL);
}

const char *isolated_why(const Isolated *p) { return p->why; }

double isolated_cpu(const Isolated *p)
{
    struct timespec t;
    if (p->pid > 0 && p->clock != CLOCK_MONOTONIC && clock_gettime(p->clock, &t) == 0)
        ((Isolated *)p)->cpu = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
    return p->cpu;
}

/* Nothing more can be read or written: how it ended tells more than that. */
static void hung_up(Isolated *p)
{
    reap(p, DYING);
    say_why(p, "it went away");
}

/* ---- messages ---- */

Wire *isolated_message(Isolated *p, uint32_t kind)
{
    wire_begin(&p->out, kind);
    return &p->out;
}

static void send_on(Isolated *p)
{
    while (!p->dead && p->sent < p->queue.size) {
        const ssize_t n = send(p->socket, p->queue.at + p->sent, p->queue.size - p->sent,
                               MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0)
            hung_up(p);
        else
            p->sent += (size_t)n;
    }
    p->queue.size = p->sent = 0;
}

void isolated_post(Isolated *p)
{
    if (!wire_end(&p->out)) {
        isolated_kill(p, "it was to be told more than there is memory for");
        return;
    }
    if (p->queue.size == 0) { /* nothing waits: it goes as it is */
        const Wire free = p->queue;
        p->queue = p->out;
        p->out = free;
    } else {
        wire_append(&p->queue, &p->out);
        if (p->queue.failed) {
            isolated_kill(p, "it was to be told more than there is memory for");
            return;
        }
    }
    send_on(p);
}

/* Room for so many bytes, those that are there and others. */
static bool set_room(Isolated *p, size_t room)
{
    uint8_t *const at = heap_alloc(room, 16);
    if (!at)
        return false;
    if (p->have > 0)
        memcpy(at, p->in, p->have);
    heap_free(p->in);
    p->in = at;
    p->room = room;
    return true;
}

/* For what comes next: as much again as has come, so that the head of a message alone, which may
 * say anything, takes none. */
static bool make_room(Isolated *p)
{
    return p->have < p->room || set_room(p, p->room ? 2 * p->room : ROOM);
}

static void drop_given(Isolated *p)
{
    p->have -= p->given;
    if (p->given > 0 && p->have > 0)
        memmove(p->in, p->in + p->given, p->have);
    p->given = 0;
    if (p->room > KEEP_ROOM && p->have <= KEEP_ROOM)
        set_room(p, KEEP_ROOM); /* without memory for it, it stays */
}

/* Of the message that comes; 0: it is none of this role's. */
static size_t size_of(const Isolated *p)
{
    const size_t size = wire_size(p->in);
    return p->role == ISOLATED_SOURCE || size <= ANSWER ? size : 0;
}

/* A whole message that is there. */
static bool whole(Isolated *p, WireIn *in)
{
    if (p->have < WIRE_HEAD)
        return false;
    const size_t size = size_of(p);
    if (size == 0)
        isolated_kill(p, "what it says is no message");
    else if (p->have >= size) {
        p->given = size;
        *in = wire_open(p->in);
        return true;
    }
    return false;
}

/* As much as is there of the message that comes, and maybe of the next: what is moved down later
 * stays little. */
static void take(Isolated *p)
{
    if (!make_room(p)) {
        isolated_kill(p, "it says more than there is memory for");
        return;
    }
    const size_t size = p->have >= WIRE_HEAD ? size_of(p) : 0;
    const size_t want = size > p->have ? size - p->have : 16 << 10, free = p->room - p->have;
    const ssize_t n = recv(p->socket, p->in + p->have, want < free ? want : free, MSG_DONTWAIT);
    if (n > 0)
        p->have += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        hung_up(p);
}

IsolatedNews isolated_poll(Isolated *p, int64_t us, WireIn *in)
{
    const int64_t until = machine_now() + us;
    drop_given(p);
    for (;;) {
        if (p->dead)
            return ISOLATED_DEAD;
        if (whole(p, in))
            return ISOLATED_MESSAGE;
        const int64_t left = until - machine_now();
        struct pollfd fd = {.fd = p->socket, .events = POLLIN};
        fd.events |= p->sent < p->queue.size ? POLLOUT : 0;
        const struct timespec wait = {.tv_sec = left > 0 ? left / 1000000 : 0,
                                      .tv_nsec = left > 0 ? left % 1000000 * 1000 : 0};
        if (ppoll(&fd, 1, &wait, NULL) < 0)
            fd.revents = 0;
        if (fd.revents & POLLOUT)
            send_on(p);
        if (fd.revents & (POLLIN | POLLHUP | POLLERR))
            take(p);
        if (left <= 0 && !p->dead) /* however much is still to come: a child may drip */
            return whole(p, in) ? ISOLATED_MESSAGE : p->dead ? ISOLATED_DEAD : ISOLATED_NOTHING;
    }
}
