/* What goes wrong, and when: faults of the test server.
 *
 *     stall@3:2      3 s after PLAY nothing comes for 2 s; then what was held back, at once
 *     rest@3:2       likewise; then it goes on where it had stopped, and stays late
 *     cut@3          the connection is reset
 *     tear@3         likewise, in the middle of a packet
 *     end@3          it is closed in order
 *     garbage@3:500  500 bytes of noise between packets
 *     slip@3         from here on packets have no frames around them, so that none begins anywhere
 *     corrupt@3:20   20 packets with some of their bytes changed
 *     loss@3:20      20 packets never sent
 *     jump@3:-7      RTP's clock jumps by -7 s
 *     change@3:FILE  from here on another file: other size, other parameter sets
 *
 * Each happens in every connection, before the frame that is due so long after PLAY: by media
 * time, so that it is the same frame on a busy machine. */
#ifndef LATHE_TESTS_FAULTS_H
#define LATHE_TESTS_FAULTS_H

#include "rtsp/media.h"

typedef enum FaultKind {
    FAULT_STALL,
    FAULT_REST,
    FAULT_CUT,
    FAULT_TEAR,
    FAULT_END,
    FAULT_GARBAGE,
    FAULT_SLIP,
    FAULT_CORRUPT,
    FAULT_LOSS,
    FAULT_JUMP,
    FAULT_CHANGE,
    FAULT_COUNT
} FaultKind;

typedef struct Fault {
    FaultKind kind;
    int64_t at;         /* us after PLAY */
    double amount;      /* seconds, bytes or packets */
    const Media *media; /* of FAULT_CHANGE */
} Fault;

#define FAULTS_MAX 64

const char *fault_name(FaultKind k);
/* Reads the file of a change, too. */
int fault_parse(Arena *a, const char *text, Fault *out, Error *e);

#endif
