/* Messages between the service and its children (isolated.h).
 *
 *     kind, size (4 bytes each) | numbers of 8 bytes, and runs of bytes behind their length, in an order that both know
 *
 * Both ends are the same program on the same machine. Reading never goes beyond a message, and
 * notes whatever is not as it must be: a number out of its range, a run that is too long,
 * something left over. */
#ifndef LATHE_WATCH_ISOLATED_WIRE_H
#define LATHE_WATCH_ISOLATED_WIRE_H

#include "base/error.h"
#include "watch/packets.h"

#define WIRE_HEAD 8
#define WIRE_MOST (80 << 20) /* bytes of a message */
#define WIRE_TEXT 900        /* bytes of a text: a message of an error, an address is longer */

typedef enum WireKind {
    WIRE_NONE,
    /* to a source */
    WIRE_CONNECT,   /* address, options */
    /* from it */
    WIRE_CONNECTED, /* code, failure, text; if 0: what it is, its pictures, its sound */
    WIRE_SOUND,     /* sound has shown itself */
    WIRE_PACKET,
    WIRE_ALIVE,     /* it waits */
    WIRE_END,       /* code, failure, text */
    /* to a codec; each is answered once, in order */
    WIRE_OPEN,      /* what it is -> WIRE_OPENED */
    WIRE_DECODE,    /* a packet -> WIRE_RESULT */
    WIRE_NEXT,      /* -> WIRE_RESULT */
    WIRE_FLUSH,     /* -> WIRE_RESULT, of nothing */
    WIRE_PICTURE,   /* the pixels of a frame, to a place in shared memory -> WIRE_WRITTEN */
    /* from it */
    WIRE_OPENED,    /* code, text */
    WIRE_RESULT,    /* refused, what follows, a frame */
    WIRE_WRITTEN,   /* done? */
    /* to a cutter */
    WIRE_CUT,       /* what is cut of what (isolated_cut.h) */
    WIRE_STREAM,    /* what the packets that follow are of; WIRE_PACKET, WIRE_END as a source's */
    /* from it */
    WIRE_GIVE,      /* the next packet */
    WIRE_CUT_DONE   /* code, text, report */
} WireKind;

typedef struct Wire { /* zero at first */
    uint8_t *at;
    size_t size, cap;
    bool failed;      /* no memory, or it is too long */
} Wire;

void wire_begin(Wire *w, uint32_t kind);
void wire_int(Wire *w, int64_t value);
void wire_bytes(Wire *w, const void *at, size_t n);
void wire_text(Wire *w, const char *text);
void wire_line(Wire *w, const char *message); /* so much of it as wire_get_text takes */
void wire_info(Wire *w, const StreamInfo *s);
void wire_packet(Wire *w, const AVPacket *p); /* with its side data, without its stream */
bool wire_end(Wire *w); /* false: failed */
void wire_append(Wire *w, const Wire *message); /* behind those that it holds */
void wire_free(Wire *w);

typedef struct WireIn {
    uint32_t kind;
    const uint8_t *at;
    size_t left;
    bool bad;
} WireIn;

/* Of a whole message's first bytes: its size with the head; 0: it is none. */
size_t wire_size(const uint8_t head[WIRE_HEAD]);
WireIn wire_open(const uint8_t *message);
/* What is not as it must be gives `low`, or nothing, and is bad. */
int64_t wire_get(WireIn *in);
int64_t wire_get_in(WireIn *in, int64_t low, int64_t high);
static inline bool wire_get_flag(WireIn *in) { return wire_get_in(in, 0, 1) != 0; }
const uint8_t *wire_get_bytes(WireIn *in, size_t most, size_t *n);
void wire_get_text(WireIn *in, char *out, size_t size); /* one line, whatever it was */
/* NULL: it is bad, or no memory. */
StreamInfo *wire_get_info(WireIn *in);
AVPacket *wire_get_packet(WireIn *in);
bool wire_done(const WireIn *in); /* it was good, and nothing is left */

/* Whether the other side would take it: what is larger than that may be honest. */
bool wire_takes_info(const StreamInfo *s);
bool wire_takes_packet(const AVPacket *p);

#endif
