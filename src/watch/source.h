/* Where a video comes from: connecting to it and reading its packets, by libav, with a deadline on
 * all that waits.
 *
 *     Source *s = source_new(a, url, &opt);
 *     int code = source_connect(s, &e);
 *     while (code == 0 && (code = source_read(s, &packet, &e)) > 0) ...
 *     source_close(s);                        // and why it ended: source_failure
 *
 * Packets are pictures', and where sound is wanted sound's (packet_sound), in the order in which
 * they come: sound may come a second and more before or after the pictures that belong to it. Of
 * several sounds it is the one that libav thinks best for the pictures, and one that shows itself
 * only later (FLV) is taken once it does. Sound alone does not keep a connection: `read_timeout` is
 * about pictures.
 *
 * One connection each. No call outlasts its deadline, whatever the other side does (only the
 * system's look-up of names may), and none goes on when *stop is set, which any thread may do. */
#ifndef LATHE_WATCH_SOURCE_H
#define LATHE_WATCH_SOURCE_H

#include "watch/packets.h"
#include "watch/video.h"

typedef enum SourceFailure {
    SOURCE_WELL,
    SOURCE_REFUSED, /* nobody there, or not for us */
    SOURCE_SILENT,  /* a deadline passed */
    SOURCE_CLOSED,  /* by the other side: the end of a file, too */
    SOURCE_BROKEN,  /* what came is no video, or damaged beyond libav */
    SOURCE_SLIPPED, /* bytes come, but no packets can be found among them any more */
    SOURCE_HOPELESS, /* it will not be otherwise next time: no such protocol */
    SOURCE_CRASHED   /* the process that reads it died, or hung (isolated.h) */
} SourceFailure;

typedef struct SourceOptions {
    int64_t open_timeout, read_timeout; /* us */
    bool keyframes;           /* no other frame is wanted */
    double picture_rate;      /* frames a second of a folder of pictures; 0: 1 */
    VideoSound sound;         /* SOUND_NOT: nothing of it is read */
    /* .. and the pictures are not: those of a file are read by another source */
    bool alone;
    int connection;           /* StreamInfo.connection of what it gives */
    bool live;                /* connected to anew if it ends: begin with what is newest */
    int64_t probe;            /* us of a live stream that are looked at to find out what it holds */
    /* libav runs in a process of its own, with so many bytes (isolated.h); 0: here */
    int64_t isolate;
    const _Atomic int *stop;  /* not 0: all calls fail soon. NULL: never */
    void (*waits)(void *arg); /* called now and then while libav waits. NULL: nobody asks */
    void *arg;
} SourceOptions;

typedef struct Source Source;

bool source_is_file(const char *url); /* of this machine: a path */

Source *source_new(const char *url, const SourceOptions *opt);
void source_close(Source *s); /* within a second; NULL is allowed */
/* ERR_IO, ERR_INVALID: it is no video, ERR_UNSUPPORTED. */
int source_connect(Source *s, Error *e);
/* Its next packet, of pictures or sound. 1: *out, the caller's; 0: the video is over. */
int source_read(Source *s, Packet *out, Error *e);

SourceFailure source_failure(const Source *s); /* after a call that failed, or gave 0 */
/* of the connection's pictures; lives as long as the source */
StreamInfo *source_info(const Source *s);
/* of its sound; NULL: none has shown itself, or none is wanted */
StreamInfo *source_sound(const Source *s);
/* it waits for who reads, and ends; else it comes when it comes */
bool source_stored(const Source *s);
bool source_bursts(const Source *s);           /* it comes in pieces of a second and more (HLS) */
int64_t source_duration(const Source *s);      /* of a file, by its head, us; 0: not known */

#endif
