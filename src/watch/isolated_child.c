/* In a child of isolated.h: its beginning, its socket, and the end of both.
 * (isolated_child_source.c, _codec.c, _cut.c: the roles.) What goes wrong here ends the
 * process: the service sees it. */
#include "watch/isolated_child.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/heap.h"

#define GOODBYE 700000000 /* ns that a source has to leave its sender */

bool isolated_asked(int argc, char **argv)
{
    return argc == 4 && strcmp(argv[1], ISOLATED_COMMAND) == 0;
}

/* ---- the service is gone ---- */

static _Atomic int over;

const _Atomic int *child_over(void) { return &over; }

/* Whatever this process is about, it ends with who asked for it. */
static void *watch_socket(void *arg)
{
    const IsolatedRole role = *(const IsolatedRole *)arg;
    struct pollfd fd = {.fd = ISOLATED_SOCKET, .events = POLLRDHUP};
    while (poll(&fd, 1, -1) < 0 && errno == EINTR)
        ;
    atomic_store(&over, 1);
    if (role == ISOLATED_SOURCE)
        nanosleep(&(struct timespec){.tv_nsec = GOODBYE}, NULL);
    _exit(0);
}

static bool begin_watching(IsolatedRole *role)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 << 10);
    const bool good = pthread_create(&thread, &attr, watch_socket, role) == 0;
    pthread_attr_destroy(&attr);
    return good;
}

/* ---- messages ---- */

static bool read_all(uint8_t *at, size_t n)
{
    while (n > 0) {
        const ssize_t got = recv(ISOLATED_SOCKET, at, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

bool child_receive(ChildInput *c, WireIn *in)
{
    uint8_t head[WIRE_HEAD];
    if (!read_all(head, sizeof head))
        return false;
    const size_t size = wire_size(head);
    if (size > c->room) {
        heap_free(c->at);
        c->room = size > 64 << 10 ? size : 64 << 10;
        c->at = heap_alloc(c->room, 16);
    }
    if (size == 0 || !c->at)
        return false;
    memcpy(c->at, head, sizeof head);
    if (!read_all(c->at + sizeof head, size - sizeof head))
        return false;
    *in = wire_open(c->at);
    return true;
}

bool child_send(Wire *w)
{
    if (!wire_end(w))
        return false;
    for (size_t at = 0; at < w->size;) {
        const ssize_t n = send(ISOLATED_SOCKET, w->at + at, w->size - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return false;
        at += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* ---- the process ---- */

int isolated_main(int argc, char **argv)
{
    (void)argc;
    static IsolatedRole role; /* the thread reads it */
    const int asked = atoi(argv[2]);
    if (asked < ISOLATED_SOURCE || asked > ISOLATED_FILE_CUTTER)
        return 2;
    role = (IsolatedRole)asked;
    const int64_t memory = strtoll(argv[3], NULL, 10);
    /* the service's affairs */
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    close_range(role == ISOLATED_SOURCE ? ISOLATED_SOCKET + 1 : ISOLATED_SHARED + 1, ~0u, 0);
    heap_for_long();
    if (memory <= 0 || !begin_watching(&role))
        return 2;
    isolated_confine(role, memory);
    switch (role) {
    case ISOLATED_SOURCE: return child_source();
    case ISOLATED_CODEC: return child_codec();
    case ISOLATED_CUTTER:
    case ISOLATED_FILE_CUTTER: return child_cutter();
    }
    return 2;
}
