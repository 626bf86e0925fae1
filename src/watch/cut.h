/* Parts of a video as files of their own (MP4), encoded anew as little as can be.
 *
 *     GOP 1          GOP 2          GOP 3
 *     K . . . . . .  K . . . . . .  K . . . .
 *             from ^                  ^ to
 *     CUT_COPY    packets from K of GOP 1 on, and an edit list: players begin with the part
 *     CUT_EXACT   the rest of GOP 1 encoded anew, the other packets copied: nothing else is there
 *
 * Sound of a file comes along, copied. A part is written beside its name and takes it when it is
 * whole. Where its video is not to be trusted all of this is another process's work, which is
 * handed the file; the bytes are the same. */
#ifndef LATHE_WATCH_CUT_H
#define LATHE_WATCH_CUT_H

#include "watch/packets.h"

#define CUT_MAX_TIME 3600000000 /* us, of one part */

typedef enum CutMode { CUT_COPY, CUT_EXACT /* H.264 and HEVC; others are copied */ } CutMode;

typedef struct CutPart { /* pictures with from <= time < to */
    int64_t from, to;    /* us */
    int64_t at;          /* which of them matters most: it stays where others have to go */
    CutMode mode;
    const char *path;
    /* libav in a process of its own, with so many bytes (isolated.h); 0: in this one. Packets that
     * came from such a process are cut in one, whatever this says (StreamInfo.isolate) */
    int64_t isolate;
} CutPart;

typedef struct CutReport {
    int64_t from;            /* us: of the first picture that is shown .. */
    int64_t duration;        /* .. and of all that is shown */
    int64_t copied, encoded; /* pictures */
    int64_t bytes;
    CutMode mode;   /* as it was done */
    char note[256]; /* what is other than asked for, and why; "" */
} CutReport;

/* Where the size of pictures changes, or how they are encoded, the part ends or begins, so that
 * `at` is in it, with a note: a video has one. Likewise where the clock goes back or jumps. Sound
 * that MP4 does not hold is left out, with a note. */

/* Packets of one connection in decoding order, pictures and sound as they came, the first picture a
 * keyframe; times are theirs. ERR_INVALID: no picture lies there, or the packets do not reach back
 * to a keyframe; ERR_UNSUPPORTED: MP4 does not hold this codec; ERR_IO: it cannot be written. */
int cut_packets(int n, const Packet *const *packet, const CutPart *part, CutReport *out, Error *e);
/* The same of a stored video; times from its first picture on, as a watch gives them for it.
 * ERR_UNSUPPORTED: pictures of a folder, too. */
int cut_file(const char *video, const CutPart *part, CutReport *out, Error *e);

typedef struct ReelPart {
    const char *path, *title; /* title: of the chapter */
} ReelPart;

/* Parts one after another, each a chapter; isolate: as in CutPart. ERR_INVALID: they are not of one
 * codec and size, with the one that differs. */
int cut_reel(int n, const ReelPart *part, const char *path, int64_t isolate, CutReport *out,
             Error *e);

#endif
