/* What the files cut*.c share: a part on its way from packets to a file.
 *
 *     cut_read.c   gathers packets, of a video or of a list, around the part
 *     cut_run.c    leaves those that one file can hold
 *     cut.c        what is copied and what encoded anew
 *     cut_write.c  MP4
 *     cut_make.c   the file: opened, given to who cuts, named */
#ifndef LATHE_WATCH_CUT_PARTS_H
#define LATHE_WATCH_CUT_PARTS_H

#include <libavformat/avformat.h>

#include "watch/cut.h"
#include "watch/cut_encode.h"

#define CUT_TICK ((AVRational){1, 1000000})

typedef struct Track {
    AVCodecParameters *par; /* NULL: there is none */
    AVRational rate;        /* frames a second; 0/1: not known */
    int32_t matrix[9];      /* how players turn pictures; all 0: not at all */
    CutPackets packet;      /* in decoding order */
} Track;

typedef struct Cut {
    Arena *arena;
    const char *path;     /* of the part, for messages */
    int file;             /* to be written */
    int64_t from, to, at; /* us: as in CutPart, made narrower by what there is */
    Track video, audio;
    CutPackets fresh, rest; /* of an exact part: encoded anew; copied */
    CutReport *report;
    Error *error;
} Cut;

/* As cut.h has them, in this process, to a file that is open; paths are for messages. */
int cut_packets_to(int file, int n, const Packet *const *packet, const CutPart *part,
                   CutReport *out, Error *e);
int cut_file_to(int file, const char *video, const CutPart *part, CutReport *out, Error *e);
int cut_reel_to(int file, int n, const ReelPart *part, const char *path, CutReport *out, Error *e);

static inline bool cut_is_key(const AVPacket *p)
{
    return (p->flags & AV_PKT_FLAG_KEY) != 0;
}

int cut_out_of_memory(const Cut *c);
int cut_av_fail(const Cut *c, int code, int av, const char *what);
void cut_note(const Cut *c, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* behind notes before */
int64_t cut_step(const Track *t);          /* us from picture to picture */
int cut_key_before(const CutPackets *p,
                   int64_t t); /* the last keyframe at or before a time; -1: none */
void cut_drop_front(CutPackets *p, int n);
void cut_drop_behind(CutPackets *p, int n); /* all but the first n */

/* From a keyframe at or before c->from on, if there is one, past c->to. */
int cut_read_file(Cut *c, const char *video);
int cut_read_packets(Cut *c, int n, const Packet *const *packet);

/* Leaves the pictures that go on from each other, those around c->at; narrows from and to, and says
 * so. */
int cut_keep_run(Cut *c);

/* Pictures and c->audio's sound to c->path, times less c->from. par: of the pictures as they are
 * now. */
int cut_write(const Cut *c, const AVCodecParameters *par, const CutPackets *video);

#endif
