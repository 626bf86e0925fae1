/* For tests that play the part of a child of isolated.h: what it was asked first. */
#ifndef LATHE_TESTS_WATCH_ISOLATED_PART_H
#define LATHE_TESTS_WATCH_ISOLATED_PART_H

#include <sys/socket.h>

#include "watch/isolated_child.h"

/* What a codec is to decode, which stays in the socket; NULL: nothing came. */
static inline StreamInfo *part_to_decode(void)
{
    static uint8_t bytes[1 << 16];
    if (recv(ISOLATED_SOCKET, bytes, WIRE_HEAD, MSG_PEEK | MSG_WAITALL) != WIRE_HEAD)
        return NULL;
    const size_t size = wire_size(bytes);
    if (size == 0 || size > sizeof bytes ||
        recv(ISOLATED_SOCKET, bytes, size, MSG_PEEK | MSG_WAITALL) != (ssize_t)size)
        return NULL;
    WireIn in = wire_open(bytes);
    wire_get_flag(&in);
    return wire_get_info(&in);
}

#endif
