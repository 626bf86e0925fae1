/* libav in a process of its own: what a hostile stream does to it, it does to nobody else.
 *
 *     the service                                        its children, one for each role
 *     Source (source.h)  --address, options-->           source: connects, reads          <--- network, files
 *                        <--what it holds, packets--
 *     Codec (codec.h)    --packets-->                    codec: decodes; may do nothing else
 *                        <--what a frame is--
 *                        <==pixels, in shared memory==
 *     cut_.. (cut.h)     --packets, or paths-->          cutter: one clip, to a file that it is handed
 *
 * **A child** is this program anew (/proc/self/exe with ISOLATED_COMMAND: nothing of the service's
 * memory, its files, its environment but for proxies and certificates), which ends when its socket
 * does. Whoever runs isolated streams therefore begins main() with
 *
 *     if (isolated_asked(argc, argv))
 *         return isolated_main(argc, argv);
 *
 * **What it may do** (isolated_limits.c): no privileges, no new programs, no signals to others, no
 * writing of files, a bounded number of open ones, `memory` bytes (besides what is shared: three
 * slots for frames). A codec besides: no files, no sockets, no threads; a cutter: no sockets, no
 * files but the one it is handed, and where it cuts a video those that it reads. Where the system
 * has no seccomp the rest holds. A source reads what the service's user may read; where that is not root,
 * and the system lets processes of one user look at each other, the service's environment too.
 *
 * **Nothing it says is trusted.** Messages are bounded and every number in them is checked
 * (isolated_wire.h); one that is not possible is taken as a crash. Shared memory cannot shrink
 * below what the service looks at; only the values of pixels are read from it. A child that does
 * not answer within its deadline, as a source waits for twice as long as it may without giving a
 * picture or uses more than ISOLATED_BUSY of processor time for nothing, or dies is killed, waited
 * for, and costs one connection: ISOLATED_DEAD, with a message that says how.
 *
 * A handle belongs to one thread at a time. */
#ifndef LATHE_WATCH_ISOLATED_H
#define LATHE_WATCH_ISOLATED_H

#include "watch/isolated_wire.h"

#define ISOLATED_COMMAND "isolated-libav"
#define ISOLATED_MEMORY (INT64_C(1) << 30) /* bytes of each child, if nothing else is said */
#define ISOLATED_ANSWER 5000000            /* us until who is asked has to answer .. */
#define ISOLATED_PIXELS 1000000            /* .. or brings a frame: a worker of the service waits */
/* .. and seconds of processor time of a source without giving anything. (A codec is bounded by
 * what it has to answer, and to one processor: it has no threads.) */
#define ISOLATED_BUSY 5.0

bool isolated_asked(int argc, char **argv);
int isolated_main(int argc, char **argv);

typedef enum IsolatedRole {
    ISOLATED_SOURCE,
    ISOLATED_CODEC,
    ISOLATED_CUTTER,     /* of packets that it is given */
    ISOLATED_FILE_CUTTER /* of videos that it reads */
} IsolatedRole;

typedef struct Isolated Isolated;

/* name: of the stream, for messages; lives as long. shared: a file that both see (of memory, a
 * clip), -1: none; stays the caller's. ERR_IO, ERR_MEMORY: no process. */
int isolated_start(IsolatedRole role, const char *name, int64_t memory, int shared, Isolated **out,
                   Error *e);
/* Gives it so long (us) to end by itself, then kills it. NULL is allowed. */
void isolated_close(Isolated *p, int64_t grace);

/* The message to be filled in (wire_..); isolated_post sends it, as soon as the child takes it. */
Wire *isolated_message(Isolated *p, uint32_t kind);
void isolated_post(Isolated *p);

typedef enum IsolatedNews {
    ISOLATED_NOTHING, /* yet */
    ISOLATED_MESSAGE, /* *in: valid until the next call */
    ISOLATED_DEAD     /* isolated_why says how; so it stays */
} IsolatedNews;

/* What it says next, waiting for us at most; sends on what was posted. */
IsolatedNews isolated_poll(Isolated *p, int64_t us, WireIn *in);
/* It is as good as dead, for this reason. */
void isolated_kill(Isolated *p, const char *why);
const char *isolated_why(const Isolated *p);
double isolated_cpu(const Isolated *p); /* seconds of processor time so far */

#endif
