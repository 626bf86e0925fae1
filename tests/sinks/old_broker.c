/* A broker of MQTT 3.1.1 (OASIS, 2014): CONNECT, PUBLISH, PINGREQ, DISCONNECT; one connection at a
 * time. */
#include "sinks/old_broker.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/heap.h"

enum { CONNECT = 1, PUBLISH = 3, PINGREQ = 12, LARGEST = 1 << 16 };

struct OldBroker {
    int listener, port;
    Arrivals *arrivals;
    pthread_t thread;
    atomic_int refused, fd;
    uint8_t at[LARGEST];
};

static bool get(int fd, void *to, size_t size)
{
    for (size_t have = 0; have < size;) {
        const ssize_t n = read(fd, (char *)to + have, size - have);
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

/* The first byte and what follows it; 0: the connection is over. */
static uint8_t get_packet(OldBroker *b, int fd, size_t *size)
{
    uint8_t first, more;
    *size = 0;
    if (!get(fd, &first, 1))
        return 0;
    for (int shift = 0; shift < 28; shift += 7) {
        if (!get(fd, &more, 1))
            return 0;
        *size |= (size_t)(more & 127) << shift;
        if (more < 128)
            break;
    }
    return *size < LARGEST && get(fd, b->at, *size) ? first : 0;
}

static bool answer(OldBroker *b, int fd, uint8_t first, size_t size)
{
    uint8_t reply[4] = {0x20, 2, 0, 0};
    switch (first >> 4) {
    case CONNECT: /* name of the protocol, its level */
        reply[3] = b->at[6] == 4 ? 0 : 1;
        b->refused += b->at[6] != 4;
        return send(fd, reply, 4, MSG_NOSIGNAL) == 4 && reply[3] == 0;
    case PUBLISH: {
        const size_t topic = 2 + (size_t)b->at[0] * 256 + b->at[1];
        if ((first >> 1 & 3) == 0)
            return true;
        arrivals_take(b->arrivals, (const char *)b->at + topic + 2, size - topic - 2);
        const uint8_t taken[4] = {0x40, 2, b->at[topic], b->at[topic + 1]};
        return send(fd, taken, 4, MSG_NOSIGNAL) == 4;
    }
    case PINGREQ: return send(fd, "\xd0\0", 2, MSG_NOSIGNAL) == 2;
    default: return false;
    }
}

static void *serving(void *arg)
{
    OldBroker *const b = arg;
    for (int fd; (fd = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        size_t size;
        uint8_t first;
        b->fd = fd;
        while ((first = get_packet(b, fd, &size)) != 0 && answer(b, fd, first, size)) {
        }
        b->fd = -1;
        close(fd);
    }
    return NULL;
}

OldBroker *old_broker_start(Arrivals *a)
{
    OldBroker *const b = heap_alloc(sizeof *b, 8);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    b->arrivals = a;
    b->fd = -1;
    b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)!bind(b->listener, (struct sockaddr *)&at, size);
    listen(b->listener, 8);
    getsockname(b->listener, (struct sockaddr *)&at, &size);
    b->port = ntohs(at.sin_port);
    pthread_create(&b->thread, NULL, serving, b);
    return b;
}

int old_broker_port(const OldBroker *b)
{
    return b->port;
}

int old_broker_refused(const OldBroker *b)
{
    return b->refused;
}

void old_broker_stop(OldBroker *b)
{
    shutdown(b->listener, SHUT_RDWR);
    if (b->fd >= 0)
        shutdown(b->fd, SHUT_RDWR);
    pthread_join(b->thread, NULL);
    close(b->listener);
    heap_free(b);
}
